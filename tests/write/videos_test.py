import collections
import io
import json
import logging
import os
import re
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_clips import wording
from kinetics_clips.write import annotations, releases, videos

KINETICS = ("k400", "k600", "k700", "k700_2020")
HEADER = "label,youtube_id,time_start,time_end,split\n"

ONE, TWO = "-_AAAA_7_17", "_-BBBB-_-_-"  # ids may hold what separates the times
ONE_ID, TWO_ID = f"{ONE}_000007_000017", f"{TWO}_000083_000093"

# A class of each release with all that copies mangle in the names of its folders.
LABELS = {
    "k400": "skiing (not slalom or crosscountry)",
    "k600": "mountain climber (exercise)",
    "k700": "passing American football (in game)",
    "k700_2020": "playing rubiks cube",
}


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def write_text(root: Path, name: str, text: str) -> None:
    touch(root, name)
    (root / name).write_text(text, encoding="utf-8")


def write_csv(root: Path, name: str, *rows: str) -> None:
    """Writes `annotations/<name>.csv`, whose split is its name."""
    lines = [f"{row},{name}\n" for row in rows]
    write_text(root, f"annotations/{name}.csv", HEADER + "".join(lines))


def write_tar(root: Path, name: str, *members: str) -> None:
    touch(root, name)
    with tarfile.open(root / name, "w" if name.endswith(".tar") else "w:gz") as archive:
        for member in members:
            info = tarfile.TarInfo(member)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))


def find(root: Path, release: str) -> tuple[dict[str, videos.Split], videos.Found]:
    found = videos.find(root, release)
    return {split.name: split for split in found.splits}, found


def find_one(root: Path, release: str) -> videos.Split:
    """Finds the only split; checks that nothing else was met."""
    found = videos.find(root, release)
    (split,) = found.splits
    assert found.unmatched == {}
    return split


def by_id(split: videos.Split) -> dict[str, str]:
    files = {video.annotation.video_id: video.filename for video in split.videos}
    assert len(files) == len(split.videos)
    return files


def reasons(unmatched: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: reason for name, (reason, _) in unmatched.items()}


def labels(split: videos.Split) -> dict[str, str | None]:
    return {video.annotation.video_id: video.annotation.label for video in split.videos}


# How copies of Kinetics spell a class in the names of folders and archives.
SPELLED = {
    "crawler": lambda name: name,
    "mmaction2": lambda name: name.replace(" ", "_"),
    "torchvision": lambda name: name.translate(str.maketrans(" ", "_", "'()")),
    "dashes for parentheses": lambda name: (
        name.replace(" ", "_").replace("(", "-").replace(")", "-")
    ),
    "escaped for URLs": lambda name: name.replace("(", "_(").replace(" ", "+"),
    "upper case": str.upper,
    "no blanks": lambda name: name.replace(" ", ""),
}

CSV_LAYOUTS = {
    "CVDF flat": "train/{id}_000007_000017.mp4",
    "at the root": "{id}_000007_000017.mp4",
    "crawler": "train/{label}/{id}_000007_000017.mp4",
    "mmaction2": "videos_train/{mangled}/{id}_000007_000017.mp4",
    "FiftyOne": "train/{label}/{id}_000007_000017.mp4",
    "no class of the release": "train/_unlabeled/{id}_000007_000017.mp4",
    "times without zeros": "train/{id}_7_17.mp4",
    "times with a point": "train/{id}_7.0_17.0.mp4",
    "OpenDataLab, id only": "Kinetics-400/videos_train/{id}.mp4",
    "OpenDataLab, volumes": "Kinetics600/videos/vol_63/{id}_000007_000017.mp4",
    "CVDF part_120": (
        "train/home/soldanm/Documents/kinetics-dataset/k400/train/"
        "{id}_000007_000017.mp4"
    ),
    "CVDF's scripts": "k400/train/{id}_000007_000017.mp4",
    "another split in a folder's name": "test_disk/train/{id}_000007_000017.mp4",
    "replacement": (
        "replacement/replacement_for_corrupted_k400/{id}_000007_000017.mp4"
    ),
    "mkv": "train/{id}_000007_000017.mkv",
    "webm": "train/{id}.webm",
    "avi": "train_256/{id}_000007_000017.avi",
    "upper case": "Train/{id}_000007_000017.MP4",
    "archive of a part": "train/part_0.tar::{id}_000007_000017.mp4",
    "archive of a class": "train/{label}.tar.gz::{id}_000007_000017.mp4",
    "archive of CVDF's K700": "k700_train_001.tar.gz::{id}_000007_000017.mp4",
    "archive without a split": "all.tgz::some/where/{id}.mp4",
    "archive of replacements": (
        "replacement_for_corrupted_k400.tgz::"
        "replacement_for_corrupted_k400/{id}_000007_000017.mp4"
    ),
}

CLASS_LAYOUTS = {
    "crawler": "train/{label}/{id}_000007_000017.mp4",
    "mmaction2": "videos_train/{mangled}/{id}_000007_000017.mp4",
    "FiftyOne": "kinetics/train/{label}/{id}_000007_000017.avi",
    "nested": "train/home/k400/{mangled}/more/{id}_000007_000017.mp4",
    "archive of a class": "train/{label}.tar.gz::{id}_000007_000017.mp4",
    "archive and folder of a class": (
        "train/{mangled}.tar.gz::{label}/{id}_000007_000017.mp4"
    ),
    "archive of a part": "train/part_0.tar::{label}/{id}_000007_000017.mp4",
    "archive of the split": "train.tar::{mangled}/{id}_000007_000017.mp4",
    "archive at the root": "k700_train_001.tar.gz::{label}/{id}_000007_000017.mp4",
}


def lay_out(root: Path, layout: str, label: str, youtube_id: str = ONE) -> str:
    """Writes a video's file or archive; returns the name that it is found under."""
    name = layout.format(
        id=youtube_id, label=label, mangled=SPELLED["torchvision"](label)
    )
    archive, _, member = name.rpartition("::")
    if archive:
        write_tar(root, archive, member)
    else:
        touch(root, name)
    return name.replace("::", "/")


# Layouts.


@pytest.mark.parametrize("layout", CSV_LAYOUTS)
@pytest.mark.parametrize("release", KINETICS)
def test_find_kinetics_knows_layouts_with_csvs(tmp_path, release, layout):
    label = LABELS[release]
    write_csv(tmp_path, "train", f"{label},{ONE},7,17", f"{label},{TWO},83,93")
    name = lay_out(tmp_path, CSV_LAYOUTS[layout], label)
    train = find_one(tmp_path, release)
    assert train.name == "train"
    assert by_id(train) == {ONE_ID: name, TWO_ID: ""}
    assert labels(train) == {ONE_ID: label, TWO_ID: label}
    assert train.num_found == 1
    assert train.unmatched == {}


@pytest.mark.parametrize("layout", CLASS_LAYOUTS)
@pytest.mark.parametrize("release", KINETICS)
def test_find_kinetics_knows_layouts_without_csvs(tmp_path, release, layout):
    name = lay_out(tmp_path, CLASS_LAYOUTS[layout], LABELS[release])
    train = find_one(tmp_path, release)
    assert train.name == "train"
    assert by_id(train) == {ONE_ID: name}
    assert labels(train) == {ONE_ID: LABELS[release]}


@pytest.mark.parametrize(
    ("layout", "label"),
    [
        ("train/b/one.mp4", "b"),
        ("train/b (c)'s/one.mp4", "b (c)'s"),
        ("train/zumba/deep/er/one.mkv", "zumba"),
        ("train.tar::b/one.mp4", "b"),
        ("train.tar.gz::train/b/one.mp4", "b"),
        ("all.tar::train/b/one.mp4", "b"),
        ("train/part_0.tar::b/one.mp4", "b"),
        ("train/b.tar.gz::one.mp4", "b"),
        ("train/b.tgz::b/one.mp4", "b"),
        ("train/b.tgz::b/deep/one.mp4", "b"),
    ],
    ids=[
        *("folder", "punctuation", "nested", "split", "split with its folder"),
        *("all", "part", "class", "class with its folder", "class, nested"),
    ],
)
def test_find_folder_knows_layouts(tmp_path, layout, label):
    name = lay_out(tmp_path, layout, label)
    found = videos.find(tmp_path, "folder")
    (train,) = found.splits
    assert found.class_names == [label]
    assert reasons(found.unmatched) == train.unmatched == {}
    assert list(by_id(train).values()) == [name]
    assert set(labels(train).values()) == {label}


def test_find_folder_gives_archives_the_ids_of_their_unpacked_files(tmp_path):
    layouts = ["train/b.tar::one.mp4", "train/part.tar::c/two.mp4", "val.tar::d/3.mp4"]
    for layout in layouts:
        lay_out(tmp_path, layout, "")
    splits, _ = find(tmp_path, "folder")
    assert by_id(splits["train"]).keys() == {"b/one", "c/two"}
    assert by_id(splits["validation"]).keys() == {"d/3"}


