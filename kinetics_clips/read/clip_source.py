"""Random access to clips through the frame index, without TensorFlow."""

import collections
import functools
import logging
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import loky
import numpy as np
import tensorflow_datasets as tfds

from kinetics_clips.read import jpegs, windows
from kinetics_clips.read.arrays import ArrayPool
from kinetics_clips.read.threads import Tasks
from kinetics_clips.read.windows import ClipSpec, Origin, View
from kinetics_clips.store import datasets, frame_index
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError

_log = logging.getLogger(__name__)

RAISE, SKIP = "raise", "skip"

# Threads that share a clip, where they have nothing else to do, have at least so many
# frames each: many cores decode one batch, and waking them costs nothing beside it.
_FRAMES_A_THREAD = 16

# Features by which datasets of this package are known: what they say of a frame's size
# is so.
_OWN_FEATURES = {"filename", "num_frames", "height", "width", "fps"}

_MAX_SIZES = 8  # that an error shows

# Memory for decoded clips, and for windows as they are stored.
_decoded = ArrayPool(max_free=4)
_encoded = ArrayPool(max_free=64)
_STEP = 1 << 18  # sizes of the latter are multiples of it: memory fits again

_scratch = threading.local()  # a frame of the thread, decoded and not yet cropped


class ClipSource:
    """The clips of a split: `source[i]` is a random one of its `i`-th video.

        source = kinetics_clips.ClipSource("kinetics_clips/k400", "train", spec, seed=0)
        source[17]["video"].shape

    Videos are numbered as they are stored. A source may be pickled, forked, and used by
    many threads. An array that it has returned is never written to again.

    Args:
      dataset: A TFDS name, the directory of a prepared dataset, or a builder.
      split: Any TFDS split expression, such as `train[:80%]`.
      spec: The `ClipSpec` that says what a clip is.
      seed: Seed of the random draws. With one, a clip depends on the seed, the epoch
        and the video's id alone. Defaults to None: every access draws anew.
      data_dir: Directory in which a name is looked for. Defaults to TFDS's own.
      num_threads: Number of threads that decode a batch. Defaults to the number of
        cores that this process may use.

    Attributes:
      spec: The `ClipSpec` of the clips.
      labels: Labels of the videos, int64 `[len(source)]`, -1 where there is none. A
        sampler that draws some classes more often than others needs them.

    Raises:
      FileNotFoundError: If the dataset is not there; says how to build it.
      FrameIndexError: If its frame index is not there, damaged, or of other shards;
        says how to make it.
      ValueError: If there is no such split, it holds no video, or the dataset is not
        stored as TFRecords.
      RuntimeError: Under `tfds.testing.mock_data`, which has no files.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        split: str,
        spec: ClipSpec,
        seed: int | None = None,
        data_dir: str | os.PathLike | None = None,
        num_threads: int | None = None,
    ):
        self.spec = spec
        self._seed = seed
        self._epoch = 0
        self._num_threads = num_threads or loky.cpu_count()
        self._indexes, self._videos = _videos_of(
            datasets.find(dataset, data_dir), split
        )

    @functools.cached_property
    def labels(self) -> np.ndarray:
        labels = np.full(len(self), -1, np.int64)
        for which, index in enumerate(self._indexes):
            stored = index.features.get("label")
            if isinstance(stored, np.ndarray):
                mine = self._videos[:, 0] == which
                labels[mine] = stored[self._videos[mine, 1]]
        return labels

    def __len__(self) -> int:
        """Returns the number of videos."""
        return len(self._videos)

    def set_epoch(self, epoch: int) -> None:
        """Makes a source that has a seed draw the clips of an epoch; the first is 0."""
        self._epoch = epoch

    def __getitem__(self, number: int) -> dict[str, object]:
        """Returns a clip of a video.

        Args:
          number: Index of the video, in `[-len(self), len(self))`.

        Returns:
          `video` uint8 `[length, height, width, 3]`, RGB; `label` int64, -1 where there
          is none; `video_id` bytes; `frame_indices` int32 `[length]`, the stored frames
          of the clip. Of several views, `video` and `frame_indices` have a leading axis
          of them, window by window.

        Raises:
          IndexError: If there is no such video.
          UnreadableVideoError: If it is not what was written; names video and frame.
          FrameIndexError: If its shard has changed since it was indexed.
          OSError: If its shard cannot be read.
        """
        rng = _generator(*self._place(number), self._key())
        return self.sample(number, rng)

    def sample(self, number: int, rng: np.random.Generator) -> dict[str, object]:
        """Returns a clip of a video as `source[number]` does, drawn with `rng`."""
        batch = _Batch(1, self.spec, operator.call)
        batch.add(0, *self._place(number), rng)
        clips = batch.clips(RAISE)
        return {name: values[0] for name, values in clips.items()}

    def origin(self, number: int) -> Origin:
        """Tells where in its video the clip `source[number]` comes from.

        Without a seed, that is another clip than any that was returned.

        Raises:
          As `source[number]`.
        """
        index, video = self._place(number)
        rng = _generator(index, video, self._key())
        clip = _read(index, video, rng, self.spec)
        return Origin(clip.size, _stored_fps(index, video), clip.view)

    def batch(
        self, numbers: Iterable[int], key: int | None = None, on_error: str = RAISE
    ) -> dict[str, np.ndarray]:
        """Returns clips of several videos, decoded over the cores into one array.

        Args:
          numbers: Indices of the videos to read.
          key: Key of an epoch, as `windows.epoch_key` returns it. Defaults to that of
            the source's own seed and epoch.
          on_error: What a video that cannot be read does: `raise` an error (the
            default), or `skip`: it is left out, and logged.

        Returns:
          What `source[number]` returns, with a leading axis of clips.

        Raises:
          ValueError: If the clips are not of one size. All others as `source[number]`.
        """
        key = self._key() if key is None else key
        places = [self._place(number) for number in numbers]
        tasks = Tasks(self._num_threads)
        batch = _Batch(len(places), self.spec, tasks.start)
        for at, place in enumerate(places):
            rng = _generator(*place, key)
            tasks.start(functools.partial(batch.add, at, *place, rng))
        tasks.wait()
        return batch.clips(on_error)

    def require_one_size(self) -> None:
        """Requires that all clips can be in one batch, as far as the index knows sizes.

        Raises:
          ValueError: If not.
        """
        if self.spec.side is not None:
            return
        sizes = set()
        for which, index in enumerate(self._indexes):
            if not _OWN_FEATURES <= index.features.keys():  # of another builder
                return
            mine = self._videos[self._videos[:, 0] == which, 1]
            sides = [index.features[name][mine] for name in ("height", "width")]
            sizes |= set(map(tuple, np.unique(sides, axis=1).T.tolist()))
        if self.spec.size is not None:
            sizes = {windows.scaled_to(*size, self.spec.size) for size in sizes}
        if len(sizes) > 1:
            raise _no_batch({tuple(map(int, size)) for size in sizes})

    def _key(self) -> int | None:
        if self._seed is None:
            return None
        return windows.epoch_key(self._seed, self._epoch)

    def _place(self, number: int) -> tuple[FrameIndex, int]:
        if not -len(self) <= number < len(self):
            raise IndexError(
                f"`number` must be in [{-len(self)}, {len(self)}), got {number}."
            )
        which, video = self._videos[number].tolist()
        return self._indexes[which], video


def _no_batch(sizes: set[tuple[int, int]]) -> ValueError:
    """Returns the error of clips of several sizes, (height, width), in a batch."""
    more = ", ..." if len(sizes) > _MAX_SIZES else ""
    shown = ", ".join(map(str, sorted(sizes)[:_MAX_SIZES]))
    return ValueError(
        f"Frames have {len(sizes):,} sizes: batches need a crop. The clips of a batch "
        f"must have one size, got (height, width) [{shown}{more}]. Set a crop, as in "
        "ClipSpec(crop=224), or read single clips."
    )


def _videos_of(
    builder: tfds.core.DatasetBuilder, split: str
) -> tuple[list[FrameIndex], np.ndarray]:
    """Returns indexes, and of each video which one and its number there, `[n, 2]`."""
    datasets.require_tfrecords(builder)
    directory = Path(builder.data_path)
    part = datasets.split_of(builder, split)
    split_of = {
        filename: name
        for name, info in builder.info.splits.items()
        for filename in info.filenames
    }
    indexes: dict[str, FrameIndex] = {}
    videos = [np.empty((0, 2), np.int64)]
    for piece in part.file_instructions:
        shard = os.path.basename(piece.filename)
        name = split_of[shard]
        if name not in indexes:
            indexes[name] = FrameIndex(frame_index.path_of(directory, name))
        numbers = indexes[name].videos_of(shard)[piece.skip :][: piece.take]
        which = np.full(len(numbers), list(indexes).index(name))
        videos.append(np.stack([which, np.asarray(numbers, np.int64)], axis=1))
    return list(indexes.values()), np.concatenate(videos)


class _Clip(NamedTuple):
    """A clip that is drawn and read, but not decoded.

    Attributes:
      index: The frame index that holds the video.
      video: Number of the video in that index.
      label: Label of the video; -1 where there is none.
      video_id: Id of the video.
      frame_indices: int32 `[num_windows, length]`.
      encoded: Frame -> its JPEG, of each that is needed.
      places: Frame -> (window, number there) wherever it is shown.
      size: (height, width) of a frame, in pixels.
      view: Which pixels are shown.
    """

    index: FrameIndex
    video: int
    label: int
    video_id: bytes
    frame_indices: np.ndarray
    encoded: dict[int, np.ndarray]
    places: dict[int, list[tuple[int, int]]]
    size: tuple[int, int]
    view: View


def _read(
    index: FrameIndex, video: int, rng: np.random.Generator, spec: ClipSpec
) -> _Clip:
    """Draws a clip of a video and reads the frames it needs."""
    stored_fps = _stored_fps(index, video)
    if spec.fps is not None and not stored_fps > 0:
        raise UnreadableVideoError(
            f"{index.describe(video)} must have a known rate for clips of {spec.fps} "
            f"frames a second, got {stored_fps}. Use `stride` instead of `fps`."
        )
    num_frames = index.num_frames(video)
    if not num_frames:  # of another builder's dataset
        raise UnreadableVideoError(f"{index.describe(video)} must have frames, got 0.")
    frame_indices = windows.draw_frames(rng, num_frames, stored_fps, spec)
    places = {}
    for window, row in enumerate(frame_indices.tolist()):
        for at, frame in enumerate(row):
            places.setdefault(frame, []).append((window, at))
    needed = sorted(places)
    encoded = dict(zip(needed, index.read(video, needed, _take_bytes), strict=True))
    try:
        size = jpegs.frame_size(encoded[needed[0]])
    except ValueError as error:
        raise _no_jpeg(index, video, needed[0], error) from error
    labels = index.features.get("label")
    return _Clip(
        index=index,
        video=video,
        label=labels[video] if isinstance(labels, np.ndarray) else -1,
        video_id=_video_id(index, video),
        frame_indices=frame_indices,
        encoded=encoded,
        places=places,
        size=size,
        view=_whole(windows.draw_view(rng, *size, spec)),
    )


def _stored_fps(index: FrameIndex, video: int) -> float:
    return index.features["fps"][video] if "fps" in index.features else 0.0


def _whole(view: View) -> View:
    """Returns a view in Python's numbers."""
    return View(
        scaled=tuple(map(int, view.scaled)),
        boxes=[tuple(map(int, box)) for box in view.boxes],
        size=tuple(map(int, view.size)),
        flip=bool(view.flip),
    )


