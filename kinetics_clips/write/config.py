"""What changes the bytes of a dataset on disk, and the name that follows from it."""

import dataclasses
import re

import tensorflow_datasets as tfds

from kinetics_clips.write.releases import RELEASES, Release


def require(name: str, value: object, holds: object, requirement: str) -> None:
    """Raises ValueError that tells what an argument must be, unless it is."""
    if not holds:
        raise ValueError(f"`{name}` must be {requirement}, got {value!r}.")


def require_whole(
    name: str, value: object, low: int, high: int, optional: bool = False
) -> None:
    """Raises ValueError unless an argument is a whole number in [low, high]."""
    if value is None and optional:
        return
    require(
        name,
        value,
        isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
        f"a whole number in [{low}, {high}]" + (" or None" if optional else ""),
    )


@dataclasses.dataclass(kw_only=True, eq=False)
class KineticsClipsConfig(tfds.core.BuilderConfig):
    """What changes the bytes on disk, and nothing else.

    TFDS knows a dataset by its name alone, so the name is a function of the values:
    the defaults are `k400`, `k600`, `k700`, `k700_2020` and `folder`, and every other
    value adds its suffix, as in `k400_128px_q95_10fps_1000videos`. Give a name of your
    own (letters, digits, `_`, `-`, `.`) to keep several folder datasets apart.

    Attributes:
      name: Name of the config. Computed from the other values by default.
      release: Release of Kinetics: `k400`, `k600`, `k700` or `k700_2020`; or `folder`
        (the default) for a tree of class folders.
      short_side: Length in pixels that the shorter side of a frame is scaled down to,
        its aspect kept; None keeps every frame as it is. Defaults to 256, which most
        published training recipes read.
      jpeg_quality: JPEG quality, in [1, 100]. 85 (the default) takes about 14 KB for a
        frame of 340x256.
      fps: Stored frames per second, in (0, 1000], each the nearest in time to its
        place. Defaults to None: every frame is stored.
      max_videos: Number of videos to store of each split: the first ones in the order
        of a hash of their id, of those that have a file. Defaults to None: all.

    Raises:
      ValueError: If a value is out of its range.
    """

    name: str = ""
    release: Release = "folder"
    short_side: int | None = 256
    jpeg_quality: int = 85
    fps: float | None = None
    max_videos: int | None = None

    def __post_init__(self) -> None:
        require(
            "release", self.release, self.release in RELEASES, " or ".join(RELEASES)
        )
        number = isinstance(self.fps, int | float) and not isinstance(self.fps, bool)
        require(
            "fps",
            self.fps,
            self.fps is None or (number and 0 < self.fps <= 1000),
            "a number in (0, 1000] or None",
        )
        self.fps = self.fps and float(self.fps)
        require_whole("short_side", self.short_side, 16, 1 << 16, optional=True)
        require_whole("jpeg_quality", self.jpeg_quality, 1, 100)
        require_whole("max_videos", self.max_videos, 1, 1 << 31, optional=True)
        self.name = self.name or self._computed_name()
        require(
            "name",
            self.name,
            re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name, re.ASCII) is not None,
            "letters, digits, '_', '-' and '.'",
        )

    @property
    def values(self) -> dict[str, object]:
        """The values that change the bytes on disk."""
        return {
            "release": self.release,
            "short_side": self.short_side,
            "jpeg_quality": self.jpeg_quality,
            "fps": self.fps,
            "max_videos": self.max_videos,
        }

    def _computed_name(self) -> str:
        parts: list[str] = [self.release]
        if self.short_side != KineticsClipsConfig.short_side:
            parts.append(f"{self.short_side}px" if self.short_side else "fullsize")
        if self.jpeg_quality != KineticsClipsConfig.jpeg_quality:
            parts.append(f"q{self.jpeg_quality}")
        if self.fps:
            parts.append(f"{self.fps!r}fps".replace(".0fps", "fps"))
        if self.max_videos:
            parts.append(f"{self.max_videos}videos")
        return "_".join(parts)
