"""Indexes the frames of a prepared dataset, and verifies every byte of it."""

import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import google_crc32c
import loky
import numpy as np
import tensorflow_datasets as tfds

from kinetics_clips import files, progress, wording
from kinetics_clips.store import datasets, tfrecords
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError
from kinetics_clips.store.index_format import (
    ALIGNMENT,
    BLOCK_BYTES,
    BYTES,
    CHECKSUMS,
    FIRST_FRAMES,
    FLOAT,
    FRAME,
    FRAMES,
    INT,
    MAGIC,
    RECORDS,
    TEXT,
    TRAILER,
    Shard,
    path_of,
    tables_of_text,
)

_log = logging.getLogger(__name__)

# Bytes of shards under which one process does it all: others take a second to start.
_MIN_PARALLEL_BYTES = 1 << 29


def build(
    builder: tfds.core.DatasetBuilder, num_workers: int | None = None
) -> list[FrameIndex]:
    """Indexes all splits of a prepared dataset; verifies every byte of it on the way.

    Any TFDS dataset will do that is stored as TFRecords and has a sequence of images;
    where it has several, the one called `video`.

    Args:
      builder: The builder of the dataset, whose directory is written to.
      num_workers: Number of processes. Defaults to the number of cores that this
        process may use.

    Returns:
      The indexes, one a split; each takes an older one's place as a whole.

    Raises:
      ValueError: If the dataset has no such feature, or is not stored as TFRecords, or
        `num_workers` is under 1.
      UnreadableVideoError: If a shard is damaged; says which and where.
      OSError: If something cannot be read or written.
    """
    if num_workers is not None and num_workers < 1:
        raise ValueError(
            f"`num_workers` must be at least 1 or None, got {num_workers}."
        )
    directory = Path(builder.data_path)
    datasets.require_tfrecords(builder)
    frames, kinds = _schema(builder.info.features)
    num_workers = num_workers or loky.cpu_count()
    indexes = []
    for name, split in builder.info.splits.items():
        shards = [directory / filename for filename in sorted(split.filenames)]
        with contextlib.ExitStack() as stack:
            results = stack.enter_context(
                _in_processes(_index_shard, shards, num_workers, frames, kinds)
            )
            bar = stack.enter_context(
                progress.bar(
                    results, total=len(shards), desc=f"index {name}", unit=" shards"
                )
            )
            path = path_of(directory, name)
            _write(path, kinds, bar)
        indexes.append(FrameIndex(path))
        num_videos = len(indexes[-1])
        if num_videos != split.num_examples:
            raise UnreadableVideoError(
                f"{directory} must hold {split.num_examples} videos of {name}, as its "
                f"dataset_info.json says, got {num_videos}."
            )
    return indexes


def _schema(features: tfds.features.FeaturesDict) -> tuple[str, dict[str, str]]:
    """Returns the name of the frames, and how the values of others are kept."""
    sequences = [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Sequence)
        and isinstance(feature.feature, tfds.features.Image)
    ]
    frames = "video" if "video" in sequences else sequences[0] if sequences else None
    if frames is None or (len(sequences) > 1 and frames != "video"):
        raise ValueError(
            "`dataset` must have one sequence of images, or one that is called "
            f"'video', got {sequences or list(features)}."
        )
    kinds = {}
    for name, feature in sorted(features.items()):  # whatever their order was
        info = feature.get_serialized_info()
        if isinstance(info, dict) or info.shape != ():
            continue
        if isinstance(feature, tfds.features.Text):
            kinds[name] = TEXT
        elif np.dtype(info.np_dtype).kind in "biu":
            kinds[name] = INT
        elif np.dtype(info.np_dtype).kind == "f":
            kinds[name] = FLOAT
    return frames, _without_colliding(kinds)


def _without_colliding(kinds: dict[str, str]) -> dict[str, str]:
    """Leaves out numbers whose table would have the name of another one."""
    taken = {FRAMES, CHECKSUMS, FIRST_FRAMES, RECORDS}
    for name, kind in kinds.items():
        if kind == TEXT:
            taken.update(tables_of_text(name))
    left_out = [name for name, kind in kinds.items() if kind != TEXT and name in taken]
    if left_out:
        _log.info(
            "The frame index has other tables of these names, so that these features "
            "are left out of it: %s",
            ", ".join(map(repr, left_out)),
        )
    return {name: kind for name, kind in kinds.items() if name not in left_out}