def test_find_folder_reads_all_splits(tmp_path):
    touch(
        tmp_path,
        "train/b/one.mp4",
        "train/b/deep/er/two.MKV",
        "train/a/one.webm",
        "val/c/three.avi",
        "test/a/four.mov",
    )
    names, splits, unmatched = videos.find(tmp_path, "folder")
    assert names == ["a", "b", "c"]
    assert [split.name for split in splits] == ["train", "validation", "test"]
    assert by_id(splits[0]) == {
        "a/one": "train/a/one.webm",
        "b/one": "train/b/one.mp4",
        "b/deep/er/two": "train/b/deep/er/two.MKV",
    }
    assert set(labels(splits[0]).values()) == {"a", "b"}
    assert by_id(splits[1]) == {"c/three": "val/c/three.avi"}
    assert splits[2].videos[0].file.path == tmp_path / "test/a/four.mov"
    assert unmatched == {}
    assert all(split.unmatched == {} for split in splits)


def test_find_folder_puts_folders_of_one_split_together(tmp_path, caplog):
    touch(tmp_path, "val/a/one.mp4", "validation/a/one.mp4", "Valid/b/two.mp4")
    validation = find_one(tmp_path, "folder")
    assert by_id(validation) == {"a/one": "val/a/one.mp4", "b/two": "Valid/b/two.mp4"}
    assert reasons(validation.unmatched) == {"validation/a/one.mp4": "duplicate"}
    assert "another file of the same video is used: validation/a/one" in caplog.text


def test_find_folder_counts_dotfiles_and_reports_strays(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    touch(
        tmp_path,
        "train/a/one.mp4",
        "train/a/._one.mp4",
        "train/a/.hidden/two.mp4",
        "train/a/notes.md",
        "train/stray.mp4",
        "other/a/one.mp4",
        "top.mp4",
    )
    write_tar(tmp_path, "train/part.tar", "a/._two.mp4")
    (train,), unmatched = videos.find(tmp_path, "folder")[1:]
    assert by_id(train) == {"a/one": "train/a/one.mp4"}
    assert reasons(train.unmatched) == {"train/stray.mp4": "not in a class folder"}
    outside = "not below train, val or test"
    assert reasons(unmatched) == {"other/a/one.mp4": outside, "top.mp4": outside}
    assert "3 dotfiles" in caplog.text
    assert "not named like videos, passed over: " in caplog.text
    assert "1 .md" in caplog.text
    assert (
        "train: 1 video file is passed over: not in a class folder "
        "(train/<class>/...): train/stray.mp4" in caplog.text
    )
    assert "of no split: 2 video files are passed over: not below train" in caplog.text


@pytest.mark.parametrize("release", releases.RELEASES)
def test_find_passes_over_dotfiles(tmp_path, release):
    # macOS leaves `._` files beside copied ones; CVDF's K600 has some in archives.
    write_csv(tmp_path, "train", f"{LABELS.get(release, 'zumba')},{ONE},7,17")
    folder = f"train/{LABELS.get(release, 'zumba')}"
    touch(tmp_path, f"{folder}/{ONE_ID}.mp4", f"{folder}/._{ONE_ID}.mp4")
    touch(tmp_path, "annotations/._train.csv")
    write_tar(tmp_path, f"{folder}.tar.gz", f"._{ONE_ID}.mp4", f".x/{ONE_ID}.mp4")
    train = find_one(tmp_path, release)
    assert list(by_id(train).values()) == [f"{folder}/{ONE_ID}.mp4"]
    assert train.unmatched == {}


def test_find_folder_takes_the_names_of_empty_class_folders(tmp_path):
    touch(tmp_path, "train/b/one.mp4")
    (tmp_path / "train" / "a").mkdir()
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "VAL" / "c").mkdir(parents=True)
    splits, found = find(tmp_path, "folder")
    assert found.class_names == ["a", "b", "c"]
    assert splits["validation"].videos == []


@pytest.mark.parametrize(
    "name", [" padded ", os.fsdecode(b"\xe9")], ids=["padded", "not UTF-8"]
)
def test_find_folder_refuses_class_names_that_would_change(tmp_path, name):
    touch(tmp_path, f"train/{name}/one.mp4")
    message = r"class folder's name must be .* got " + re.escape(repr(name))
    with pytest.raises(ValueError, match=message):
        videos.find(tmp_path, "folder")


def test_find_folder_takes_class_names_of_archives_too(tmp_path):
    write_tar(tmp_path, "train.tar", " padded /one.mp4")
    with pytest.raises(ValueError, match=r"class folder's name must be .* ' padded '"):
        videos.find(tmp_path, "folder")


@pytest.mark.parametrize("release", releases.RELEASES)
def test_find_of_an_empty_directory_finds_nothing(tmp_path, release):
    found = videos.find(tmp_path, release)
    names = [] if release == "folder" else annotations.labels_of(release).names
    assert found == (names, [], {})


@pytest.mark.parametrize("release", releases.RELEASES)
def test_find_raises_where_there_is_no_directory(tmp_path, release):
    with pytest.raises(FileNotFoundError, match="absent"):
        videos.find(tmp_path / "absent", release)


# Splits.


@pytest.mark.parametrize(
    "word", ["val", "validate", "validation", "valid", "Val", "VALIDATION"]
)
def test_find_knows_every_word_for_validation(tmp_path, word):
    text = f"{HEADER}zumba,{ONE},7,17,{word}\n"
    write_text(tmp_path / "column", "kinetics.csv", text)
    write_text(tmp_path / "csv", f"kinetics_{word}.csv", text.replace(word, ""))
    write_text(tmp_path / "both", f"{word}.csv", text.replace(f",{word}", ",validate"))
    for root in ("column", "csv", "both"):
        touch(tmp_path / root, f"{word}/{ONE_ID}.mp4")
    touch(tmp_path / "folder", f"{word}/zumba/{ONE_ID}.mp4")
    touch(tmp_path / "part", f"videos_{word}_256/zumba/{ONE_ID}.mp4")
    write_tar(tmp_path / "archive", f"k400_{word}.tar", f"zumba/{ONE_ID}.mp4")
    for root in ("column", "csv", "both", "folder", "part", "archive"):
        validation = find_one(tmp_path / root, "k400")
        assert validation.name == "validation", root
        assert validation.num_found == 1, root
        assert labels(validation) == {ONE_ID: "zumba"}, root
    folder = find_one(tmp_path / "folder", "folder")
    assert by_id(folder) == {f"zumba/{ONE_ID}": f"{word}/zumba/{ONE_ID}.mp4"}


def test_find_kinetics_takes_all_splits_from_one_csv(tmp_path):
    rows = [f"zumba,{ONE},7,17,train", f"archery,{TWO},83,93,validate"]
    rows.append(",CCCCCCCCCCC,1,11,test")
    write_text(tmp_path, "kinetics-400.csv", HEADER + "\n".join(rows))
    touch(
        tmp_path, f"{ONE_ID}.mp4", f"all/{TWO}.mp4", "x/CCCCCCCCCCC_000001_000011.avi"
    )
    splits, found = find(tmp_path, "k400")
    assert found.unmatched == {}
    assert {name: by_id(split) for name, split in splits.items()} == {
        "train": {ONE_ID: f"{ONE_ID}.mp4"},
        "validation": {TWO_ID: f"all/{TWO}.mp4"},
        "test": {"CCCCCCCCCCC_000001_000011": "x/CCCCCCCCCCC_000001_000011.avi"},
    }


def test_find_kinetics_believes_a_folder_against_other_csvs(tmp_path):
    write_csv(tmp_path, "train", f"zumba,{ONE},7,17")
    write_csv(tmp_path, "val", f"archery,{TWO},83,93")
    touch(tmp_path, f"val/{ONE_ID}.mp4", f"train/{TWO_ID}.mp4")
    splits, _ = find(tmp_path, "k400")
    assert reasons(splits["train"].unmatched) == {f"train/{TWO_ID}.mp4": ""}
    assert reasons(splits["validation"].unmatched) == {f"val/{ONE_ID}.mp4": ""}
    assert splits["train"].num_found == splits["validation"].num_found == 0


def test_find_kinetics_finds_a_video_of_two_splits_by_its_folder(tmp_path):
    for split in ("train", "val"):
        write_csv(tmp_path, split, f"zumba,{ONE},7,17")
    touch(tmp_path, f"val/{ONE_ID}.mp4", f"videos/vol_00/{ONE_ID}.mp4")
    splits, found = find(tmp_path, "k400")
    assert by_id(splits["validation"]) == {ONE_ID: f"val/{ONE_ID}.mp4"}
    assert by_id(splits["train"]) == {ONE_ID: ""}
    assert reasons(found.unmatched) == {f"videos/vol_00/{ONE_ID}.mp4": "ambiguous"}


