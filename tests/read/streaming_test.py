import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import HEIGHT, TRAIN, WIDTH, numbers

import kinetics_clips
from kinetics_clips import ClipSpec, sample_clip

LENGTH = 16


def wrapped(first: int, spec: ClipSpec, num_frames: int) -> list[int]:
    return [(first + i * spec.stride) % num_frames for i in range(spec.length)]


@pytest.fixture(scope="module")
def raw(builder):
    """The stored examples of the train split, frames as JPEGs."""
    return builder.as_dataset(
        split="train",
        decoders={"video": kinetics_clips.EncodedFrames()},
        read_config=kinetics_clips.read_config(),
    )


@pytest.fixture(scope="module")
def example(raw):
    """The stored example of `red/long`, 70 frames."""
    return next(e for e in raw if e["video_id"] == b"red/long")


@pytest.fixture(scope="module")
def whole_frames(builder) -> dict[bytes, np.ndarray]:
    """Every frame of every train video, decoded one by one, uint8."""
    stored = builder.as_dataset(
        split="train", decoders={"video": tfds.decode.SkipDecoding()}
    )
    return {
        e["video_id"].numpy(): np.stack(
            [
                tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE").numpy()
                for jpeg in e["video"]
            ]
        )
        for e in stored
    }


def seeds(count: int) -> tf.data.Dataset:
    return tf.data.Dataset.random(seed=7).batch(2, drop_remainder=True).take(count)


def test_encoded_frames_gives_what_skip_decoding_gives(builder, raw):
    skipped = builder.as_dataset(
        split="train", decoders={"video": tfds.decode.SkipDecoding()}
    )
    assert raw.element_spec["video"] == tf.TensorSpec([None], tf.string)
    pairs = zip(tfds.as_numpy(raw), tfds.as_numpy(skipped), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours["video"], theirs["video"])


def test_read_config_takes_other_fields():
    config = kinetics_clips.read_config(shuffle_seed=3, interleave_cycle_length=4)
    assert config.shuffle_seed == 3
    assert config.interleave_cycle_length == 4
    assert config.interleave_block_length == 1
    assert not config.try_autocache


@pytest.mark.parametrize("stride", [1, 3])
def test_sample_clip_returns_the_frames_that_it_names(raw, whole_frames, stride):
    spec = ClipSpec(length=LENGTH, stride=stride)
    clips = tf.data.Dataset.zip(raw, seeds(4)).map(
        lambda example, seed: sample_clip(example, spec, seed)
    )
    assert clips.element_spec["video"].shape == [LENGTH, None, None, 3]
    count = 0
    for clip in tfds.as_numpy(clips):
        indices = clip["frame_indices"]
        num_frames = TRAIN[clip["video_id"].decode()]
        assert indices.tolist() == wrapped(indices[0], spec, num_frames)
        assert numbers(clip["video"]) == indices.tolist()
        np.testing.assert_array_equal(
            clip["video"], whole_frames[clip["video_id"]][indices]
        )
        assert set(clip) == {"video", "label", "video_id", "frame_indices"}
        assert indices.dtype == np.int32
        count += 1
    assert count == 4


