"""Finds the file of every annotated video; says what is missing or unmatched."""

import contextlib
import dataclasses
import hashlib
import itertools
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kinetics_clips import wording
from kinetics_clips.write import annotations, archives, releases, sources, tables
from kinetics_clips.write.annotations import SPLITS, Annotation, Labels
from kinetics_clips.write.releases import FOLDER
from kinetics_clips.write.sources import File, as_utf8

_log = logging.getLogger(__name__)

_LAYOUTS = {
    FOLDER: """\
  <manual_dir>/
    train/<class>/<video>.mp4
    val/<class>/<video>.mp4    (or validation/)
    test/<class>/<video>.mp4   any of the three splits, any class names""",
    "kinetics": """\
  <manual_dir>/
    annotations/train.csv  val.csv  test.csv
    train/  val/  test/        any of the three; CSVs and videos may lie anywhere, the
                               videos in .tar, .tar.gz and .zip files too. Videos are
                               named <youtube_id>_<start>_<end>.mp4 or <youtube_id>.mp4.
                               A split without a CSV needs class folders.""",
}

# Why a video file is passed over, in `Split.unmatched` and in the build report, where
# `File.problem` does not tell.
NO_ANNOTATION, AMBIGUOUS, DUPLICATE = "", "ambiguous", "duplicate"
LEFTOVER = "leftover"
NOT_IN_CLASS, NOT_IN_SPLIT = "not in a class folder", "not below train, val or test"
BAD_ROW = "bad row"  # of a table, named as `train.csv:17`
_MEANINGS = {
    NO_ANNOTATION: "not named by an annotation",
    AMBIGUOUS: "more than one annotation may be meant",
    NOT_IN_CLASS: "not in a class folder (train/<class>/...)",
    NOT_IN_SPLIT: NOT_IN_SPLIT,
    DUPLICATE: "another file of the same video is used",
    LEFTOVER: "left over from the download of a video that is there",
}

# Of files that could be read, if it were known what they show.
UNKNOWN = frozenset({NO_ANNOTATION, AMBIGUOUS, NOT_IN_CLASS, NOT_IN_SPLIT})

# What `yt-dlp` makes on its way to `ID.mp4`, and programs that copy or get it again.
_LEFTOVER = re.compile(r"(.+)\.(f[0-9]{1,4}(-[\w-]+)?|fhls-[\w-]+|fdash-[\w-]+|temp)")
_COPY = re.compile(
    r"(?P<before>.+?)(?: ?\([0-9]{1,3}\)|[ _-]+copy(?: ?\(?[0-9]{1,3}\)?)?)"
    r"|copy of (?P<of>.+)",
    re.IGNORECASE,
)

# What a person should know of a video that is stored: column `notes` of the report.
NESTED = "lies in a folder below that of its class"
SHARED_NAME = "another video has the same name"
NAMED_LIKE_A_LEFTOVER = "named like a leftover of a download"
NAMED_LIKE_A_COPY = "named like a copy of another video"
_NOTES = {
    NESTED: "lie in folders below those of their classes, which are the first ones",
    SHARED_NAME: "have the name of another video, so their ids have the suffix too",
    NAMED_LIKE_A_LEFTOVER: "are named like leftovers of downloads that are not there",
    NAMED_LIKE_A_COPY: "are named like copies of others, but are none",
}

NO_SPLIT = ""  # of files that may belong to any

_YOUTUBE_ID_LENGTH = 11


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """An annotated video and its file.

    Attributes:
      annotation: The row, or the class folder, that says what the video shows.
      file: The source file; None when there is none.
      notes: What a person should know of it, though it can be stored.
    """

    annotation: Annotation
    file: File | None
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> File:
        """The file, of a video that has one."""
        if self.file is None:
            raise ValueError(f"{self.annotation.video_id} must have a file, got none.")
        return self.file

    @property
    def filename(self) -> str:
        """The file below the root, with `/`, in UTF-8; empty when there is none."""
        return self.file.filename if self.file else ""

    @property
    def problem(self) -> tuple[str, str] | None:
        """`(reason, detail)` of what is wrong before it is opened, or None."""
        return self.file.problem if self.file else ("missing", "no file of that name")