def test_find_kinetics_takes_csvs_and_class_folders_side_by_side(tmp_path):
    write_csv(tmp_path, "train", f"archery,{ONE},7,17")
    touch(tmp_path, f"train/{ONE_ID}.mp4", f"val/zumba/{TWO_ID}.mp4")
    splits, _ = find(tmp_path, "k400")
    assert labels(splits["train"]) == {ONE_ID: "archery"}
    assert labels(splits["validation"]) == {TWO_ID: "zumba"}


# Annotation files.

ROWS = {
    "DeepMind": (
        "train.csv",
        '"label","youtube_id","time_start","time_end","split"\n'
        '"archery","{id}","7","17","train"\n',
    ),
    "crawler": (
        "kinetics-400_train.csv",
        "label,youtube_id,time_start,time_end,split,is_cc\narchery,{id},7,17,train,0\n",
    ),
    "CVDF's K700": (
        "train.csv",
        "label,youtube_id,time_start,time_end,split\narchery,{id},7,17,train\n",
    ),
    "CVDF's K600 list": (
        "train.txt",
        "label,youtube_id,time_start,time_end,split,is_cc\narchery,{id},7,17,train,0\n",
    ),
    "seconds with a point": (
        "k400/annotations/train.csv",
        "label,youtube_id,time_start,time_end,split\narchery,{id},7.0,17.0,train\n",
    ),
    "all splits, upper case": (
        "KINETICS.CSV",
        "label,youtube_id,time_start,time_end,split\narchery,{id},7,17,train\n",
    ),
    "no column of the split": (
        "videos/TRAIN.CSV",
        "youtube_id,time_start,time_end,label\r\n{id},7,17,archery\r\n",
    ),
}


@pytest.mark.parametrize("kind", ROWS)
def test_find_kinetics_reads_every_kind_of_annotation_file(tmp_path, kind):
    name, text = ROWS[kind]
    write_text(tmp_path, name, text.format(id=ONE))
    touch(tmp_path, f"train/{ONE_ID}.mp4")
    train = find_one(tmp_path, "k400")
    assert labels(train) == {ONE_ID: "archery"}
    assert train.num_found == 1


@pytest.mark.parametrize("release", KINETICS)
def test_find_kinetics_needs_no_labels_of_the_test_split(tmp_path, release):
    text = f"youtube_id,time_start,time_end,split\n{ONE},7,17,test\n{TWO},83,93,test\n"
    text += "CCCCCCCCCCC,1,11,test\n"
    write_text(tmp_path, f"kinetics-{release[1:]}_test.csv", text)
    label = LABELS[release]
    touch(tmp_path, f"test/{ONE_ID}.mp4", f"test/_unlabeled/{TWO_ID}.mp4")
    touch(tmp_path, f"test/{SPELLED['mmaction2'](label)}/CCCCCCCCCCC.mp4")
    test = find_one(tmp_path, release)
    assert test.num_found == 3
    # What the CSV does not tell, a folder may.
    assert labels(test) == {
        ONE_ID: None,
        TWO_ID: None,
        "CCCCCCCCCCC_000001_000011": label,
    }


@pytest.mark.parametrize("folder", ["", "elsewhere/"])
def test_find_kinetics_passes_over_csvs_of_other_releases(tmp_path, caplog, folder):
    row = f"youtube_id,time_start,time_end\n{ONE},7,17\n"
    write_text(tmp_path, f"{folder}kinetics-400_test.csv", row)
    write_text(tmp_path, f"{folder}kinetics600_test.csv", row.replace(ONE, TWO))
    write_text(tmp_path, f"{folder}k700-2020_test.csv", row.replace(ONE, "C" * 11))
    for release, youtube_id in (("k400", ONE), ("k600", TWO), ("k700_2020", "C" * 11)):
        caplog.clear()
        test = find_one(tmp_path, release)
        assert by_id(test) == {f"{youtube_id}_000007_000017": ""}
        assert caplog.text.count("passed over, because it is of another release") == 2


@pytest.mark.parametrize("release", ["k400", "k600", "k700_2020"])
def test_find_kinetics_passes_over_csvs_in_folders_of_other_releases(tmp_path, release):
    # DeepMind's archives unpack to kinetics400/train.csv and so on.
    for other in ("k400", "k600", "k700_2020"):
        row = f"{LABELS[other]},{ONE},7,17,train\n"
        name = other.replace("k", "kinetics")
        write_text(tmp_path, f"{name}/train.csv", HEADER + row)
    assert labels(find_one(tmp_path, release)) == {ONE_ID: LABELS[release]}


@pytest.mark.parametrize(
    ("release", "expected"),
    [("k700", ONE_ID), ("k700_2020", TWO_ID)],
    ids=["k700", "k700_2020"],
)
def test_find_kinetics_tells_700_from_700_2020(tmp_path, release, expected):
    row = f"{HEADER}zumba,{ONE},7,17,train\n"
    write_text(tmp_path, "kinetics-700_train.csv", row)
    row = f"{HEADER}zumba,{TWO},83,93,train\n"
    write_text(tmp_path, "kinetics-700-2020_train.csv", row)
    assert by_id(find_one(tmp_path, release)) == {expected: ""}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_names.csv", "id,name\n0,abseiling\n"),
        ("train.csv", f"/videos/train/{ONE}.mp4 3\n"),
        ("train.txt", f"train/archery/{ONE_ID}.mp4 5\n"),
        (
            "k400_train_path.txt",
            "https://s3.amazonaws.com/kinetics/400/part_0.tar.gz\n",
        ),
        ("empty_train.csv", ""),
        ("notes.txt", HEADER + "not,a,row\n"),
    ],
    ids=["class names", "SlowFast", "mmaction2", "CVDF's URLs", "empty", "other text"],
)
def test_find_kinetics_passes_over_what_holds_no_annotations(tmp_path, name, text):
    write_text(tmp_path, name, text)
    touch(tmp_path, f"train/archery/{ONE_ID}.mp4")
    assert labels(find_one(tmp_path, "k400")) == {ONE_ID: "archery"}


def test_find_kinetics_raises_for_a_csv_that_it_does_not_understand(tmp_path):
    write_csv(tmp_path, "train", f"zumba,{ONE},7,17", f"no such class,{TWO},83,93")
    with pytest.raises(
        ValueError, match=r"train\.csv, line 3: label must be one of the release's 400"
    ):
        videos.find(tmp_path, "k400")


def test_find_kinetics_takes_the_first_of_two_annotations(tmp_path, caplog):
    write_text(tmp_path, "a/train.csv", f"{HEADER}archery,{ONE},7,17,train\n")
    write_text(tmp_path, "b/train.csv", f"{HEADER}zumba,{ONE},7.0,17.0,train\n")
    touch(tmp_path, f"train/{ONE}.mp4")
    train = find_one(tmp_path, "k400")
    assert labels(train) == {ONE_ID: "archery"}
    assert by_id(train) == {ONE_ID: f"train/{ONE}.mp4"}
    assert "1 video is annotated more than once; the first row" in caplog.text


# Which file is which video.


def test_find_kinetics_takes_two_segments_of_one_id_as_two_videos(tmp_path):
    write_csv(tmp_path, "train", f"archery,{ONE},7,17", f"zumba,{ONE},83,93")
    touch(tmp_path, f"train/{ONE_ID}.mp4", f"train/zumba/{ONE}_000083_000093.mp4")
    train = find_one(tmp_path, "k400")
    assert by_id(train) == {
        ONE_ID: f"train/{ONE_ID}.mp4",
        f"{ONE}_000083_000093": f"train/zumba/{ONE}_000083_000093.mp4",
    }
    assert labels(train) == {ONE_ID: "archery", f"{ONE}_000083_000093": "zumba"}


@pytest.mark.parametrize("folder", ["train", "train/zumba", "videos/vol_00"])
def test_find_kinetics_guesses_no_segment(tmp_path, caplog, folder):
    write_csv(tmp_path, "train", f"archery,{ONE},7,17", f"zumba,{ONE},83,93")
    touch(tmp_path, f"{folder}/{ONE}.mp4")
    splits, found = find(tmp_path, "k400")
    assert splits["train"].num_found == 0
    assert len(splits["train"].videos) == 2
    assert reasons(splits["train"].unmatched | found.unmatched) == {
        f"{folder}/{ONE}.mp4": "ambiguous"
    }
    if folder.startswith("train"):
        assert "more than one annotation may be meant: train/" in caplog.text
    with pytest.raises(ValueError, match=r"got 2 annotations and 1 other video file"):
        videos.require_videos(found, tmp_path, "k400")


