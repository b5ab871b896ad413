"""Scales and mirrors frames into existing memory, antialiased and fast."""

import threading

import numpy as np

# Up to this ratio, linear interpolation is as faithful as INTER_AREA, 43 dB or more
# from it on real frames, at a fifth of the time. Above, it aliases.
_MAX_LINEAR_RATIO = 1.5

# Up to this one, means of 2x2 pixels of twice the size are as faithful, at a third of
# the time of INTER_AREA, which is slow at all ratios but whole ones.
_MAX_DOUBLE_RATIO = 4

_scratch = threading.local()  # memory of the thread, for what is used at once


def put(pixels: np.ndarray, flip: bool, out: np.ndarray) -> None:
    """Puts a picture into an array, scaled to its size and, if asked, mirrored.

    Args:
      pixels: Picture, uint8 `[any height, any width, 3]`.
      flip: Whether to mirror it, left to right.
      out: Array that takes it, uint8 `[height, width, 3]`.
    """
    if pixels.shape != out.shape and flip:
        scaled = memory("unflipped", *out.shape[:2])
        _resize(pixels, scaled)
        pixels = scaled
    if pixels.shape != out.shape:
        _resize(pixels, out)
    elif flip:
        from kinetics_clips.wheels import cv2  # which whole frames do without

        cv2.flip(pixels, 1, dst=out)
    else:
        out[:] = pixels


def memory(purpose: str, height: int, width: int) -> np.ndarray:
    """Returns an array of this thread for a purpose, uint8 `[height, width, 3]`.

    Its content is arbitrary, and the next call for the same purpose reuses it.
    """
    num_bytes = height * width * 3
    piece = getattr(_scratch, purpose, None)
    if piece is None or len(piece) < num_bytes:
        piece = np.empty(num_bytes, np.uint8)
        setattr(_scratch, purpose, piece)
    return piece[:num_bytes].reshape(height, width, 3)


def _resize(pixels: np.ndarray, out: np.ndarray) -> None:
    from kinetics_clips.wheels import cv2  # which whole frames do without

    height, width = out.shape[:2]
    ratio = max(pixels.shape[0] / height, pixels.shape[1] / width)
    doubled = 2 * width, 2 * height
    is_doubled = pixels.shape[:2] == doubled[::-1]
    if _MAX_LINEAR_RATIO < ratio <= _MAX_DOUBLE_RATIO and not is_doubled:
        double = memory("double", 2 * height, 2 * width)
        cv2.resize(pixels, doubled, dst=double, interpolation=cv2.INTER_LINEAR)
        pixels = double
    method = cv2.INTER_LINEAR if ratio <= _MAX_LINEAR_RATIO else cv2.INTER_AREA
    cv2.resize(pixels, (width, height), dst=out, interpolation=method)
