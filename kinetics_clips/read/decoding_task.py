"""What a process is asked to decode, and where in shared memory it puts the result."""

import contextlib
import dataclasses
import math
import mmap
import os
import pickle
import struct
import traceback
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.store.frame_index import FrameIndex

_ALIGNMENT = 64

# Bytes for the error of a task, pickled, with its length before it.
_ERROR_BYTES = 1 << 12
_LENGTH = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, eq=False)  # a key of weak references
class Source:
    """What clips are read from.

    Attributes:
      indexes: Frame indexes of the splits.
      spec: The `ClipSpec` that says what a clip is.
    """

    indexes: Sequence[FrameIndex]
    spec: ClipSpec


class Task(NamedTuple):
    """A clip of a batch, or a part of its frames; all fields are whole numbers.

    Attributes:
      number: Number of the task in its batch.
      signal: Number of the event that is signalled when the whole batch is done.
      memory: Number of the memory that takes the batch.
      source: Number of the source of the clip.
      which: Number of the frame index in the source.
      video: Number of the video in that index.
      key: Key that the clip is drawn with.
      clip: Number of the clip in the batch.
      num_clips: Number of clips of the batch.
      height: Height of the clip's frames, in pixels.
      width: Width of the clip's frames, in pixels.
      part: Number of the part of the clip's frames.
      num_parts: Number of parts of the clip's frames.
    """

    number: int
    signal: int
    memory: int
    source: int
    which: int
    video: int
    key: int
    clip: int
    num_clips: int
    height: int
    width: int
    part: int
    num_parts: int

    @property
    def num_tasks(self) -> int:
        """Number of tasks of the batch."""
        return self.num_clips * self.num_parts


TASK = struct.Struct(f"<{len(Task._fields)}q")


class Parts(NamedTuple):
    """The parts of a batch's memory.

    Attributes:
      video: uint8 `[num_clips, num_views, length, height, width, 3]`.
      frame_indices: int32 `[num_clips, num_windows, length]`.
      is_done: bool `[num_tasks]`.
      errors: uint8 `[num_tasks, _ERROR_BYTES]`, for `put_error` and `errors_of`.
    """

    video: np.ndarray
    frame_indices: np.ndarray
    is_done: np.ndarray
    errors: np.ndarray


def of_batch(
    template: Task, videos: Sequence[tuple[int, int]], keys: Sequence[int]
) -> np.ndarray:
    """Returns all tasks of a batch, int64 `[num_tasks, num_fields]`.

    Args:
      template: Task whose fields are those of all tasks, but for what differs.
      videos: Number of the frame index, and number of the video there, of each clip.
      keys: Key that each clip is drawn with.
    """
    tasks = np.empty((template.num_tasks, len(Task._fields)), "<i8")
    tasks[:] = template
    by_clip = tasks.reshape(template.num_clips, template.num_parts, -1)
    fields = [Task._fields.index(name) for name in ("which", "video", "key", "clip")]
    values = [
        (*video, key, clip)
        for clip, (video, key) in enumerate(zip(videos, keys, strict=True))
    ]
    by_clip[:, :, fields] = np.array(values, "<i8")[:, np.newaxis]
    by_clip[:, :, Task._fields.index("part")] = np.arange(template.num_parts)
    tasks[:, Task._fields.index("number")] = np.arange(template.num_tasks)
    return tasks


class OpenFile:
    """A file descriptor that is closed when nothing refers to it any more."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor).atexit = False


class SharedMemory:
    """Anonymous memory (a memfd), which other processes can map.

    It does not count against the size of `/dev/shm`. Its pages are free as soon as
    nothing refers to it, whoever else has mapped it.

    Attributes:
      array: All of it, uint8 `[num_bytes]`.
      file: The file by which other processes map it.
      number: Number by which tasks refer to it.
    """

    def __init__(self, num_bytes: int):
        descriptor = os.memfd_create("kinetics_clips", os.MFD_CLOEXEC)
        self.file = OpenFile(descriptor)
        os.ftruncate(descriptor, num_bytes)
        mapped = mmap.mmap(descriptor, num_bytes)
        self._free = weakref.finalize(self, _free, mapped, os.getpid())
        self._free.atexit = False
        self.array = np.frombuffer(mapped, np.uint8)
        self.number = -1

    def leave(self) -> None:
        """Leaves the pages to others that have mapped it when this process is done."""
        self._free.detach()


def _free(mapped: mmap.mmap, process_id: int) -> None:
    """Frees the pages of memory, for all who have mapped it."""
    if os.getpid() == process_id:  # and not one that was forked
        with contextlib.suppress(OSError):
            mapped.madvise(mmap.MADV_REMOVE)


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
        _aligned(math.prod(shape) * np.dtype(dtype).itemsize)
        for shape, dtype in _shapes(spec, task)
    )


def parts(memory: np.ndarray, spec: ClipSpec, task: Task) -> Parts:
    """Returns the parts of the memory, uint8 `[num_bytes]`, of a task's batch."""
    arrays: list[np.ndarray] = []
    start = 0
    for shape, dtype in _shapes(spec, task):
        size = math.prod(shape) * np.dtype(dtype).itemsize
        arrays.append(memory[start : start + size].view(dtype).reshape(shape))
        start += _aligned(size)
    return Parts(*arrays)


def clear(batch: Parts) -> None:
    """Makes no task of a batch done, and none have an error."""
    batch.is_done[:] = False
    batch.errors[:, : _LENGTH.size] = 0


def put_error(row: np.ndarray, error: Exception) -> None:
    """Puts the error of a task into its row of `Parts.errors`."""
    room = len(row) - _LENGTH.size
    try:
        error.add_note("".join(traceback.format_exception(error))[-room // 4 :])
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # not every error can be
    except Exception:
        pickled = b""
    if not 0 < len(pickled) <= room:
        text = f"{type(error).__name__}: {error}"
        pickled = pickle.dumps(RuntimeError(text[: room // 8]))
    row[_LENGTH.size :][: len(pickled)] = np.frombuffer(pickled, np.uint8)
    _LENGTH.pack_into(row.data, 0, len(pickled))


def errors_of(batch: Parts) -> dict[int, Exception]:
    """Returns the errors of a batch, by the numbers of their tasks."""
    lengths = batch.errors[:, : _LENGTH.size].view("<u4")[:, 0]
    return {
        number: pickle.loads(batch.errors[number, _LENGTH.size :][:length].data)
        for number, length in enumerate(lengths.tolist())
        if length
    }


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
