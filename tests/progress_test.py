import os
import pty
import subprocess
import sys
import termios
import threading

import pytest
import tensorflow_datasets as tfds

from kinetics_clips import progress


@pytest.fixture
def seconds(monkeypatch):
    """Sets the time that bars see."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_tell_how_far_it_is(capsys, seconds):
    with (
        progress.of_command(),
        progress.bar(total=4000, desc="encode train", unit=" videos") as bar,
    ):
        for _ in range(30):
            seconds[0] += 2
            bar.update(10)
            bar.set_postfix(failed=seconds[0] > 40, refresh=False)
        # The rate since the last line: what was kept of an earlier run goes fast.
        seconds[0] += 300
        bar.update(3000)
    assert capsys.readouterr().err.splitlines() == [
        "encode train: 150 of 4,000 videos, 5 a second, 12:50 left",
        "encode train: 300 of 4,000 videos, 5 a second, 12:20 left, 1 failed",
        "encode train: 3,300 of 4,000 videos, 10 a second, 01:10 left, 1 failed",
        "encode train: 3,300 of 4,000 videos in 06:00, 1 failed",
    ]


def test_lines_count_what_is_iterated(capsys, seconds):
    with progress.of_command():
        assert list(progress.bar([5, 6], desc="index", unit=" shards")) == [5, 6]
        with progress.bar(desc="scan", unit=" files") as bar:
            bar.update(1200)
            bar.update(False)
    assert capsys.readouterr().err.splitlines() == [
        "index: 2 of 2 shards in 00:00",
        "scan: 1,200 files in 00:00",
    ]


def test_bars_of_tfds_are_the_commands(capsys, seconds):
    with progress.of_command():
        assert list(tfds.core.utils.tqdm([1, 2], desc="Generating splits...")) == [1, 2]
        pattern = "/a-b/incomplete.X_2.0.0/kinetics_clips-train.tfrecord-[0-9]-of-[0-9]"
        rows = iter([1, 2])
        shuffled = tfds.core.utils.tqdm(
            rows, desc=f"Shuffling {pattern}...", total=2, unit=" examples", leave=False
        )
        assert list(shuffled) == [1, 2]
    assert capsys.readouterr().err == "write train: 2 of 2 videos in 00:00\n"


def test_outside_of_a_command_bars_are_those_of_tfds(capsys):
    before = tfds.core.utils.tqdm
    with progress.of_command():
        assert tfds.core.utils.tqdm is not before
    assert tfds.core.utils.tqdm is before
    tfds.disable_progress_bar()
    try:
        with progress.bar(total=2, desc="scan") as bar:
            bar.update()
            bar.total = 3
    finally:
        tfds.enable_progress_bar()
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_bars():
    script = (
        "from kinetics_clips import progress\n"
        "with progress.of_command():\n"
        "    with progress.bar(total=2, desc='encode', unit=' videos') as bar:\n"
        "        bar.update(2)\n"
        "        bar.set_postfix(failed=1)\n"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    # What is written has to be read meanwhile, and until the terminal is gone.
    written = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                written.append(chunk)
        except OSError:  # the other side is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run([sys.executable, "-c", script], stderr=theirs, check=True)
    os.close(theirs)
    reader.join()
    os.close(ours)
    text = b"".join(written).decode()
    assert "\r" in text
    assert "encode: 100%" in text and "2/2" in text and "failed=1" in text
