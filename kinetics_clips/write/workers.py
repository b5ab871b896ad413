"""Encodes many videos at once, in processes whose crashes and hangs cost one video."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import multiprocessing
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import loky
import pebble

from kinetics_clips import files
from kinetics_clips.write import frames, sources
from kinetics_clips.write.frames import EncodedVideo, EncodeSettings, VideoError
from kinetics_clips.write.sources import Content
from kinetics_clips.write.videos import Video

_Item = TypeVar("_Item")
_Future: TypeAlias = concurrent.futures.Future[EncodedVideo]

# Videos for each worker at once: enough that none waits for the main process, few
# enough that memory stays small. An encoded ten-second video takes about 4 MB.
_IN_FLIGHT = 3

# A video's deadline, in seconds: long videos live, a hang ends. Eight minutes of 1080p
# in 42 MB took 60 s of their 102.
_DEADLINE = 60.0
_DEADLINE_PER_MB = 1.0

# Seconds after which running videos are looked at, if none is done before.
_TICK = 1.0

# Seconds in which a worker starts, on a machine that has other things to do.
_MAX_START = 10.0

# Videos in a row, each alone in its pool, under which the pool may break.
_MAX_BREAKS = 10

# What a video holds decides which values, sizes and numbers we meet: a decoder, or our
# own arithmetic, may refuse them with any error. These tell of calls, names and modules
# instead, which are the same for every video: with them a build ends, at once.
_BUGS = (TypeError, AttributeError, NameError, ImportError)


def encode_all(
    videos: Iterable[Video], settings: EncodeSettings, num_workers: int | None = None
) -> Generator[tuple[Video, EncodedVideo | VideoError], None, None]:
    """Encodes videos in a `Pool` of their own, as its `encode_all` does.

    The processes end when the iterator is exhausted, closed, or left by an exception.

    Args:
      videos: Videos that have a file.
      settings: How to scale and encode.
      num_workers: Number of processes, at least 1. Defaults to the number of cores that
        this process may use.

    Yields:
      What `Pool.encode_all` yields; it raises the same, too.
    """
    with Pool(num_workers) as pool:
        yield from pool.encode_all(videos, settings)


def num_cores() -> int:
    """Returns how many cores this process may use."""
    return loky.cpu_count()


class Pool:
    """Processes that encode: they start with the first video, and end with `close`.

    They hold neither TensorFlow nor the caller's `__main__`.

    Args:
      num_workers: Number of processes, at least 1. Defaults to the number of cores that
        this process may use.
    """

    def __init__(self, num_workers: int | None = None):
        self._num_workers = num_workers or num_cores()
        self._processes: _Processes | None = None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; the next video starts new ones."""
        if self._processes:
            thread = threading.Thread(target=self._end, daemon=True)
            thread.start()
            thread.join()

    def encode_all(
        self,
        videos: Iterable[Video],
        settings: EncodeSettings,
        num_at_once: int | None = None,
    ) -> Generator[tuple[Video, EncodedVideo | VideoError], None, None]:
        """Encodes videos in parallel and yields each as it is done, in any order.

        Processes that still encode when an iterator is closed, left by an exception, or
        followed by another one, end, and new ones start.

        Args:
          videos: Videos that have a file. Those in archives come last, archive by
            archive.
          settings: How to scale and encode.
          num_at_once: Number of videos that the processes are given before one is done.
            Defaults to three for each process.

        Yields:
          Each video with its frames, or with the error that says why it has none.

        Raises:
          RuntimeError: If no worker stays alive.
          TypeError, AttributeError, NameError, ImportError: If there is a bug, which is
            no property of a video; its `__cause__` is the worker's trace.
        """
        num_at_once = num_at_once or self._num_workers * _IN_FLIGHT
        # Ctrl-C raises between any two steps of the main thread, also where one takes a
        # lock and the next would give it back: whoever needs it to end would hang.
        return _in_thread(self._encode_all(videos, settings, num_at_once))

    def _encode_all(
        self, videos: Iterable[Video], settings: EncodeSettings, num_at_once: int
    ) -> Generator[tuple[Video, EncodedVideo | VideoError], None, None]:
        waiting = sources.read((video, video.source) for video in videos)
        num_breaks = 0
        pool_broke = True
        processes = None
        if self._processes and self._processes.busy:
            self._end()
        try:
            while pool_broke:
                pool_broke = False
                processes = self._processes or _Processes(self._num_workers)
                self._processes = processes
                for video, result in processes.encode(waiting, settings, num_at_once):
                    if isinstance(result, _Lost):
                        pool_broke |= result.pool_broke
                        # A worker may have been killed from outside, or by another's
                        # end: a video is to blame when it loses a worker of its own
                        # too.
                        result = _encode_alone(video, result.source, settings)
                    if isinstance(result, _Lost):
                        num_breaks = num_breaks + 1 if result.pool_broke else 0
                        if num_breaks == _MAX_BREAKS:
                            raise RuntimeError(
                                "The processes that decode must stay alive, but died "
                                f"{num_breaks} times in a row without a result. Is "
                                "there enough memory for them? Try fewer."
                            )
                        result = VideoError("crash", f"{result.reason}, twice")
                    else:
                        num_breaks = 0
                    yield video, result
                if pool_broke:
                    self._end()
        finally:
            if processes and processes.busy and processes is self._processes:
                self._end()

    def _end(self) -> None:
        processes, self._processes = self._processes, None
        if processes:
            processes.end()


