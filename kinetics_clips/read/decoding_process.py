"""Decodes clips in a process of its own, into memory that it shares with its parent.

The parent (`decoding_pool`) writes tasks into one pipe, from which all its processes
take them. What tasks refer to by number comes before them, on a socket that belongs to
this process alone. Whoever does the last task of a batch signals that it is done.
"""

import contextlib
import mmap
import os
import pickle
import socket
import struct
import sys
from typing import Any

import numpy as np

from kinetics_clips import wheels
from kinetics_clips.read import assemble, decode, decoding_task, draw, fetch
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.decoding_task import TASK, OpenFile, Source, Task

MARK = "kinetics_clips_decoder"  # a word of the command line of these processes

# A training step goes first: it may need the core that decodes for the next one.
_NICENESS = 10

# What comes on the socket: a kind, a number, and a file with all kinds but the last.
NEWS = struct.Struct("<cq")
MEMORY, SOURCE, SIGNAL, FORGET = b"M", b"S", b"E", b"F"

READY = b"R"  # said on the socket when this process takes tasks

# In memory of all processes, what each is busy with: its task's signal and number.
BUSY_WITH = struct.Struct("<qq")
IDLE = -1, -1


def pickled(source: Source) -> bytes:
    """Returns what `_PickledSource` is made of."""
    return pickle.dumps((source.spec, pickle.dumps(source.indexes)))


class _PickledSource:
    """A source whose indexes are opened when they are first needed.

    That may fail, which is an error of the clips that need them, and of no others.
    """

    def __init__(self, content: np.ndarray):
        self.spec: ClipSpec
        self.spec, self._pickled = pickle.loads(content.data)
        self._indexes: Any = None

    @property
    def indexes(self) -> Any:
        if self._indexes is None:
            self._indexes = pickle.loads(self._pickled)
        return self._indexes


def do(task: Task, source: Source | _PickledSource, memory: np.ndarray) -> bool:
    """Reads and decodes what a task asks for, into the memory of its batch.

    Returns:
      Whether all of the batch is done.
    """
    batch = decoding_task.parts(memory, source.spec, task)
    try:
        index = source.indexes[task.which]
        rng = draw.generator(index, task.video, task.key)
        part = task.part, task.num_parts
        clip = fetch.clip(index, task.video, rng, source.spec, part)
        if clip.view.size != (task.height, task.width):
            raise assemble.no_batch({clip.view.size, (task.height, task.width)})
        decode.frames(clip, batch.video[task.clip], clip.encoded)
        batch.frame_indices[task.clip] = clip.frame_indices
    except Exception as error:  # the parent raises it
        decoding_task.put_error(batch.errors[task.number], error)
    batch.is_done[task.number] = True
    return bool(batch.is_done.all())


class _Known:
    """What tasks refer to by number, as the parent has told of it."""

    def __init__(self, news: socket.socket):
        self._news = news
        self.things: dict[int, Any] = {}

    def hear(self) -> None:
        """Takes in all that the parent has told of so far.

        Raises:
          SystemExit: If the parent is gone.
        """
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    message, files, *_ = socket.recv_fds(self._news, NEWS.size, 1)
                except ConnectionError:
                    message = b""
                if not message:
                    raise SystemExit(0)
                kind, number = NEWS.unpack(message)
                if kind == FORGET:
                    self.things.pop(number, None)
                else:
                    self.things[number] = _opened(kind, OpenFile(files[0]))


def _opened(kind: bytes, file: OpenFile) -> Any:
    if kind == SIGNAL:
        return file
    size = os.fstat(file.descriptor).st_size
    content = np.frombuffer(mmap.mmap(file.descriptor, size), np.uint8)
    return _PickledSource(content) if kind == SOURCE else content


def main(tasks: int, news: int, memory: int, slot: int) -> None:
    """Does tasks until the parent is gone.

    Args:
      tasks: File descriptor of the pipe with tasks.
      news: File descriptor of the socket.
      memory: File descriptor of the memory in which each process says what it is busy
        with.
      slot: Number of this process there.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    parent = os.getppid()
    busy_with = mmap.mmap(memory, 0)
    with socket.socket(fileno=news) as own:
        own.setblocking(False)
        known = _Known(own)
        try:
            own.send(READY)
        except OSError:  # the parent is gone
            return
        # The system wakes one process for a task, and it the next if there are more.
        while (message := os.read(tasks, TASK.size)) and os.getppid() == parent:
            task = Task(*TASK.unpack(message))
            BUSY_WITH.pack_into(
                busy_with, slot * BUSY_WITH.size, task.signal, task.number
            )
            known.hear()
            _do(task, known.things)
            BUSY_WITH.pack_into(busy_with, slot * BUSY_WITH.size, *IDLE)


def _do(task: Task, things: dict[int, Any]) -> None:
    try:
        source, memory, event = (
            things[number] for number in (task.source, task.memory, task.signal)
        )
    except KeyError:  # of a batch that was given up
        return
    if do(task, source, memory):
        with contextlib.suppress(OSError):
            os.eventfd_write(event.descriptor, 1)
    if "cv2" in sys.modules:  # there are as many processes as cores
        wheels.work_alone()
