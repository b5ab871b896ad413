import logging
import os
from pathlib import Path

import pytest

from kinetics_clips import videos

HEADER = "label,youtube_id,time_start,time_end,split\n"


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def write_csv(root: Path, name: str, *rows: str) -> None:
    touch(root, f"annotations/{name}.csv")
    (root / "annotations" / f"{name}.csv").write_text(
        HEADER + "".join(f"{row},{name}\n" for row in rows)
    )


def by_id(split: videos.Split) -> dict[str, str]:
    return {video.annotation.video_id: video.filename for video in split.videos}


def test_find_folder_reads_all_splits(tmp_path):
    touch(
        tmp_path,
        "train/b/one.mp4",
        "train/b/deep/er/two.MKV",
        "train/a/one.webm",
        "val/c/three.avi",
        "test/a/four.mov",
    )
    names, splits = videos.find(tmp_path, "folder")
    assert names == ["a", "b", "c"]
    assert [split.name for split in splits] == ["train", "validation", "test"]
    assert by_id(splits[0]) == {
        "a/one": "train/a/one.webm",
        "b/one": "train/b/one.mp4",
        "b/deep/er/two": "train/b/deep/er/two.MKV",
    }
    assert {video.annotation.label for video in splits[0].videos} == {"a", "b"}
    assert by_id(splits[1]) == {"c/three": "val/c/three.avi"}
    assert splits[2].videos[0].path == tmp_path / "test/a/four.mov"
    assert all(split.unmatched == [] for split in splits)


