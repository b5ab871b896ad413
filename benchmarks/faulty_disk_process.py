"""Is a disk that fails at an operation, or kills who asks for it.

    python benchmarks/faulty_disk_process.py DIRECTORY MOUNT_POINT --fail 17

Operations are counted from 1: those that change something, or with `--reads` those that
read. A failure is EIO: of one change, and what it was to change stays as it was; or of
this and all later reads. The count is printed when the disk is unmounted.
"""

import argparse
import errno
import os
import signal
import sys

import mfusepy


class FaultyDisk(mfusepy.Operations):
    """Passes all on to a directory, but for the operations that go wrong.

    Args:
      directory: Where everything is.
      fail: The operation that fails; 0 = none.
      kill: The operation before which its process is killed; 0 = none.
      reads: Whether operations that read are counted, or those that change.
    """

    use_ns = True

    def __init__(self, directory: str, fail: int, kill: int, reads: bool):
        self._directory, self._fail, self._kill = directory, fail, kill
        self._reads = reads
        self._asking = 0
        self.count = 0

    def _at(self, path: str) -> str:
        return self._directory + path

    def _count(self, is_read: bool = False) -> None:
        if is_read != self._reads:
            return
        self.count += 1
        # What the kernel asks for itself is of no process.
        self._asking = mfusepy.fuse_get_context()[2] or self._asking
        if self.count == self._kill and self._asking:
            os.kill(self._asking, signal.SIGKILL)
        # The kernel reads again what has failed.
        fails = self.count >= self._fail > 0 if is_read else self.count == self._fail
        if fails or self.count == self._kill:
            raise mfusepy.FuseOSError(errno.EIO)

    # What reads.

    def getattr(self, path, fh=None):
        status = os.fstat(fh) if fh else os.lstat(self._at(path))
        names = ("mode", "nlink", "uid", "gid", "size", "ino", "blocks")
        found = {f"st_{name}": getattr(status, f"st_{name}") for name in names}
        times = ("atime", "mtime", "ctime")
        return found | {f"st_{t}": getattr(status, f"st_{t}_ns") for t in times}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self._at(path))]

    def readlink(self, path):
        return os.readlink(self._at(path))

    def statfs(self, path):
        status = os.statvfs(self._at(path))
        names = ("bavail", "bfree", "blocks", "bsize", "ffree", "files", "frsize")
        return {f"f_{name}": getattr(status, f"f_{name}") for name in names}

    def open(self, path, flags):
        return os.open(self._at(path), flags)

    def read(self, path, size, offset, fh):
        self._count(is_read=True)
        return os.pread(fh, size, offset)

    def release(self, path, fh):
        os.close(fh)
        return 0

    # What changes something.

    def create(self, path, mode, fi=None):
        self._count()
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT, mode)

    def write(self, path, data, offset, fh):
        self._count()
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        self._count()
        os.truncate(fh or self._at(path), length)
        return 0

    def fsync(self, path, datasync, fh):
        self._count()
        os.fsync(fh)
        return 0

    def mkdir(self, path, mode):
        self._count()
        os.mkdir(self._at(path), mode)
        return 0

    def rename(self, old, new):
        self._count()
        os.rename(self._at(old), self._at(new))
        return 0

    def rmdir(self, path):
        self._count()
        os.rmdir(self._at(path))
        return 0

    def unlink(self, path):
        self._count()
        os.unlink(self._at(path))
        return 0

    def symlink(self, path, target):
        self._count()
        os.symlink(target, self._at(path))
        return 0

    def chmod(self, path, mode):
        self._count()
        os.chmod(self._at(path), mode)
        return 0

    def utimens(self, path, times=None):
        self._count()
        os.utime(self._at(path), ns=times)
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("directory")
    parser.add_argument("mount_point")
    parser.add_argument("--fail", type=int, default=0, help="(default: none)")
    parser.add_argument("--kill", type=int, default=0, help="(default: none)")
    parser.add_argument("--reads", action="store_true")
    args = parser.parse_args()
    disk = FaultyDisk(args.directory, args.fail, args.kill, args.reads)
    mfusepy.FUSE(disk, args.mount_point, foreground=True, nothreads=True)
    print(disk.count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
