"""Measures building against the ffmpeg program, and itself against its own limits.

    python benchmarks/build.py                      # all: half an hour on two cores
    python benchmarks/build.py frames --rounds 3    # or: build, workers, memory

The videos are generated: a textured ground that the camera pans over, a thing that
moves across it, and noise, in H.264 at 30 frames a second and 0.5 Mbit/s (340x256) or
2 Mbit/s (1280x720). They take about as long to decode as real ones of that rate, and
their JPEGs are about as large. Some are different; the others are copies of these.

- `frames`: `workers.encode_all` over all videos, in `--workers` processes, against as
  many `ffmpeg -threads 1` at a time, one a video, that write JPEGs with `-vf scale
  -q:v 4`. Both are timed as whole processes, start-up included, and store the same
  number of frames of the same size. ffmpeg writes files, ours hands the JPEGs to the
  main process; ours are the larger ones (quality 85, the bytes of both are printed).
- `build`: `Builder.download_and_prepare`, without and with `resume_dir`, against the
  bare loop over `encode_all`, each in a new process and timed without its imports, on
  twice as many videos: more than TFDS's buffer of 1000 MiB holds.
- `workers`: the bare loop with two workers against the same with one.
- `memory`: the most that a worker and the main process ever held (VmHWM, so Linux
  only). The main process builds many short videos, more than fill TFDS's buffer; then,
  with a smaller buffer, a tenth of them and all of them; and all of them with fewer
  buckets too, so that two hold what they would of a dataset 50 times as large.

The sides of a comparison take turns, `--rounds` times. Speeds are medians; a ratio is
the median of the rounds' ratios, with the least and the greatest. It needs `ffmpeg`
with libx264, and 6 GB in the temporary directory (TMPDIR) or in `--keep`.
"""

import argparse
import csv
import functools
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import generated
import loky
import psutil
import sections
import tables
import tensorflow_datasets as tfds
from sections import run_task

import kinetics_clips
from kinetics_clips.write import frames, releases, report, videos, workers

_SHORT_SIDE, _JPEG_QUALITY = 256, 85  # the builder's defaults

_PACKAGES = ("av", "opencv-python-headless", "tensorflow", "tensorflow-datasets")

_MIB, _GIB = 1 << 20, 1 << 30

_TFDS_BUFFER, _TFDS_BUCKETS = 1000 * _MIB, 1000
_SMALL_BUFFER, _FEW_BUCKETS = 20 * _MIB, 20

# At most: in a worker, in the main process with TFDS's buffer full, and beside two of
# TFDS's buckets where those are what fills it.
_WORKER_LIMIT, _MAIN_LIMIT, _BUCKETS_LIMIT = 250 * _MIB, 1.8 * _GIB, 0.9 * _GIB

# Still "no growth": the rows of the report, and what an allocator does by chance.
_GROWTH_LIMIT = 8 * _MIB


_SMALL = generated.Kind("small", 340, 256, 500_000, num_frames=300, num_different=24)
_LARGE = generated.Kind("large", 1280, 720, 2_000_000, num_frames=300, num_different=8)
_SHORT = generated.Kind("short", 340, 256, 500_000, num_frames=45, num_different=24)


def main() -> int:
    measures = {
        "frames": _measure_frames,
        "build": _measure_build,
        "workers": _measure_workers,
        "memory": _measure_memory,
    }
    parser = sections.parser(__doc__, measures)
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument(
        "--workers", type=int, default=loky.cpu_count(), help="(default: one a core)"
    )
    parser.add_argument(
        "--videos",
        type=int,
        default=192,
        help="of 340x256, and a quarter as many of 1280x720 (default: 192)",
    )
    parser.add_argument(
        "--short-videos", type=int, default=2000, help="for `memory` (default: 2000)"
    )
    args = sections.parse(parser, _TASKS)
    if min(args.rounds, args.workers) < 1 or args.videos < 4 or args.short_videos < 10:
        parser.error("needs 1 round, 1 worker, 4 videos and 10 short ones at least")
    if not shutil.which("ffmpeg"):
        parser.error("the `ffmpeg` program is not there, which makes the videos too")
    print(f"{tables.machine(_PACKAGES)}; {args.workers} workers", flush=True)
    with sections.directory(args) as directory:
        for name in args.sections:
            tables.show(name, measures[name](directory, args))
    return 0


