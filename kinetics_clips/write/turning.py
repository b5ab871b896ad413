"""Turns pictures as their display matrix says: rotated, mirrored, or left alone."""

import functools
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kinetics_clips.wheels import av, cv2


def _flip_across(plane: np.ndarray) -> np.ndarray:
    return cv2.flip(plane, 1)


def _flip_down(plane: np.ndarray) -> np.ndarray:
    return cv2.flip(plane, 0)


def _clockwise(plane: np.ndarray) -> np.ndarray:
    return cv2.rotate(plane, cv2.ROTATE_90_CLOCKWISE)


def _counter_clockwise(plane: np.ndarray) -> np.ndarray:
    return cv2.rotate(plane, cv2.ROTATE_90_COUNTERCLOCKWISE)


def _transpose(plane: np.ndarray) -> np.ndarray:
    return cv2.transpose(plane)


def _transpose_across(plane: np.ndarray) -> np.ndarray:
    return cv2.transpose(cv2.flip(plane, -1))


class Turning(NamedTuple):
    """How a frame is turned before it is shown.

    Attributes:
      turns: Functions of a plane, to be called one after the other.
      transposes: Whether they exchange rows and columns.
      degrees: Angle by which the frame is then rotated clockwise within its own size,
        in degrees. Defaults to 0.
    """

    turns: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
    transposes: bool = False
    degrees: float = 0.0

    def of(self, plane: np.ndarray, black: int) -> np.ndarray:
        """Returns a plane turned.

        Args:
          plane: `uint8 [height, width]`.
          black: What fills the corners of one that is rotated.
        """
        for turn in self.turns:
            plane = turn(plane)
        return _rotate(plane, self.degrees, black) if self.degrees else plane


def turning(frame: av.VideoFrame) -> Turning:
    """Returns how a frame is to be turned by its display matrix, if it has one."""
    try:
        # PyAV's types lack the module, and below 19 all kinds but motion vectors.
        kind = av.sidedata.sidedata.Type.DISPLAYMATRIX  # type: ignore[attr-defined]
        side_data: Mapping[Any, Any] = frame.side_data
        matrix = bytes(side_data[kind])
    except KeyError:
        return Turning()
    return _turning_of(struct.unpack("9i", matrix))


@functools.lru_cache(maxsize=16)
def _turning_of(matrix: tuple[int, ...]) -> Turning:
    """Returns what a display matrix asks for, as the ffmpeg program understands it.

    Args:
      matrix: ISO/IEC 14496-12's nine numbers, row by row, of which the first four that
        are not of the last column say where the right and the lower edge go.
    """
    a, b, _, c, d = matrix[:5]
    if not (a or c) or not (b or d):  # nothing would be left to be seen
        return Turning()
    x, y = a / math.hypot(a, c), b / math.hypot(b, d)
    degrees = round(math.degrees(math.atan2(y, x))) % 360
    if degrees == 1:  # not worth it
        degrees = 0
    if degrees == 90:
        return Turning((_transpose if c > 0 else _clockwise,), transposes=True)
    if degrees == 270:
        turn = _transpose_across if c < 0 else _counter_clockwise
        return Turning((turn,), transposes=True)
    if degrees == 180:
        return Turning((_flip_across,) * (a < 0) + (_flip_down,) * (d < 0))
    if degrees == 0:
        return Turning((_flip_down,) * (d < 0))
    return Turning(degrees=degrees)


def _rotate(plane: np.ndarray, degrees: float, black: int) -> np.ndarray:
    height, width = plane.shape
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, -degrees, 1)
    return cv2.warpAffine(plane, matrix, (width, height), borderValue=black)
