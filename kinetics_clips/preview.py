"""Draws clips as one picture, so that people can look at their data."""

from collections.abc import Sequence

import cv2
import numpy as np

_TITLE_HEIGHT = 24
_GAP = 2


def contact_sheet(
    clips: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    num_columns: int = 16,
    tile_height: int = 80,
) -> np.ndarray:
    """Draws every frame of some clips, in reading order, clip below clip.

    Args:
      clips: uint8 `[length, height, width, 3]`, RGB; sizes may differ.
      titles: One a clip, ASCII; drawn above it.
      num_columns: Frames side by side.
      tile_height: Of a drawn frame, in pixels.

    Returns:
      uint8 `[height, width, 3]`, RGB.
    """
    blocks = [
        _block(clip, title, num_columns, tile_height)
        for clip, title in zip(clips, titles, strict=True)
    ]
    sheet_width = max(block.shape[1] for block in blocks)
    return np.concatenate(
        [
            np.pad(
                block,
                ((0, 0), (0, sheet_width - block.shape[1]), (0, 0)),
                constant_values=255,
            )
            for block in blocks
        ]
    )


def write_png(path: str, picture: np.ndarray) -> None:
    """Writes a picture, uint8 `[height, width, 3]`, RGB, as a PNG file."""
    if not cv2.imwrite(path, picture[:, :, ::-1]):
        raise OSError(f"OpenCV cannot write {path}.")


def _block(
    clip: np.ndarray, title: str, num_columns: int, tile_height: int
) -> np.ndarray:
    length, height, width = clip.shape[:3]
    tile_width = max(1, round(width * tile_height / height))
    num_rows = -(-length // num_columns)
    block = np.full(
        (
            _TITLE_HEIGHT + num_rows * (tile_height + _GAP),
            num_columns * (tile_width + _GAP),
            3,
        ),
        255,
        np.uint8,
    )
    for number, frame in enumerate(clip):
        row, column = divmod(number, num_columns)
        top = _TITLE_HEIGHT + row * (tile_height + _GAP)
        left = column * (tile_width + _GAP)
        block[top : top + tile_height, left : left + tile_width] = cv2.resize(
            frame, (tile_width, tile_height), interpolation=cv2.INTER_AREA
        )
    cv2.putText(
        block,
        title,
        (4, _TITLE_HEIGHT - 7),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.5,
        (0, 0, 0),
        1,
        cv2.LINE_AA,
    )
    return block
