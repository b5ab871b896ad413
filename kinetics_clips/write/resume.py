"""Keeps the frames of finished videos on disk until a build is complete."""

import dataclasses
import hashlib
import itertools
import json
import logging
import os
import shlex
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from kinetics_clips import files
from kinetics_clips.write.videos import Video

if TYPE_CHECKING:  # importing it brings OpenCV, which readers do not need
    from kinetics_clips.write.frames import EncodedVideo

_log = logging.getLogger(__name__)

# Members of a video's file.
_FACTS, _JPEGS = "facts.json", "jpegs"

# What a file raises that is no such file, or not all of it.
_DAMAGE = (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError)

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

    def __init__(self, directory: Path, settings: dict[str, object]):
        self.directory = directory
        path = directory / _SETTINGS
        own = {_SETTINGS, files.temporary(path).name, _LOCK}
        if (
            directory.is_dir()
            and not path.exists()
            and not all(n in own or _is_of_a_lock(n) for n in os.listdir(directory))
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
            with files.open_new(path) as file:
                file.write(json.dumps(settings).encode())
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
        from kinetics_clips.write import frames

        path = self._path(video)
        try:
            with zipfile.ZipFile(path) as kept:
                facts = json.loads(kept.read(_FACTS))
                if facts.pop("source") != _source(video):
                    return None
                jpegs = memoryview(kept.read(_JPEGS))  # checks its CRC-32
            facts["notes"] = tuple(facts["notes"])
            ends = list(itertools.accumulate(facts.pop("lengths"), initial=0))
            return frames.EncodedVideo(
                [jpegs[a:b].tobytes() for a, b in itertools.pairwise(ends)], **facts
            )
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
            _log.warning("%s: damaged, decoded again: %s", path, error)
            return None

    def put(self, video: Video, encoded: "EncodedVideo") -> None:
        """Keeps a video's frames.

        Raises:
          OSError: If they cannot be written, as on a full disk.
        """
        path = self._path(video)
        path.parent.mkdir(exist_ok=True)
        facts = {
            field.name: getattr(encoded, field.name)
            for field in dataclasses.fields(encoded)
            if field.name != "frames"
        }
        facts["source"] = _source(video)
        facts["lengths"] = [len(jpeg) for jpeg in encoded.frames]

        with files.open_new(path) as file, zipfile.ZipFile(file, "w") as kept:
            kept.writestr(_FACTS, json.dumps(facts))
            with kept.open(_JPEGS, "w") as jpegs:
                for jpeg in encoded.frames:
                    jpegs.write(jpeg)

    def num_bytes(self) -> int:
        """Returns the bytes of all that is kept."""
        return num_bytes(self.directory)

    def finish(self, built: str) -> None:
        """Notes that the build is complete but for its dataset's final place.

        Args:
          built: What that dataset's metadata says of when it was built.
        """
        with files.open_new(self.directory / _FINISHED) as file:
            file.write(built.encode())

    def remove(self) -> None:
        """Removes the directory and all that it keeps.

        Raises:
          OSError: If something of it cannot be removed.
        """
        self.close()  # NFS keeps a file, under another name, for as long as it is open
        _remove(self.directory)

    def _path(self, video: Video) -> Path:
        # Ids may hold any character, and a folder must not hold 300,000 files.
        key = f"{video.annotation.split}/{video.annotation.video_id}"
        name = hashlib.blake2b(key.encode("utf-8", "surrogateescape")).hexdigest()[:40]
        return self.directory / name[:2] / f"{name}.zip"


def num_bytes(directory: Path) -> int:
    """Returns the bytes of all that a store keeps, whether it exists or not."""
    return sum(path.stat().st_size for path in directory.glob("*/*.zip"))


def remove_finished(directory: Path, built: str | None) -> bool:
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
        elif _is_of_a_lock(path.name):
            path.unlink(missing_ok=True)
    for name in (_SETTINGS, _LOCK, _FINISHED):
        (directory / name).unlink(missing_ok=True)
    directory.rmdir()


def _is_of_a_lock(name: str) -> bool:
    """Returns whether that may be what a lock leaves behind that is killed.

    Such as filelock's trial of a file system, or NFS's open file that was removed.
    """
    return name.startswith(".")


def _source(video: Video) -> list[str]:
    """Returns what tells a video's file from a later one of the same name."""
    file = video.source
    return [file.filename, str(file.num_bytes), str(file.modified)]
