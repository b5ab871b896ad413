"""Draws which frames and which pixels of a video a clip shows; reads none of them."""

import numpy as np

from kinetics_clips.read import crops, shuffling, windows
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.crops import View
from kinetics_clips.store.frame_index import FrameIndex, Texts, UnreadableVideoError

# Features by which datasets of this package are known; their frame sizes can be
# trusted.
_OWN_FEATURES = {"filename", "num_frames", "height", "width", "fps"}


def generator(index: FrameIndex, video: int, key: int | None) -> np.random.Generator:
    """Returns what draws a clip of a video: anew at every call where `key` is None.

    Args:
      index: The frame index that holds the video.
      video: Number of the video in that index.
      key: Key of an epoch, as `shuffling.epoch_key` returns it, or None.
    """
    if key is None:
        return np.random.default_rng()
    return shuffling.generator(key, video_id(index, video))


def frames(
    rng: np.random.Generator, index: FrameIndex, video: int, spec: ClipSpec
) -> np.ndarray:
    """Draws the frames of a clip of a video.

    Returns:
      Indices of stored frames, int32 `[num_windows, length]`.

    Raises:
      UnreadableVideoError: If the video has no frames, or no rate where one is needed.
    """
    fps = stored_fps(index, video)
    if spec.fps is not None and not fps > 0:
        raise UnreadableVideoError(
            f"{index.describe(video)} must have a known rate for clips of {spec.fps} "
            f"frames a second, got {fps}. Use `stride` instead of `fps`."
        )
    return windows.draw_frames(rng, num_frames(index, video), fps, spec)


def view(rng: np.random.Generator, size: tuple[int, int], spec: ClipSpec) -> View:
    """Draws which pixels a clip shows of frames of a size, (height, width) in pixels.

    The generator is that which has drawn the clip's frames.
    """
    drawn = crops.draw_view(rng, *size, spec)
    return View(  # in Python's numbers
        scaled=tuple(map(int, drawn.scaled)),
        boxes=[tuple(map(int, box)) for box in drawn.boxes],
        size=tuple(map(int, drawn.size)),
        flip=bool(drawn.flip),
    )


def num_frames(index: FrameIndex, video: int) -> int:
    """Returns how many frames a video has.

    Raises:
      UnreadableVideoError: If it has none, as in another builder's dataset.
    """
    number = index.num_frames(video)
    if not number:
        raise UnreadableVideoError(f"{index.describe(video)} must have frames, got 0.")
    return number


def stored_fps(index: FrameIndex, video: int) -> float:
    """Returns the stored frames per second of a video; 0 where that is unknown."""
    fps = index.features.get("fps")
    return fps[video] if isinstance(fps, np.ndarray) else 0.0


def has_sizes(index: FrameIndex) -> bool:
    """Returns whether an index tells the sizes of frames: this package built it."""
    return _OWN_FEATURES <= index.features.keys()


def video_id(index: FrameIndex, video: int) -> bytes:
    """Returns the id of a video, or where it lies, which is unique too."""
    ids = index.features.get("video_id")
    if isinstance(ids, Texts):
        return ids[video]
    return index.describe(video).encode()  # of another builder's dataset


def label(index: FrameIndex, video: int) -> int:
    """Returns the label of a video; -1 where there is none."""
    labels = index.features.get("label")
    return int(labels[video]) if isinstance(labels, np.ndarray) else -1
