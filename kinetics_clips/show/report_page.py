"""Shows a build's report as a page: whether it is fit to train on, what is in it."""

import base64
import dataclasses
import io
import logging
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from kinetics_clips import files, wording
from kinetics_clips.read import draw
from kinetics_clips.read.encoded_frames import EncodedFrames
from kinetics_clips.store import datasets, frame_index, index_format
from kinetics_clips.write import annotations, check, report, sources
from kinetics_clips.write.report import Row
from kinetics_clips.write.videos import BAD_ROW

_log = logging.getLogger(__name__)

FILENAME = "build_report.html"

GOOD, LOOK, BAD = "good", "look", "bad"
NOTE = "note"  # neither good nor bad, and of no weight in the verdict

_VERDICTS = {
    GOOD: "Fit to train on",
    LOOK: "Fit to train on, but look at what is marked",
    BAD: "Not fit to train on yet",
}

# Shares of what is annotated, or of what is stored, from which on a check says so.
_FEW_STORED, _FAR_TOO_FEW_STORED = 0.95, 0.5
_MANY = 0.01
_MANY_SHORT = 0.05
_SHORT = 64  # frames: those of a clip, by default
_SMALL_CLASS = 0.25  # of the median class

_TRAIN = "train"

# Reasons of videos that were never candidates for a place among `max_videos`.
_NOT_TAKEN = ("missing", "empty")

# What None means of a config's value.
_OF_NONE = {"short_side": "as it is", "fps": "every frame", "max_videos": "all"}

_MAX_NAMES = 5
_MAX_CLASSES = 12
_MAX_CATEGORIES = 8
_NUM_BINS = 24
_NUM_THUMBNAILS = 12
_THUMBNAIL_HEIGHT = 128


class Check(NamedTuple):
    """Something that a dataset should be: how far it is, and in what words."""

    level: str
    text: str


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar of a plot; its length is a share of the longest one's."""

    label: str
    count: int
    length: float


class Plot(NamedTuple):
    """A histogram: `bars` from `low` to `high`, or a category each.

    What its bars count is a `one`, or `several` of them.
    """

    title: str
    bars: list[Bar]
    low: str = ""
    middle: str = ""
    high: str = ""
    one: str = "video"
    several: str = "videos"


