import csv
from pathlib import Path

from kinetics_clips import report
from kinetics_clips.annotations import Annotation
from kinetics_clips.frames import EncodedVideo
from kinetics_clips.videos import Video


def video(video_id, filename="", label='a, "b"'):
    return Video(Annotation("train", video_id, label), Path("x") / filename, filename)


ROWS = [
    report.stored(
        video("one", "train/one.mp4"),
        EncodedVideo([b"12", b"345"], 48, 64, 29.97, False),
    ),
    report.stored(
        video("two", "train/zwö.mp4"), EncodedVideo([b"1"], 48, 64, 0.0, True)
    ),
    report.failed(video("three", label=None), "missing"),
    report.failed(video("bad\udce9", "train/bad\\xe9.mp4"), "unreadable name"),
    report.unmatched("test", "test/stray.mp4"),
]


def test_write_makes_a_csv_with_every_column(tmp_path):
    path = tmp_path / "build_report.csv"
    report.write(path, ROWS)
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["split", "video_id", "label", "filename", "status", "reason", "num_frames",
         "height", "width", "fps", "bytes"],
        ["train", "one", 'a, "b"', "train/one.mp4", "stored", "", "2", "48", "64",
         "29.97", "5"],
        ["train", "two", 'a, "b"', "train/zwö.mp4", "stored", "truncated", "1", "48",
         "64", "0.0", "1"],
        ["train", "three", "", "", "failed", "missing", "", "", "", "", ""],
        ["train", "bad\\xe9", 'a, "b"', "train/bad\\xe9.mp4", "failed",
         "unreadable name", "", "", "", "", ""],
        ["test", "", "", "test/stray.mp4", "unmatched", "", "", "", "", "", ""],
    ]  # fmt: skip


def test_totals_count_by_split_and_reason():
    assert report.totals(ROWS) == {
        "train": {
            "stored": 2,
            "failed": 2,
            "unmatched": 0,
            "reasons": {"truncated": 1, "missing": 1, "unreadable name": 1},
        },
        "test": {"stored": 0, "failed": 0, "unmatched": 1, "reasons": {}},
    }


def test_summary_is_a_line_a_split():
    assert report.summary(ROWS).splitlines() == [
        "train: 2 stored, 2 failed, 0 unmatched "
        "(1 truncated, 1 missing, 1 unreadable name)",
        "test: 0 stored, 0 failed, 1 unmatched",
    ]
