"""Turns decoded frames into JPEGs of one size, in the colours that they mean."""

from typing import NamedTuple

import numpy as np

from kinetics_clips.containers import VideoError
from kinetics_clips.wheels import av, cv2, simplejpeg

# JPEG stores a side in 16 bits; libjpeg stops a little short of that.
_MAX_JPEG_SIDE = 65_500

# Below it, linear interpolation is as true to the frame as INTER_AREA (within 2 dB of
# a band-limited reduction, measured), and five times as fast; above, it aliases.
_MAX_LINEAR_RATIO = 1.5

# Colours stay as the decoder gives them, in three planes: a JPEG holds the same ones.
# Half the bytes of RGB are scaled, and nothing is converted there and back.
_PIXEL_FORMATS = ("yuv420p", "yuvj420p")  # all others become the first
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG

# (factor, summand) from the range of a video, 16 to 235 for brightness and 16 to 240
# for colours, to that of a JPEG, 0 to 255; by whether it has that one.
_LEVELS = {
    False: (
        (255 / 219, -16 * 255 / 219),
        *((255 / 224, 0.5 - 16 * 255 / 224),) * 2,
    ),
    True: ((1.0, 0.0),) * 3,
}


class Picture(NamedTuple):
    """A decoded frame.

    Attributes:
      planes: Brightness, `uint8 [height, width]`, and two of colour, of half its size
        rounded up.
      full_range: Whether they use all levels, as those of a JPEG do.
    """

    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    full_range: bool


def picture(frame: av.VideoFrame) -> Picture:
    """Returns the picture of a decoded frame, turned as it is to be shown."""
    turned = frame.rotation % 360
    if frame.format.name not in _PIXEL_FORMATS:
        frame = frame.reformat(format=_PIXEL_FORMATS[0])
    full_range = frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE
    planes = [_pixels(plane) for plane in frame.planes]
    if turned in _ROTATIONS:
        planes = [cv2.rotate(plane, _ROTATIONS[turned]) for plane in planes]
    return Picture(tuple(planes), full_range)


# Of frames that are to be turned so many degrees against the clock.
_ROTATIONS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


def _pixels(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """Returns a plane as `uint8 [height, width]`, in the frame's own memory."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


class JpegEncoder:
    """Scales frames to the size that a first one gets and encodes them.

    Attributes:
      height: Of the JPEGs, in pixels.
      width: Of the JPEGs, in pixels.
    """

    def __init__(self, first: Picture, short_side: int | None, jpeg_quality: int):
        self.height, self.width = _stored_size(*first.planes[0].shape, short_side)
        half = (self.height + 1) // 2, (self.width + 1) // 2
        self._planes = [
            _Plane(*size) for size in ((self.height, self.width), half, half)
        ]
        self._quality = jpeg_quality

    def __call__(self, frame: Picture) -> bytes:
        """Returns the frame as a JPEG."""
        scaled = [
            plane.fill(pixels, *levels)
            for plane, pixels, levels in zip(
                self._planes, frame.planes, _LEVELS[frame.full_range], strict=True
            )
        ]
        return simplejpeg.encode_jpeg_yuv_planes(
            *scaled, quality=self._quality, fastdct=False
        )


class _Plane:
    """Scales planes to one size, into the same memory each time."""

    def __init__(self, height: int, width: int):
        self._height, self._width = height, width
        self._stepped: np.ndarray | None = None
        self._scaled: np.ndarray | None = None
        # libjpeg-turbo reads pairs of rows and columns, the last of which has to exist.
        self._memory = np.empty((height + height % 2, width + width % 2), np.uint8)

    def fill(self, pixels: np.ndarray, factor: float, summand: float) -> np.ndarray:
        """Returns a plane at the new size with new levels; valid until the next call.

        Args:
          pixels: `uint8 [any height, any width]`.
          factor: By which each level is multiplied.
          summand: Added after that.
        """
        filled = self._memory[: self._height, : self._width]
        scaled = self._scale(pixels)
        # Rounds and stays in the range, in one pass over the pixels.
        cv2.addWeighted(scaled, factor, scaled, 0, summand, dst=filled)
        self._memory[self._height :] = self._memory[self._height - 1]
        self._memory[:, self._width :] = self._memory[:, self._width - 1, np.newaxis]
        return filled

    def _scale(self, pixels: np.ndarray) -> np.ndarray:
        # INTER_AREA is fast at whole ratios and slow at all others.
        step = self._whole_step(*pixels.shape)
        if step > 1:
            height, width = pixels.shape[0] // step, pixels.shape[1] // step
            pixels = self._stepped = cv2.resize(
                pixels,
                (width, height),
                dst=self._stepped,
                interpolation=cv2.INTER_AREA,
            )
        if pixels.shape == (self._height, self._width):
            return pixels
        ratio = max(pixels.shape[0] / self._height, pixels.shape[1] / self._width)
        self._scaled = cv2.resize(
            pixels,
            (self._width, self._height),
            dst=self._scaled,
            interpolation=(
                cv2.INTER_LINEAR if ratio <= _MAX_LINEAR_RATIO else cv2.INTER_AREA
            ),
        )
        return self._scaled

    def _whole_step(self, height: int, width: int) -> int:
        ratio = min(height // self._height, width // self._width)
        steps = (k for k in range(ratio, 1, -1) if height % k == 0 == width % k)
        return next(steps, 1)


def _stored_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Returns (height, width) with the short side scaled down to `short_side`."""
    short = min(height, width)
    if short_side is not None and short > short_side:
        height = (height * short_side + short // 2) // short
        width = (width * short_side + short // 2) // short
    if max(height, width) > _MAX_JPEG_SIDE:
        raise VideoError(
            "too large", f"{width}x{height}: a JPEG's side ends at {_MAX_JPEG_SIDE}"
        )
    return height, width
