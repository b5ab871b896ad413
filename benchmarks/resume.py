"""Kills builds at random moments and shows that nothing is lost by it.

    python benchmarks/resume.py --videos 2000 --kills 5

Builds a dataset of synthetic videos once without and once with interruptions: the main
process is killed (SIGKILL) at random moments, and the same command started again, until
it ends by itself. Prints how long each run was let live and how many videos were kept
then; at the end, whether the two datasets hold the same records, report and metadata. A
build that ends before its kill is compared too, and another one started.
"""

import argparse
import csv
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import psutil
import tensorflow as tf
import tensorflow_datasets as tfds

from kinetics_clips.command import synthetic

_CLASSES = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(99))
    args = parser.parse_args()
    print(f"{args.videos} videos, seed {args.seed}")
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write_videos(root / "videos", args.videos, args.frames)
        start = time.perf_counter()
        build(root / "videos", root / "whole").wait()
        whole_time = time.perf_counter() - start
        print(f"uninterrupted: {whole_time:.1f} s")
        expected = contents(root / "whole")
        num_kills = num_wrong = 0
        while num_kills < args.kills:
            kills = range(num_kills + 1, args.kills + 1)
            num_kills += kill_until_done(root, kills, rng, whole_time)
            num_wrong += report_differences(root, expected)
    return 1 if num_wrong else 0


def kill_until_done(root: Path, kills: range, rng: random.Random, most: float) -> int:
    """Builds into `killed`, killed at random moments; returns how often it was."""
    num_kills = 0
    for number in kills:
        run = build(root / "videos", root / "killed")
        moment = rng.uniform(0.02, 0.8) * most
        try:
            run.wait(moment)
            print(f"ended before {moment:.1f} s, exit code {run.returncode}")
            return num_kills
        except subprocess.TimeoutExpired:
            processes = psutil.Process(run.pid).children(recursive=True)
            run.kill()
            run.wait()
            num_kills += 1
        kept = len(list((root / "killed/downloads").glob("*/*/*/*.zip")))
        _, alive = psutil.wait_procs(processes, timeout=30)
        print(
            f"kill {number}: after {moment:.1f} s, {kept} videos kept; {len(alive)} of "
            f"its {len(processes)} processes alive 30 s later"
        )
    start = time.perf_counter()
    run = build(root / "videos", root / "killed")
    run.wait()
    print(
        f"ended after {time.perf_counter() - start:.1f} s, exit code {run.returncode}"
    )
    return num_kills


def report_differences(root: Path, expected: tuple) -> int:
    """Prints whether `killed` is what was expected; removes it; returns 1 if not."""
    same = contents(root / "killed") == expected
    kept = list((root / "killed/downloads").glob("kinetics_clips/*"))
    print(f"  same records, report and metadata: {'yes' if same else 'NO'}")
    print(f"  kept frames removed: {'NO' if kept else 'yes'}")
    shutil.rmtree(root / "killed")
    return 0 if same and not kept else 1


def write_videos(root: Path, num_videos: int, num_frames: int) -> None:
    """Writes small videos into class folders, each with numbers of its own."""
    for number in range(num_videos):
        folder = root / "train" / f"class {number % _CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        synthetic.write_video(
            folder / f"{number:05d}.mp4",
            num_frames,
            height=48,
            width=64,
            first_number=number % 4000,
        )


def build(
    manual_dir: Path, data_dir: Path, *options: str, log_name: Path | None = None
) -> subprocess.Popen:
    """Starts the command that builds; it logs beside its `data_dir`, or as told."""
    with (log_name or data_dir).with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "kinetics_clips", "build", "folder"),
                *("--manual-dir", manual_dir, "--data-dir", data_dir, *options),
            ],
            stdout=log,
            stderr=log,
        )


def contents(data_dir: Path) -> tuple:
    """Returns all that a dataset says, but for when and whence it was built.

    Records are compared as parsed: TFDS writes the fields of one in any order.
    """
    builder = tfds.builder("kinetics_clips/folder", data_dir=data_dir)
    records = []
    for path in sorted(Path(builder.data_path).glob("*.tfrecord-*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            text = repr(
                sorted((k, str(v)) for k, v in example.features.feature.items())
            )
            records.append(hashlib.sha256(text.encode()).hexdigest())
    with (Path(builder.data_path) / "build_report.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    not_compared = ("built", "manual_dir")
    metadata = {k: v for k, v in builder.info.metadata.items() if k not in not_compared}
    return records, rows, metadata, builder.info.splits["train"].shard_lengths


if __name__ == "__main__":
    sys.exit(main())
