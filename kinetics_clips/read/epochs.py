"""The epoch that a source and its copies in worker processes are in."""

import mmap
import multiprocessing.context
import os
import struct
import weakref
from multiprocessing import popen_forkserver, popen_spawn_posix, reduction
from typing import Any

_NUMBER = struct.Struct("<q")


class SharedEpoch:
    """The number of an epoch, one for this process and those that it starts.

    It lies in memory that forked processes share, and those that `multiprocessing`
    starts anew with a copy of it. What is pickled for other ends has a number of its
    own, which starts as this one.
    """

    def __init__(self, number: int = 0):
        # Anonymous memory goes to forked processes alone; this also through a file.
        self._descriptor = -1
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("kinetics_clips", os.MFD_CLOEXEC)
            os.ftruncate(self._descriptor, _NUMBER.size)
            weakref.finalize(self, os.close, self._descriptor).atexit = False
        self._memory = mmap.mmap(self._descriptor, _NUMBER.size)
        self.number = number

    @property
    def number(self) -> int:
        """Number of the epoch."""
        return _NUMBER.unpack_from(self._memory)[0]

    @number.setter
    def number(self, number: int) -> None:
        _NUMBER.pack_into(self._memory, 0, number)

    def __reduce__(self) -> tuple[Any, ...]:
        started = multiprocessing.context.get_spawning_popen()
        is_child = isinstance(started, popen_spawn_posix.Popen | popen_forkserver.Popen)
        if is_child and self._descriptor >= 0:
            return _attached, (reduction.DupFd(self._descriptor),)
        return SharedEpoch, (self.number,)


def _attached(handle: Any) -> SharedEpoch:
    epoch = SharedEpoch.__new__(SharedEpoch)
    epoch._descriptor = handle.detach()
    weakref.finalize(epoch, os.close, epoch._descriptor).atexit = False
    epoch._memory = mmap.mmap(epoch._descriptor, _NUMBER.size)
    return epoch
