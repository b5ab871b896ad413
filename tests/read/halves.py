"""Says which frames are decoded at half their size, for tests that decode them too."""

import numpy as np


def are_decoded(
    frame_size: tuple[int, int],
    scaled_size: tuple[int, int],
    boxes: np.ndarray,
    size: tuple[int, int],
) -> bool:
    """Returns whether boxes shrink to half or less, and lie between two of its pixels.

    Args:
      frame_size: (height, width) of the stored frames, in pixels.
      scaled_size: (height, width) that they are scaled to before all else.
      boxes: (top, left, height, width) of each box, `[num_boxes, 4]`.
      size: (height, width) that the boxes are scaled to.
    """
    return (
        scaled_size == frame_size
        and min(size) >= 8
        and not (boxes % 2).any()
        and not any(side % 2 for side in frame_size)
        and bool((boxes[:, 2:] >= 2 * np.array(size)).all())
    )
