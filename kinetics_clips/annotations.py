"""Reads what a video shows: from a Kinetics CSV, or from a tree of class folders."""

import csv
import dataclasses
import importlib.resources
import logging
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_log = logging.getLogger(__name__)

# TFDS's names of the splits, and the names under which releases ship them.
SPLITS = {
    "train": ("train",),
    "validation": ("val", "validation", "validate", "valid"),
    "test": ("test",),
}

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")


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


def class_names(release: str) -> list[str]:
    """Returns the class names of a release, in the order of their official ids.

    The lists are the label sets of the CSVs that DeepMind publishes at
    https://github.com/google-deepmind/kinetics-i3d and
    https://research.google/pubs/the-kinetics-human-action-video-dataset/, sorted.

    Args:
      release: `k400`, `k600` or `k700`.
    """
    source = importlib.resources.files("kinetics_clips") / "labels" / f"{release}.txt"
    return source.read_text(encoding="utf-8").splitlines()


def read_csv(path: Path, split: str, names: Sequence[str]) -> list[Annotation]:
    """Reads one annotation file of a Kinetics release, by the names in its header.

    Args:
      path: A CSV with the columns `youtube_id`, `time_start`, `time_end` and, but for
        the test split, `label`; others are passed over.
      split: The split that its rows belong to. No label is needed in `test`.
      names: The release's class names.

    Returns:
      One annotation a video, in the file's order. A video that is annotated twice
      keeps its first row, with a warning.

    Raises:
      ValueError: If a column is missing or a row cannot be understood; names the file
        and the line.
    """
    names = frozenset(names)
    annotations: dict[str, Annotation] = {}
    num_repeated = 0
    # UTF-8 with or without a byte order mark.
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        try:
            columns = rows.fieldnames or []
            needed = ("youtube_id", "time_start", "time_end")
            for column in needed if split == "test" else ("label", *needed):
                if column not in columns:
                    raise ValueError(
                        f"{path} must have a column {column!r}, got "
                        f"{', '.join(columns) or 'an empty file'}. Use the official "
                        "Kinetics CSV of this split."
                    )
            for row in rows:
                annotation = _parse_row(row, split, names)
                num_repeated += annotation.video_id in annotations
                annotations.setdefault(annotation.video_id, annotation)
        except UnicodeDecodeError as error:  # met a block ahead of the line
            raise ValueError(f"{path} must be UTF-8 text: {error}.") from error
        except (csv.Error, _RowError) as error:
            raise ValueError(f"{path}, line {rows.line_num}: {error}") from error
    if num_repeated:
        _log.warning(
            "%s annotates %d videos more than once; the first row of each counts.",
            path,
            num_repeated,
        )
    return list(annotations.values())


class _RowError(ValueError):
    """A row that cannot be understood; `read_csv` adds file and line."""


def _parse_row(row: dict, split: str, names: frozenset[str]) -> Annotation:
    youtube_id = row["youtube_id"] or ""
    if not _YOUTUBE_ID.fullmatch(youtube_id):
        raise _RowError(
            "youtube_id must be 11 letters, digits, '-' or '_', "
            f"got {youtube_id[:40]!r}."
        )
    start, end = (_seconds(row, column) for column in ("time_start", "time_end"))
    label = row.get("label") or None
    if label is None and split != "test":
        raise _RowError("label must not be empty but in the test split.")
    if label is not None and label not in names:
        raise _RowError(
            f"label must be one of the release's {len(names)} class names, got "
            f"{label[:80]!r}. Is this the CSV of another release?"
        )
    return Annotation(split, f"{youtube_id}_{start:06d}_{end:06d}", label)


def _seconds(row: dict, column: str) -> int:
    try:
        return int(float(row[column]))  # copies in the wild say 10.0 as well as 10
    except (TypeError, ValueError, OverflowError):
        raise _RowError(
            f"{column} must be a number of seconds, got {row[column]!r}."
        ) from None


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
        video_id=str(relative_path.with_suffix("")),
        label=relative_path.parts[0],
    )


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