def test_find_folder_counts_dotfiles_and_reports_strays(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    touch(
        tmp_path,
        "train/a/one.mp4",
        "train/a/._one.mp4",
        "train/a/.hidden/two.mp4",
        "train/a/notes.txt",
        "train/stray.mp4",
    )
    (train,) = videos.find(tmp_path, "folder").splits
    assert by_id(train) == {"a/one": "train/a/one.mp4"}
    assert train.unmatched == ["train/stray.mp4"]
    assert "2 dotfiles passed over" in caplog.text
    assert "not named like videos passed over: 1 .txt" in caplog.text
    assert "1 video files are passed over" in caplog.text


def test_find_folder_keeps_one_file_an_id(tmp_path, caplog):
    touch(tmp_path, "train/a/one.mp4", "train/a/one.avi")
    (train,) = videos.find(tmp_path, "folder").splits
    assert by_id(train) == {"a/one": "train/a/one.avi"}
    assert train.unmatched == ["train/a/one.mp4"]
    assert "another file has the same id: train/a/one.mp4" in caplog.text


def test_find_folder_takes_the_names_of_empty_class_folders(tmp_path):
    touch(tmp_path, "train/b/one.mp4")
    (tmp_path / "train" / "a").mkdir()
    assert videos.find(tmp_path, "folder").class_names == ["a", "b"]


def test_find_folder_refuses_class_names_that_would_change(tmp_path):
    touch(tmp_path, "train/ padded /one.mp4")
    with pytest.raises(ValueError, match=r"class folder's name must be .* ' padded '"):
        videos.find(tmp_path, "folder")


def test_find_marks_names_that_are_not_utf8(tmp_path):
    touch(tmp_path, "train/a/good é '(1)'.mp4", os.fsdecode(b"train/a/bad\xe9.mp4"))
    (train,) = videos.find(tmp_path, "folder").splits
    problems = {video.filename: video.problem for video in train.videos}
    assert problems == {
        "train/a/good é '(1)'.mp4": None,
        "train/a/bad\\xe9.mp4": ("unreadable name", "the name is not UTF-8"),
    }


def test_find_follows_no_link_out_of_the_tree(tmp_path, caplog):
    root = tmp_path / "root"
    touch(tmp_path, "outside/one.mp4", "outside/class/two.mp4")
    touch(root, "train/a/real.mp4")
    (root / "train/a/inside.mp4").symlink_to(root / "train/a/real.mp4")
    (root / "train/a/outside.mp4").symlink_to(tmp_path / "outside/one.mp4")
    (root / "train/linked").symlink_to(tmp_path / "outside/class")
    (root / "train/a/loop").symlink_to(root / "train")
    (root / "train/a/self.mp4").symlink_to(root / "train/a/self.mp4")
    names, (train,) = videos.find(root, "folder")
    assert names == ["a"]
    problems = {video.filename: video.problem for video in train.videos}
    assert problems == {
        "train/a/real.mp4": None,
        "train/a/inside.mp4": None,
        "train/a/outside.mp4": (
            "unreadable",
            "a link that leads out of the directory",
        ),
        "train/a/self.mp4": ("unreadable", "a link that leads nowhere"),
    }
    assert "2 links to folders are not followed" in caplog.text


def test_find_follows_a_split_folder_that_is_a_link(tmp_path):
    touch(tmp_path, "elsewhere/a/one.mp4")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/train").symlink_to(tmp_path / "elsewhere")
    (train,) = videos.find(tmp_path / "root", "folder").splits
    assert by_id(train) == {"a/one": "train/a/one.mp4"}


def test_find_orders_by_a_hash_whatever_else_is_there(tmp_path):
    touch(tmp_path, *(f"train/{i // 10}/{i}.mp4" for i in range(100)))
    order = [
        v.annotation.video_id for v in videos.find(tmp_path, "folder").splits[0].videos
    ]
    assert order != sorted(order)
    assert len({video_id[0] for video_id in order[:30]}) > 5  # a sample of classes
    for i in range(0, 100, 3):
        (tmp_path / f"train/{i // 10}/{i}.mp4").unlink()
    fewer = [
        v.annotation.video_id for v in videos.find(tmp_path, "folder").splits[0].videos
    ]
    assert fewer == [video_id for video_id in order if video_id in set(fewer)]


def test_find_kinetics_matches_ids_at_any_depth(tmp_path, caplog):
    write_csv(tmp_path, "train", "zumba,AAAAAAAAAAA,1,11", "zumba,BBBBBBBBBBB,1,11")
    write_csv(tmp_path, "test", "zumba,CCCCCCCCCCC,1,11")
    touch(
        tmp_path,
        "train/any/where/AAAAAAAAAAA_000001_000011.mkv",
        "train/AAAAAAAAAAA_000002_000012.mp4",
        "train/x/AAAAAAAAAAA_000001_000011.mp4",
    )
    names, (train,) = videos.find(tmp_path, "k400")
    assert len(names) == 400
    assert by_id(train) == {
        "AAAAAAAAAAA_000001_000011": "train/any/where/AAAAAAAAAAA_000001_000011.mkv",
        "BBBBBBBBBBB_000001_000011": "",
    }
    missing = next(video for video in train.videos if not video.filename)
    assert missing.problem == ("missing", "no file of that name")
    assert train.unmatched == [
        "train/AAAAAAAAAAA_000002_000012.mp4",
        "train/x/AAAAAAAAAAA_000001_000011.mp4",
    ]
    assert "1 of 2 annotated videos have no file: BBBBBBBBBBB" in caplog.text
    assert "Passed over for want of a folder with videos" in caplog.text
    assert "test.csv" in caplog.text


def test_find_kinetics_needs_a_csv_for_every_folder(tmp_path):
    touch(tmp_path, "val/AAAAAAAAAAA_000001_000011.mp4")
    write_csv(tmp_path, "train", "zumba,AAAAAAAAAAA,1,11")
    with pytest.raises(
        ValueError,
        match=r"val must have its annotations in .*val\.csv, got train\.csv there\.",
    ):
        videos.find(tmp_path, "k400")


@pytest.mark.parametrize("release", ["folder", "k400"])
def test_find_shows_the_layout_where_there_is_no_split(tmp_path, release):
    touch(tmp_path, "videos/one.mp4", "readme.txt")
    with pytest.raises(ValueError, match=r"one split, got readme.txt, videos/"):
        videos.find(tmp_path, release)
    with pytest.raises(ValueError, match=r"Expected:\n  <manual_dir>/"):
        videos.find(tmp_path, release)


@pytest.mark.parametrize("release", ["folder", "k400"])
def test_find_needs_one_annotated_video_a_split(tmp_path, release):
    write_csv(tmp_path, "train", "zumba,AAAAAAAAAAA,1,11")
    touch(tmp_path, "train/stray.mp4")
    with pytest.raises(
        ValueError,
        match=r"at least one annotated video, got [01] annotations and 1 other"
        " video files: train/stray.mp4",
    ):
        videos.find(tmp_path, release)


def test_find_refuses_two_folders_for_a_split(tmp_path):
    touch(tmp_path, "val/a/one.mp4", "validation/a/one.mp4")
    with pytest.raises(ValueError, match=r"one folder a split, got val and validation"):
        videos.find(tmp_path, "folder")
