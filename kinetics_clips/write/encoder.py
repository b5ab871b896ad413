"""Encodes the videos of a build, each once: what is kept first, the rest in workers."""

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from kinetics_clips.store import build_dirs
from kinetics_clips.write import frames, resume, workers
from kinetics_clips.write.frames import EncodedVideo, EncodeSettings, VideoError
from kinetics_clips.write.videos import Video


class Encoder:
    """Processes that encode videos, and the directory that keeps what they have done.

    Args:
      settings: How frames are scaled and encoded.
      num_workers: Number of processes. Defaults to None: the number of available cores.
      keep_dir: Directory in which the frames of finished videos are kept, for a build
        that goes on after an interruption. Defaults to None: they are not kept.
      data_version: Version of the stored data, which kept frames must have too.
    """

    def __init__(
        self,
        settings: EncodeSettings,
        num_workers: int | None,
        keep_dir: Path | None,
        data_version: str,
    ):
        self.settings = settings
        self._num_workers = num_workers
        self._keep_dir = keep_dir
        self._data_version = data_version
        self._store: resume.Store | None = None
        self._pool: workers.Pool | None = None

    @contextlib.contextmanager
    def workers(self) -> Iterator[workers.Pool]:
        """Gives the processes, which end with the outermost context."""
        if self._pool:
            yield self._pool
            return
        with workers.Pool(self._num_workers) as self._pool:
            try:
                yield self._pool
            finally:
                self._pool = None

    def end_workers(self) -> None:
        """Ends the processes of the running context, which has no more use for them."""
        if self._pool:
            self._pool.close()

    def encode(
        self, videos: Sequence[Video], num_at_once: int | None = None
    ) -> Generator[tuple[Video, EncodedVideo | VideoError], None, None]:
        """Yields each video with its frames, or with the error that says why not.

        Videos whose frames are kept come first; all others are kept when they are done.

        Args:
          videos: Videos that have a file and no problem.
          num_at_once: Number of videos that the processes are given before one of them
            is done. Defaults to three for each process.

        Raises:
          ValueError: If the directory keeps frames of other settings.
          OSError: If frames cannot be kept.
        """
        if self._keep_dir and self._store is None:
            self._store = resume.Store(
                self._keep_dir,
                {
                    **dataclasses.asdict(self.settings),
                    "data_version": self._data_version,
                    **frames.LIBRARIES,
                },
            )
        waiting = videos
        if self._store:
            waiting = []
            for video in videos:
                encoded = self._store.get(video)
                if encoded is None:
                    waiting.append(video)
                else:
                    yield video, encoded
        with (
            self.workers() as pool,
            contextlib.closing(
                pool.encode_all(waiting, self.settings, num_at_once)
            ) as results,
        ):
            for video, result in results:
                if self._store and not isinstance(result, Exception):
                    self._store.put(video, result)
                yield video, result

    def finish(self, built: str) -> None:
        """Notes beside kept frames which build has used them all, in case it is killed.

        Args:
          built: Time of that build, as its metadata have it.
        """
        if self._store:
            self._store.finish(built)

    def remove_kept(self) -> None:
        """Removes the frames that were kept; the dataset is in its place."""
        store, self._store = self._store, None
        if store:
            try:
                store.remove()
            except OSError as error:  # the dataset is complete
                build_dirs.log_left_over(store.directory, error)
