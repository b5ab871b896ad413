"""Hands out memory again when nobody refers to it any more: pages cost more than JPEGs.

A page that a process touches for the first time takes the kernel 0.4 us, and a batch of
clips is tens of thousands of them.
"""

import collections
import math

import numpy as np

# TensorFlow takes arrays that are aligned to it without a copy.
_ALIGNMENT = 64


class ArrayPool:
    """Uint8 arrays whose memory is used again.

    Args:
      max_free: Pieces of memory to keep that are not in use.
    """

    def __init__(self, max_free: int):
        self._free: collections.deque[np.ndarray] = collections.deque(maxlen=max_free)

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array of any content, which nothing else refers to.

        Its memory is taken back when it and all views of it are gone.
        """
        num_bytes = math.prod(shape)
        memory = self._pop(num_bytes)
        if memory is None:
            memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        lent = _Lent(memory, start, num_bytes, self._free)
        return np.asarray(lent).reshape(shape)

    def _pop(self, num_bytes: int) -> np.ndarray | None:
        for _ in range(len(self._free)):
            try:
                memory = self._free.pop()
            except IndexError:  # another thread was faster
                return None
            if num_bytes <= len(memory) - _ALIGNMENT <= 2 * num_bytes:
                return memory
            self._free.appendleft(memory)
        return None


class _Lent:
    """Owns memory that arrays refer to; gives it back when the last one is gone."""

    def __init__(
        self,
        memory: np.ndarray,
        start: int,
        num_bytes: int,
        free: collections.deque[np.ndarray],
    ):
        self._memory, self._free = memory, free
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (num_bytes,),
            "data": (memory.ctypes.data + start, False),
        }

    def __del__(self) -> None:
        self._free.append(self._memory)