@dataclasses.dataclass(frozen=True)
class Split:
    """What was found of one split.

    Attributes:
      name: `train`, `validation` or `test`.
      videos: Every annotated video, in the order of a hash of its id, so that any
        prefix is a fair sample of classes.
      unmatched: Files that are passed over, by their names below the root, and why, as
        `(reason, detail)`. The reason is "" where no annotation names a video, `not in
        a class folder` or `not below train, val or test` in a tree of class folders,
        `ambiguous` where several may, `duplicate` where another file of the same video
        is used, `leftover` of a download that is there, or that of a file that is not
        read, as in `sources.Listing.passed_over`.
    """

    name: str
    videos: list[Video]
    unmatched: dict[str, tuple[str, str]]

    @property
    def num_found(self) -> int:
        return sum(video.file is not None for video in self.videos)


class Found(NamedTuple):
    """What was found below a directory.

    Attributes:
      class_names: Names of the classes, in the order of their ids.
      splits: Those that have annotations or files, in the order of `SPLITS`; one of
        which no annotated video has a file is among them.
      unmatched: Files that no folder's name puts into a split, in the form of
        `Split.unmatched`.
    """

    class_names: list[str]
    splits: list[Split]
    unmatched: dict[str, tuple[str, str]]


def layout(release: str) -> str:
    """Returns the tree that a release's `manual_dir` must have, for a person."""
    return _LAYOUTS[FOLDER if release == FOLDER else "kinetics"]


def find(root: Path, release: str, skip_bad_rows: bool = False) -> Found:
    """Finds all videos of a release below a directory, without opening any.

    Args:
      root: The directory, laid out as `layout(release)` shows.
      release: One of `RELEASES`.
      skip_bad_rows: Whether rows of annotation files that cannot be understood are
        passed over, and named in `unmatched`. Defaults to an error.

    Returns:
      The release's class names, or those of the class folders of all splits together,
      sorted; and what was found of each split.

    Raises:
      ValueError: If an annotation file cannot be understood, or a class folder's name
        cannot be kept.
      OSError: If a folder cannot be read.
    """
    if release == FOLDER:
        found = _find_folders(root)
    else:
        found = _find_kinetics(root, release, skip_bad_rows)
    for split in found.splits:
        _log_split(split, release)
    if release == FOLDER:
        _log_classes(found)
    _log_unmatched("of no split", found.unmatched)
    return found


def require_videos(found: Found, root: Path, release: str) -> None:
    """Raises ValueError unless something can be built of each split that has files."""
    wrong = [split for split in found.splits if split.unmatched and not split.num_found]
    if wrong or not any(split.num_found for split in found.splits):
        splits = wrong or found.splits
        names = " and ".join(split.name for split in splits) or "any split"
        unmatched = {
            name: why for split in splits for name, why in split.unmatched.items()
        }
        unmatched = unmatched or found.unmatched
        num_rows = sum(reason == BAD_ROW for reason, _ in unmatched.values())
        kinds = summary_of_passed_over(unmatched, advise=True)
        wanted = f"annotated video of {names}"
        num_annotated = sum(len(split.videos) for split in splits)
        got = wording.count(num_annotated, "annotation", "annotations")
        if release == FOLDER:
            wanted, got = f"video in a class folder of {names}", "none"
        others = wording.count(
            len(unmatched) - num_rows, "other video file", "other video files"
        )
        raise ValueError(
            f"{root} must hold at least one {wanted}, got {got} and {others}"
            f"{_first(unmatched)}{f' ({kinds})' if kinds else ''}; it holds "
            f"{_listing(root)}.\nExpected, with videos that end in "
            ".mp4, .mkv, .webm, .avi, .mov, .mpg or the like:\n"
            f"{layout(release)}"
        )


def summary_of_passed_over(
    unmatched: dict[str, tuple[str, str]], advise: bool = False
) -> str:
    """Counts what is no question of annotations: `2 archive not read: .rar, ...`.

    Args:
      unmatched: Files that are not taken, in the form of `Split.unmatched`.
      advise: Whether to say what can be done, too.
    """
    counts = Counter(
        f"{reason}, {detail}" if advise else reason
        for reason, detail in unmatched.values()
        if reason not in UNKNOWN and reason != DUPLICATE
    )
    listed = (f"{count:,} {what}" for what, count in counts.most_common(10))
    return ("; " if advise else ", ").join(listed)


