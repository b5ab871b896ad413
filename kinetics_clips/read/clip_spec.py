"""Says what a clip is made of."""

import dataclasses
import math
import operator
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

RANDOM: Final = "random"
CENTER: Final = "center"
THREE: Final = "three"

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
            self._set_whole("windows", 2, ", or 'random' or 'center' for one window")
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

    def _set_whole(self, name: str, least: int, otherwise: str = "") -> None:
        value = getattr(self, name)
        try:
            whole = operator.index(value)
        except TypeError:
            whole = None
        if whole is None or isinstance(value, bool):
            raise TypeError(f"`{name}` must be a whole number, got {value!r}.")
        if whole < least:
            raise ValueError(
                f"`{name}` must be at least {least}{otherwise}, got {whole}."
            )
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


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError(f"`{name}` must be a number, got {value!r}.")
    return float(value)
