"""Assembles the clips of a batch in one array, which several threads fill."""

import collections
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from kinetics_clips.read import decode, fetch
from kinetics_clips.read.arrays import ArrayPool
from kinetics_clips.read.fetch import EncodedClip
from kinetics_clips.read.windows import ClipSpec
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError

_log = logging.getLogger(__name__)

# What an unreadable video does.
RAISE: Final = "raise"
SKIP: Final = "skip"
OnError: TypeAlias = Literal["raise", "skip"]

# Threads that share a clip, where they have nothing else to do, have at least so many
# frames each: many cores decode one batch, and waking them costs nothing beside it.
_FRAMES_A_THREAD = 16

_MAX_SIZES = 8  # that an error shows

_memory = ArrayPool(max_free=4)  # for decoded clips


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


class Batch:
    """Clips that are read and decoded into one array, by any threads.

    Args:
      num_clips: Number of clips of the batch.
      spec: The `ClipSpec` that says what they are.
      start: Function that runs a task, at once or in another thread.
    """

    def __init__(
        self,
        num_clips: int,
        spec: ClipSpec,
        start: Callable[[Callable[[], None]], object],
    ):
        self._num_clips, self._spec, self._start = num_clips, spec, start
        self._clips: dict[int, EncodedClip] = {}
        self._errors: dict[int, Exception] = {}
        # A dict, so that of two threads that both make the array one wins.
        self._memory: dict[str, np.ndarray] = {}

    def add(
        self, at: int, index: FrameIndex, video: int, rng: np.random.Generator
    ) -> None:
        """Reads a clip of a video, and decodes it to its place in the batch."""
        try:
            clip = fetch.clip(index, video, rng, self._spec)
            views = self._video(clip.view.size)[at]
        except Exception as error:  # `clips` raises it
            self._errors[at] = error
            return
        self._clips[at] = clip
        frames = collections.deque(clip.encoded)
        task = functools.partial(self._decode, at, views, frames)
        for _ in range(len(frames) // _FRAMES_A_THREAD - 1):
            self._start(task)
        task()

    def _decode(
        self, at: int, views: np.ndarray, frames: collections.deque[int]
    ) -> None:
        """Decodes frames until none is left; threads that share a clip take turns."""
        try:
            decode.frames(self._clips[at], views, _taken(frames))
        except Exception as error:  # `clips` raises it
            frames.clear()
            self._errors[at] = error

    def _video(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the array of all clips; the first one's size is that of all."""
        shape = (self._num_clips, self._spec.num_views, self._spec.length, *size, 3)
        if not self._memory:
            self._memory.setdefault("video", _memory.take(shape))
        video = self._memory["video"]
        if video.shape != shape:
            raise no_batch({size, video.shape[3:5]})
        return video

    def clips(self, on_error: OnError) -> Clips:
        """Returns what `ClipSource.batch` does, when all tasks are done."""
        for _, error in sorted(self._errors.items()):
            if on_error != SKIP or not isinstance(error, UnreadableVideoError):
                raise error
            _log.warning("skipped: %s", error)
        spec = self._spec
        good = sorted(self._clips.keys() - self._errors.keys())
        clips = [self._clips[at] for at in good]
        if not self._memory:  # nothing could be read
            self._video((spec.side or 0,) * 2)
        video = self._memory["video"]
        if len(clips) < self._num_clips:
            video = video[good]
        frame_indices = np.empty((len(clips), spec.num_windows, spec.length), np.int32)
        for number, clip in enumerate(clips):
            frame_indices[number] = clip.frame_indices
        if spec.num_views == 1:
            video, frame_indices = video[:, 0], frame_indices[:, 0]
        else:
            frame_indices = np.repeat(frame_indices, spec.num_crops, axis=1)
        video_ids = np.empty(len(clips), object)
        video_ids[:] = [clip.video_id for clip in clips]
        return {
            "video": video,
            "label": np.array([clip.label for clip in clips], np.int64),
            "video_id": video_ids,
            "frame_indices": frame_indices,
        }


def no_batch(sizes: set[tuple[int, int]]) -> ValueError:
    """Returns the error of clips of several sizes, (height, width), in a batch."""
    more = ", ..." if len(sizes) > _MAX_SIZES else ""
    shown = ", ".join(map(str, sorted(sizes)[:_MAX_SIZES]))
    return ValueError(
        f"Frames have {len(sizes):,} sizes: batches need a crop. The clips of a batch "
        f"must have one size, got (height, width) [{shown}{more}]. Set a crop, as in "
        "ClipSpec(crop=224), or read single clips."
    )


def _taken(frames: collections.deque[int]) -> Iterator[int]:
    while True:
        try:
            yield frames.popleft()
        except IndexError:  # another thread has taken the last one
            return
