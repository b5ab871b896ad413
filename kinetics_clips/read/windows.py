"""Says what a clip is, and which stored frames and pixels it is made of: arithmetic.

The functions that draw take NumPy's values or TensorFlow's, so that a graph and Python
cannot disagree: `xp` is NumPy, or TensorFlow's module of the same functions.
"""

import dataclasses
import hashlib
import math
import operator
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

RANDOM: Final = "random"
CENTER: Final = "center"
THREE: Final = "three"

# Python's, NumPy's or TensorFlow's, all of one kind in a call.
Number: TypeAlias = Any
Array: TypeAlias = Any

# Aspect ratios of random-resized crops; those of Inception (arXiv:1409.4842).
_MIN_RATIO, _MAX_RATIO = 3 / 4, 4 / 3

# The views over which published results average. The first number counts windows, the
# second crops: `ClipSpec(length=32, stride=2, crop=256, **VIEWS_10X3)`.
# 10x3: SlowFast, arXiv:1812.03982, section 4. 4x3: Video Swin Transformer,
# arXiv:2106.13230, section 4.1. 1x3: TimeSformer, arXiv:2102.05095, section 4.
VIEWS_10X3: Mapping[str, Any] = MappingProxyType({"windows": 10, "crops": THREE})
VIEWS_4X3: Mapping[str, Any] = MappingProxyType({"windows": 4, "crops": THREE})
VIEWS_1X3: Mapping[str, Any] = MappingProxyType({"windows": CENTER, "crops": THREE})


@dataclasses.dataclass(frozen=True, repr=False)
class ClipSpec:
    """What a clip is made of, shared by every reader.

    With `length=3, stride=2` a clip spans five stored frames, of which it takes three
    (x) and skips two (.):

        stored frames   0 1 2 3 4 5 6 7
        offset 0        x . x . x            the first window
        offset 3              x . x . x      the last: 8 - 5 = 3

    Attributes:
      length: Number of frames of a clip, at least 1. Defaults to 64.
      stride: Number of stored frames from one frame of a clip to the next, at least 1.
        Defaults to 1: consecutive frames.
      crop: Side of the square that is cut out, in pixels, at the same place in all
        frames of a clip; frames with a shorter side are scaled up first. Defaults to
        None: whole frames.
      fps: Frames per second of a clip, instead of a `stride`: frame `i` of the clip is
        stored frame `floor(i * stored fps / fps + 0.5)` of the window.
      windows: Windows of a video that are clips: `random` (the default) for one,
        `center` for the one in the middle, or a number, at least 2, of evenly spaced
        ones, the first and the last included.
      crops: Place of the square: `random` (the default), `center`, or `three` for
        three of them, at both ends and in the middle of the frame's long side.
      area: Least and greatest share of the frame, in (0, 1], that a random box covers,
        instead of a `crop`. Its aspect ratio is in [3/4, 4/3], and it is scaled to a
        square of `size`.
      flip: Whether half of all clips are mirrored, left to right. Defaults to False.
      size: Side, in pixels, that crops are scaled to; of whole frames, the short side.
        Defaults to None: pixels as they are stored.

    Raises:
      ValueError: If a value is out of its range, or does not go with another.
      TypeError: If a value is not a number where it has to be one.
    """

    length: int = 64
    stride: int = 1
    crop: int | None = None
    fps: float | None = None
    windows: Literal["random", "center"] | int = RANDOM
    crops: Literal["random", "center", "three"] = RANDOM
    area: tuple[float, float] | None = None
    flip: bool = False
    size: int | None = None

    def __repr__(self) -> str:
        """Says the length, and what else is not as by default."""
        values = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if field.name == "length" or getattr(self, field.name) != field.default
        ]
        return f"ClipSpec({', '.join(values)})"

    def __post_init__(self) -> None:
        for name in ("length", "stride", "crop", "size"):
            if name in ("length", "stride") or getattr(self, name) is not None:
                self._set_whole(name, 1)
        if not isinstance(self.windows, str):
            self._set_whole("windows", 2)
        elif self.windows not in (RANDOM, CENTER):
            raise ValueError(
                "`windows` must be 'random', 'center' or a number of at least 2, got "
                f"{self.windows!r}."
            )
        if self.crops not in (RANDOM, CENTER, THREE):
            raise ValueError(
                f"`crops` must be 'random', 'center' or 'three', got {self.crops!r}."
            )
        if self.fps is not None:
            object.__setattr__(self, "fps", _number("fps", self.fps))
            if not 0 < self.fps < math.inf:
                raise ValueError(f"`fps` must be above 0, got {self.fps}.")
        if not isinstance(self.flip, bool):
            raise TypeError(f"`flip` must be True or False, got {self.flip!r}.")
        if self.area is not None:
            self._set_area(self.area)
        self._require_together(
            (not self.fps or self.stride == 1, "`fps` takes the place of `stride`"),
            (self.crops == RANDOM or self.crop, "`crops` needs a `crop`"),
            (not self.area or not self.crop, "`area` takes the place of `crop`"),
            (not self.area or self.size, "`area` needs a `size`"),
        )

    def _set_whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        try:
            whole = operator.index(value)
        except TypeError:
            whole = None
        if whole is None or isinstance(value, bool):
            raise TypeError(f"`{name}` must be a whole number, got {value!r}.")
        if whole < least:
            raise ValueError(f"`{name}` must be at least {least}, got {whole}.")
        object.__setattr__(self, name, whole)

    def _set_area(self, area: Iterable[object]) -> None:
        try:
            least, most = (_number("area", share) for share in area)
        except (TypeError, ValueError):
            least = most = math.nan
        if not 0 < least <= most <= 1:
            raise ValueError(
                "`area` must be (least, most) with 0 < least <= most <= 1, got "
                f"{area!r}."
            )
        object.__setattr__(self, "area", (least, most))

    def _require_together(self, *rules: tuple[object, str]) -> None:
        for holds, rule in rules:
            if not holds:
                raise ValueError(f"{rule}, got {self}.")

    @property
    def num_windows(self) -> int:
        """Windows of a video that one example holds."""
        return 1 if isinstance(self.windows, str) else self.windows

    @property
    def num_crops(self) -> int:
        """Crops of a window that one example holds."""
        return 3 if self.crops == THREE else 1

    @property
    def num_views(self) -> int:
        """Clips that one example holds: every crop of every window."""
        return self.num_windows * self.num_crops

    @property
    def side(self) -> int | None:
        """Side of a clip's square frames, in pixels; None where they are not square."""
        return (self.crop or self.area) and (self.size or self.crop)


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


def require_shard(shard: tuple[int, int]) -> None:
    """Raises ValueError unless a shard is the index of a host and a number of hosts."""
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            f"`shard` must be (index, count) with 0 <= index < count, got {shard}."
        )


def epoch_key(seed: int, epoch: int) -> int:
    """Returns the key of an epoch, in `[0, 2**63)`: equal only for equal arguments."""
    return int(_hash(b"%d %d" % (seed, epoch))[0]) >> 1


def generator(key: int, video_id: bytes) -> np.random.Generator:
    """Returns what draws the clip of a video in an epoch: a function of both alone."""
    return _generator(b"%d %b" % (key, video_id))


def order(key: int, num_videos: int) -> np.ndarray:
    """Returns the random order of the videos in an epoch, int64 `[num_videos]`."""
    return _generator(b"%d" % key).permutation(num_videos)


def _generator(data: bytes) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=_hash(data)))


def _hash(data: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.blake2b(data, digest_size=16).digest(), np.uint64)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError(f"`{name}` must be a number, got {value!r}.")
    return float(value)
