"""Makes small real datasets for tests of code that reads clips."""

import colorsys
import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from kinetics_clips import progress
from kinetics_clips.command import synthetic
from kinetics_clips.kinetics_clips_dataset_builder import Builder
from kinetics_clips.store import datasets
from kinetics_clips.write import annotations
from kinetics_clips.write.config import KineticsClipsConfig, require
from kinetics_clips.write.releases import FOLDER

_MAX_FRAMES = 1 << synthetic.NUM_BLOCKS
_MIN_SIZE = (32, 48)  # in which a number can be read


def make_dataset(
    directory: str | os.PathLike[str],
    *,
    config: str | KineticsClipsConfig = "folder",
    num_videos: Mapping[str, int] | None = None,
    class_names: Sequence[str] | None = None,
    num_frames: int | Sequence[int] = (80, 64, 20),
    sizes: Sequence[tuple[int, int]] = ((96, 128), (128, 96), (64, 64)),
    fps: float | Sequence[float] = 25.0,
) -> tfds.core.DatasetBuilder:
    """Makes a small dataset of known content, by the real builder, in a second or two.

        dataset = kinetics_clips.testing.make_dataset(tmp_path)
        source = kinetics_clips.ClipSource(dataset, "train", spec)

    Frame `i` of every video shows the number `i`, which `frame_number` reads back. The
    `n`-th video of a split has the `n`-th of the class names, numbers of frames, sizes
    and rates, each of which starts over at its end; its label is the place of its class
    among all sorted names. Its `video_id` is
    `<class>/<split>_<n>`, or of Kinetics's form, where YouTube's id ends with `n`. Each
    class has a colour of its own.

    Args:
      directory: Directory that takes the dataset, as the `data_dir` of TFDS does.
      config: Name of a config, `folder` by default or a release such as `k400`, or a
        `KineticsClipsConfig`: the one that the code under test asks for.
      num_videos: Number of videos of each split, at least 1, by the split's name:
        `train`, `validation` or `test`. Defaults to
        `{"train": 6, "validation": 3}`.
      class_names: Names of the classes, which must be able to name folders. Defaults
        to the first three of the release, or to `class 0`, `class 1` and `class 2`.
      num_frames: Number of frames of each video, in [1, 4096]; one number for all, or
        a sequence.
      sizes: Sizes of the frames, (height, width) in pixels, even, at least (32, 48).
        Frames whose short side is above the config's `short_side` (256 by default)
        are scaled down to it.
      fps: Frames per second of each video; one number for all, or a sequence.

    Returns:
      The dataset's builder, which all readers take for a dataset.

    Raises:
      ValueError: If an argument is out of its range, or the dataset is there already.
      RuntimeError: If TFDS is mocked.
    """
    datasets.require_no_mock()
    num_videos = {"train": 6, "validation": 3} if num_videos is None else num_videos
    num_frames = [num_frames] if isinstance(num_frames, int) else list(num_frames)
    rates = [fps] if isinstance(fps, int | float) else list(fps)
    sizes = [(int(height), int(width)) for height, width in sizes]
    builder = Builder(config=config, data_dir=directory, num_workers=1)
    release = builder.builder_config.release
    if class_names is None:
        names = annotations.labels_of(release).names if release != FOLDER else ()
        class_names = names[:3] or [f"class {number}" for number in range(3)]
    if builder.is_prepared():
        raise ValueError(
            "`directory` must not hold a dataset of that name, got "
            f"{builder.data_dir}. Take an empty one."
        )
    require(
        "num_videos",
        num_videos,
        num_videos
        and set(num_videos) <= set(annotations.SPLITS)
        and all(count >= 1 for count in num_videos.values()),
        f"of {', '.join(annotations.SPLITS)}, each at least 1",
    )
    require("class_names", class_names, len(class_names) > 0, "at least one name")
    require(
        "num_frames",
        num_frames,
        num_frames and all(1 <= count <= _MAX_FRAMES for count in num_frames),
        f"in [1, {_MAX_FRAMES}]",
    )
    require(
        "sizes",
        sizes,
        sizes
        and all(
            side >= least and side % 2 == 0
            for size in sizes
            for side, least in zip(size, _MIN_SIZE, strict=True)
        ),
        f"even (height, width) of at least {_MIN_SIZE}",
    )
    require(
        "fps", rates, rates and all(0 < rate <= 1000 for rate in rates), "in (0, 1000]"
    )
    with tempfile.TemporaryDirectory() as root, progress.without_prints():
        for split, count in num_videos.items():
            kinds = zip(
                range(count),
                *map(itertools.cycle, (class_names, num_frames, sizes, rates)),
                strict=False,
            )
            for number, class_name, frames, (height, width), rate in kinds:
                stem = f"{split}_{number}"
                if release != FOLDER:
                    stem = f"{split[:5]:-<5}{number:06}_000000_000010"
                path = Path(root, split, class_name, f"{stem}.mp4")
                path.parent.mkdir(parents=True, exist_ok=True)
                synthetic.write_video(
                    path,
                    frames,
                    height=height,
                    width=width,
                    fps=rate,
                    colour=_colour(class_names.index(class_name) / len(class_names)),
                )
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=root)
        )
    return builder


def frame_number(frame: np.ndarray) -> int:
    """Returns the number that a whole frame shows, of any size it was scaled to.

    Args:
      frame: uint8 `[height, width, 3]`, neither cut nor mirrored.
    """
    return synthetic.read_number(np.asarray(frame))


def _colour(hue: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)
