"""Runs Python in processes of their own."""

import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_TIMEOUT = 120  # seconds


def run_script(
    script: str, *arguments: object, cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """Runs a script of Python, for two minutes at most.

    Args:
      script: The script.
      arguments: Its arguments.
      cwd: Directory in which it runs; None = this process's.
    """
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )


def run_tensorflow(
    *words: object, cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """Runs `python WORDS` with TensorFlow and TFDS imported, for two minutes at most.

    Args:
      words: "-c" and a script, "-m" and a module, or the path of a script; its
        arguments.
      cwd: Directory in which it runs; None = this process's.
    """
    return TensorFlowProcess(*words, cwd=cwd).wait()


class TensorFlowProcess:
    """What `python WORDS` starts, in which TensorFlow and TFDS are imported already.

    Args:
      words: Those of `run_tensorflow`.
      cwd: Its, too.

    Attributes:
      pid: The number of the process, which leads a group of its own.
    """

    def __init__(self, *words: object, cwd: Path | None = None):
        self._words = list(map(str, words))
        self._out, self._err = (tempfile.NamedTemporaryFile() for _ in range(2))
        self.pid = _ask(
            words=self._words,
            stdout=self._out.name,
            stderr=self._err.name,
            environment=dict(os.environ),
            directory=str(cwd or Path.cwd()),
        )

    def kill(self) -> None:
        """Kills it, and waits for its end."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self, timeout: float = _TIMEOUT) -> subprocess.CompletedProcess:
        """Waits for its end, after which it and what it has started are killed.

        Args:
          timeout: Seconds.

        Raises:
          subprocess.TimeoutExpired: If they were.
        """
        with self._out as out, self._err as err:
            try:
                code = _ask(timeout, wait=self.pid)
            except TimeoutError as error:
                os.killpg(self.pid, signal.SIGKILL)
                _answer()
                raise subprocess.TimeoutExpired(
                    self._words, timeout, out.read(), err.read()
                ) from error
            return subprocess.CompletedProcess(
                self._words, code, out.read().decode(), err.read().decode()
            )


def _ask(timeout: float = _TIMEOUT, **request: object) -> int:
    _server().stdin.write(json.dumps(request) + "\n")
    _server().stdin.flush()
    return _answer(timeout)


def _answer(timeout: float = _TIMEOUT) -> int:
    if not select.select([_server().stdout], [], [], timeout)[0]:
        raise TimeoutError
    return int(_server().stdout.readline())


@functools.cache
def _server() -> subprocess.Popen:
    """Starts what forks them; it ends with this process."""
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("script_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
