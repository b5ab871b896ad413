"""Random access to clips through the frame index, without TensorFlow.

A clip is drawn (`draw`), its frames are fetched (`fetch`), decoded (`decode`), and put
into a batch (`assemble`).
"""

import functools
import multiprocessing
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex, overload

import loky
import numpy as np
import numpy.typing as npt
import tensorflow_datasets as tfds

from kinetics_clips.read import (
    assemble,
    crops,
    draw,
    encoded,
    fetch,
    process_engine,
    repeats,
    shuffling,
    thread_engine,
)
from kinetics_clips.read.assemble import RAISE, Clip, Clips, OnError, Place
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.crops import Origin
from kinetics_clips.read.decoding_task import Source
from kinetics_clips.read.encoded import EncodedClip
from kinetics_clips.read.epochs import SharedEpoch
from kinetics_clips.store import datasets, index_format
from kinetics_clips.store.frame_index import FrameIndex

if TYPE_CHECKING:
    # What PyTorch's loaders are declared to take; a length and items are enough.
    from torch.utils.data import Dataset
    from typing_extensions import TypeIs

    class _Source(Dataset[Clip]):
        pass
else:
    _Source = object


class ClipSource(_Source):
    """The clips of a split: `source[i]` is a random one of its `i`-th video.

        source = kinetics_clips.ClipSource("kinetics_clips/k400", "train", spec, seed=0)
        source[17]["video"].shape

    Videos are numbered as they are stored. A source may be pickled, forked, and used by
    many threads. An array that it has returned is never written to again; what you
    write into it may be seen by processes that were forked since.

    Args:
      dataset: A TFDS name, the directory of a prepared dataset, or a builder.
      split: Any TFDS split expression, such as `train[:80%]`.
      spec: The `ClipSpec` that says what a clip is. Defaults to `ClipSpec()`: 64
        consecutive whole frames.
      seed: Seed of the random draws. With one, a clip depends on the seed, the epoch
        and the video's id alone. Defaults to None: every access draws anew.
      data_dir: Directory in which a name is looked for. Defaults to TFDS's own.
      num_threads: Number of processes that decode a batch, or of threads where
        processes are unavailable. Defaults to the number of cores that this process may
        use; in a worker of a loader, the calling thread decodes.

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
        spec: ClipSpec = ClipSpec(),  # noqa: B008 (frozen)
        seed: int | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
    ):
        self.spec = spec
        self._seed = seed
        self._epoch = SharedEpoch()
        if num_threads is not None and num_threads < 1:
            raise ValueError(
                f"`num_threads` must be at least 1 or None, got {num_threads}."
            )
        self._num_threads = num_threads
        builder = datasets.find(dataset, data_dir)
        self._name = f"{builder.info.full_name}, {split}"
        self._indexes, self._videos = _videos_of(builder, split)
        self._source = Source(self._indexes, spec)

    def __repr__(self) -> str:
        return f"<ClipSource of {len(self):,} videos: {self._name}, {self.spec}>"

    @functools.cached_property
    def labels(self) -> npt.NDArray[np.int64]:
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
        """Makes a source that has a seed draw the clips of an epoch; the first is 0.

        Its copies in processes that `multiprocessing` has started, such as the workers
        of PyTorch's loaders, draw those too, also where they stay from pass to pass.
        Grain does not call it: there, draw with `sample`.

        Args:
          epoch: Number of the epoch.
        """
        self._epoch.number = epoch

    @overload
    def __getitem__(self, index: int | np.integer) -> Clip: ...

    @overload
    def __getitem__(self, index: Sequence[int]) -> Clips: ...

    @overload
    def __getitem__(self, index: npt.NDArray[np.integer]) -> Clips: ...

    def __getitem__(
        self, index: int | np.integer | Sequence[int] | npt.NDArray[np.integer]
    ) -> Clip | Clips:
        """Returns a clip of a video, or of several videos as `batch` does.

        Args:
          index: Index of the video, in `[-len(self), len(self))`; or indices of
            several, in a sequence or an array.

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
        if _are_several(index):
            return self.batch(index)
        # Where `set_epoch` is called, epochs differ.
        if self._seed is not None and self._epoch.number == 0:
            repeats.tell(self)
        video = operator.index(index)
        return self.sample(video, draw.generator(*self._place(video), self._key()))

    def __getitems__(self, indices: Sequence[int]) -> list[Clip]:
        """Returns clips of several videos, as PyTorch's loaders ask for a batch."""
        if not self._have_one_size():
            return [self[index] for index in indices]
        batch = self.batch(indices)
        return [
            Clip(
                video=batch["video"][at],
                label=batch["label"][at],
                video_id=batch["video_id"][at],
                frame_indices=batch["frame_indices"][at],
            )
            for at in range(len(indices))
        ]

    def sample(self, index: SupportsIndex, rng: np.random.Generator) -> Clip:
        """Returns a clip of a video as `source[index]` does, drawn with `rng`.

        Args:
          index: Index of the video, in `[-len(self), len(self))`.
          rng: NumPy's generator of the random numbers; the clip depends on its state,
            and not on the source's seed and epoch.
        """
        places = [self._place(index)]
        decoded = thread_engine.read(places, [rng], self.spec, num_threads=0)
        clips = assemble.clips(decoded, places, self.spec, RAISE)
        return Clip(
            video=clips["video"][0],
            label=clips["label"][0],
            video_id=clips["video_id"][0],
            frame_indices=clips["frame_indices"][0],
        )

    @overload
    def encoded(self, index: int | np.integer) -> EncodedClip: ...

    @overload
    def encoded(self, index: Sequence[int]) -> list[EncodedClip]: ...

    @overload
    def encoded(self, index: npt.NDArray[np.integer]) -> list[EncodedClip]: ...

    def encoded(
        self, index: int | np.integer | Sequence[int] | npt.NDArray[np.integer]
    ) -> EncodedClip | list[EncodedClip]:
        """Returns the clip `source[index]` as JPEGs, for decoders such as a GPU's.

        The calling thread reads them as they are stored, verifies their checksums, and
        decodes none. Without a seed, this is a new draw.

        Args:
          index: Index of the video, in `[-len(self), len(self))`; or indices of
            several, in a sequence or an array.

        Returns:
          The `EncodedClip`; of several videos a list of them, whose frames may be of
          any sizes.

        Raises:
          IndexError: If there is no such video.
          UnreadableVideoError: If it is not what was written; names video and frame.
          FrameIndexError: If its shard has changed since it was indexed.
          OSError: If its shard cannot be read.
        """
        indices = index if _are_several(index) else [operator.index(index)]
        places, key = [self._place(video) for video in indices], self._key()
        clips = [
            encoded.clip(*place, draw.generator(*place, key), self.spec)
            for place in places
        ]
        return clips if _are_several(index) else clips[0]

    def origin(self, index: SupportsIndex) -> Origin:
        """Tells where in its video the clip `source[index]` comes from.

        Without a seed, this is a new draw, of none of the clips that were returned.
        Raises the same errors as `source[index]`.

        Args:
          index: Index of the video, in `[-len(self), len(self))`.
        """
        frame_index, video = self._place(index)
        rng = draw.generator(frame_index, video, self._key())
        clip = fetch.clip(frame_index, video, rng, self.spec)
        return Origin(clip.size, draw.stored_fps(frame_index, video), clip.view)

    def batch(
        self,
        indices: Iterable[int],
        key: int | None = None,
        on_error: OnError = RAISE,
    ) -> Clips:
        """Returns clips of several videos, decoded over the cores into one array.

        Args:
          indices: Indices of the videos to read.
          key: Number in `[0, 2**63)` that takes the place of the source's seed and
            epoch. Defaults to None: those are used.
          on_error: What a video that cannot be read does: `raise` an error (the
            default), or `skip`: it is left out, and logged.

        Returns:
          What `source[index]` returns, with a leading axis of clips.

        Raises:
          ValueError: If the clips are not of one size. All others as `source[index]`.
        """
        if key is not None and not 0 <= key < 1 << 63:
            raise ValueError(f"`key` must be in [0, 2**63) or None, got {key}.")
        key = self._key() if key is None else key
        videos = [self._video(index) for index in indices]
        places = [(self._indexes[which], video) for which, video in videos]
        decoded = None
        # A worker of PyTorch's or Grain's loaders is one of many.
        is_worker = multiprocessing.parent_process() is not None
        num_threads = self._num_threads or (0 if is_worker else _num_cores(os.getpid()))
        engine = None if is_worker else process_engine.of_this_process(num_threads)
        if engine and videos:
            decoded = engine.read(self._source, videos, key)
        if decoded is None:
            generators = [draw.generator(*place, key) for place in places]
            decoded = thread_engine.read(places, generators, self.spec, num_threads)
        return assemble.clips(decoded, places, self.spec, on_error)

    def require_one_size(self) -> None:
        """Requires that all clips can be in one batch, as far as the index knows sizes.

        Raises:
          ValueError: If not.
        """
        if self._sizes and len(self._sizes) > 1:
            raise assemble.no_batch(self._sizes)

    def _have_one_size(self) -> bool:
        return self._sizes is not None and len(self._sizes) == 1

    @functools.cached_property
    def _sizes(self) -> set[tuple[int, int]] | None:
        """Sizes of clips, (height, width) in pixels; None where the index has none."""
        if self.spec.side is not None:
            return {(self.spec.side, self.spec.side)}
        sizes: set[tuple[int, int]] = set()
        for which, index in enumerate(self._indexes):
            if not draw.has_sizes(index):
                return None
            mine = self._videos[self._videos[:, 0] == which, 1]
            sides = [index.features[name][mine] for name in ("height", "width")]
            sizes |= {(h, w) for h, w in np.unique(sides, axis=1).T.tolist()}
        if self.spec.size is not None:
            side = self.spec.size
            scaled = (crops.scaled_to(*size, side) for size in sizes)
            sizes = {(int(height), int(width)) for height, width in scaled}
        return sizes

    def _key(self) -> int | None:
        if self._seed is None:
            return None
        return shuffling.epoch_key(self._seed, self._epoch.number)

    def _place(self, index: SupportsIndex) -> Place:
        which, video = self._video(index)
        return self._indexes[which], video

    def _video(self, index: SupportsIndex) -> tuple[int, int]:
        """Returns which frame index holds a video, and its number there."""
        if not -len(self) <= operator.index(index) < len(self):
            raise IndexError(
                f"`index` must be in [{-len(self)}, {len(self)}), got {index}."
            )
        which, video = self._videos[index].tolist()
        return which, video


@functools.cache
def _num_cores(process_id: int) -> int:
    """Returns the number of cores that a process may use, without reading it anew.

    Reading files gives the interpreter's lock away, which a caller that computes keeps
    for 5 ms each time.
    """
    return loky.cpu_count()


def _are_several(
    index: int | np.integer | Sequence[int] | npt.NDArray[np.integer],
) -> "TypeIs[Sequence[int] | npt.NDArray[np.integer]]":
    return isinstance(index, Sequence) or (
        isinstance(index, np.ndarray) and index.ndim > 0
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
            indexes[name] = FrameIndex(index_format.path_of(directory, name))
        numbers = indexes[name].videos_of(shard)[piece.skip :][: piece.take]
        which = np.full(len(numbers), list(indexes).index(name))
        videos.append(np.stack([which, np.asarray(numbers, np.int64)], axis=1))
    return list(indexes.values()), np.concatenate(videos)
