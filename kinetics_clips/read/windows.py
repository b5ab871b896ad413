"""Draws windows of a video: which stored frames a clip shows.

Functions that draw take NumPy's values or TensorFlow's, so that a graph and Python
cannot disagree: `xp` is NumPy, or TensorFlow's module of the same functions.
"""

from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from kinetics_clips.read.clip_spec import CENTER, RANDOM, ClipSpec

# Python's, NumPy's or TensorFlow's, all of one kind in a call.
Number: TypeAlias = Any
Array: TypeAlias = Any


class Draws(Protocol):
    """Draws random numbers, as NumPy's generators do."""

    def integers(self, high: Number, /) -> Number: ...

    def random(self) -> Number: ...


def steps(spec: ClipSpec, stored_fps: Number, xp: ModuleType = np) -> Array:
    """Lists the frames of a window, counted from its first one.

    Args:
      spec: The clip.
      stored_fps: Stored frames per second of the video; above 0 where the clip has an
        `fps`, and not used otherwise.
      xp: NumPy's functions, or TensorFlow's.

    Returns:
      int32 `[length]`, rising from 0; one more than the last is the window's span.
    """
    numbers = np.arange(spec.length)
    if spec.fps is None:
        return xp.asarray(numbers * spec.stride, xp.int32)
    ratio = xp.asarray(stored_fps, xp.float64) / spec.fps
    return xp.asarray(xp.floor(numbers.astype(np.float64) * ratio + 0.5), xp.int32)


def draw_frames(
    draws: Draws,
    num_frames: Number,
    stored_fps: Number,
    spec: ClipSpec,
    xp: ModuleType = np,
) -> Array:
    """Draws windows of a video, every valid offset equally likely, the last included.

    Args:
      draws: Generator of random numbers with `integers(high)`, as that of NumPy.
      num_frames: Stored frames of the video, at least 1.
      stored_fps: Stored frames per second of the video; above 0 where the clip has an
        `fps`, and not used otherwise.
      spec: The clip.
      xp: NumPy's functions, or TensorFlow's.

    Returns:
      int32 `[num_windows, length]`, each in `[0, num_frames)`: a video shorter than
      the span wraps.
    """
    inside = steps(spec, stored_fps, xp)
    last_offset = xp.maximum(num_frames - inside[-1] - 1, 0)
    if spec.windows == RANDOM:
        offsets = [draws.integers(last_offset + 1)]
    elif spec.windows == CENTER:
        offsets = [last_offset // 2]
    else:
        gaps = spec.windows - 1
        # Rounded half up.
        offsets = [
            (2 * number * last_offset + gaps) // (2 * gaps)
            for number in range(spec.windows)
        ]
    rows = [(xp.asarray(offset, xp.int32) + inside) % num_frames for offset in offsets]
    return xp.asarray(xp.stack(rows), xp.int32)
