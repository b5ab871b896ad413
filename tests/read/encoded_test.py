import pickle

import halves
import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds
from conftest import TRAIN
from hypothesis import given, settings
from hypothesis import strategies as st

import kinetics_clips
from kinetics_clips import ClipSource, ClipSpec, EncodedClip
from kinetics_clips.read import scaling

NAME = "kinetics_clips/folder"

SPECS = {
    "whole frames": ClipSpec(length=9),
    "flipped frames": ClipSpec(length=9, flip=True),
    "stride": ClipSpec(length=7, stride=3),
    "rate": ClipSpec(length=8, fps=10.5),
    "wrapped": ClipSpec(length=100, crop=48),
    "wrapped with a stride": ClipSpec(length=30, stride=7, flip=True),
    "crop": ClipSpec(length=5, crop=64),
    "flipped crop": ClipSpec(length=5, crop=50, flip=True),
    "crop in the center": ClipSpec(length=5, windows="center", crop=48, crops="center"),
    "three crops": ClipSpec(length=5, crop=48, crops="three", flip=True),
    "windows": ClipSpec(length=8, windows=3),
    "windows that overlap": ClipSpec(length=60, windows=4, crop=64, flip=True),
    "views": ClipSpec(length=16, stride=2, windows=4, crop=64, crops="three"),
    "scaled frames": ClipSpec(length=4, size=72),
    "scaled crop": ClipSpec(length=4, crop=60, flip=True, size=30),
    "crop of frames scaled up": ClipSpec(length=3, crop=150, crops="three"),
    "crop of frames scaled up, scaled": ClipSpec(length=3, crop=140, size=70),
    "random box": ClipSpec(length=4, area=(0.1, 0.6), size=50, flip=True),
}


@st.composite
def specs(draw) -> ClipSpec:
    options = {
        "length": draw(st.integers(1, 30)),
        "windows": draw(st.sampled_from(["random", "center", 2, 3, 5])),
        "flip": draw(st.booleans()),
        "size": draw(st.none() | st.integers(8, 90)),
    }
    if draw(st.booleans()):
        options["stride"] = draw(st.integers(1, 9))
    else:
        options["fps"] = draw(st.floats(3, 60))
    pixels = draw(st.sampled_from(["frames", "crop", "area"]))
    if pixels == "crop":
        options["crop"] = draw(st.integers(1, 150))
        options["crops"] = draw(st.sampled_from(["random", "center", "three"]))
    if pixels == "area":
        options["area"] = tuple(sorted(draw(st.tuples(*[st.floats(0.05, 1)] * 2))))
        options["size"] = options["size"] or 40
    return ClipSpec(**options)


def source(where, spec, split="train", **options) -> ClipSource:
    return ClipSource(NAME, split, spec, data_dir=where, **options)


@pytest.fixture(scope="module")
def of_sizes(tmp_path_factory):
    """A dataset of wide, upright and square videos, one of them short."""
    return kinetics_clips.testing.make_dataset(
        tmp_path_factory.mktemp("sizes"), num_videos={"train": 3}
    )


def scaled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    out = np.empty((*size, 3), np.uint8)
    scaling.put(pixels, False, out)
    return out


def jpegs_of(clip: EncodedClip) -> list[bytes]:
    return [clip["data"][start:end].tobytes() for start, end in clip["byte_ranges"]]


def decoded(clip: EncodedClip) -> np.ndarray:
    """Makes the pixels of a clip as its fields say; JPEGs are decoded as a whole, or at
    half their size."""
    jpegs, boxes, scaled_size = jpegs_of(clip), clip["boxes"], clip["scaled_size"]
    whole_size = simplejpeg.decode_jpeg_header(jpegs[0])[:2]
    least: dict[str, int] = {}
    if halves.are_decoded(whole_size, scaled_size, boxes, clip["size"]):
        boxes, scaled_size = boxes // 2, tuple(side // 2 for side in whole_size)
        least = dict(zip(("min_height", "min_width"), scaled_size, strict=True))
    frames = [
        scaled(simplejpeg.decode_jpeg(jpeg, "RGB", **least), scaled_size)
        for jpeg in jpegs
    ]
    views = []
    for indices, (top, left, height, width) in zip(
        clip["jpeg_indices"], boxes, strict=True
    ):
        cut = [frames[i][top : top + height, left : left + width] for i in indices]
        views.append(np.stack([scaled(pixels, clip["size"]) for pixels in cut]))
    video = np.stack(views)[..., :: -1 if clip["flip"] else 1, :]
    return video.reshape(*clip["frame_indices"].shape, *video.shape[-3:])


def require_same(clip: EncodedClip, expected) -> None:
    np.testing.assert_equal(decoded(clip), expected["video"])
    for name in ("label", "video_id", "frame_indices"):
        np.testing.assert_equal(clip[name], expected[name])


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_jpegs_that_are_decoded_give_the_clip(data_dir, spec):
    clips = source(data_dir, spec, seed=3)
    for epoch in range(2):
        clips.set_epoch(epoch)
        for number in range(len(clips)):
            require_same(clips.encoded(number), clips[number])


@pytest.mark.slow
@settings(max_examples=25)
@given(specs(), st.integers(0, 1 << 40), st.integers(0, 9))
def test_any_clip_of_any_size_is_the_same(of_sizes, spec, seed, epoch):
    clips = ClipSource(of_sizes, "train", spec, seed)
    clips.set_epoch(epoch)
    for clip, expected in zip(clips.encoded(range(3)), clips, strict=True):
        require_same(clip, expected)


