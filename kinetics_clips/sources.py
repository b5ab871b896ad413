"""Lists the video files of a directory, those inside tar archives too; reads them."""

import concurrent.futures
import dataclasses
import logging
import lzma
import math
import os
import stat
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from kinetics_clips import progress

_log = logging.getLogger(__name__)
_Key = TypeVar("_Key")

SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg",
    ".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf", ".ogv",
})  # fmt: skip

TABLE_SUFFIXES = frozenset({".csv", ".txt"})  # CVDF's lists of Kinetics-600 are .txt

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")

# A video inside an archive is read into memory, several at a time.
MAX_MEMBER_BYTES = 1 << 30

# What a damaged or truncated archive raises, or one whose headers make no sense.
_ARCHIVE_ERRORS = (
    tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
    OverflowError, MemoryError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file named like a video, on disk or inside an archive.

    Attributes:
      root: The directory that was listed.
      name: Below the root, with `/`, as the file system spells it. An archive counts as
        a folder: `train/part_0.tar.gz/zumba/one.mp4`.
      num_bytes: Its size; 0 where that cannot be told.
      modified: When its content last changed, in ns since 1970; 0 where that cannot be
        told.
      archive: The name of the archive that it lies in, or None.
      problem: `(reason, detail)` of what is wrong with it before it is opened, in the
        words of `frames.VideoError`, or None.
    """

    root: Path
    name: str
    num_bytes: int
    modified: int
    archive: str | None = None
    problem: tuple[str, str] | None = None

    @property
    def path(self) -> Path:
        """What lies on disk: the file, or its archive."""
        return self.root / (self.archive or self.name)

    @property
    def filename(self) -> str:
        """The name as valid UTF-8."""
        return as_utf8(self.name)

    @property
    def unpacked(self) -> PurePosixPath:
        """Where it would lie below the root, were its archive unpacked where it is.

        What lies at the top of an archive would be in a folder of the archive's name.
        """
        if self.archive is None:
            return PurePosixPath(self.name)
        archive = PurePosixPath(self.archive)
        inside = PurePosixPath(self.name).relative_to(archive)
        if len(inside.parts) == 1:
            return archive.with_name(without_archive_suffix(archive.name)) / inside
        return archive.parent / inside


class Listing(NamedTuple):
    """What lies below a directory, each sorted by name.

    Attributes:
      files: Video files, loose and in archives.
      folders: Names below the directory, with `/`; of those that were looked into.
      tables: CSVs, and text files that may be some.
      damaged: Archives that could not be read to their end, with their problem.
    """

    files: list[File]
    folders: list[str]
    tables: list[Path]
    damaged: list[File]


def as_utf8(name: str) -> str:
    """Returns a file name as valid UTF-8; bytes that are not become `\\xNN`."""
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def without_archive_suffix(name: str) -> str:
    """Returns `zumba` for `zumba.tar.gz`; any other name as it is."""
    for suffix in ARCHIVE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def list_files(root: Path) -> Listing:
    """Lists the video and table files below a directory; counts all others in the log.

    Links to folders are followed only right below the directory, and links to files
    only to where the walk leads too. Archives are listed by reading their headers;
    compressed ones have to be read as a whole.

    Args:
      root: The directory.

    Raises:
      OSError: If a folder cannot be read.
    """
    with progress.bar(desc="scan", unit=" files", leave=False, mininterval=1.0) as bar:
        return _list_files(root, bar)


def _list_files(root: Path, bar) -> Listing:
    inside = [root.resolve()]
    walk = _Walk(bar)
    walk.into(root)
    for path in walk.links[:]:
        target = Path(path).resolve()
        if os.path.dirname(path) == str(root) and not _overlap(target, inside[0]):
            walk.links.remove(path)
            inside.append(target)
            walk.into(path)
    passed_over = walk.passed_over
    files: list[File] = []
    tables: list[Path] = []
    archives: list[File] = []
    damaged: list[File] = []
    for entry in walk.entries:
        suffix = os.path.splitext(entry.name)[1].lower()
        is_table = suffix in TABLE_SUFFIXES
        if not is_table and suffix not in SUFFIXES and not is_archive(entry.name):
            passed_over[f"{as_utf8(suffix) or 'without suffix'}"] += 1
            continue
        num_bytes, modified, problem = _examine(entry, inside)
        name = entry.path.removeprefix(f"{root}/")
        file = File(root, name, num_bytes, modified, problem=problem)
        if not is_table:
            (files if suffix in SUFFIXES else archives).append(file)
        elif problem is None:
            tables.append(file.path)
        elif suffix == ".csv":
            _log.warning("%s: passed over: %s", file.path, problem[1])
    if archives:  # reading them takes far longer than finding them
        bar.total = len(walk.entries)
    # Decompression releases the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for archive, members, others in pool.map(_list_archive, archives):
            files += members
            passed_over += others
            if archive.problem:
                damaged.append(archive)
            bar.set_postfix(damaged=len(damaged), refresh=False)
            bar.update()
    if passed_over:
        counts = ", ".join(f"{count} {what}" for what, count in passed_over.items())
        _log.info("%s: not named like videos, passed over: %s", root, counts)
    if walk.links:
        _log.warning(
            "%s: %d links to folders are not followed: %s",
            root,
            len(walk.links),
            as_utf8(", ".join(walk.links[:3])),
        )
    if damaged:
        _log.warning(
            "%d archives could not be read to their end: %s",
            len(damaged),
            ", ".join(f"{file.filename} ({file.problem[1]})" for file in damaged[:3]),
        )
    return Listing(
        files=sorted(files, key=_name),
        folders=sorted(path.removeprefix(f"{root}/") for path in walk.folders),
        tables=sorted(tables),
        damaged=sorted(damaged, key=_name),
    )


def read(
    files: Iterable[tuple[_Key, File]],
) -> Iterator[tuple[_Key, Path | bytes | tuple[str, str]]]:
    """Opens files one after the other: loose ones first, then archive by archive.

    Every archive is read once, from its start to the last file that is wanted, and
    nothing of it is written anywhere.

    Args:
      files: Files under keys of the caller's.

    Yields:
      Each key with the path of a loose file, the content of a file in an archive, or
      `(reason, detail)` of why it could not be read.
    """
    in_archives: dict[Path, dict[str, _Key]] = {}
    for key, file in files:
        if file.archive is None:
            yield key, file.path
        else:
            inside = file.name.removeprefix(f"{file.archive}/")
            in_archives.setdefault(file.path, {})[inside] = key
    for path in sorted(in_archives):
        yield from _read_archive(path, in_archives[path])


def _read_archive(
    path: Path, wanted: dict[str, _Key]
) -> Iterator[tuple[_Key, bytes | tuple[str, str]]]:
    problem = ("unreadable", "no longer in its archive")
    try:
        with tarfile.open(path, tarinfo=_Header) as archive:
            for member in _members(archive):
                inside = _inside(member)
                if inside not in wanted:
                    continue
                content = archive.extractfile(member).read()
                yield wanted.pop(inside), content
                if not wanted:
                    return
    except _ARCHIVE_ERRORS as error:
        problem = ("unreadable", f"its archive is damaged: {error}")
    for key in wanted.values():
        yield key, problem


def _list_archive(archive: File) -> tuple[File, list[File], Counter[str]]:
    """Returns the archive, the videos in it, and counts of what else it holds.

    A damaged archive gives what can be read of it, and comes back with its problem.
    """
    files: list[File] = []
    others: Counter[str] = Counter()
    if archive.problem:
        return archive, files, others
    seen: set[str] = set()
    try:
        with tarfile.open(archive.path, tarinfo=_Header) as tar:
            for member in _members(tar):
                if member.isdir():
                    continue
                inside = _inside(member)
                if inside is None:
                    others["links, devices or unsafe names in archives"] += 1
                elif "/." in f"/{inside}":
                    others["dotfiles"] += 1
                elif PurePosixPath(inside).suffix.lower() not in SUFFIXES:
                    others["other files in archives"] += 1
                elif inside in seen:
                    others["further files of one name in archives"] += 1
                else:
                    seen.add(inside)
                    files.append(
                        File(
                            root=archive.root,
                            name=f"{archive.name}/{inside}",
                            num_bytes=member.size,
                            modified=_nanoseconds(member.mtime),
                            archive=archive.name,
                            problem=_name_problem(inside) or _size_problem(member.size),
                        )
                    )
            while tar.fileobj.read(1 << 20):  # to the checksum of a compressed one
                pass
    except _ARCHIVE_ERRORS as error:
        archive = dataclasses.replace(archive, problem=("unreadable", str(error)))
    return archive, files, others


def _name(file: File) -> str:
    return file.name


class _Header(tarfile.TarInfo):
    """The header of a member; one that is damaged is an error wherever it stands.

    `tarfile` takes it for the archive's end, unless it is the first.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    offset = -1
    while (member := archive.next()) is not None:
        # A negative size would lead back to where this header, or another one, stands.
        if member.size < 0 or archive.offset <= offset:
            raise tarfile.ReadError(f"a member of {member.size} bytes")
        offset = archive.offset
        yield member
        archive.members.clear()  # it would keep every header that it has read


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9) if math.isfinite(seconds) else 0


