"""Keeps what became of every video: `build_report.csv` and its totals."""

import csv
import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kinetics_clips.write.annotations import SPLITS
from kinetics_clips.write.sources import as_utf8
from kinetics_clips.write.videos import NO_SPLIT, Found, Video

if TYPE_CHECKING:  # importing it brings OpenCV, which readers do not need
    from kinetics_clips.write.frames import EncodedVideo

_log = logging.getLogger(__name__)

FILENAME = "build_report.csv"

STORED, FOUND, FAILED, UNMATCHED = "stored", "found", "failed", "unmatched"
TRUNCATED = "truncated"

NO_ANNOTATION = "no annotation"  # for a person, where the reason is empty

_MAX_REASONS = 3  # that are named in a line

# Of the columns that are no text.
_KINDS = {
    "num_frames": int,
    "height": int,
    "width": int,
    "fps": float,
    "bytes": int,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One annotated video, or one video file that no annotation names.

    Attributes:
      split: `train`, `validation` or `test`; empty for a file that belongs to none.
      video_id: Empty for an unmatched file.
      label: The class's name; empty where there is none.
      filename: Path of the source file below the root; empty for a missing file.
      status: `stored`, `failed` or `unmatched`; `found` before it is decoded.
      reason: Why it failed or is passed over, or `truncated` for a stored video that
        decoded to under 95 % of the frames that its header promises.
      detail: The reason in more words, as the log has them; may be empty.
      num_frames: Number of stored frames; empty where there are none.
      height: Height of a stored frame, in pixels.
      width: Width of a stored frame, in pixels.
      fps: Stored frames per second.
      bytes: Size of all stored JPEGs together, in bytes.
      notes: What a person should know of a stored video, separated by `; `.
    """

    split: str
    video_id: str
    label: str
    filename: str
    status: str
    reason: str = ""
    detail: str = ""
    num_frames: int | str = ""
    height: int | str = ""
    width: int | str = ""
    fps: float | str = ""
    bytes: int | str = ""
    notes: str = ""


def stored(video: Video, encoded: "EncodedVideo") -> Row:
    """Returns the row of a stored video."""
    return Row(
        *_names(video),
        status=STORED,
        reason=TRUNCATED if encoded.truncated else "",
        num_frames=encoded.num_frames,
        height=encoded.height,
        width=encoded.width,
        fps=round(encoded.fps, 3),
        bytes=encoded.num_bytes,
        notes="; ".join((*video.notes, *encoded.notes)),
    )


def undecoded(video: Video) -> Row:
    """Returns the row of a video that nobody has decoded yet."""
    if video.problem:
        return failed(video, *video.problem)
    return Row(*_names(video), status=FOUND)


def failed(video: Video, reason: str, detail: str) -> Row:
    """Returns the row of a video that could not be stored."""
    return Row(*_names(video), status=FAILED, reason=reason, detail=as_utf8(detail))


def unmatched(found: Found) -> list[Row]:
    """Returns a row for every file that is passed over."""
    return [
        Row(split, "", "", name, UNMATCHED, reason=reason, detail=as_utf8(detail))
        for split, files in [
            *((split.name, split.unmatched) for split in found.splits),
            (NO_SPLIT, found.unmatched),
        ]
        for name, (reason, detail) in files.items()
    ]


def write(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Writes rows as a CSV with a header, UTF-8."""
    names = [field.name for field in dataclasses.fields(Row)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)


def read(path: str | os.PathLike[str]) -> list[Row]:
    """Reads rows that `write` has written; their order stays.

    Raises:
      ValueError: If it is no such file.
      OSError: If it cannot be read.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [
                Row(
                    **{
                        name: _KINDS[name](value) if name in _KINDS and value else value
                        for name, value in row.items()
                    }
                )
                for row in csv.DictReader(file)
            ]
    except (csv.Error, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be the report of a build, as it was written, got: {error}. "
            "Restore it, or build the dataset again."
        ) from error


def finish(directory: Path, rows: list[Row]) -> None:
    """Sorts the rows of a build, writes them into a directory, and logs their totals.

    Raises:
      OSError: If they cannot be written.
    """
    order = [*SPLITS, NO_SPLIT]
    rows.sort(key=lambda row: (order.index(row.split), row.filename, row.video_id))
    write(directory / FILENAME, rows)
    for line in summary(rows).splitlines():
        _log.info("%s", line)


def log_failure(row: Row) -> None:
    """Logs a video that is not stored, by name."""
    _log.log(
        # `videos.find` has summed up the missing ones, of which there may be thousands.
        logging.WARNING if row.filename else logging.DEBUG,
        "%s: %s: %s (%s)",
        row.split,
        row.filename or row.video_id,
        row.reason,
        row.detail,
    )


def totals(rows: Iterable[Row]) -> dict[str, dict]:
    """Counts videos by split: `{split: {status: count, reasons: {reason: count}}}`."""
    counts: dict[str, dict] = {}
    for row in rows:
        split = counts.setdefault(
            row.split, {STORED: 0, FAILED: 0, UNMATCHED: 0, "reasons": Counter()}
        )
        split[row.status] += 1
        if row.reason:
            split["reasons"][row.reason] += 1
    for split in counts.values():
        split["reasons"] = dict(split["reasons"])
    return counts


def why_most_failed(rows: Iterable[Row], of: str = "") -> str:
    """Says how many video files failed, and for what, where that is most of them.

    Args:
      rows: The rows of all videos; those without a file do not count.
      of: What the videos are a part of, as in ` of the sample`.

    Returns:
      Some words without a full stop; none where at least half are stored.
    """
    tried = [row for row in rows if row.filename and row.status in (STORED, FAILED)]
    failed = [row for row in tried if row.status == FAILED]
    if len(failed) <= len(tried) / 2:
        return ""
    reasons = Counter(row.reason for row in failed)
    words = []
    for reason, number in reasons.most_common(_MAX_REASONS):
        same = [row for row in failed if row.reason == reason]
        name = "" if len(reasons) == 1 else f"{number:,} "
        details = {row.detail for row in same}
        example = same[0].detail
        if len(details) > 1:
            example = f"{same[0].filename}: {example}; others alike"
        words.append(f"{name}{reason}" + (f" ({example})" if example else ""))
    if len(reasons) > _MAX_REASONS:
        words.append("and others")
    count = f"{len(failed):,} of {len(tried):,} videos"
    if len(failed) == len(tried):
        count = f"All {len(tried):,} videos" if len(tried) > 1 else "The only video"
    return f"{count}{of} failed: {', '.join(words)}"


def nothing_stored(rows: Iterable[Row], of: str = "") -> ValueError:
    """Returns the error of a build of which no video can be stored."""
    rows = list(rows)
    why = why_most_failed(rows, of)
    return ValueError(
        (f"{why}. " if why else "")
        + "`manual_dir` must hold at least one video that can be stored, got "
        f"{'; '.join(_totals_in_words(rows))}. The log above names them."
    )


def summary(rows: Iterable[Row]) -> str:
    """Returns the totals for a person, a line a split; first why most failed, if so."""
    rows = list(rows)
    return "\n".join(filter(None, [why_most_failed(rows), *_totals_in_words(rows)]))


def _totals_in_words(rows: Iterable[Row]) -> Iterator[str]:
    by_split: dict[str, list[Row]] = {}
    for row in rows:
        by_split.setdefault(row.split, []).append(row)
    for split, mine in by_split.items():
        counts = ", ".join(
            _count_in_words([row for row in mine if row.status == status], status)
            for status in (STORED, FAILED, UNMATCHED)
        )
        yield f"{split or 'no split'}: {counts}"


def _count_in_words(rows: Sequence[Row], status: str) -> str:
    """Returns how many rows of a status there are, and for what reasons."""
    nameless = "" if status == STORED else NO_ANNOTATION
    reasons = Counter(row.reason or nameless for row in rows)
    listed = ", ".join(f"{n:,} {reason}" for reason, n in reasons.items() if reason)
    if listed and status == STORED:
        listed = f"of which {listed}"
    return f"{len(rows):,} {status}" + (f" ({listed})" if listed else "")


def _names(video: Video) -> tuple[str, str, str, str]:
    annotation = video.annotation
    return (
        annotation.split,
        as_utf8(annotation.video_id),
        annotation.label or "",
        video.filename,
    )
