"""Tries for a long time to break builds and readers, and counts what is lost.

    python benchmarks/soak.py                        # all: half an hour
    python benchmarks/soak.py videos --mutants 5000  # or: kills, disk, shards, ...

- `videos`: damaged copies of videos of several codecs. Each is stored, with the frames
  that the ffmpeg program shows of it, in their order, or reported with its reason.
- `odd`: healthy and odd videos of every kind that is known, made by `odd_cases.py`, or
  those of `--folder`: what is stored of them has the frames, colours, turning, shape
  and rate that the ffmpeg program shows, and the notes that they deserve.
- `kills`: builds whose main process, or one of its workers, is killed (SIGKILL) at
  random moments, and which go on until they end: the same records, report and metadata
  as without; and no directory, meanwhile, that TFDS takes for a dataset and is none.
- `steps`: builds on a disk (FUSE) on which, one after the other, every operation that
  changes something fails once with EIO, or the process is killed that asks for it; or a
  read fails. An error, or a reported video; and the same records afterwards.
- `disk`: builds on a disk that is full (a tmpfs, which takes root) at another place
  each time: an error, no dataset, and the same records when there is room again.
- `shards`: a dataset with a bit flipped in one byte after the other, of shard and
  index, and in every 16th of a shard that is streamed: an error or the clips that were
  stored, never others.
- `load`: eight processes that read random clips and check the number in every frame,
  for `--seconds`; the growth of their memory.
- `flood`: a build of `--flood` tiny videos, and the memory it takes.

What is neither right nor reported is lost: that column has to be 0.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import av
import faulty_disk
import hostile
import loky
import numpy as np
import odd
import psutil
import resume
import sections
import tables
import tensorflow_datasets as tfds
from sections import run_task

import kinetics_clips
from kinetics_clips import ClipSource, ClipSpec
from kinetics_clips.command import synthetic
from kinetics_clips.write import frames, workers
from kinetics_clips.write.annotations import Annotation
from kinetics_clips.write.sources import File
from kinetics_clips.write.videos import Video

# At its best quality JPEG keeps the luma even of the noise that a damaged frame may be.
_SETTINGS = frames.EncodeSettings(short_side=None, jpeg_quality=100, fps=None)
_KINDS = ("B-frames", "HEVC", "VP9", "AV1", "MJPEG", "MPEG-2", "transport stream")
_NUM_READERS = 8
_STREAMED_EVERY = 16  # bytes
_DATASET = "kinetics_clips/folder/2.0.0"
_MIB = 1 << 20


class Outcome(NamedTuple):
    """What became of what was tried; `lost` is neither right nor reported."""

    tried: int
    right: int
    reported: int
    lost: int
    note: str = ""


def main() -> int:
    attempts: dict[str, Callable[[Path, argparse.Namespace], Outcome]] = {
        "videos": _videos,
        "odd": _odd,
        "kills": _kills,
        "steps": _steps,
        "disk": _disk,
        "shards": _shards,
        "load": _load,
        "flood": _flood,
    }
    parser = sections.parser(__doc__, attempts, keeps=False)
    parser.add_argument("--mutants", type=int, default=5_000, help="(default: 5,000)")
    parser.add_argument(
        "--folder", type=Path, help="of short odd videos (default: made anew)"
    )
    parser.add_argument("--kills", type=int, default=50, help="(default: 50)")
    parser.add_argument(
        "--steps", type=int, default=1, help="every so many (default: 1)"
    )
    parser.add_argument("--disks", type=int, default=8, help="(default: 8)")
    parser.add_argument("--seconds", type=float, default=600, help="(default: 600)")
    parser.add_argument("--flood", type=int, default=100_000, help="(default: 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    args = sections.parse(parser, {"read": _read})
    print(tables.machine(("av", "imageio-ffmpeg", "tensorflow")), flush=True)
    print("| section | tried | right | reported | lost | |")
    print("|---|---|---|---|---|---|")
    num_lost = 0
    for name in args.sections:
        with tempfile.TemporaryDirectory() as directory:
            outcome = attempts[name](Path(directory), args)
        counts = " | ".join(f"{count:,}" for count in outcome[:4])
        print(f"| {name} | {counts} | {outcome.note} |", flush=True)
        num_lost += outcome.lost
    return 1 if num_lost else 0


def _videos(root: Path, args: argparse.Namespace) -> Outcome:
    to_encode = []
    whole = {}  # by kind: its packets
    for kind in _KINDS:
        unusual = hostile.UNUSUAL[kind]
        original = root / f"original{unusual.suffix}"
        hostile.write_unusual(original, unusual)
        whole[kind] = set(_packets(original))
        count = args.mutants // len(_KINDS)
        for number, (_, content) in enumerate(
            hostile.mutants(original.read_bytes(), count, args.seed)
        ):
            path = root / f"{kind} {number}{unusual.suffix}"
            path.write_bytes(content)
            status = path.stat()
            file = File(root, path.name, status.st_size, status.st_mtime_ns)
            to_encode.append(Video(Annotation("train", path.name, "a"), file))
    reasons: collections.Counter[str] = collections.Counter()
    right = lost = num_filled = memory = 0
    for video, result in workers.encode_all(to_encode, _SETTINGS):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = max(memory, child.memory_info().rss)
        if isinstance(result, frames.VideoError):
            reasons[result.reason] += 1
            continue
        kind = video.annotation.video_id.rpartition(" ")[0]
        filled = _count_filled(video.file.path, result, whole[kind])
        if filled is None:
            print(f"lost: {video.annotation.video_id}", file=sys.stderr)
            lost += 1
        else:
            right += 1
            num_filled += filled > 0
    reported = sum(reasons.values())
    lost += len(to_encode) - right - lost - reported
    named = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    note = (
        f"{named}; {num_filled} with damaged pictures of MJPEG or MPEG-2; a worker "
        f"takes at most {memory / _MIB:.0f} MiB"
    )
    return Outcome(len(to_encode), right, reported, lost, note)


def _count_filled(
    path: Path, encoded: frames.EncodedVideo, whole: set[bytes]
) -> int | None:
    """Compares what was stored with what ffmpeg shows.

    What it makes of a damaged picture of MJPEG or MPEG-2 is partly what was in memory
    before, and differs between two runs of it. Frames from the first damaged packet on
    may be others.

    Args:
      path: Of the video.
      encoded: What was stored of it.
      whole: The packets of the video without damage.

    Returns:
      The number of such frames; None if another is wrong, or there are more or fewer.
    """
    stored = hostile.decode(encoded.frames, gray=True)
    shown = hostile.frames_of_ffmpeg(path, *stored.shape[1:], gray=True)
    # Of another size, or with edges that each program draws in its own way.
    if any("width to height" in n or "its corners" in n for n in encoded.notes):
        return 0
    if len(stored) != len(shown):
        return None
    others = [
        number
        for number, (frame, other) in enumerate(zip(stored, shown, strict=True))
        if hostile.difference(frame, other) > hostile.TOLERANCE
    ]
    if not others:
        return 0
    packets = list(_packets(path))
    damaged = (n for n, packet in enumerate(packets) if packet not in whole)
    num_dropped = len(packets) - len(stored)
    may_be_others = next(damaged, len(packets)) - num_dropped
    if path.suffix not in (".avi", ".mpg") or others[0] < may_be_others:
        return None
    return len(others)


def _packets(path: Path) -> Iterator[bytes]:
    """Yields what a demuxer finds of a video's stream, as far as it comes."""
    with av.open(str(path)) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux(container.streams.best("video")):
            if packet.size:
                yield bytes(packet)


