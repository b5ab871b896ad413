import gc
import threading

import numpy as np

from kinetics_clips.read.arrays import ArrayPool, PrivateMemory


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_memory_is_used_again_when_nobody_refers_to_it():
    pool = ArrayPool(max_free=2, allocate=PrivateMemory)
    first = pool.take((3, 1000))
    assert first.shape == (3, 1000)
    assert first.dtype == np.uint8
    place = address(first)
    del first
    assert address(pool.take((1000, 3))) == place


def test_memory_is_not_used_while_a_view_is_left():
    pool = ArrayPool(max_free=2, allocate=PrivateMemory)
    array = pool.take((4, 1000))
    views = {
        "slice": array[1:, 10:],
        "reshaped": array.reshape(-1),
        "transposed": array.T,
        "view of a view": array[0][3:][::2],
        "memoryview": memoryview(array),
        "other type": array.view(np.uint32),
        "iterator": array.flat,
    }
    place = address(array)
    del array
    while views:
        gc.collect()
        assert address(pool.take((4, 1000))) != place
        views.popitem()
    assert address(pool.take((4, 1000))) == place


def test_arrays_are_aligned_for_tensorflow():
    pool = ArrayPool(max_free=1, allocate=PrivateMemory)
    for size in (1, 63, 64, 65, 1000, 12345):
        assert address(pool.take((size,))) % 64 == 0


def test_memory_much_larger_than_needed_is_left_alone():
    pool = ArrayPool(max_free=2, allocate=PrivateMemory)
    place = address(pool.take((1000,)))
    small = pool.take((400,))
    assert address(small) != place
    assert address(pool.take((900,))) == place


def test_only_so_much_memory_is_kept():
    pool = ArrayPool(max_free=2, allocate=PrivateMemory)
    arrays = [pool.take((1000,)) for _ in range(5)]
    del arrays
    assert len(pool._free) == 2


def test_nothing_to_take_is_an_empty_array():
    pool = ArrayPool(max_free=1, allocate=PrivateMemory)
    assert pool.take((0, 8, 3)).shape == (0, 8, 3)


def test_no_two_threads_get_the_same_memory():
    pool = ArrayPool(max_free=4, allocate=PrivateMemory)
    failures = []

    def work(number: int) -> None:
        for _ in range(2000):
            array = pool.take((500,))
            array[:] = number
            if (array != number).any():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
