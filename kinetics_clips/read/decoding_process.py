"""Decodes clips in a process of its own, into memory that it shares with its parent.

The parent (`processes`) writes tasks into one pipe, from which all of its processes
take them, and hears on a channel when one is done. What tasks refer to by number comes
before them, on a socket that belongs to this process alone.
"""

import contextlib
import dataclasses
import mmap
import os
import pickle
import signal
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kinetics_clips.read import assemble, decode, draw, fetch
from kinetics_clips.read.windows import ClipSpec
from kinetics_clips.store.frame_index import FrameIndex

MARK = "kinetics_clips_decoder"  # a word of the command line of these processes

# A training step goes first: it may need the core that decodes for the next one.
_NICENESS = 10

# What comes on the socket: a kind, a number, and a file of all kinds but the last.
NEWS = struct.Struct("<cq")
MEMORY, SOURCE, CHANNEL, FORGET = b"M", b"S", b"C", b"F"

READY = b"R"  # said on the socket when this process takes tasks
DONE = b"D"  # said on a channel, for each task

# In the memory of all processes, what each is at: its task's channel and number.
AT = struct.Struct("<qq")

# Bytes for the error of a task, pickled, with its length before it.
_ERROR_BYTES = 1 << 11
_LENGTH = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, eq=False)  # a key of weak references
class Source:
    """What clips are read from; pickled, it goes to the processes.

    Attributes:
      indexes: Frame indexes of the splits.
      spec: The `ClipSpec` that says what a clip is.
    """

    indexes: Sequence[FrameIndex]
    spec: ClipSpec


class Task(NamedTuple):
    """A clip of a batch, or a part of its frames.

    Attributes:
      number: Number of the task in its batch.
      num_tasks: Number of tasks of the batch.
      channel: Number of the channel on which its end is told.
      memory: Number of the memory that takes the batch.
      source: Number of the source of the clip.
      which: Number of the frame index in the source.
      video: Number of the video in that index.
      key: Key that the clip is drawn with.
      at: Number of the clip in the batch.
      num_clips: Number of clips of the batch.
      height: Height of the clip's frames, in pixels.
      width: Width of the clip's frames, in pixels.
      part: Number of the part of the clip's frames.
      num_parts: Number of parts of the clip's frames.
    """

    number: int
    num_tasks: int
    channel: int
    memory: int
    source: int
    which: int
    video: int
    key: int
    at: int
    num_clips: int
    height: int
    width: int
    part: int
    num_parts: int


TASK = struct.Struct(f"<{len(Task._fields)}q")


class Parts(NamedTuple):
    """The parts of a batch's memory.

    Attributes:
      video: uint8 `[num_clips, num_views, length, height, width, 3]`.
      frame_indices: int32 `[num_clips, num_windows, length]`.
      is_done: bool `[num_tasks]`.
      errors: Bytes of the errors, as `error_of` reads them, a row a task.
    """

    video: np.ndarray
    frame_indices: np.ndarray
    is_done: np.ndarray
    errors: np.ndarray


def _shapes(spec: ClipSpec, task: Task) -> list[tuple[tuple[int, ...], type]]:
    of_frames = (task.height, task.width, 3)
    return [
        ((task.num_clips, spec.num_views, spec.length, *of_frames), np.uint8),
        ((task.num_clips, spec.num_windows, spec.length), np.int32),
        ((task.num_tasks,), np.bool_),
        ((task.num_tasks, _ERROR_BYTES), np.uint8),
    ]


