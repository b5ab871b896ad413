import concurrent.futures
import functools
import threading
import time

import pytest
from processes import run_tensorflow

from kinetics_clips.read.threads import Tasks


def test_wait_returns_when_all_tasks_are_done_and_those_that_they_started():
    done = []

    def work(depth: int, number: int) -> None:
        time.sleep(0.001)
        for child in range(2 if depth else 0):
            tasks.start(functools.partial(work, depth - 1, 2 * number + child))
        done.append((depth, number))

    tasks = Tasks(3)
    tasks.start(lambda: work(5, 0))
    tasks.wait()
    assert len(done) == len(set(done)) == 2**6 - 1


def test_wait_returns_at_once_without_tasks():
    Tasks(1).wait()


def test_tasks_run_side_by_side_in_as_many_threads_as_are_asked_for():
    together = threading.Barrier(4, timeout=20)
    names = set()

    def meet() -> None:
        together.wait()
        names.add(threading.current_thread().name)

    for _ in range(2):
        tasks = Tasks(4)
        for _ in range(4):
            tasks.start(meet)
        tasks.wait()
    assert len(names) == 4


def test_many_callers_share_the_threads():
    def call(number: int) -> int:
        results = []
        tasks = Tasks(2)
        for i in range(50):
            tasks.start(lambda i=i: results.append(number * i))
        tasks.wait()
        return sum(results)

    with concurrent.futures.ThreadPoolExecutor(8) as callers:
        assert list(callers.map(call, range(40))) == [n * 1225 for n in range(40)]


@pytest.mark.slow
def test_an_iterator_that_ends_under_a_lock_of_python_does_not_hang(data_dir):
    # What holds the lock may collect garbage, and an iterator with it, whose end waits
    # for the clips that are being read.
    done = run_tensorflow(
        "-c",
        """
import concurrent.futures.thread as executors, sys
from kinetics_clips import ClipSpec, load_clips

for batch_size in [None, 2] * 10:
    iterator = iter(load_clips(
        "kinetics_clips/folder", "train", ClipSpec(length=64), batch_size=batch_size,
        num_epochs=None, data_dir=sys.argv[1],
    ))
    next(iterator)
    with executors._global_shutdown_lock:
        del iterator
print("ended")
""",
        data_dir,
    )
    assert done.stdout == "ended\n", done.stderr