def test_find_kinetics_matches_ids_at_any_depth(tmp_path, caplog):
    write_csv(tmp_path, "train", "zumba,AAAAAAAAAAA,1,11", "zumba,BBBBBBBBBBB,1,11")
    write_csv(tmp_path, "test", "zumba,CCCCCCCCCCC,1,11")
    touch(
        tmp_path,
        "train/any/where/AAAAAAAAAAA_000001_000011.mkv",
        "train/AAAAAAAAAAA_000002_000012.mp4",
        "train/AAAAAAAAAAA_000001_000011_256p.mp4",
        "train/x/AAAAAAAAAAA_000001_000011.mp4",
        "train/CCCCCCCCCCC.mp4",
    )
    names, splits, unmatched = videos.find(tmp_path, "k400")
    assert len(names) == 400
    train, test = splits
    assert by_id(train) == {
        "AAAAAAAAAAA_000001_000011": "train/any/where/AAAAAAAAAAA_000001_000011.mkv",
        "BBBBBBBBBBB_000001_000011": "",
    }
    missing = next(video for video in train.videos if not video.filename)
    assert missing.file is None
    assert missing.problem == ("missing", "no file of that name")
    assert reasons(train.unmatched) == {
        "train/AAAAAAAAAAA_000002_000012.mp4": "",
        "train/AAAAAAAAAAA_000001_000011_256p.mp4": "",
        "train/x/AAAAAAAAAAA_000001_000011.mp4": "duplicate",
        "train/CCCCCCCCCCC.mp4": "",
    }
    assert unmatched == {}
    assert (test.num_found, len(test.videos), test.unmatched) == (0, 1, {})
    assert "1 of 2 annotated videos have no file: BBBBBBBBBBB" in caplog.text
    assert "test: 1 of 1 annotated videos have no file: CCCCCCCCCCC" in caplog.text


@pytest.mark.parametrize("name", ["{id}_000007_000017", "{id}", "any name"])
def test_find_kinetics_names_videos_without_a_csv(tmp_path, name):
    name = name.format(id=ONE)
    touch(tmp_path, f"train/zumba/{name}.mp4", f"train/no class/{name}.mp4")
    train = find_one(tmp_path, "k400")
    video_id = name if name.startswith(ONE) else f"train/zumba/{name}"
    assert labels(train) == {video_id: "zumba"}
    assert reasons(train.unmatched) == {f"train/no class/{name}.mp4": ""}


def test_find_kinetics_takes_the_class_of_the_nearest_folder(tmp_path):
    touch(tmp_path, f"train/zumba/archery/{ONE_ID}.mp4")
    write_tar(tmp_path, "val/zumba.tar.gz", f"air_drumming/{TWO_ID}.mp4")
    splits, _ = find(tmp_path, "k400")
    assert labels(splits["train"]) == {ONE_ID: "archery"}
    assert labels(splits["validation"]) == {TWO_ID: "air drumming"}


@pytest.mark.parametrize("release", KINETICS)
def test_find_kinetics_takes_class_names_from_the_shipped_list(tmp_path, release):
    write_csv(tmp_path, "train", f"{LABELS[release]},{ONE},7,17")
    touch(tmp_path, f"train/another class/{ONE_ID}.mp4", f"val/0th/{TWO_ID}.mp4")
    found = videos.find(tmp_path, release)
    assert found.class_names == annotations.labels_of(release).names
    assert len(found.class_names) == int(release[1:4])


# Duplicates.


@pytest.mark.parametrize(
    ("used", "others"),
    [
        ("train/{id}.avi", ["train/{id}.mp4", "train/{id}.webm"]),
        ("replacement/replacement_for_corrupted_k400/{id}.mp4", ["train/{id}.mp4"]),
        ("train/replacement/{id}.mp4", ["train/part_0.tar::{id}.mp4"]),
        ("replacement_for_corrupted_k400.tgz::r/{id}.mp4", ["train/{id}.mp4"]),
        ("train/a/{id}.mp4", ["train/b.tar::{id}.mp4", "train/c/-_AAAA_7_17.mp4"]),
    ],
    ids=["suffixes", "replacement", "in a split", "in an archive", "places"],
)
def test_find_kinetics_keeps_one_file_a_video(tmp_path, caplog, used, others):
    write_csv(tmp_path, "train", f"zumba,{ONE},7,17")
    used, *others = [
        lay_out(tmp_path, layout.replace("{id}", ONE_ID), "zumba")
        for layout in (used, *others)
    ]
    splits, found = find(tmp_path, "k400")
    assert by_id(splits["train"]) == {ONE_ID: used}
    unmatched = splits["train"].unmatched | found.unmatched
    assert reasons(unmatched) == dict.fromkeys(others, "duplicate")
    assert (
        f"train: {wording.count(len(others), 'video file is', 'video files are')} "
        f"passed over: another file of the same video is used: {others[0]}"
        in caplog.text
    )


@pytest.mark.parametrize("release", ["k400", "folder"])
def test_find_keeps_a_file_without_a_problem(tmp_path, release):
    touch(tmp_path, f"train/zumba/{ONE_ID}.mp4", "replacement/x")
    (tmp_path / f"train/zumba/{ONE_ID}.avi").touch()
    (tmp_path / f"replacement/{ONE_ID}.mp4").touch()
    write_csv(tmp_path, "train", f"zumba,{ONE},7,17")
    splits, _ = find(tmp_path, release)
    (video,) = splits["train"].videos
    assert video.filename == f"train/zumba/{ONE_ID}.mp4"
    assert video.problem is None
    why = splits["train"].unmatched[f"train/zumba/{ONE_ID}.avi"]
    assert why == ("duplicate", f"train/zumba/{ONE_ID}.mp4 is used")


def test_find_keeps_a_file_with_a_problem_where_there_is_no_other(tmp_path):
    write_csv(tmp_path, "train", f"zumba,{ONE},7,17")
    (tmp_path / "train").mkdir()
    (tmp_path / f"train/{ONE_ID}.mp4").touch()
    (video,) = find_one(tmp_path, "k400").videos
    assert video.problem == ("empty", "0 bytes")


def test_find_folder_keeps_one_file_an_id(tmp_path, caplog):
    touch(tmp_path, "train/a/one.mp4", "train/a/one.avi", "train/b/one.mp4")
    write_tar(tmp_path, "train/a.tgz", "one.webm")
    train = find_one(tmp_path, "folder")
    assert by_id(train) == {"a/one": "train/a.tgz/one.webm", "b/one": "train/b/one.mp4"}
    duplicates = ["train/a/one.avi", "train/a/one.mp4"]
    assert reasons(train.unmatched) == dict.fromkeys(duplicates, "duplicate")
    assert f"same video is used: {', '.join(duplicates)}" in caplog.text


# Problems.


def test_find_marks_names_that_are_not_utf8(tmp_path):
    touch(tmp_path, "train/a/good é '(1)'.mp4", os.fsdecode(b"train/a/bad\xe9.mp4"))
    write_tar(tmp_path, "train/b.tar", os.fsdecode(b"bad\xe9.mp4"))
    train = find_one(tmp_path, "folder")
    problems = {video.filename: video.problem for video in train.videos}
    assert problems == {
        "train/a/good é '(1)'.mp4": None,
        "train/a/bad\\xe9.mp4": ("unreadable name", "the name is not UTF-8"),
        "train/b.tar/bad\\xe9.mp4": ("unreadable name", "the name is not UTF-8"),
    }


@pytest.mark.parametrize("release", releases.RELEASES)
@pytest.mark.parametrize("name", ["train/damaged.tar", "damaged.tgz"])
def test_find_goes_on_behind_a_damaged_archive(tmp_path, caplog, release, name):
    label = LABELS.get(release, "any")
    touch(tmp_path, f"train/{label}/{ONE_ID}.mp4", name)
    (train,), unmatched = videos.find(tmp_path, release)[1:]
    assert train.num_found == 1
    assert train.unmatched | unmatched == {name: ("unreadable", "truncated header")}
    assert f"1 archive could not be read to the end: {name}" in caplog.text
    videos.require_videos(videos.find(tmp_path, release), tmp_path, release)


@pytest.mark.parametrize("release", releases.RELEASES)
def test_find_uses_what_can_be_read_of_a_truncated_archive(tmp_path, release):
    names = [f"{number:011}_000001_000011.mp4" for number in range(3)]
    archive = f"train/{LABELS.get(release, 'any')}.tar"
    write_tar(tmp_path, archive, *names)
    path = tmp_path / archive
    path.write_bytes(path.read_bytes()[: 2 * 1024 + 600])  # into the third's content
    train = find_one(tmp_path, release)
    assert sorted(by_id(train).values())[:2] == [f"{archive}/{n}" for n in names[:2]]
    assert train.unmatched == {archive: ("unreadable", "unexpected end of data")}


