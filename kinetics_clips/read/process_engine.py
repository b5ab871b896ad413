"""Decodes batches of clips in other processes, so that the caller can run Python.

Threads that decode come back to Python for every frame, and compete for its lock:
beside a busy training loop they hardly run. Here the calling thread divides a batch
into tasks, sleeps until the last one is done, and returns memory that the processes
have filled.
"""

import collections
import contextlib
import os
import random
import select
import sys
import weakref
from collections.abc import Sequence

import numpy as np

from kinetics_clips.read import decoding_process, decoding_task, fetch
from kinetics_clips.read.arrays import ArrayPool, Lent
from kinetics_clips.read.assemble import Decoded
from kinetics_clips.read.decoding_pool import PATIENCE, DecodingPool
from kinetics_clips.read.decoding_process import MEMORY, SIGNAL, SOURCE
from kinetics_clips.read.decoding_task import (
    OpenFile,
    Parts,
    SharedMemory,
    Source,
    Task,
)
from kinetics_clips.store.frame_index import FrameIndexError, UnreadableVideoError

# Parts of the clips of a batch are tasks of their own where there are few clips for
# many processes. Each draws the clip anew, and has at least so many frames.
_TASKS_A_PROCESS = 2
_FRAMES_A_TASK = 16

_MAX_FREE = 4  # pieces of memory that are kept for batches to come
_MEMORY_STEP = 1 << 20  # bytes; batches of nearly one size fit into the same memory

# Batches that a program may keep as they are. Each has open files; others are copied.
_MAX_LENT = 32

_MAX_DEATHS = 2  # of processes that were busy with the same task


