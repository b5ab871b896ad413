"""Starts processes that decode, gives them tasks, and replaces those that end.

Nothing here has a name in the file system, so that nothing is left behind: memory and
pipes are gone with the last process that has them open, and the processes end when
their parent's end of the pipe is closed, however the parent ended.
"""

import collections
import contextlib
import errno
import itertools
import json
import logging
import os
import select
import socket
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence

import numpy as np

from kinetics_clips.read import decoding_process
from kinetics_clips.read.decoding_process import BUSY_WITH, FORGET, IDLE, NEWS, READY
from kinetics_clips.read.decoding_task import TASK, OpenFile, SharedMemory

_log = logging.getLogger(__name__)

_CODE = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
import json
sys.path[:] = json.loads(sys.argv[2])
from kinetics_clips.read import decoding_process
decoding_process.main(*map(int, sys.argv[3:]))
"""

# As many processes as cores need no threads of their own.
_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)

# Seconds after which who waits for the processes looks whether all of them live.
PATIENCE = 1.0


class DecodingPool:
    """Processes that decode, shared by all sources of this one.

    No lock is held, for the reason that `threads.py` gives.

    Args:
      num_processes: Number of processes, which `start` starts.

    Attributes:
      num_processes: Number of processes.
      has_failed: Whether the processes are of no more use.
      deaths: Signal and number of the task with which each process was busy that has
        ended, in the order of their ends.
    """

    def __init__(self, num_processes: int):
        self.num_processes = num_processes
        self.has_failed = False
        self.deaths: list[tuple[int, int]] = []
        self._were_ready, self._look_again = False, 0.0
        self._processes: dict[int, _Process] = {}
        self._numbers = itertools.count()
        # What the processes know by its number: kind, and file.
        self._things: dict[int, tuple[bytes, OpenFile]] = {}
        self._forgotten: collections.deque[int] = collections.deque()

    def start(self) -> None:
        """Starts the processes, and does not wait for them.

        Raises:
          OSError: If the system has no more files, memory or processes.
        """
        for_tasks, tasks = os.pipe()
        self._for_tasks, self._tasks = OpenFile(for_tasks), OpenFile(tasks)
        os.set_blocking(tasks, False)
        self._busy_with = SharedMemory(self.num_processes * BUSY_WITH.size)
        # Of now: a replacement must not depend on where the program goes.
        self._path = [os.path.abspath(p) for p in sys.path if isinstance(p, str)]
        for slot in range(self.num_processes):
            self._start(slot)

    def are_ready(self) -> bool:
        """Returns whether they accept tasks; never again, once one could not start."""
        # To look takes calls in which the interpreter's lock goes to another thread.
        if not self._were_ready or time.monotonic() > self._look_again:
            self._look_again = time.monotonic() + PATIENCE
            self.look_after()
        self._were_ready = self._were_ready or (
            len(self._processes) == self.num_processes
            and all(process.is_ready() for process in list(self._processes.values()))
        )
        return self._were_ready and not self.has_failed

    def fail(self, why: object) -> None:
        """Ends the processes for good, and logs why, once."""
        if not self.has_failed:
            self.has_failed = True
            _log.warning("Threads decode, and no processes: %s", why)
        for process in list(self._processes.values()):
            process.kill()

    def add(self, kind: bytes, file: OpenFile, owner: object) -> int:
        """Returns a number by which tasks may refer to a file while its owner lives.

        The processes forget it soon after.
        """
        number = next(self._numbers)
        # Objects end anywhere, also under a lock: no more than this is done there.
        weakref.finalize(owner, self._forgotten.append, number).atexit = False
        self._things[number] = kind, file
        for process in list(self._processes.values()):
            process.tell(kind, number, file)
        return number

    def send(self, tasks: np.ndarray) -> None:
        """Gives tasks to the processes; waits until there is room for all of them.

        After a failure of the pool they are lost.

        Args:
          tasks: The tasks, int64 `[num_tasks, num_fields]`.
        """
        self._tell_forgotten()
        at_once = select.PIPE_BUF // TASK.size  # which are written as a whole
        for start in range(0, len(tasks), at_once):
            while not self.has_failed:
                try:
                    os.write(
                        self._tasks.descriptor, tasks[start : start + at_once].data
                    )
                    break
                except BlockingIOError:
                    poll = select.poll()
                    poll.register(self._tasks.descriptor, select.POLLOUT)
                    if not poll.poll(PATIENCE * 1000):
                        self.look_after()

    def look_after(self) -> None:
        """Starts processes in the place of those that have ended."""
        for slot, process in list(self._processes.items()):
            code = process.exit_code()
            if code is None or not process.is_mine_to_replace():
                continue
            busy_with = BUSY_WITH.unpack_from(self._memory, slot * BUSY_WITH.size)
            # First of all: whoever waits for what it was busy with has to know.
            self.deaths.append(busy_with)
            if not process.is_ready():
                self.fail(f"one cannot start (exit code {code})")
                return
            _log.warning("A process that decodes has ended (exit code %d)", code)
            try:
                self._start(slot)
            except OSError as error:
                self.fail(error)
                return
            except BaseException:  # such as Ctrl-C
                process.leave_to_others()
                raise

    def close_inherited(self) -> None:
        """Closes, in a forked process, what keeps these processes from ending."""
        self._processes.clear()
        with contextlib.suppress(AttributeError):  # not started
            del self._tasks

    @property
    def _memory(self) -> memoryview:
        return self._busy_with.array.data

    def _start(self, slot: int) -> None:
        BUSY_WITH.pack_into(self._memory, slot * BUSY_WITH.size, *IDLE)
        process = _Process(self._for_tasks, self._busy_with, slot, self._path)
        self._processes[slot] = process  # it hears of what is added from now on
        for number, (kind, file) in list(self._things.items()):
            process.tell(kind, number, file)
            if number not in self._things:  # forgotten meanwhile
                process.tell(FORGET, number, None)

    def _tell_forgotten(self) -> None:
        while self._forgotten:
            try:
                number = self._forgotten.popleft()
            except IndexError:  # another thread was faster
                return
            if self._things.pop(number, None):
                for process in list(self._processes.values()):
                    process.tell(FORGET, number, None)


class _Process:
    """A process that decodes.

    Args:
      tasks: Pipe from which it takes tasks.
      busy_with: Shared memory in which it records its current task.
      slot: Number of its slot in that memory.
      path: Directories from which it imports, as this process does.
    """

    def __init__(
        self, tasks: OpenFile, busy_with: SharedMemory, slot: int, path: Sequence[str]
    ):
        self._is_ready = False
        self._to_replace = collections.deque([None])
        self._news, theirs = socket.socketpair()
        for end in (self._news, theirs):
            end.settimeout(None)  # whatever the program's default is
        # A process that hangs must not make this one hang.
        timeout = struct.pack("ll", *divmod(round(PATIENCE * 1e6), 1_000_000))
        self._news.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        files = tasks.descriptor, theirs.fileno(), busy_with.file.descriptor
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _CODE),
                    *(decoding_process.MARK, json.dumps(path)),
                    *map(str, files),
                    str(slot),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=files,
                env=os.environ | _ONE_THREAD,
                process_group=0,  # Ctrl-C is for the parent
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Returns how it has ended, or None if it has not."""
        return self._process.poll()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()

    def is_ready(self) -> bool:
        """Returns whether it has ever accepted tasks."""
        if not self._is_ready:
            with contextlib.suppress(OSError):
                said = self._news.recv(len(READY), socket.MSG_DONTWAIT)
                self._is_ready = said == READY
        return self._is_ready

    def is_mine_to_replace(self) -> bool:
        """Returns True to one caller alone, who must replace it when it has ended."""
        try:
            self._to_replace.pop()
        except IndexError:
            return False
        return True

    def leave_to_others(self) -> None:
        """Makes another caller replace it, since this one cannot."""
        self._to_replace.append(None)

    def tell(self, kind: bytes, number: int, file: OpenFile | None) -> None:
        """Tells of a file to which tasks will refer by its number.

        If that is impossible, it is killed: it could do no task from now on.
        """
        files = [file.descriptor] if file else []
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.send_fds(self._news, [NEWS.pack(kind, number)], files)
                return
            except OSError as error:
                # So many files are on their way that it has to hear of some first.
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > end:
                    self.kill()
                    return
            time.sleep(0.001)
