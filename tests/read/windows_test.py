import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from hypothesis import given, settings
from hypothesis import strategies as st

import kinetics_clips
from kinetics_clips.read import windows
from kinetics_clips.read.windows import ClipSpec

lengths = st.integers(1, 20)
strides = st.integers(1, 6)
sides = st.integers(1, 400)


class Recorded:
    """Gives out what it is told to, and records of how many it could choose."""

    def __init__(self, *values, module=np):
        self.values, self.module, self.highs = list(values), module, []

    def integers(self, high):
        self.highs.append(int(high))
        return self.module.asarray(self.values.pop(0), self.module.int32)

    def random(self):
        return self.module.asarray(self.values.pop(0), self.module.float64)


class InGraph(Recorded):
    def __init__(self, *values):
        super().__init__(*values, module=tnp)


def windows_by_hand(num_frames: int, length: int, stride: int) -> list[list[int]]:
    """Every window that fits, found by trying; the wrapped one where none does."""
    found = [
        indices
        for first in range(num_frames)
        if (indices := [first + i * stride for i in range(length)])[-1] < num_frames
    ]
    return found or [[i * stride % num_frames for i in range(length)]]


def drawn(spec, num_frames, value=0, fps=0.0):
    """Returns the windows that a draw gives, and of how many it chose."""
    draws = Recorded(value)
    return windows.draw_frames(draws, num_frames, fps, spec).tolist(), draws.highs


@given(st.integers(1, 60), lengths, strides)
def test_windows_are_all_that_fit(num_frames, length, stride):
    spec = ClipSpec(length=length, stride=stride)
    expected = windows_by_hand(num_frames, length, stride)
    for offset, indices in enumerate(expected):
        assert drawn(spec, num_frames, offset) == ([indices], [len(expected)])


