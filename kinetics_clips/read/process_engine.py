"""Decodes batches of clips in other processes, so that this one's Python goes on.

Threads that decode come back to Python for every frame, and wait for whatever else runs
there; where a training loop does, they hardly run at all. Here the calling thread
writes the tasks of a batch into a pipe, sleeps until the last one is done, and returns
memory that the processes have filled.

Nothing of this has a name that could be left over: memory and pipes are gone with the
last process that has them open, and the processes end when the pipe of their parent is
closed, however that ended. As in `threads`, no lock is held.
"""

import collections
import contextlib
import itertools
import json
import logging
import mmap
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kinetics_clips.read import decoding_process, fetch
from kinetics_clips.read.arrays import ArrayPool
from kinetics_clips.read.assemble import Decoded
from kinetics_clips.read.decoding_process import (
    AT,
    CHANNEL,
    FORGET,
    MEMORY,
    NEWS,
    READY,
    SOURCE,
    TASK,
    Parts,
    Source,
    Task,
)
from kinetics_clips.store.frame_index import FrameIndexError, UnreadableVideoError

_log = logging.getLogger(__name__)

_CODE = """\
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from kinetics_clips.read import decoding_process
decoding_process.main(*map(int, sys.argv[3:]))
"""

# Seconds after which a batch that is not done looks whether all processes live.
_PATIENCE = 1
_TIMEOUT = struct.pack("ll", _PATIENCE, 0)

# Parts of the clips of a batch are tasks of their own where there are few clips for
# many processes. Each draws the clip anew, and has at least so many frames.
_TASKS_A_PROCESS = 4
_FRAMES_A_TASK = 16

_MAX_FREE = 4  # pieces of memory that are kept for batches to come
_MEMORY_STEP = 1 << 20  # bytes; batches of nearly one size fit into the same memory
_MAX_DEATHS = 2  # of processes that were at the same task


class _SharedMemory:
    """Memory without a name, which other processes may map.

    It does not count against the size of `/dev/shm`.

    Attributes:
      array: All of it, uint8 `[num_bytes]`.
      descriptor: File descriptor by which others map it.
      number: Number by which tasks refer to it.
    """

    def __init__(self, num_bytes: int):
        self.descriptor = os.memfd_create("kinetics_clips", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor).atexit = False
        os.ftruncate(self.descriptor, num_bytes)
        self.array = np.frombuffer(mmap.mmap(self.descriptor, num_bytes), np.uint8)
        self.number = -1


class _Channel(NamedTuple):
    """A socket on which the processes tell that tasks are done.

    Attributes:
      number: Number by which tasks refer to it.
      ours: The end on which this process listens.
    """

    number: int
    ours: socket.socket


class _Child:
    """A process that decodes.

    Args:
      tasks: File descriptor of the pipe from which it takes tasks.
      at: Memory in which it says what it is at.
      place: Number of its place there.
    """

    def __init__(self, tasks: int, at: _SharedMemory, place: int):
        self.place = place
        self._is_ready = False
        self._to_bury = collections.deque([None])
        self.news, theirs = socket.socketpair()
        # A process that hangs must not make this one hang.
        self.news.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEOUT)
        files = tasks, theirs.fileno(), at.descriptor
        with theirs:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _CODE),
                    *(decoding_process.MARK, json.dumps(sys.path)),
                    *map(str, files),
                    str(place),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=files,
            )

    def is_ready(self) -> bool:
        """Returns whether it takes tasks."""
        if not self._is_ready:
            with contextlib.suppress(OSError):
                said = self.news.recv(len(READY), socket.MSG_DONTWAIT)
                self._is_ready = said == READY
        return self._is_ready

    def tell(self, kind: bytes, number: int, descriptor: int | None) -> None:
        """Tells of a thing that tasks will refer to by its number."""
        files = [] if descriptor is None else [descriptor]
        try:
            socket.send_fds(self.news, [NEWS.pack(kind, number)], files)
        except OSError:  # it hears nothing, and could do no task from now on
            self.process.kill()

    def may_be_buried(self) -> bool:
        """Returns True once: to the thread that is to start another in its place."""
        try:
            self._to_bury.pop()
        except IndexError:
            return False
        self.news.close()
        return True