def _odd(root: Path, args: argparse.Namespace) -> Outcome:
    kinds, num_failed = odd.run(root / "videos", args.folder)
    for name, *counts in kinds:
        print(f"| `odd`: {name} | {' | '.join(map(str, counts))} | |")
    tried, right, reported, wrong = np.sum([counts for _, *counts in kinds], axis=0)
    note = f"{wrong} wrong; {num_failed} could not be made"
    return Outcome(tried, right, reported, wrong, note)


def _kills(root: Path, args: argparse.Namespace) -> Outcome:
    rng = random.Random(args.seed)
    resume.write_videos(root / "videos", 150, 12)
    start = time.perf_counter()
    resume.build(root / "videos", root / "whole").wait()
    whole_time = time.perf_counter() - start
    expected = resume.contents(root / "whole")
    kills = lost = num_builds = of_workers = 0
    ends = False
    while kills < args.kills or not ends:
        run = resume.build(root / "videos", root / "killed")
        moment = time.monotonic() + rng.uniform(0.05, 1.0) * whole_time
        while run.poll() is None and time.monotonic() < moment:
            time.sleep(0.02)
            lost += _is_false_dataset(root / "killed")
        is_killed = run.poll() is None and kills < args.kills
        if is_killed:
            kills += 1
            children = psutil.Process(run.pid).children(recursive=True)
            if children and rng.random() < 0.5:
                of_workers += 1
                with contextlib.suppress(psutil.NoSuchProcess):
                    rng.choice(children).kill()
            else:
                run.kill()
                psutil.wait_procs(children, timeout=30)
        # One that was killed at its very end says that the dataset exists.
        ends = run.wait() == 0 or (not is_killed and _is_there(root / "killed"))
        if ends:
            num_builds += 1
            lost += resume.contents(root / "killed") != expected
            shutil.rmtree(root / "killed")
    note = f"{of_workers} of a worker; {num_builds} builds came to their end"
    return Outcome(kills, max(kills - lost, 0), 0, lost, note)


