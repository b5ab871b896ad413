"""Tests that comparing odd videos with the ffmpeg program tells right from wrong.

The comparison itself, of hundreds of videos, is `python benchmarks/soak.py odd`.
"""

import numpy as np
import odd
import odd_cases
import pytest
from odd_cases import Odd

from kinetics_clips.command import synthetic
from kinetics_clips.write import frames


def test_names_in_the_list_are_unique():
    _, odds = odd_cases.read(odd_cases._LIST.read_text())
    names = [video.name for video in odds]
    assert len(set(names)) == len(names) > 500


def test_braces_stand_for_every_combination():
    text = (
        "f() { :; }\n= a kind: fps=(30,), noted=''\n# Why.\n{a,b}_{1:2}.mp4  ff $1 $o\n"
    )
    definitions, odds = odd_cases.read(text)
    assert definitions == "f() { :; }\n"
    known = {"kind": "a kind", "command": "ff $1 $o", "fps": (30,), "noted": ""}
    assert odds == [
        Odd(f"a_kind-{letter}_1_2.mp4", choices=(letter, "1:2"), **known)
        for letter in "ab"
    ]


def test_videos_are_made_by_their_commands(tmp_path):
    definitions, odds = odd_cases.read(odd_cases._LIST.read_text())
    (mirrored,) = (video for video in odds if video.name == "turning-mirrored.mp4")
    synthetic.write_video(tmp_path / "base.mp4", 3, height=32, width=48)
    path = tmp_path / "mirrored.mp4"
    assert odd_cases._write(definitions, mirrored, path, tmp_path) == ""
    content = path.read_bytes()
    matrix = np.frombuffer(content, ">i4", 4, content.index(b"tkhd") + 44)
    assert matrix.tolist() == [-65536, 0, 0, 0]


def test_what_cannot_be_made_is_named(tmp_path):
    video = Odd("none.mp4", command="ff -i missing.mp4 $o")
    definitions, _ = odd_cases.read(odd_cases._LIST.read_text())
    error = odd_cases._write(definitions, video, tmp_path / "none.mp4", tmp_path)
    assert "missing.mp4" in error or "No such file" in error


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        ([0, 0.1, 0.2, 0.3], 10),
        ([0, 0.1, 7200.1, 7200.2], 10),
        ([0, 0.1, 82_944, 0.3, 0.4], 10),
        ([0, 30, 60], 1 / 30),
        ([5], 0),
        ([np.nan, np.nan], 0),
    ],
)
def test_the_usual_rate_leaves_gaps_out(times, rate):
    assert odd._usual_rate(np.array(times, float)) == pytest.approx(rate, rel=0.4)


@pytest.mark.slow
def test_a_folder_is_told_apart(tmp_path):
    synthetic.write_video(tmp_path / "right.mp4", 12, height=64, width=96)
    (tmp_path / "page.mp4").write_text("<!DOCTYPE html><html>404</html>")
    kinds, num_failed = odd.run(tmp_path, tmp_path)
    assert [tuple(kind) for kind in kinds] == [("folder", 2, 1, 1, 0)]
    assert num_failed == 0


def test_what_differs_is_said(tmp_path):
    path = tmp_path / "a.mp4"
    synthetic.write_video(path, 12, height=64, width=96)
    wrong = {
        "fps": Odd("a.mp4", fps=(99.0,)),
        "not 13": Odd("a.mp4", num_frames=13),
        "not said to be truncated": Odd("a.mp4", truncated=True),
        "nothing, expected HDR": Odd("a.mp4", noted="HDR"),
        "RGB is off by": Odd("a.mp4", shown_by="negate"),
        "frames are off by": Odd("a.mp4", shown_by="hflip"),
        "out of order": Odd("a.mp4", shown_by="reverse"),
        "flat colours are off by": Odd("a.mp4", shown_by="drawbox=c=0x808080:t=fill"),
    }
    stored = [frames.encode(path, settings) for settings in odd._SETTINGS]
    assert odd._wrong(path, Odd("a.mp4"), *stored) == []
    for what, video in wrong.items():
        assert what in "; ".join(odd._wrong(path, video, *stored))
