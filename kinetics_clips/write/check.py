"""Says whether a copy of the videos is complete, and what a build of it will cost."""

import contextlib
import dataclasses
import math
import os
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow_datasets as tfds

from kinetics_clips.write.releases import ANNOTATED, COUNTS, FOLDER, FOUND
from kinetics_clips.write.videos import (
    BAD_ROW,
    DUPLICATE,
    UNKNOWN,
    Found,
    Split,
    Video,
    summary_of_passed_over,
)

if TYPE_CHECKING:  # importing it brings OpenCV, which readers do not need
    from kinetics_clips.write.frames import EncodedVideo, VideoError

# Videos that are encoded to tell what a build costs, by `check` and by each build.
SAMPLE = 50

_PASSED_OVER = "passed over"

# The share of the encode loop's speed at which a whole build runs.
_BUILD_SHARE = 0.9

# Memory of a build, by `benchmarks/build.py`: a worker at 1280x720; the main process
# with TFDS's buffer of 1000 MiB full, or with two of its 1,000 buckets, which it holds
# when it sorts a larger split.
_WORKER_MEMORY = 250 << 20
_MIN_MEMORY = 1.8 * (1 << 30)
_BASE_MEMORY = 0.9 * (1 << 30)
_BUCKETS_SHARE = 2 / 1000


def count(split: Split) -> dict[str, int]:
    """Counts what was found of a split.

    Returns:
      Numbers of videos: `annotated`, or in class folders; `found`, those of them that
      have a file; `missing`, those without; `empty`, those whose file has 0 bytes, and
      one count a reason for all else that is known to be wrong with a file;
      `unlabelled`, annotated without a class. Numbers of files: `unmatched`, named by
      no annotation or by several, or in no class folder; `duplicates`, of a video that
      has another file, and, if there are any, `passed over`, which are not read.
      Numbers of rows, if there are any: `bad rows`, which are skipped.
    """
    problems = Counter({"missing": 0, "empty": 0})
    problems.update(video.problem[0] for video in split.videos if video.problem)
    reasons = Counter(reason for reason, _ in split.unmatched.values())
    num_unmatched = sum(reasons[reason] for reason in UNKNOWN)
    others = num_unmatched + reasons[DUPLICATE] + reasons[BAD_ROW]
    num_passed_over = reasons.total() - others
    return {
        ANNOTATED: len(split.videos),
        FOUND: split.num_found,
        **problems,
        "unmatched": num_unmatched,
        "unlabelled": sum(video.annotation.label is None for video in split.videos),
        "duplicates": reasons[DUPLICATE],
        **({_PASSED_OVER: num_passed_over} if num_passed_over else {}),
        **({"bad rows": reasons[BAD_ROW]} if reasons[BAD_ROW] else {}),
    }


def table(split: Split, release: str) -> str:
    """Returns the counts of a split for a person, beside those that others report."""
    column = 2 + ("train", "validation", "test").index(split.name)
    lines = [split.name]
    for what, number in count(split).items():
        reported = [
            f"{row[0]} {row[column]:,}"
            for row in COUNTS.get(release, [])
            if row[1] == what and row[column] is not None
        ]
        if what == _PASSED_OVER:
            files = {k: why for k, why in split.unmatched.items() if why[0] != BAD_ROW}
            reported = [summary_of_passed_over(files)]
        if what == ANNOTATED and release == FOLDER:
            what = "in folders"
        lines.append(f"  {what:12}{number:>10,}   {'; '.join(reported)}".rstrip())
    return "\n".join(lines)


def require_half(found: Found) -> None:
    """Raises ValueError where under half of the annotated videos can be opened."""
    short = []
    # Not all people want every split: one without any file is left out.
    for split in [*filter(lambda split: split.num_found, found.splits), None]:
        splits = [split] if split else found.splits
        annotated = [video for one in splits for video in one.videos]
        num_good = sum(video.problem is None for video in annotated)
        if num_good < len(annotated) / 2:
            name = split.name if split else "all splits together"
            short.append(f"{num_good:,} of {len(annotated):,} of {name}")
    if short:
        raise ValueError(
            "At least half of the videos must be there, got "
            f"{', '.join(short)}. `kinetics-clips check` shows what is missing; "
            "--allow-missing builds what there is."
        )