@pytest.mark.parametrize("release", ["k400", "folder"])
def test_find_accounts_once_for_a_name_that_an_archive_holds_twice(tmp_path, release):
    write_tar(tmp_path, "train/zumba.tar", f"{ONE_ID}.mp4", f"./{ONE_ID}.mp4")
    train = find_one(tmp_path, release)
    name = f"train/zumba.tar/{ONE_ID}"
    assert list(by_id(train).values()) == [f"{name}.mp4"]
    same = ("duplicate", f"the same as {name}.mp4")
    assert train.unmatched == {f"{name} (2).mp4": same}


# Links.


def test_find_follows_no_link_out_of_the_tree(tmp_path, caplog):
    root = tmp_path / "root"
    touch(tmp_path, "outside/one.mp4", "outside/class/two.mp4")
    touch(root, "train/a/real.mp4")
    (root / "train/a/inside.mp4").symlink_to(root / "train/a/real.mp4")
    (root / "train/a/outside.mp4").symlink_to(tmp_path / "outside/one.mp4")
    (root / "train/linked").symlink_to(tmp_path / "outside/class")
    (root / "train/a/loop").symlink_to(root / "train")
    (root / "train/a/broken.mp4").symlink_to(root / "train/a/nowhere.mp4")
    found = videos.find(root, "folder")
    assert found.class_names == ["a"]
    (train,) = found.splits
    problems = {video.filename: video.problem for video in train.videos}
    assert problems == {
        "train/a/real.mp4": None,
        "train/a/inside.mp4": None,
        "train/a/outside.mp4": (
            "unreadable",
            "a link that leads out of the directory",
        ),
        "train/a/broken.mp4": ("unreadable", "a link that leads nowhere"),
    }
    assert "2 links to folders are not followed" in caplog.text


def test_find_survives_a_link_that_leads_to_itself(tmp_path):
    touch(tmp_path, "train/a/real.mp4")
    (tmp_path / "train/a/self.mp4").symlink_to(tmp_path / "train/a/self.mp4")
    train = find_one(tmp_path, "folder")
    assert {video.filename: video.problem for video in train.videos} == {
        "train/a/real.mp4": None,
        "train/a/self.mp4": ("unreadable", "a link that leads nowhere"),
    }


@pytest.mark.parametrize("release", releases.RELEASES)
def test_find_follows_a_split_folder_that_is_a_link(tmp_path, release):
    label = LABELS.get(release, "a")
    touch(tmp_path, f"elsewhere/{label}/{ONE_ID}.mp4")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/train").symlink_to(tmp_path / "elsewhere")
    train = find_one(tmp_path / "root", release)
    assert list(by_id(train).values()) == [f"train/{label}/{ONE_ID}.mp4"]


def test_find_folder_takes_no_class_names_through_links_that_it_does_not_follow(
    tmp_path,
):
    touch(tmp_path, "root/train/a/one.mp4", "private/one.mp4")
    (tmp_path / "root/val").symlink_to(tmp_path)
    assert videos.find(tmp_path / "root", "folder").class_names == ["a"]


# Order.


def order_of(split: videos.Split) -> list[str]:
    return [video.annotation.video_id for video in split.videos]


@pytest.mark.parametrize("release", ["folder", "k400"])
def test_find_orders_by_a_hash_whatever_else_is_there(tmp_path, release):
    classes = annotations.labels_of("k400").names[:10]
    paths = [f"train/{classes[i // 10]}/{i:011}.mp4" for i in range(100)]
    touch(tmp_path, *paths)
    train = find_one(tmp_path, release)
    order = order_of(train)
    assert len(order) == 100
    assert order != sorted(order)
    first = {video.annotation.label for video in train.videos[:30]}
    assert len(first) > 7  # a fair sample of classes
    for path in paths[::3]:
        (tmp_path / path).unlink()
    fewer = order_of(find_one(tmp_path, release))
    assert len(fewer) == 66
    assert fewer == [video_id for video_id in order if video_id in set(fewer)]


def test_find_kinetics_orders_alike_whichever_videos_have_a_file(tmp_path):
    rows = [f"zumba,{i:011},7,17" for i in range(60)]
    write_csv(tmp_path, "train", *rows)
    missing = order_of(find_one(tmp_path, "k400"))
    touch(tmp_path, *(f"x/{i:011}.mp4" for i in range(0, 60, 2)))
    write_tar(tmp_path, "y.tar", *(f"{i:011}_7_17.mp4" for i in range(1, 60, 4)))
    train = find_one(tmp_path, "k400")
    assert train.num_found == 45
    assert order_of(train) == missing
    assert missing != sorted(missing)


# The real annotation files.


@pytest.mark.slow
@needs_shared
def test_find_kinetics_reads_the_real_files_beside_each_other(tmp_path):
    for name in ("kinetics-400_val", "kinetics-400_test", "kinetics-600_val"):
        text = (SHARED / "annotations" / f"{name}.csv").read_text("utf-8")
        write_text(tmp_path, f"annotations/{name}.csv", text)
    # Of the six ids that K600's validation split has twice, one.
    twice = "xnC3nngvLCo"
    touch(tmp_path, f"val/{twice}_000007_000017.mp4", f"val/{twice}.mp4")
    touch(tmp_path, "test/--6bJUbfpnQ_000017_000027.mp4", "val/0wR5jVB-WPk.mp4")

    splits, _ = find(tmp_path, "k400")
    validation, test = splits["validation"], splits["test"]
    assert len(validation.videos) == 19_906
    assert len(test.videos) == 38_685
    assert labels(validation)["0wR5jVB-WPk_000417_000427"] == "abseiling"
    assert by_id(validation)["0wR5jVB-WPk_000417_000427"] == "val/0wR5jVB-WPk.mp4"
    assert test.num_found == 1
    assert set(labels(test).values()) == {None}
    # The files are sorted by class; a twentieth still has nearly all of them.
    sample = collections.Counter(v.annotation.label for v in validation.videos[:1000])
    assert len(sample) > 350
    assert max(sample.values()) < 12

    splits, _ = find(tmp_path, "k600")
    validation = splits["validation"]
    assert len(validation.videos) == 30_000
    assert reasons(validation.unmatched) == {f"val/{twice}.mp4": "ambiguous"}
    assert labels(validation)[f"{twice}_000007_000017"] == "cracking knuckles"
    assert labels(validation)[f"{twice}_000083_000093"] == "cracking neck"


# What there must be at least.


@pytest.mark.parametrize("release", releases.RELEASES)
def test_require_videos_shows_the_layout_where_there_is_no_split(tmp_path, release):
    touch(tmp_path, "videos/one.mp4", "readme.md")
    found = videos.find(tmp_path, release)
    with pytest.raises(
        ValueError, match=r"at least one .*video .*of any split"
    ) as error:
        videos.require_videos(found, tmp_path, release)
    message = str(error.value)
    wanted, none = "annotated video", "0 annotations"
    if release == "folder":
        wanted, none = "video in a class folder", "none"
    assert message.startswith(
        f"{tmp_path} must hold at least one {wanted} of any split, got {none} and 1 "
        "other video file: videos/one.mp4; it holds readme.md, "
        "videos/.\nExpected, with videos that end in .mp4, .mkv, .webm, "
    )
    assert ".mp4" in message
    assert message.endswith(":\n" + videos.layout(release))


@pytest.mark.parametrize("release", releases.RELEASES)
def test_require_videos_says_that_a_directory_is_empty(tmp_path, release):
    found = videos.find(tmp_path, release)
    with pytest.raises(
        ValueError,
        match=r"got (0 annotations|none) and 0 other video files; it holds nothing\.\n",
    ):
        videos.require_videos(found, tmp_path, release)


@pytest.mark.parametrize("release", ["folder", "k400"])
def test_require_videos_needs_one_of_each_split_that_has_files(tmp_path, release):
    write_csv(tmp_path, "train", "zumba,AAAAAAAAAAA,1,11")
    touch(tmp_path, "train/stray.mp4")
    found = videos.find(tmp_path, release)
    with pytest.raises(
        ValueError,
        match=r"at least one .*video .*of train, got (1 annotation|none) and 1 other"
        r" video file: train/stray\.mp4; it holds annotations/, train/\.",
    ):
        videos.require_videos(found, tmp_path, release)


@pytest.mark.parametrize("release", ["folder", "k400"])
def test_require_videos_names_all_splits_that_lack_some(tmp_path, release):
    touch(tmp_path, "train/1.mp4", "train/2.mp4", "val/zumba/3.mp4", "test/4.mp4")
    found = videos.find(tmp_path, release)
    with pytest.raises(
        ValueError,
        match=r"of train and test, got (0 annotations|none) and 3 other video files: "
        r"train/1\.mp4, train/2\.mp4, test/4\.mp4; it holds test/, train/, val/\.",
    ):
        videos.require_videos(found, tmp_path, release)