def _find_folders(root: Path) -> Found:
    listing = sources.list_files(root)
    places: dict[str, str] = {}  # of classes
    matched: dict[str, list[Video]] = defaultdict(list)
    unmatched: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for folder in listing.folders:  # classes count that have no video, too
        split_folder, *below = PurePosixPath(folder).parts
        split = annotations.SPLIT_OF_WORD.get(split_folder.lower())
        if split:
            matched.setdefault(split, [])
            for name in below[:1]:
                places.setdefault(annotations.class_name(name), as_utf8(folder))
    files, leftovers = _without_leftovers(listing.files)
    for file, notes in files:
        split, path = _place(file)
        annotation = split and annotations.from_class_folder(split, path)
        if split and annotation:
            places.setdefault(annotations.class_name(path.parts[0]), file.filename)
            if len(path.parts) > 2:
                notes = (*notes, NESTED)
            matched[split].append(Video(annotation, file, notes))
        else:
            reason = NOT_IN_CLASS if split else NOT_IN_SPLIT
            unmatched[split or NO_SPLIT][file.filename] = (reason, "")
    for file, why in leftovers:
        unmatched[_place(file)[0] or NO_SPLIT][file.filename] = why
    for table in filter(_may_be_table, listing.tables):
        _log.warning("%s: not read, because class folders tell the labels", table)
    for file in listing.passed_over:
        why = file.problem or (NO_ANNOTATION, "")
        if why[0] == sources.TABLE_NOT_READ:
            continue  # folders tell all
        word = PurePosixPath(file.name).parts[0].split(".")[0].lower()
        split = annotations.SPLIT_OF_WORD.get(word) or _place(file)[0]
        unmatched[split or NO_SPLIT][file.filename] = why
    for name in places:
        annotations.check_class_name(name, root)
    annotations.check_class_names_differ(places, root)
    splits = [
        _resolve(split, [], matched[split], unmatched[split])
        for split in SPLITS
        if split in matched or split in unmatched
    ]
    return Found(sorted(places), splits, unmatched[NO_SPLIT])


def _place(file: File) -> tuple[str | None, PurePosixPath]:
    """Returns the split of a file in a tree of class folders, and its path below it."""
    first, *rest = file.unpacked.parts
    split = annotations.SPLIT_OF_WORD.get(first.lower())
    if split is None and file.archive and "/" not in file.archive:  # such as train.tar
        word = archives.without_suffix(file.archive).lower()
        return annotations.SPLIT_OF_WORD.get(word), file.unpacked
    return split, PurePosixPath(*rest)


def _without_leftovers(
    files: Iterable[File],
) -> tuple[list[tuple[File, tuple[str, ...]]], list[tuple[File, tuple[str, str]]]]:
    """Tells videos from what is left of their downloads, and from exact copies.

    Returns:
      The videos, each with notes; and what is none, each with `(reason, detail)`.
    """
    named: dict[PurePosixPath, list[File]] = defaultdict(list)
    for file in files:
        named[file.unpacked.with_suffix("")].append(file)
    looked_at = []
    for path, same_named in named.items():
        leftover, copy = _LEFTOVER.fullmatch(path.name), _COPY.fullmatch(path.name)
        name = leftover[1] if leftover else copy and (copy["before"] or copy["of"])
        others = named.get(path.with_name(name), []) if name else []
        looked_at += [(file, bool(leftover), others) for file in same_named]
    digests = _digests(
        [file, *others] for file, is_left, others in looked_at if not is_left
    )
    kept: list[tuple[File, tuple[str, ...]]] = []
    leftovers: list[tuple[File, tuple[str, str]]] = []
    for file, is_left, others in looked_at:
        same = _same_as(file, others, digests)
        if is_left and others:
            detail = f"of the download of {others[0].filename}"
            leftovers.append((file, (LEFTOVER, detail)))
        elif same:
            leftovers.append((file, (DUPLICATE, f"the same as {same.filename}")))
        elif is_left:
            kept.append((file, (NAMED_LIKE_A_LEFTOVER,)))
        else:
            kept.append((file, (NAMED_LIKE_A_COPY,) if others else ()))
    return kept, leftovers


def _digests(groups: Iterable[Sequence[File]]) -> dict[File, bytes]:
    """Reads the files that others of their group have the size of: what is in them."""
    wanted: dict[File, None] = {}
    for group in groups:
        sizes = Counter(file.num_bytes for file in group)
        for file in group:
            if sizes[file.num_bytes] > 1 and not file.problem:
                wanted[file] = None
    digests = {}
    for file, content in sources.read((file, file) for file in wanted):
        if isinstance(content, bytes):
            digests[file] = hashlib.blake2b(content).digest()
        elif isinstance(content, Path):
            # Whoever is to encode a file that cannot be read will say so.
            with contextlib.suppress(OSError), content.open("rb") as opened:
                digests[file] = hashlib.file_digest(opened, hashlib.blake2b).digest()
    return digests


