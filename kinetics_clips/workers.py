"""Encodes many videos at once, in processes whose crashes and hangs cost one video."""

import concurrent.futures
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import loky
import pebble

from kinetics_clips import frames
from kinetics_clips.frames import EncodedVideo, EncodeSettings, VideoError
from kinetics_clips.videos import Video

# Enough that no worker waits for the main process, few enough that memory stays small:
# an encoded ten-second video takes about 4 MB.
_IN_FLIGHT = 3

# A video's deadline, in seconds: long videos live, a hang ends. Eight minutes of 1080p
# in 70 MB took 120 s.
_DEADLINE = 60.0
_DEADLINE_PER_MB = 10.0

# Videos in a row, each alone in its pool, under which the pool may break.
_MAX_BREAKS = 10


def encode_all(
    videos: Iterable[Video], settings: EncodeSettings, num_workers: int | None = None
) -> Iterator[tuple[Video, EncodedVideo | VideoError]]:
    """Encodes videos in parallel and yields each as it is done, in any order.

    The workers hold neither TensorFlow nor the caller's `__main__`, and end when the
    iterator is exhausted, closed, or left by an exception.

    Args:
      videos: Videos that have a file.
      settings: How to scale and encode.
      num_workers: Processes, at least 1; None = the cores that this process may use.

    Yields:
      Each video with its frames, or with the error that says why it has none.

    Raises:
      RuntimeError: If no worker stays alive.
    """
    num_workers = num_workers or loky.cpu_count()
    waiting = iter(videos)
    num_breaks = 0
    while True:
        unfinished = []
        with contextlib.closing(
            _encode_in_pool(waiting, settings, num_workers)
        ) as results:
            for video, result in results:
                if result is None:
                    unfinished.append(video)
                else:
                    num_breaks = 0
                    yield video, result
        if not unfinished:
            return
        # Each in a pool of its own: the video that breaks that one too is to blame.
        for video in unfinished:
            with contextlib.closing(
                _encode_in_pool(iter([video]), settings, num_workers=1)
            ) as results:
                _, result = next(results)
            num_breaks = num_breaks + 1 if result is None else 0
            if num_breaks == _MAX_BREAKS:
                raise RuntimeError(
                    "The processes that decode must stay alive, but died "
                    f"{num_breaks} times in a row without a result. Is there enough "
                    "memory for them? Try fewer."
                )
            yield video, result or VideoError("crash", "its process died, twice")


def _encode_in_pool(
    waiting: Iterator[Video], settings: EncodeSettings, num_workers: int
) -> Iterator[tuple[Video, EncodedVideo | VideoError | None]]:
    """Encodes in one pool; where it breaks, None stands for what was not finished."""
    # fork would copy the caller's TensorFlow, locks and threads included; spawn and
    # forkserver would run the caller's script again. loky's context does neither.
    pool = pebble.ProcessPool(
        max_workers=num_workers,
        initializer=frames.configure_process,
        context=loky.backend.get_context("loky"),
    )
    running: dict[concurrent.futures.Future, Video] = {}
    try:
        while True:
            room = num_workers * _IN_FLIGHT - len(running)
            for video in itertools.islice(waiting, room):
                running[_schedule(pool, video, settings)] = video
            if not running:
                return
            done, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            results = [(running.pop(future), _result(future)) for future in done]
            yield from results
            if any(result is None for _, result in results):
                yield from ((video, None) for video in running.values())
                return
    finally:
        pool.stop()
        pool.join()


def _schedule(
    pool: pebble.ProcessPool, video: Video, settings: EncodeSettings
) -> concurrent.futures.Future:
    try:
        return pool.schedule(
            frames.encode, args=(video.path, settings), timeout=_deadline(video.path)
        )
    except RuntimeError as error:  # the pool has broken since
        future = concurrent.futures.Future()
        future.set_exception(BrokenProcessPool(str(error)))
        return future


def _result(
    future: concurrent.futures.Future,
) -> EncodedVideo | VideoError | None:
    """Returns a video's frames, its error, or None where the pool broke meanwhile."""
    try:
        return future.result()
    except VideoError as error:
        return error
    except BrokenProcessPool:  # workers died at no video of theirs
        return None
    except concurrent.futures.TimeoutError as error:
        return VideoError("timeout", f"no result after {error.args[-1]:.0f} s")
    except pebble.ProcessExpired as error:
        return VideoError("crash", f"the decoder died with exit code {error.exitcode}")
    except Exception as error:  # one bad video never ends a build
        return VideoError("crash", f"{type(error).__name__}: {error}")


def _deadline(path: Path) -> float:
    try:
        return _DEADLINE + _DEADLINE_PER_MB * path.stat().st_size / 1e6
    except OSError:  # the worker will say what is wrong with it
        return _DEADLINE