def test_require_videos_needs_labels_of_every_split_but_test(tmp_path):
    touch(tmp_path, f"val/{ONE_ID}.mp4", f"train/{TWO_ID}.mp4")
    write_csv(tmp_path, "train", f"zumba,{TWO},83,93")
    found = videos.find(tmp_path, "k400")
    with pytest.raises(
        ValueError,
        match=rf"video of validation, got 0 annotations and 1 other .*: val/{ONE_ID}",
    ):
        videos.require_videos(found, tmp_path, "k400")


def test_require_videos_names_damaged_archives(tmp_path):
    touch(tmp_path, "train.tar")
    found = videos.find(tmp_path, "folder")
    with pytest.raises(
        ValueError, match=r"train\.tar \(1 unreadable, truncated header\); it"
    ):
        videos.require_videos(found, tmp_path, "folder")


def test_require_videos_needs_no_files_of_an_annotated_split(tmp_path):
    write_csv(tmp_path, "train", f"zumba,{ONE},7,17")
    write_csv(tmp_path, "test", f"zumba,{TWO},83,93")
    touch(tmp_path, f"train/{ONE_ID}.mp4", "stray.mp4", f"train/{TWO_ID}.mp4")
    found = videos.find(tmp_path, "k400")
    assert [split.num_found for split in found.splits] == [1, 0]
    videos.require_videos(found, tmp_path, "k400")


def test_require_videos_lists_a_few_entries_of_the_directory(tmp_path):
    touch(tmp_path, *(f"{number}.jpg" for number in range(8)))
    (tmp_path / "9").symlink_to(tmp_path)
    (tmp_path / "00").symlink_to(tmp_path)
    found = videos.find(tmp_path, "folder")
    with pytest.raises(
        ValueError,
        match=r"it holds 0\.jpg, 00/ \(a link\), 1\.jpg, .*, 6\.jpg and 2 more\.",
    ):
        videos.require_videos(found, tmp_path, "folder")


# Anything at all.


@settings(max_examples=40)
@given(data=st.data())
def test_find_kinetics_finds_the_class_however_it_is_spelled(tmp_path_factory, data):
    release = data.draw(st.sampled_from(KINETICS))
    names = data.draw(
        st.lists(
            st.sampled_from(annotations.labels_of(release).names),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    layouts = [
        "train/{label}/{id}.mp4",
        "train/more/{label}/folders/{id}.mkv",
        "train/{label}.tar.gz::{id}.mp4",
        "train/{label}.tar::_unlabeled/{id}.mp4",
        "train_{id}.tgz::{label}/{id}.mp4",
    ]
    root = tmp_path_factory.mktemp("spelled")
    expected = {}
    for number, name in enumerate(names):
        spelled = SPELLED[data.draw(st.sampled_from(list(SPELLED)))](name)
        video_id = f"{number:011}_000001_000011"
        lay_out(root, data.draw(st.sampled_from(layouts)), spelled, video_id)
        expected[video_id] = name
    assert labels(find_one(root, release)) == expected


IDS = ["AAAAAAAAAAA", "_-_1_2_3_4_", "-7_17_7_17_"]
FOLDERS = ["train", "val", "Validation", "test", "zumba", "air_drumming", "videos"]
FOLDERS += ["vol_00", "replacement", "k400_train", "train_val", "._x"]
ROW = st.tuples(st.sampled_from(IDS), st.sampled_from([(1, 11), (7, 17)]))


@st.composite
def file_names(draw) -> str:
    folders = draw(st.lists(st.sampled_from(FOLDERS), max_size=3))
    archive = st.sampled_from(["part.tar", "zumba.tar.gz", "train.tgz", "a.tar"])
    at = draw(st.none() | st.integers(0, len(folders)))
    inside = [] if at is None else [f"{draw(archive)}::"]
    times = draw(st.sampled_from(["", "_000001_000011", "_7_17", "_7.0_17.0", "_x"]))
    suffix = draw(st.sampled_from([".mp4", ".MKV", ".avi", ".json"]))
    parts = [*folders[:at], *inside, *folders[len(folders) if at is None else at :]]
    name = "/".join([*parts, draw(st.sampled_from(IDS)) + times + suffix])
    return name.replace("::/", "::")


@settings(max_examples=60)
@given(
    release=st.sampled_from(["k400", "folder"]),
    names=st.lists(file_names(), max_size=12, unique=True),
    tables=st.dictionaries(
        st.sampled_from(["train", "val", "test"]), st.lists(ROW, max_size=4)
    ),
)
def test_find_accounts_for_every_file_once(tmp_path_factory, release, names, tables):
    root = tmp_path_factory.mktemp("tree")
    for split, rows in tables.items():
        lines = [f"zumba,{id},{start},{end}" for id, (start, end) in rows]
        write_csv(root, split, *lines)
    members = collections.defaultdict(list)
    for name in names:
        archive, _, member = name.rpartition("::")
        members[archive].append(member)
    touch(root, *members.pop("", []))
    for archive, inside in members.items():
        write_tar(root, archive, *inside)
    found = videos.find(root, release)
    assert len({split.name for split in found.splits}) == len(found.splits)
    accounted = list(found.unmatched)
    for split in found.splits:
        used = by_id(split)
        assert {video.annotation.split for video in split.videos} <= {split.name}
        accounted += [name for name in used.values() if name]
        accounted += split.unmatched
        # Every annotated video is there, whether it has a file or not.
        if release != "folder":
            word = {"validation": "val"}.get(split.name, split.name)
            for youtube_id, (start, end) in tables.get(word, []):
                assert f"{youtube_id}_{start:06}_{end:06}" in used
    expected = [
        name.replace("::", "/")
        for name in names
        if "._x" not in name and not name.endswith(".json")
    ]
    assert sorted(accounted) == sorted(expected)


def test_find_kinetics_replaces_what_only_class_folders_annotate(tmp_path):
    name = "AAAAAAAAAAA_000001_000011.mp4"
    touch(tmp_path, f"train/zumba/{name}", f"replacement/{name}", "replacement/x.mp4")
    splits, found = find(tmp_path, "k400")
    assert by_id(splits["train"]) == {name[:-4]: f"replacement/{name}"}
    assert reasons(splits["train"].unmatched) == {f"train/zumba/{name}": "duplicate"}
    assert reasons(found.unmatched) == {"replacement/x.mp4": ""}


def test_find_kinetics_prefers_the_row_that_has_a_label(tmp_path):
    touch(tmp_path, "test/AAAAAAAAAAA_000001_000011.mp4")
    row = "AAAAAAAAAAA,1,11,test\n"
    (tmp_path / "a_test.csv").write_text("youtube_id,time_start,time_end,split\n" + row)
    (tmp_path / "b_test.csv").write_text(HEADER + f"zumba,{row}")
    (tmp_path / "c_test.csv").write_text(HEADER + f"yoga,{row}")
    splits, _ = find(tmp_path, "k400")
    assert [video.annotation.label for video in splits["test"].videos] == ["zumba"]


# Names of classes, and of videos, that look the same.

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def write(root: Path, **contents: bytes) -> None:
    """Writes files named `a/b.mp4`, with their contents."""
    for name, content in contents.items():
        touch(root, name)
        (root / name).write_bytes(content)


def test_find_folder_takes_one_class_spelled_in_two_forms_of_unicode_for_one(tmp_path):
    touch(tmp_path, f"train/{COMPOSED}/1.mp4", f"train/{DECOMPOSED}/2.mp4")
    touch(tmp_path, f"val/{DECOMPOSED}/1.mp4")
    (tmp_path / f"test/{DECOMPOSED}").mkdir(parents=True)
    write_tar(tmp_path, "test.tar", f"{DECOMPOSED}/1.mp4")
    splits, found = find(tmp_path, "folder")
    assert found.class_names == [COMPOSED]
    assert by_id(splits["train"]) == {
        f"{COMPOSED}/1": f"train/{COMPOSED}/1.mp4",
        f"{COMPOSED}/2": f"train/{DECOMPOSED}/2.mp4",
    }
    for split in splits.values():
        assert set(labels(split).values()) == {COMPOSED}
        assert all(video.file.path.exists() for video in split.videos)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Archery", "archery"),
        ("riding a bike", "riding_a_bike"),
        ("riding a bike", "Riding__a bike"),
        ("riding\u00a0a bike", "riding a bike"),
        ("zumba", "zum\u200bba"),
        ("zumba", "\uff5aumba"),
        (f"a {COMPOSED}", f"A_{DECOMPOSED}"),
        ("Straße", "strasse"),
    ],
    ids=[
        *("case", "underscores", "both", "no-break space", "zero width", "full width"),
        *("composed", "sharp s"),
    ],
)
@pytest.mark.parametrize(
    "second", ["train/{}/2.mp4", "val/{}/2.mp4", "val/{}.tar::2.mp4"]
)
def test_find_folder_refuses_two_classes_that_look_the_same(
    tmp_path, one, other, second
):
    touch(tmp_path, f"train/{one}/1.mp4", "train/yoga/3.mp4", "val/Yoga mat/3.mp4")
    name = lay_out(tmp_path, second.format(other), "")
    with pytest.raises(
        ValueError, match=r"differ by more than case, blanks and underscores, got 1"
    ) as error:
        videos.find(tmp_path, "folder")
    assert f"(train/{one})" in str(error.value)
    assert name.removesuffix("/2.mp4") in str(error.value)
    for spelled in (one, annotations.class_name(other)):
        assert repr(spelled) in str(error.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "-1"), ("1", "_1"), ("a b", "ab"), ("pull-up", "pullup"), ("é", "e")],
)
def test_find_folder_keeps_classes_apart_that_a_person_does(tmp_path, one, other):
    touch(tmp_path, f"train/{one}/1.mp4", f"train/{other}/1.mp4")
    assert set(videos.find(tmp_path, "folder").class_names) == {one, other}