def _generator(index: FrameIndex, video: int, key: int | None) -> np.random.Generator:
    if key is None:
        return np.random.default_rng()
    return windows.generator(key, _video_id(index, video))


def _video_id(index: FrameIndex, video: int) -> bytes:
    if "video_id" in index.features:
        return index.features["video_id"][video]
    return index.describe(video).encode()  # of another builder's dataset


def _take_bytes(num_bytes: int) -> np.ndarray:
    return _encoded.take((-(-num_bytes // _STEP) * _STEP,))[:num_bytes]


class _Batch:
    """Clips that are read and decoded into one array, by any threads.

    Args:
      num_clips: Number of clips of the batch.
      spec: The `ClipSpec` that says what they are.
      start: Function that runs a task, at once or in another thread.
    """

    def __init__(
        self,
        num_clips: int,
        spec: ClipSpec,
        start: Callable[[Callable[[], None]], object],
    ):
        self._num_clips, self._spec, self._start = num_clips, spec, start
        self._clips: dict[int, _Clip] = {}
        self._errors: dict[int, Exception] = {}
        # A dict, so that of two threads that both make the array one wins.
        self._memory: dict[str, np.ndarray] = {}

    def add(
        self, at: int, index: FrameIndex, video: int, rng: np.random.Generator
    ) -> None:
        """Reads a clip of a video, and decodes it to its place in the batch."""
        try:
            clip = _read(index, video, rng, self._spec)
            views = self._video(clip.view.size)[at]
        except Exception as error:  # `clips` raises it
            self._errors[at] = error
            return
        self._clips[at] = clip
        frames = collections.deque(clip.encoded)
        decode = functools.partial(self._decode, at, views, frames)
        for _ in range(len(frames) // _FRAMES_A_THREAD - 1):
            self._start(decode)
        decode()

    def _decode(
        self, at: int, views: np.ndarray, frames: collections.deque[int]
    ) -> None:
        """Decodes frames until none is left; threads that share a clip take turns."""
        try:
            _decode_frames(self._clips[at], views, _taken(frames))
        except Exception as error:  # `clips` raises it
            frames.clear()
            self._errors[at] = error

    def _video(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the array of all clips; the first one's size is that of all."""
        shape = (self._num_clips, self._spec.num_views, self._spec.length, *size, 3)
        if not self._memory:
            self._memory.setdefault("video", _decoded.take(shape))
        video = self._memory["video"]
        if video.shape != shape:
            raise _no_batch({size, video.shape[3:5]})
        return video

    def clips(self, on_error: str) -> dict[str, np.ndarray]:
        """Returns what `ClipSource.batch` does, when all tasks are done."""
        for _, error in sorted(self._errors.items()):
            if on_error != SKIP or not isinstance(error, UnreadableVideoError):
                raise error
            _log.warning("skipped: %s", error)
        spec = self._spec
        good = sorted(self._clips.keys() - self._errors.keys())
        clips = [self._clips[at] for at in good]
        if not self._memory:  # nothing could be read
            self._video((spec.side or 0,) * 2)
        video = self._memory["video"]
        if len(clips) < self._num_clips:
            video = video[good]
        frame_indices = np.empty((len(clips), spec.num_windows, spec.length), np.int32)
        for number, clip in enumerate(clips):
            frame_indices[number] = clip.frame_indices
        if spec.num_views == 1:
            video, frame_indices = video[:, 0], frame_indices[:, 0]
        else:
            frame_indices = np.repeat(frame_indices, spec.num_crops, axis=1)
        video_ids = np.empty(len(clips), object)
        video_ids[:] = [clip.video_id for clip in clips]
        return {
            "video": video,
            "label": np.array([clip.label for clip in clips], np.int64),
            "video_id": video_ids,
            "frame_indices": frame_indices,
        }


def _taken(frames: collections.deque[int]) -> Iterator[int]:
    while True:
        try:
            yield frames.popleft()
        except IndexError:  # another thread has taken the last one
            return


def _decode_frames(clip: _Clip, views: np.ndarray, frames: Iterable[int]) -> None:
    """Decodes frames to their places in uint8 `[num_views, length, h, w, 3]`."""
    # While Python runs here, no other thread returns from its decoder: what is the same
    # for all frames is done before.
    view = clip.view
    height, width = clip.size
    is_cut = view.boxes != [(0, 0, height, width)]
    is_changed = view.size != view.boxes[0][2:] or view.scaled != clip.size or view.flip
    if not is_cut and not is_changed:
        for frame in frames:
            first, *others = clip.places[frame]
            _decode_frame(clip, frame, views[first], height)
            for place in others:
                views[place] = views[first]
        return
    pixels = _frame_memory(height, width)
    # Scaling reads all of a frame.
    bottom = max(top + box_height for top, _, box_height, _ in view.boxes)
    num_rows = bottom if view.scaled == clip.size else height
    shown = [] if is_changed else _cut(pixels, view)
    for frame in frames:
        _decode_frame(clip, frame, pixels, num_rows)
        if is_changed:
            shown = _changed(pixels, view)
        for window, at in clip.places[frame]:
            for crop, part in enumerate(shown, start=window * len(shown)):
                views[crop, at] = part


def _decode_frame(clip: _Clip, frame: int, pixels: np.ndarray, num_rows: int) -> None:
    try:
        jpegs.decode(clip.encoded[frame], pixels, num_rows)
    except ValueError as error:
        raise _no_jpeg(clip.index, clip.video, frame, error) from error


def _changed(pixels: np.ndarray, view: View) -> list[np.ndarray]:
    """Returns the crops of a frame, scaled and flipped as they are to be."""
    crops = [
        _resized(crop, view.size) for crop in _cut(_resized(pixels, view.scaled), view)
    ]
    return [crop[:, ::-1] for crop in crops] if view.flip else crops


def _cut(pixels: np.ndarray, view: View) -> list[np.ndarray]:
    return [
        pixels[top : top + height, left : left + width]
        for top, left, height, width in view.boxes
    ]


def _frame_memory(height: int, width: int) -> np.ndarray:
    num_bytes = height * width * 3
    memory = getattr(_scratch, "memory", None)
    if memory is None or len(memory) < num_bytes:
        memory = _scratch.memory = np.empty(num_bytes, np.uint8)
    return memory[:num_bytes].reshape(height, width, 3)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    from kinetics_clips.wheels import cv2  # codecs, which only those need who scale

    height, width = size
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(
        pixels,
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )


def _no_jpeg(
    index: FrameIndex, video: int, frame: int, problem: object
) -> UnreadableVideoError:
    return UnreadableVideoError(
        f"Frame {frame} of {index.describe(video)} must be a JPEG of the video's size, "
        f"got {problem}. Build the dataset again."
    )
