"""Runs tasks in threads without a lock that anyone else may hold.

TensorFlow's threads come here, and the end of an iterator waits for them. Python may
end one wherever the garbage collector runs: also under a lock, such as the one that all
of its own executors share. Whoever needed that lock here would wait for ever.
"""

import collections
import os
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias


class Tasks:
    """Tasks of one caller, which run in threads that all callers share.

    Args:
      num_threads: Number of threads that run them.
    """

    def __init__(self, num_threads: int):
        self._queue = _queue_of(os.getpid(), num_threads)
        # One for each task that is not done, and one of the caller.
        self._open = collections.deque([None])
        self._all_done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def start(self, task: Callable[[], None]) -> None:
        """Runs a task, which may start others and must not raise."""
        self._open.append(None)
        self._queue.put((self, task))

    def wait(self) -> None:
        """Returns when all tasks are done; the caller sleeps until then."""
        self._open.pop()
        if self._open:
            self._all_done.get()

    def _run(self, task: Callable[[], None]) -> None:
        try:
            task()
        finally:
            self._open.pop()
            if not self._open:
                self._all_done.put(None)


_Queue: TypeAlias = queue.SimpleQueue[tuple[Tasks, Callable[[], None]]]

_queues: dict[tuple[int, int], _Queue] = {}


def _queue_of(process_id: int, num_threads: int) -> _Queue:
    """Returns what threads take tasks from; a forked process needs its own ones."""
    new: _Queue = queue.SimpleQueue()
    tasks = _queues.setdefault((process_id, num_threads), new)
    if tasks is new:
        for number in range(num_threads):
            name = f"kinetics_clips_{number}"
            threading.Thread(
                target=_run_all, args=[tasks], name=name, daemon=True
            ).start()
    return tasks


def _run_all(tasks: _Queue) -> None:
    while True:
        group, task = tasks.get()
        group._run(task)
        del group, task  # what they refer to is not kept until the next one