def write(builder: tfds.core.DatasetBuilder, rows: Sequence[Row]) -> Path:
    """Writes the page into the directory of a dataset.

    Args:
      builder: The builder of the dataset.
      rows: The rows of its report.

    Returns:
      The file: HTML that needs nothing else, neither a network nor a script.

    Raises:
      OSError: If it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kinetics_clips.show"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["size"] = check.size
    environment.filters["number"] = lambda n: f"{n:,}"
    environment.filters["count"] = wording.count
    page = environment.get_template("build_report.html").render(
        _contents(builder, rows)
    )
    path = Path(builder.data_path) / FILENAME
    with files.open_new(path) as file:
        # The directory that was built from may have a name that is no text here.
        file.write(page.encode("utf-8", "surrogateescape"))
    return path


def write_if_possible(builder: tfds.core.DatasetBuilder, rows: Sequence[Row]) -> None:
    """Writes the page, or logs why it cannot be written: the dataset is complete."""
    try:
        write(builder, rows)
    except Exception as error:  # days of building do not end for want of a page
        _log.warning(
            "%s was not written; the dataset is complete without. Try "
            "`kinetics-clips report`. The reason: %r",
            FILENAME,
            error,
            exc_info=not isinstance(error, OSError),
        )


def verdict(rows: Sequence[Row], info: tfds.core.DatasetInfo) -> str:
    """Returns whether a dataset is fit to train on, in a line."""
    return _VERDICTS[_worst(_checks(rows, info))]


def findings(rows: Sequence[Row], info: tfds.core.DatasetInfo) -> list[str]:
    """Returns what a person should know of a dataset, in lines."""
    stored = [row for row in rows if row.status == report.STORED]
    checks = _checks(rows, info)
    found = [check.text for check in checks if check.level in (LOOK, BAD)]
    return [*found, *several_sizes(stored)]


def several_sizes(stored: Iterable[Row]) -> list[str]:
    """Returns how many sizes the frames of stored videos have, if not one."""
    sizes = {(row.width, row.height) for row in stored}
    if len(sizes) < 2:
        return []
    return [f"frames have {len(sizes):,} sizes: batches need a crop"]


def rewrite(builder: tfds.core.DatasetBuilder) -> Path:
    """Writes the page of a prepared dataset anew, from the report that it holds.

    Raises:
      ValueError: If it holds none.
      OSError: If something cannot be read or written.
    """
    path = Path(builder.data_path) / report.FILENAME
    if not path.is_file():
        raise ValueError(
            f"`dataset` must be one that this package has built, with its "
            f"{report.FILENAME}, got {builder.data_path} without."
        )
    return write(builder, report.read(path))


def _contents(builder: tfds.core.DatasetBuilder, rows: Sequence[Row]) -> dict:
    stored = [row for row in rows if row.status == report.STORED]
    checks = _checks(rows, builder.info)
    level = _worst(checks)
    thumbnails, no_thumbnails = _thumbnails(builder)
    return {
        "name": builder.info.full_name,
        "level": level,
        "verdict": _VERDICTS[level],
        "checks": checks,
        "splits": _splits(rows, builder.info),
        "failures": _named(rows, report.FAILED),
        "unmatched": _named(rows, report.UNMATCHED),
        "truncated": _named(rows, report.STORED),
        "noted": _noted(stored),
        "classes": _classes(stored, builder.info),
        "plots": _plots(stored),
        "thumbnails": thumbnails,
        "no_thumbnails": no_thumbnails,
        "settings": _settings(builder.info),
        "csv": report.FILENAME,
    }


def _worst(checks: Iterable[Check]) -> str:
    levels = {check.level for check in checks}
    return next((level for level in (BAD, LOOK) if level in levels), GOOD)


def _checks(rows: Sequence[Row], info: tfds.core.DatasetInfo) -> list[Check]:
    # Of the videos that were left out on purpose there is no row, but for the missing.
    is_subset = bool(((info.metadata or {}).get("config") or {}).get("max_videos"))
    annotated = [row for row in rows if row.status != report.UNMATCHED]
    with_file = [row for row in annotated if row.filename]
    stored = [row for row in annotated if row.status == report.STORED]
    checks = []
    can_train = any(row.split == _TRAIN for row in stored)
    if not can_train:
        checks.append(Check(BAD, "There is no video to train on"))
    for split in annotations.SPLITS:
        mine = [row for row in annotated if row.split == split]
        if is_subset:
            mine = [row for row in mine if row.reason not in _NOT_TAKEN]
        checks += _share_checks(split, mine)
    if can_train:
        checks += class_checks(stored, info.features["label"].names, is_subset)

    def at_most(
        share: float, some: Sequence, whole: Sequence, none: str, one: str, several: str
    ) -> None:
        ratio = len(some) / max(len(whole), 1)
        verb = one if len(some) == 1 else several
        found = f"{len(some):,} of {len(whole):,} {verb} ({_percent(ratio)})"
        checks.append(Check(LOOK if ratio > share else GOOD, found if some else none))

    at_most(
        _MANY,
        [row for row in with_file if row.status == report.FAILED],
        with_file,
        "Every video file could be stored",
        *["video files could not be stored"] * 2,
    )
    at_most(
        _MANY,
        [row for row in stored if row.reason == report.TRUNCATED],
        stored,
        "No stored video ends early",
        "stored videos ends earlier than its header says",
        "stored videos end earlier than their headers say",
    )
    again = f"clips of {_SHORT} frames start again from the beginning"
    short = f"fewer than {_SHORT} frames"
    at_most(
        _MANY_SHORT,
        [row for row in stored if int(row.num_frames) < _SHORT],
        stored,
        f"No stored video has {short}",
        f"stored videos has {short}: {again}",
        f"stored videos have {short}: {again}",
    )
    for text in several_sizes(stored):
        checks.append(Check(NOTE, text[0].upper() + text[1:]))
    noted = [row for row in stored if row.notes]
    if noted:
        words = "stored videos has a note", "stored videos have a note"
        at_most(_MANY, noted, stored, "", *words)
    if (fault := datasets.fault_of(info)) is not None:
        checks.append(Check(LOOK, fault))
    bad_rows, not_read, archives, passed_over = [], defaultdict(list), [], []
    for row in rows:
        if row.status != report.UNMATCHED:
            continue
        if row.reason == BAD_ROW:
            bad_rows.append(row.filename)
        elif "not read: " in row.reason:
            not_read[row.reason].append(row.filename)
        elif sources.is_archive(row.filename):
            archives.append(row.filename)
        else:
            passed_over.append(row)
    if bad_rows:
        count = wording.count(len(bad_rows), "bad row is", "bad rows are")
        text = f"{count} skipped{_first(bad_rows)}"
        checks.append(Check(LOOK, text))
    for reason, names in not_read.items():
        count = wording.count(len(names), "file is", "files are")
        checks.append(Check(LOOK, f"{count} passed over: {reason}{_first(names)}"))
    if archives:
        count = wording.count(len(archives), "archive", "archives")
        text = f"{count} could not be read to the end{_first(archives)}"
        checks.append(Check(LOOK, text))
    if not passed_over and (not_read or archives):
        return checks
    at_most(
        _MANY,
        passed_over,
        [*with_file, *passed_over],  # the others have lines of their own
        "No video file is passed over",
        "video files is passed over",
        "video files are passed over",
    )
    return checks


def _share_checks(split: str, rows: Sequence[Row]) -> list[Check]:
    """Says how much is stored of a split, unless nobody wanted it."""
    if not any(row.filename for row in rows):
        return []
    num_stored = sum(row.status == report.STORED for row in rows)
    share = num_stored / len(rows)
    level = GOOD if share >= _FEW_STORED else LOOK
    if split == _TRAIN and share < _FAR_TOO_FEW_STORED:
        level = BAD
    return [
        Check(
            level,
            f"{num_stored:,} of {len(rows):,} videos of {split} are stored "
            f"({_percent(share)})",
        )
    ]


def class_checks(
    rows: Iterable[Row], names: Sequence[str], is_subset: bool = False
) -> list[Check]:
    """Looks at how videos are spread over classes and splits.

    Args:
      rows: Rows of the videos that are stored, or are to be; some are to train on.
      names: Names of all classes.
      is_subset: Whether others were left out on purpose.
    """
    rows = list(rows)
    sizes = _class_sizes(rows, _TRAIN, names)
    empty = [name for name, size in sizes.items() if not size]
    single = [name for name, size in sizes.items() if size == 1]
    few = statistics.median(sizes.values()) * _SMALL_CLASS
    small = [name for name, size in sizes.items() if 1 < size < few]
    checks = []

    def add(level: str, some: list[str], one: str, several: str) -> None:
        if some:
            text = wording.count(len(some), one, several) + _first(some)
            checks.append(Check(level, text))

    if empty:
        whole = f"of {len(names):,} classes"
        add(
            LOOK if is_subset else BAD,
            empty,
            f"{whole} has no video to train on",
            f"{whole} have no video to train on",
        )
    else:
        checks.append(Check(GOOD, "Every class has videos to train on"))
    add(
        BAD if len(single) > len(names) / 2 and not is_subset else LOOK,
        single,
        "class has a single video to train on",
        "classes have a single video to train on",
    )
    add(
        LOOK,
        small,
        "class has less than a quarter of the videos of the median class",
        "classes have less than a quarter of the videos of the median class",
    )
    in_train = {name for name, size in sizes.items() if size}
    if len(in_train) == 1:
        only = next(iter(in_train))
        checks.append(Check(LOOK, f"All videos to train on are of one class: {only}"))
    for split in annotations.SPLITS:
        theirs = {name for name, n in _class_sizes(rows, split, names).items() if n}
        if split == _TRAIN or not theirs:  # nobody wants it, or its labels are secret
            continue
        add(
            LOOK,
            [name for name in names if name in in_train - theirs],
            f"class to train on has no video in {split}",
            f"classes to train on have no video in {split}",
        )
        if theirs - in_train != set(empty):  # which are named above
            add(
                LOOK,
                [name for name in names if name in theirs - in_train],
                f"class of {split} has no video to train on",
                f"classes of {split} have no video to train on",
            )
    if unlabelled := sum(row.split == _TRAIN and not row.label for row in rows):
        text = wording.count(
            unlabelled, "video to train on has", "videos to train on have"
        )
        checks.append(Check(LOOK, f"{text} no label"))
    return checks


def _class_sizes(stored: Iterable[Row], split: str, names: Iterable[str]) -> dict:
    """Returns how many videos each class has, the smallest first."""
    sizes = Counter(row.label for row in stored if row.split == split)
    return dict(sorted(((name, sizes[name]) for name in names), key=lambda x: x[1]))


def _splits(rows: Sequence[Row], info: tfds.core.DatasetInfo) -> list[dict]:
    totals = report.totals(rows)
    splits = []
    for name in annotations.SPLITS:
        if name not in totals:
            continue
        mine = [r for r in rows if r.split == name and r.status == report.STORED]
        counts = totals[name]
        annotated = counts[report.STORED] + counts[report.FAILED]
        stored = info.splits.get(name)
        splits.append(
            {
                "name": name,
                "annotated": annotated,
                "stored": counts[report.STORED],
                "share": _percent(counts[report.STORED] / max(annotated, 1)),
                "failed": counts[report.FAILED],
                "unmatched": counts[report.UNMATCHED],
                "frames": sum(int(row.num_frames) for row in mine),
                "duration": _time(sum(map(_duration, mine))),
                "bytes": stored.num_bytes if stored else 0,
                "files": stored.num_shards if stored else 0,
            }
        )
    return splits


def _named(rows: Iterable[Row], status: str) -> list[dict]:
    """Groups what has a reason by it, the largest group first, with the first names."""
    return _grouped(
        (row.reason or report.NO_ANNOTATION, row, row.detail)
        for row in rows
        if row.status == status and (row.reason or status == report.UNMATCHED)
    )


def _noted(stored: Iterable[Row]) -> list[dict]:
    """Groups stored videos by their notes, of which one may have several."""
    return _grouped(
        (note, row, "") for row in stored for note in row.notes.split("; ") if note
    )


def _grouped(reasons: Iterable[tuple[str, Row, str]]) -> list[dict]:
    """Returns (reason, row, detail) by reason, the largest group first."""
    groups: dict[str, list[tuple[Row, str]]] = defaultdict(list)
    for reason, row, detail in reasons:
        groups[reason].append((row, detail))
    named = []
    for reason, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        splits = Counter(row.split or "no split" for row, _ in group)
        named.append(
            {
                "reason": reason,
                "count": len(group),
                "splits": ", ".join(f"{n:,} {split}" for split, n in splits.items()),
                "names": [
                    (row.filename or row.video_id, detail)
                    for row, detail in group[:_MAX_NAMES]
                ],
            }
        )
    return named


def _classes(stored: Sequence[Row], info: tfds.core.DatasetInfo) -> list[dict]:
    names = info.features["label"].names
    tables = []
    for split in annotations.SPLITS:
        if split not in info.splits:
            continue
        sizes = _class_sizes(stored, split, names)
        if not any(sizes.values()):  # nothing is labelled
            continue
        tables.append(
            {
                "split": split,
                "count": len(sizes),
                "smallest": list(sizes.items())[:_MAX_CLASSES],
                "largest": list(sizes.items())[-1],
                "plot": _histogram(
                    "videos a class", list(sizes.values()), lambda n: f"{n:,g}"
                )._replace(one="class", several="classes"),
            }
        )
    return tables


def _plots(stored: Sequence[Row]) -> list[Plot]:
    durations = [_duration(row) for row in stored if row.fps]
    return [
        _histogram(
            "frames", [int(r.num_frames) for r in stored], lambda n: f"{n:,.0f}"
        ),
        _histogram("duration", durations, lambda seconds: f"{seconds:.2f} s"),
        _categories(
            "frames a second",
            (f"{row.fps:.4g}" if row.fps else "unknown" for row in stored),
        ),
        _categories(
            "size, width x height", (f"{row.width} x {row.height}" for row in stored)
        ),
        _histogram("bytes a video", [int(row.bytes) for row in stored], check.size),
    ]


def _histogram(
    title: str, values: Sequence[float], as_text: Callable[[float], str]
) -> Plot:
    if not values:
        return Plot(title, [])
    low, high = min(values), max(values)
    if all(isinstance(value, int) for value in values):
        # Bins of as many whole numbers each, the last of which says its end itself.
        width = -(-(high - low + 1) // _NUM_BINS)
        edges = np.arange(low, high + width + 1, width)
        last = edges[1:] - 1
    else:
        edges = np.linspace(low, high, 2 if low == high else _NUM_BINS + 1)
        last = edges[1:]
    counts: list[int] = np.histogram(values, bins=edges)[0].tolist()
    longest = max(counts)
    names = [
        " to ".join(dict.fromkeys((as_text(start), as_text(end))))
        for start, end in zip(edges[:-1], last, strict=True)
    ]
    bars = [
        Bar(name, count, count / longest)
        for name, count in zip(names, counts, strict=True)
    ]
    middle = statistics.median(values)
    return Plot(title, bars, as_text(low), as_text(middle), as_text(high))


def _categories(title: str, values: Iterable[str]) -> Plot:
    counts = Counter(values).most_common()
    shown = counts[:_MAX_CATEGORIES]
    if others := sum(count for _, count in counts[_MAX_CATEGORIES:]):
        shown.append((f"{len(counts) - _MAX_CATEGORIES} others", others))
    longest = max((count for _, count in shown), default=1)
    return Plot(title, [Bar(name, count, count / longest) for name, count in shown])


def _thumbnails(builder: tfds.core.DatasetBuilder) -> tuple[list[dict], str]:
    """Returns the middle frames of some videos, or why there are none."""
    split = next(name for name in annotations.SPLITS if name in builder.info.splits)
    thumbnails = []
    try:
        for jpeg, label, video_id in _some_jpegs(builder, split):
            frame = Image.open(io.BytesIO(jpeg))
            frame.thumbnail((4 * _THUMBNAIL_HEIGHT, _THUMBNAIL_HEIGHT))
            picture = io.BytesIO()
            frame.save(picture, "JPEG", quality=80)
            data = base64.b64encode(picture.getvalue()).decode()
            thumbnails.append(
                {
                    "source": f"data:image/jpeg;base64,{data}",
                    "label": datasets.label_name(builder.info, label) or "no label",
                    "video_id": video_id.decode("utf-8", "backslashreplace"),
                }
            )
    except (frame_index.FrameIndexError, frame_index.UnreadableVideoError) as error:
        return [], str(error)
    except NotImplementedError:  # TFDS gives no random access to every format
        return [], f"Frames are not shown of {builder.info.file_format.value}."
    return thumbnails, ""


def _some_jpegs(
    builder: tfds.core.DatasetBuilder, split: str
) -> Iterator[tuple[bytes, int, bytes]]:
    """Yields a JPEG, label and id of the first videos, which are in random order."""
    if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
        path = index_format.path_of(Path(builder.data_path), split)
        index = frame_index.FrameIndex(path)
        for video in range(min(len(index), _NUM_THUMBNAILS)):
            (jpeg,) = index.read(video, [index.num_frames(video) // 2])
            label = int(index.features["label"][video])
            yield jpeg.tobytes(), label, draw.video_id(index, video)
        return
    examples = builder.as_data_source(split, decoders={"video": EncodedFrames()})
    for number in range(min(len(examples), _NUM_THUMBNAILS)):
        example = examples[number]
        jpeg = example["video"][len(example["video"]) // 2]
        yield jpeg, example["label"], example["video_id"]


def _settings(info: tfds.core.DatasetInfo) -> list[tuple[str, object]]:
    metadata = info.metadata or {}
    settings = [
        ("dataset", info.full_name),
        ("data version", info.version),
        ("built", metadata.get("built", "")),
    ]
    settings.append(("built from", metadata.get("manual_dir", "")))
    for name, value in (metadata.get("config") or {}).items():
        settings.append((name, _OF_NONE[name] if value is None else value))
    settings.append(("format", info.file_format.value))
    settings += (metadata.get("versions") or {}).items()
    return settings


def _duration(row: Row) -> float:
    return int(row.num_frames) / float(row.fps) if row.fps else 0.0


def _time(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.3g} seconds"


def _percent(share: float) -> str:
    """Returns a share that says 100 % of all alone, and 0 % of nothing."""
    percent = f"{100 * share:.1f}"
    if percent == "100.0" and share < 1:
        percent = "over 99.9"
    if percent == "0.0" and share > 0:
        percent = "under 0.1"
    return f"{percent.removesuffix('.0')} %"


def _first(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MAX_NAMES else ""
    return f": {', '.join(names[:_MAX_NAMES])}{more}"
