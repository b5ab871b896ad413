"""Lists the video files of a directory, those inside archives too; reads them."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias, TypeVar

from kinetics_clips import progress, wording
from kinetics_clips.write import archives
from kinetics_clips.write.archives import is_archive as is_archive

_log = logging.getLogger(__name__)
_Key = TypeVar("_Key")

# What is read of a file: its path, what is in it, or why there is none.
Content: TypeAlias = Path | bytes | tuple[str, str]

SUFFIXES = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".3gp2", ".3gpp", ".asf", ".av1", ".avc", ".avi",
    ".dif", ".divx", ".dv", ".dvr-ms", ".f4v", ".flv", ".gif", ".h263", ".h264",
    ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2",
    ".mk3d", ".mkv", ".mod", ".mov", ".mp2v", ".mp4", ".mp4v", ".mpe", ".mpeg",
    ".mpeg1", ".mpeg2", ".mpeg4", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu",
    ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".tod", ".tp", ".trp", ".ts", ".vc1",
    ".vob", ".vro", ".webm", ".wm", ".wmv", ".wtv", ".xvid", ".y4m",
})  # fmt: skip

# CVDF's lists of Kinetics-600 are .txt.
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
# Not read, but named where they seem to hold annotations.
_OTHER_TABLES = frozenset({".json", ".jsonl", ".ods", ".parquet", ".xls", ".xlsx"})

# Other names of videos, and of what may hold some: said to be passed over.
_OTHER_VIDEOS = frozenset({
    ".amv", ".bik", ".braw", ".cine", ".dav", ".evo", ".f4p", ".gifv", ".h261", ".ifv",
    ".insv", ".ismv", ".jpgv", ".lrv", ".m4p", ".mjp2", ".mjpeg", ".mjpg", ".moov",
    ".mve", ".nsv", ".r3d", ".roq", ".smk", ".swf", ".vdr", ".viv", ".vp8", ".vp9",
    ".xesc", ".yuv",
})  # fmt: skip
_OTHER_ARCHIVES = frozenset({
    ".7z", ".ace", ".alz", ".arj", ".cab", ".cpio", ".dmg",
    ".iso", ".lha", ".lzh", ".rar", ".sit", ".sitx", ".sqfs", ".sqsh",
    ".squashfs", ".taz", ".tbz3", ".tlz", ".tz", ".tz2", ".tzst", ".wim", ".xar",
    ".zipx", ".zpaq",
})  # fmt: skip
_COMPRESSED = frozenset({
    ".br", ".bz2", ".gz", ".lz", ".lz4", ".lzma", ".lzo", ".sz", ".xz", ".z", ".zst",
})  # fmt: skip

# Downloads on their way, and what downloaders note of them.
_UNFINISHED = re.compile(
    r"\.(part|part-frag\d+|partial|filepart|crdownload|opdownload|download|ytdl|aria2"
    r"|!qb|!ut|bc!|xltd)"
)
# Behind the suffix of a video or of an archive.
_SET_ASIDE = re.compile(r"\.(tmp|temp|bak|old|orig)")
_MORE = re.compile(r"(.*?[a-z0-9])(\.\d{1,3}|\W*\(\d{1,3}\)|\W+copy( \d+)?|[\W_]+)")
_VOLUME = re.compile(r"\.(\d{2,3}|[a-z]{2})")
_OLD_VOLUME = re.compile(r"\.[rz]\d\d")

# How files of the formats above begin.
_STARTS = re.compile(
    rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|OggS|0&\xb2u|\0\0\x01[\xb3\xba]"
    rb"|G.{187}G",
    re.DOTALL,
)

_NOT_FOLLOWED = "link not followed", "a link to a folder"
_NO_SUFFIX = "format not read: without suffix", "add it, such as .mp4"
TABLE_NOT_READ = "table not read: in an archive"

# Reasons in `Listing.passed_over` that `list_files` logs itself.
SAID = frozenset({"unreadable", "empty", "not a video", _NOT_FOLLOWED[0]})

# A video inside an archive is read into memory, several at a time.
MAX_MEMBER_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file named like a video, on disk or inside an archive.

    Attributes:
      root: The directory that was listed.
      name: Below the root, with `/`, as it is spelled there: in UTF-8 whatever the
        locale, with bytes that are none as surrogates. An archive counts as a folder:
        `train/part_0.tar.gz/zumba/one.mp4`.
      num_bytes: Its size; 0 where that cannot be told.
      modified: When its content last changed, in ns since 1970; 0 where that cannot be
        told.
      archive: The name of the archive that it lies in, or None.
      problem: `(reason, detail)` of what is wrong with it before it is opened, in the
        words of `frames.VideoError`, or None.
      member: Inside an archive, the name and the number, from 0, of the member that has
        its content: one that it links to, or another one of the same name. None for the
        first that is named as it is.
    """

    root: Path
    name: str
    num_bytes: int
    modified: int
    archive: str | None = None
    problem: tuple[str, str] | None = None
    member: tuple[str, int] | None = None

    @property
    def path(self) -> Path:
        """What lies on disk: the file, or its archive."""
        name = self.archive or self.name
        if not name.isascii():
            name = os.fsdecode(name.encode("utf-8", "surrogateescape"))
        return self.root / name

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
            return archive.with_name(archives.without_suffix(archive.name)) / inside
        return archive.parent / inside