@given(st.integers(1, 60), lengths, strides, st.integers(2, 12))
def test_center_and_evenly_spaced_windows(num_frames, length, stride, count):
    every = windows_by_hand(num_frames, length, stride)
    spec = ClipSpec(length=length, stride=stride, windows="center")
    assert drawn(spec, num_frames) == ([every[(len(every) - 1) // 2]], [])
    spec = ClipSpec(length=length, stride=stride, windows=count)
    views, highs = drawn(spec, num_frames)
    assert not highs
    firsts = [every.index(view) for view in views]
    assert len(firsts) == count == spec.num_windows
    assert firsts[0] == 0 and firsts[-1] == len(every) - 1
    gap = (len(every) - 1) / (count - 1)
    assert all(abs(first - i * gap) <= 0.5 for i, first in enumerate(firsts))


@given(st.integers(1, 200), lengths, st.floats(1, 120, width=32), st.floats(1, 120))
def test_fps_takes_the_frame_at_that_time(num_frames, length, stored_fps, fps):
    stored_fps = np.float32(stored_fps)
    spec = ClipSpec(length=length, fps=fps)
    inside = [math.floor(i * (float(stored_fps) / fps) + 0.5) for i in range(length)]
    num_offsets = max(num_frames - inside[-1], 1)
    for offset in {0, num_offsets // 2, num_offsets - 1}:
        expected = [(offset + step) % num_frames for step in inside]
        assert drawn(spec, num_frames, offset, stored_fps) == (
            [expected],
            [num_offsets],
        )


def test_frames_are_int32():
    indices = windows.draw_frames(
        np.random.default_rng(0), np.int64(9), 0.0, ClipSpec(length=4)
    )
    assert indices.dtype == np.int32
    assert indices.shape == (1, 4)


@given(sides, sides, sides)
def test_scaled_to_keeps_the_aspect(height, width, short_side):
    scaled = windows.scaled_to(height, width, short_side)
    short = min(height, width)
    assert min(scaled) == short_side
    for side, got in zip((height, width), scaled, strict=True):
        assert abs(got - side * short_side / short) <= 0.5


@given(sides, sides, st.integers(1, 300), st.data())
def test_a_random_crop_may_lie_anywhere(height, width, crop, data):
    spec = ClipSpec(crop=crop)
    scaled = (height, width)
    if min(scaled) < crop:
        scaled = windows.scaled_to(height, width, crop)
    slack = [side - crop for side in scaled]
    corner = [data.draw(st.integers(0, s)) for s in slack]
    draws = Recorded(*corner)
    view = windows.draw_view(draws, height, width, spec)
    assert view == (scaled, [(*corner, crop, crop)], (crop, crop), False)
    assert draws.highs == [s + 1 for s in slack]


@pytest.mark.parametrize(
    ("height", "width", "crops", "corners"),
    [
        (256, 340, "center", [(16, 58)]),
        (256, 340, "three", [(16, 0), (16, 58), (16, 116)]),
        (340, 257, "three", [(0, 16), (58, 16), (116, 16)]),
        (224, 224, "three", [(0, 0)] * 3),
        (112, 140, "three", [(0, 0), (0, 28), (0, 56)]),  # scaled up to 224x280
    ],
)
def test_crops_at_fixed_places(height, width, crops, corners):
    spec = ClipSpec(crop=224, crops=crops, size=112)
    view = windows.draw_view(Recorded(), height, width, spec)
    assert view.boxes == [(*corner, 224, 224) for corner in corners]
    assert view.size == (112, 112)
    assert spec.num_crops == len(corners)


fractions = st.floats(0, 1, exclude_max=True)


@given(sides, sides, st.tuples(fractions, fractions), fractions, fractions, st.data())
def test_a_box_of_an_area_fits_and_has_it(height, width, area, one, two, data):
    area = sorted(max(share, 0.01) for share in area)
    spec = ClipSpec(area=area, size=32)
    high = 1 << 30
    top_left = data.draw(st.integers(0, high)), data.draw(st.integers(0, high))

    class Draws(Recorded):
        def integers(self, high):
            self.highs.append(int(high))
            return top_left[len(self.highs) - 1] % high

    draws = Draws(one, two)
    view = windows.draw_view(draws, height, width, spec)
    ((top, left, box_height, box_width),) = view.boxes
    assert 0 <= top <= height - box_height and 1 <= box_height
    assert 0 <= left <= width - box_width and 1 <= box_width
    assert draws.highs == [height - box_height + 1, width - box_width + 1]
    assert view.size == (32, 32) and view.scaled == (height, width)
    share = area[0] + (area[1] - area[0]) * one
    pixels = share * height * width
    if 0.75 <= share * width / height and width / height / share <= 4 / 3:
        # Any ratio in between has that area.
        assert abs(box_height * box_width - pixels) <= height + width


def test_a_box_of_an_area_has_every_ratio():
    rng = np.random.default_rng(0)
    spec = ClipSpec(area=(0.1, 0.2), size=32)
    boxes = [windows.draw_view(rng, 256, 340, spec).boxes[0] for _ in range(3000)]
    ratios = np.log([width / height for _, _, height, width in boxes])
    shares = [width * height / (256 * 340) for _, _, height, width in boxes]
    for values, low, high in [
        (ratios, math.log(3 / 4), math.log(4 / 3)),
        (shares, 0.1, 0.2),
    ]:
        quarters = np.quantile(values, [0.01, 0.25, 0.5, 0.75, 0.99])
        expected = low + (high - low) * np.array([0.01, 0.25, 0.5, 0.75, 0.99])
        np.testing.assert_allclose(quarters, expected, atol=0.03 * (high - low))


def test_half_of_all_clips_are_flipped():
    rng = np.random.default_rng(0)
    flips = [windows.draw_view(rng, 8, 8, ClipSpec(flip=True)).flip for _ in range(999)]
    assert 430 < sum(flips) < 570
    assert not windows.draw_view(rng, 8, 8, ClipSpec()).flip


@settings(max_examples=60)
@given(
    st.sampled_from(
        [
            ClipSpec(length=5, stride=3),
            ClipSpec(length=5, fps=12.5, windows=3),
            ClipSpec(length=5, fps=7, crop=64, crops="three", windows="center"),
            ClipSpec(length=2, crop=100, size=50),
            ClipSpec(length=2, crop=100, crops="center", flip=True),
            ClipSpec(length=2, area=(0.1, 0.9), size=50, flip=True),
            ClipSpec(length=2, size=90),
        ]
    ),
    st.integers(1, 99),
    st.integers(1, 300),
    st.integers(1, 300),
    fractions,
    fractions,
)
def test_tensorflow_computes_the_same(spec, num_frames, height, width, one, two):
    def frames_and_view(draws, number, xp):
        fps = number(29.97, np.float32)
        frames = windows.draw_frames(draws(0), number(num_frames), fps, spec, xp)
        values = (one, two, 0, 0, 0.4) if spec.area else (0, 0, 0.6)
        if (spec.crop and spec.crops != "random") or not (spec.crop or spec.area):
            values = (0.6,)
        size = number(height), number(width)
        view = windows.draw_view(draws(*values), *size, spec, xp)
        flat = [*view.scaled, *view.size, view.flip]
        for box in view.boxes:
            flat += box
        return np.asarray(frames).tolist(), [int(value) for value in flat]

    def tensor(value, dtype=np.int32):
        return tf.constant(value, dtype)

    def scalar(value, dtype=np.int32):
        return dtype(value)

    assert frames_and_view(InGraph, tensor, tnp) == frames_and_view(
        Recorded, scalar, np
    )


def test_draws_depend_on_key_and_video_alone():
    def draw(key, video_id):
        return windows.generator(key, video_id).integers(1 << 60)

    assert draw(3, b"a") == draw(3, b"a")
    keys = [windows.epoch_key(seed, epoch) for seed in range(9) for epoch in range(9)]
    assert len(set(keys)) == 81
    assert all(isinstance(key, int) and 0 <= key < 1 << 63 for key in keys)
    draws = {draw(key, video_id) for key in keys for video_id in (b"a", b"b", b"")}
    assert len(draws) == 243
    # These are kept: an epoch that was interrupted goes on after an update.
    assert windows.epoch_key(0, 0) == 7340887938999116165
    assert draw(3, b"a") == 749718219763052065


def test_order_is_a_permutation():
    order = windows.order(5, 1000)
    assert sorted(order) == list(range(1000))
    assert (order == windows.order(5, 1000)).all()
    assert (order != windows.order(6, 1000)).any()


def test_standard_views():
    for views, num_windows in [
        (kinetics_clips.VIEWS_10X3, 10),
        (kinetics_clips.VIEWS_4X3, 4),
        (kinetics_clips.VIEWS_1X3, 1),
    ]:
        spec = ClipSpec(length=32, stride=2, crop=256, **views)
        assert (spec.num_windows, spec.num_crops) == (num_windows, 3)
        assert spec.num_views == 3 * num_windows
    with pytest.raises(TypeError, match="does not support item assignment"):
        kinetics_clips.VIEWS_1X3["crops"] = "center"


@pytest.mark.parametrize("name", ["length", "stride", "crop", "size"])
def test_clip_spec_refuses_less_than_one(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        ClipSpec(**{name: 0})


@pytest.mark.parametrize("value", [1.5, "8", True])
def test_clip_spec_refuses_what_is_not_whole(value):
    with pytest.raises(
        TypeError, match=f"`stride` must be a whole number, got {value!r}"
    ):
        ClipSpec(stride=value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"windows": 1}, "`windows` must be at least 2, got 1"),
        ({"windows": "all"}, "`windows` must be 'random', 'center' or a number of"),
        ({"crops": "five", "crop": 8}, "`crops` must be 'random', 'center' or 'three'"),
        ({"crops": "three"}, "`crops` needs a `crop`, got ClipSpec"),
        ({"fps": 0}, "`fps` must be above 0, got 0"),
        ({"fps": math.nan}, "`fps` must be above 0, got nan"),
        ({"fps": 5, "stride": 2}, "`fps` takes the place of `stride`"),
        ({"area": (0, 1), "size": 8}, r"`area` must be \(least, most\) with 0 < least"),
        ({"area": (0.5, 0.4), "size": 8}, r"`area` must be .*, got \(0.5, 0.4\)"),
        ({"area": 0.5, "size": 8}, r"`area` must be .*, got 0.5"),
        ({"area": (0.1, 1), "size": 8, "crop": 8}, "`area` takes the place of `crop`"),
        ({"area": (0.1, 1)}, "`area` needs a `size`"),
    ],
)
def test_clip_spec_refuses_what_does_not_go(values, message):
    with pytest.raises(ValueError, match=message):
        ClipSpec(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fps": "5"}, "`fps` must be a number, got '5'"),
        ({"flip": 1}, "`flip` must be True or False, got 1"),
    ],
)
def test_clip_spec_refuses_other_types(values, message):
    with pytest.raises(TypeError, match=message):
        ClipSpec(**values)


def test_clip_spec_takes_numpy_numbers():
    assert ClipSpec(length=np.int64(8), fps=np.float32(5)) == ClipSpec(length=8, fps=5)
    assert hash(ClipSpec(area=[0.1, 1], size=8)) == hash(
        ClipSpec(area=(0.1, 1.0), size=8)
    )


def test_clip_spec_is_frozen():
    with pytest.raises(AttributeError, match=r"cannot assign to field 'length'"):
        ClipSpec().length = 3


def test_a_spec_says_what_is_not_as_by_default():
    assert repr(ClipSpec()) == "ClipSpec(length=64)"
    spec = ClipSpec(length=8, crop=224, windows=4)
    assert repr(spec) == "ClipSpec(length=8, crop=224, windows=4)"
    assert eval(repr(spec)) == spec