class _Signal:
    """An event (an eventfd) that processes signal when a batch is done.

    Attributes:
      number: Number by which tasks refer to it.
    """

    def __init__(self, pool: DecodingPool):
        self._file = OpenFile(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self.number = pool.add(SIGNAL, self._file, self)
        # Edge-triggered: to read the event would be one more call in which the lock of
        # the interpreter goes to another thread, which keeps it for 5 ms.
        self._poll = select.epoll()
        self._poll.register(self._file.descriptor, select.EPOLLIN | select.EPOLLET)

    def wait(self, seconds: float) -> bool:
        """Sleeps until it is signalled; returns False if that takes too long."""
        return bool(self._poll.poll(seconds))


class ProcessEngine:
    """Reads batches in the processes of a pool.

    Args:
      pool: The pool.
    """

    def __init__(self, pool: DecodingPool):
        self.pool = pool
        self._memory = ArrayPool(_MAX_FREE, self._new_memory)
        self._lent: weakref.WeakSet[Lent[SharedMemory]] = weakref.WeakSet()
        self._signals: collections.deque[_Signal] = collections.deque()
        self._random = random.Random()
        self._sources: weakref.WeakKeyDictionary[Source, int] = (
            weakref.WeakKeyDictionary()
        )

    def read(
        self, source: Source, videos: Sequence[tuple[int, int]], key: int | None
    ) -> Decoded | None:
        """Reads a batch.

        Args:
          source: What the clips are of.
          videos: Number of the frame index in the source, and number of the video
            there, of each clip.
          key: Key of an epoch, as `shuffling.epoch_key` returns it, or None to draw
            anew.

        Returns:
          The clips, in memory that is used again when no array refers to it any more;
          None where no video can be read, so that nobody knows the size of a clip, or
          where the pool has failed.

        Raises:
          RuntimeError: If processes end, one after the other, at the same clip.
        """
        size = _clip_size(source, videos)
        if size is None:
            return None
        keys = [self._random.getrandbits(63) if key is None else key for _ in videos]
        try:
            filled = self._fill(source, size, videos, keys)
        except OSError as error:  # of no more files, or no more memory
            self.pool.fail(error)
            return None
        if filled is None:
            return None
        num_parts = len(filled.is_done) // len(videos)
        errors: dict[int, Exception] = {}
        for number, problem in decoding_task.errors_of(filled).items():
            errors.setdefault(number // num_parts, problem)
        # Copied clip by clip: for a large array, NumPy gives the interpreter's lock
        # away.
        return Decoded(filled.video, np.stack(list(filled.frame_indices)), errors)

    def _fill(
        self,
        source: Source,
        size: tuple[int, int],
        videos: Sequence[tuple[int, int]],
        keys: Sequence[int],
    ) -> Parts | None:
        """Returns the memory of a batch when its tasks are done; None if they fail."""
        try:
            signal = self._signals.pop()
        except IndexError:
            signal = _Signal(self.pool)
        template = Task(
            number=-1,
            signal=signal.number,
            memory=-1,
            source=self._number_of(source),
            which=-1,
            video=-1,
            key=-1,
            clip=-1,
            num_clips=len(videos),
            height=size[0],
            width=size[1],
            part=-1,
            num_parts=self._num_parts(source, len(videos)),
        )
        num_bytes = decoding_task.num_bytes(source.spec, template)
        lent = self._memory.lend(-(-num_bytes // _MEMORY_STEP) * _MEMORY_STEP)
        lent.is_spoilt = True  # until all is well
        template = template._replace(memory=lent.memory.number)
        filled = decoding_task.parts(np.asarray(lent), source.spec, template)
        decoding_task.clear(filled)
        tasks = decoding_task.of_batch(template, videos, keys)
        was_done_once = self._do(tasks, filled.is_done, signal)
        self._signals.append(signal)
        if was_done_once is None:
            return None
        if was_done_once:
            lent.is_spoilt = False
            self._lent.add(lent)
            if len(self._lent) <= _MAX_LENT:
                return filled
        # What was done twice may still be written to, by who comes last.
        return filled._replace(video=filled.video.copy(), errors=filled.errors.copy())

    def _num_parts(self, source: Source, num_clips: int) -> int:
        """Returns how many tasks a clip is, so that all processes have some."""
        num_tasks = _TASKS_A_PROCESS * self.pool.num_processes
        num_frames = source.spec.num_windows * source.spec.length
        return max(min(-(-num_tasks // num_clips), num_frames // _FRAMES_A_TASK), 1)

    def _do(
        self, tasks: np.ndarray, is_done: np.ndarray, signal: _Signal
    ) -> bool | None:
        """Sends tasks, and waits until they are done.

        Returns:
          Whether each was done once, as it should; None if the pool fails.

        Raises:
          RuntimeError: If processes end, one after the other, at the same task.
        """
        num_deaths = len(self.pool.deaths)
        was_done_once = True
        self.pool.send(tasks)
        while not is_done.all():
            if signal.wait(PATIENCE):
                continue
            self.pool.look_after()
            if self.pool.has_failed:
                return None
            if len(self.pool.deaths) > num_deaths:
                num_deaths = len(self.pool.deaths)
                was_done_once = False
                self._require_lives(signal.number)
                self.pool.send(tasks[~is_done])
        return was_done_once

    def _require_lives(self, signal: int) -> None:
        """Requires that processes have not ended too often at a task of a batch."""
        for busy_with, number in collections.Counter(self.pool.deaths).items():
            if busy_with[0] == signal and number >= _MAX_DEATHS:
                raise RuntimeError(
                    f"{number} processes that decode have ended, one after the other, "
                    "at the same clip. Is there enough memory? The log says how they "
                    "ended."
                )

    def _number_of(self, source: Source) -> int:
        """Returns the number of a source, of which the processes are told once."""
        number = self._sources.get(source)
        if number is None:
            pickled = decoding_process.pickled(source)
            memory = SharedMemory(len(pickled))
            memory.array[:] = np.frombuffer(pickled, np.uint8)
            memory.leave()  # some processes may hear of it when it is gone here
            number = self.pool.add(SOURCE, memory.file, source)
            self._sources[source] = number
        return number

    def _new_memory(self, num_bytes: int) -> SharedMemory:
        memory = SharedMemory(num_bytes)
        memory.number = self.pool.add(MEMORY, memory.file, memory)
        return memory

    def leave_lent(self) -> None:
        """Leaves memory that is lent now as it is, to whoever else will share it."""
        for lent in list(self._lent):
            lent.is_spoilt = True
            lent.memory.leave()


def _clip_size(
    source: Source, videos: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Returns (height, width) of the first clip that has one."""
    for which, video in videos:
        with contextlib.suppress(FrameIndexError, OSError, UnreadableVideoError):
            return fetch.clip_size(source.indexes[which], video, source.spec)
    return None


_engines: dict[tuple[int, int], ProcessEngine] = {}


def of_this_process(num_processes: int) -> ProcessEngine | None:
    """Returns an engine of this process, or None if there is none, or none ready yet.

    Its processes are started at the first call. There are none where the system has no
    anonymous memory, or Python is part of another program.
    """
    is_possible = hasattr(os, "memfd_create") and hasattr(os, "eventfd")
    if not is_possible or not sys.executable or hasattr(sys, "frozen"):
        return None
    place = os.getpid(), num_processes
    engine = _engines.get(place)
    if engine is None:
        new = ProcessEngine(DecodingPool(num_processes))
        engine = _engines.setdefault(place, new)
        if engine is not new:
            return None  # another thread starts it
        try:
            engine.pool.start()
        except OSError as error:
            engine.pool.fail(error)
    return engine if engine.pool.are_ready() else None


def _leave_lent() -> None:
    """Keeps what a forked process shares with this one as it is at the fork."""
    for engine in list(_engines.values()):
        engine.leave_lent()


def _close_inherited() -> None:
    """Lets the processes of a parent end with it, and not with its forked child."""
    for engine in _engines.values():
        engine.pool.close_inherited()
    _engines.clear()


os.register_at_fork(before=_leave_lent, after_in_child=_close_inherited)
