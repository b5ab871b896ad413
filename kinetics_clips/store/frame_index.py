"""Finds every stored frame: in which shard its bytes lie, and their checksum.

An index is one file a split, beside the shards: a row a frame, a table a feature, and
a description of both. With it, a window of any video is one positioned read.

What ties it to its shards: their sizes, and the checksum of every frame, which is
verified on every read, so that a frame that is returned is the one that was indexed. As
long as a shard has the time that it had then, nothing else is looked at. A shard with
another time, as copies have, may also be of another build that stored equal frames in
equal places, with other labels: of each video that is read from it, the features in its
record are compared with those of the index too.
"""

import bisect
import contextlib
import errno
import itertools
import json
import mmap
import os
import shlex
import struct
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from kinetics_clips.store import tfrecords
from kinetics_clips.store.index_format import (
    BLOCK,
    BLOCK_BYTES,
    BYTES,
    CHECKSUMS,
    FIRST_FRAMES,
    FLOAT,
    FORMAT,
    FRAME,
    FRAMES,
    INT,
    MAGIC,
    RECORDS,
    TEXT,
    TRAILER,
    Shard,
    tables_of_text,
)

_CHUNK = 1 << 20  # bytes that are verified at a time

# Bytes of a record that hold what is stored beside its frames, as builds here store it.
_HEAD_BYTES = 1 << 12


class FrameIndexError(RuntimeError):
    """An index that is not there, damaged, or of shards that have changed since."""


class NoFrameIndexError(FrameIndexError):
    """There is no index."""


class UnreadableVideoError(RuntimeError):
    """A stored video that gives no clip: it is damaged, or its rate is unknown."""


class Texts:
    """The texts of a feature, in the order of the videos."""

    def __init__(self, ends: np.ndarray, content: np.ndarray):
        _require_rising(ends, len(content))
        self._ends, self._content = ends, content

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        return self._content[self._ends[number] : self._ends[number + 1]].tobytes()


