"""Decodes the frames of a clip into an array, as its view shows them."""

from collections.abc import Iterable

import numpy as np

from kinetics_clips.read import fetch, jpegs, scaling
from kinetics_clips.read.fetch import EncodedClip


def frames(clip: EncodedClip, views: np.ndarray, wanted: Iterable[int]) -> None:
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
    height, width = clip.size
    is_whole = view.boxes == [(0, 0, height, width)]
    if is_whole and view.size == view.scaled == clip.size and not view.flip:
        for frame in wanted:
            first, *others = clip.places[frame]
            _decode_frame(clip, frame, views[first], height)
            for place in others:
                views[place] = views[first]
        return
    pixels = scaling.memory("frame", height, width)
    is_scaled = view.scaled != clip.size
    to_cut = scaling.memory("scaled", *view.scaled) if is_scaled else pixels
    # Scaling reads all of a frame.
    bottom = max(top + box_height for top, _, box_height, _ in view.boxes)
    num_rows = height if is_scaled else bottom
    crops = [
        to_cut[top : top + box_height, left : left + box_width]
        for top, left, box_height, box_width in view.boxes
    ]
    for frame in wanted:
        _decode_frame(clip, frame, pixels, num_rows)
        if is_scaled:
            scaling.put(pixels, False, to_cut)
        for number, crop in enumerate(crops):
            first, *others = (
                (window * len(crops) + number, at) for window, at in clip.places[frame]
            )
            scaling.put(crop, view.flip, views[first])
            for place in others:
                views[place] = views[first]


def _decode_frame(
    clip: EncodedClip, frame: int, pixels: np.ndarray, num_rows: int
) -> None:
    try:
        jpegs.decode(clip.encoded[frame], pixels, num_rows)
    except ValueError as error:
        raise fetch.no_jpeg(clip.frame_index, clip.video, frame, error) from error
