"""Reads what a video shows: from Kinetics CSVs, and from the names of folders."""

import dataclasses
import importlib.resources
import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kinetics_clips.write import releases, tables

_log = logging.getLogger(__name__)

# TFDS's names of the splits, and the names under which releases ship them.
SPLITS = {
    "train": ("train",),
    "validation": ("val", "validation", "validate", "valid"),
    "test": ("test",),
}
SPLIT_OF_WORD = {word: split for split, words in SPLITS.items() for word in words}

_REQUIRED = ("youtube_id", "time_start", "time_end")

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
# A row without a header, in any dialect: an id, and two times behind it.
_ROW = re.compile(
    rf"(?m)(?:^|\W){_YOUTUBE_ID.pattern}\W{{1,3}}\d+\S{{0,4}}\W{{1,3}}\d+"
)

_MAX_SHOWN = 10  # bad rows in an error

_SECONDS = r"_([0-9]{1,6})(?:\.[0-9]*)?"
_STEM = re.compile(f"({_YOUTUBE_ID.pattern})(?:{_SECONDS}{_SECONDS})?")


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """What is known of a video before it is opened.

    Attributes:
      split: `train`, `validation` or `test`.
      video_id: Unique in its split: `<youtube_id>_<start:06d>_<end:06d>`, or the path
        below the split without its suffix for a tree of class folders.
      label: The class's name; None where the release publishes none.
    """

    split: str
    video_id: str
    label: str | None


class Labels:
    """The class names of a release, found however they are spelled.

    Folders and files of Kinetics copies spell them with blanks or underscores, with
    parentheses or without; letters and digits alone tell all names of a release apart.

    Attributes:
      names: Names of the classes, in the order of their official ids.
    """

    def __init__(self, names: Iterable[str]):
        self.names = list(names)
        self._by_letters = {_letters(name): name for name in self.names}

    def find(self, text: str) -> str | None:
        """Returns the official name of a class, or None."""
        return self._by_letters.get(_letters(text))


def labels_of(release: str) -> Labels:
    """Returns the class names of a release, in the order of their official ids.

    The lists are the label sets of the CSVs that DeepMind publishes at
    https://github.com/google-deepmind/kinetics-i3d and
    https://research.google/pubs/the-kinetics-human-action-video-dataset/, sorted.

    Args:
      release: `k400`, `k600`, `k700`, or `k700_2020`, which has the classes of `k700`.
    """
    labels = importlib.resources.files("kinetics_clips.write") / "labels"
    source = labels / releases.CLASSES[release]
    return Labels(source.read_text(encoding="utf-8").splitlines())


def split_of(text: str) -> str | None:
    """Returns the split that a folder's, a file's or a column's text names, or None.

    `train`, `videos_val`, `kinetics-400_val` and `k700_train_001` name one;
    `trainval` and `train_val` name none.
    """
    words = re.findall("[a-z]+", text.lower())
    splits = {SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD}
    return splits.pop() if len(splits) == 1 else None


def parse_stem(stem: str) -> tuple[str, str | None] | None:
    """Reads the name of a Kinetics video's file, without its suffix.

    Returns:
      The YouTube id, and the video id where the name has the times:
      `<youtube_id>_<start>_<end>`; None for any other name.
    """
    match = _STEM.fullmatch(stem)
    if match is None:
        return None
    youtube_id, start, end = match.groups()
    return youtube_id, start and video_id_of(youtube_id, int(start), int(end))


def video_id_of(youtube_id: str, start: int, end: int) -> str:
    """Returns the id of a video that shows a YouTube video from `start` to `end` s."""
    return f"{youtube_id}_{start:06d}_{end:06d}"


class BadRow(NamedTuple):
    """A row that cannot be understood.

    Attributes:
      path: The table.
      line: Number of the row's last line, from 1 on.
      split: The split that the file's name tells, or None.
      problem: What must hold, and what was got.
    """

    path: Path
    line: int
    split: str | None
    problem: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.problem}"


def is_table(path: Path) -> bool:
    """Tells whether a table has the columns of Kinetics annotations."""
    try:
        return set(_REQUIRED) <= set(tables.columns(path, _REQUIRED))
    except ValueError:  # in no encoding
        return False


def looks_like_table(path: Path) -> bool:
    """Tells whether a file that is no such table may have been meant for one."""
    start = tables.start(path)
    words = re.findall("[a-z]+", start.lower())
    return "youtube" in words or _ROW.search(start) is not None


def read_csv(path: Path, labels: Labels) -> tuple[list[Annotation], list[BadRow]]:
    """Reads one annotation file of a Kinetics release, by the names in its header.

    The split of a row is what its column `split` or else the file's name says.

    Args:
      path: A table with the columns `youtube_id`, `time_start`, `time_end` and, but for
        the test split, `label`; others are passed over. In any dialect that `tables`
        understands.
      labels: The release's class names.

    Returns:
      One annotation a row, in the file's order, without those of the bad rows; and
      these.

    Raises:
      ValueError: If a column is missing or there twice, or the file is no text; names
        the file.
    """
    found = tables.columns(path, _REQUIRED)
    for column in _REQUIRED:
        if column not in found:
            raise ValueError(
                f"{path} must have a column {column!r}, got "
                f"{_shown(', '.join(found)) or 'an empty file'}. Use the "
                "official Kinetics CSV of this split."
            )
    for column in (*_REQUIRED, "label", "split"):
        if found.count(column) > 1:
            raise ValueError(
                f"{path}, line 1: each column must be there once, got {column!r} "
                f"{found.count(column)} times."
            )
    split = split_of(path.stem)
    annotated: list[Annotation] = []
    bad: list[BadRow] = []
    for line, row in tables.rows(path, _REQUIRED):
        try:
            annotated.append(_parse_row(row, split, labels))
        except _RowError as error:
            bad.append(BadRow(path, line, split, str(error)))
    return annotated, bad


