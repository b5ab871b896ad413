"""Decodes the frames of a clip into an array, as its view shows them."""

import threading
from collections.abc import Iterable

import numpy as np

from kinetics_clips.read import fetch, jpegs
from kinetics_clips.read.fetch import EncodedClip
from kinetics_clips.read.windows import View

_scratch = threading.local()  # a frame of the thread, decoded and not yet cropped


def frames(clip: EncodedClip, views: np.ndarray, numbers: Iterable[int]) -> None:
    """Decodes frames of a clip to their places, cropped, scaled and flipped.

    Args:
      clip: The clip that the frames are of.
      views: Array of the clip, uint8 `[num_views, length, height, width, 3]`.
      numbers: Indices of the stored frames to decode.

    Raises:
      UnreadableVideoError: If a frame is not what was written.
    """
    # While Python runs here, no other thread returns from its decoder: what is the same
    # for all frames is done before.
    view = clip.view
    height, width = clip.size
    is_cut = view.boxes != [(0, 0, height, width)]
    is_changed = view.size != view.boxes[0][2:] or view.scaled != clip.size or view.flip
    if not is_cut and not is_changed:
        for frame in numbers:
            first, *others = clip.places[frame]
            _decode_frame(clip, frame, views[first], height)
            for place in others:
                views[place] = views[first]
        return
    pixels = _frame_memory(height, width)
    # Scaling reads all of a frame.
    bottom = max(top + box_height for top, _, box_height, _ in view.boxes)
    num_rows = bottom if view.scaled == clip.size else height
    shown = [] if is_changed else _cut(pixels, view)
    for frame in numbers:
        _decode_frame(clip, frame, pixels, num_rows)
        if is_changed:
            shown = _changed(pixels, view)
        for window, at in clip.places[frame]:
            for crop, part in enumerate(shown, start=window * len(shown)):
                views[crop, at] = part


def _decode_frame(
    clip: EncodedClip, frame: int, pixels: np.ndarray, num_rows: int
) -> None:
    try:
        jpegs.decode(clip.encoded[frame], pixels, num_rows)
    except ValueError as error:
        raise fetch.no_jpeg(clip.frame_index, clip.video, frame, error) from error


def _changed(pixels: np.ndarray, view: View) -> list[np.ndarray]:
    """Returns the crops of a frame, scaled and flipped as they are to be."""
    crops = [
        _resized(crop, view.size) for crop in _cut(_resized(pixels, view.scaled), view)
    ]
    return [crop[:, ::-1] for crop in crops] if view.flip else crops


def _cut(pixels: np.ndarray, view: View) -> list[np.ndarray]:
    return [
        pixels[top : top + height, left : left + width]
        for top, left, height, width in view.boxes
    ]


def _frame_memory(height: int, width: int) -> np.ndarray:
    num_bytes = height * width * 3
    memory = getattr(_scratch, "memory", None)
    if memory is None or len(memory) < num_bytes:
        memory = _scratch.memory = np.empty(num_bytes, np.uint8)
    return memory[:num_bytes].reshape(height, width, 3)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    from kinetics_clips.wheels import cv2  # codecs, which only those need who scale

    height, width = size
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(
        pixels,
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
