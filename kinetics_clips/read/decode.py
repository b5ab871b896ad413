"""Decodes the frames of a clip into an array, as its view shows them."""

import itertools
from collections.abc import Iterable

import numpy as np

from kinetics_clips.read import fetch, jpegs, scaling
from kinetics_clips.read.crops import View
from kinetics_clips.read.fetch import FetchedClip


def frames(clip: FetchedClip, views: np.ndarray, wanted: Iterable[int]) -> None:
    """Decodes frames of a clip to their places, cropped, scaled and flipped.

    Args:
      clip: The clip that the frames are of.
      views: Array of the clip, uint8 `[num_views, length, height, width, 3]`.
      wanted: Indices of the stored frames to decode.

    Raises:
      UnreadableVideoError: If a frame is not what was written.
    """
    # While Python runs here, no other thread returns from its decoder: what is the same
    # for all frames is done before.
    view = clip.view
    is_half = _may_be_half(clip.size, view)
    divisor = 2 if is_half else 1
    height, width = (side // divisor for side in clip.size)
    boxes = [tuple(edge // divisor for edge in box) for box in view.boxes]
    is_scaled = view.scaled != clip.size
    is_whole = boxes == [(0, 0, height, width)] and not is_scaled
    if is_whole and view.size == (height, width) and not view.flip:
        for frame in wanted:
            first, *others = clip.places[frame]
            _decode_frame(clip, frame, views[first], height, is_half)
            for place in others:
                views[place] = views[first]
        return
    pixels = scaling.memory("frame", height, width)
    to_cut = scaling.memory("scaled", *view.scaled) if is_scaled else pixels
    # Scaling reads all of a frame.
    bottom = max(top + box_height for top, _, box_height, _ in boxes)
    num_rows = height if is_scaled else bottom
    crops = [
        to_cut[top : top + box_height, left : left + box_width]
        for top, left, box_height, box_width in boxes
    ]
    for frame in wanted:
        _decode_frame(clip, frame, pixels, num_rows, is_half)
        if is_scaled:
            scaling.put(pixels, False, to_cut)
        for number, crop in enumerate(crops):
            first, *others = (
                (window * len(crops) + number, at) for window, at in clip.places[frame]
            )
            scaling.put(crop, view.flip, views[first])
            for place in others:
                views[place] = views[first]


def _may_be_half(size: tuple[int, int], view: View) -> bool:
    """Returns whether frames of a size may be decoded at half of it.

    Boxes must begin and end between pixels of the half: half a pixel beside it, a
    picture differs more (34 dB) than another filter makes it differ (49 dB).
    """
    even = [*size, *itertools.chain(*view.boxes)]
    return (
        view.scaled == size
        and min(view.size) >= 8
        and not any(number % 2 for number in even)
        and all(
            2 * view.size[0] <= height and 2 * view.size[1] <= width
            for _, _, height, width in view.boxes
        )
    )


def _decode_frame(
    clip: FetchedClip, frame: int, pixels: np.ndarray, num_rows: int, is_half: bool
) -> None:
    jpeg = clip.encoded[frame]
    try:
        if is_half:
            jpegs.decode_half(jpeg, pixels, num_rows, clip.size)
        else:
            jpegs.decode(jpeg, pixels, num_rows)
    except ValueError as error:
        raise fetch.no_jpeg(clip.frame_index, clip.video, frame, error) from error