class _Rows(NamedTuple):
    """What an index holds of a shard.

    Attributes:
      shard: The shard.
      frames: `FRAME`, of all videos.
      num_frames: int64 `[num_videos]`.
      records: int64 `[num_videos]`, where the data of a video's record begins.
      features: Values of each feature, by its name.
    """

    shard: Shard
    frames: np.ndarray
    num_frames: np.ndarray
    records: np.ndarray
    features: dict[str, list[Any]]


def _index_shard(path: Path, frames: str, kinds: dict[str, str]) -> _Rows:
    status = path.stat()
    rows: list[np.ndarray] = []
    records: list[int] = []
    features: dict[str, list[Any]] = {name: [] for name in kinds}
    try:
        for record in tfrecords.read(path):
            example = tfrecords.features(record.data)
            spans = example[frames]
            row = np.empty(len(spans), FRAME)
            row["offset"] = [span.offset for span in spans]
            row["length"] = [span.length for span in spans]
            row["checksum"] = [
                google_crc32c.value(record.data[offset : offset + length])
                for offset, length in spans
            ]
            rows.append(row)
            records.append(record.offset)
            for name, kind in kinds.items():
                (value,) = example[name]
                if kind == TEXT:
                    value = tfrecords.text(record.data, value)
                features[name].append(value)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        count = wording.count(len(records), "video", "videos")
        raise UnreadableVideoError(
            f"{path} is damaged after {count}: {error}. Restore it, or build the "
            "dataset again."
        ) from error
    return _Rows(
        Shard(path.name, len(records), status.st_size, status.st_mtime_ns),
        np.concatenate([np.empty(0, FRAME), *rows]),
        np.array([len(row) for row in rows], np.int64),
        np.array(records, np.int64),
        features,
    )


@contextlib.contextmanager
def _in_processes(
    function: Callable[..., _Rows],
    paths: Sequence[Path],
    num_workers: int,
    *arguments: object,
) -> Iterator[Iterable[_Rows]]:
    """Calls a function with every path, and yields its results in their order."""
    call_with = [itertools.repeat(argument) for argument in arguments]
    num_bytes = sum(path.stat().st_size for path in paths)
    if min(num_workers, len(paths)) < 2 or num_bytes < _MIN_PARALLEL_BYTES:
        yield map(function, paths, *call_with)
        return
    with files.named(files.SEMAPHORES):
        processes = loky.ProcessPoolExecutor(min(num_workers, len(paths)))
    with processes as pool:
        try:
            yield pool.map(function, paths, *call_with)
        except BaseException:
            pool.shutdown(kill_workers=True)
            raise


def _write(path: Path, kinds: dict[str, str], shards: Iterable[_Rows]) -> None:
    """Writes an index of shards, whose rows are not kept, as a whole or not at all."""
    indexed: list[Shard] = []
    num_frames, records = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
    features: dict[str, list[Any]] = {name: [] for name in kinds}
    with files.open_new(path) as file:
        for rows in shards:
            indexed.append(rows.shard)
            file.write(rows.frames.data)
            num_frames.append(rows.num_frames)
            records.append(rows.records)
            for name, values in rows.features.items():
                features[name] += values
        places: dict[str, tuple[str, int, int, int | None]]
        places = {FRAMES: (BYTES, 0, file.tell(), None)}
        tables = {
            CHECKSUMS: _checksums(file),
            FIRST_FRAMES: np.cumsum(np.concatenate(num_frames), dtype=INT),
            RECORDS: np.concatenate(records).astype(INT),
        }
        for name, kind in kinds.items():
            if kind == TEXT:
                lengths = [0, *map(len, features[name])]
                ends, content = tables_of_text(name)
                tables[ends] = np.cumsum(lengths, dtype=INT)
                tables[content] = np.frombuffer(b"".join(features[name]), BYTES)
            else:
                tables[name] = np.array(features[name], kind)
        for name, table in tables.items():
            places[name] = _append(file, table)
        description = json.dumps(
            {"shards": indexed, "features": kinds, "tables": places}
        ).encode()
        file.write(description)
        checksum = google_crc32c.value(description)
        file.write(TRAILER.pack(len(description), checksum, MAGIC))


def _checksums(file: BinaryIO) -> np.ndarray:
    """Returns the checksum of every block of the frames that a file holds."""
    file.seek(0)
    blocks = iter(lambda: file.read(BLOCK_BYTES), b"")
    return np.array([google_crc32c.value(block) for block in blocks], "<u4")


def _append(file: BinaryIO, table: np.ndarray) -> tuple[str, int, int, int]:
    file.write(bytes(-file.tell() % ALIGNMENT))
    offset = file.tell()
    file.write(table.data)
    checksum = google_crc32c.value(table.view(np.uint8))
    return table.dtype.str, offset, table.nbytes, checksum