def _same_as(
    file: File, others: Iterable[File], digests: dict[File, bytes]
) -> File | None:
    """Returns the first of other files that has the same content."""
    digest = digests.get(file)
    if digest is None:
        return None
    return next((one for one in others if digests.get(one) == digest), None)


def _find_kinetics(root: Path, release: str, skip_bad_rows: bool) -> Found:
    labels = annotations.labels_of(release)
    listing = sources.list_files(root)
    annotated, not_read = _read_tables(
        root, release, listing.tables, labels, skip_bad_rows
    )
    by_youtube_id = {split: _by_youtube_id(one) for split, one in annotated.items()}
    # Of splits without a CSV, filled by their class folders.
    from_folders: dict[str, dict[str, Annotation]] = defaultdict(dict)
    matched: dict[str, list[Video]] = defaultdict(list)
    unmatched: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    videos, leftovers = _without_leftovers(listing.files)
    # Files of no split come last: they may belong to what class folders have shown.
    files = [(_split_of(_folders(file)), file, notes) for file, notes in videos]
    for split, file, notes in sorted(files, key=lambda one: one[0] is None):
        if split is not None and split not in annotated:
            candidates = _from_class_folder(split, file, labels)
            from_folders[split] |= {one.video_id: one for one in candidates}
        else:
            among = {split: annotated[split]} if split else annotated | from_folders
            candidates = [
                annotation
                for one, table in among.items()
                for annotation in _annotated(file, table, by_youtube_id.get(one, {}))
            ]
        if len(candidates) == 1:
            (annotation,) = candidates
            if annotation.label is None:
                annotation = dataclasses.replace(
                    annotation, label=_class_of(file, labels)
                )
            matched[annotation.split].append(Video(annotation, file, notes))
        else:
            reason = AMBIGUOUS if candidates else NO_ANNOTATION
            unmatched[split or NO_SPLIT][file.filename] = (reason, "")
    for file, why in leftovers:
        unmatched[_split_of(_folders(file)) or NO_SPLIT][file.filename] = why
    for file in listing.passed_over:
        split = _split_of(PurePosixPath(file.name).parts)
        unmatched[split or NO_SPLIT][file.filename] = file.problem or (
            NO_ANNOTATION,
            "",
        )
    for split, names in not_read.items():
        unmatched[split] |= names
    splits = [
        _resolve(
            split, annotated.get(split, {}).values(), matched[split], unmatched[split]
        )
        for split in SPLITS
        if split in annotated or split in matched or split in unmatched
    ]
    return Found(labels.names, splits, unmatched[NO_SPLIT])


def _read_tables(
    root: Path, release: str, paths: Iterable[Path], labels: Labels, skip_bad_rows: bool
) -> tuple[dict[str, dict[str, Annotation]], dict[str, dict[str, tuple[str, str]]]]:
    """Reads all annotation files of a release.

    Returns:
      `{split: {video id: annotation}}`, where a video that is annotated twice has the
      first row with a label, in the order of the paths; and, of the bad rows,
      `{split, or NO_SPLIT: {name: (reason, detail)}}`.

    Raises:
      ValueError: If a row is bad, unless those are skipped, or what seems to be a table
        of annotations cannot be understood.
    """
    by_release = defaultdict(list)
    others = []
    for path in paths:
        if not _may_be_table(path):
            continue
        if annotations.is_table(path):
            by_release[releases.named(path.relative_to(root))].append(path)
        else:
            others.append(path)
    own = by_release[release] + by_release[None]
    own = own or by_release[releases.SIBLINGS.get(release)]
    for path in sorted(set().union(*by_release.values()) - set(own)):
        _log.warning("%s: passed over, because it is of another release", path)
    by_split: dict[str, dict[str, Annotation]] = {}
    bad_rows: list[annotations.BadRow] = []
    not_read: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    num_repeated = 0
    for path in sorted(own):
        annotated, bad = annotations.read_csv(path, labels)
        bad_rows += bad
        for annotation in annotated:
            table = by_split.setdefault(annotation.split, {})
            before = table.setdefault(annotation.video_id, annotation)
            num_repeated += before is not annotation
            if before.label is None:
                table[annotation.video_id] = annotation
    if num_repeated:
        _log.warning(
            "%s more than once; the first row of each counts",
            wording.count(num_repeated, "video is annotated", "videos are annotated"),
        )
    if not skip_bad_rows:
        annotations.require_no_bad_rows(bad_rows)
    elif bad_rows:
        count = wording.count(len(bad_rows), "bad row is", "bad rows are")
        _log.warning("%s skipped: %s ...", count, bad_rows[0])
    for row in bad_rows:
        name = f"{_below(row.path, root)}:{row.line}"
        not_read[row.split or NO_SPLIT][name] = (BAD_ROW, row.problem)
    for path in others:
        _require_unrelated(path, by_split)
        _log.warning("%s: passed over, because it holds no annotations", path)
    return by_split, not_read


