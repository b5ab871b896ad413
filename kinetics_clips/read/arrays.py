"""Reuses memory when nothing refers to it: new pages cost more than decoding JPEGs.

A page that a process touches for the first time takes the kernel 0.4 us, and a batch of
clips is tens of thousands of them.
"""

import collections
import math
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import numpy as np

# TensorFlow takes arrays that are aligned to it without a copy.
_ALIGNMENT = 64


class Memory(Protocol):
    """A piece of memory.

    Attributes:
      array: All of its bytes, uint8 `[num_bytes]`.
    """

    array: np.ndarray


_Memory = TypeVar("_Memory", bound=Memory)


class PrivateMemory:
    """Memory of this process alone."""

    def __init__(self, num_bytes: int):
        unaligned = np.empty(num_bytes + _ALIGNMENT, np.uint8)
        start = -unaligned.ctypes.data % _ALIGNMENT
        self.array = unaligned[start:][:num_bytes]


class ArrayPool(Generic[_Memory]):
    """Uint8 arrays whose memory is used again.

    Args:
      max_free: Number of pieces of memory to keep that are not in use.
      allocate: Function that makes a new piece, of a number of bytes.
    """

    def __init__(self, max_free: int, allocate: Callable[[int], _Memory]):
        self._free: collections.deque[_Memory] = collections.deque(maxlen=max_free)
        self._allocate = allocate

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array of any content, which nothing else refers to.

        Its memory is taken back when it and all views of it are gone.
        """
        return self.lend(math.prod(shape)).reshape(shape)

    def lend(self, num_bytes: int) -> "Lent[_Memory]":
        """Returns memory of any content, which comes back when no array is on it."""
        memory = self._pop(num_bytes)
        if memory is None:
            memory = self._allocate(num_bytes)
        return Lent(memory, self._free)

    def _pop(self, num_bytes: int) -> _Memory | None:
        for _ in range(len(self._free)):
            try:
                memory = self._free.pop()
            except IndexError:  # another thread was faster
                return None
            if num_bytes <= len(memory.array) <= 2 * num_bytes:
                return memory
            self._free.appendleft(memory)
        return None


class Lent(Generic[_Memory]):
    """Owns memory that arrays refer to; gives it back when the last one is gone.

    Attributes:
      memory: The piece of memory.
      is_spoilt: Whether it is not given back, because others may still write to it.
    """

    def __init__(self, memory: _Memory, free: collections.deque[_Memory]):
        self.memory, self._free = memory, free
        self.is_spoilt = False
        self.__array_interface__ = memory.array.__array_interface__

    def reshape(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns the first bytes as an array that refers to this, uint8 `shape`."""
        return np.asarray(self)[: math.prod(shape)].reshape(shape)

    def __del__(self) -> None:
        if not self.is_spoilt:
            self._free.append(self.memory)