def _measure_frames(directory: Path, args: argparse.Namespace) -> list[tables.Row]:
    rows = []
    for kind, num_videos, target in [
        (_SMALL, args.videos, 2.2),
        (_LARGE, args.videos // 4, 1.3),
    ]:
        root = generated.make(directory, kind, num_videos)
        num_frames = num_videos * kind.num_frames
        sides = {
            "encode_all": functools.partial(
                run_task, "encode", root=root, num_workers=args.workers
            ),
            "ffmpeg": functools.partial(
                _run_ffmpeg, root, kind, args.workers, directory
            ),
        }
        rounds = _in_turn(sides, args.rounds, "process_seconds", num_frames)
        for side in sides:
            speed = num_frames / _median(rounds, side, "process_seconds")
            num_bytes = _median(rounds, side, "num_bytes") / num_frames
            figure = f"{speed:,.0f} frames/s, {num_bytes:,.0f} bytes a frame"
            rows.append(tables.Row(f"{side}, {kind.size}", figure))
        ratios = _ratios(rounds, "ffmpeg", "encode_all", "process_seconds")
        rows.append(
            tables.ratio_row(f"encode_all / ffmpeg, {kind.size}", ratios, target)
        )
    return rows


def _measure_build(directory: Path, args: argparse.Namespace) -> list[tables.Row]:
    num_videos = 2 * args.videos
    root = generated.make(directory, _SMALL, num_videos)
    run = functools.partial(run_task, root=root, num_workers=args.workers)
    build = functools.partial(run, "build", directory=directory)
    sides = {
        "bare loop": functools.partial(run, "encode"),
        "build": build,
        "build, resume_dir": functools.partial(build, resumable=True),
    }
    num_frames = num_videos * _SMALL.num_frames
    rounds = _in_turn(sides, args.rounds, "seconds", num_frames)
    rows = []
    for side in sides:
        seconds = _median(rounds, side, "seconds")
        whole = _median(rounds, side, "process_seconds")
        rows.append(tables.Row(side, f"{seconds:.1f} s, whole process {whole:.1f} s"))
    for side in list(sides)[1:]:
        # A share of the bare loop's speed: its time over the build's.
        ratios = _ratios(rounds, "bare loop", side, "seconds")
        rows.append(tables.ratio_row(f"{side} / bare loop", ratios, 0.85))
    return rows


def _measure_workers(directory: Path, args: argparse.Namespace) -> list[tables.Row]:
    if loky.cpu_count() < 2:
        return [tables.Row("2 workers / 1 worker", "not measured: there is one core")]
    root = generated.make(directory, _SMALL, args.videos)
    sides = {
        name: functools.partial(run_task, "encode", root=root, num_workers=num_workers)
        for name, num_workers in [("1 worker", 1), ("2 workers", 2)]
    }
    num_frames = args.videos * _SMALL.num_frames
    rounds = _in_turn(sides, args.rounds, "seconds", num_frames)
    rows = []
    for side in sides:
        speed = num_frames / _median(rounds, side, "seconds")
        rows.append(tables.Row(side, f"{speed:,.0f} frames/s"))
    ratios = _ratios(rounds, "1 worker", "2 workers", "seconds")
    return [*rows, tables.ratio_row("2 workers / 1 worker", ratios, 1.9)]


def _measure_memory(directory: Path, args: argparse.Namespace) -> list[tables.Row]:
    root = generated.make(directory, _LARGE, args.videos // 4)
    worker = run_task("encode", root=root, num_workers=args.workers)
    root = generated.make(directory, _SHORT, args.short_videos)
    build = functools.partial(
        run_task,
        "build",
        root=root,
        num_workers=args.workers,
        directory=directory,
    )
    tenth = args.short_videos // 10
    default = _logged(build)
    few_videos = _logged(build, max_videos=tenth, buffer=_SMALL_BUFFER)
    many_videos = _logged(build, buffer=_SMALL_BUFFER)
    few_buckets = _logged(build, buffer=_SMALL_BUFFER, buckets=_FEW_BUCKETS)

    def row(what: str, result: dict, limit: float | None = None) -> tables.Row:
        peak = result["main_peak"]
        return _limit_row(what, peak, limit) if limit else tables.Row(what, _mib(peak))

    split = default["split_bytes"]
    videos_of = f"build of {args.short_videos:,} videos in {_mib(split)}"
    buffer = f"a buffer of {_mib(_SMALL_BUFFER)}"
    return [
        _limit_row(f"worker, {_LARGE.size}", worker["worker_peak"], _WORKER_LIMIT),
        tables.Row("main process before a build", _mib(default["main_base"])),
        row(videos_of, default, _main_limit(split)),
        row(f"build of {tenth:,} videos, {buffer}", few_videos),
        row(f"{videos_of}, {buffer}", many_videos),
        _limit_row(
            f"growth by {args.short_videos - tenth:,} videos",
            many_videos["main_peak"] - few_videos["main_peak"],
            _GROWTH_LIMIT,
        ),
        row(
            f"{videos_of}, {buffer}, {_FEW_BUCKETS} buckets (two: "
            f"{_mib(2 * split / _FEW_BUCKETS)})",
            few_buckets,
            _main_limit(split, _SMALL_BUFFER, _FEW_BUCKETS),
        ),
    ]


def _main_limit(
    split: int, buffer: int = _TFDS_BUFFER, buckets: int = _TFDS_BUCKETS
) -> float:
    """Returns what a build of a split, in bytes, may hold in the main process.

    With a smaller buffer or fewer buckets than TFDS's it is what the limits leave for
    all else, and these.
    """
    return max(
        _MAIN_LIMIT - _TFDS_BUFFER + buffer, _BUCKETS_LIMIT + 2 * split / buckets
    )


def _logged(run: Callable[..., dict], **options: object) -> dict:
    result = run(**options)
    generated.log(
        f"  {options}: {_mib(result['main_peak'])} in {result['seconds']:.1f} s"
    )
    return result


def _encode(root: str, num_workers: int) -> dict:
    """Encodes all videos; returns what was done, how fast, and in what memory."""
    (split,) = videos.find(Path(root), releases.FOLDER).splits
    settings = frames.EncodeSettings(_SHORT_SIDE, _JPEG_QUALITY)
    num_frames = num_bytes = 0
    start = time.perf_counter()
    results = workers.encode_all(split.videos, settings, num_workers)
    for number, (_, result) in enumerate(results, start=1):
        if isinstance(result, Exception):
            raise result
        num_frames += result.num_frames
        num_bytes += result.num_bytes
        if number == len(split.videos):  # the workers are still there
            worker_peak = max(map(_peak, _worker_ids()))
    return {
        "seconds": time.perf_counter() - start,
        "num_frames": num_frames,
        "num_bytes": num_bytes,
        "worker_peak": worker_peak,
    }


def _build(
    root: str,
    directory: str,
    num_workers: int,
    resumable: bool = False,
    max_videos: int | None = None,
    buffer: int = _TFDS_BUFFER,
    buckets: int = _TFDS_BUCKETS,
) -> dict:
    """Builds a dataset below a directory; returns what it holds, how fast, and memory.

    Args:
      root: Of the videos.
      directory: Where the dataset lies until this returns.
      num_workers: Of the builder.
      resumable: Whether there is a `resume_dir`.
      max_videos: All when None.
      buffer: TFDS's, in bytes.
      buckets: TFDS's number of them.
    """
    import tensorflow  # noqa: F401 (TFDS would import it while it is timed)
    from tensorflow_datasets.core import shuffle

    shuffle.MAX_MEM_BUFFER_SIZE = buffer
    shuffle.BUCKETS_NUMBER = buckets
    with tempfile.TemporaryDirectory(dir=directory) as results:
        builder = kinetics_clips.Builder(
            config=kinetics_clips.KineticsClipsConfig(max_videos=max_videos),
            data_dir=f"{results}/datasets",
            num_workers=num_workers,
            resume_dir=f"{results}/resume" if resumable else None,
        )
        config = tfds.download.DownloadConfig(manual_dir=root)
        main_base = _peak(os.getpid())
        start = time.perf_counter()
        builder.download_and_prepare(download_config=config)
        seconds = time.perf_counter() - start
        main_peak = _peak(os.getpid())
        with open(builder.data_path / report.FILENAME, newline="") as file:
            rows = list(csv.DictReader(file))
    return {
        "seconds": seconds,
        "num_frames": sum(int(row["num_frames"]) for row in rows),
        "main_base": main_base,
        "main_peak": main_peak,
        "split_bytes": builder.info.splits["train"].num_bytes,
    }


def _worker_ids() -> list[int]:
    return [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if "resource_tracker" not in " ".join(child.cmdline())
    ]


def _peak(process_id: int) -> int:
    """Returns the most memory that a process ever held, in bytes.

    `ru_maxrss` would not do: that of a child starts at its parent's size.
    """
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def _run_ffmpeg(
    root: Path, kind: generated.Kind, num_processes: int, directory: Path
) -> dict:
    """Writes the frames of all videos as JPEGs, each video into its own folder."""

    def write_frames(path: Path) -> None:
        folder = Path(results, path.stem)
        folder.mkdir()
        generated.ffmpeg(
            *("-threads", 1, "-filter_threads", 1, "-i", path),
            *("-vf", f"scale={kind.width_at(_SHORT_SIDE)}:{_SHORT_SIDE}"),
            *("-q:v", 4, "-threads", 1, folder / "%05d.jpg"),
        )

    with tempfile.TemporaryDirectory(dir=directory) as results:
        start = time.perf_counter()
        with ThreadPoolExecutor(num_processes) as pool:
            list(pool.map(write_frames, root.rglob("*.mp4")))
        seconds = time.perf_counter() - start
        sizes = [path.stat().st_size for path in Path(results).rglob("*.jpg")]
    return {
        "process_seconds": seconds,
        "num_frames": len(sizes),
        "num_bytes": sum(sizes),
    }


def _in_turn(
    sides: dict[str, Callable[[], dict]], num_rounds: int, key: str, num_frames: int
) -> list[dict[str, dict]]:
    """Runs the sides one after the other, `num_rounds` times.

    Args:
      sides: What to run, by name.
      num_rounds: At least 1.
      key: Of the time in a side's result, in seconds.
      num_frames: That every side has to store.

    Returns:
      For each round, the result of each side.
    """
    rounds = []
    for number in range(1, num_rounds + 1):
        results = {}
        for name, run in sides.items():
            os.sync()  # what the last side wrote must not slow this one down
            results[name] = run()
            generated.log(f"  round {number}: {name} {results[name][key]:.1f} s")
            if results[name]["num_frames"] != num_frames:
                raise SystemExit(
                    f"{name} must store {num_frames} frames, got "
                    f"{results[name]['num_frames']}."
                )
        rounds.append(results)
    return rounds


def _limit_row(what: str, num_bytes: float, limit: float) -> tables.Row:
    return tables.Row(what, _mib(num_bytes), f"<= {_mib(limit)}", num_bytes <= limit)


def _median(rounds: Sequence[dict[str, dict]], side: str, key: str) -> float:
    return statistics.median(results[side][key] for results in rounds)


def _ratios(
    rounds: Sequence[dict[str, dict]], slow: str, fast: str, key: str
) -> list[float]:
    """Returns how many times as fast one side was as the other, in each round."""
    return [results[slow][key] / results[fast][key] for results in rounds]


def _mib(num_bytes: float) -> str:
    return f"{round(num_bytes / _MIB):,} MiB"


_TASKS = {"encode": _encode, "build": _build}


if __name__ == "__main__":
    sys.exit(main())
