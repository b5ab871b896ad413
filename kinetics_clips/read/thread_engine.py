"""Decodes batches of clips in threads of this process."""

import collections
import functools
import operator
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kinetics_clips.read import decode, fetch
from kinetics_clips.read.arrays import ArrayPool, PrivateMemory
from kinetics_clips.read.assemble import Decoded, Place, no_batch
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.fetch import FetchedClip
from kinetics_clips.read.threads import Tasks
from kinetics_clips.store.frame_index import FrameIndex

# Threads that share a clip, where they have nothing else to do, have at least so many
# frames each: many cores decode one batch, and waking them costs nothing beside it.
_FRAMES_A_THREAD = 16

_memory = ArrayPool(max_free=4, allocate=PrivateMemory)  # for decoded clips


def read(
    places: Sequence[Place],
    generators: Sequence[np.random.Generator],
    spec: ClipSpec,
    num_threads: int,
) -> Decoded:
    """Reads a batch.

    Args:
      places: Frame index, and number there, of each clip's video.
      generators: Generators that draw the clips.
      spec: The `ClipSpec` that says what a clip is.
      num_threads: Number of threads; 0 for the calling thread.
    """
    if num_threads:
        tasks = Tasks(num_threads)
        batch = Batch(len(places), spec, tasks.start)
        for at, (place, rng) in enumerate(zip(places, generators, strict=True)):
            tasks.start(functools.partial(batch.add, at, *place, rng))
        tasks.wait()
    else:
        batch = Batch(len(places), spec, operator.call)
        for at, (place, rng) in enumerate(zip(places, generators, strict=True)):
            batch.add(at, *place, rng)
    return batch.decoded()


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
        self._clips: dict[int, FetchedClip] = {}
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
        except Exception as error:  # `assemble.clips` raises it
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
        except Exception as error:  # `assemble.clips` raises it
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

    def decoded(self) -> Decoded:
        """Returns the clips, when all tasks are done."""
        spec = self._spec
        if not self._memory:  # nothing could be read
            self._video((spec.side or 0,) * 2)
        shape = self._num_clips, spec.num_windows, spec.length
        frame_indices = np.zeros(shape, np.int32)
        for at, clip in self._clips.items():
            frame_indices[at] = clip.frame_indices
        return Decoded(self._memory["video"], frame_indices, self._errors)


def _taken(frames: collections.deque[int]) -> Iterator[int]:
    while True:
        try:
            yield frames.popleft()
        except IndexError:  # another thread has taken the last one
            return
