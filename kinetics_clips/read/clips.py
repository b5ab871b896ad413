"""Reads random clips as a `tf.data.Dataset`."""

import atexit
import collections
import functools
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

import loky
import numpy as np

from kinetics_clips.read import assemble, shuffling, streaming
from kinetics_clips.read.clip_source import ClipSource
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.store import datasets
from kinetics_clips.store.frame_index import NoFrameIndexError
from kinetics_clips.wheels import tensorflow as tf

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# Windows in the shuffle buffer where there is no frame index. 64 frames of 340x256 take
# about 0.9 MB.
_SHUFFLE_WINDOWS = 128

_TYPES = {
    "video": tf.uint8,
    "label": tf.int64,
    "video_id": tf.string,
    "frame_indices": tf.int32,
}


def load_clips(
    dataset: datasets.Dataset,
    split: str,
    spec: ClipSpec = ClipSpec(),  # noqa: B008 (frozen)
    batch_size: int | None = None,
    shuffle: bool | int = True,
    seed: int | None = None,
    num_epochs: int | None = 1,
    data_dir: str | os.PathLike[str] | None = None,
    drop_remainder: bool = False,
    epoch: int | None = None,
    shard: tuple[int, int] = (0, 1),
    as_supervised: bool = False,
    on_error: assemble.OnError = assemble.RAISE,
    start: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """Reads a random clip of every video of a split, in random order.

    Every pass over the returned dataset is a new epoch, with new windows and a new
    order: `for epoch in range(90): for batch in ds`, `model.fit(..., epochs=90)` and
    `num_epochs=90` alike. The same seed gives the same clips in the n-th pass, in every
    process that calls `tf.random.set_seed` alike or not at all: TensorFlow mixes its
    own seed in. An iterator that was saved by `tf.train.Checkpoint` in mid-epoch goes
    on with the clips that were due.

    With a frame index (every dataset on a local disk that `kinetics-clips` has built or
    indexed) the windows alone are read, and shuffled over the whole split. Without one,
    records are streamed as a whole, and shuffled as far as a buffer reaches; the log
    says so.

    Args:
      dataset: A TFDS name, the directory of a prepared dataset, or a builder.
      split: Any TFDS split expression, such as `train[:80%]`.
      spec: The `ClipSpec` that says what a clip is. Defaults to `ClipSpec()`: 64
        consecutive whole frames.
      batch_size: Number of clips per batch. Defaults to None: single clips. All clips
        of a batch must have one size; where those of the videos differ, that takes a
        `spec.crop` or `spec.area`.
      shuffle: Whether clips come in random order, as they do by default, or in the
        order of the stored records. A number is that of the windows in the shuffle
        buffer where records are streamed (128 for True).
      seed: Seed of the random draws, for reproducible clips. Defaults to None: clips
        differ on every run, unless `tf.random.set_seed` was called.
      num_epochs: Number of passes over the split, one after the other. Defaults to 1;
        None never ends.
      data_dir: Directory in which a name is looked for. Defaults to TFDS's own.
      drop_remainder: Whether an epoch's last batch is left out when it is not full.
        Defaults to False.
      epoch: Number of the epoch that every pass repeats: that of
        `ClipSource.set_epoch` with the same seed, where there is a frame index.
        Defaults to None: every pass is a new epoch.
      shard: Index of this host, and number of hosts that share the work. Each gets its
        own videos; shuffled, `n // count` of them, other ones in every epoch. Where
        records are streamed, every host reads those of all. Defaults to (0, 1).
      as_supervised: Whether to return `(video, label)` instead of dicts. Defaults to
        False.
      on_error: What a stored video that cannot be read does: `raise` an error that
        names shard, video and frame (the default), or `skip`: it is left out, and
        logged. Where records are streamed, so is what comes after a damaged one in its
        shard.
      start: Epoch, and batch of it, with which the first pass begins, at once, as a run
        that was interrupted there would have gone on. Each run of such a kind has a
        `start`, the first one (0, 0); its epochs are those of `ClipSampler` and
        `ClipSource` with the same seed. Defaults to None: epochs have no numbers.

    Returns:
      Dicts as `sample_clip` returns them, with a leading batch axis where `batch_size`
      is given.

    Raises:
      FileNotFoundError: If the dataset is not there; says how to build it.
      FrameIndexError: If its frame index is damaged, or of other shards; says how to
        make it anew.
      ValueError: If an argument is out of its range, there is no such split, the
        dataset is not stored as TFRecords, or its clips have several sizes, which make
        no batch.
      RuntimeError: Under `tfds.testing.mock_data`, which has no files.
    """
    _check(batch_size, shuffle, seed, num_epochs, epoch, shard, on_error, start)
    builder = datasets.find(dataset, data_dir)
    num_videos = datasets.split_of(builder, split).num_examples
    num_videos = _share_of(num_videos, shard, shuffle)
    num_batches = num_videos
    if batch_size is not None:
        full, rest = divmod(num_videos, batch_size)
        num_batches = full + (rest > 0 and not drop_remainder)
    if not num_batches:
        raise ValueError(
            f"`split` must hold at least one batch, got {num_videos} videos in "
            f"{split!r} for batches of {batch_size}. Set drop_remainder=False or a "
            "smaller batch."
        )
    if epoch is None or seed is None:  # an epoch of its own has a seed
        keys = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        keys = keys.batch(2)
    else:
        key = shuffling.epoch_key(seed, epoch)
        keys = tf.data.Dataset.from_tensors(np.array([key, key])).repeat()
    if num_epochs is not None:
        keys = keys.take(num_epochs)
    skip = on_error == assemble.SKIP
    options = tf.data.Options()
    # Saves the position of an iterator, not what it has read ahead.
    options.experimental_symbolic_checkpoint = True
    try:
        source = ClipSource(builder, split, spec)
    except NoFrameIndexError as error:
        if start is not None:
            raise ValueError(
                f"`start` must be None where there is no frame index, got {start}: "
                f"what comes before would have to be read. {error}"
            ) from error
        _log_streaming(str(error))
        stream = functools.partial(
            streaming.read_epoch,
            builder,
            split,
            spec,
            num_shuffled=_SHUFFLE_WINDOWS if shuffle is True else int(shuffle),
            batch_size=batch_size,
            drop_remainder=drop_remainder,
            shard=shard,
            may_lack=skip,
        )
        clips = keys.flat_map(tf.autograph.experimental.do_not_convert(stream))
        if skip:
            clips = clips.ignore_errors(log_warning=True)
    else:
        if (batch_size or 1) > 1:
            source.require_one_size()
        # As many clips at once as there are cores, which all decode a batch; and one
        # batch more, so that they have work while a batch changes hands.
        num_cores = loky.cpu_count()
        num_calls = -(-num_cores // (batch_size or 1)) + 1
        # Each holds a thread of TensorFlow while others decode for it. Without threads
        # beyond those, all that tf.data has to do besides would wait for one of them.
        options.threading.private_threadpool_size = num_cores + num_calls
        if start is None:
            batches = keys.flat_map(
                lambda key: tf.data.Dataset.range(num_batches).map(
                    lambda n: (key[0], n)
                )
            )
        else:
            assert seed is not None
            batches = _batches_from(start, seed, num_batches, num_epochs)
        clips = batches.map(
            _by_index(source, bool(shuffle), batch_size, shard, on_error),
            num_parallel_calls=num_calls,
        )
        if skip:
            clips = clips.filter(lambda clip: tf.size(clip["label"]) > 0)
        if batch_size is None:
            clips = clips.map(lambda batch: {name: batch[name][0] for name in batch})
        elif skip and drop_remainder:
            clips = clips.unbatch().batch(batch_size, drop_remainder=True)
        elif drop_remainder:
            clips = clips.map(functools.partial(_with_batch_size, batch_size))
    if as_supervised:
        clips = clips.map(lambda clip: (clip["video"], clip["label"]))
    if not skip:
        cardinality = (
            tf.data.INFINITE_CARDINALITY
            if num_epochs is None
            else num_batches * num_epochs - (start[1] if start else 0)
        )
        clips = clips.apply(tf.data.experimental.assert_cardinality(cardinality))
    clips = clips.with_options(options)
    # One batch of whole frames takes 134 MB: no more than one waits to be taken.
    return clips.prefetch(1 if batch_size else tf.data.AUTOTUNE)


def _check(
    batch_size: int | None,
    shuffle: bool | int,
    seed: int | None,
    num_epochs: int | None,
    epoch: int | None,
    shard: tuple[int, int],
    on_error: str,
    start: tuple[int, int] | None,
) -> None:
    if num_epochs is not None and num_epochs < 1:
        raise ValueError(f"`num_epochs` must be at least 1 or None, got {num_epochs}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1 or None, got {batch_size}.")
    if not isinstance(shuffle, int) or shuffle < 0:
        raise ValueError(
            f"`shuffle` must be a bool or a number of windows, got {shuffle!r}."
        )
    if on_error not in (assemble.RAISE, assemble.SKIP):
        raise ValueError(f"`on_error` must be 'raise' or 'skip', got {on_error!r}.")
    shuffling.require_shard(shard)
    if start is not None and epoch is not None:
        raise ValueError(
            f"`start` must be None where there is an `epoch`, got {start}."
        )
    if seed is None and (start or epoch is not None or (shard[1] > 1 and shuffle)):
        what = "the same order on every host"
        if start or epoch is not None:
            what = "epochs that have numbers"
        raise ValueError(f"`seed` must be a whole number for {what}, got None.")


def _batches_from(
    start: tuple[int, int], seed: int, num_batches: int, num_epochs: int | None
) -> tf.data.Dataset:
    """Returns the key and the number of each batch, from a batch of an epoch on."""
    first_epoch, first_batch = start
    if first_epoch < 0 or not 0 <= first_batch <= num_batches:
        raise ValueError(
            f"`start` must be (epoch, batch) with 0 <= epoch and 0 <= batch <= "
            f"{num_batches}, got {start}."
        )
    last = np.iinfo(np.int64).max if num_epochs is None else first_epoch + num_epochs

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # Of a stateful function no iterator could be saved.
        key = tf.numpy_function(
            lambda epoch: np.int64(shuffling.epoch_key(seed, int(epoch))),
            [epoch],
            tf.int64,
            stateful=False,
        )
        key = tf.ensure_shape(key, [])
        begin = tf.where(epoch == first_epoch, np.int64(first_batch), np.int64(0))
        numbers = tf.data.Dataset.range(begin, num_batches)
        return numbers.map(lambda number: (key, number))

    return tf.data.Dataset.range(first_epoch, last).flat_map(of_epoch)


def _share_of(num_videos: int, shard: tuple[int, int], shuffle: bool | int) -> int:
    """Returns how many videos a host reads; shuffled, all hosts as many."""
    index, count = shard
    return num_videos // count if shuffle else len(range(index, num_videos, count))


@functools.lru_cache(maxsize=4)
def _order(
    num_videos: int, shuffle: bool, shard: tuple[int, int], key: int
) -> np.ndarray:
    """Returns the videos that a host reads in an epoch, in their order."""
    if shuffle:
        return shuffling.share(shuffling.order(key, num_videos), shard)
    return np.arange(num_videos)[shard[0] :: shard[1]]


@functools.lru_cache
def _log_streaming(reason: str) -> None:
    _log.info("Records are streamed as a whole, because there is no index. %s", reason)


def _by_index(
    source: ClipSource,
    shuffle: bool,
    batch_size: int | None,
    shard: tuple[int, int],
    on_error: assemble.OnError,
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns what reads a batch of an epoch's key in a graph; of one clip for None."""
    num_clips = batch_size or 1

    def read(key: np.int64, batch: np.int64) -> list[np.ndarray]:
        order = _order(len(source), shuffle, shard, int(key))
        indices = order[batch * num_clips : (batch + 1) * num_clips]
        clips = _at_work.run(lambda: source.batch(indices, int(key), on_error))
        if clips is None:  # nobody will see it
            clips = source.batch([])
        # In the order of `_TYPES`.
        video, label = clips["video"], clips["label"]
        return [video, label, clips["video_id"], clips["frame_indices"]]

    spec = source.spec
    views = [spec.num_views] if spec.num_views > 1 else []
    shapes = {
        "video": [None, *views, spec.length, spec.side, spec.side, 3],
        "label": [None],
        "video_id": [None],
        "frame_indices": [None, *views, spec.length],
    }

    @tf.autograph.experimental.do_not_convert
    def in_graph(key: tf.Tensor, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        # Of a stateful function no iterator could be saved.
        values = tf.numpy_function(
            read, [key, batch], list(_TYPES.values()), stateful=False
        )
        return {
            name: tf.ensure_shape(value, shapes[name])
            for name, value in zip(_TYPES, values, strict=True)
        }

    return in_graph


def _with_batch_size(
    batch_size: int, batch: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    return {
        name: tf.ensure_shape(value, [batch_size, *value.shape[1:]])
        for name, value in batch.items()
    }


class _AtWork:
    """Runs Python for TensorFlow's threads, until the interpreter ends.

    A thread still inside Python at that point, or entering it, would crash the process:
    this waits for them, and runs nothing more. It has no lock, for the reason that
    `threads.py` gives.
    """

    def __init__(self) -> None:
        self._running: collections.deque[None] = collections.deque()
        self._ended = False
        atexit.register(self._end)

    def run(self, function: Callable[[], _Result]) -> _Result | None:
        """Returns what the function does, or None when the interpreter ends."""
        self._running.append(None)
        try:
            return None if self._ended else function()
        finally:
            self._running.pop()

    def _end(self) -> None:
        self._ended = True
        while self._running:
            time.sleep(0.01)
        time.sleep(0.05)  # they are back in TensorFlow in a moment


_at_work = _AtWork()