class Listing(NamedTuple):
    """What lies below a directory, each sorted by name.

    Attributes:
      files: Video files, loose and in archives.
      folders: Names below the directory, with `/`; of those that were looked into.
      tables: CSVs, and text files that may be some.
      passed_over: What may be or hold videos and is not read, or not to its end, with
        its problem: damaged archives, archives and videos of other kinds, unfinished
        downloads, links to folders.
    """

    files: list[File]
    folders: list[str]
    tables: list[Path]
    passed_over: list[File]


def as_utf8(name: str) -> str:
    """Returns a `File`'s name as valid UTF-8; bytes that are not become `\\xNN`."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def in_utf8(path: str) -> str:
    """Returns a path that the system gave as `File.name` has it, in any locale."""
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "surrogateescape")


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


def _list_files(root: Path, bar: progress.Bar) -> Listing:
    inside = [root.resolve()]
    walk = _Walk(bar)
    walk.into(root)
    for path in walk.links[:]:
        target = Path(path).resolve()
        if os.path.dirname(path) == str(root) and not _overlap(target, inside[0]):
            walk.links.remove(path)
            inside.append(target)
            walk.into(path)
    others = walk.others
    files: list[File] = []
    tables: list[Path] = []
    to_read: list[File] = []
    passed_over = [
        File(root, in_utf8(path.removeprefix(f"{root}/")), 0, 0, problem=_NOT_FOLLOWED)
        for path in walk.links
    ]
    for entry in walk.entries:
        suffix = os.path.splitext(entry.name)[1].lower()
        is_table = suffix in TABLE_SUFFIXES
        not_read = None
        if not is_table and suffix not in SUFFIXES and not is_archive(entry.name):
            not_read = _not_read(entry.name)
            if not suffix and _starts_like_a_video(entry):
                not_read = _NO_SUFFIX
            if suffix in _OTHER_TABLES and _examine(entry, inside)[-1] is None:
                tables.append(Path(entry.path))
            if not_read is None:
                others[as_utf8(in_utf8(suffix)) or "without suffix"] += 1
                continue
        name = in_utf8(entry.path.removeprefix(f"{root}/"))
        num_bytes, modified, problem = _examine(entry, inside)
        problem = _name_problem(name) or problem
        file = File(root, name, num_bytes, modified, problem=not_read or problem)
        if not_read:
            passed_over.append(file)
        elif not is_table:
            (files if suffix in SUFFIXES else to_read).append(file)
        elif problem is None:
            tables.append(file.path)
        elif suffix == ".csv":
            _log.warning("%s: passed over: %s", file.path, problem[1])
    if to_read:  # which takes far longer than finding them
        bar.total = len(walk.entries)
    damaged = []
    # Decompression releases the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for archive, in_archive, beside, more in pool.map(_list_archive, to_read):
            files += in_archive
            passed_over += beside
            others += more
            if archive.problem:
                damaged.append(archive)
            bar.set_postfix(damaged=len(damaged), refresh=False)
            bar.update()
    if others:
        counts = ", ".join(f"{count} {what}" for what, count in others.items())
        _log.info("%s: not named like videos, passed over: %s", root, counts)
    if walk.links:
        _log.warning(
            "%s: %s not followed: %s",
            root,
            wording.count(
                len(walk.links), "link to a folder is", "links to folders are"
            ),
            as_utf8(in_utf8(", ".join(walk.links[:3]))),
        )
    if damaged:
        _log.warning(
            "%s could not be read to the end: %s",
            wording.count(len(damaged), "archive", "archives"),
            ", ".join(
                f"{file.filename} ({file.problem[1]})"
                for file in damaged[:3]
                if file.problem
            ),
        )
    return Listing(
        files=sorted(files, key=_name),
        folders=sorted(in_utf8(path.removeprefix(f"{root}/")) for path in walk.folders),
        tables=sorted(tables),
        passed_over=sorted(passed_over + damaged, key=_name),
    )


def read(
    files: Iterable[tuple[_Key, File]],
) -> Iterator[tuple[_Key, Content]]:
    """Opens files one after the other: loose ones first, then archive by archive.

    Every archive is read once, from its start to the last file that is wanted, and
    nothing of it is written anywhere.

    Args:
      files: Files under keys of the caller's.

    Yields:
      Each key with the path of a loose file, the content of a file in an archive, or
      `(reason, detail)` of why it could not be read.
    """
    in_archives: dict[Path, dict[tuple[str, int], list[_Key]]] = {}
    for key, file in files:
        if file.archive is None:
            yield key, file.path
        else:
            member = file.member or (file.name.removeprefix(f"{file.archive}/"), 0)
            wanted = in_archives.setdefault(file.path, {})
            wanted.setdefault(member, []).append(key)
    for path in sorted(in_archives):
        yield from _read_archive(path, in_archives[path])


def _read_archive(
    path: Path, wanted: dict[tuple[str, int], list[_Key]]
) -> Iterator[tuple[_Key, bytes | tuple[str, str]]]:
    problem = ("unreadable", "no longer in its archive")
    met: Counter[str] = Counter()
    try:
        with contextlib.closing(archives.members(path)) as members:
            for member in members:
                if not member.is_file:
                    continue
                content: bytes | tuple[str, str]
                keys = wanted.get((member.name, met[member.name]), [])
                met[member.name] += 1
                if not keys:
                    continue
                try:
                    content = member.read()
                except archives.MemberError as error:
                    content = ("unreadable", str(error))
                del wanted[member.name, met[member.name] - 1]
                for key in keys:
                    yield key, content
                if not wanted:
                    return
    except archives.ERRORS as error:
        problem = ("unreadable", f"its archive is damaged: {error}")
    for keys in wanted.values():
        for key in keys:
            yield key, problem


def _list_archive(archive: File) -> tuple[File, list[File], list[File], Counter[str]]:
    """Lists an archive.

    Returns:
      The archive, with its problem where it is damaged, for then it is listed as far as
      it can be read; the videos in it; what else may hold some; counts of the rest.
    """
    others: Counter[str] = Counter()
    if archive.problem:
        return archive, [], [], others
    contents: dict[tuple[str, int], archives.Member] = {}  # files, by name and number
    links: dict[str, str] = {}
    met: Counter[str] = Counter()
    to_list: list[tuple[archives.Member, int]] = []
    try:
        for member in archives.members(archive.path):
            member = member._replace(read=bytes)  # its own holds the whole archive
            number = 0
            if member.is_file:
                number = met[member.name]
                met[member.name] += 1
                contents[member.name, number] = member
            elif member.link is not None:
                # Of several that it may lead to, as in joined archives, the one before.
                number = max(met[member.link] - 1, 0)
                links.setdefault(member.name, member.link)
            if re.search(r"(^|/)\.(?!\.(/|$))", member.name):
                others["dotfiles"] += 1
            elif _is_of_interest(member):
                to_list.append((member, number))
            else:
                others["other files in archives"] += 1
    except archives.ERRORS as error:
        archive = dataclasses.replace(archive, problem=("unreadable", str(error)))
    folders = {
        str(folder) for name, _ in contents for folder in PurePosixPath(name).parents
    }
    files: list[File] = []
    passed_over: list[File] = []
    names: set[str] = set()
    for member, number in to_list:
        target = member.name
        if member.link is not None:
            target = _target(member.link, links, met)
            number = number if target == member.link else 0
        content = contents.get((target, number))
        not_read: tuple[str, str] | None
        if _leads_out(member.name):
            not_read = "unsafe name", "it leads out of its archive"
        elif is_archive(member.name):
            not_read = "archive not read: in an archive", "unpack the outer one"
        elif member.name.lower().endswith(".csv"):
            not_read = TABLE_NOT_READ, "unpack the archive"
        elif _may_lead_to_a_folder(member):
            if target not in folders and not _leads_out(target):
                continue
            not_read = _NOT_FOLLOWED
        else:
            not_read = _not_read(member.name)
        problem: tuple[str, str] | None
        if content:
            problem = _size_problem(content.num_bytes)
        elif member.link is None:
            problem = "not a video", "not a regular file"
        else:
            where = "out of" if _leads_out(target) else "nowhere in"
            problem = "unreadable", f"a link that leads {where} its archive"
        content = content or member
        name = _numbered(member.name, names)
        names.add(name)
        file = File(
            root=archive.root,
            name=f"{archive.name}/{name}",
            num_bytes=content.num_bytes,
            modified=archive.modified if content.modified is None else content.modified,
            archive=archive.name,
            problem=not_read or _name_problem(name) or problem,
            member=(target, number) if (target, number) != (name, 0) else None,
        )
        (passed_over if not_read else files).append(file)
    return archive, files, passed_over, others


def _is_of_interest(member: archives.Member) -> bool:
    """Tells whether a member may be a video, or hold some."""
    return (
        PurePosixPath(member.name).suffix.lower() in SUFFIXES
        or is_archive(member.name)
        or member.name.lower().endswith(".csv")
        or _not_read(member.name) is not None
        or _may_lead_to_a_folder(member)
    )


def _may_lead_to_a_folder(member: archives.Member) -> bool:
    return member.link is not None and not PurePosixPath(member.name).suffix


def _leads_out(name: str) -> bool:
    return ".." in name.split("/")


def _target(name: str, links: dict[str, str], files: Container[str]) -> str:
    """Returns where a name in an archive leads to in the end, through links."""
    met = set()
    while name in links and name not in files and name not in met:
        met.add(name)
        name = links[name]
    return name


def _numbered(name: str, taken: Container[str]) -> str:
    """Returns a name, or `name (2).mp4` and so on where it is taken."""
    path = PurePosixPath(name)
    numbers = itertools.count(2)
    while name in taken:
        name = str(path.with_name(f"{path.stem} ({next(numbers)}){path.suffix}"))
    return name


def _not_read(name: str) -> tuple[str, str] | None:
    """Returns why a file is not read that may be a video or hold some; None if not."""
    stem, suffix = os.path.splitext(name.lower())
    inner = os.path.splitext(stem)[1]
    is_video = inner in SUFFIXES or inner in _OTHER_VIDEOS
    is_of_archive = is_archive(stem) or inner in _OTHER_ARCHIVES
    if suffix in SUFFIXES or is_archive(name):
        return None
    if _UNFINISHED.fullmatch(suffix) or (
        (is_video or is_of_archive) and _SET_ASIDE.fullmatch(suffix)
    ):
        return "unfinished download", "finish it, or remove it"
    if (is_of_archive and _VOLUME.fullmatch(suffix)) or _OLD_VOLUME.fullmatch(suffix):
        return "archive not read: in parts", "put the parts together"
    if suffix in _COMPRESSED and inner in TABLE_SUFFIXES:
        return TABLE_NOT_READ, "unpack it"
    if suffix in _COMPRESSED and (is_video or inner in ("", ".tar")):
        return f"archive not read: {inner}{suffix}", "unpack it"
    if suffix in _OTHER_ARCHIVES:
        return f"archive not read: {suffix}", "unpack it"
    if suffix in _OTHER_VIDEOS:
        return f"format not read: {suffix}", "convert it, as by ffmpeg -i OLD NEW.mp4"
    # `wget` names so what it gets again, and file managers what they copy.
    if more := _MORE.fullmatch(name.lower()):
        inner = os.path.splitext(more[1])[1]
        if inner in SUFFIXES or is_archive(more[1]):
            return f"format not read: more behind {inner}", "rename it"
    return None


def _starts_like_a_video(entry: os.DirEntry[str]) -> bool:
    try:
        if entry.is_file():  # opening a pipe would wait for ever
            with open(entry.path, "rb") as file:
                return _STARTS.match(file.read(200)) is not None
    except OSError as error:
        _log.warning("%s: passed over: %s", as_utf8(in_utf8(entry.path)), error)
    return False


def _name(file: File) -> str:
    return file.name


class _Walk:
    """Collects what lies below folders; passes over all that starts with a dot.

    Attributes:
      entries: All that are no folders.
      folders: Paths of those that it went into.
      links: Paths of links to folders, which it does not follow.
      others: Counts of the rest.

    Args:
      bar: Counts the entries, but for archives, which are still to be read.
    """

    def __init__(self, bar: progress.Bar):
        self._bar = bar
        self.entries: list[os.DirEntry[str]] = []
        self.folders: list[str] = []
        self.links: list[str] = []
        self.others: Counter[str] = Counter()

    def into(self, folder: str | Path) -> None:
        self.folders.append(str(folder))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    self.others["dotfiles"] += 1
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
    entry: os.DirEntry[str], inside: Iterable[Path]
) -> tuple[int, int, tuple[str, str] | None]:
    """Returns size, time of modification, and problem of a directory's entry."""
    problem = None
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