def num_bytes(spec: ClipSpec, task: Task) -> int:
    """Returns how much memory the batch of a task takes, in bytes."""
    return sum(
        _aligned(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        for shape, dtype in _shapes(spec, task)
    )


def parts(memory: np.ndarray, spec: ClipSpec, task: Task) -> Parts:
    """Returns the parts of the memory, uint8 `[num_bytes]`, of a task's batch."""
    arrays: list[np.ndarray] = []
    start = 0
    for shape, dtype in _shapes(spec, task):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays.append(memory[start : start + size].view(dtype).reshape(shape))
        start += _aligned(size)
    return Parts(*arrays)


def _aligned(size: int) -> int:
    return -(-size // 64) * 64


def clear(errors: np.ndarray) -> None:
    """Makes `Parts.errors` those of tasks that have none."""
    errors[:, : _LENGTH.size] = 0


def error_of(row: np.ndarray) -> Exception | None:
    """Returns the error of a task, from its row of `Parts.errors`."""
    (length,) = _LENGTH.unpack_from(row.data)
    return pickle.loads(row[_LENGTH.size :][:length].data) if length else None


def _put_error(row: np.ndarray, error: Exception) -> None:
    pickled = pickle.dumps(error)
    if len(pickled) > len(row) - _LENGTH.size:
        text = f"{type(error).__name__}: {error}"
        pickled = pickle.dumps(RuntimeError(text[: len(row) // 8]))
    row[_LENGTH.size :][: len(pickled)] = np.frombuffer(pickled, np.uint8)
    _LENGTH.pack_into(row.data, 0, len(pickled))


def do(task: Task, source: Source, memory: np.ndarray) -> None:
    """Reads and decodes what a task asks for, into the memory of its batch."""
    of_batch = parts(memory, source.spec, task)
    index = source.indexes[task.which]
    try:
        rng = draw.generator(index, task.video, task.key)
        part = task.part, task.num_parts
        clip = fetch.clip(index, task.video, rng, source.spec, part)
        if clip.view.size != (task.height, task.width):
            raise assemble.no_batch({clip.view.size, (task.height, task.width)})
        decode.frames(clip, of_batch.video[task.at], clip.encoded)
        of_batch.frame_indices[task.at] = clip.frame_indices
    except Exception as error:  # the parent raises it
        _put_error(of_batch.errors[task.number], error)
    of_batch.is_done[task.number] = True


class _Known:
    """What tasks refer to by its number, as the parent has told of it."""

    def __init__(self, news: socket.socket):
        self._news = news
        self.things: dict[int, Any] = {}

    def hear(self) -> None:
        """Takes in all that the parent has told of so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                message, files, *_ = socket.recv_fds(self._news, NEWS.size, 1)
                if not message:  # the parent is gone, which the pipe says too
                    return
                kind, number = NEWS.unpack(message)
                if kind == FORGET:
                    self.things.pop(number, None)
                elif kind == CHANNEL:
                    self.things[number] = socket.socket(fileno=files[0])
                else:
                    self.things[number] = _opened(kind, files[0])


def _opened(kind: bytes, descriptor: int) -> Any:
    try:
        size = os.fstat(descriptor).st_size
        mapped = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
    finally:
        os.close(descriptor)
    return pickle.loads(mapped.data) if kind == SOURCE else mapped


def main(tasks: int, news: int, memory: int, place: int) -> None:
    """Does tasks until the parent is gone.

    Args:
      tasks: File descriptor of the pipe with tasks.
      news: File descriptor of the socket.
      memory: File descriptor of the memory in which each process says what it is at.
      place: Number of this process there.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent decides
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    at = mmap.mmap(memory, 0)
    with socket.socket(fileno=news) as own:
        known = _Known(own)
        own.send(READY)
        own.setblocking(False)  # `recv_fds` passes no flags on, whatever it says
        while message := os.read(tasks, TASK.size):
            task = Task(*TASK.unpack(message))
            AT.pack_into(at, place * AT.size, task.channel, task.number)
            known.hear()
            try:
                source, batch, channel = (
                    known.things[number]
                    for number in (task.source, task.memory, task.channel)
                )
            except KeyError:  # of a batch that was given up
                continue
            do(task, source, batch)
            AT.pack_into(at, place * AT.size, -1, -1)
            with contextlib.suppress(OSError):  # it was given up meanwhile
                channel.send(DONE, socket.MSG_DONTWAIT)
