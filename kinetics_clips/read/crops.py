"""Draws crops: which pixels of its frames a clip shows.

Functions that draw take NumPy's values or TensorFlow's, as those of `windows` do.
"""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from kinetics_clips.read.clip_spec import CENTER, RANDOM, ClipSpec
from kinetics_clips.read.windows import Draws, Number

# Aspect ratios of random-resized crops; those of Inception (arXiv:1409.4842).
_MIN_RATIO, _MAX_RATIO = 3 / 4, 4 / 3


class View(NamedTuple):
    """Which pixels of a decoded frame a clip shows; numbers of pixels.

    Attributes:
      scaled: (height, width) to scale the frame to before all else.
      boxes: (top, left, height, width) of each crop of the scaled frame.
      size: (height, width) to scale each crop to.
      flip: Whether to mirror them.
    """

    scaled: tuple[Number, ...]
    boxes: list[tuple[Number, ...]]
    size: tuple[Number, ...]
    flip: Number


class Origin(NamedTuple):
    """Where in its video a clip comes from.

    Attributes:
      frame_size: (height, width) of a stored frame, in pixels.
      fps: Stored frames per second; 0 where that is unknown.
      view: The pixels of them that it shows.
    """

    frame_size: tuple[Number, ...]
    fps: Number
    view: View


def draw_view(
    draws: Draws, height: Number, width: Number, spec: ClipSpec, xp: ModuleType = np
) -> View:
    """Draws which pixels a clip shows, the same of all its frames.

    Args:
      draws: Generator of random numbers with `integers(high)` and `random()`, as that
        of NumPy.
      height: Height of a stored frame, in pixels.
      width: Width of a stored frame, in pixels.
      spec: The clip.
      xp: NumPy's functions, or TensorFlow's.
    """
    scaled = height, width
    if spec.area:
        boxes = [_box_of_area(draws, height, width, spec.area, xp)]
    elif spec.crop:
        side = xp.maximum(xp.minimum(height, width), spec.crop)
        scaled = scaled_to(height, width, side, xp)
        slack = scaled[0] - spec.crop, scaled[1] - spec.crop
        boxes = [
            (top, left, spec.crop, spec.crop)
            for top, left in _corners(draws, *slack, spec.crops, xp)
        ]
    else:
        boxes = [(0, 0, height, width)]
    if spec.side:
        size = spec.side, spec.side
    elif spec.size:
        size = scaled_to(height, width, spec.size, xp)
    else:
        size = height, width
    return View(scaled, boxes, size, draws.random() < 0.5 if spec.flip else False)


def scaled_to(
    height: Number, width: Number, short_side: Number, xp: ModuleType = np
) -> tuple[Number, ...]:
    """Returns (height, width) scaled until the shorter is `short_side`; half up."""
    short = xp.minimum(height, width)
    return tuple((side * short_side + short // 2) // short for side in (height, width))


def _corners(
    draws: Draws, slack_down: Number, slack_right: Number, crops: str, xp: ModuleType
) -> list[tuple[Number, Number]]:
    if crops == RANDOM:
        return [(draws.integers(slack_down + 1), draws.integers(slack_right + 1))]
    middle = slack_down // 2, slack_right // 2
    if crops == CENTER:
        return [middle]
    upright = slack_down > slack_right
    return [
        (
            xp.where(upright, number * slack_down // 2, middle[0]),
            xp.where(upright, middle[1], number * slack_right // 2),
        )
        for number in range(3)
    ]


def _box_of_area(
    draws: Draws,
    height: Number,
    width: Number,
    area: tuple[float, float],
    xp: ModuleType,
) -> tuple[Number, ...]:
    """Draws a box's area evenly, then its ratio, evenly in its logarithm, of those
    with which it fits into the frame."""
    whole_height, whole_width = (xp.asarray(s, xp.float64) for s in (height, width))
    share = area[0] + (area[1] - area[0]) * draws.random()
    ratio = whole_width / whole_height
    low, high = (
        xp.log(xp.clip(limit, _MIN_RATIO, _MAX_RATIO))
        for limit in (share * ratio, ratio / share)
    )
    box_ratio = xp.exp(low + (high - low) * draws.random())
    num_pixels = share * whole_height * whole_width
    box = [
        xp.maximum(xp.minimum(xp.asarray(xp.floor(side + 0.5), xp.int32), whole), 1)
        for side, whole in (
            (xp.sqrt(num_pixels / box_ratio), height),
            (xp.sqrt(num_pixels * box_ratio), width),
        )
    ]
    corner = [
        draws.integers(whole - side + 1)
        for side, whole in zip(box, (height, width), strict=True)
    ]
    return (*corner, *box)
