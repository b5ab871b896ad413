"""The whole road as users take it: commands, real videos, a release's own CSV."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import DUMMY_DATA, REPOSITORY, SHARED, build, needs_shared, read_report
from processes import run_tensorflow

import kinetics_clips
from kinetics_clips import ClipSpec, load_clips

TFDS = Path(sys.executable).with_name("tfds")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A data_dir into which `tfds build` has built the real clips."""
    data_dir = tmp_path_factory.mktemp("real")
    done = run_tensorflow(
        *(TFDS, "build", "kinetics_clips/folder", "--imports", "kinetics_clips"),
        *("--manual_dir", SHARED / "real_clips", "--data_dir", data_dir),
        cwd=data_dir,
    )
    assert done.returncode == 0, done.stderr
    return data_dir


@pytest.mark.slow
@needs_shared
def test_tfds_build_stores_every_frame_of_the_real_clips(real):
    builder = tfds.builder("kinetics_clips/folder", data_dir=real)
    lengths = {
        split: sorted(
            int(e["num_frames"])
            for e in builder.as_dataset(
                split=split, decoders={"video": kinetics_clips.EncodedFrames()}
            )
        )
        for split in builder.info.splits
    }
    assert lengths == {"train": [280, 300, 310], "validation": [120]}
    assert {row["status"] for row in read_report(builder)} == {"stored"}
    assert {row["reason"] for row in read_report(builder)} == {""}


@pytest.mark.slow
@needs_shared
def test_real_clips_come_back_in_batches(real):
    for dataset in ("kinetics_clips/folder", real / "kinetics_clips/folder/2.0.0"):
        spec = ClipSpec(length=64, crop=224)
        ds = load_clips(dataset, "train", spec=spec, batch_size=2, data_dir=real)
        first = next(iter(ds))
        assert first["video"].shape == (2, 64, 224, 224, 3)
        assert first["video"].dtype == np.uint8
        # Real motion: consecutive frames are close, and not the same.
        step = np.abs(np.diff(first["video"].numpy().astype(int), axis=1)).mean()
        assert 0.1 < step < 20


@pytest.mark.slow
@needs_shared
def test_k400_from_the_official_csv(tmp_path):
    manual_dir = tmp_path / "k400"
    (manual_dir / "annotations").mkdir(parents=True)
    source = SHARED / "annotations" / "kinetics-400_val.csv"
    shutil.copy(source, manual_dir / "annotations" / "val.csv")
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    real_clips = sorted((SHARED / "real_clips").glob("*/*/*.m*"))
    assert len(real_clips) == 4
    taken = rows[:: len(rows) // 6][:6]
    for number, row in enumerate(taken):
        clip = real_clips[number % 4]
        start, end = int(row["time_start"]), int(row["time_end"])
        path = manual_dir / "val" / f"part_{number % 2}"
        path.mkdir(parents=True, exist_ok=True)
        name = f"{row['youtube_id']}_{start:06d}_{end:06d}{clip.suffix}"
        shutil.copy(clip, path / name)

    builder = build(manual_dir, tmp_path / "data", config="k400")
    with (SHARED / "annotations" / "class_names.csv").open(newline="") as file:
        ids = {
            row["name"]: int(row["id"])
            for row in csv.DictReader(file)
            if row["release"] == "k400"
        }
    stored = {
        e["video_id"].decode()[:11]: int(e["label"])
        for e in tfds.as_numpy(
            builder.as_dataset(
                split="validation", decoders={"video": kinetics_clips.EncodedFrames()}
            )
        )
    }
    assert stored == {row["youtube_id"]: ids[row["label"]] for row in taken}
    assert builder.info.metadata["totals"] == {
        "validation": {
            "stored": 6,
            "failed": 19_900,
            "unmatched": 0,
            "reasons": {"missing": 19_900},
        }
    }
    assert len(read_report(builder)) == 19_906


PACKAGE = Path(kinetics_clips.__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cwd", "dataset"),
    [
        (PACKAGE, []),
        (REPOSITORY, ["kinetics_clips"]),
        (None, [PACKAGE]),
        (None, [PACKAGE / "kinetics_clips_dataset_builder.py"]),
    ],
    ids=["inside", "repository", "directory", "module"],
)
def test_tfds_build_by_path_and_by_json(tmp_path, cwd, dataset):
    """The other doors of TFDS's own command, on the tiny fake of the sources."""
    config = '{"release": "k400", "short_side": 32, "jpeg_quality": 50}'
    done = run_tensorflow(
        *(TFDS, "build", *dataset, "--config", config),
        *("--manual_dir", DUMMY_DATA, "--data_dir", tmp_path),
        cwd=cwd or tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ds = tfds.load("kinetics_clips/k400_32px_q50", split="train", data_dir=tmp_path)
    assert {e["video"].shape[1:] for e in tfds.as_numpy(ds)} == {(32, 43, 3)}


@pytest.mark.slow
def test_both_commands_build_the_same(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for command in (
        [
            *(TFDS.with_name("kinetics-clips"), "build", "k400", "--allow-missing"),
            *("--manual-dir", DUMMY_DATA, "--data-dir", ours),
        ],
        [
            *(TFDS, "build", "kinetics_clips/k400", "--imports", "kinetics_clips"),
            *("--manual_dir", DUMMY_DATA, "--data_dir", theirs),
        ],
    ):
        done = run_tensorflow(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one = tfds.builder("kinetics_clips/k400", data_dir=ours)
    other = tfds.builder("kinetics_clips/k400", data_dir=theirs)
    assert read_report(one) == read_report(other)
    assert one.info.splits.keys() == {"train", "validation", "test"}
    for split in one.info.splits.values():
        for path in map(Path, split.filepaths):
            same = Path(other.data_path) / path.name
            assert path.read_bytes() == same.read_bytes()