def draw(selected: dict[str, list[Video]], size: int) -> list[Video]:
    """Draws a random sample of the videos to build, of each split in its proportion.

    Args:
      selected: The videos of each split, in the order of a hash.
      size: How many to draw; all where there are fewer.
    """
    share = min(size / max(sum(map(len, selected.values())), 1), 1.0)
    return [
        video
        for split_videos in selected.values()
        for video in split_videos[: math.ceil(share * len(split_videos))]
    ]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a build will cost, from a sample; errors are two standard errors.

    Attributes:
      sample_size: Videos encoded.
      num_failed: Those of them that could not be stored.
      num_videos: Videos that the build will decode.
      num_bytes: Size of the dataset.
      num_bytes_error: Half the width of its 95 % interval.
      seconds: Duration of the build.
      seconds_error: Half the width of its 95 % interval.
      largest_split: Bytes of the largest split.
    """

    sample_size: int
    num_failed: int
    num_videos: int
    num_bytes: float
    num_bytes_error: float
    seconds: float
    seconds_error: float
    largest_split: float

    @property
    def main_memory(self) -> float:
        """Bytes that the main process of a build takes at most."""
        return max(_MIN_MEMORY, _BASE_MEMORY + _BUCKETS_SHARE * self.largest_split)


def estimate(
    results: "Iterable[tuple[Video, EncodedVideo | VideoError]]",
    selected: dict[str, list[Video]],
    num_workers: int,
) -> Estimate:
    """Tells what a build costs from a sample of its videos.

    Args:
      results: What became of the sample; at least one.
      selected: All videos to build, by split.
      num_workers: Number of processes that encode.
    """
    num_bytes: list[float] = []
    seconds: list[float] = []
    for _, result in results:
        if isinstance(result, Exception):
            num_bytes.append(0)
            seconds.append(0.0)
        else:
            num_bytes.append(result.num_bytes)
            seconds.append(result.seconds)
    sizes = [len(split_videos) for split_videos in selected.values()]
    total, total_error = _extrapolate(num_bytes, sum(sizes))
    time, time_error = _extrapolate(seconds, sum(sizes))
    return Estimate(
        sample_size=len(num_bytes),
        num_failed=num_bytes.count(0),
        num_videos=sum(sizes),
        num_bytes=total,
        num_bytes_error=total_error,
        seconds=time / num_workers / _BUILD_SHARE,
        seconds_error=time_error / num_workers / _BUILD_SHARE,
        largest_split=total * max(sizes) / sum(sizes),
    )


def _extrapolate(sample: list[float], population: int) -> tuple[float, float]:
    """Returns the sum over a population, and two standard errors of it."""
    mean = statistics.fmean(sample)
    if len(sample) >= population:
        return mean * population, 0.0
    # One value says nothing of how values differ.
    deviation = statistics.stdev(sample) if len(sample) > 1 else mean
    left = 1 - len(sample) / population
    return (
        mean * population,
        2 * population * deviation * math.sqrt(left / len(sample)),
    )


@dataclasses.dataclass(frozen=True)
class Disk:
    """A file system that a build writes to.

    Attributes:
      directory: The first directory on it that is written to, and may have to be made.
      needed: Bytes that will be written.
      error: Half the width of their 95 % interval.
      free: Bytes that are free.
    """

    directory: Path
    needed: float
    error: float
    free: int

    @property
    def verdict(self) -> str:
        """Whether there is room: `enough`, `perhaps not enough`, `not enough`."""
        if self.needed - self.error > self.free:
            return "not enough"
        return (
            "perhaps not enough" if self.needed + self.error > self.free else "enough"
        )


def free_space(*directories: Path | None) -> dict[int, int]:
    """Returns the free bytes of the file systems of directories, by device."""
    existing = [_existing(directory) for directory in directories if directory]
    return {os.stat(path).st_dev: shutil.disk_usage(path).free for path in existing}


def disks(
    cost: Estimate,
    data_dir: Path,
    resume_dir: Path | None,
    num_bytes_kept: int = 0,
    free: dict[int, int] | None = None,
) -> list[Disk]:
    """Tells what a build needs of each file system that it writes to.

    Args:
      cost: What it costs.
      data_dir: The directory into which the dataset goes.
      resume_dir: The directory into which frames of finished videos go too, or None.
      num_bytes_kept: The bytes that lie there already.
      free: What `free_space` returned before more was kept there. Defaults to what it
        returns now.
    """
    free = free or free_space(data_dir, resume_dir)
    written = [(data_dir, cost.num_bytes)]
    if resume_dir is not None:
        written.append((resume_dir, max(cost.num_bytes - num_bytes_kept, 0.0)))
    by_device: dict[int, list[tuple[Path, float]]] = {}
    for directory, needed in written:
        device = os.stat(_existing(directory)).st_dev
        by_device.setdefault(device, []).append((directory, needed))
    relative_error = cost.num_bytes_error / cost.num_bytes if cost.num_bytes else 0.0
    found = []
    for device, parts in by_device.items():
        needed = sum(part for _, part in parts)
        found.append(Disk(parts[0][0], needed, needed * relative_error, free[device]))
    return found


def _existing(directory: Path) -> Path:
    """Returns the directory, or the nearest one above it that exists."""
    directory = directory.absolute()
    while not directory.exists():
        directory = directory.parent
    return directory


def require_writable(directory: Path, option: str) -> None:
    """Requires that something can be written to a directory; leaves nothing there.

    Args:
      directory: Made for the trial where it does not exist, with those above it.
      option: The command's option that names it.

    Raises:
      OSError: If nothing can be.
      ValueError: If its name is no text here.
    """
    try:
        str(directory).encode()
    except UnicodeEncodeError:  # TensorFlow takes no other paths
        raise ValueError(
            f"`{option}` must be named in characters of this locale, got '{directory}'."
            " Set PYTHONUTF8=1 in the environment, or choose another one."
        ) from None
    made = []
    try:
        for path in reversed([directory, *directory.parents]):
            if not path.exists():
                path.mkdir()
                made.append(path)
        # Not by its permissions: root has all, and a read-only disk tells of none.
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise OSError(
            f"`{option}` must be a directory in which a build can write, got "
            f"'{directory}': {error.strerror}. Choose another one with {option}."
        ) from error
    finally:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # others use it by now
                path.rmdir()


def require_room(needs: Iterable[Disk]) -> None:
    """Raises OSError where a disk cannot hold what a build will write."""
    for disk in needs:
        if disk.verdict == "not enough":
            raise OSError(
                f"The disk of {disk.directory} must have room for {_disk(disk)}. Free "
                "some, or choose another one with --data-dir or --resume-dir; "
                "--no-resume halves what is needed, and starts over when interrupted; "
                "so does a smaller --short-side, --jpeg-quality, --fps or --max-videos."
            )


def size(num_bytes: float, error: float = 0.0) -> str:
    """Returns a number of bytes in words, and its error, if any, as a share."""
    words = tfds.core.units.Size(round(num_bytes)) if num_bytes >= 1 else "0 bytes"
    return f"{words}{_plus_minus(num_bytes, error)}"


def costs(cost: Estimate, needs: Iterable[Disk], num_workers: int) -> str:
    """Returns what a build costs, for a person; some of the sample can be stored."""
    failed = cost.num_failed / cost.sample_size
    share = cost.num_bytes / cost.num_videos / (1 - failed)
    lines = [
        f"A build, by {cost.sample_size:,} of its {cost.num_videos:,} videos, encoded "
        f"here by {num_workers} processes:",
        f"  dataset  {size(cost.num_bytes, cost.num_bytes_error)}, "
        f"{size(share)} a video",
        f"  time     {_duration(cost.seconds, cost.seconds_error)}",
    ]
    lines += [f"  disk     {disk.directory}: {_disk(disk)}" for disk in needs]
    memory = cost.main_memory + num_workers * _WORKER_MEMORY
    lines.append(
        f"  memory   at most {size(memory)}: {size(cost.main_memory)} of the main "
        f"process, {size(_WORKER_MEMORY)} of each other"
    )
    if cost.num_failed:
        line = f"  failed   {cost.num_failed:,} of the {cost.sample_size:,}"
        if cost.sample_size < cost.num_videos:
            line += f", so about {failed * cost.num_videos:,.0f} of all,"
        lines.append(f"{line} cannot be stored")
    return "\n".join(lines)


def _disk(disk: Disk) -> str:
    needed = size(disk.needed, disk.error)
    return f"{needed}, {size(disk.free)} free: {disk.verdict}"


def _duration(seconds: float, error: float) -> str:
    units = (("hours", 3600), ("minutes", 60))
    unit, length = next((u for u in units if seconds >= 2 * u[1]), ("seconds", 1))
    return f"{seconds / length:.1f} {unit}{_plus_minus(seconds, error)}"


def _plus_minus(value: float, error: float) -> str:
    return f" ± {100 * error / value:.0f} %" if error else ""
