"""Mounts a directory as a disk that fails at an operation, or kills who asks for it.

The disk is a process of its own, `faulty_disk_process.py`. It takes FUSE (Debian's
fuse3).
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PROCESS = Path(__file__).with_name("faulty_disk_process.py")


def can_be_mounted() -> bool:
    """Returns whether this machine has FUSE, and lets this process use it."""
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError):  # OSError: it finds no libfuse
        return False
    return bool(os.access("/dev/fuse", os.W_OK) and shutil.which("fusermount3"))


@contextlib.contextmanager
def mounted(directory: Path, mount_point: Path, *options: str) -> Iterator[list[int]]:
    """Mounts a directory for as long as the context lasts.

    Args:
      directory: Where everything is.
      mount_point: A directory, where all is seen.
      options: Of that process's command.

    Yields:
      A list, to which the number of operations is added when it is unmounted.
    """
    counts: list[int] = []
    with subprocess.Popen(
        [sys.executable, _PROCESS, directory, mount_point, *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while not mount_point.is_mount():
            if process.poll() is not None:
                raise OSError(f"{mount_point} must be mounted by FUSE, but is not.")
            time.sleep(0.02)
        try:
            yield counts
        finally:  # lazily: a process that was killed may still hold a file
            subprocess.run(["fusermount3", "-uz", mount_point], check=True)
            counts.append(int(process.communicate(timeout=60)[0]))