def _in_thread(items: Generator[_Item, None, None]) -> Generator[_Item, None, None]:
    """Yields what a generator does, which runs in a thread of its own.

    It runs only while the caller waits: for an item, or for its end.
    """
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()  # an item, and an error

    def serve() -> None:
        with contextlib.closing(items):
            while wanted.get():
                try:
                    answers.put((next(items), None))
                except BaseException as error:  # its end too: the caller raises it
                    answers.put((None, error))

    thread = threading.Thread(target=serve, name="kinetics_clips_workers", daemon=True)
    thread.start()
    try:
        while True:
            wanted.put(True)
            item, error = answers.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        wanted.put(False)
        thread.join()


@dataclasses.dataclass(frozen=True)
class _Lost:
    """A video whose worker is gone.

    Attributes:
      source: The video's path or content, to try again with.
      reason: What became of the worker, for a person.
      pool_broke: Whether no other worker is left.
    """

    source: Content
    reason: str
    pool_broke: bool


def _encode_alone(
    video: Video, source: Content, settings: EncodeSettings
) -> EncodedVideo | VideoError | _Lost:
    processes = _Processes(1)
    try:
        _, result = next(processes.encode(iter([(video, source)]), settings, 1))
    finally:
        processes.end()
    return result


class _Processes:
    """A pool of processes, which breaks where they do not stay alive.

    Args:
      num_workers: Processes.

    Attributes:
      busy: The videos that have been given to them and are not done, by their future.
    """

    def __init__(self, num_workers: int):
        # fork would copy the caller's TensorFlow, locks and threads included; spawn and
        # forkserver would run the caller's script again. loky's context does neither.
        context = loky.backend.get_context("loky")
        self._num_workers = num_workers
        self._others = set(multiprocessing.active_children())
        with files.named(files.SEMAPHORES):
            self._started = context.Semaphore(0)
        self._pool = pebble.ProcessPool(
            max_workers=num_workers,
            initializer=_start,
            initargs=(self._started,),
            context=context,
        )
        self.busy: dict[_Future, tuple[Video, Content]] = {}

    def encode(
        self,
        waiting: Iterator[tuple[Video, Content]],
        settings: EncodeSettings,
        num_at_once: int,
    ) -> Iterator[tuple[Video, EncodedVideo | VideoError | _Lost]]:
        """Yields videos as they are done; ends, all others lost, where the pool breaks.

        Args:
          waiting: Videos with their path or content, or with why that cannot be read.
          settings: How to scale and encode.
          num_at_once: Videos that are given to the processes before one is done.
        """
        deadlines: dict[_Future, float] = {}
        while True:
            room = num_at_once - len(self.busy)
            for video, source in itertools.islice(waiting, room):
                self.busy[_schedule(self._pool, source, settings)] = video, source
            if not self.busy:
                return
            done, _ = concurrent.futures.wait(
                self.busy, timeout=_TICK, return_when=concurrent.futures.FIRST_COMPLETED
            )
            # Not by the pool's own deadlines: it looks at the time of day, which jumps.
            now = time.monotonic()
            for future, (_, source) in self.busy.items():
                if future.running():
                    deadline = deadlines.setdefault(future, now + _deadline(source))
                    if now > deadline:
                        future.cancel()
            # One that breaks forgets what it has been given and not looked at.
            pool_broke = not done and not self._pool.active
            for future in done:
                video, source = self.busy.pop(future)
                deadlines.pop(future, None)
                result = _result(future, source)
                pool_broke |= isinstance(result, _Lost) and result.pool_broke
                yield video, result
            if pool_broke:
                for video, source in self.busy.values():
                    yield video, _Lost(source, "the workers died", pool_broke=True)
                return

    def end(self) -> None:
        """Ends them; those that are starting would not end quietly, and are awaited."""
        num_starting = self._num_workers
        end = time.monotonic() + _MAX_START
        while num_starting and time.monotonic() < end:
            if self._started.acquire(block=False):
                num_starting -= 1
            elif self._others.issuperset(multiprocessing.active_children()):
                break
            else:
                time.sleep(0.01)
        self._pool.stop()
        self._pool.join()


def _start(started: "loky.backend.synchronize.Semaphore") -> None:
    frames.configure_process()
    started.release()


def _encode(source: Path | bytes, settings: EncodeSettings) -> EncodedVideo:
    """Encodes a video in a worker; what it raises is a `VideoError`, or a bug."""
    try:
        return frames.encode(source, settings)
    except (VideoError, *_BUGS):
        raise
    except Exception as error:  # one bad video never ends a build
        raise VideoError("crash", f"{type(error).__name__}: {error}") from error


def _schedule(
    pool: pebble.ProcessPool,
    source: Content,
    settings: EncodeSettings,
) -> _Future:
    future: _Future = concurrent.futures.Future()
    if isinstance(source, tuple):  # it could not be read
        future.set_exception(VideoError(*source))
        return future
    try:
        return pool.schedule(_encode, args=(source, settings))
    except RuntimeError as error:  # the pool has broken since
        future.set_exception(BrokenProcessPool(str(error)))
        return future


def _result(future: _Future, source: Content) -> EncodedVideo | VideoError | _Lost:
    """Returns a video's frames, its error, or that its worker is gone.

    Raises:
      Exception: What `_encode` did not take for the video's.
    """
    try:
        return future.result()
    except VideoError as error:
        return error
    except BrokenProcessPool:  # workers died at no video of theirs
        return _Lost(source, "the workers died", pool_broke=True)
    except pebble.ProcessExpired as error:
        reason = f"the decoder died with exit code {error.exitcode}"
        return _Lost(source, reason, pool_broke=False)
    except concurrent.futures.CancelledError:
        return VideoError("timeout", f"no result after {_deadline(source):.0f} s")


def _deadline(source: Content) -> float:
    try:
        size = source.stat().st_size if isinstance(source, Path) else len(source)
    except OSError:  # the worker will say what is wrong with it
        size = 0
    return _DEADLINE + _DEADLINE_PER_MB * size / 1e6