def _may_be_table(path: Path) -> bool:
    """Tells whether a file's name is that of a table, or a split's in a text file."""
    is_csv = path.suffix.lower() in (".csv", ".tsv")
    return is_csv or annotations.split_of(path.stem) is not None


def _require_unrelated(path: Path, by_split: dict[str, dict]) -> None:
    """Raises ValueError where a table that is not understood may hold annotations.

    Without it folders would tell the labels, and nobody would notice.
    """
    split = annotations.split_of(path.stem)
    first = tables.start(path).strip().partition("\n")[0][:80]
    if split in by_split or (split is None and by_split) or "/" in first:
        return  # another one tells, or it lists paths or addresses
    if split is None and not annotations.looks_like_table(path):
        return
    raise ValueError(
        f"{path}, line 1: there must be a header that names the columns youtube_id, "
        "time_start, time_end and, but for the test split, label, got "
        f"{first!r}. Use the official Kinetics CSV, or move the file away if it holds "
        "no annotations."
    )


def _below(path: Path, root: Path) -> str:
    return as_utf8(str(path.relative_to(root)))


def _by_youtube_id(table: Iterable[str]) -> dict[str, list[str]]:
    """Groups video ids by the YouTube video that they are a part of."""
    grouped = defaultdict(list)
    for video_id in table:
        grouped[video_id[:_YOUTUBE_ID_LENGTH]].append(video_id)
    return grouped


def _annotated(
    file: File, table: dict[str, Annotation], by_youtube_id: dict[str, list[str]]
) -> list[Annotation]:
    """Returns the annotations that a file's name fits; several if it has no times."""
    parsed = annotations.parse_stem(file.unpacked.stem)
    if parsed is None:
        return []
    youtube_id, video_id = parsed
    video_ids = [video_id] if video_id else by_youtube_id.get(youtube_id, [])
    return [table[video_id] for video_id in video_ids if video_id in table]


def _from_class_folder(split: str, file: File, labels: Labels) -> list[Annotation]:
    """Returns the annotation of a file in a class folder of a split without a CSV."""
    label = _class_of(file, labels)
    if label is None:
        return []
    youtube_id, video_id = annotations.parse_stem(file.unpacked.stem) or (None, None)
    path = annotations.video_id_of_path(file.unpacked)
    return [Annotation(split, video_id or youtube_id or path, label)]


def _class_of(file: File, labels: Labels) -> str | None:
    """Returns the class that the nearest folder, or the archive, is named after."""
    for part in reversed(PurePosixPath(file.name).parts[:-1]):
        label = labels.find(part) or labels.find(archives.without_suffix(part))
        if label is not None:
            return label
    return None


def _folders(file: File) -> tuple[str, ...]:
    return PurePosixPath(file.name).parts[:-1]


def _split_of(folders: Sequence[str]) -> str | None:
    """Returns the split that a file's folders, or its archive, are named after."""
    # A folder named just so says more than one that has the word in its name.
    exact = [part for part in folders if part.lower() in annotations.SPLIT_OF_WORD]
    for part in exact or folders:
        split = annotations.split_of(part)
        if split is not None:
            return split
    return None


