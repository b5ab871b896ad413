"""Fetches the encoded frames that a clip needs, and no others."""

from typing import NamedTuple

import numpy as np

from kinetics_clips.read import draw, jpegs
from kinetics_clips.read.arrays import ArrayPool
from kinetics_clips.read.windows import ClipSpec, View
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError

# Memory for windows as they are stored, whose sizes are multiples of a step: it fits
# again.
_memory = ArrayPool(max_free=64)
_STEP = 1 << 18


class EncodedClip(NamedTuple):
    """A clip that is drawn and fetched, but not decoded.

    Attributes:
      frame_index: The frame index that holds the video.
      video: Number of the video in that index.
      label: Label of the video; -1 where there is none.
      video_id: Id of the video.
      frame_indices: int32 `[num_windows, length]`.
      encoded: Frame -> its JPEG, of each that is needed.
      places: Frame -> (window, number there) wherever it is shown.
      size: (height, width) of a frame, in pixels.
      view: The pixels of each frame that are shown.
    """

    frame_index: FrameIndex
    video: int
    label: int
    video_id: bytes
    frame_indices: np.ndarray
    encoded: dict[int, np.ndarray]
    places: dict[int, list[tuple[int, int]]]
    size: tuple[int, int]
    view: View


def clip(
    index: FrameIndex, video: int, rng: np.random.Generator, spec: ClipSpec
) -> EncodedClip:
    """Draws a clip of a video and fetches the frames it needs.

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
    encoded = dict(zip(needed, index.read(video, needed, _take), strict=True))
    try:
        size = jpegs.frame_size(encoded[needed[0]])
    except ValueError as error:
        raise no_jpeg(index, video, needed[0], error) from error
    labels = index.features.get("label")
    return EncodedClip(
        frame_index=index,
        video=video,
        label=labels[video] if isinstance(labels, np.ndarray) else -1,
        video_id=draw.video_id(index, video),
        frame_indices=frame_indices,
        encoded=encoded,
        places=places,
        size=size,
        view=draw.view(rng, size, spec),
    )


def no_jpeg(
    index: FrameIndex, video: int, frame: int, problem: object
) -> UnreadableVideoError:
    """Returns the error of a frame that is not what was written."""
    return UnreadableVideoError(
        f"Frame {frame} of {index.describe(video)} must be a JPEG of the video's size, "
        f"got {problem}. Build the dataset again."
    )


def _take(num_bytes: int) -> np.ndarray:
    return _memory.take((-(-num_bytes // _STEP) * _STEP,))[:num_bytes]
