"""Reads random clips in a TensorFlow graph: only a window's frames are decoded."""

import functools
import itertools
import os
import warnings

import tensorflow as tf
import tensorflow_datasets as tfds

from kinetics_clips import datasets, windows
from kinetics_clips.windows import ClipSpec

# Bit for bit what libjpeg-turbo gives elsewhere; TensorFlow's default is coarser.
_DCT_METHOD = "INTEGER_ACCURATE"

# Windows in the shuffle buffer. 64 frames of 340x256 take about 0.9 MB.
_SHUFFLE_WINDOWS = 128

# Batches decoded at once: one a core would take tens of GB on a large machine. Within a
# batch as many frames are decoded at once as there are cores for them.
_PARALLEL_BATCHES = 2
_PARALLEL_FRAMES = 64


class EncodedFrames(tfds.decode.Decoder):
    """A TFDS decoder that leaves `video` as its JPEGs: string `[num_frames]`.

    Unlike `tfds.decode.SkipDecoding` it does not loop over the frames: examples come
    as fast as TensorFlow reads bare records.

        tfds.load(..., decoders={"video": kinetics_clips.EncodedFrames()})
    """

    @property
    def dtype(self) -> tf.DType:
        return tf.string

    def decode_example(self, serialized_example):
        return serialized_example

    def decode_batch_example(self, serialized_example):
        return serialized_example


def read_config(**options) -> tfds.ReadConfig:
    """Returns the `tfds.ReadConfig` for records of megabytes.

    TFDS's default reads ahead about a thousand records, gigabytes of encoded videos,
    and caches small datasets after decoding, which would freeze their windows.

    Args:
      **options: Fields of `tfds.ReadConfig` that are to differ, such as `shuffle_seed`.
    """
    return tfds.ReadConfig(
        **{
            "try_autocache": False,
            "interleave_cycle_length": 16,
            "interleave_block_length": 1,
            # One thread takes turns among the 16 files; decoding is what takes time.
            "num_parallel_calls_for_interleave_files": None,
            **options,
        }
    )


@tf.autograph.experimental.do_not_convert
def sample_clip(example: dict, spec: ClipSpec, seed=None) -> dict[str, tf.Tensor]:
    """Takes a random clip out of a stored video, decoding only the frames it needs.

    The companion transform for any split that was loaded with `EncodedFrames`:

        raw = tfds.load("kinetics_clips/k400", split="train",
                        decoders={"video": kinetics_clips.EncodedFrames()},
                        read_config=kinetics_clips.read_config())
        clips = raw.map(lambda example: kinetics_clips.sample_clip(example, spec))

    Every valid offset is equally likely, the last included. With `seed=None` the draws
    come from TensorFlow's own generator: other windows on every pass, but neither
    reproducible under a parallel map nor after `tf.random.set_seed`, which makes every
    pass repeat the first. These lines are reproducible and draw anew on every pass:

        keys = tf.data.Dataset.random(seed=0, rerandomize_each_iteration=True).batch(2)
        clips = tf.data.Dataset.zip(raw, keys).map(
            lambda example, key: kinetics_clips.sample_clip(example, spec, seed=key))

    Args:
      example: Of the dataset, with at least `video` (string `[num_frames]`), `video_id`
        and `label`.
      spec: What a clip is.
      seed: int tensor `[2]`, as `tf.random.stateless_uniform` takes it. The window is a
        pure function of seed and video id. None draws from TensorFlow's generator.

    Returns:
      `video` uint8 `[length, height, width, 3]`, RGB, height = width = `crop` where
      there is one; `label` and `video_id` as stored; `frame_indices` int32 `[length]`,
      the stored frames of the clip (they wrap in a video shorter than the span).

    Raises:
      ValueError: If `video` is decoded already, a feature is missing, or `seed` is not
        an int tensor `[2]`.
    """
    return _decode(_take_window(example, spec, seed), spec)