def _is_false_dataset(data_dir: Path) -> bool:
    """Returns whether there is what TFDS takes for a dataset, and is not whole."""
    directory = data_dir / _DATASET
    if not _is_there(data_dir):
        return False
    needed = ("train.frame_index", "build_report.csv", "features.json", "metadata.json")
    return not all((directory / name).exists() for name in needed)


def _is_there(data_dir: Path) -> bool:
    return (data_dir / _DATASET / "dataset_info.json").exists()


def _steps(root: Path, args: argparse.Namespace) -> Outcome:
    if not faulty_disk.can_be_mounted():
        return Outcome(0, 0, 0, 0, "not tried: there is no FUSE")
    for number in range(3):
        path = root / f"videos/train/{number % 2}/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthetic.write_video(path, 4 + number, height=32, width=48)
    trials = []
    counts: dict[str, int] = {}
    for kind in ("--fail", "--kill", "--reads --fail", "--overwrite --kill"):
        name = f"whole {kind}"
        if "--overwrite" in kind:
            shutil.copytree(root / "whole --kill", root / name)
        code, num_operations = _build_on_faulty_disk(root, name, f"{kind} 0")
        if code:
            return Outcome(1, 0, 0, 1, f"{name}: not even a sound disk will do")
        steps = range(1, num_operations + 1, args.steps)
        counts[kind] = len(steps)
        trials += [f"{kind} {step}" for step in steps]
    expected = resume.contents(root / "whole --fail/disk/data")
    with concurrent.futures.ThreadPoolExecutor(loky.cpu_count()) as pool:
        ends = list(pool.map(lambda trial: _try_step(root, trial, expected), trials))
    for trial, end in zip(trials, ends, strict=True):
        if end == "lost":
            print(f"lost: {trial}", file=sys.stderr)
    note = (
        f"{counts['--fail']} changes that failed, {counts['--reads --fail']} reads "
        f"that did with all later ones, kills before {counts['--kill']} changes of a "
        f"build and {counts['--overwrite --kill']} of one that overwrites"
    )
    by_end = collections.Counter(ends)
    return Outcome(
        len(trials), by_end["right"], by_end["reported"], by_end["lost"], note
    )


def _try_step(root: Path, trial: str, expected: tuple) -> str:
    """Returns what became of a build of which one operation went wrong."""
    directory = root / trial
    data_dir = directory / "disk/data"
    if "--overwrite" in trial:
        shutil.copytree(root / "whole --kill", directory)
    code, _ = _build_on_faulty_disk(root, trial, trial)
    log = (directory / "mnt.log").read_text()
    is_reported = code == 1 and "kinetics-clips: error: " in log
    if "Traceback" in log or _is_false_dataset(data_dir):
        return "lost"
    if code == 0 and "--reads" in trial:
        records, rows, *_ = resume.contents(data_dir)
        failed = [row for row in rows if "unreadable" in row]
        is_reported = bool(failed) and len(rows) == len(expected[1])
        if is_reported and len(records) + len(failed) == len(expected[0]):
            return "reported" if set(records) <= set(expected[0]) else "lost"
    if "--overwrite" in trial and not any(
        (data_dir / "kinetics_clips/folder").glob("*2.0.0/dataset_info.json")
    ):
        return "lost"
    if not _is_there(data_dir) or "--overwrite" in trial:
        if not is_reported and "--kill" not in trial:
            return "lost"
        sound = "--overwrite --fail 0" if "--overwrite" in trial else "--fail 0"
        code, _ = _build_on_faulty_disk(root, trial, sound)
    if not _is_there(data_dir) or resume.contents(data_dir) != expected:
        return "lost"
    shutil.rmtree(directory)
    return "reported" if is_reported else "right"