def _resolve(
    name: str,
    annotated: Iterable[Annotation],
    matched: Iterable[Video],
    unmatched: dict[str, tuple[str, str]],
) -> Split:
    """Gives every video one file: of several, the others are duplicates."""
    by_id: dict[str, list[Video]] = defaultdict(list)
    for video in matched:
        by_id[video.annotation.video_id].append(video)
    videos = [Video(one, None) for one in annotated if one.video_id not in by_id]
    groups = list(by_id.values())
    digests = _digests(
        [video.source for video in group]
        for group in groups
        if _is_named_by_path(group[0])
    )
    for group in groups:
        first, *others = sorted(group, key=lambda video: _rank(video.source))
        used = {first.source: first}
        for video in others:
            same = _same_as(video.source, used, digests)
            # What a path names may be other videos, as `clip.mp4` and `clip.avi` are.
            if _is_named_by_path(video) and not (same or video.problem):
                video_id = _own_id(video, by_id)
                by_id[video_id] = []
                annotation = dataclasses.replace(video.annotation, video_id=video_id)
                notes = (*video.notes, SHARED_NAME)
                used[video.source] = Video(annotation, video.file, notes)
            else:
                detail = f"{(same or first.source).filename} is used"
                unmatched[video.filename] = (DUPLICATE, detail)
        videos += used.values()
    videos.sort(key=lambda video: _hash(video.annotation.video_id))
    return Split(name, videos, unmatched)


def _is_named_by_path(video: Video) -> bool:
    return "/" in video.annotation.video_id


def _own_id(video: Video, taken: Container[str]) -> str:
    """Returns an id for a video whose path without the suffix is that of another."""
    video_id = f"{video.annotation.video_id}{video.source.unpacked.suffix}"
    numbered = (f"{video_id}~{number}" for number in itertools.count(2))
    return next(
        one for one in itertools.chain([video_id], numbered) if one not in taken
    )


def _rank(file: File) -> tuple:
    """Sorts the files of one video, the one to use first.

    The releases' own copies of broken files lie in folders such as
    `replacement_for_corrupted_k400`.
    """
    replaced = any(
        part.lower().startswith("replacement")
        for part in PurePosixPath(file.name).parts[:-1]
    )
    return file.problem is not None, not replaced, file.name


def _log_split(split: Split, release: str) -> None:
    if release == FOLDER:
        count = wording.count(split.num_found, "video", "videos")
        _log.info("%s: %s in class folders", split.name, count)
    else:
        _log.info(
            "%s: %d of %s found",
            split.name,
            split.num_found,
            wording.count(len(split.videos), "annotated video", "annotated videos"),
        )
    missing = [video.annotation.video_id for video in split.videos if not video.file]
    if missing:
        _log.warning(
            "%s: %d of %d annotated videos have no file%s",
            split.name,
            len(missing),
            len(split.videos),
            _first(missing),
        )
    for note, meaning in _NOTES.items():
        names = [video.filename for video in split.videos if note in video.notes]
        if names:
            what = wording.count(len(names), f"video: {note}", f"videos {meaning}")
            _log.warning("%s: %s%s", split.name, what, _first(names))
    _log_unmatched(split.name, split.unmatched)
    kinds = summary_of_passed_over(split.unmatched)
    if kinds and not split.num_found:
        _log.warning("%s: no video is found; passed over: %s", split.name, kinds)


def _log_classes(found: Found) -> None:
    """Says which class folders have no video because of what is passed over."""
    for split in found.splits:
        with_videos = {video.annotation.label for video in split.videos}
        without: dict[str, dict] = defaultdict(dict)
        for name, why in split.unmatched.items():
            _, *below = PurePosixPath(name).parts
            if len(below) > 1 and below[0] not in with_videos:
                without[below[0]][name] = why
        for name, passed_over in without.items():
            if kinds := summary_of_passed_over(passed_over):
                _log.warning(
                    "%s: class %r has no video; passed over: %s",
                    split.name,
                    name,
                    kinds,
                )


def _log_unmatched(split: str, unmatched: dict[str, tuple[str, str]]) -> None:
    by_reason: dict[str, dict[str, str]] = defaultdict(dict)
    for name, (reason, detail) in unmatched.items():
        by_reason[reason][name] = detail
    for reason, details in by_reason.items():
        if reason in (*sources.SAID, BAD_ROW):
            continue
        if reason in _MEANINGS:
            why = _MEANINGS[reason]
            count = wording.count(len(details), "video file is", "video files are")
        else:
            ((advice, _),) = Counter(details.values()).most_common(1)
            why = f"{reason} ({advice})"
            count = wording.count(len(details), "file is", "files are")
        _log.warning("%s: %s passed over: %s%s", split, count, why, _first(details))


def _listing(directory: Path) -> str:
    names = sorted(
        as_utf8(sources.in_utf8(entry.name))
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
