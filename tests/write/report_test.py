import csv
from pathlib import Path

import pytest

from kinetics_clips.write import report
from kinetics_clips.write.annotations import Annotation
from kinetics_clips.write.frames import EncodedVideo
from kinetics_clips.write.report import Row
from kinetics_clips.write.sources import File
from kinetics_clips.write.videos import DUPLICATE, NO_ANNOTATION, Found, Split, Video


def video(video_id, filename="", label='a, "b"'):
    file = File(Path("x"), filename, 1, 0) if filename else None
    return Video(Annotation("train", video_id, label), file)


ROWS = [
    report.stored(
        video("one", "train/one.mp4"),
        EncodedVideo(
            [b"12", b"345"], 48, 64, 29.97, False, ("converted from HDR", "cropped")
        ),
    ),
    report.stored(
        video("two", "train/zwö.mp4"), EncodedVideo([b"1"], 48, 64, 0.0, True)
    ),
    report.failed(video("three", label=None), "missing", "no file of that name"),
    report.failed(
        video("bad\udce9", "train/bad\udce9.mp4"), "unreadable name", "é\udce9"
    ),
    *report.unmatched(
        Found(
            ["a"],
            [
                Split(
                    "test",
                    [],
                    {
                        "test/stray.mp4": (NO_ANNOTATION, ""),
                        "test/one.avi": (DUPLICATE, "one.mp4 is used"),
                    },
                )
            ],
            {"bad.tar": ("unreadable", "bad\udce9 header")},
        )
    ),
]


def test_write_makes_a_csv_with_every_column(tmp_path):
    path = tmp_path / "build_report.csv"
    report.write(path, ROWS)
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["split", "video_id", "label", "filename", "status", "reason", "detail",
         "num_frames", "height", "width", "fps", "bytes", "notes"],
        ["train", "one", 'a, "b"', "train/one.mp4", "stored", "", "", "2", "48",
         "64", "29.97", "5", "converted from HDR; cropped"],
        ["train", "two", 'a, "b"', "train/zwö.mp4", "stored", "truncated", "", "1",
         "48", "64", "0.0", "1", ""],
        ["train", "three", "", "", "failed", "missing", "no file of that name", "",
         "", "", "", "", ""],
        ["train", "bad\\xe9", 'a, "b"', "train/bad\\xe9.mp4", "failed",
         "unreadable name", "é\\xe9", "", "", "", "", "", ""],
        ["test", "", "", "test/stray.mp4", "unmatched", "", "", "", "", "", "", "", ""],
        ["test", "", "", "test/one.avi", "unmatched", "duplicate", "one.mp4 is used",
         "", "", "", "", "", ""],
        ["", "", "", "bad.tar", "unmatched", "unreadable", "bad\\xe9 header", "",
         "", "", "", "", ""],
    ]  # fmt: skip


def test_totals_count_by_split_and_reason():
    assert report.totals(ROWS) == {
        "train": {
            "stored": 2,
            "failed": 2,
            "unmatched": 0,
            "reasons": {"truncated": 1, "missing": 1, "unreadable name": 1},
        },
        "test": {
            "stored": 0,
            "failed": 0,
            "unmatched": 2,
            "reasons": {"duplicate": 1},
        },
        "": {"stored": 0, "failed": 0, "unmatched": 1, "reasons": {"unreadable": 1}},
    }


def test_summary_is_a_line_a_split():
    assert report.summary(ROWS).splitlines() == [
        "train: 2 stored (of which 1 truncated), "
        "2 failed (1 missing, 1 unreadable name), 0 unmatched",
        "test: 0 stored, 0 failed, 2 unmatched (1 no annotation, 1 duplicate)",
        "no split: 0 stored, 0 failed, 1 unmatched (1 unreadable)",
    ]


def failures(reason, *details, start=0):
    return [
        Row("train", str(n), "a", f"{n}.mp4", "failed", reason, detail)
        for n, detail in enumerate(details, start)
    ]


GOOD = Row("train", "good", "a", "good.mp4", "stored")
MISSING = Row("train", "gone", "a", "", "failed", "missing", "no file of that name")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ""),
        ([GOOD, MISSING, MISSING], ""),
        ([GOOD, *failures("empty", "0 bytes")], ""),
        (failures("empty", "0 bytes"), "The only video failed: empty (0 bytes)"),
        (
            [*failures("crash", *["TypeError"] * 12), MISSING],
            "All 12 videos failed: crash (TypeError)",
        ),
        (
            [*failures("no frames", "", ""), GOOD],
            "2 of 3 videos failed: no frames",
        ),
        (
            failures("not a video", "8 bytes", "9 bytes"),
            "All 2 videos failed: not a video (0.mp4: 8 bytes; others alike)",
        ),
        (
            failures("not a video", "8 bytes", "8 bytes") + failures("empty", ""),
            "All 3 videos failed: 2 not a video (8 bytes), 1 empty",
        ),
        (
            [row for n in range(5) for row in failures(f"reason {n}", "", start=n)],
            "All 5 videos failed: 1 reason 0, 1 reason 1, 1 reason 2, and others",
        ),
    ],
)
def test_why_most_failed(rows, expected):
    assert report.why_most_failed(rows) == expected
    lines = report.summary(rows).splitlines()
    assert lines[:1] == ([expected] if expected else lines[:1])
    assert len(lines) == bool(rows) + bool(expected)
    with pytest.raises(ValueError, match=r"`manual_dir` must hold at least one video"):
        raise report.nothing_stored(rows)


def test_read_gives_what_was_written(tmp_path):
    report.write(tmp_path / "rows.csv", ROWS)
    assert report.read(tmp_path / "rows.csv") == ROWS