class Processes:
    """Processes that decode batches of clips; all sources of this one share them.

    Args:
      num_processes: Number of processes, which `start` starts.
    """

    def __init__(self, num_processes: int):
        self.num_processes = num_processes
        self._children: dict[int, _Child] = {}
        self._has_failed = False
        self._numbers = itertools.count()
        # What the processes know by its number: kind, and file descriptor.
        self._things: dict[int, tuple[bytes, int]] = {}
        self._forgotten: collections.deque[int] = collections.deque()
        self._channels: collections.deque[_Channel] = collections.deque()
        self._memory = ArrayPool(_MAX_FREE, self._new_memory)
        self._sources: weakref.WeakKeyDictionary[Source, int] = (
            weakref.WeakKeyDictionary()
        )
        # (channel, number of the task) that a process was at when it ended.
        self._deaths: list[tuple[int, int]] = []

    def start(self) -> None:
        """Starts the processes, and does not wait for them.

        Raises:
          OSError: If the system has no more files, memory or processes.
        """
        self._for_tasks, self._tasks = os.pipe()
        os.set_blocking(self._tasks, False)
        self._at = _SharedMemory(self.num_processes * AT.size)
        for place in range(self.num_processes):
            self._start(place)

    def are_ready(self) -> bool:
        """Returns whether all of them take tasks; never, where one cannot start."""
        children = list(self._children.values())
        for child in children:
            if not child.is_ready() and child.process.poll() is not None:
                self.fail(f"one cannot start (exit code {child.process.returncode})")
        return (
            not self._has_failed
            and len(children) == self.num_processes
            and all(child.is_ready() for child in children)
        )

    def fail(self, why: str) -> None:
        """Makes everybody do without these processes, and says so once."""
        if not self._has_failed:
            _log.warning("Threads decode, and no processes: %s", why)
        self._has_failed = True

    def read(
        self, source: Source, videos: Sequence[tuple[int, int]], key: int | None
    ) -> Decoded | None:
        """Reads a batch.

        Args:
          source: What the clips are of.
          videos: Number of the frame index in the source, and number of the video
            there, of each clip.
          key: Key of an epoch, as `windows.epoch_key` returns it, or None to draw anew.

        Returns:
          The clips, in memory that is used again when no array refers to it any more;
          None where no video can be read, so that nobody knows the size of a clip.

        Raises:
          RuntimeError: If processes end, one after the other, at the same clip.
        """
        size = _clip_size(source, videos)
        if size is None:
            return None
        keys = (
            [key] * len(videos)
            if key is not None
            else np.random.default_rng().integers(1 << 63, size=len(videos)).tolist()
        )
        num_parts = -(-_TASKS_A_PROCESS * self.num_processes // len(videos))
        num_frames = source.spec.num_windows * source.spec.length
        num_parts = max(min(num_parts, num_frames // _FRAMES_A_TASK), 1)
        template = Task(
            number=0,
            num_tasks=len(videos) * num_parts,
            channel=-1,
            memory=-1,
            source=self._number_of(source),
            which=-1,
            video=-1,
            key=-1,
            at=-1,
            num_clips=len(videos),
            height=size[0],
            width=size[1],
            part=0,
            num_parts=num_parts,
        )
        tasks = [
            template._replace(
                number=at * num_parts + part,
                which=which,
                video=video,
                key=keys[at],
                at=at,
                part=part,
            )
            for at, (which, video) in enumerate(videos)
            for part in range(num_parts)
        ]
        filled = self._fill(source, tasks)
        errors: dict[int, Exception] = {}
        for task in tasks:
            error = decoding_process.error_of(filled.errors[task.number])
            if error is not None:
                errors.setdefault(task.at, error)
        return Decoded(filled.video, filled.frame_indices.copy(), errors)

    def _fill(self, source: Source, tasks: Sequence[Task]) -> Parts:
        """Has tasks done, whose `channel` and `memory` are set here."""
        self._tell_forgotten()
        size = decoding_process.num_bytes(source.spec, tasks[0])
        lent = self._memory.lend(-(-size // _MEMORY_STEP) * _MEMORY_STEP)
        memory = lent.reshape(lent.memory.array.shape)
        filled = decoding_process.parts(memory, source.spec, tasks[0])
        filled.is_done[:] = False
        decoding_process.clear(filled.errors)
        try:
            channel = self._channels.pop()
        except IndexError:
            channel = self._new_channel()
        to_do = [
            task._replace(channel=channel.number, memory=lent.memory.number)
            for task in tasks
        ]
        is_sound = False
        try:
            is_sound = self._do(channel, to_do, filled.is_done)
        finally:
            # After a process has ended some tasks are done twice, and when this is
            # interrupted they go on: others may still write, and tell of it.
            lent.is_spoilt = not is_sound
            if is_sound:
                self._channels.append(channel)
            else:
                self._forgotten += [channel.number, lent.memory.number]
        return filled

    def _number_of(self, source: Source) -> int:
        """Returns the number of a source, of which the processes are told once."""
        number = self._sources.get(source)
        if number is None:
            pickled = pickle.dumps(source)
            memory = _SharedMemory(len(pickled))
            memory.array[:] = np.frombuffer(pickled, np.uint8)
            number = self._sources[source] = self._add(SOURCE, memory.descriptor)
            weakref.finalize(source, self._forgotten.append, number).atexit = False
        return number

    def close(self) -> None:
        """Closes, in a forked process, what keeps these processes from ending."""
        with contextlib.suppress(AttributeError, OSError):  # not started, or not yet
            os.close(self._tasks)

    def _do(self, channel: _Channel, tasks: list[Task], is_done: np.ndarray) -> bool:
        """Returns when all tasks are done: whether each was done once, as it should."""
        num_deaths = len(self._deaths)
        self._send(tasks)
        missing = len(tasks)
        is_sound = True
        while missing if is_sound else not is_done.all():
            with contextlib.suppress(BlockingIOError):
                told = channel.ours.recv(max(missing, 1), socket.MSG_WAITALL)
                missing -= len(told)
            if missing or not is_sound:
                self._bury()
            if missing and len(self._deaths) > num_deaths:
                num_deaths = len(self._deaths)
                is_sound = False
                self._require_lives(channel.number)
                self._send([task for task in tasks if not is_done[task.number]])
        return is_sound

    def _send(self, tasks: Sequence[Task]) -> None:
        at_once = select.PIPE_BUF // TASK.size  # which are written as a whole
        for start in range(0, len(tasks), at_once):
            message = b"".join(TASK.pack(*t) for t in tasks[start : start + at_once])
            while True:
                try:
                    os.write(self._tasks, message)
                    break
                except BlockingIOError:  # there are others that wait
                    self._bury()
                    time.sleep(0.01)

    def _bury(self) -> None:
        """Starts processes in the place of those that have ended."""
        for child in list(self._children.values()):
            code = child.process.poll()
            if code is None or not child.may_be_buried():
                continue
            _log.warning("A process that decodes has ended (exit code %d)", code)
            at = AT.unpack_from(self._at.array.data, child.place * AT.size)
            self._start(child.place)
            self._deaths.append(at)

    def _require_lives(self, channel: int) -> None:
        """Requires that processes have not ended too often at a task of a channel."""
        of_tasks = collections.Counter(self._deaths)
        for (at_channel, _), number in of_tasks.items():
            if at_channel == channel and number >= _MAX_DEATHS:
                raise RuntimeError(
                    f"Clips must be decoded without an end of the process, got "
                    f"{number} that ended one after the other at the same clip. Is "
                    "there enough memory? The log says how they ended."
                )

    def _start(self, place: int) -> None:
        AT.pack_into(self._at.array.data, place * AT.size, -1, -1)
        child = _Child(self._for_tasks, self._at, place)
        self._children[place] = child  # it hears of what is added from now on
        for number, (kind, descriptor) in list(self._things.items()):
            child.tell(kind, number, descriptor)

    def _new_memory(self, num_bytes: int) -> _SharedMemory:
        memory = _SharedMemory(num_bytes)
        memory.number = self._add(MEMORY, memory.descriptor)
        weakref.finalize(memory, self._forgotten.append, memory.number).atexit = False
        return memory

    def _new_channel(self) -> _Channel:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        with theirs:
            return _Channel(self._add(CHANNEL, theirs.fileno()), ours)

    def _add(self, kind: bytes, descriptor: int) -> int:
        number = next(self._numbers)
        self._things[number] = kind, os.dup(descriptor)
        for child in list(self._children.values()):
            child.tell(kind, number, descriptor)
        return number

    def _tell_forgotten(self) -> None:
        while self._forgotten:
            try:
                number = self._forgotten.popleft()
            except IndexError:  # another thread was faster
                return
            _, descriptor = self._things.pop(number, (FORGET, None))
            if descriptor is not None:
                os.close(descriptor)
                for child in list(self._children.values()):
                    child.tell(FORGET, number, None)


def _clip_size(
    source: Source, videos: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Returns (height, width) of the first clip that has one."""
    for which, video in videos:
        with contextlib.suppress(FrameIndexError, OSError, UnreadableVideoError):
            return fetch.clip_size(source.indexes[which], video, source.spec)
    return None


_pools: dict[tuple[int, int], Processes] = {}


def of_this_process(num_processes: int) -> Processes | None:
    """Returns processes that decode for this one; None where there are none (yet).

    They are started at the first call. There are none where the system has no memory
    without a name.
    """
    if not hasattr(os, "memfd_create") or not sys.executable:
        return None
    new = Processes(num_processes)
    pool = _pools.setdefault((os.getpid(), num_processes), new)
    if pool is new:
        try:
            new.start()
        except OSError as error:
            new.fail(str(error))
    return pool if pool.are_ready() else None


def _close_inherited() -> None:
    """Lets the processes of a parent end with it, and not with its forked child."""
    for pool in _pools.values():
        pool.close()
    _pools.clear()


os.register_at_fork(after_in_child=_close_inherited)