def _build_on_faulty_disk(root: Path, name: str, fault: str) -> tuple[int, int]:
    """Builds on a disk of that name; returns the exit code, and what it counted."""
    disk, mount_point = root / name / "disk", root / name / "mnt"
    mount_point.mkdir(parents=True, exist_ok=True)
    if not disk.exists():
        shutil.copytree(root / "videos", disk / "videos")
    options = [word for word in fault.split() if word != "--overwrite"]
    overwriting = ["--overwrite"] if "--overwrite" in fault else []
    with faulty_disk.mounted(disk, mount_point, *options) as counts:
        run = resume.build(
            mount_point / "videos",
            mount_point / "data",
            *overwriting,
            log_name=mount_point,
        )
        children = []
        while run.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(run.pid).children(recursive=True) or children
            time.sleep(0.1)
        psutil.wait_procs(children, timeout=30)
    return run.returncode, counts[0]


def _disk(root: Path, args: argparse.Namespace) -> Outcome:
    if os.geteuid():
        return Outcome(0, 0, 0, 0, "not tried: mounting takes root")
    resume.write_videos(root / "videos", 150, 12)
    resume.build(root / "videos", root / "whole").wait()
    expected = resume.contents(root / "whole")
    num_bytes = sum(p.stat().st_size for p in (root / "whole").rglob("*"))
    reported = lost = 0
    for number in range(args.disks):
        small = root / "small"
        small.mkdir()
        # From no room at all to nearly as much as the kept frames and shards take.
        size = round(2.2 * num_bytes * (number + 0.5) / args.disks)
        _mount("tmpfs", f"size={size}", small)
        try:
            data_dir = small / "data"
            code = _build_quietly(root / "videos", data_dir)
            failed_well = code == 1 and not _is_there(data_dir)
            _mount("tmpfs", f"remount,size={20 * num_bytes}", small)
            again = _build_quietly(root / "videos", data_dir)
            same = again == 0 and resume.contents(data_dir) == expected
            reported += failed_well and same
            lost += not (failed_well and same)
        finally:
            subprocess.run(["umount", small], check=True)
        small.rmdir()
    return Outcome(args.disks, 0, reported, lost, "complete when there was room again")


def _mount(kind: str, options: str, directory: Path) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, kind, directory], check=True)


def _build_quietly(manual_dir: Path, data_dir: Path) -> int:
    """Builds without looking at the room first; returns the exit code."""
    script = (
        "import sys\n"
        "from kinetics_clips.command import cli\n"
        "from kinetics_clips.write import check\n"
        "check.require_room = lambda needs: None\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    arguments = ["build", "folder", "--manual-dir", manual_dir, "--data-dir", data_dir]
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True
    ).returncode


def _shards(root: Path, args: argparse.Namespace) -> Outcome:
    for video_id, number in (("a/one", 5), ("b/two", 4)):
        path = root / "videos/train" / f"{video_id}.mp4"
        path.parent.mkdir(parents=True)
        synthetic.write_video(path, number, height=32, width=48)
    _build_quietly(root / "videos", root / "data")
    directory = root / "data" / _DATASET
    spec = ClipSpec(length=4)
    source = ClipSource(directory, "train", spec, seed=args.seed)
    clips = [source[number] for number in range(len(source))]
    (shard,) = directory.glob("*-train.tfrecord-*")
    right = reported = lost = 0
    for path in (shard, directory / "train.frame_index"):
        status, original = path.stat(), path.read_bytes()
        for at in range(len(original)):
            damaged = bytearray(original)
            damaged[at] ^= 1 << (at % 8)
            path.write_bytes(damaged)
            if at % 2:  # as a bad disk leaves it, and every other time as copies do
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            for number, expected in enumerate(clips):
                try:
                    source = ClipSource(directory, "train", spec, seed=args.seed)
                    clip = source[number]
                except (
                    kinetics_clips.FrameIndexError,
                    kinetics_clips.UnreadableVideoError,
                ):
                    reported += 1
                    continue
                same = all(np.array_equal(clip[name], expected[name]) for name in clip)
                right += same
                lost += not same
        path.write_bytes(original)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (directory / "train.frame_index").unlink()
    whole = _stream(directory, spec)
    num_streamed = 0
    original = shard.read_bytes()
    for at in range(0, len(original), _STREAMED_EVERY):
        damaged = bytearray(original)
        damaged[at] ^= 1 << (at % 8)
        shard.write_bytes(damaged)
        got = _stream(directory, spec)
        num_streamed += len(whole)
        for video_id, expected in whole.items():
            clip = got.pop(video_id, None)
            reported += clip is None  # and logged
            right += clip is not None and np.array_equal(clip, expected)
            lost += clip is not None and not np.array_equal(clip, expected)
        lost += len(got)
    note = f"reads of a clip, {num_streamed} of them streamed"
    return Outcome(right + reported + lost, right, reported, lost, note)


