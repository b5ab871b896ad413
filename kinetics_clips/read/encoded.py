"""Gives a clip as the JPEGs that are stored, for decoders elsewhere, as on a GPU."""

from typing import TypedDict

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import byte_bounds

from kinetics_clips.read import draw, fetch
from kinetics_clips.read.arrays import PrivateMemory
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.store.frame_index import FrameIndex


class EncodedClip(TypedDict):
    """A clip whose frames are JPEGs, and what makes the clip's pixels of them.

    JPEG `i` is `data[start:end]`, with `start, end = byte_ranges[i]`. Frame `t` of view
    `v` is the JPEG `jpeg_indices[v, t]`: decoded, scaled to `scaled_size`, cut to
    `boxes[v]`, scaled to `size`, and mirrored if `flip`.

    Attributes:
      data: The part of the stored video that holds the JPEGs, uint8 `[num_bytes]`, as
        it was read, in memory that nothing else uses. Between two JPEGs there are bytes
        that belong to none: those of the record, and frames that the clip leaves out.
      byte_ranges: First byte of each JPEG in `data`, and the one after its last, int64
        `[num_jpegs, 2]`, rising. Each stored frame that the clip shows, however often,
        is one JPEG.
      jpeg_indices: Index of the JPEG that shows each frame, int64
        `[num_views, length]`, window by window; also of one view.
      frame_indices: Indices of the stored frames of the clip, int32 `[length]`; of
        several views `[num_views, length]`.
      scaled_size: (height, width) to scale whole frames to before all else, in pixels;
        their own, unless their shorter side is less than the crop.
      boxes: (top, left, height, width) of each view in a frame of `scaled_size`, in
        pixels, int64 `[num_views, 4]`.
      size: (height, width) to scale what was cut out to, in pixels.
      flip: Whether to mirror it, left to right.
      label: Label of the video; -1 where there is none.
      video_id: Id of the video.
    """

    data: npt.NDArray[np.uint8]
    byte_ranges: npt.NDArray[np.int64]
    jpeg_indices: npt.NDArray[np.int64]
    frame_indices: npt.NDArray[np.int32]
    scaled_size: tuple[int, int]
    boxes: npt.NDArray[np.int64]
    size: tuple[int, int]
    flip: bool
    label: np.int64
    video_id: bytes


def clip(
    index: FrameIndex, video: int, rng: np.random.Generator, spec: ClipSpec
) -> EncodedClip:
    """Draws a clip of a video and reads its JPEGs into memory of their own.

    Args:
      index: The frame index that holds the video.
      video: Number of the video in that index.
      rng: Generator that draws the clip.
      spec: The `ClipSpec` that says what a clip is.

    Raises:
      As `fetch.clip`.
    """
    data = np.empty(0, np.uint8)

    # What decodes here may write to its JPEGs, and uses their memory again.
    def allocate(num_bytes: int) -> np.ndarray:
        nonlocal data
        data = PrivateMemory(num_bytes).array
        return data

    fetched = fetch.clip(index, video, rng, spec, allocate=allocate)
    start, _ = byte_bounds(data)
    places = [byte_bounds(jpeg) for jpeg in fetched.encoded.values()]
    indices = np.repeat(fetched.frame_indices, spec.num_crops, axis=0)
    view = fetched.view
    return {
        "data": data,
        "byte_ranges": np.array(places, np.int64) - start,
        "jpeg_indices": np.searchsorted(list(fetched.encoded), indices),
        "frame_indices": indices if spec.num_views > 1 else indices[0],
        "scaled_size": view.scaled,
        "boxes": np.tile(np.array(view.boxes, np.int64), (spec.num_windows, 1)),
        "size": view.size,
        "flip": view.flip,
        "label": np.int64(draw.label(index, video)),
        "video_id": draw.video_id(index, video),
    }