def test_find_folder_says_what_is_not_seen_in_the_name_of_a_class(tmp_path, caplog):
    touch(
        tmp_path, "train/zum\u200bba/1.mp4", "train/a\u00a0b/1.mp4", "train/é 泳/1.mp4"
    )
    with caplog.at_level(logging.WARNING):
        videos.find(tmp_path, "folder")
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert r"class 'a\xa0b' has characters that are not seen" in warned[0] + warned[1]
    assert r"class 'zum\u200bba' has characters" in warned[0] + warned[1]


@settings(max_examples=60)
@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(
        lambda name: "/" not in name and name not in (".", "..") and "\0" not in name
    )
)
def test_a_class_is_looked_at_in_the_same_way_in_all_its_spellings(name):
    composed = annotations.class_name(name)
    assert annotations.class_name(composed) == composed
    spelled = {form: unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    assert {annotations.class_name(text) for text in spelled.values()} == {composed}
    places = {composed: "train/a", f"{composed}!": "train/b"}
    annotations.check_class_names_differ(places, Path("root"))


# Several files of one name.


def test_find_folder_stores_different_videos_of_one_name(tmp_path, caplog):
    write(
        tmp_path,
        **{
            "train/a/clip.mp4": b"one",
            "train/a/clip.avi": b"another",
            "train/a/clip.MP4": b"a third",
            "train/a/clip.mkv": b"one",
            f"train/a/{COMPOSED}.mp4": b"composed",
            f"train/a/{DECOMPOSED}.mp4": b"decomposed",
            f"train/a/{COMPOSED}.webm": b"composed",
        },
    )
    write(tmp_path, **{"val/a/1.mp4": b"1", "valid/a/1.mp4": b"2", "Val/a/1.mp4": b"3"})
    splits, _ = find(tmp_path, "folder")
    train, validation = splits["train"], splits["validation"]
    assert by_id(train) == {
        "a/clip": "train/a/clip.MP4",
        "a/clip.avi": "train/a/clip.avi",
        "a/clip.mkv": "train/a/clip.mkv",
        f"a/{COMPOSED}": f"train/a/{DECOMPOSED}.mp4",
        f"a/{COMPOSED}.mp4": f"train/a/{COMPOSED}.mp4",
    }
    assert train.unmatched == {
        "train/a/clip.mp4": ("duplicate", "train/a/clip.mkv is used"),
        f"train/a/{COMPOSED}.webm": ("duplicate", f"train/a/{COMPOSED}.mp4 is used"),
    }
    assert by_id(validation) == {
        "a/1": "Val/a/1.mp4",
        "a/1.mp4": "val/a/1.mp4",
        "a/1.mp4~2": "valid/a/1.mp4",
    }
    assert (
        "train: 3 videos have the name of another video, so their ids have the suffix "
        "too: " in caplog.text
    )
    for split in (train, validation):
        renamed = {v.annotation.video_id: v.notes for v in split.videos if v.notes}
        assert set(renamed.values()) == {("another video has the same name",)}
        assert len(renamed) == (3 if split is train else 2)


def test_find_folder_tells_videos_of_one_size_apart(tmp_path):
    write(tmp_path, **{"train/a/1.mp4": b"1", "train/a/1.avi": b"2"})
    for name, content in (("a", b"1"), ("b", b"3")):
        touch(tmp_path, f"train/{name}.tar")
        with tarfile.open(tmp_path / f"train/{name}.tar", "w") as archive:
            info = tarfile.TarInfo("a/1.mkv")
            info.size = 1
            archive.addfile(info, io.BytesIO(content))
    train = find_one(tmp_path, "folder")
    assert by_id(train) == {
        "a/1": "train/a.tar/a/1.mkv",
        "a/1.avi": "train/a/1.avi",
        "a/1.mkv": "train/b.tar/a/1.mkv",
    }
    why = ("duplicate", "train/a.tar/a/1.mkv is used")
    assert train.unmatched == {"train/a/1.mp4": why}


@pytest.mark.parametrize("release", ["k400", "folder"])
def test_find_stores_the_videos_of_an_archive_that_was_unpacked_once(tmp_path, release):
    names = ["1.mp4", "2.mp4", f"{ONE_ID}.mp4"]
    write_tar(tmp_path, "train/zumba.tar", *names)
    touch(tmp_path, *(f"train/zumba/{name}" for name in names))
    train = find_one(tmp_path, release)
    assert sorted(by_id(train).values()) == [
        f"train/zumba.tar/{n}" for n in sorted(names)
    ]
    assert reasons(train.unmatched) == {f"train/zumba/{n}": "duplicate" for n in names}


# What crawlers leave, and folders within those of the classes.


@pytest.mark.parametrize("release", ["k400", "folder"])
def test_find_passes_over_what_is_left_of_finished_downloads(tmp_path, caplog, release):
    left = ["f137.mp4", "f251.webm", "temp.mkv", "f140-drc.mp4", "fhls-1080p.mp4"]
    names = [f"train/zumba/{ONE}.{suffix}" for suffix in left]
    touch(tmp_path, f"train/zumba/{ONE}.mp4", *names)
    train = find_one(tmp_path, release)
    assert list(by_id(train).values()) == [f"train/zumba/{ONE}.mp4"]
    why = ("leftover", f"of the download of train/zumba/{ONE}.mp4")
    assert train.unmatched == dict.fromkeys(names, why)
    assert (
        "train: 5 video files are passed over: left over from the download of a video "
        f"that is there: train/zumba/{ONE}.f137.mp4, " in caplog.text
    )


@pytest.mark.parametrize("release", ["k400", "folder"])
def test_find_stores_what_is_only_named_like_a_leftover(tmp_path, caplog, release):
    names = ["zumba/1.f137.mp4", "zumba/1.temp.mp4", "yoga/1.mp4", "zumba/a.f1x.mp4"]
    touch(tmp_path, *(f"train/{name}" for name in names))
    train = find_one(tmp_path, release)
    assert sorted(by_id(train).values()) == sorted(f"train/{name}" for name in names)
    noted = {video.filename for video in train.videos if video.notes}
    assert noted == {"train/zumba/1.f137.mp4", "train/zumba/1.temp.mp4"}
    assert "2 videos are named like leftovers of downloads that are not" in caplog.text


@pytest.mark.parametrize("release", ["k400", "folder"])
@pytest.mark.parametrize(
    "copy",
    [
        "{} (1)",
        "{}(2)",
        "{} - Copy",
        "{} - Copy (3)",
        "{} copy",
        "{} copy 2",
        "Copy of {}",
    ],
)
def test_find_tells_copies_from_what_is_named_like_one(tmp_path, caplog, release, copy):
    folder = "train/zumba"
    for name in ("same", "other"):
        write(tmp_path, **{f"{folder}/{name}.mp4": b"content"})
    write(tmp_path, **{f"{folder}/{copy.format('same')}.mp4": b"content"})
    write(tmp_path, **{f"{folder}/{copy.format('other')}.mp4": b"another"})
    write(tmp_path, **{f"{folder}/{copy.format('alone')}.mp4": b"content"})
    train = find_one(tmp_path, release)
    stored = ["same", "other", copy.format("other"), copy.format("alone")]
    names = sorted(f"{folder}/{name}.mp4" for name in stored)
    assert sorted(by_id(train).values()) == names
    same = ("duplicate", f"the same as {folder}/same.mp4")
    assert train.unmatched == {f"{folder}/{copy.format('same')}.mp4": same}
    noted = {video.filename: video.notes for video in train.videos if video.notes}
    assert noted == {
        f"{folder}/{copy.format('other')}.mp4": ("named like a copy of another video",)
    }
    assert "1 video: named like a copy of another video: " in caplog.text


def test_find_folder_takes_the_first_folder_for_the_class_and_says_so(tmp_path, caplog):
    touch(tmp_path, "train/sports/ball/tennis/x.mp4", "train/sports/y.mp4")
    write_tar(tmp_path, "train/part.tar", "sports/ball/z.mp4")
    train = find_one(tmp_path, "folder")
    assert set(labels(train).values()) == {"sports"}
    noted = {video.filename for video in train.videos if video.notes}
    assert noted == {
        "train/sports/ball/tennis/x.mp4",
        "train/part.tar/sports/ball/z.mp4",
    }
    assert (
        "train: 2 videos lie in folders below those of their classes, which are the "
        "first ones: train/" in caplog.text
    )


# What is empty because of what is not read.


@pytest.mark.parametrize("release", ["k400", "folder"])
def test_a_split_is_named_that_is_empty_for_what_is_not_read(tmp_path, caplog, release):
    touch(
        tmp_path, "train/zumba/1.mp4", "val/1.rar", "val/zumba/2.rar", "val/3.mp4.part"
    )
    touch(tmp_path, "test.rar", "other.7z")
    splits, found = find(tmp_path, release)
    kinds = "2 archive not read: .rar, 1 unfinished download"
    assert (
        f"validation: no video is found; passed over: {kinds}"
        in caplog.text.replace("1 unfinished download, 2 archive not read: .rar", kinds)
    )
    assert "of no split: 1 file is passed over: archive not read: .7z" in caplog.text
    assert splits["test"].unmatched == {
        "test.rar": ("archive not read: .rar", "unpack it")
    }
    with pytest.raises(
        ValueError,
        match=r"of validation and test, got .* 4 other video files: .*"
        r"\(3 archive not read: \.rar, unpack it; 1 unfinished download, finish it",
    ):
        videos.require_videos(found, tmp_path, release)


def test_tables_in_archives_matter_to_kinetics_alone(tmp_path, caplog):
    write_tar(tmp_path, "train/zumba.tar", "1.mp4", "train.csv")
    assert find_one(tmp_path, "folder").unmatched == {}
    assert reasons(find_one(tmp_path, "k400").unmatched) == {
        "train/zumba.tar/train.csv": "table not read: in an archive"
    }
    assert "train: 1 file is passed over: table not read: in an" in caplog.text


def test_a_class_is_named_that_is_empty_for_what_is_not_read(tmp_path, caplog):
    touch(tmp_path, "train/yoga/1.mp4", "train/zumba/1.swf", "train/zumba/deep/2.swf")
    touch(tmp_path, "train/yoga/2.swf")
    train = find_one(tmp_path, "folder")
    assert train.num_found == 1
    assert (
        "train: class 'zumba' has no video; passed over: 2 format not read: .swf"
        in caplog.text
    )
    assert "class 'yoga'" not in caplog.text


# Locales.

FIND = """
import json, os, pathlib, sys
from kinetics_clips.write import sources, videos
found = videos.find(pathlib.Path(os.fsdecode(os.environb[b"ROOT"])), "folder")
facts = {"encoding": sys.getfilesystemencoding(), "classes": found.class_names}
(train,) = found.splits
facts["videos"] = [
    [v.annotation.video_id, v.annotation.label, v.filename, v.problem]
    for v in sorted(train.videos, key=lambda v: v.filename)
]
facts["unmatched"] = train.unmatched
files = [(v.filename, v.file) for v in train.videos if not v.problem]
facts["contents"] = {
    name: (content if isinstance(content, bytes) else content.read_bytes()).decode()
    for name, content in sources.read(files)
}
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def latin_1(tmp_path_factory) -> dict[str, str]:
    """Makes a locale in which file names are ISO-8859-1; returns its environment."""
    folder = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", folder / "l1.ISO-8859-1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine makes no locales: {error}")
    return {"LOCPATH": str(folder), "LC_ALL": "l1.ISO-8859-1"}


@pytest.mark.parametrize("name", ["C", "ISO-8859-1"])
def test_find_names_videos_alike_in_any_locale(
    tmp_path, request, monkeypatch, capsys, name
):
    root = tmp_path / "root é"
    touch(
        root, f"train/{COMPOSED}/é 泳.mp4", f"train/{DECOMPOSED}/2.mp4", "train/泳.rar"
    )
    touch(root, os.fsdecode(b"train/b/bad\xe9.mp4"), "train/b/1.mp4")
    (root / "train/b/é.mp4").symlink_to(root / "train/b/1.mp4")
    write_tar(root, "train/é.tar", "泳/é.mp4", os.fsdecode(b"bad\xe9.mp4"))
    with zipfile.ZipFile(root / "train/泳é.zip", "w") as archive:
        archive.writestr("泳/zip é.mp4", b"x")
    locale = {"LC_ALL": "C"} if name == "C" else request.getfixturevalue("latin_1")
    plain = {n: v for n, v in os.environ.items() if not n.startswith(("LC_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", FIND],
        env={
            **plain,
            **locale,
            "ROOT": str(root),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
        check=True,
        capture_output=True,
        timeout=60,
    )
    monkeypatch.setenv("ROOT", str(root))
    exec(FIND, {})
    facts, expected = json.loads(done.stdout), json.loads(capsys.readouterr().out)
    assert expected.pop("encoding") == "utf-8"
    assert facts.pop("encoding") == {"C": "ascii"}.get(name, "iso8859-1")
    assert facts == expected
    assert facts["classes"] == sorted(["b", COMPOSED, "é", "泳"])
    assert ["b/é", "b", "train/b/é.mp4", None] in facts["videos"]
    assert len(facts["contents"]) == 6


GOOD_ROWS = "label,youtube_id,time_start,time_end\nzumba,AAAAAAAAAAA,1,11\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "zumba,AAAAAAAAAAA,1,11\n"),
        ("lists/all.csv", "AAAAAAAAAAA;1;11\n"),
        ("kinetics_train.txt", "one\ntwo\n"),
        ("train.json", '{"AAAAAAAAAAA": {}}'),
        ("train.xlsx", "PK\x03\x04"),
    ],
)
def test_a_table_that_is_not_understood_is_never_passed_over(
    tmp_path, caplog, name, content
):
    touch(tmp_path, "train/zumba/AAAAAAAAAAA_000001_000011.mp4")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    message = rf"{Path(name).name}, line 1: there must be a header that names"
    with pytest.raises(ValueError, match=message):
        videos.find(tmp_path, "k400")
    # Beside one that is understood it may be anything.
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.csv").write_text(GOOD_ROWS)
    found = videos.find(tmp_path, "k400")
    assert found.splits[0].num_found == 1
    assert f"{Path(name).name}: passed over, because it holds" in caplog.text


def test_an_unrelated_table_is_named(tmp_path, caplog):
    touch(tmp_path, "train/zumba/AAAAAAAAAAA_000001_000011.mp4")
    (tmp_path / "labels.csv").write_text("id,name\n0,abseiling\n")
    assert videos.find(tmp_path, "k400").splits[0].num_found == 1
    assert "labels.csv: passed over, because it holds no annotations" in caplog.text


def test_tables_of_other_programs_are_opened_only_where_they_are_files(tmp_path):
    root = tmp_path / "k400"
    touch(root, "train/zumba/AAAAAAAAAAA_000001_000011.mp4")
    secret = tmp_path / "secret.json"
    secret.write_text("AAAAAAAAAAA,1,11")
    (root / "train.json").symlink_to(secret)
    os.mkfifo(root / "train.xlsx")  # opening it would wait for ever
    assert videos.find(root, "k400").splits[0].num_found == 1


def test_class_folders_name_the_tables_beside_them(tmp_path, caplog):
    touch(tmp_path, "train/zumba/one.mp4")
    (tmp_path / "train.csv").write_text(GOOD_ROWS)
    (tmp_path / "README.txt").write_text("read me")
    assert videos.find(tmp_path, "folder").splits[0].num_found == 1
    assert "README" not in caplog.text
    assert "train.csv: not read, because class folders tell" in caplog.text


def test_bad_rows_of_all_tables_are_one_error_or_skipped(tmp_path, caplog):
    touch(tmp_path, "train/AAAAAAAAAAA_000001_000011.mp4")
    (tmp_path / "train.csv").write_text(f"{GOOD_ROWS}zumba,#NAME?,1,11\n")
    (tmp_path / "val.csv").write_text(f"{GOOD_ROWS}zumba,AAAAAAAAAA,1,11\n")
    with pytest.raises(ValueError, match=r"(?s)train\.csv, line 3.*val\.csv, line 3"):
        videos.find(tmp_path, "k400")
    train, validation = videos.find(tmp_path, "k400", skip_bad_rows=True).splits
    assert "2 bad rows are skipped" in caplog.text
    (reason, detail) = train.unmatched["train.csv:3"]
    assert reason == "bad row" and "'#NAME?'" in detail
    assert validation.unmatched["val.csv:3"][0] == "bad row"
    assert train.num_found == 1
