"""Takes clips out of records in a TensorFlow graph, where there is no frame index.

Every record is read as a whole, but only the frames of a clip are decoded.
"""

import functools
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import tensorflow_datasets as tfds

from kinetics_clips.read import crops, windows
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.encoded_frames import EncodedFrames
from kinetics_clips.wheels import tensorflow as tf

tnp = tf.experimental.numpy

_Seed: TypeAlias = tf.Tensor | Sequence[int] | None
_Function = TypeVar("_Function", bound=Callable[..., Any])

# Bit for bit what libjpeg-turbo gives elsewhere; TensorFlow's default is coarser.
_DCT_METHOD = "INTEGER_ACCURATE"

# Batches decoded at once: one a core would take tens of GB on a large machine. Within a
# batch as many frames are decoded at once as there are cores for them.
_PARALLEL_BATCHES = 2
_PARALLEL_FRAMES = 64


def _not_converted(function: _Function) -> _Function:
    """Keeps a function from AutoGraph, and its types, which TensorFlow does not."""
    return tf.autograph.experimental.do_not_convert(function)


def read_config(**options: Any) -> tfds.ReadConfig:
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


@_not_converted
def sample_clip(
    example: dict[str, tf.Tensor],
    spec: ClipSpec = ClipSpec(),  # noqa: B008 (frozen)
    seed: _Seed = None,
) -> dict[str, tf.Tensor]:
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
      example: An example of the dataset, with at least `video` (string
        `[num_frames]`), `video_id` and `label`; `fps` too for a clip with an `fps`.
      spec: The `ClipSpec` that says what a clip is. Defaults to `ClipSpec()`: 64
        consecutive whole frames.
      seed: Integer tensor `[2]`, as `tf.random.stateless_uniform` takes it. The window
        is a pure function of the seed and the video's id. Defaults to None, which
        draws from TensorFlow's generator.

    Returns:
      `video` uint8 `[length, height, width, 3]`, RGB; `label` and `video_id` as stored;
      `frame_indices` int32 `[length]`, the stored frames of the clip (they wrap in a
      video shorter than the span). Of several views, `video` and `frame_indices` have a
      leading axis of them, window by window.

    Raises:
      ValueError: If `video` is decoded already, a feature is missing, or `seed` is not
        an int tensor `[2]`.
    """
    return _decode(_take_windows(example, spec, seed), spec)


@_not_converted
def sample_with_origin(
    example: dict[str, tf.Tensor], spec: ClipSpec, seed: _Seed
) -> tuple[dict[str, tf.Tensor], crops.Origin]:
    """Takes a clip as `sample_clip` does, and tells where in its video it is from."""
    encoded = _take_windows(example, spec, seed)
    view = crops.View(*(encoded[name] for name in ("scaled", "boxes", "size", "flip")))
    fps = tf.cast(example.get("fps", 0.0), tf.float32)
    origin = crops.Origin(encoded["frame_size"], fps, view)
    return _decode(encoded, spec), origin


def read_examples(
    builder: tfds.core.DatasetBuilder,
    split: str,
    shuffle_files: bool,
    seed: tf.Tensor | int,
    may_lack: bool = False,
) -> tf.data.Dataset:
    """Reads stored examples of a split, their frames encoded.

    Args:
      builder: The builder of the dataset.
      split: Any TFDS split expression.
      shuffle_files: Whether shards come in random order.
      seed: Seed of that order.
      may_lack: Whether there may be less than the dataset's information says, where
        somebody leaves errors out.
    """
    with warnings.catch_warnings():
        # TFDS passes `deterministic`, which an interleave without threads ignores.
        warnings.filterwarnings("ignore", "The `deterministic` argument has no effect")
        return builder.as_dataset(
            split=split,
            shuffle_files=shuffle_files,
            decoders={"video": EncodedFrames()},
            # TFDS's error of a number that is wrong would come again for ever.
            read_config=read_config(shuffle_seed=seed, assert_cardinality=not may_lack),
        )


def read_epoch(
    builder: tfds.core.DatasetBuilder,
    split: str,
    spec: ClipSpec,
    key: tf.Tensor,
    num_shuffled: int,
    batch_size: int | None,
    drop_remainder: bool,
    shard: tuple[int, int],
    may_lack: bool,
) -> tf.data.Dataset:
    """Reads a clip of every video of a split, once.

    Args:
      builder: The builder of the dataset.
      split: Any TFDS split expression.
      spec: What a clip is.
      key: The epoch's key, an int64 tensor `[2]`.
      num_shuffled: Number of windows in the shuffle buffer; 0 keeps the stored order.
      batch_size: Number of clips per batch; None for single clips.
      drop_remainder: Whether a last batch that is not full is left out.
      shard: Index of the host and number of hosts, each of which gets its own videos.
      may_lack: Whether the caller leaves errors out.

    Returns:
      Dicts as `sample_clip` returns them.
    """
    examples = read_examples(builder, split, bool(num_shuffled), key[0], may_lack)
    index, count = shard
    if count > 1:
        if num_shuffled:
            # As many for each host; the others are left out at the start or the end.
            share, rest = divmod(builder.info.splits[split].num_examples, count)
            left_out = tf.random.stateless_uniform([], key, 0, rest + 1, tf.int64)
            examples = examples.skip(left_out).take(share * count)
        examples = examples.shard(count, index)
    # Windows first: what is shuffled is a fifth of the video, and still encoded.
    clips = examples.map(
        functools.partial(_take_windows, spec=spec, seed=key),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    if num_shuffled:
        clips = clips.shuffle(num_shuffled, seed=key[1])
    decode = functools.partial(_decode, spec=spec)
    if batch_size is None:
        return clips.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    if spec.num_windows > 1:  # which share frames, as many as it happens
        clips = clips.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        return clips.batch(batch_size, drop_remainder=drop_remainder)
    clips = clips.batch(batch_size, drop_remainder=drop_remainder)
    return clips.map(decode, num_parallel_calls=_PARALLEL_BATCHES)


def _take_windows(
    example: dict[str, tf.Tensor], spec: ClipSpec, seed: _Seed
) -> dict[str, tf.Tensor]:
    """Returns the JPEGs of a clip and which of their pixels it shows."""
    _check_example(example, spec)
    draws = _Draws(seed, example["video_id"])
    num_frames = tf.shape(example["video"])[0]
    indices = windows.draw_frames(draws, num_frames, example.get("fps"), spec, tnp)
    indices = tf.ensure_shape(indices, [spec.num_windows, spec.length])
    clip = {
        "label": example["label"],
        "video_id": example["video_id"],
        "frame_indices": tf.repeat(indices, spec.num_crops, axis=0),
    }
    if spec.num_views == 1:
        clip["frame_indices"] = clip["frame_indices"][0]
    needed = tf.reshape(indices, [-1])
    if spec.num_windows > 1:  # decode what they share once
        needed, clip["places"] = tf.unique(needed)
    clip["video"] = tf.gather(example["video"], needed)
    if spec.num_windows == 1:
        clip["video"] = tf.ensure_shape(clip["video"], [spec.length])
    height, width = tf.unstack(tf.io.extract_jpeg_shape(clip["video"][0])[:2])
    view = crops.draw_view(draws, height, width, spec, tnp)
    clip["frame_size"] = tf.stack([height, width])
    clip["scaled"] = _int32(view.scaled)
    clip["boxes"] = tf.stack([_int32(box) for box in view.boxes])
    clip["size"] = _int32(view.size)
    clip["flip"] = tf.convert_to_tensor(view.flip)
    return clip


def _int32(numbers: tuple[windows.Number, ...]) -> tf.Tensor:
    return tf.stack([tf.cast(number, tf.int32) for number in numbers])


def _check_example(example: dict[str, tf.Tensor], spec: ClipSpec) -> None:
    names = ["video", "video_id", "label"] + ["fps"] * (spec.fps is not None)
    for name in names:
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


class _Draws:
    """Draws numbers in a graph, as a `numpy.random.Generator` does."""

    def __init__(self, seed: _Seed, video_id: tf.Tensor):
        self._key = None
        if seed is None:
            return
        key = tf.convert_to_tensor(seed)
        whole = key.dtype in (tf.int32, tf.int64)
        if not whole or not key.shape.is_compatible_with([2]):
            raise ValueError(
                "`seed` must be an int32 or int64 tensor [2], got "
                f"{key.dtype.name} {key.shape}. One number for all would repeat the "
                "same windows in every epoch: draw a key an epoch, as the docstring of "
                "`sample_clip` shows."
            )
        # Keyed by the video and not by its position: any order gives the same windows.
        number = tf.strings.to_hash_bucket_fast(video_id, 1 << 62)
        self._key = tf.random.fold_in(tf.ensure_shape(key, [2]), number)
        self._counter = itertools.count()

    def integers(self, high: windows.Number) -> tf.Tensor:
        """Draws an int32 in `[0, high)`."""
        return self._draw(high, tf.int32)

    def random(self) -> tf.Tensor:
        """Draws a float64 in `[0, 1)`."""
        return self._draw(1.0, tf.float64)

    def _draw(self, high: windows.Number, dtype: tf.DType) -> tf.Tensor:
        if self._key is None:
            return tf.random.uniform([], 0, high, dtype)
        key = tf.random.fold_in(self._key, next(self._counter))
        return tf.random.stateless_uniform([], key, 0, high, dtype)


def _decode(clip: dict[str, tf.Tensor], spec: ClipSpec) -> dict[str, tf.Tensor]:
    """Decodes a clip, or a batch of clips, of `_take_windows`."""
    clip = dict(clip)
    jpegs, places, flip = clip.pop("video"), clip.pop("places", None), clip.pop("flip")
    view = {name: clip.pop(name) for name in ("frame_size", "scaled", "boxes", "size")}
    lead = jpegs.shape[:-1]  # () or (batch,)
    checks = [_check_one_size(view["size"])] if lead.rank and not spec.side else []
    is_whole = not (spec.crop or spec.area or spec.size)
    num_frames = tf.shape(jpegs)[-1]
    frames = [tf.reshape(jpegs, [-1])]
    for values in [] if is_whole else view.values():
        flat = tf.reshape(values, [-1, *values.shape[lead.rank :]])
        frames.append(tf.repeat(flat, num_frames, axis=0))
    with tf.control_dependencies(checks):
        video = tf.map_fn(
            _decode_whole if is_whole else functools.partial(_decode_frame, spec=spec),
            tuple(frames),
            fn_output_signature=tf.TensorSpec(
                [spec.num_crops, None, None, 3], tf.uint8
            ),
            parallel_iterations=_PARALLEL_FRAMES,
        )
    if places is not None:
        video = tf.gather(video, places)
    # To [clips, windows, frames, crops, ...], and from there to views of frames.
    size = tf.shape(video)[2:]
    inner = [spec.num_windows, spec.length, spec.num_crops]
    video = tf.reshape(video, tf.concat([[-1, *inner], size], axis=0))
    if spec.num_crops > 1:
        video = tf.transpose(video, [0, 1, 3, 2, 4, 5, 6])
    views = [spec.num_views, spec.length]
    video = tf.reshape(video, tf.concat([[-1, *views], size], axis=0))
    if spec.flip:
        flip = tf.reshape(flip, [-1, 1, 1, 1, 1, 1])
        video = tf.where(flip, tf.reverse(video, [-2]), video)
    shape = [*lead, *views[spec.num_views == 1 :], spec.side, spec.side, 3]
    dynamic = [tf.shape(jpegs)[:-1], views[spec.num_views == 1 :], size]
    video = tf.reshape(video, tf.concat(dynamic, axis=0))
    return {"video": tf.ensure_shape(video, shape), **clip}


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


def _decode_whole(frame: tuple[tf.Tensor]) -> tf.Tensor:
    """Decodes a frame, uint8 `[1, height, width, 3]`."""
    (jpeg,) = frame
    image = tf.io.decode_jpeg(jpeg, channels=3, dct_method=_DCT_METHOD)
    return image[tf.newaxis]


def _decode_frame(frame: tuple[tf.Tensor, ...], spec: ClipSpec) -> tf.Tensor:
    """Decodes a frame to all its crops, uint8 `[num_crops, height, width, 3]`."""
    jpeg, frame_size, scaled, boxes, size = frame
    is_cut = spec.crop or spec.area

    # What a clip does not ask for is not in the graph: it would copy every frame.
    def whole() -> tf.Tensor:
        image = _decode_whole((jpeg,))[0]
        if spec.crop:
            image = _resized(image, scaled)
        crops = [image]
        if is_cut:
            crops = [
                tf.slice(image, [top, left, 0], [height, width, 3])
                for top, left, height, width in map(tf.unstack, tf.unstack(boxes))
            ]
        if spec.size:
            crops = [_resized(crop, size) for crop in crops]
        return tf.stack(crops) if len(crops) > 1 else crops[0][tf.newaxis]

    def fused() -> tf.Tensor:
        image = tf.io.decode_and_crop_jpeg(
            jpeg, boxes[0], channels=3, dct_method=_DCT_METHOD
        )
        return (_resized(image, size) if spec.size else image)[tf.newaxis]

    if spec.num_crops > 1 or not is_cut:
        return whole()
    return tf.cond(tf.reduce_all(scaled == frame_size), fused, whole)


def _resized(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    old_size = tf.shape(image)[:2]

    def resized() -> tf.Tensor:
        pixels = tf.cond(
            tf.reduce_all(size <= old_size),
            lambda: tf.image.resize(image, size, antialias=True),
            lambda: tf.image.resize(image, size),
        )
        return tf.cast(tf.round(pixels), tf.uint8)

    image = tf.cond(tf.reduce_all(old_size == size), lambda: image, resized)
    return tf.ensure_shape(image, [None, None, 3])
