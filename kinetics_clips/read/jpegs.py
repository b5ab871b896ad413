"""Decodes JPEGs into existing memory: the rows that are needed, or half the pixels."""

import numpy as np

from kinetics_clips.wheels import simplejpeg

_SOF0, _SOS = 0xC0, 0xDA  # begin the description of a baseline JPEG, and its data
_END = (0xFF, 0xD9)

# From a description's marker to its number of rows, and to that of its components.
_TO_HEIGHT, _TO_COMPONENTS = 5, 9


def frame_size(jpeg: np.ndarray) -> tuple[int, int]:
    """Returns (height, width) of a JPEG, uint8 `[num_bytes]`, in pixels.

    Raises:
      ValueError: If it is not a JPEG.
    """
    return simplejpeg.decode_jpeg_header(jpeg)[:2]


def decode(jpeg: np.ndarray, pixels: np.ndarray, num_rows: int) -> None:
    """Decodes a JPEG; the rows that are wanted are those of a full decode, bit for bit.

    Args:
      jpeg: Its bytes, uint8 `[num_bytes]`; may be written to.
      pixels: Array that takes the frame, uint8 `[height, width, 3]`, RGB.
      num_rows: Number of rows of the frame that are wanted, from the top; what lies
        below them is undefined.

    Raises:
      ValueError: If it is no JPEG of that size.
    """
    _decode(jpeg, pixels, num_rows, pixels.shape[0])


def decode_half(
    jpeg: np.ndarray, pixels: np.ndarray, num_rows: int, size: tuple[int, int]
) -> None:
    """Decodes a JPEG at half its size, which takes two thirds of the time.

    libjpeg leaves out the higher half of the frequencies of each block, so that the
    result is antialiased.

    Args:
      jpeg: Its bytes, uint8 `[num_bytes]`; may be written to.
      pixels: Array that takes the frame, uint8 `[height / 2, width / 2, 3]`, RGB.
      num_rows: Number of rows of that array that are wanted, from the top; what lies
        below them is undefined.
      size: (height, width) of the JPEG, in pixels: even numbers, at least 8.

    Raises:
      ValueError: If it is no JPEG of that size.
    """
    if frame_size(jpeg) != size:
        raise ValueError(f"it is of {frame_size(jpeg)} pixels, expected {size}")
    # The smallest size that is no smaller than these.
    least = {"min_height": pixels.shape[0], "min_width": pixels.shape[1]}
    _decode(jpeg, pixels, num_rows, size[0], **least)


def _decode(
    jpeg: np.ndarray, pixels: np.ndarray, num_rows: int, height: int, **least: int
) -> None:
    scale = height // pixels.shape[0]
    # One more than is wanted: colours of a row are interpolated from the next.
    is_short = num_rows + 1 < pixels.shape[0] and _shorten(
        jpeg, height, scale * (num_rows + 1)
    )
    if is_short:
        pixels = pixels[: num_rows + 1]
        if least:
            least["min_height"] = num_rows + 1
    # The data of a shorter one go on where it ends, which would be an error.
    shape = simplejpeg.decode_jpeg(
        jpeg, "RGB", buffer=pixels, strict=not is_short, **least
    ).shape
    if shape != pixels.shape:
        raise ValueError(f"it is of {shape[:2]} pixels, expected {pixels.shape[:2]}")


def _shorten(jpeg: np.ndarray, height: int, num_rows: int) -> bool:
    """Makes a JPEG say that it has fewer rows; False where it has to stay as it is.

    What a decoder does with each block depends on those before it alone, so that the
    first rows stay as they are. The decoder stops after the last.
    """
    view = jpeg.data
    if tuple(view[-2:]) != _END:  # it is cut, which the decoder will tell
        return False
    at, start = 2, 0
    while at + 9 < len(view) and view[at] == 0xFF:
        kind = view[at + 1]
        if kind == _SOF0:
            start = at
        elif kind == _SOS:
            break
        at += 2 + (view[at + 2] << 8 | view[at + 3])
    else:
        return False
    # All components in one scan: the data are in the order of the rows.
    if not start or view[at + 4] != view[start + _TO_COMPONENTS]:
        return False
    place = slice(start + _TO_HEIGHT, start + _TO_HEIGHT + 2)
    if int.from_bytes(view[place], "big") != height:
        return False
    view[place] = num_rows.to_bytes(2, "big")
    return True
