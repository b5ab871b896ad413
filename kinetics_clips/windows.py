"""Says what a clip is, and which stored frames it is made of: arithmetic only.

The functions take NumPy values; those whose docstring says so take TensorFlow's as
well, so that a graph and Python cannot disagree.
"""

import dataclasses
import operator

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """What a clip is made of, shared by every reader.

    With `length=3, stride=2` a clip spans five stored frames, of which it takes three
    (x) and skips two (.):

        stored frames   0 1 2 3 4 5 6 7
        offset 0        x . x . x            the first window
        offset 3              x . x . x      the last: 8 - 5 = 3

    Attributes:
      length: Frames of a clip, at least 1.
      stride: Stored frames advanced per clip frame, at least 1; 1 = consecutive.
      crop: Side of a random square, in pixels, the same for all frames of a clip;
        frames smaller than it are scaled up first. None = whole frames.

    Raises:
      ValueError: If a value is out of its range.
      TypeError: If a value is not a whole number.
    """

    length: int = 64
    stride: int = 1
    crop: int | None = None

    def __post_init__(self) -> None:
        for name in ("length", "stride", "crop"):
            value = getattr(self, name)
            if value is None and name == "crop":
                continue
            try:
                whole = operator.index(value)
            except TypeError:
                whole = None
            if whole is None or isinstance(value, bool):
                raise TypeError(f"`{name}` must be a whole number, got {value!r}.")
            if whole < 1:
                raise ValueError(f"`{name}` must be at least 1, got {whole}.")
            object.__setattr__(self, name, whole)

    @property
    def span(self) -> int:
        """Stored frames from a window's first to its last, both included."""
        return (self.length - 1) * self.stride + 1


def num_offsets(num_frames, spec: ClipSpec, maximum=np.maximum):
    """Counts the offsets that a window of a video can have, at least 1.

    Args:
      num_frames: Stored frames of the video, at least 1; NumPy or TensorFlow.
      spec: The clip.
      maximum: The library's `maximum`: `np.maximum`, or `tf.maximum` in a graph.

    Returns:
      `num_frames - span + 1`, or 1 for a video shorter than the span. The offsets are
      `[0, num_offsets)`.
    """
    return maximum(num_frames - spec.span + 1, 1)


def frame_indices(offset, num_frames, spec: ClipSpec):
    """Lists the stored frames of the window at `offset`.

    Args:
      offset: int32, in `[0, num_offsets)`; NumPy or TensorFlow.
      num_frames: int32, stored frames of the video; NumPy or TensorFlow.
      spec: The clip.

    Returns:
      int32 `[length]`, each in `[0, num_frames)`: a video shorter than the span wraps.
    """
    steps = np.arange(spec.length, dtype=np.int32) * np.int32(spec.stride)
    return (offset + steps) % num_frames


def scaled_up(side, short_side, crop: int):
    """Scales one side of a frame so that its short side becomes `crop`.

    Args:
      side: The side, in pixels; NumPy or TensorFlow.
      short_side: The frame's shorter side, in pixels.
      crop: Pixels that the shorter side is to have.

    Returns:
      The side's length, rounded half up; exactly `crop` for the short side.
    """
    return (side * crop + short_side // 2) // short_side