class FrameIndex:
    """The index of a split: opening it reads the tables, not the frames.

    The tables are mapped, so that all processes of a machine share one copy.

    Args:
      path: Path of the index's file, beside the shards.

    Attributes:
      path: Path of the index's file.
      shards: The shards, in the order in which their videos are numbered.
      features: Values of all videos by the feature's name: int64 or float32
        `[num_videos]`, or `Texts`.

    Raises:
      FrameIndexError: If there is none, it is damaged, or it is of other shards.
    """

    def __init__(self, path: Path):
        self.path = path = Path(path).absolute()
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor).atexit = False
            mapped = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
            self._content = np.frombuffer(mapped, np.uint8)
            description = self._description()
            self.shards = [_shard(*shard) for shard in description["shards"]]
            self._tables = description["tables"]
            self._frames = self._place(FRAMES, BYTES)
            self._checksums = self._table(CHECKSUMS, "<u4")
            self._first_frames = self._table(FIRST_FRAMES, INT)
            self._records = self._table(RECORDS, INT)
            self.features = {
                name: self._feature(name, kind)
                for name, kind in description["features"].items()
            }
            self._require_consistent()
        except FileNotFoundError as error:
            raise NoFrameIndexError(self._text("must be there, but is not")) from error
        except OSError as error:
            raise self._error(f"must be readable, got {error}") from error
        except (
            AttributeError, KeyError, RecursionError, TypeError, ValueError,
            struct.error,
        ) as error:  # fmt: skip
            raise self._error(f"is damaged: {error}") from error
        self._first_videos = list(
            itertools.accumulate((s.num_videos for s in self.shards), initial=0)
        )
        self._shard_numbers = {s.name: number for number, s in enumerate(self.shards)}
        for number, shard in enumerate(self.shards):
            try:
                status = os.stat(path.parent / shard.name)
            except OSError as error:
                raise self._error(f"is of a shard that is gone: {error}") from error
            if self._may_be_another(shard, status) and shard.num_videos:
                self._require_first_video(number)

    def __len__(self) -> int:
        """Returns the number of videos."""
        return len(self._records)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._tables)

    def num_frames(self, video: int) -> int:
        """Returns how many frames a video has."""
        return int(self._first_frames[video + 1] - self._first_frames[video])

    def describe(self, video: int) -> str:
        """Returns a video's name and its shard, for a person."""
        number = self._shard_number(video)
        place = f"{video - self._first_videos[number]} of {self.shards[number].name}"
        ids = self.features.get("video_id")
        if not isinstance(ids, Texts):
            return f"video {place}"
        video_id = ids[video].decode(errors="backslashreplace")
        return f"video {video_id} ({place})"

    def videos_of(self, shard_name: str) -> range:
        """Returns the numbers of the videos of a shard."""
        number = self._shard_numbers.get(shard_name)
        if number is None:
            raise self._error(f"is not of the shard {shard_name}")
        return range(self._first_videos[number], self._first_videos[number + 1])

    def read(
        self,
        video: int,
        frames: Sequence[int],
        allocate: Callable[[int], np.ndarray] | None = None,
    ) -> list[np.ndarray]:
        """Reads frames of a video with one positioned read, and verifies them.

        Args:
          video: Its number, in `[0, len(self))`.
          frames: Numbers of its frames, rising.
          allocate: Returns a uint8 array of so many bytes to read into; new memory
            when None.

        Returns:
          The encoded frames, uint8 `[num_bytes]` each, in the memory read into.

        Raises:
          UnreadableVideoError: If they are not what was written, or the disk fails;
            names the video.
          FrameIndexError: If the shard is not the one that was indexed.
          OSError: If the shard cannot be opened.
        """
        rows = self._rows(video, frames)
        start = int(rows["offset"][0])
        offsets = (rows["offset"].astype(np.int64) - start).tolist()
        lengths = rows["length"].tolist()
        num_bytes = offsets[-1] + lengths[-1]
        shard = self.shards[self._shard_number(video)]
        position = int(self._records[video]) + start
        if offsets[-1] < 0 or position + num_bytes > shard.num_bytes:
            raise self._damaged(video, frames[-1])
        data = allocate(num_bytes) if allocate else np.empty(num_bytes, np.uint8)
        # Opened anew each time, which takes 0.01 ms: a thousand shards are more than a
        # process may have open, and nothing has to be closed, before a fork or after.
        descriptor = os.open(self.path.parent / shard.name, os.O_RDONLY)
        try:
            if self._may_be_another(shard, os.fstat(descriptor)):
                self._require_same_features(descriptor, video)
            if tfrecords.fill(descriptor, data, position):
                raise self._error(f"is of a longer {shard.name}")
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise UnreadableVideoError(
                f"{self.describe(video)} in {self.path.parent} must be readable, got "
                f"{error.strerror} of the disk at byte {position}. Restore the shard, "
                "or build the dataset again."
            ) from error
        finally:
            os.close(descriptor)
        encoded = []
        for frame, offset, length, checksum in zip(
            frames, offsets, lengths, rows["checksum"].tolist(), strict=True
        ):
            jpeg = data[offset : offset + length]
            if len(jpeg) != length or google_crc32c.value(jpeg) != checksum:
                raise self._damaged(video, frame)
            encoded.append(jpeg)
        return encoded

    def _rows(self, video: int, frames: Sequence[int]) -> np.ndarray:
        """Reads and verifies what is kept of frames of a video."""
        first = int(self._first_frames[video])
        numbers = np.arange(first, int(self._first_frames[video + 1]))[list(frames)]
        block = int(numbers[0]) // BLOCK
        offset, num_bytes = self._frames
        start = block * BLOCK_BYTES
        end = min((int(numbers[-1]) // BLOCK + 1) * BLOCK_BYTES, num_bytes)
        content = np.empty(end - start, np.uint8)
        try:
            missing = tfrecords.fill(self._descriptor, content, offset + start)
        except OSError as error:
            problem = f"must be readable, got {error.strerror},"
        else:
            checksums = [
                google_crc32c.value(content[at : at + BLOCK_BYTES])
                for at in range(0, len(content), BLOCK_BYTES)
            ]
            expected = self._checksums[block : block + len(checksums)]
            if not missing and checksums == expected.tolist():
                return content.view(FRAME)[numbers - block * BLOCK]
            problem = "is damaged"
        raise UnreadableVideoError(
            self._text(f"{problem} where it tells of {self.describe(video)}")
        )

    def _shard_number(self, video: int) -> int:
        return bisect.bisect_right(self._first_videos, video) - 1

    def _description(self) -> dict[str, Any]:
        size = len(self._content)
        trailer = self._read(size - TRAILER.size, TRAILER.size)
        length, checksum, magic = TRAILER.unpack(trailer.data)
        if magic != MAGIC:
            if magic.startswith(FORMAT):
                raise self._error(f"is of another version of this package: {magic!r}")
            raise ValueError(f"it must end with {MAGIC!r}, got {magic!r}")
        self._tables_end = size - TRAILER.size - length
        description = self._read(self._tables_end, length)
        if google_crc32c.value(description) != checksum:
            raise ValueError("its description does not have its checksum")
        return json.loads(description.tobytes())

    def _read(self, offset: int, num_bytes: int) -> np.ndarray:
        """Reads from the file, for a disk that fails: what is mapped ends the process.

        Raises:
          ValueError: If it is shorter.
          OSError: If it cannot be read.
        """
        if offset < 0:
            raise ValueError(f"{num_bytes} bytes before its end")
        content = np.empty(num_bytes, np.uint8)
        if tfrecords.fill(self._descriptor, content, offset):
            raise ValueError(f"it ends before byte {offset + num_bytes}")
        return content

    def _place(self, name: str, dtype: str) -> tuple[int, int]:
        """Returns the offset and the bytes of a table."""
        kind, offset, num_bytes, _ = self._tables[name]
        if kind != dtype:
            raise ValueError(f"{name} of {kind}, not {dtype}")
        if not 0 <= offset <= offset + num_bytes <= self._tables_end:
            raise ValueError(f"{name} of {num_bytes} bytes at {offset}")
        return offset, num_bytes

    def _table(self, name: str, dtype: str) -> np.ndarray:
        """Returns a table as it is mapped, when it has been read and verified."""
        offset, num_bytes = self._place(name, dtype)
        checksum = 0
        for start in range(0, num_bytes, _CHUNK):
            chunk = self._read(offset + start, min(_CHUNK, num_bytes - start))
            checksum = google_crc32c.extend(checksum, chunk)
        if checksum != self._tables[name][-1]:
            raise ValueError(f"{name} does not have its checksum")
        return self._content[offset : offset + num_bytes].view(dtype)

    def _feature(self, name: str, kind: str) -> np.ndarray | Texts:
        if kind == TEXT:
            ends, content = tables_of_text(name)
            return Texts(self._table(ends, INT), self._table(content, BYTES))
        if kind not in (INT, FLOAT):
            raise ValueError(f"{name} is kept as {kind}")
        return self._table(name, kind)

    def _require_consistent(self) -> None:
        """Requires that tables fit each other, in whatever way they were made."""
        num_videos = sum(shard.num_videos for shard in self.shards)
        for values in (self._records, self._first_frames[1:], *self.features.values()):
            if len(values) != num_videos:
                raise ValueError(f"{num_videos} videos, and values of {len(values)}")
        offset, num_bytes = self._frames
        if offset:
            raise ValueError(f"frames begin at byte {offset}")
        _require_rising(self._first_frames, num_bytes // FRAME.itemsize)
        num_blocks = -(-num_bytes // BLOCK_BYTES)
        if len(self._checksums) != num_blocks or num_bytes % FRAME.itemsize:
            raise ValueError(f"{len(self._checksums)} checksums of {num_bytes} bytes")
        if (self._records < 0).any():
            raise ValueError("a record before the start of its shard")

    def _may_be_another(self, shard: Shard, status: os.stat_result) -> bool:
        """Tells whether a file of a shard's name and size may be another one.

        Raises:
          FrameIndexError: If it has another size.
        """
        if status.st_size != shard.num_bytes:
            raise self._error(
                f"is stale: {shard.name} had {shard.num_bytes} bytes, and has "
                f"{status.st_size}"
            )
        return status.st_mtime_ns != shard.modified

    def _require_first_video(self, number: int) -> None:
        """Requires that the first video of a shard is the one that was indexed.

        Raises:
          FrameIndexError: If it is another one.
        """
        path = self.path.parent / self.shards[number].name
        # What is damaged, or cannot be read, is told of when a clip asks for it.
        with contextlib.suppress(OSError, UnreadableVideoError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                self._require_same_features(descriptor, self._first_videos[number])
            finally:
                os.close(descriptor)

    def _require_same_features(self, descriptor: int, video: int) -> None:
        """Requires that a record holds, beside its frames, what the index says.

        Raises:
          FrameIndexError: If it is another one.
          UnreadableVideoError: If it is damaged, or there is none in its place.
          OSError: If it cannot be read.
        """
        place = int(self._records[video])
        data = np.empty(_HEAD_BYTES, np.uint8)
        data = data[: len(data) - tfrecords.fill(descriptor, data, place)]
        if self._has_features(video, data, tfrecords.first_features(data)):
            return
        # It is another one, or damaged, or of a builder that puts the frames first.
        try:
            data = tfrecords.read_at(descriptor, place)
            found = tfrecords.features(data)
        except ValueError as error:
            raise UnreadableVideoError(
                f"{self.describe(video)} in {self.path.parent} is not what was "
                f"written: {error}. {self._remedy()}"
            ) from error
        if not self._has_features(video, data, found):
            raise self._error(
                f"is stale: where it tells of {self.describe(video)}, there is another "
                "video, or another label"
            )

    def _has_features(
        self, video: int, data: np.ndarray, found: dict[str, list[Any]]
    ) -> bool:
        """Tells whether features that were found in a record are those of a video."""
        for name, table in self.features.items():
            if len(found.get(name, ())) != 1:
                return False
            (value,) = found[name]
            if isinstance(value, tfrecords.Span) != isinstance(table, Texts):
                return False
            if isinstance(table, Texts):
                same = tfrecords.text(data, value) == table[video]
            else:  # by its bytes, since NaN is not equal to itself
                number = table[video : video + 1]
                same = np.array([value], number.dtype).tobytes() == number.tobytes()
            if not same:
                return False
        return True

    def _error(self, problem: str) -> FrameIndexError:
        return FrameIndexError(self._text(problem))

    def _text(self, problem: str) -> str:
        return (
            f"The frame index {self.path} {problem}. Rebuild it: "
            f"kinetics-clips index {shlex.quote(str(self.path.parent))}"
        )

    def _damaged(self, video: int, frame: int) -> UnreadableVideoError:
        return UnreadableVideoError(
            f"Frame {frame} of {self.describe(video)} in {self.path.parent} is not "
            f"what was written: its checksum differs. {self._remedy()}"
        )

    def _remedy(self) -> str:
        return (
            "Verify the shard with `kinetics-clips index "
            f"{shlex.quote(str(self.path.parent))}`; where that fails too, restore the "
            "shard or build the dataset again."
        )


def _reopened(path: Path, tables: dict[str, Any]) -> FrameIndex:
    """Opens an index in another process, which numbers its videos as this one does.

    Raises:
      FrameIndexError: If there is another one by now.
    """
    index = FrameIndex(path)
    if index._tables != tables:
        raise FrameIndexError(
            f"The frame index {path} must be the one that was opened before, got one "
            "of other videos: the dataset has been built anew since. Open it again."
        )
    return index


def _shard(name: str, num_videos: int, num_bytes: int, modified: int) -> Shard:
    """Returns a shard, of the index's own directory, with numbers that can be."""
    if Path(name).name != name or not all(
        isinstance(value, int) for value in (num_videos, num_bytes, modified)
    ):
        raise ValueError(f"a shard {name!r}")
    if num_videos < 0 or num_bytes < 0:
        raise ValueError(f"{num_videos} videos in {num_bytes} bytes of {name}")
    return Shard(name, num_videos, num_bytes, modified)


def _require_rising(ends: np.ndarray, last: int) -> None:
    if not len(ends) or ends[0] or ends[-1] != last or (np.diff(ends) < 0).any():
        raise ValueError(f"places that do not rise from 0 to {last}")