def test_every_offset_is_equally_likely(example):
    # 70 frames, windows of 64: offsets 0 to 6.
    spec = ClipSpec(length=64)
    num_draws = 1400
    clips = seeds(num_draws).map(
        lambda seed: sample_clip(example, spec, seed)["frame_indices"][0],
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    counts = collections.Counter(int(first) for first in clips)
    assert sorted(counts) == list(range(7))
    # Seven times 200 expected, standard deviation 13.
    assert all(140 < count < 260 for count in counts.values()), counts


def test_length_of_the_whole_video_works(raw):
    exact = next(e for e in raw if e["video_id"] == b"red/exact")
    clip = sample_clip(exact, ClipSpec(length=64), seed=[1, 2])
    assert clip["frame_indices"].numpy().tolist() == list(range(64))
    assert numbers(clip["video"]) == list(range(64))


def test_short_videos_wrap(raw):
    short = next(e for e in raw if e["video_id"] == b"blue/short")
    clip = sample_clip(short, ClipSpec(length=24, stride=2), seed=[1, 2])
    expected = [i * 2 % 20 for i in range(24)]
    assert clip["frame_indices"].numpy().tolist() == expected
    assert numbers(clip["video"]) == expected


@pytest.mark.parametrize("crop", [None, 48, 150], ids=["whole", "crop", "scaled up"])
def test_only_the_frames_of_the_window_are_decoded(example, crop):
    spec = ClipSpec(length=LENGTH, crop=crop)
    clip = sample_clip(example, spec, seed=[3, 4])
    taken = set(clip["frame_indices"].numpy().tolist())
    frames = [
        jpeg if i in taken else b"not a JPEG"
        for i, jpeg in enumerate(example["video"].numpy())
    ]
    again = sample_clip({**example, "video": tf.constant(frames)}, spec, seed=[3, 4])
    np.testing.assert_array_equal(clip["video"], again["video"])
    # And the corrupt ones do raise where they are needed.
    broken = {**example, "video": tf.constant([b"not a JPEG"] * 70)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)jpeg"):
        sample_clip(broken, spec, seed=[3, 4])


def corners_of(clip: np.ndarray, frames: np.ndarray) -> list[tuple[int, int]]:
    """Lists where in the whole frames a clip was cut out, by trying every place."""
    height, width = clip.shape[1:3]
    found = []
    for top, left in itertools.product(
        range(frames.shape[1] - height + 1), range(frames.shape[2] - width + 1)
    ):
        cut = frames[:, top : top + height, left : left + width]
        # Chroma is interpolated across a cut, so its first and last column may differ.
        if (clip[0, :, 1:-1] == cut[0, :, 1:-1]).all() and (
            clip[:, :, 1:-1] == cut[:, :, 1:-1]
        ).all():
            found.append((top, left))
    return found


@pytest.mark.slow
def test_crop_is_one_random_square_for_all_frames(example, whole_frames):
    spec = ClipSpec(length=4, crop=64)
    corners = set()
    clips = seeds(40).map(lambda seed: sample_clip(example, spec, seed))
    assert clips.element_spec["video"] == tf.TensorSpec([4, 64, 64, 3], tf.uint8)
    for clip in tfds.as_numpy(clips):
        frames = whole_frames[b"red/long"][clip["frame_indices"]]
        (corner,) = corners_of(clip["video"], frames)
        corners.add(corner)
    assert len(corners) > 30
    tops, lefts = zip(*corners, strict=True)
    assert 0 <= min(tops) < 5 and HEIGHT - 64 - 5 < max(tops) <= HEIGHT - 64
    assert 0 <= min(lefts) < 8 and WIDTH - 64 - 8 < max(lefts) <= WIDTH - 64


def test_every_place_of_a_crop_is_possible(example, whole_frames):
    # One pixel of slack upright, and a crop that leaves three along.
    frame = tf.io.encode_jpeg(whole_frames[b"red/long"][0][:65, :67], quality=95)
    small = {**example, "video": tf.stack([frame])}
    whole = tf.io.decode_jpeg(frame, dct_method="INTEGER_ACCURATE").numpy()
    spec = ClipSpec(length=1, crop=64)
    clips = seeds(150).map(lambda seed: sample_clip(small, spec, seed)["video"])
    corners = collections.Counter(
        corner
        for clip in tfds.as_numpy(clips)
        for corner in corners_of(clip, whole[None])
    )
    assert sorted(corners) == list(itertools.product(range(2), range(4)))


def test_crop_larger_than_the_frame_scales_it_up(example, whole_frames):
    crop = 144  # 96x128 becomes 144x192
    clip = sample_clip(example, ClipSpec(length=3, crop=crop), seed=[5, 6])
    video = clip["video"].numpy()
    assert video.shape == (3, crop, crop, 3)
    frames = whole_frames[b"red/long"][clip["frame_indices"].numpy()]
    large = np.stack(
        [np.round(tf.image.resize(f, [144, 192]).numpy()) for f in frames]
    ).astype(np.uint8)
    assert len(corners_of(video, large)) == 1


CENTERED = {
    "whole": ClipSpec(length=8, windows="center"),
    "fps": ClipSpec(length=4, windows="center", fps=12.5),
    "crops": ClipSpec(length=4, windows="center", crop=64, crops="three"),
    "views": ClipSpec(length=24, windows=5, crop=64, crops="three"),
    "scaled": ClipSpec(length=4, windows=2, crop=80, crops="three", size=40),
    "scaled up": ClipSpec(length=4, windows="center", crop=120, crops="three"),
    "short side": ClipSpec(length=4, windows="center", size=48),
    "center": ClipSpec(length=4, windows="center", crop=60, crops="center"),
}


@pytest.mark.parametrize("spec", CENTERED.values(), ids=CENTERED)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_views_are_those_of_a_clip_source(data_dir, streamed_dir, spec, batch_size):
    where = "kinetics_clips/folder", "train", spec
    source = kinetics_clips.ClipSource(*where, data_dir=data_dir)
    expected = {clip["video_id"]: clip for clip in source}
    ds = kinetics_clips.load_clips(*where, data_dir=streamed_dir, batch_size=batch_size)
    clips = list(tfds.as_numpy(ds if batch_size is None else ds.unbatch()))
    assert len(clips) == len(expected)
    for clip in clips:
        theirs = expected[clip["video_id"]]
        ours, of_source = clip.pop("video"), theirs["video"]
        np.testing.assert_equal(clip, {n: theirs[n] for n in clip})
        assert ours.shape == of_source.shape
        if spec.crops == "center":  # chroma is interpolated across the cut
            ours, of_source = ours[..., 1:-1, :], of_source[..., 1:-1, :]
        difference = np.abs(ours.astype(int) - of_source)
        if spec.size or spec.crop == 120:  # scaled by other libraries
            assert difference.mean() < 2
        else:
            assert not difference.any()


def test_a_box_of_an_area_is_cut_out_and_scaled(example, whole_frames):
    spec = ClipSpec(length=2, area=(0.2, 0.6), size=40)
    shapes = set()
    for clip in seeds(20).map(lambda seed: sample_clip(example, spec, seed)):
        video = clip["video"].numpy()
        assert video.shape == (2, 40, 40, 3)
        shapes.add(video.tobytes())
        assert clip["frame_indices"].shape == [2]
    assert len(shapes) == 20


def test_half_of_all_clips_are_mirrored(example, whole_frames):
    spec = ClipSpec(length=2, flip=True)
    flips = []
    for clip in seeds(60).map(lambda seed: sample_clip(example, spec, seed)):
        frames = whole_frames[b"red/long"][clip["frame_indices"].numpy()]
        flips.append((clip["video"].numpy() == frames[:, :, ::-1]).all())
        assert flips[-1] or (clip["video"].numpy() == frames).all()
    assert 15 < sum(flips) < 45


def test_fps_needs_the_feature(raw):
    with pytest.raises(ValueError, match=r"must have the feature 'fps', got \['label"):
        raw.map(
            lambda e: sample_clip(
                {name: e[name] for name in ("video", "label", "video_id")},
                ClipSpec(length=2, fps=5),
            )
        )


@pytest.mark.slow
def test_seed_alone_and_video_id_set_the_clip(raw):
    spec = ClipSpec(length=4, crop=32)

    def clips(key):
        ds = raw.map(
            lambda e: sample_clip(e, spec, seed=key),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return {c["video_id"]: c for c in tfds.as_numpy(ds)}

    one, same, other = clips([1, 2]), clips([1, 2]), clips([1, 3])
    for video_id, clip in one.items():
        np.testing.assert_equal(clip, same[video_id])
        assert not np.array_equal(clip["video"], other[video_id]["video"])
    assert len({c["frame_indices"][0] for c in one.values()}) > 1


def test_sample_clip_without_a_seed_draws_anew(raw):
    tf.random.set_seed(None)  # TFDS's own tests set one
    clips = raw.repeat(10).map(
        lambda e: sample_clip(e, ClipSpec(length=2))["frame_indices"][0]
    )
    first, second = [tuple(map(int, clips)) for _ in range(2)]
    assert first != second


@pytest.mark.slow
def test_the_lines_of_the_docstring_are_reproducible(raw):
    def epochs():
        keys = tf.data.Dataset.random(seed=0, rerandomize_each_iteration=True).batch(2)
        clips = tf.data.Dataset.zip(raw, keys).map(
            lambda e, key: sample_clip(e, ClipSpec(length=2), seed=key),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return [[int(c["frame_indices"][0]) for c in clips] for _ in range(3)]

    one = epochs()
    assert one == epochs()
    assert len(set(map(tuple, one))) == 3


@pytest.mark.parametrize("seed", [0, 3, np.int64(3), [1], [1, 2, 3], [0.5, 1.0]])
def test_sample_clip_refuses_what_is_no_key(raw, seed):
    with pytest.raises(
        ValueError, match=r"`seed` must be an int32 or int64 tensor \[2\]"
    ):
        raw.map(lambda e: sample_clip(e, ClipSpec(length=2), seed=seed))


def test_sample_clip_refuses_decoded_frames(builder):
    ds = builder.as_dataset(split="train")
    with pytest.raises(
        ValueError, match=r"must be string \[num_frames\], got uint8.*EncodedFrames"
    ):
        ds.map(lambda e: sample_clip(e, ClipSpec(length=2)))


def test_sample_clip_names_the_feature_it_lacks(raw):
    with pytest.raises(
        ValueError, match=r"must have the feature 'video_id', got \['la"
    ):
        raw.map(
            lambda e: sample_clip(
                {"video": e["video"], "label": e["label"]}, ClipSpec(length=2)
            )
        )
