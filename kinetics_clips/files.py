"""Names places on the disk; writes files as a whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Where Linux keeps the semaphores of processes, whose errors do not say so.
SEMAPHORES = "/dev/shm"

_BUFFER = 1 << 20  # bytes; a frame a write would take three times as long


def absolute(path: str | os.PathLike[str]) -> str:
    """Returns a path that names one place, wherever the process goes from here.

    `~` is expanded; what has a scheme, such as `gs://bucket`, stays as it is.
    """
    text = os.fsdecode(path)
    if "://" in text:
        return text
    text = os.path.expanduser(text)
    return text if os.path.isabs(text) else os.path.join(os.getcwd(), text)


def temporary(path: Path) -> Path:
    """Returns where a file is until it is whole."""
    return path.with_name(f"{path.name}.tmp")


@contextlib.contextmanager
def open_new(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that takes its place, and that of an older one, at the end.

    Nothing is left of it where something is raised meanwhile.

    Args:
      path: Path of the file.

    Yields:
      The file, to write and to read.

    Raises:
      OSError: If it cannot be written, as on a full disk; names the file.
    """
    unfinished = temporary(path)
    try:
        with named(path):
            with unfinished.open("w+b", buffering=_BUFFER) as file:
                yield file
            os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):  # which is not the one to tell of
            unfinished.unlink()
        raise


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Adds a path to errors of the system that have none, as those of a write.

    Raises:
      OSError: If one is raised inside; it names the path.
    """
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