def _inside(member: tarfile.TarInfo) -> str | None:
    """Returns a regular file's name without `./`, or None for anything else."""
    path = PurePosixPath(member.name)
    if not member.isreg() or path.is_absolute() or ".." in path.parts:
        return None
    return str(path)


class _Walk:
    """Collects what lies below folders; passes over all that starts with a dot.

    Attributes:
      entries: All that are no folders.
      folders: Paths of those that it went into.
      links: Paths of links to folders, which it does not follow.
      passed_over: Counts of the rest.

    Args:
      bar: Counts the entries, but for archives, which are still to be read.
    """

    def __init__(self, bar):
        self._bar = bar
        self.entries: list[os.DirEntry] = []
        self.folders: list[str] = []
        self.links: list[str] = []
        self.passed_over: Counter[str] = Counter()

    def into(self, folder: str | Path) -> None:
        self.folders.append(str(folder))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    self.passed_over["dotfiles"] += 1
                elif entry.is_dir(follow_symlinks=False):
                    self.into(entry.path)
                # `entry.is_dir` raises where a link leads to itself.
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    self.links.append(entry.path)
                else:
                    self.entries.append(entry)
                    self._bar.update(not is_archive(entry.name))


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _examine(
    entry: os.DirEntry, inside: Iterable[Path]
) -> tuple[int, int, tuple[str, str] | None]:
    """Returns size, time of modification, and problem of a directory's entry."""
    problem = _name_problem(entry.path)
    num_bytes = modified = 0
    try:
        if entry.is_symlink():
            target = Path(entry.path).resolve(strict=True)
            if not any(target.is_relative_to(directory) for directory in inside):
                problem = ("unreadable", "a link that leads out of the directory")
        status = entry.stat()
        if stat.S_ISREG(status.st_mode):
            num_bytes, modified = status.st_size, status.st_mtime_ns
            if not num_bytes:
                problem = problem or ("empty", "0 bytes")
        else:
            problem = problem or ("not a video", "not a regular file")
    except (OSError, RuntimeError) as error:  # RuntimeError: it leads to itself
        what = "a link that leads nowhere" if entry.is_symlink() else str(error)
        problem = problem or ("unreadable", what)
    return num_bytes, modified, problem


def _name_problem(name: str) -> tuple[str, str] | None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "unreadable name", "the name is not UTF-8"
    return None


def _size_problem(num_bytes: int) -> tuple[str, str] | None:
    if not num_bytes:
        return "empty", "0 bytes"
    if num_bytes > MAX_MEMBER_BYTES:
        return "too large", f"{num_bytes} bytes inside an archive"
    return None