def _stream(directory: Path, spec: ClipSpec) -> dict[bytes, np.ndarray]:
    """Returns the clips of all videos that can be streamed, by the videos' ids."""
    ds = kinetics_clips.load_clips(
        directory,
        "train",
        dataclasses.replace(spec, windows="center"),
        shuffle=False,
        on_error="skip",
    )
    return {clip["video_id"]: clip["video"] for clip in ds.as_numpy_iterator()}


def _load(root: Path, args: argparse.Namespace) -> Outcome:
    for number in range(24):
        path = root / f"videos/train/{number % 3}/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthetic.write_video(path, 150, height=96, width=128)
    _build_quietly(root / "videos", root / "data")
    directory = root / "data" / _DATASET
    read = functools.partial(run_task, "read", directory=directory)
    num_read = lost = 0
    slopes = []
    with concurrent.futures.ThreadPoolExecutor(_NUM_READERS) as pool:
        readers = [
            pool.submit(read, seconds=args.seconds, seed=seed)
            for seed in range(_NUM_READERS)
        ]
    for reader in readers:
        try:
            result = reader.result()
        except SystemExit as error:
            print(error, file=sys.stderr)
            lost += 1
        else:
            num_read, lost = num_read + result["read"], lost + result["wrong"]
            slopes.append(result["slopes"])
    whole, half = np.max(slopes, axis=0, initial=0) if slopes else (0, 0)
    note = (
        f"clips of {_NUM_READERS} processes in {args.seconds:.0f} s; memory grows by "
        f"{whole:.2f} MiB a minute at most, and by {half:.2f} in the second half, when "
        "all batches' memory has been touched"
    )
    return Outcome(num_read, num_read - lost, 0, lost, note)


def _read(directory: str, seconds: float, seed: int) -> dict:
    """Reads and checks clips; returns how many, how many wrong, and MiB a minute.

    The latter from the start on, but for half a minute, and in the second half.
    """
    spec = ClipSpec(length=64)
    batches = iter(
        kinetics_clips.load_clips(
            directory, "train", spec, batch_size=4, seed=seed, num_epochs=None
        ).as_numpy_iterator()
        if seed % 2
        else _endless(ClipSource(directory, "train", spec), seed)
    )
    clips = wrong = 0
    times, memory = [], []
    end = time.monotonic() + seconds
    start = time.monotonic() + min(30.0, seconds / 4)
    while (now := time.monotonic()) < end:
        batch = next(batches)
        for video, indices in zip(batch["video"], batch["frame_indices"], strict=True):
            numbers = [synthetic.read_number(frame) for frame in video]
            wrong += int(numbers != indices.tolist())
            clips += 1
        if now > start:
            times.append(now / 60)
            memory.append(psutil.Process().memory_info().rss / _MIB)
    half = len(times) // 2
    slopes = [np.polyfit(times[at:], memory[at:], 1)[0] for at in (0, half)]
    return {"read": clips, "wrong": wrong, "slopes": [float(one) for one in slopes]}


def _endless(source: ClipSource, seed: int):
    rng = np.random.default_rng(seed)
    while True:
        yield source.batch(rng.integers(len(source), size=4))


def _flood(root: Path, args: argparse.Namespace) -> Outcome:
    for number in range(args.flood):
        original = root / f"{number // 10_000}.mp4"  # a file system bounds its links
        if not original.exists():
            synthetic.write_video(original, 2, height=32, width=48)
        folder = root / f"videos/train/{number % 400:03d}"
        if number < 400:
            folder.mkdir(parents=True)
        os.link(original, folder / f"{number}.mp4")
    start = time.perf_counter()
    run = resume.build(root / "videos", root / "data")
    memory = 0
    process = psutil.Process(run.pid)
    while run.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = max(memory, process.memory_info().rss)
        time.sleep(0.5)
    took = time.perf_counter() - start
    stored = 0
    if run.returncode == 0:
        builder = tfds.builder("kinetics_clips/folder", data_dir=root / "data")
        stored = builder.info.splits["train"].num_examples
    note = (
        f"videos in {took:.0f} s on {loky.cpu_count()} cores; the main process takes "
        f"{memory / _MIB:.0f} MiB"
    )
    return Outcome(args.flood, stored, 0, args.flood - stored, note)


if __name__ == "__main__":
    sys.exit(main())
