"""What users write, for type checkers alone: mypy checks it with the package.

A line with `type: ignore` has to be an error: mypy says where it is none any more.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import tensorflow_datasets as tfds
from torch.utils.data import DataLoader

import kinetics_clips

spec = kinetics_clips.ClipSpec(length=16, crop=112)
source = kinetics_clips.ClipSource(
    "kinetics_clips/folder", split="train", spec=spec, data_dir="x"
)

# Single clips, batches, and what is known of them.
clip = source[3]
assert_type(clip["video"], npt.NDArray[np.uint8])
assert_type(clip["label"], np.int64)
assert_type(clip["video_id"], bytes)
assert_type(clip["frame_indices"], npt.NDArray[np.int32])
length, height, width, _ = source[3]["video"].shape
batch = source.batch([0, 1], on_error="skip")
assert_type(batch["label"], npt.NDArray[np.int64])
assert_type(batch["video"], npt.NDArray[np.uint8])
assert_type(source.labels, npt.NDArray[np.int64])
assert_type(source.spec, kinetics_clips.ClipSpec)
assert_type(len(source), int)
source.set_epoch(1)
source.sample(0, np.random.default_rng(0))
source[0]["lable"]  # type: ignore[typeddict-item]
source["a"]  # type: ignore[index]
assert_type(source[[0, 1]]["video"], npt.NDArray[np.uint8])
assert_type(source[np.arange(2)]["label"], npt.NDArray[np.int64])
source.batch([0], on_error="ignore")  # type: ignore[arg-type]
source.batch(0)  # type: ignore[arg-type]
encoded = source.encoded(3)
assert_type(encoded, kinetics_clips.EncodedClip)
assert_type(encoded["data"], npt.NDArray[np.uint8])
assert_type(encoded["byte_ranges"], npt.NDArray[np.int64])
assert_type(encoded["size"], tuple[int, int])
assert_type(encoded["flip"], bool)
assert_type(source.encoded([0, 1]), list[kinetics_clips.EncodedClip])
assert_type(source.encoded(np.arange(2)), list[kinetics_clips.EncodedClip])
encoded["video"]  # type: ignore[typeddict-item]
source.encoded("a")  # type: ignore[arg-type]
kinetics_clips.ClipSource("x")  # type: ignore[call-arg]
kinetics_clips.ClipSource(Path("x"), "train", seed="0")  # type: ignore[arg-type]

# What a clip is.
kinetics_clips.ClipSpec(fps=15, windows=10, crops="three", crop=256)
kinetics_clips.ClipSpec(area=(0.25, 1.0), size=224, flip=True, windows="center")
kinetics_clips.ClipSpec(length=32, stride=2, crop=256, **kinetics_clips.VIEWS_10X3)
assert_type(kinetics_clips.VIEWS_4X3, Mapping[str, Any])
assert_type(spec.crop, int | None)
assert_type(spec.num_views, int)
kinetics_clips.ClipSpec(crops="middle")  # type: ignore[arg-type]
kinetics_clips.ClipSpec(windows="three")  # type: ignore[arg-type]
kinetics_clips.ClipSpec(length=None)  # type: ignore[arg-type]
kinetics_clips.ClipSpec(area=0.5)  # type: ignore[arg-type]
kinetics_clips.ClipSpec(frames=8)  # type: ignore[call-arg]
spec.length = 8  # type: ignore[misc]

# PyTorch and tf.data.
for loaded in DataLoader(source, batch_size=2, num_workers=2):
    loaded["video"]
ds = kinetics_clips.load_clips(
    "kinetics_clips/folder",
    split="train[:80%]",
    spec=spec,
    batch_size=8,
    seed=0,
    shard=(0, 2),
    data_dir=Path("x"),
    on_error="skip",
)
for tensors in ds.take(2):
    tensors["video"]
kinetics_clips.load_clips("x", "train", on_error="ignore")  # type: ignore[arg-type]
kinetics_clips.load_clips("x", "train", shard=0)  # type: ignore[arg-type]
kinetics_clips.load_clips("x")  # type: ignore[call-arg]
raw = tfds.load(
    "kinetics_clips/folder",
    split="train",
    decoders={"video": kinetics_clips.EncodedFrames()},
    read_config=kinetics_clips.read_config(shuffle_seed=0),
)
kinetics_clips.sample_clip({}, 64)  # type: ignore[arg-type]
clips = raw.map(lambda example: kinetics_clips.sample_clip(example, spec, seed=[0, 1]))

# To build, and to look.
config = kinetics_clips.KineticsClipsConfig(release="k400", short_side=None, fps=10)
assert_type(config.max_videos, int | None)
kinetics_clips.KineticsClipsConfig(release="k300")  # type: ignore[arg-type]
kinetics_clips.KineticsClipsConfig(jpeg_quality="95")  # type: ignore[arg-type]
builder = kinetics_clips.Builder(config=config, data_dir="x", num_workers=4)
assert_type(builder.num_workers, int)
kinetics_clips.Builder(config=400)  # type: ignore[arg-type]
shown = kinetics_clips.show_clips(builder, "train", spec, num=4, class_name="archery")
shown.save("clips.png")
assert_type(shown.sheet(), np.ndarray)
kinetics_clips.show_clips("x", num="4")  # type: ignore[arg-type]
assert_type(kinetics_clips.label_name(builder.info, 3), str | None)
assert_type(kinetics_clips.register_namespaces(Path("x.toml")), list[str])

# To test.
directory: os.PathLike[str] = Path("x")
dataset = kinetics_clips.testing.make_dataset(
    directory, num_videos={"train": 2}, num_frames=[80, 20], fps=25
)
assert_type(kinetics_clips.testing.frame_number(clip["video"][0]), int)
kinetics_clips.testing.make_dataset(1)  # type: ignore[arg-type]

try:
    source[0]
except (kinetics_clips.FrameIndexError, kinetics_clips.UnreadableVideoError) as error:
    assert_type(
        error, kinetics_clips.FrameIndexError | kinetics_clips.UnreadableVideoError
    )
kinetics_clips.load_clip()  # type: ignore[attr-defined]
