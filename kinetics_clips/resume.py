"""Keeps the frames of finished videos on disk until a build is complete."""

import hashlib
import json
import logging
import os
import shlex
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import filelock
import numpy as np

from kinetics_clips.videos import Video

if TYPE_CHECKING:  # importing it brings OpenCV, which readers do not need
    from kinetics_clips.frames import EncodedVideo

_log = logging.getLogger(__name__)

_SETTINGS = "settings.json"
_LOCK = "lock"
_FINISHED = "finished"


class Store:
    """A directory with one file a video, written atomically; one build's at a time.

    Args:
      directory: Made where it does not exist.
      settings: What the frames depend on, as JSON can keep it.

    Raises:
      ValueError: If the directory was made with other settings, is used by another
        build, or holds something else.
      OSError: If it cannot be made.
    """

    def __init__(self, directory: Path, settings: dict):
        self.directory = directory
        path = directory / _SETTINGS
        own = {_SETTINGS, path.with_suffix(".tmp").name, _LOCK}
        if (
            directory.is_dir()
            and not path.exists()
            and not own.issuperset(os.listdir(directory))
        ):
            raise ValueError(
                f"{directory} must be empty or keep videos of an interrupted build, "
                f"got a directory without {_SETTINGS}. Name another one."
            )
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(directory / _LOCK)
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout as error:
            raise ValueError(
                f"{directory} must be of one build at a time, but another one is "
                "running there. Wait for it, or name another directory."
            ) from error
        if not path.exists():
            _write(path, lambda file: file.write(json.dumps(settings).encode()))
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept != settings:
            self.close()
            raise ValueError(
                f"{directory} keeps videos of an interrupted build with other "
                f"settings: it must be of {settings}, got {kept}. Build with those, "
                "name another directory, or remove it: "
                f"rm -r {shlex.quote(str(directory))}"
            )

    def close(self) -> None:
        """Lets another build use the directory."""
        self._lock.release()

    def get(self, video: Video) -> "EncodedVideo | None":
        """Returns a video's frames, or None where none of this very file are kept."""
        from kinetics_clips import frames

        path = self._path(video)
        try:
            with np.load(path, allow_pickle=False) as kept:  # checks a CRC-32
                if kept["source"].tolist() != _source(video):
                    return None
                jpegs = memoryview(kept["jpegs"])
                ends = np.cumsum(kept["lengths"]).tolist()
                return frames.EncodedVideo(
                    frames=[
                        jpegs[start:end].tobytes()
                        for start, end in zip([0, *ends], ends, strict=False)
                    ],
                    height=int(kept["height"]),
                    width=int(kept["width"]),
                    fps=float(kept["fps"]),
                    truncated=bool(kept["truncated"]),
                    seconds=float(kept["seconds"]),
                )
        except FileNotFoundError:
            return None
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError) as error:
            _log.warning("%s: damaged, decoded again: %s", path, error)
            return None

    def put(self, video: Video, encoded: "EncodedVideo") -> None:
        """Keeps a video's frames.

        Raises:
          OSError: If they cannot be written, as on a full disk.
        """
        path = self._path(video)
        path.parent.mkdir(exist_ok=True)
        _write(
            path,
            lambda file: np.savez(
                file,
                source=np.array(_source(video)),
                jpegs=np.frombuffer(b"".join(encoded.frames), np.uint8),
                lengths=np.array([len(jpeg) for jpeg in encoded.frames]),
                height=encoded.height,
                width=encoded.width,
                fps=encoded.fps,
                truncated=encoded.truncated,
                seconds=encoded.seconds,
            ),
        )

    def num_bytes(self) -> int:
        """Returns the bytes of all that is kept."""
        return sum(path.stat().st_size for path in self.directory.glob("*/*.npz"))

    def finish(self, built: str) -> None:
        """Notes that the build is complete but for its dataset's final place.

        Args:
          built: What that dataset's metadata says of when it was built.
        """
        path = self.directory / _FINISHED
        _write(path, lambda file: file.write(built.encode()))

    def remove(self) -> None:
        """Removes the directory and all that it keeps."""
        _remove(self.directory)
        self.close()

    def _path(self, video: Video) -> Path:
        # Ids may hold any character, and a folder must not hold 300,000 files.
        key = f"{video.annotation.split}/{video.annotation.video_id}"
        name = hashlib.blake2b(key.encode("utf-8", "surrogateescape")).hexdigest()[:40]
        return self.directory / name[:2] / f"{name}.npz"


def remove_finished(directory: Path, built: str) -> bool:
    """Removes what a build left that was killed when its dataset was in its place.

    Args:
      directory: A store's, whether it exists or not.
      built: What the dataset's metadata says of when it was built.

    Returns:
      Whether there was such a store.
    """
    path = directory / _FINISHED
    if not path.is_file() or path.read_text(encoding="utf-8") != built:
        return False
    _remove(directory)
    return True


def _remove(directory: Path) -> None:
    """Removes a store, last of all what tells that it can be removed."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    for name in (_SETTINGS, _LOCK, _FINISHED):
        (directory / name).unlink(missing_ok=True)
    directory.rmdir()


def _source(video: Video) -> list[str]:
    """Returns what tells a video's file from a later one of the same name."""
    return [video.filename, str(video.file.num_bytes), str(video.file.modified)]


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file that is there as a whole or not at all, whenever this is killed."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
        os.replace(temporary, path)
    except OSError as error:  # of a full disk it does not say which
        raise OSError(error.errno, error.strerror, str(path)) from error
