import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips import windows
from kinetics_clips.windows import ClipSpec

lengths = st.integers(1, 20)
strides = st.integers(1, 6)


def windows_by_hand(num_frames: int, length: int, stride: int) -> list[list[int]]:
    """Every window that fits, found by trying; the wrapped one where none does."""
    found = [
        indices
        for first in range(num_frames)
        if (indices := [first + i * stride for i in range(length)])[-1] < num_frames
    ]
    return found or [[i * stride % num_frames for i in range(length)]]


@given(st.integers(1, 60), lengths, strides)
def test_windows_are_all_that_fit(num_frames, length, stride):
    spec = ClipSpec(length=length, stride=stride)
    got = [
        windows.frame_indices(offset, num_frames, spec).tolist()
        for offset in range(windows.num_offsets(num_frames, spec))
    ]
    assert got == windows_by_hand(num_frames, length, stride)


@given(lengths, strides)
def test_span_counts_from_first_to_last(length, stride):
    spec = ClipSpec(length=length, stride=stride)
    indices = windows.frame_indices(0, 10_000, spec)
    assert spec.span == indices[-1] - indices[0] + 1


def test_frame_indices_are_int32():
    indices = windows.frame_indices(np.int32(3), np.int32(9), ClipSpec(length=4))
    assert indices.dtype == np.int32
    assert indices.shape == (4,)


def test_num_offsets_includes_the_last():
    assert windows.num_offsets(300, ClipSpec(length=64)) == 237
    assert windows.num_offsets(64, ClipSpec(length=64)) == 1
    assert windows.num_offsets(10, ClipSpec(length=64)) == 1


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_scaled_up_keeps_the_aspect(height, width, crop):
    short = min(height, width)
    scaled = [windows.scaled_up(side, short, crop) for side in (height, width)]
    assert min(scaled) == crop
    for side, got in zip((height, width), scaled, strict=True):
        assert abs(got - side * crop / short) <= 0.5


@pytest.mark.parametrize("name", ["length", "stride", "crop"])
def test_clip_spec_refuses_less_than_one(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        ClipSpec(**{name: 0})


@pytest.mark.parametrize("value", [1.5, "8", True])
def test_clip_spec_refuses_what_is_not_whole(value):
    with pytest.raises(
        TypeError, match=f"`stride` must be a whole number, got {value!r}"
    ):
        ClipSpec(stride=value)


def test_clip_spec_takes_numpy_numbers():
    assert ClipSpec(length=np.int64(8)) == ClipSpec(length=8)


def test_clip_spec_is_frozen():
    with pytest.raises(AttributeError, match=r"cannot assign to field 'length'"):
        ClipSpec().length = 3
