import contextlib
import logging
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import filelock
import numpy as np
import psutil
import pytest
import simplejpeg
import tensorflow_datasets as tfds
from conftest import (
    DUMMY_DATA,
    HEIGHT,
    WIDTH,
    build,
    read_report,
    workers_of,
    write_tree,
)

import kinetics_clips
from kinetics_clips.command import synthetic
from kinetics_clips.kinetics_clips_dataset_builder import Builder
from kinetics_clips.store import tfrecords
from kinetics_clips.write import workers
from kinetics_clips.write.config import KineticsClipsConfig


@pytest.mark.slow
class KineticsClipsTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks: registration, schema, counts, reload, no shared examples."""

    DATASET_CLASS = Builder
    EXAMPLE_DIR = str(DUMMY_DATA)
    BUILDER_CONFIG_NAMES_TO_TEST = ("k400", "k700_2020", "folder")
    SPLITS = {"train": 3, "validation": 1, "test": 1}  # noqa: RUF012


def statuses(builder) -> dict[str, tuple[str, str]]:
    return {
        row["filename"]: (row["status"], row["reason"]) for row in read_report(builder)
    }


def test_builder_refuses_less_than_one_worker(tmp_path):
    with pytest.raises(ValueError, match=r"`num_workers` must be .* got 0"):
        Builder(config="folder", data_dir=tmp_path, num_workers=0)


def test_a_config_that_equals_a_built_in_one_is_that_one(tmp_path):
    builder = Builder(config=KineticsClipsConfig(release="k400"), data_dir=tmp_path)
    assert builder.info.full_name == "kinetics_clips/k400/2.0.0"
    with pytest.raises(ValueError, match=r"`name` must be another .* got 'k400'"):
        Builder(
            config=KineticsClipsConfig(name="k400", release="k400", short_side=64),
            data_dir=tmp_path,
        )


def test_schema(builder):
    features = builder.info.features
    assert set(features) == {
        "video",
        "label",
        "video_id",
        "filename",
        "num_frames",
        "height",
        "width",
        "fps",
    }
    assert features["video"].feature.encoding_format == "jpeg"
    assert features["fps"].np_dtype == np.float32
    assert builder.info.supervised_keys == ("video", "label")
    assert "kay2017kinetics" in builder.info.citation
    assert builder.info.description and builder.info.homepage


def test_stored_examples_are_the_videos(builder):
    examples = list(tfds.as_numpy(builder.as_dataset(split="train")))
    for example in examples:
        num_frames = len(example["video"])
        assert example["video"].shape == (num_frames, HEIGHT, WIDTH, 3)
        assert [synthetic.read_number(f) for f in example["video"]] == list(
            range(num_frames)
        )
        assert (example["num_frames"], example["height"], example["width"]) == (
            num_frames,
            HEIGHT,
            WIDTH,
        )
        assert example["fps"] == pytest.approx(30, rel=1e-3)
        video_id = example["video_id"].decode()
        assert example["filename"].decode() == f"train/{video_id}.mp4"
        label = kinetics_clips.label_name(builder.info, example["label"])
        assert label == video_id.split("/")[0]
    assert {len(example["video"]) for example in examples} == {90, 20, 64, 70}


@pytest.mark.slow
def test_a_red_square_comes_back_red(tmp_path):
    import cv2

    path = tmp_path / "videos/train/red/square.avi"
    path.parent.mkdir(parents=True)
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 30, (64, 64))
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[16:48, 16:48] = (0, 0, 255)  # OpenCV writes blue, green, red
    writer.write(frame)
    writer.release()
    build(tmp_path / "videos", tmp_path / "data")
    (example,) = tfds.load(
        "kinetics_clips/folder", split="train", data_dir=tmp_path / "data"
    )
    square = example["video"].numpy()[0, 24:40, 24:40].astype(int)
    assert np.abs(square - (255, 0, 0)).max() < 20


@pytest.mark.slow
def test_bad_videos_end_no_build(tmp_path, caplog):
    root = tmp_path / "videos"
    odd = ["two words", 'it\'s "quoted"', "(1)", "größe 泳ぐ"]
    write_tree(root, "train", {f"a class (1)/{name}": 6 for name in odd})
    write_tree(root, "train", {"a class (1)/cut": 60})
    folder = root / "train/a class (1)"
    content = (folder / "cut.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    synthetic.write_video(folder / "half.webm", 60, height=96, width=128)
    content = (folder / "half.webm").read_bytes()
    (folder / "half.webm").write_bytes(content[: len(content) // 2])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("hello")
    (folder / "._x.mp4").write_bytes(content)
    shutil.copy(folder / "(1).mp4", os.fsencode(folder / "bad") + b"\xe9.mp4")
    (root / "train/stray.mp4").write_bytes(content)
    # A split of which nothing can be stored is left out, and still reported.
    (root / "val/a").mkdir(parents=True)
    (root / "val/a/empty.mp4").touch()

    caplog.set_level(logging.INFO)
    builder = build(root, tmp_path / "data")
    at = "train/a class (1)/"
    assert statuses(builder) == {
        **{f"{at}{name}.mp4": ("stored", "") for name in odd},
        f"{at}half.webm": ("stored", "truncated"),
        f"{at}cut.mp4": ("failed", "not a video"),
        f"{at}empty.mp4": ("failed", "empty"),
        f"{at}text.mp4": ("failed", "not a video"),
        f"{at}bad\\xe9.mp4": ("failed", "unreadable name"),
        "train/stray.mp4": ("unmatched", "not in a class folder"),
        "val/a/empty.mp4": ("failed", "empty"),
    }
    for name in ("cut.mp4", "empty.mp4", "text.mp4", "bad\\xe9.mp4"):
        assert f"train: {at}{name}: " in caplog.text
    assert "validation: left out" in caplog.text
    assert set(builder.info.splits) == {"train"}
    assert builder.info.metadata["totals"]["train"] == {
        "stored": 5,
        "failed": 4,
        "unmatched": 1,
        "reasons": {
            "truncated": 1,
            "not a video": 2,
            "empty": 1,
            "unreadable name": 1,
            "not in a class folder": 1,
        },
    }
    reread = tfds.builder_from_directory(builder.data_dir)
    assert reread.info.metadata["totals"] == builder.info.metadata["totals"]
    stored = [
        e["video_id"].decode() for e in tfds.as_numpy(reread.as_dataset()["train"])
    ]
    assert sorted(stored) == sorted(f"a class (1)/{name}" for name in [*odd, "half"])


def test_report_rows_of_stored_videos_measure_them(builder):
    row = next(row for row in read_report(builder) if row["video_id"] == "red/long")
    sizes = {
        e["video_id"].decode(): sum(map(len, e["video"]))
        for e in tfds.as_numpy(
            builder.as_dataset(
                split="train", decoders={"video": kinetics_clips.EncodedFrames()}
            )
        )
    }
    assert row == {
        "split": "train",
        "video_id": "red/long",
        "label": "red",
        "filename": "train/red/long.mp4",
        "status": "stored",
        "reason": "",
        "detail": "",
        "num_frames": "70",
        "height": str(HEIGHT),
        "width": str(WIDTH),
        "fps": "30.0",
        "bytes": str(sizes["red/long"]),
        "notes": "",
    }


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no video"])
@pytest.mark.parametrize("splits", [["train"], ["train", "val"]])
def test_nothing_to_store_is_an_error(tmp_path, splits, content):
    for split in splits:
        (tmp_path / "videos" / split / "a").mkdir(parents=True)
        (tmp_path / "videos" / split / "a/bad.mp4").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"at least one video that can be stored, got train: 0 stored, 1",
    ):
        build(tmp_path / "videos", tmp_path / "data")
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


@pytest.mark.slow
def test_a_builder_can_build_again_with_other_classes(tmp_path):
    write_tree(tmp_path / "videos", "train", {"b/one": 2})
    (tmp_path / "videos/val").mkdir()
    builder = Builder(config="folder", data_dir=tmp_path)
    config = tfds.download.DownloadConfig(
        manual_dir=tmp_path / "videos",
        download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS,
    )
    (tmp_path / "videos/val/stray.mp4").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"one video in a class folder of validation, got none"
    ):
        builder.download_and_prepare(download_config=config)
    write_tree(tmp_path / "videos", "val", {"a/two": 2})
    for names in (["a", "b"], ["a", "b", "c"]):
        write_tree(tmp_path / "videos", "train", {f"{names[-1]}/three": 2})
        builder.download_and_prepare(download_config=config)
        again = tfds.builder_from_directory(builder.data_dir)
        assert again.info.features["label"].names == names


@pytest.mark.slow
def test_k400_has_the_official_label_ids(tmp_path):
    builder = build(DUMMY_DATA, tmp_path, config="k400")
    label = builder.info.features["label"]
    assert label.num_classes == 400
    assert label.names[:2] == ["abseiling", "air drumming"]
    labels = {
        e["video_id"].decode(): int(e["label"])
        for split in ("train", "validation", "test")
        for e in tfds.as_numpy(builder.as_dataset(split=split))
    }
    assert labels == {
        "AAAAAAAAAA0_000010_000020": 0,
        "AAAAAAAAA_1_000000_000010": 1,
        "-AAAAAAAAA2_000123_000133": 399,
        "AAAAAAAAAA3_000007_000017": 0,
        "AAAAAAAAAA4_000005_000015": -1,
    }
    assert kinetics_clips.label_name(builder.info, -1) is None
    (missing,) = (row for row in read_report(builder) if row["status"] == "failed")
    assert (missing["video_id"], missing["label"], missing["reason"]) == (
        "AAAAAAAAAA5_000001_000011",
        "zumba",
        "missing",
    )


@pytest.mark.slow
def test_max_videos_takes_the_same_first_ones(tmp_path):
    write_tree(tmp_path / "videos", "train", {f"a/{i}": 2 for i in range(8)})
    ids = []
    for count in (2, 4):
        config = KineticsClipsConfig(max_videos=count)
        builder = build(tmp_path / "videos", tmp_path, config=config)
        assert builder.info.full_name == f"kinetics_clips/folder_{count}videos/2.0.0"
        rows = read_report(builder)
        assert len(rows) == count
        ids.append({row["video_id"] for row in rows})
    assert ids[0] < ids[1]


@pytest.mark.slow
def test_settings_reach_the_frames(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    sizes = []
    for quality in (40, 95):
        config = KineticsClipsConfig(short_side=48, jpeg_quality=quality)
        builder = build(tmp_path / "videos", tmp_path, config=config, num_workers=1)
        (row,) = read_report(builder)
        assert (row["height"], row["width"]) == ("48", "64")
        assert builder.info.metadata["config"] == config.values
        sizes.append(int(row["bytes"]))
    assert sizes[0] < 0.8 * sizes[1]


@pytest.mark.slow
@pytest.mark.usefixtures("own_workers")
def test_max_examples_per_split_ends_the_workers(tmp_path):
    write_tree(tmp_path / "videos", "train", {f"a/{i}": 5 for i in range(30)})
    builder = Builder(config="folder", data_dir=tmp_path / "data")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=tmp_path / "videos", max_examples_per_split=3
        )
    )
    assert builder.info.splits["train"].num_examples == 3
    assert not workers_of(psutil.Process())


@pytest.mark.slow
def test_two_builds_store_the_same_records(tmp_path, builder, data_dir):
    manual_dir = builder.info.metadata["manual_dir"]
    again = build(manual_dir, tmp_path, num_workers=1)
    options = {"decoders": {"video": kinetics_clips.EncodedFrames()}}
    for split in ("train", "validation"):
        pairs = zip(
            tfds.as_numpy(builder.as_dataset(split=split, **options)),
            tfds.as_numpy(again.as_dataset(split=split, **options)),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_equal(one, other)
        for path in builder.info.splits[split].filepaths:
            other_path = Path(again.data_path) / os.path.basename(path)
            assert Path(path).read_bytes() == other_path.read_bytes()


def test_frames_are_serialized_without_copies(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train/a", {"v": 3})
    written, lists = [], []
    serialize = tfrecords.serialize

    def spy(others, values):
        written.append(serialize(others, values))
        lists.append(values)
        return written[-1]

    monkeypatch.setattr(tfrecords, "serialize", spy)
    builder = build(tmp_path / "videos", tmp_path / "data", num_workers=1)
    (path,) = builder.info.splits["train"].filepaths
    assert written == [bytes(record.data) for record in tfrecords.read(Path(path))]
    (frames,) = [values["video"] for values in lists]
    assert len(frames) == 3
    assert sum(map(len, frames)) == int(read_report(builder)[0]["bytes"])


def ids_of(builder, split="train") -> set[str]:
    options = {"decoders": {"video": kinetics_clips.EncodedFrames()}}
    return {
        example["video_id"].decode()
        for example in tfds.as_numpy(builder.as_dataset(split=split, **options))
    }


def records_of(builder, split="train") -> list[dict]:
    options = {"decoders": {"video": kinetics_clips.EncodedFrames()}}
    return list(tfds.as_numpy(builder.as_dataset(split=split, **options)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("release", "num_classes", "label"),
    [("k600", 600, "zumba"), ("k700", 700, "zumba"), ("k700_2020", 700, "zumba")],
)
def test_later_releases_have_their_own_label_ids(tmp_path, release, num_classes, label):
    builder = build(DUMMY_DATA, tmp_path, config=release)
    feature = builder.info.features["label"]
    assert feature.num_classes == num_classes
    labels = {e["video_id"].decode(): int(e["label"]) for e in records_of(builder)}
    assert labels["-AAAAAAAAA2_000123_000133"] == feature.names.index(label)
    assert builder.info.full_name == f"kinetics_clips/{release}/2.0.0"


@pytest.mark.slow
def test_fps_reaches_the_frames(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 30})
    config = KineticsClipsConfig(fps=10)
    builder = build(tmp_path / "videos", tmp_path, config=config)
    (example,) = tfds.as_numpy(builder.as_dataset(split="train"))
    assert [synthetic.read_number(f) for f in example["video"]] == list(range(0, 30, 3))
    assert (example["num_frames"], example["fps"]) == (10, 10)
    assert builder.info.full_name == "kinetics_clips/folder_10fps/2.0.0"


@pytest.mark.slow
def test_archives_give_the_same_records_as_loose_files(tmp_path, builder):
    source = Path(builder.info.metadata["manual_dir"])
    packed = tmp_path / "packed"
    (packed / "train").mkdir(parents=True)
    with tarfile.open(packed / "train/part_0.tar.gz", "w:gz") as tar:
        tar.add(source / "train/red", "red")
    with tarfile.open(packed / "train/blue.tar", "w") as tar:
        for path in (source / "train/blue").iterdir():
            tar.add(path, path.name)
    with tarfile.open(packed / "val.tgz", "w:gz") as tar:
        tar.add(source / "validation", ".")
    before = {path: path.stat().st_mtime_ns for path in packed.rglob("*")}
    again = build(packed, tmp_path / "data")
    for split in ("train", "validation"):
        for one, other in zip(
            records_of(builder, split), records_of(again, split), strict=True
        ):
            del one["filename"]
            assert ".t" in other.pop("filename").decode()
            np.testing.assert_equal(one, other)
    # Nothing is extracted.
    assert {path: path.stat().st_mtime_ns for path in packed.rglob("*")} == before
    assert not list((tmp_path / "data").rglob("*.mp4"))


@pytest.mark.slow
def test_a_damaged_archive_costs_what_lies_behind_the_damage(tmp_path, caplog):
    write_tree(tmp_path / "loose", "train", {f"a/{i}": 20 for i in range(6)})
    root = tmp_path / "packed"
    (root / "train").mkdir(parents=True)
    path = root / "train/a.tar"
    with tarfile.open(path, "w") as tar:
        for i in range(6):
            tar.add(tmp_path / f"loose/train/a/{i}.mp4", f"a/{i}.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    builder = build(root, tmp_path / "data")
    stored = ids_of(builder)
    assert 0 < len(stored) < 6
    assert "1 archive could not be read to the end: train/a.tar" in caplog.text
    assert statuses(builder)["train/a.tar"] == ("unmatched", "unreadable")


def test_copies_as_they_are_are_stored_whole_and_reported_by_rule(tmp_path):
    """The tables of docs/guides: which frames are stored of each, and its row."""
    root, packed = tmp_path / "videos", tmp_path / "packed"
    names = [
        "clip.avi",
        "clip.mp4",
        "ID.mp4",
        "ID.f137.mp4",
        "other.mp4",
        "cafe\u0301.mp4",
    ]
    names += ["deep/er/x.mp4", "other (1).mp4", "2.f137.mp4", "caf\u00e9.mp4"]
    loose = {f"train/a/{name}": number for number, name in enumerate(names, 1)}
    inside = {f"{number}.mp4": number for number in range(20, 25)}
    for folder, videos in ((root, loose), (packed, inside)):
        for name, number in videos.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            synthetic.write_video(
                folder / name, 3, height=64, width=96, first_number=10 * number
            )
    shutil.copy(root / "train/a/ID.mp4", root / "train/a/ID (1).mp4")
    for name in ("all.rar", "b.mp4.part", "c.swf"):
        (root / "train/a" / name).write_bytes(b"x")

    def tar(suffix: str, *members: str) -> bytes:
        path = packed / f"x.tar{suffix}"
        with tarfile.open(path, f"w:{suffix[1:]}") as archive:
            for member in members:
                archive.add(packed / member, f"b/{member}")
            link = tarfile.TarInfo(f"b/link to {members[0]}")
            link.type, link.linkname = tarfile.SYMTYPE, members[0]
            archive.addfile(link)
        return path.read_bytes()

    (root / "train/joined.tar.gz").write_bytes(
        tar(".gz", "20.mp4") + tar(".gz", "21.mp4")
    )
    (root / "train/one.tar.xz").write_bytes(tar(".xz", "22.mp4", "23.mp4"))
    with zipfile.ZipFile(root / "train/b.zip", "w") as archive:
        archive.write(packed / "24.mp4", "24.mp4")
    builder = build(root, tmp_path / "data")
    spec = kinetics_clips.ClipSpec(length=1)
    source = kinetics_clips.ClipSource(builder, "train", spec, seed=0)
    numbers = {}
    for index in range(len(source)):
        clip = source[index]
        number = synthetic.read_number(clip["video"][0])
        numbers[clip["video_id"].decode()] = number // 10
    assert numbers == {
        "a/clip": 1,
        "a/clip.mp4": 2,
        "a/ID": 3,
        "a/other": 5,
        "a/other (1)": 8,
        "a/caf\u00e9": 6,
        "a/caf\u00e9.mp4": 10,
        "a/deep/er/x": 7,
        "a/2.f137": 9,
        **{f"b/{name.removesuffix('.mp4')}": number for name, number in inside.items()},
        "b/link to 20": 20,
        "b/link to 21": 21,
        "b/link to 22": 22,
    }
    rows = read_report(builder)
    at = "train/a/"
    unmatched = {
        row["filename"]: (row["reason"], row["detail"])
        for row in rows
        if row["status"] == "unmatched"
    }
    assert unmatched == {
        f"{at}ID.f137.mp4": ("leftover", f"of the download of {at}ID.mp4"),
        f"{at}ID (1).mp4": ("duplicate", f"the same as {at}ID.mp4"),
        f"{at}all.rar": ("archive not read: .rar", "unpack it"),
        f"{at}b.mp4.part": ("unfinished download", "finish it, or remove it"),
        f"{at}c.swf": (
            "format not read: .swf", "convert it, as by ffmpeg -i OLD NEW.mp4"),
    }  # fmt: skip
    assert {row["filename"]: row["notes"] for row in rows if row["notes"]} == {
        f"{at}clip.mp4": "another video has the same name",
        f"{at}caf\u00e9.mp4": "another video has the same name",
        f"{at}other (1).mp4": "named like a copy of another video",
        f"{at}2.f137.mp4": "named like a leftover of a download",
        f"{at}deep/er/x.mp4": "lies in a folder below that of its class",
    }


@pytest.mark.slow
def test_duplicates_are_resolved_before_the_work_starts(tmp_path, caplog):
    write_tree(tmp_path / "videos", "train", {"a/one": 5, "a/two": 6})
    source = tmp_path / "videos/train/a"
    shutil.copy(source / "one.mp4", source / "one.avi")
    builder = build(tmp_path / "videos", tmp_path / "data")
    assert ids_of(builder) == {"a/one", "a/two"}
    assert statuses(builder)["train/a/one.mp4"] == ("unmatched", "duplicate")
    assert "another file of the same video is used: train/a/one.mp4" in caplog.text


def test_other_values_under_a_name_are_an_error_that_shows_both(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    config = KineticsClipsConfig(name="my_lab")
    build(tmp_path / "videos", tmp_path, config=config)
    build(tmp_path / "videos", tmp_path, config=config)  # the same values: used again
    with pytest.raises(
        ValueError,
        match=r"`name` must be one .* got 'my_lab': asked for .*'jpeg_quality': 60"
        r".*/my_lab/2\.0\.0 was built with .*'jpeg_quality': 85",
    ):
        build(
            tmp_path / "videos",
            tmp_path,
            config=KineticsClipsConfig(name="my_lab", jpeg_quality=60),
        )


OVERWRITE = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS


def overwrite(builder, manual_dir):
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual_dir, download_mode=OVERWRITE
        )
    )


@pytest.mark.slow
def test_overwriting_takes_the_place_at_the_end(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    builder = build(tmp_path / "videos", tmp_path / "data")
    (tmp_path / "videos/train/a/one.mp4").unlink()
    write_tree(tmp_path / "videos", "train", {"b/two": 3})
    encode = Builder.encode
    seen = []

    def encode_and_look(*args, **kwargs):
        old = tfds.builder("kinetics_clips/folder", data_dir=tmp_path / "data")
        seen.append(ids_of(old))
        yield from encode(*args, **kwargs)

    monkeypatch.setattr(Builder, "encode", encode_and_look)
    again = Builder(config="folder", data_dir=tmp_path / "data")
    overwrite(again, tmp_path / "videos")
    assert seen and all(ids == {"a/one"} for ids in seen)
    for each in (again, tfds.builder_from_directory(builder.data_dir)):
        assert ids_of(each) == {"b/two"}
        assert each.info.features["label"].names == ["a", "b"]
    assert os.listdir(again.data_path.parent) == ["2.0.0"]


def test_overwriting_that_fails_leaves_the_old_dataset(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    builder = build(tmp_path / "videos", tmp_path / "data")

    def break_down(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(Builder, "encode", break_down)
    again = Builder(config="folder", data_dir=tmp_path / "data")
    with pytest.raises(OSError, match="the disk is full"):
        overwrite(again, tmp_path / "videos")
    assert ids_of(tfds.builder_from_directory(builder.data_dir)) == {"a/one"}
    assert os.listdir(builder.data_path.parent) == ["2.0.0"]


@pytest.mark.slow
def test_directories_are_those_of_the_first_moment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    monkeypatch.chdir(tmp_path)
    builders = [
        Builder(config="folder", data_dir=data_dir, resume_dir=resume_dir)
        for data_dir, resume_dir in (("one", "kept"), ("~/two", "~/kept_2"))
    ]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for builder in builders:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir="~/videos")
        )
        assert builder.info.metadata["manual_dir"] == str(tmp_path / "videos")
        assert ids_of(builder) == {"a/one"}
    assert os.listdir() == []
    assert {"one", "two"} <= set(os.listdir(tmp_path))
    assert not set(os.listdir(tmp_path)) & {"~", "kept", "kept_2"}


@pytest.mark.slow
def test_a_swap_that_was_killed_is_finished(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    builder = build(tmp_path / "videos", tmp_path / "data")
    config = Path(builder.data_path).parent
    (config / "2.0.0").rename(config / "incomplete.new_2.0.0")
    (config / "incomplete.replaced_2.0.0").mkdir()
    again = build(tmp_path / "nowhere", tmp_path / "data")
    assert ids_of(again) == {"a/one"}
    assert again.info.metadata == builder.info.metadata


@pytest.mark.slow
def test_loading_never_builds_beside_another_version(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    built = build(tmp_path / "videos", tmp_path / "data")
    for version in ("2.0.9", "2.0.10"):
        shutil.copytree(built.data_dir, Path(built.data_dir).with_name(version))
    manual_dir = (
        tmp_path / "data/downloads/manual"
    )  # which TFDS takes where none is given
    write_tree(manual_dir, "train", {"a/other": 2})
    monkeypatch.setattr(Builder, "VERSION", tfds.core.Version("2.1.0"))
    with pytest.raises(
        ValueError,
        match=r"got none: kinetics_clips/folder 2\.1\.0 is not in .*/folder, but "
        r"2\.0\.0, 2\.0\.9, 2\.0\.10 is\. Read that one as "
        r'"kinetics_clips/folder:2\.0\.10"',
    ):
        tfds.load("kinetics_clips/folder", data_dir=tmp_path / "data")
    assert not (Path(built.data_dir).parent / "2.1.0").exists()
    old = tfds.builder("kinetics_clips/folder:2.0.0", data_dir=tmp_path / "data")
    assert ids_of(old) == {"a/one"}
    assert ids_of(build(manual_dir, tmp_path / "data")) == {"a/other"}
    assert ids_of(build(None, tmp_path / "data")) == {"a/other"}


def test_nothing_but_no_version_is_built_from_the_usual_place(tmp_path):
    write_tree(tmp_path / "downloads/manual", "train", {"a/one": 2})
    tfds.load("kinetics_clips/folder", data_dir=tmp_path)
    assert ids_of(tfds.builder("kinetics_clips/folder", data_dir=tmp_path)) == {"a/one"}


@pytest.mark.parametrize("num_shards", [1, 3])
def test_num_shards_is_passed_on(tmp_path, num_shards):
    write_tree(tmp_path / "videos", "train", {"a/1": 2, "a/2": 2, "a/3": 2})
    builder = build_in_shards(tmp_path, num_shards)
    assert builder.info.splits["train"].num_shards == num_shards


def build_in_shards(tmp_path, num_shards):
    download = {"num_shards": num_shards}
    return build(tmp_path / "videos", tmp_path / "data", download, num_workers=1)


def test_more_shards_than_videos_are_refused_before_the_work(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/1": 2, "a/2": 2})
    write_tree(tmp_path / "videos", "test", {"a/1": 2})
    with pytest.raises(ValueError, match=r"`num_shards` must.* got 2, and 1 in test"):
        build_in_shards(tmp_path, 2)


def test_more_shards_than_stored_videos_are_an_error(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/1": 2, "a/2": 2})
    (tmp_path / "videos/train/a/bad.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(ValueError, match=r"can be stored, got 3, and 2 in train"):
        build_in_shards(tmp_path, 3)


def test_nothing_is_built_on_an_object_store(tmp_path, monkeypatch):
    builder = Builder(config="folder", data_dir=tmp_path)
    monkeypatch.setattr(builder, "_data_dir_root", "gs://bucket/tfds")
    with pytest.raises(ValueError, match="directory to build in, got gs://bucket/tfds"):
        builder.download_and_prepare()
    assert not list(tmp_path.iterdir())


def test_array_records_are_read_by_tfds_alone(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 3, "b/two": 2})
    built = build(tmp_path / "videos", tmp_path / "data", file_format="array_record")
    assert not list(Path(built.data_path).glob("*.frame_index"))
    dataset = {"name": "kinetics_clips/folder", "data_dir": tmp_path / "data"}
    frames = {"video": kinetics_clips.EncodedFrames()}
    source = tfds.data_source(**dataset, split="train", decoders=frames)
    decoded = tfds.data_source(**dataset, split="train")
    assert len(source) == 2
    for example, whole in zip(source, decoded, strict=True):
        assert example["video"].shape == (example["num_frames"],)
        jpegs = [simplejpeg.decode_jpeg(jpeg) for jpeg in example["video"]]
        np.testing.assert_array_equal(jpegs, whole["video"])
    for read in (kinetics_clips.ClipSource, kinetics_clips.load_clips):
        with pytest.raises(
            ValueError, match=r"TFRecords.* got array_record .*data_source"
        ):
            read(built, "train", kinetics_clips.ClipSpec(length=2))


def test_left_overs_of_dead_builds_are_named(tmp_path, caplog):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    config = tmp_path / "a dir/kinetics_clips/folder"
    for name in ("incomplete.DEAD00_2.0.0", "incomplete.ALIVE0_2.0.0"):
        (config / name).mkdir(parents=True)
        (config / name / "bucket.tmp").write_bytes(b"x" * 2048)
    caplog.set_level(logging.INFO)
    with filelock.FileLock(config / "incomplete.ALIVE0_2.0.0/.building"):
        build(tmp_path / "videos", tmp_path / "a dir")
    dead = config / "incomplete.DEAD00_2.0.0"
    assert f"Remove its 2.00 KiB: rm -r '{dead}'" in caplog.text
    assert f"{config / 'incomplete.ALIVE0_2.0.0'}: another build is" in caplog.text
    assert caplog.text.count("left over from a build that died") == 1
    assert dead.exists()  # only named
    assert not (config / "2.0.0/.building").exists()


@pytest.mark.slow
def test_a_build_goes_on_with_what_was_kept(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train", {f"a/{i}": 5 for i in range(8)})
    whole = build(tmp_path / "videos", tmp_path / "whole")
    options = {"data_dir": tmp_path / "data", "resume_dir": tmp_path / "kept"}
    builder = Builder(config="folder", **options)
    to_encode = builder.select(builder.scan(tmp_path / "videos").splits[0])
    with contextlib.closing(builder.encode(to_encode, num_at_once=1)) as results:
        done = [next(results)[0].annotation.video_id for _ in range(4)]
    builder._encoder._store.close()

    decoded = []
    encode_all = workers.Pool.encode_all

    def encode_and_note(*args):
        for video, result in encode_all(*args):
            decoded.append(video.annotation.video_id)
            yield video, result

    monkeypatch.setattr(workers.Pool, "encode_all", encode_and_note)
    again = Builder(config="folder", **options)
    again.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / "videos")
    )
    assert sorted([*done, *decoded]) == sorted(ids_of(whole))
    for one, other in zip(records_of(whole), records_of(again), strict=True):
        np.testing.assert_equal(one, other)
    assert read_report(whole) == read_report(again)
    assert not (tmp_path / "kept").exists()


def test_kept_frames_of_other_settings_are_refused(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 5})
    options = {"data_dir": tmp_path / "data", "resume_dir": tmp_path / "kept"}
    one = Builder(config="folder", **options)
    list(one.encode(one.select(one.scan(tmp_path / "videos").splits[0])))
    one._encoder._store.close()
    with pytest.raises(ValueError, match=r"kept keeps videos of an interrupted build"):
        build(
            tmp_path / "videos",
            config=KineticsClipsConfig(jpeg_quality=60),
            **options,
        )
