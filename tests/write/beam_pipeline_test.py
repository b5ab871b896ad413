"""Builds by Beam's own runner, with two worker processes."""

import logging
import shutil
import sys
import tarfile
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions
from conftest import build, read_report, write_tree
from processes import run_tensorflow

import kinetics_clips
from kinetics_clips.write import beam_pipeline, frames, videos


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory) -> Path:
    """Loose videos, an archive, bad videos, and a split."""
    root = tmp_path_factory.mktemp("videos")
    write_tree(root, "train", {"a/one": 5, "b/two": 3, "b/three": 4})
    (root / "train/a/bad.mp4").write_bytes(b"no video" * 100)
    (root / "train/b/empty.mp4").touch()
    write_tree(root, "packed", {"a/four": 6, "a/five": 2})
    (root / "packed/a/bad_too.mp4").write_bytes(b"no video either" * 100)
    with tarfile.open(root / "train/part_0.tar", "w") as tar:
        tar.add(root / "packed/a", arcname="a")
    shutil.rmtree(root / "packed")
    write_tree(root, "val", {"a/six": 7})
    return root


@pytest.fixture(scope="module")
def local(tmp_path_factory, manual_dir):
    return build(manual_dir, tmp_path_factory.mktemp("local"), num_workers=1)


def records(builder, split: str) -> dict[bytes, dict]:
    decoders = {"video": kinetics_clips.EncodedFrames()}
    ds = builder.as_dataset(split=split, decoders=decoders)
    return {example["video_id"]: example for example in tfds.as_numpy(ds)}


def assert_same(one, other) -> None:
    for split in ("train", "validation"):
        np.testing.assert_equal(records(one, split), records(other, split))
    assert read_report(one) == read_report(other)
    for key in ("totals", "config", "manual_dir"):
        assert one.info.metadata[key] == other.info.metadata[key]


@pytest.mark.slow
def test_a_pipeline_builds_what_one_machine_builds(tmp_path, manual_dir, local):
    builder = build(manual_dir, tmp_path, {"beam_runner": "FnApiRunner"})
    assert len(records(builder, "train")) == 5
    assert_same(local, builder)
    names = {path.name for path in Path(builder.data_path).iterdir()}
    assert not {name for name in names if name.startswith("report_rows")}
    assert "train.frame_index" in names
    spec = kinetics_clips.ClipSpec(length=2)
    assert len(kinetics_clips.ClipSource(builder, "train", spec)) == 5


@pytest.mark.slow
def test_tfds_build_passes_a_pipeline_of_two_processes_on(tmp_path, manual_dir, local):
    done = run_tensorflow(
        Path(sys.executable).with_name("tfds"),
        *("build", "kinetics_clips/folder", "--imports", "kinetics_clips"),
        *("--manual_dir", manual_dir, "--data_dir", tmp_path),
        "--beam_pipeline_options=runner=FnApiRunner,direct_num_workers=2,"
        "direct_running_mode=multi_processing",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert_same(local, tfds.builder("kinetics_clips/folder", data_dir=tmp_path))


def test_counters_count_and_rows_are_taken(tmp_path, manual_dir):
    (train, _), settings = (
        videos.find(manual_dir, "folder").splits,
        frames.EncodeSettings(short_side=None, jpeg_quality=85),
    )
    good = [video for video in train.videos if video.problem is None]
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam_pipeline.examples(good, settings, to_number, tmp_path, "train")
    result = pipeline.run()
    result.wait_until_finish()
    counters = {
        counter.key.metric.name: counter.committed
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.namespace == beam_pipeline.NAMESPACE
    }
    assert counters == {"stored": 5, "failed": 2}
    rows = beam_pipeline.take_rows(tmp_path)
    assert sorted((row.filename, row.reason, row.num_frames) for row in rows) == [
        ("train/a/bad.mp4", "not a video", ""),
        ("train/a/one.mp4", "", 5),
        ("train/b/three.mp4", "", 4),
        ("train/b/two.mp4", "", 3),
        ("train/part_0.tar/a/bad_too.mp4", "not a video", ""),
        ("train/part_0.tar/a/five.mp4", "", 2),
        ("train/part_0.tar/a/four.mp4", "", 6),
    ]
    assert not list(tmp_path.iterdir())


def to_number(video, encoded) -> dict:
    return {"num_frames": encoded.num_frames}


def test_nothing_to_store_is_an_error(tmp_path):
    (tmp_path / "videos/train/a").mkdir(parents=True)
    (tmp_path / "videos/train/a/bad.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(ValueError, match="at least one video that can be stored"):
        prepare(tmp_path, beam_runner="FnApiRunner")


def prepare(tmp_path, resume_dir=None, **download) -> None:
    build(tmp_path / "videos", tmp_path / "data", download, resume_dir=resume_dir)


@pytest.mark.parametrize(
    ("config", "got"),
    [
        ({"beam_runner": "DirectRunner"}, ".*DirectRunner"),
        ({"beam_runner": beam.runners.DirectRunner()}, ".*DirectRunner"),
        ({"beam_runner": "TestDirectRunner"}, "TestDirectRunner"),
        ({"beam_runner": "bundlebaseddirect"}, "BundleBasedDirectRunner"),
        ({"beam_options": PipelineOptions(["--direct_num_workers=2"])}, "None"),
        ({"beam_options": PipelineOptions(["--runner=direct"])}, ".*DirectRunner"),
    ],
)
def test_a_runner_must_be_named(tmp_path, config, got):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    with pytest.raises(ValueError, match=rf"`runner` must be .*, got {got}: Beam"):
        prepare(tmp_path, **config)
    assert not list((tmp_path / "data").rglob("incomplete.*"))


def test_a_pipeline_resumes_nothing(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    with pytest.raises(ValueError, match="`resume_dir` must be None where a Beam"):
        prepare(tmp_path, resume_dir=tmp_path / "kept", beam_runner="FnApiRunner")


def test_a_pipeline_takes_what_it_can_keep_to(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    with pytest.raises(ValueError, match="`max_examples_per_split` must be None"):
        prepare(tmp_path, beam_runner="FnApiRunner", max_examples_per_split=1)
    with pytest.raises(ValueError, match="Unexpected pipeline runner: Nonsense"):
        prepare(tmp_path, beam_runner="Nonsense")


def test_failures_are_logged_by_name(tmp_path, manual_dir, caplog):
    caplog.set_level(logging.WARNING)
    settings = frames.EncodeSettings(short_side=None, jpeg_quality=85)
    train = videos.find(manual_dir, "folder").splits[0]
    bad = [v for v in train.videos if v.problem is None and "bad" in v.filename]
    list(beam_pipeline._encode(bad, settings, to_number))
    assert "train/a/bad.mp4: not a video" in caplog.text


def test_a_bug_ends_a_pipeline(manual_dir):
    """It is no row of the report: the runner tries again, and fails with the trace."""
    (split, *_) = videos.find(manual_dir, "folder").splits
    good = [video for video in split.videos if video.filename.endswith("one.mp4")]
    settings = frames.EncodeSettings(short_side="256", jpeg_quality=85)
    with pytest.raises(TypeError, match=r"'>' not supported") as raised:
        list(beam_pipeline._encode(good, settings, lambda video, encoded: {}))
    assert "in _encode_frames" in str(raised.value.__cause__)
