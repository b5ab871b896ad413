"""Assembles what a batch is made of, and says what a clip and a batch are."""

import logging
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from kinetics_clips.read import draw
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError

_log = logging.getLogger(__name__)

# What an unreadable video does.
RAISE: Final = "raise"
SKIP: Final = "skip"
OnError: TypeAlias = Literal["raise", "skip"]

_MAX_SIZES = 8  # that an error shows

# Frame index, and number of a video there.
Place: TypeAlias = tuple[FrameIndex, int]


class Clip(TypedDict):
    """A clip of a video.

    Attributes:
      video: Frames of the clip, uint8 `[length, height, width, 3]`, RGB; of several
        views `[num_views, length, height, width, 3]`, window by window.
      label: Label of the video; -1 where there is none.
      video_id: Id of the video.
      frame_indices: Indices of the stored frames of the clip, int32 `[length]`; of
        several views `[num_views, length]`.
    """

    video: npt.NDArray[np.uint8]
    label: np.int64
    video_id: bytes
    frame_indices: npt.NDArray[np.int32]


class Clips(TypedDict):
    """Clips of several videos: a `Clip` whose values have a leading axis of clips.

    Attributes:
      video: uint8 `[num_clips, length, height, width, 3]`, RGB.
      label: int64 `[num_clips]`.
      video_id: Bytes in an array of objects, `[num_clips]`.
      frame_indices: int32 `[num_clips, length]`.
    """

    video: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    video_id: npt.NDArray[np.object_]
    frame_indices: npt.NDArray[np.int32]


class Decoded(NamedTuple):
    """The clips of a batch, as an engine has decoded them.

    Attributes:
      video: uint8 `[num_clips, num_views, length, height, width, 3]`.
      frame_indices: int32 `[num_clips, num_windows, length]`.
      errors: Errors, by the number of the clip that could not be read.
    """

    video: npt.NDArray[np.uint8]
    frame_indices: npt.NDArray[np.int32]
    errors: dict[int, Exception]


def clips(
    decoded: Decoded, places: Sequence[Place], spec: ClipSpec, on_error: OnError
) -> Clips:
    """Returns what `ClipSource.batch` does, of clips that are decoded.

    Args:
      decoded: The clips.
      places: Frame index, and number there, of each clip's video.
      spec: The `ClipSpec` that says what a clip is.
      on_error: What a video that cannot be read does.
    """
    video, frame_indices, errors = decoded
    for _, error in sorted(errors.items()):
        if on_error != SKIP or not isinstance(error, UnreadableVideoError):
            raise error
        _log.warning("skipped: %s", error)
    if errors:
        good = [at for at in range(len(places)) if at not in errors]
        places = [places[at] for at in good]
        video, frame_indices = video[good], frame_indices[good]
    if spec.num_views == 1:
        video, frame_indices = video[:, 0], frame_indices[:, 0]
    else:
        frame_indices = np.repeat(frame_indices, spec.num_crops, axis=1)
    video_ids = np.empty(len(places), object)
    video_ids[:] = [draw.video_id(*place) for place in places]
    return {
        "video": video,
        "label": np.array([draw.label(*place) for place in places], np.int64),
        "video_id": video_ids,
        "frame_indices": frame_indices,
    }


def no_batch(sizes: set[tuple[int, int]]) -> ValueError:
    """Returns the error of a batch whose clips differ in size, (height, width)."""
    more = ", ..." if len(sizes) > _MAX_SIZES else ""
    shown = ", ".join(map(str, sorted(sizes)[:_MAX_SIZES]))
    return ValueError(
        f"Frames have {len(sizes):,} sizes: batches need a crop. The clips of a batch "
        f"must have one size, got (height, width) [{shown}{more}]. Set a crop, as in "
        "ClipSpec(crop=224), or read single clips."
    )
