"""Fetches the encoded frames that a clip needs, and no others."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kinetics_clips.read import draw, jpegs
from kinetics_clips.read.arrays import ArrayPool, PrivateMemory
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.crops import View
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError

# Memory for windows as they are stored, in multiples of a step so that it can be
# reused.
_memory = ArrayPool(max_free=64, allocate=PrivateMemory)
_STEP = 1 << 18

_SIDES = "height", "width"


class FetchedClip(NamedTuple):
    """A clip that is drawn and fetched, but not decoded.

    Attributes:
      frame_index: The frame index that holds the video.
      video: Number of the video in that index.
      frame_indices: int32 `[num_windows, length]`.
      encoded: Frame -> its JPEG, of each that is needed.
      places: Frame -> (window, number there) wherever it is shown.
      size: (height, width) of a frame, in pixels.
      view: The pixels of each frame that are shown.
    """

    frame_index: FrameIndex
    video: int
    frame_indices: np.ndarray
    encoded: dict[int, np.ndarray]
    places: dict[int, list[tuple[int, int]]]
    size: tuple[int, int]
    view: View


def clip(
    index: FrameIndex,
    video: int,
    rng: np.random.Generator,
    spec: ClipSpec,
    part: tuple[int, int] = (0, 1),
    allocate: Callable[[int], np.ndarray] | None = None,
) -> FetchedClip:
    """Draws a clip of a video and fetches the frames it needs.

    Args:
      index: The frame index that holds the video.
      video: Number of the video in that index.
      rng: Generator that draws the clip.
      spec: The `ClipSpec` that says what a clip is.
      part: Number of a part of the needed frames, and number of parts that they are
        divided into: no more than there are frames. Defaults to all of them.
      allocate: Function that returns a uint8 array of so many bytes to read into.
        Defaults to None: memory that is used again when the clip is gone.

    Raises:
      UnreadableVideoError: If the video is not what was written.
      FrameIndexError: If its shard has changed since it was indexed.
      OSError: If its shard cannot be read.
    """
    frame_indices = draw.frames(rng, index, video, spec)
    places: dict[int, list[tuple[int, int]]] = {}
    for window, row in enumerate(frame_indices.tolist()):
        for at, frame in enumerate(row):
            places.setdefault(frame, []).append((window, at))
    needed = sorted(places)
    number, num_parts = part
    start, end = (len(needed) * n // num_parts for n in (number, number + 1))
    needed = needed[start:end] or needed[:1]
    encoded = dict(
        zip(needed, index.read(video, needed, allocate or _take), strict=True)
    )
    size = _frame_size(index, video, needed[0], encoded[needed[0]])
    return FetchedClip(
        frame_index=index,
        video=video,
        frame_indices=frame_indices,
        encoded=encoded,
        places=places,
        size=size,
        view=draw.view(rng, size, spec),
    )


def clip_size(index: FrameIndex, video: int, spec: ClipSpec) -> tuple[int, int]:
    """Returns (height, width) of a clip of a video, in pixels.

    Raises:
      As `clip`.
    """
    if spec.side:
        return spec.side, spec.side
    if draw.has_sizes(index):
        height, width = (int(index.features[side][video]) for side in _SIDES)
    else:
        draw.num_frames(index, video)  # or says that there are none
        (jpeg,) = index.read(video, [0], _take)
        height, width = _frame_size(index, video, 0, jpeg)
    return draw.view(np.random.default_rng(0), (height, width), spec).size


def no_jpeg(
    index: FrameIndex, video: int, frame: int, problem: object
) -> UnreadableVideoError:
    """Returns the error of a frame that differs from what was stored."""
    return UnreadableVideoError(
        f"Frame {frame} of {index.describe(video)} must be a JPEG of the video's size, "
        f"got {problem}. Build the dataset again."
    )


def _frame_size(
    index: FrameIndex, video: int, frame: int, jpeg: np.ndarray
) -> tuple[int, int]:
    try:
        return jpegs.frame_size(jpeg)
    except ValueError as error:
        raise no_jpeg(index, video, frame, error) from error


def _take(num_bytes: int) -> np.ndarray:
    return _memory.take((-(-num_bytes // _STEP) * _STEP,))[:num_bytes]
