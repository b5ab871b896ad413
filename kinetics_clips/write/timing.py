"""Says when each frame of a video is shown, and which are stored at another rate."""

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

_Frame = TypeVar("_Frame")

# Seconds between two frames beyond which there is no pause but a mistake, or a cut: a
# slide may stay for some seconds, and nobody wants hours of one frame.
MAX_GAP = 10.0

# Seconds back from which on times start anew, as where files were joined.
_MIN_RESTART = 1.0

# Frames a second that a header is believed, where times themselves say nothing.
_SANE_RATES = (1.0, 240.0)

# Rates beyond these are noted: slower than any time lapse that is a film, or faster
# than cameras that one can buy.
_CAMERA_RATES = (0.1, 1000.0)


class Shown(NamedTuple, Generic[_Frame]):
    """A frame, and when its stream says that it is shown.

    Attributes:
      frame: The frame.
      time: When it is shown, in seconds; None where its stream does not say.
      duration: For how long, in seconds; None where its stream does not say.
    """

    frame: _Frame
    time: float | None
    duration: float | None


class Timed(NamedTuple, Generic[_Frame]):
    """A frame, and when it is shown; as `Shown`, with a time that can be believed."""

    frame: _Frame
    time: float
    duration: float | None


class Clock:
    """Gives frames times that rise, as the stream's own do where they can be believed.

    One time that stands out from both its neighbours moves between them. Where times
    leap by more than `MAX_GAP` seconds, or start anew, the next frame follows as if
    there were no leap. Where many frames share a time, or have none, they follow each
    other at the header's rate.

    Args:
      header_fps: Frames per second that the stream's header says; 0 where it says
        none.

    Attributes:
      times: Times at which the frames so far are shown, in seconds.
      num_leaps: Places where times were not believed.
      num_shared: Frames that have the time of the frame before.
    """

    def __init__(self, header_fps: float):
        low, high = _SANE_RATES
        self._step = 1 / header_fps if low <= header_fps <= high else 0.0
        self._steps: deque[float] = deque([self._step], maxlen=32)
        self._offset = 0.0
        self._before: float | None = None
        self.times: list[float] = []
        self.num_leaps = 0
        self.num_shared = 0

    def settled(self, frames: Iterable[Shown[_Frame]]) -> Iterator[Timed[_Frame]]:
        """Yields the frames with times that can be believed, one frame behind."""
        for previous, shown, following in _with_neighbours(frames):
            time = self._next(_between(previous, shown.time, following))
            self.times.append(time)
            yield Timed(shown.frame, time, shown.duration)

    def frame_rate(self) -> float:
        """Returns the frames a second, 0 where there is but one time."""
        elapsed = self.times[-1] - self.times[0]
        return (len(self.times) - 1) / elapsed if elapsed > 0 else 0.0

    def notes(self, fps: float) -> list[str]:
        """Returns what a person should know of the times.

        Args:
          fps: Stored frames per second.
        """
        notes = []
        if self.num_leaps:
            leap = f"the time jumps by more than {MAX_GAP:.0f} s, or backwards"
            notes.append(f"{leap}: the gap was left out")
        if self._are_shared():
            same = "several frames have the same time"
            notes.append(f"{same}: the frame rate is taken from the header")
        low, high = _CAMERA_RATES
        if fps and not low <= fps <= high:
            notes.append(f"{fps:.3g} frames a second, a rate that no camera has")
        return notes

    def _next(self, raw: float | None) -> float:
        before, self._before = self._before, raw
        if not self.times:
            return raw or 0.0
        last = self.times[-1]
        if raw is None or before is None:
            self._offset = last + self._typical() - (raw or 0.0)
            return last + self._typical()
        step = raw - before
        self.num_shared += step == 0
        if step > MAX_GAP or step < -_MIN_RESTART:
            self.num_leaps += 1
            self._offset = last + self._typical() - raw
        now = raw + self._offset
        if now <= last or self._are_shared():
            return last + self._typical()
        if 0 < step <= MAX_GAP:
            self._steps.append(step)
        return now

    def _are_shared(self) -> bool:
        return self.num_shared > max(len(self.times) / 4, 1)

    def _typical(self) -> float:
        return self._step or statistics.median(self._steps)


def _with_neighbours(
    frames: Iterable[Shown[_Frame]],
) -> Iterator[tuple[float | None, Shown[_Frame], float | None]]:
    """Yields every frame between the times of its neighbours."""
    previous: float | None = None
    shown: Shown[_Frame] | None = None
    for following in frames:
        if shown is not None:
            yield previous, shown, following.time
            previous = shown.time
        shown = following
    if shown is not None:
        yield previous, shown, None


def _between(
    previous: float | None, time: float | None, following: float | None
) -> float | None:
    """Returns a time, moved between its neighbours where it alone is out of order."""
    if previous is None or time is None or following is None:
        return time
    if not previous < following:
        return time
    return time if previous <= time <= following else (previous + following) / 2


def resampled(
    frames: Iterable[Timed[_Frame]], fps: float
) -> Iterator[tuple[_Frame, int]]:
    """Yields the frames that are stored at a rate, with how often each is.

    Args:
      frames: Frames with times that rise. The last one lasts as long as it says, or
        else as the others do on average.
      fps: Frames per second to come out.
    """
    num_in = num_out = 0
    start = 0.0
    previous: Timed[_Frame] | None = None
    for shown in frames:
        num_in += 1
        if previous is None:
            start = shown.time
        else:
            # Of a tie the later frame takes all, whatever the rounding of the times.
            middle = (previous.time + shown.time) / 2 - start
            copies = math.ceil(middle * fps - 1e-6) - num_out
            if copies > 0:
                num_out += copies
                yield previous.frame, copies
        previous = shown
    if previous is not None:
        elapsed = previous.time - start
        lasts = previous.duration
        if not lasts or lasts > MAX_GAP:
            lasts = elapsed / max(num_in - 1, 1)
        copies = max(round((elapsed + lasts) * fps), 1) - num_out
        if copies > 0:
            yield previous.frame, copies
