"""Makes short videos of moving shapes whose frames carry their own number."""

import itertools
import os

import numpy as np

from kinetics_clips.wheels import cv2

# A frame's number, as black and white blocks across its top, most significant first.
NUM_BLOCKS = 12
_BLOCKS_SHARE = 8  # the blocks take an eighth of the height

_FOURCC = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}


def draw_frame(
    number: int,
    *,
    height: int = 256,
    width: int = 340,
    colour: tuple[int, int, int] = (200, 60, 40),
) -> np.ndarray:
    """Draws one frame: a disc on its way over a shaded ground, and the number.

    Args:
      number: The frame's number, in [0, 4096).
      height: Height of the frame, in pixels, at least 32.
      width: Width of the frame, in pixels, at least 48.
      colour: Colour of the disc, (red, green, blue), each in [0, 255].

    Returns:
      uint8 `[height, width, 3]`, RGB.

    Raises:
      ValueError: If the number does not fit the blocks.
    """
    if not 0 <= number < 1 << NUM_BLOCKS:
        raise ValueError(f"`number` must be in [0, {1 << NUM_BLOCKS}), got {number}.")
    rows = np.linspace(40, 120, height)[:, np.newaxis]
    columns = np.linspace(0, 60, width)[np.newaxis, :]
    frame = np.repeat((rows + columns)[:, :, np.newaxis], 3, axis=2).astype(np.uint8)
    angle = 2 * np.pi * number / 60
    centre = (
        # Inside of most squares that are cut out of the frame.
        int(width * (0.5 + 0.15 * np.cos(angle))),
        int(height * (0.58 + 0.24 * np.sin(angle))),
    )
    cv2.circle(frame, centre, height // 7, colour, -1, cv2.LINE_AA)
    edges = _block_edges(width)
    bits = (number >> np.arange(NUM_BLOCKS)[::-1]) & 1
    for left, right, bit in zip(edges[:-1], edges[1:], bits, strict=True):
        frame[: height // _BLOCKS_SHARE, left:right] = 255 * bit
    return frame


def read_number(frame: np.ndarray) -> int:
    """Reads the number back from a whole frame of any size, uint8 `[h, w, 3]`."""
    height, width = frame.shape[:2]
    edges = _block_edges(width)
    row = height // _BLOCKS_SHARE // 2
    bits = [
        int(frame[row, (left + right) // 2].mean() > 127)
        for left, right in itertools.pairwise(edges)
    ]
    return int("".join(map(str, bits)), 2)


def write_video(
    path: str | os.PathLike[str],
    num_frames: int,
    *,
    height: int = 256,
    width: int = 340,
    fps: float = 30.0,
    colour: tuple[int, int, int] = (200, 60, 40),
    first_number: int = 0,
) -> None:
    """Writes a video whose frame `i` is `draw_frame(first_number + i)`.

    Args:
      path: Its suffix sets the format: `.mp4` and `.mkv` (MPEG-4), `.avi` (Motion
        JPEG), `.webm` (VP8).
      num_frames: Number of frames, at least 1.
      height: Height of a frame, in pixels, even.
      width: Width of a frame, in pixels, even.
      fps: Frames per second.
      colour: Colour of the disc, as `draw_frame` takes it.
      first_number: The number that the first frame carries.

    Raises:
      OSError: If OpenCV cannot write the file.
    """
    path = os.fspath(path)
    fourcc = cv2.VideoWriter.fourcc(*_FOURCC[os.path.splitext(path)[1]])
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write {path}.")
    for number in range(first_number, first_number + num_frames):
        frame = draw_frame(number, height=height, width=width, colour=colour)
        writer.write(frame[:, :, ::-1])
    writer.release()


def _block_edges(width: int) -> np.ndarray:
    return np.linspace(0, width, NUM_BLOCKS + 1).astype(int)
