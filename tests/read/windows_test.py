import math

import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from draws import InGraph, Recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_clips.read import crops, windows
from kinetics_clips.read.clip_spec import ClipSpec

lengths = st.integers(1, 20)
strides = st.integers(1, 6)
fractions = st.floats(0, 1, exclude_max=True)


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
        view = crops.draw_view(draws(*values), *size, spec, xp)
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
