"""Shows the whole road on a few synthetic videos: build, load by name, look."""

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from kinetics_clips import progress
from kinetics_clips.command import synthetic
from kinetics_clips.kinetics_clips_dataset_builder import Builder
from kinetics_clips.read import clips
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.show import preview, report_page
from kinetics_clips.store import datasets

NAME = "kinetics_clips/folder"

_COLOURS = {
    "red disc": (220, 40, 40),
    "green disc": (40, 200, 60),
    "blue disc": (50, 90, 240),
}
_NUM_FRAMES = {"train": (150, 120, 90), "validation": (100,)}
_BATCH_SIZE = 4
_NUM_STRETCHES, _STRETCH_SECONDS = 5, 0.6


def run(data_dir: Path) -> None:
    """Makes videos, builds a dataset from them, loads clips and draws them.

    Args:
      data_dir: Directory that takes all of it: `videos/`, the dataset, and
        `clips.png`. What an earlier run built there is used again.

    Raises:
      ValueError: If another dataset of that name lies there.
    """
    videos_dir = data_dir.absolute() / "videos"
    builder = Builder(config="folder", data_dir=data_dir)
    if not builder.is_prepared():
        _write_videos(videos_dir)
        with progress.without_prints():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=videos_dir)
            )
    elif builder.info.metadata.get("manual_dir") != str(videos_dir):
        raise ValueError(
            f"`--data-dir` must not hold another {NAME}, got {builder.data_dir}, built "
            f"from {builder.info.metadata.get('manual_dir')}. Name another directory."
        )

    spec = ClipSpec(length=64, crop=224)
    ds = clips.load_clips(
        *(NAME, "train", spec),
        batch_size=_BATCH_SIZE,
        num_epochs=None,
        data_dir=data_dir,
        # The clips of the picture below.
        seed=0,
        epoch=0,
    )
    batches = iter(ds)
    tensors = next(batches)
    print(f"\nA batch of {NAME}, random 64-frame clips:")
    for name, value in tensors.items():
        print(f"  {name:14}{value.dtype.name:8}{value.shape.as_list()}")
    batch = {name: value.numpy() for name, value in tensors.items()}
    labels = [
        datasets.label_name(builder.info, label) or "no label"
        for label in batch["label"]
    ]
    print(f"  labels        {', '.join(labels)}")

    print(f"{_clips_per_second(batches):.0f} clips/s on this machine")
    picture = data_dir / "clips.png"
    preview.show_clips(builder, "train", spec, num=_BATCH_SIZE).save(picture)
    print(f"What a model sees of these clips: {picture}")
    print("  (The strip across the top of a frame is its number, in binary.)")
    print(f"What was built: {builder.data_path / report_page.FILENAME}")
    print("\nNext, your own videos, in a directory as DIR/train/CLASS/VIDEO.mp4:")
    print("  kinetics-clips check folder --manual-dir DIR")
    print("  kinetics-clips build folder --manual-dir DIR --data-dir BIG_DISK")


def _write_videos(directory: Path) -> None:
    for (split, lengths), (label, colour) in itertools.product(
        _NUM_FRAMES.items(), _COLOURS.items()
    ):
        folder = directory / split / label
        folder.mkdir(parents=True, exist_ok=True)
        for number, num_frames in enumerate(lengths):
            synthetic.write_video(
                folder / f"{split}_{number}.mp4", num_frames, colour=colour
            )


def _clips_per_second(batches: Iterator[Any]) -> float:
    """Returns the median speed of some stretches of reading."""
    speeds = []
    for _ in range(_NUM_STRETCHES):
        num_batches = 0
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < _STRETCH_SECONDS:
            next(batches)
            num_batches += 1
        speeds.append(num_batches * _BATCH_SIZE / elapsed)
    return statistics.median(speeds)
