"""Says when each frame of a video is shown, and which are stored at another rate."""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Frame = TypeVar("_Frame")


def resampled(
    frames: Iterable[_Frame], times: list[float], fps: float
) -> Iterator[tuple[_Frame, int]]:
    """Yields the frames that are stored at a rate, with how often each is.

    Args:
      frames: Decoded frames.
      times: Their times in seconds, filled as the frames are read.
      fps: Frames a second to come out.
    """
    num_out = 0
    previous = None
    for frame in frames:
        if previous is not None:
            # Of a tie the later frame takes all, whatever the rounding of the times.
            middle = (times[-2] + times[-1]) / 2 - times[0]
            copies = math.ceil(middle * fps - 1e-6) - num_out
            if copies > 0:
                num_out += copies
                yield previous, copies
        previous = frame
    if previous is not None:
        # The last frame lasts as long as the others do on average.
        num_in = len(times)
        duration = (times[-1] - times[0]) * num_in / max(num_in - 1, 1)
        copies = max(round(duration * fps), 1) - num_out
        if copies > 0:
            yield previous, copies


def frame_rate(times: list[float]) -> float:
    elapsed = times[-1] - times[0]
    return (len(times) - 1) / elapsed if elapsed > 0 else 0.0
