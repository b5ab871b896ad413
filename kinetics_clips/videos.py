"""Finds the file of every annotated video; says what is missing or unmatched."""

import dataclasses
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kinetics_clips import annotations
from kinetics_clips.annotations import SPLITS, Annotation

_log = logging.getLogger(__name__)

FOLDER = "folder"  # the release that is no release: a tree of class folders

SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg",
    ".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf", ".ogv",
})  # fmt: skip

_LAYOUTS = {
    FOLDER: """\
  <manual_dir>/
    train/<class>/<video>.mp4
    val/<class>/<video>.mp4    (or validation/)
    test/<class>/<video>.mp4   any of the three splits, any class names""",
    "kinetics": """\
  <manual_dir>/
    annotations/train.csv  val.csv  test.csv
    train/  val/  test/        any of the three, with videos anywhere below that are
                               named <youtube_id>_<start>_<end>.mp4, times as six
                               digits: 0wR5jVB-WPk_000417_000427.mp4""",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """An annotated video and its file.

    Attributes:
      annotation: What it shows.
      path: The file; None when there is none.
      filename: The file below the root, with `/`; empty when there is none. Bytes that
        are not UTF-8 are written as `\\xNN`.
      problem: `(reason, detail)` of what is wrong with it before it is opened, in the
        words of `frames.VideoError`, or None.
    """

    annotation: Annotation
    path: Path | None
    filename: str
    problem: tuple[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Split:
    """What was found of one split.

    Attributes:
      name: `train`, `validation` or `test`.
      videos: Every annotated video, in the order of a hash of its id, so that any
        prefix is a fair sample of classes.
      unmatched: Filenames below the root that no annotation names.
    """

    name: str
    videos: list[Video]
    unmatched: list[str]


class Found(NamedTuple):
    """Class names in the order of their ids, and the splits that have a folder."""

    class_names: list[str]
    splits: list[Split]


@dataclasses.dataclass(frozen=True)
class _File:
    path: Path
    relative: PurePosixPath  # below the split's folder
    filename: str  # below the root, in UTF-8
    problem: tuple[str, str] | None


def layout(release: str) -> str:
    """Returns the tree that a release's `manual_dir` must have, for a person."""
    return _LAYOUTS[FOLDER if release == FOLDER else "kinetics"]


def find(root: Path, release: str) -> Found:
    """Finds all videos of a release below a directory, without opening any.

    Args:
      root: The directory, laid out as `layout(release)` shows.
      release: `folder`, or a Kinetics release whose class names ship with the package.

    Returns:
      The class names: the release's, or those of the class folders of all splits
      together, sorted. The splits that have a folder: train, validation, test.

    Raises:
      ValueError: If there is no split folder, a split folder has no CSV, not one
        annotated video is found in one, or a class folder's name cannot be kept.
    """
    folders = {
        split: folder
        for split, names in SPLITS.items()
        if (folder := _one_of(root, names, Path.is_dir, "folder"))
    }
    if not folders:
        raise ValueError(
            f"{root} must have a folder for at least one split, got "
            f"{_listing(root)}.\nExpected:\n{layout(release)}"
        )
    if release == FOLDER:
        names = sorted(set().union(*map(_class_folders, folders.values())))
        return Found(names, [_find_folder(root, *item) for item in folders.items()])
    names = annotations.class_names(release)
    return Found(names, _find_kinetics(root, release, folders, names))


def as_utf8(name: str) -> str:
    """Returns a file name as valid UTF-8; bytes that are not become `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _class_folders(folder: Path) -> list[str]:
    names = [
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.is_symlink() and entry.name[0] != "."
    ]
    for name in names:
        annotations.check_class_name(name, folder)
    return names


def _find_folder(root: Path, split: str, folder: Path) -> Split:
    videos: dict[str, Video] = {}
    unmatched = []
    for file in _list_files(root, folder):
        annotation = annotations.from_class_folder(split, file.relative)
        if annotation is None or annotation.video_id in videos:
            unmatched.append(file)
        else:
            videos[annotation.video_id] = _video(annotation, file)
    return _split(FOLDER, split, folder, list(videos.values()), unmatched)


def _find_kinetics(
    root: Path, release: str, folders: dict[str, Path], names: list[str]
) -> list[Split]:
    tables = {
        split: table
        for split, stems in SPLITS.items()
        if (
            table := _one_of(
                root / "annotations",
                [f"{stem}.csv" for stem in stems],
                Path.is_file,
                "CSV",
            )
        )
    }
    for split in folders:
        if split not in tables:
            expected = root / "annotations" / f"{SPLITS[split][0]}.csv"
            raise ValueError(
                f"{folders[split]} must have its annotations in {expected}, got "
                f"{_listing(expected.parent)} there. Put the release's CSV of the "
                f"{split} split there, under that name."
                f"\nExpected:\n{layout(release)}"
            )
    unused = [str(table) for split, table in tables.items() if split not in folders]
    if unused:
        _log.warning(
            "Passed over for want of a folder with videos: %s", ", ".join(unused)
        )
    splits = []
    for split, folder in folders.items():
        annotated = annotations.read_csv(tables[split], split, names)
        files: dict[str, _File] = {}
        ids = {annotation.video_id for annotation in annotated}
        unmatched = []
        for file in _list_files(root, folder):
            video_id = file.relative.stem
            if video_id in ids and video_id not in files:
                files[video_id] = file
            else:
                unmatched.append(file)
        videos = [_video(one, files.get(one.video_id)) for one in annotated]
        splits.append(_split(release, split, folder, videos, unmatched))
    return splits


def _video(annotation: Annotation, file: _File | None) -> Video:
    if file is None:
        return Video(annotation, None, "", ("missing", "no file of that name"))
    return Video(annotation, file.path, file.filename, file.problem)


def _split(
    release: str,
    name: str,
    folder: Path,
    videos: list[Video],
    unmatched: list[_File],
) -> Split:
    """Orders what was found, and logs it."""
    num_found = sum(video.path is not None for video in videos)
    if not num_found:
        raise ValueError(
            f"{folder} must hold at least one annotated video, got "
            f"{len(videos)} annotations and {len(unmatched)} other video files"
            f"{_first(file.filename for file in unmatched)}; it holds "
            f"{_listing(folder)}.\nExpected, with videos that end in "
            f"{', '.join(sorted(SUFFIXES))}:\n{layout(release)}"
        )
    _log.info("%s: %d of %d annotated videos found", name, num_found, len(videos))
    num_missing = len(videos) - num_found
    if num_missing:
        _log.warning(
            "%s: %d of %d annotated videos have no file%s",
            name,
            num_missing,
            len(videos),
            _first(v.annotation.video_id for v in videos if v.path is None),
        )
    if unmatched:
        _log.warning(
            "%s: %d video files are passed over, because no annotation names them or "
            "another file has the same id%s",
            name,
            len(unmatched),
            _first(file.filename for file in unmatched),
        )
    return Split(
        name=name,
        videos=sorted(videos, key=lambda video: _hash(video.annotation.video_id)),
        unmatched=[file.filename for file in unmatched],
    )


def _list_files(root: Path, folder: Path) -> list[_File]:
    """Lists the video files below a split's folder, sorted; counts the others.

    Links to folders are not followed, nor are links to files out of the tree.
    """
    inside = (root.resolve(), folder.resolve())
    files: list[_File] = []
    num_dotfiles = 0
    others: Counter[str] = Counter()
    linked: list[str] = []
    for directory, subdirectories, names in os.walk(folder, onerror=_raise):
        num_dotfiles += sum(name.startswith(".") for name in subdirectories)
        subdirectories[:] = sorted(s for s in subdirectories if s[0] != ".")
        here = Path(directory)
        linked += [str(here / s) for s in subdirectories if (here / s).is_symlink()]
        for name in sorted(names):
            path = here / name
            if name.startswith("."):
                num_dotfiles += 1
            elif path.suffix.lower() not in SUFFIXES:
                others[path.suffix.lower() or "no suffix"] += 1
            else:
                files.append(
                    _File(
                        path=path,
                        relative=PurePosixPath(path.relative_to(folder)),
                        filename=as_utf8(path.relative_to(root).as_posix()),
                        problem=_problem(path, inside),
                    )
                )
    if num_dotfiles:
        _log.info("%s: %d dotfiles passed over", folder, num_dotfiles)
    if others:
        counts = ", ".join(f"{count} {as_utf8(s)}" for s, count in others.most_common())
        _log.info("%s: files not named like videos passed over: %s", folder, counts)
    if linked:
        _log.warning(
            "%s: %d links to folders are not followed%s",
            folder,
            len(linked),
            _first(map(as_utf8, linked)),
        )
    return files


def _problem(path: Path, inside: tuple[Path, ...]) -> tuple[str, str] | None:
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return "unreadable name", "the name is not UTF-8"
    if path.is_symlink():
        try:
            target = path.resolve()
        except (OSError, RuntimeError):  # RuntimeError: it leads to itself
            return "unreadable", "a link that leads nowhere"
        if not any(target.is_relative_to(directory) for directory in inside):
            return "unreadable", "a link that leads out of the directory"
    return None


def _one_of(directory: Path, names: Iterable[str], exists, kind: str) -> Path | None:
    found = [path for name in names if exists(path := directory / name)]
    if len(found) > 1:
        raise ValueError(
            f"{directory} must have one {kind} a split, got "
            f"{' and '.join(path.name for path in found)}. Merge or rename them."
        )
    return found[0] if found else None


def _listing(directory: Path) -> str:
    if not directory.is_dir():
        return "no such directory"
    names = sorted(
        as_utf8(entry.name)
        + ("/" if entry.is_dir() else "")
        + (" (a link)" if entry.is_symlink() else "")
        for entry in directory.iterdir()
    )
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "nothing"


def _first(names: Iterable[str], count: int = 3) -> str:
    """Returns `: a, b, c, ...`, or nothing where there are no names."""
    names = list(names)
    if not names:
        return ""
    return ": " + ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _hash(video_id: str) -> bytes:
    return hashlib.blake2b(video_id.encode("utf-8", "surrogateescape")).digest()


def _raise(error: OSError) -> None:
    raise error