def require_no_bad_rows(bad: Sequence[BadRow]) -> None:
    """Raises ValueError that shows the first bad rows, and says how many there are."""
    if not bad:
        return
    rows = "row" if len(bad) == 1 else f"{len(bad):,} rows"
    more = f"\n... and {len(bad) - _MAX_SHOWN:,} more" if len(bad) > _MAX_SHOWN else ""
    raise ValueError(
        "\n".join(map(str, bad[:_MAX_SHOWN]))
        + f"{more}\nMend the {rows}, or go on without: --skip-bad-rows, or "
        "Builder(skip_bad_rows=True)."
    )


class _RowError(ValueError):
    """A row that cannot be understood; `read_csv` adds file and line."""


def _parse_row(row: dict, split_of_file: str | None, labels: Labels) -> Annotation:
    split = split_of(row.get("split") or "") or split_of_file
    if split is None:
        raise _RowError(
            "the split must be told by the file's name, such as train.csv, or by a "
            f"column 'split', got {_shown(row.get('split'))!r}."
        )
    if split_of_file not in (None, split):
        raise _RowError(
            f"split must be {split_of_file!r} as the file's name says, got "
            f"{_shown(row['split'])!r}. Is this the CSV of another split?"
        )
    youtube_id = row["youtube_id"] or ""
    if not _YOUTUBE_ID.fullmatch(youtube_id):
        hint = ""
        if youtube_id.startswith("#") or len(youtube_id) == 10:
            hint = " A spreadsheet may have changed it: use the original file."
        raise _RowError(
            "youtube_id must be 11 letters, digits, '-' or '_', "
            f"got {_shown(youtube_id)!r}.{hint}"
        )
    start, end = (_seconds(row, column) for column in ("time_start", "time_end"))
    text = row.get("label") or ""
    label = labels.find(text)
    if not text and split != "test":
        raise _RowError("label must not be empty but in the test split.")
    if text and label is None:
        raise _RowError(
            f"label must be one of the release's {len(labels.names)} class names, got "
            f"{_shown(text)!r}. Is this the CSV of another release?"
        )
    return Annotation(split, video_id_of(youtube_id, start, end), label)


def _shown(text: str | None) -> str | None:
    """Returns as much of a text, which may be of any length, as an error can show."""
    return text and text[:80]


def _seconds(row: dict, column: str) -> int:
    try:
        # Copies say 10.0 as well as 10, and 10,0 where that is the decimal point.
        seconds = int(float((row[column] or "").replace(",", ".")))
    except (TypeError, ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds < 1_000_000:
        raise _RowError(
            f"{column} must be a number of seconds, got {_shown(row[column])!r}."
        )
    return seconds


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]+", "", name.lower())


def from_class_folder(split: str, relative_path: PurePosixPath) -> Annotation | None:
    """Reads the annotation of a video off its place in a tree of class folders.

    Args:
      split: The split's name.
      relative_path: `<label>/<video>` below the split's folder; folders between the
        two are part of the id.

    Returns:
      The annotation, or None for a file that lies in no class folder.
    """
    if len(relative_path.parts) < 2:
        return None
    return Annotation(
        split=split,
        video_id=video_id_of_path(relative_path),
        label=class_name(relative_path.parts[0]),
    )


def video_id_of_path(path: PurePosixPath) -> str:
    """Returns a path without its suffix, composed as `class_name` is."""
    return unicodedata.normalize("NFC", str(path.with_suffix("")))


def class_name(folder: str) -> str:
    """Returns the class that a folder is of: its name, with composed characters (NFC).

    File systems spell `é` as one character or as two, and nobody sees which.
    """
    return unicodedata.normalize("NFC", folder)


def check_class_name(name: str, folder: Path) -> None:
    """Raises ValueError for a class folder whose name TFDS would not read back.

    TFDS keeps class names in a text file, one a line, and strips them when it reads.
    """
    printable = "".join(name.split()) and name.splitlines() == [name]
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        printable = False
    if not printable or name != name.strip():
        raise ValueError(
            "A class folder's name must be UTF-8 on one line, without blanks at its "
            f"ends, got {name!r} in {folder}. Rename the folder."
        )
    if not name.isprintable():
        _log.warning(
            "%s: the name of class %r has characters that are not seen", folder, name
        )


def check_class_names_differ(places: dict[str, str], folder: Path) -> None:
    """Raises ValueError where a person would take two class names for one.

    Those are names that only case, blanks and underscores, or characters that look
    alike, tell apart.

    Args:
      places: Class name -> a folder or a file in which it has been found.
      folder: The directory that holds them all.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(places):
        alike[_as_seen(name)].append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    if groups:
        shown = "; ".join(
            " and ".join(f"{name!r} ({places[name]})" for name in names)
            for names in groups[:10]
        )
        raise ValueError(
            "Class names must differ by more than case, blanks and underscores, got "
            f"{len(groups)} that do not in {folder}: {shown}. Give all folders of one "
            "class one name, in every split, and different classes different names."
        )


def _as_seen(name: str) -> str:
    folded = unicodedata.normalize(
        "NFKC", unicodedata.normalize("NFKC", name).casefold()
    )
    seen = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    return re.sub(r"[\s_]+", " ", seen)