def load_clips(
    dataset: datasets.Dataset,
    split: str,
    spec: ClipSpec,
    batch_size: int | None = None,
    shuffle: bool | int = True,
    seed: int | None = None,
    num_epochs: int | None = 1,
    data_dir: str | os.PathLike | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Reads a random clip of every video of a split, in random order.

    Every pass over the returned dataset is a new epoch, with new windows and a new
    order: `for epoch in range(90): for batch in ds`, `model.fit(..., epochs=90)` and
    `num_epochs=90` alike. The same seed gives the same clips in the n-th pass, in every
    process that calls `tf.random.set_seed` alike or not at all: TensorFlow mixes its
    own seed in. To save an iterator with `tf.train.Checkpoint` in mid-epoch, set
    `experimental_symbolic_checkpoint` in the `tf.data.Options` of the dataset.

    Args:
      dataset: A TFDS name, the directory of a prepared dataset, or a builder.
      split: Any TFDS split expression, such as `train[:80%]`.
      spec: What a clip is.
      batch_size: Clips a batch; None = single clips. Without `spec.crop`, all videos
        of a batch must have one size.
      shuffle: True permutes the shards and shuffles 128 encoded windows; a number
        shuffles that many; False keeps the order of the stored records.
      seed: A whole number for reproducible clips; None differs on every run, unless
        `tf.random.set_seed` was called.
      num_epochs: Passes over the split, one after the other; None never ends.
      data_dir: Where a name is looked for; TFDS's default when None.
      drop_remainder: Whether an epoch's last batch is left out when it is not full.

    Returns:
      Dicts as `sample_clip` returns them, with a leading batch axis where `batch_size`
      is given.

    Raises:
      FileNotFoundError: If the dataset is not there; says how to build it.
      ValueError: If an argument is out of its range.
    """
    if num_epochs is not None and num_epochs < 1:
        raise ValueError(f"`num_epochs` must be at least 1 or None, got {num_epochs}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1 or None, got {batch_size}.")
    if not isinstance(shuffle, int) or shuffle < 0:
        raise ValueError(
            f"`shuffle` must be a bool or a number of windows, got {shuffle!r}."
        )
    num_shuffled = _SHUFFLE_WINDOWS if shuffle is True else int(shuffle)
    builder = datasets.find(dataset, data_dir)
    num_videos = num_batches = builder.info.splits[split].num_examples
    if batch_size is not None:
        full, rest = divmod(num_videos, batch_size)
        num_batches = full + (rest > 0 and not drop_remainder)
    if not num_batches:
        raise ValueError(
            f"`split` must hold at least one batch, got {num_videos} videos in "
            f"{split!r} for batches of {batch_size}. Set drop_remainder=False or a "
            "smaller batch."
        )

    @tf.autograph.experimental.do_not_convert
    def epoch(key: tf.Tensor) -> tf.data.Dataset:
        examples = builder.as_dataset(
            split=split,
            shuffle_files=bool(num_shuffled),
            decoders={"video": EncodedFrames()},
            read_config=read_config(shuffle_seed=key[0]),
        )
        # Windows first: what is shuffled is a fifth of the video, and still encoded.
        clips = examples.map(
            functools.partial(_take_window, spec=spec, seed=key),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        if num_shuffled:
            clips = clips.shuffle(num_shuffled, seed=key[1])
        if batch_size is not None:
            clips = clips.batch(batch_size, drop_remainder=drop_remainder)
        return clips.map(
            functools.partial(_decode, spec=spec),
            num_parallel_calls=(
                tf.data.AUTOTUNE if batch_size is None else _PARALLEL_BATCHES
            ),
        )

    keys = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    if num_epochs is not None:
        keys = keys.take(num_epochs)
    with warnings.catch_warnings():
        # TFDS passes `deterministic`, which an interleave without threads ignores.
        warnings.filterwarnings("ignore", "The `deterministic` argument has no effect")
        clips = keys.flat_map(epoch)
    cardinality = (
        tf.data.INFINITE_CARDINALITY if num_epochs is None else num_batches * num_epochs
    )
    clips = clips.apply(tf.data.experimental.assert_cardinality(cardinality))
    return clips.prefetch(tf.data.AUTOTUNE)


def _take_window(example: dict, spec: ClipSpec, seed) -> dict[str, tf.Tensor]:
    """Returns a window's JPEGs and its place of crop, as `_decode` takes them."""
    _check_example(example)
    draw = _generator(seed, example["video_id"])
    num_frames = tf.shape(example["video"])[0]
    offset = draw(windows.num_offsets(num_frames, spec, tf.maximum))
    indices = windows.frame_indices(offset, num_frames, spec)
    frames = tf.ensure_shape(tf.gather(example["video"], indices), [spec.length])
    size = tf.io.extract_jpeg_shape(frames[0])[:2]
    window = {
        "video": frames,
        "label": example["label"],
        "video_id": example["video_id"],
        "frame_indices": indices,
        "size": size,
    }
    if spec.crop is not None:
        slack = _scaled_size(size, spec.crop) - spec.crop
        window["corner"] = tf.stack([draw(slack[0] + 1), draw(slack[1] + 1)])
    return window


def _check_example(example: dict) -> None:
    for name in ("video", "video_id", "label"):
        if name not in example:
            raise ValueError(
                f"`example` must have the feature {name!r}, got {sorted(example)}. "
                "Load the dataset with all of them."
            )
    video = tf.convert_to_tensor(example["video"])
    if video.dtype != tf.string or video.shape.rank != 1:
        raise ValueError(
            "`example['video']` must be string [num_frames], got "
            f"{video.dtype.name} {video.shape}. Load the dataset with "
            "decoders={'video': kinetics_clips.EncodedFrames()}, and sample before "
            "batching."
        )


def _generator(seed, video_id: tf.Tensor):
    """Returns a function that draws an int32 in `[0, maximum)`, anew at each call."""
    if seed is None:
        return lambda maximum: tf.random.uniform([], 0, maximum, tf.int32)
    seed = tf.convert_to_tensor(seed)
    is_key = seed.dtype in (tf.int32, tf.int64) and seed.shape.is_compatible_with([2])
    if not is_key:
        raise ValueError(
            "`seed` must be an int32 or int64 tensor [2], got "
            f"{seed.dtype.name} {seed.shape}. One number for all would repeat the "
            "same windows in every epoch: draw a key an epoch, as the docstring of "
            "`sample_clip` shows."
        )
    # Keyed by the video and not by its position: any order gives the same windows.
    number = tf.strings.to_hash_bucket_fast(video_id, 1 << 62)
    key = tf.random.fold_in(tf.ensure_shape(seed, [2]), number)
    draws = itertools.count()
    return lambda maximum: tf.random.stateless_uniform(
        [], tf.random.fold_in(key, next(draws)), 0, maximum, tf.int32
    )


def _scaled_size(size: tf.Tensor, crop: int) -> tf.Tensor:
    """Returns (height, width) scaled up until a crop fits, int32 `[2]`."""
    short = tf.reduce_min(size)
    return tf.where(short < crop, windows.scaled_up(size, short, crop), size)


def _decode(window: dict, spec: ClipSpec) -> dict[str, tf.Tensor]:
    """Decodes a window, or a batch of windows, of `_take_window`."""
    window = dict(window)
    frames, size = window.pop("video"), window.pop("size")
    lead = frames.shape[:-1]  # () or (batch,)
    decode_each = functools.partial(
        tf.map_fn, fn_output_signature=tf.uint8, parallel_iterations=_PARALLEL_FRAMES
    )
    flat = tf.reshape(frames, [-1])
    if spec.crop is None:
        checks = [_check_one_size(size)] if lead.rank else []
        with tf.control_dependencies(checks):
            video = decode_each(_decode_frame, flat)
    else:
        corner = window.pop("corner")
        repeated = [
            tf.repeat(tf.reshape(value, [-1, 2]), spec.length, axis=0)
            for value in (corner, size)
        ]
        video = decode_each(
            functools.partial(_decode_crop, crop=spec.crop),
            (flat, *repeated),
        )
    shape = tf.concat([tf.shape(frames), tf.shape(video)[1:]], axis=0)
    video = tf.reshape(video, shape)
    return {
        "video": tf.ensure_shape(video, [*lead, spec.length, spec.crop, spec.crop, 3]),
        **window,
    }


def _check_one_size(size: tf.Tensor) -> tf.Operation:
    return tf.debugging.Assert(
        tf.reduce_all(size == size[:1]),
        [
            "The clips of a batch must have one size, got (height, width)",
            size,
            "Set a crop, as in ClipSpec(crop=224), or batch_size=None.",
        ],
        summarize=32,
    )


def _decode_frame(jpeg: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(jpeg, channels=3, dct_method=_DCT_METHOD)


def _decode_crop(frame: tuple[tf.Tensor, tf.Tensor, tf.Tensor], crop: int) -> tf.Tensor:
    jpeg, corner, size = frame

    def fused() -> tf.Tensor:
        return tf.io.decode_and_crop_jpeg(
            jpeg,
            tf.concat([corner, [crop, crop]], axis=0),
            channels=3,
            dct_method=_DCT_METHOD,
        )

    def scaled() -> tf.Tensor:
        image = tf.image.resize(_decode_frame(jpeg), _scaled_size(size, crop))
        image = tf.slice(image, [corner[0], corner[1], 0], [crop, crop, 3])
        return tf.cast(tf.round(image), tf.uint8)

    return tf.cond(tf.reduce_min(size) < crop, scaled, fused)
