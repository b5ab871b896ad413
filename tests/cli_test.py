import signal
import subprocess
import sys
import time

import cv2
import psutil
import pytest
from conftest import write_tree

import kinetics_clips
from kinetics_clips import cli


@pytest.fixture
def videos(tmp_path):
    write_tree(tmp_path / "my videos", "train", {"a/one": 6, "b/two": 8})
    return tmp_path / "my videos"


def run(*args, capsys):
    code = cli.main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_build_names_the_dataset_first_and_last(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path, "--short-side", 48]
    options += ["--jpeg-quality", 60, "--max-videos", 1, "--workers", 1]
    code, out, _ = run("build", "folder", *options, capsys=capsys)
    assert code == 0
    assert out[0] == "Building kinetics_clips/folder_48px_q60_1videos"
    path = tmp_path / "kinetics_clips/folder_48px_q60_1videos/1.0.0"
    assert out[-1] == f"Built kinetics_clips/folder_48px_q60_1videos at {path}"
    (clip,) = kinetics_clips.load_clips(
        "kinetics_clips/folder_48px_q60_1videos",
        "train",
        kinetics_clips.ClipSpec(length=2),
        data_dir=tmp_path,
    )
    assert clip["video"].shape == (2, 48, 64, 3)


def test_build_stops_at_what_is_there(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path, "--name", "my_lab"]
    code, out, _ = run("build", "folder", *options, capsys=capsys)
    assert (code, out[0]) == (0, "Building kinetics_clips/my_lab")
    report = tmp_path / "kinetics_clips/my_lab/1.0.0/build_report.csv"
    before = report.stat().st_ino

    code, _, err = run("build", "folder", *options, capsys=capsys)
    assert code == 1
    assert "kinetics_clips/my_lab exists: built 20" in err
    assert f"from {videos}, at {report.parent}." in err
    assert report.stat().st_ino == before

    # A wrong directory does not cost what is there.
    wrong = ["--manual-dir", videos / "train", *options[2:], "--overwrite"]
    code, _, err = run("build", "folder", *wrong, capsys=capsys)
    assert code == 1
    assert "must have a folder for at least one split" in err
    assert report.stat().st_ino == before

    write_tree(videos, "train", {"c/three": 5})
    code, out, _ = run("build", "folder", *options, "--overwrite", capsys=capsys)
    assert code == 0
    assert "c/three" in report.read_text()


def test_build_takes_frames_as_they_are(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path, "--short-side", "none"]
    code, out, _ = run("build", "folder", *options, capsys=capsys)
    assert (code, out[0]) == (0, "Building kinetics_clips/folder_fullsize")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--manual-dir", "{tmp}/nowhere"], "must be a directory with videos, got"),
        (["--manual-dir", "{tmp}/empty"], "must be a directory with videos, got"),
        (["--manual-dir", "{tmp}"], "must have a folder for at least one split, got"),
        (["--manual-dir", "{tmp}", "--jpeg-quality", "0"], "`jpeg_quality` must be"),
        (["--manual-dir", "{tmp}", "--workers", "0"], "`num_workers` must be"),
    ],
)
def test_build_says_what_is_wrong_in_one_go(tmp_path, capsys, options, message):
    (tmp_path / "empty").mkdir()
    options = [option.format(tmp=tmp_path) for option in options]
    code, _, err = run(
        "build", "folder", "--data-dir", tmp_path / "data", *options, capsys=capsys
    )
    assert code == 1
    assert "kinetics-clips: error: " in err
    assert message in err
    assert "Traceback" not in err


def test_build_refuses_remote_directories(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["build", "folder", "--manual-dir", "x", "--data-dir", "gs://a/b"])
    assert "must be a local directory, got gs://a/b" in capsys.readouterr().err


def test_demo_shows_the_whole_road_twice(tmp_path, capsys):
    for _ in range(2):
        code, out, _ = run("demo", "--data-dir", tmp_path, capsys=capsys)
        assert code == 0
        text = "\n".join(out)
        assert "[4, 64, 224, 224, 3]" in text
        assert " disc, " in text
        assert " clips/s on this machine" in text
        sheet = cv2.imread(str(tmp_path / "clips.png"))
        assert sheet.shape == (4 * (24 + 4 * 82), 16 * 82, 3)


def test_demo_leaves_another_dataset_alone(tmp_path, videos, capsys):
    run(
        "build", "folder", "--manual-dir", videos, "--data-dir", tmp_path, capsys=capsys
    )
    code, _, err = run("demo", "--data-dir", tmp_path, capsys=capsys)
    assert code == 1
    assert "must not hold another kinetics_clips/folder" in err


def test_ctrl_c_ends_the_command_and_its_workers(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    source = (tmp_path / "videos/train/a/one.mp4").read_bytes()
    for i in range(3000):
        (tmp_path / f"videos/train/a/{i}.mp4").write_bytes(source)
    command = [sys.executable, "-m", "kinetics_clips", "build", "folder"]
    command += ["--manual-dir", tmp_path / "videos", "--data-dir", tmp_path / "data"]
    command += ["--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    try:
        busy = psutil.Process(process.pid)
        end = time.monotonic() + 60
        # The pool's workers beside the helper process that loky keeps.
        while len(children := busy.children(recursive=True)) < 3:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        # As a terminal does: to the whole group.
        psutil.os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"kinetics-clips: stopped" in err
    assert b"Traceback" not in err
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert not list((tmp_path / "data").rglob("dataset_info.json"))
