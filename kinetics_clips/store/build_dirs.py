"""Directories of builds: in work, left over, waiting for another one's place."""

import contextlib
import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import version as version_lib

_log = logging.getLogger(__name__)

# Held by a build for as long as it runs: a directory in which it is free is left over.
_LOCK = ".building"

# TFDS builds in `incomplete.<random>_<version>`, beside the dataset's final place.
_INCOMPLETE = "incomplete."


def require_local(directory: str | os.PathLike[str]) -> None:
    """Requires that a dataset's directory is one of the file system.

    Raises:
      ValueError: If it is elsewhere; says what to do.
    """
    if "://" in os.fspath(directory):
        raise ValueError(
            "`data_dir` must be a local or a mounted directory to build in, got "
            f"{os.fspath(directory)}. Copy what is built there: it is read from "
            "anywhere."
        )


@contextlib.contextmanager
def in_work(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Marks a directory as that of a running build, in any way that it may end."""
    path = Path(directory) / _LOCK
    with filelock.FileLock(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def name_left_overs(dataset_dir: Path) -> None:
    """Logs what dead builds have left beside a dataset, and how to remove it.

    Args:
      dataset_dir: The dataset's directory, whether it exists or not.
    """
    for path in sorted(dataset_dir.parent.glob(f"{_INCOMPLETE}*")):
        if path == dataset_dir or not path.is_dir():
            continue
        try:
            with filelock.FileLock(path / _LOCK, blocking=False):
                num_bytes = sum(file.stat().st_size for file in path.iterdir())
        except filelock.Timeout:
            _log.info("%s: another build is running", path)
            continue
        _log.warning(
            "%s is left over from a build that died. Remove its %s: rm -r %s",
            path,
            tfds.core.units.Size(num_bytes),
            shlex.quote(str(path)),
        )


def versions(config_dir: Path) -> list[str]:
    """Returns the versions of a dataset that are complete, the newest last."""
    return [
        str(version)
        for version in version_lib.list_all_versions(config_dir)
        if (config_dir / str(version) / "dataset_info.json").is_file()
    ]


def require_no_other_version(dataset_dir: Path, name: str) -> None:
    """Requires that no other version of a dataset stands where this one is to be.

    So that `tfds.load` leaves a shared dataset alone when this package is newer.

    Args:
      dataset_dir: Directory of the version that is asked for.
      name: Name of the dataset, without its version.

    Raises:
      ValueError: If there is one and not this one; says how to read it, or build.
    """
    others = versions(dataset_dir.parent)
    if others and dataset_dir.name not in others:
        raise ValueError(
            "`manual_dir` must be given to build a dataset of which there is "
            f"another version, got none: {name} {dataset_dir.name} is not in "
            f"{dataset_dir.parent}, but {', '.join(others)} is. Read that one as "
            f'"{name}:{others[-1]}", or build the new one with `kinetics-clips '
            "build`, or with tfds.download.DownloadConfig(manual_dir=...)."
        )


def remove_empty(directory: Path) -> None:
    """Removes a directory that has nothing in it."""
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


@contextlib.contextmanager
def swapped_in(dataset_dir: Path) -> Iterator[Path]:
    """Gives a place for a new dataset, which replaces the old one when it is complete.

    Where something is raised meanwhile, the old one stays.

    Yields:
      The directory to build in.
    """
    yield beside(dataset_dir)
    replaced = dataset_dir.with_name(f"{_INCOMPLETE}replaced_{dataset_dir.name}")
    if replaced.exists():
        shutil.rmtree(replaced)
    dataset_dir.rename(replaced)
    beside(dataset_dir).rename(dataset_dir)
    try:
        shutil.rmtree(replaced)
    except OSError as error:  # the new one is complete
        log_left_over(replaced, error)


def finish_swap(dataset_dir: Path) -> bool:
    """Ends a swap that was killed half-way; returns whether there was one."""
    if dataset_dir.exists() or not beside(dataset_dir).exists():
        return False
    beside(dataset_dir).rename(dataset_dir)
    return True


def beside(dataset_dir: Path) -> Path:
    """Returns where a new dataset waits, complete, to take the place of an old one."""
    return dataset_dir.with_name(f"{_INCOMPLETE}new_{dataset_dir.name}")


def log_left_over(directory: Path, error: OSError) -> None:
    """Logs that a directory, of no more use, could not be removed, and what to do."""
    _log.warning(
        "%s is of no more use, but could not be removed: %s. Remove it: rm -r %s",
        directory,
        error,
        shlex.quote(str(directory)),
    )