def test_fields_are_of_the_types_that_are_named(data_dir):
    clips = source(data_dir, SPECS["views"])
    clip = clips.encoded(0)
    assert clip.keys() == EncodedClip.__annotations__.keys()
    shapes = {
        name: (value.dtype, value.shape)
        for name, value in clip.items()
        if isinstance(value, np.ndarray)
    }
    num_jpegs = len(np.unique(clip["frame_indices"]))
    assert shapes == {
        "data": (np.uint8, (clip["byte_ranges"][-1, 1],)),
        "byte_ranges": (np.int64, (num_jpegs, 2)),
        "jpeg_indices": (np.int64, (12, 16)),
        "frame_indices": (np.int32, (12, 16)),
        "boxes": (np.int64, (12, 4)),
    }
    assert (clip["scaled_size"], clip["size"]) == ((96, 128), (64, 64))
    assert clip["flip"] is False
    assert isinstance(clip["label"], np.int64) and isinstance(clip["video_id"], bytes)
    one = source(data_dir, SPECS["crop"]).encoded(0)
    assert one["frame_indices"].shape == (5,)
    assert one["jpeg_indices"].shape == (1, 5) and one["boxes"].shape == (1, 4)


@pytest.mark.parametrize("name", ["whole frames", "stride", "wrapped", "views"])
def test_bytes_are_those_that_are_stored(data_dir, builder, name):
    examples = builder.as_dataset(
        split="train", decoders={"video": kinetics_clips.EncodedFrames()}
    )
    clips = source(data_dir, SPECS[name])
    kept = clips.encoded(range(len(clips)))
    for _ in range(3):  # which shortens JPEGs in its own memory
        clips.batch(range(len(clips)))
        list(clips)
    for clip, stored in zip(kept, tfds.as_numpy(examples), strict=True):
        frames = np.unique(clip["frame_indices"])
        assert jpegs_of(clip) == stored["video"][frames].tolist()
        np.testing.assert_array_equal(
            frames[clip["jpeg_indices"]], np.atleast_2d(clip["frame_indices"])
        )


def test_one_buffer_holds_the_jpegs_in_their_order_with_gaps(data_dir):
    for stride in (1, 3):
        clip = source(data_dir, ClipSpec(length=6, stride=stride)).encoded(0)
        ranges = clip["byte_ranges"]
        assert ranges[0, 0] == 0 and ranges[-1, 1] == len(clip["data"])
        gaps = ranges[1:, 0] - ranges[:-1, 1]
        if stride == 1:  # the field's number, and the length in up to three bytes
            assert (gaps >= 2).all() and (gaps <= 4).all()
        else:
            assert (gaps > min(map(len, jpegs_of(clip)))).all()  # of two frames
        assert clip["data"].ctypes.data % 64 == 0
        assert clip["data"].flags.c_contiguous


def test_a_frame_that_is_shown_often_is_one_jpeg(data_dir):
    spec = ClipSpec(length=50, windows=4, crop=32, crops="three")
    clips = source(data_dir, spec)
    numbers = {clip["video_id"].decode(): n for n, clip in enumerate(clips)}
    clip = clips.encoded(numbers["blue/short"])  # which wraps
    assert len(clip["byte_ranges"]) == TRAIN["blue/short"]
    assert clip["jpeg_indices"].shape == (12, 50)


def test_what_a_user_writes_into_a_clip_stays_with_it(data_dir):
    clips = source(data_dir, SPECS["crop"], seed=0)
    expected = clips[1]
    for _ in range(3):
        clips.encoded(1)["data"][:] = 0
        require_same(clips.encoded(1), expected)
        np.testing.assert_equal(clips[1], expected)


@pytest.mark.parametrize(
    "indices", [[2, -4, 2], (2, 0, 2), np.array([2, 0, 2])], ids=repr
)
def test_indices_give_a_list_of_clips(data_dir, indices):
    clips = source(data_dir, SPECS["views"], seed=1)
    several = clips.encoded(indices)
    np.testing.assert_equal(several, [clips.encoded(index) for index in (2, 0, 2)])
    batch = clips[indices]
    np.testing.assert_array_equal(np.stack([*map(decoded, several)]), batch["video"])
    assert clips.encoded(indices[:0]) == []


@pytest.mark.parametrize(
    "index", [1, np.int64(1), np.array(1), 1 - len(TRAIN)], ids=repr
)
def test_an_index_gives_a_clip(data_dir, index):
    clips = source(data_dir, SPECS["crop"], seed=1)
    np.testing.assert_equal(clips.encoded(index), clips.encoded(1))
    assert clips.encoded(index)["video_id"] == clips[1]["video_id"]


def test_without_a_seed_every_access_draws_anew(data_dir):
    clips = source(data_dir, ClipSpec(length=1))
    drawn = clips.encoded([0] * 8) + [clips.encoded(0) for _ in range(8)]
    assert len({int(clip["frame_indices"][0]) for clip in drawn}) > 4


def test_a_clip_may_be_pickled(data_dir):
    clip = source(data_dir, SPECS["views"]).encoded(0)
    np.testing.assert_equal(pickle.loads(pickle.dumps(clip)), clip)


def test_what_is_no_index_is_an_error(data_dir):
    clips = source(data_dir, SPECS["crop"])
    for wrong in (4, -5, [0, 4], np.array([-5])):
        with pytest.raises(IndexError, match=r"`index` must be in \[-4, 4\), got "):
            clips.encoded(wrong)
    for wrong in ("a", 1.5, None, ["a"]):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            clips.encoded(wrong)
