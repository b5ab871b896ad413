import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import psutil
import pytest
import tensorflow_datasets as tfds
from conftest import DUMMY_DATA, build, read_report, write_tree
from processes import TensorFlowProcess, run_tensorflow

import kinetics_clips
from kinetics_clips.command import arguments, cli, synthetic
from kinetics_clips.write import resume
from kinetics_clips.write.encoder import Encoder
from kinetics_clips.write.frames import EncodeSettings


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
    options += ["--num-shards", 1]
    code, out, _ = run("build", "folder", *options, capsys=capsys)
    assert code == 0
    assert out[0] == "Building kinetics_clips/folder_48px_q60_1videos"
    path = tmp_path / "kinetics_clips/folder_48px_q60_1videos/2.0.0"
    assert out[-1] == f"Built kinetics_clips/folder_48px_q60_1videos at {path}"
    page = path / "build_report.html"
    # Of two classes, one video.
    assert f"Fit to train on, but look at what is marked: {page}" in out
    (look,) = (line for line in out if line.startswith("To look at it: "))
    name, *words = shlex.split(look.removeprefix("To look at it:"))
    assert name == "kinetics-clips"
    code, *_ = run(*words, "--out", tmp_path / "clips.png", capsys=capsys)
    assert code == 0
    assert (tmp_path / "clips.png").stat().st_size > 1000
    (clip,) = kinetics_clips.load_clips(
        "kinetics_clips/folder_48px_q60_1videos",
        "train",
        kinetics_clips.ClipSpec(length=2),
        data_dir=tmp_path,
    )
    assert clip["video"].shape == (2, 48, 64, 3)


@pytest.mark.slow
def test_a_build_is_quiet_where_there_is_no_terminal(tmp_path, videos):
    (videos / "train/a/bad.mp4").write_text("no video")
    options = ["--manual-dir", videos, "--data-dir", tmp_path / "data"]
    done = run_tensorflow("-m", "kinetics_clips", "build", "folder", *options)
    assert done.returncode == 0
    assert re.sub(r" in \d\d:\d\d", "", done.stderr).splitlines() == [
        "scan: 3 files",
        "INFO train: 3 videos in class folders",
        "sample: 3 of 3 videos, 1 failed",
        "INFO train: 3 videos are taken",
        "WARNING train: train/a/bad.mp4: not a video (a text file of 8 bytes)",
        "encode train: 3 of 3 videos, 1 failed",
        "write train: 2 of 2 videos",
        "index train: 1 of 1 shards",
        "INFO train: 2 stored, 1 failed (1 not a video), 0 unmatched",
    ]
    assert "Downloading" not in done.stdout


@pytest.mark.slow
def test_build_stops_at_what_is_there(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path, "--name", "my_lab"]
    code, out, _ = run("build", "folder", *options, capsys=capsys)
    assert (code, out[0]) == (0, "Building kinetics_clips/my_lab")
    report = tmp_path / "kinetics_clips/my_lab/2.0.0/build_report.csv"
    before = report.stat().st_ino

    code, _, err = run("build", "folder", *options, capsys=capsys)
    assert code == 1
    assert "kinetics_clips/my_lab exists: built 20" in err
    assert f"from {videos}, at {report.parent}." in err
    assert report.stat().st_ino == before

    # The same name for something else is a mistake, not what is wanted.
    other = [*options, "--jpeg-quality", 60]
    code, _, err = run("build", "folder", *other, capsys=capsys)
    assert code == 1
    assert re.search(r"got 'my_lab': .*'jpeg_quality': 60.* built with .*: 85", err)
    assert report.stat().st_ino == before

    # A wrong directory does not cost what is there.
    wrong = ["--manual-dir", videos / "train", *options[2:], "--overwrite"]
    code, _, err = run("build", "folder", *wrong, capsys=capsys)
    assert code == 1
    assert "must hold at least one video in a class folder of any split" in err
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
        (["--manual-dir", "{tmp}/videos/train"], "of any split, got none"),
        (
            ["--manual-dir", "{tmp}", "--fps", "0"],
            "`--fps` must be a number in (0, 1000], got",
        ),
        (["--manual-dir", "{tmp}", "--jpeg-quality", "0"], "`--jpeg-quality` must be"),
        (["--manual-dir", "{tmp}", "--workers", "0"], "`--workers` must be"),
        (["--manual-dir", "{videos}", "--num-shards", "2"], "got 2, and 1 in train"),
        (["--manual-dir", "{videos}", "--num-shards", "-1"], "got -1, and 1 in train"),
    ],
)
def test_build_says_what_is_wrong_in_one_go(tmp_path, capsys, options, message):
    (tmp_path / "empty").mkdir()
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    names = {"tmp": tmp_path, "videos": tmp_path / "videos"}
    options = [option.format(**names) for option in options]
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


@pytest.mark.slow
def test_demo_shows_the_whole_road_twice(tmp_path, capsys):
    for _ in range(2):
        code, out, _ = run("demo", "--data-dir", tmp_path, capsys=capsys)
        assert code == 0
        text = "\n".join(out)
        assert "[4, 64, 224, 224, 3]" in text
        assert " clips/s on this machine" in text
        (labels,) = (line.split()[1:] for line in out if line.startswith("  labels"))
        shown = kinetics_clips.show_clips(
            *("kinetics_clips/folder", "train", kinetics_clips.ClipSpec(crop=224)),
            num=4,
            data_dir=tmp_path,
        )
        assert " ".join(labels) == ", ".join(clip.label for clip in shown.clips)
        (check, build) = (shlex.split(line) for line in out[-2:])
        for words, name in ((check, "check"), (build, "build")):
            assert words[:2] == ["kinetics-clips", name]
            assert arguments.parser().parse_args(words[1:]).release == "folder"
        sheet = cv2.imread(str(tmp_path / "clips.png"))
        assert sheet.shape[0] > 4 * 112 and sheet.shape[1] > 8 * 112


def test_demo_leaves_another_dataset_alone(tmp_path, videos, capsys):
    run(
        "build", "folder", "--manual-dir", videos, "--data-dir", tmp_path, capsys=capsys
    )
    code, _, err = run("demo", "--data-dir", tmp_path, capsys=capsys)
    assert code == 1
    assert "must not hold another kinetics_clips/folder" in err


def command(*args) -> list:
    return [sys.executable, "-m", "kinetics_clips", *args]


def write_many(root, count, num_frames=4):
    """Writes copies of one video."""
    write_tree(root, "train", {"a/one": num_frames})
    source = (root / "train/a/one.mp4").read_bytes()
    for i in range(count - 1):
        (root / f"train/a/{i}.mp4").write_bytes(source)


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_build_and_its_workers(tmp_path, signal_number):
    write_many(tmp_path / "videos", 3000)
    process = TensorFlowProcess(
        *("-m", "kinetics_clips", "build", "folder", "--workers", "2"),
        *("--manual-dir", tmp_path / "videos", "--data-dir", tmp_path / "data"),
    )
    kept = tmp_path / "data/downloads/kinetics_clips/folder"
    try:
        end = time.monotonic() + 60
        while len(list(kept.glob("*/*.zip"))) < 40:
            assert time.monotonic() < end
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        if signal_number == signal.SIGINT:  # as a terminal does: to the whole group
            os.killpg(process.pid, signal_number)
        else:
            os.kill(process.pid, signal_number)
    finally:
        done = process.wait(timeout=15)
    assert done.returncode == 130
    assert "kinetics-clips: stopped; the same command goes on from here" in done.stderr
    assert "Traceback" not in done.stderr
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert not list((tmp_path / "data").rglob("incomplete.*_*"))
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


@pytest.mark.slow
def test_a_killed_build_goes_on_to_the_same_records(tmp_path):
    write_many(tmp_path / "videos", 100)
    command = ["-m", "kinetics_clips", "build", "folder"]
    options = ["--manual-dir", tmp_path / "videos", "--data-dir", tmp_path / "killed"]
    kept = tmp_path / "killed/downloads/kinetics_clips/folder"
    for num_kept in (10, 60, 100):
        process = TensorFlowProcess(*command, *options)
        try:
            end = time.monotonic() + 60
            while len(list(kept.glob("*/*.zip"))) < num_kept:
                assert time.monotonic() < end
                time.sleep(0.01)
        finally:
            process.kill()
    damaged = next(iter(kept.glob("*/*.zip")))
    damaged.write_bytes(damaged.read_bytes()[:-100])

    last = run_tensorflow(*command, *options)
    assert last.returncode == 0, last.stderr
    assert f"{damaged}: damaged, decoded again" in last.stderr
    assert not kept.exists()
    whole = build(tmp_path / "videos", tmp_path / "whole")
    killed = tfds.builder("kinetics_clips/folder", data_dir=tmp_path / "killed")
    assert read_report(killed) == read_report(whole)
    assert killed.info.splits["train"].shard_lengths == [100]
    encoded = {"decoders": {"video": kinetics_clips.EncodedFrames()}}
    for one, other in zip(
        tfds.as_numpy(whole.as_dataset(split="train", **encoded)),
        tfds.as_numpy(killed.as_dataset(split="train", **encoded)),
        strict=True,
    ):
        np.testing.assert_equal(one, other)


def test_a_build_that_was_killed_at_its_very_end_is_complete(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path]
    builder = build(videos, tmp_path)
    capsys.readouterr()
    kept = tmp_path / "downloads/kinetics_clips/folder"
    store = resume.Store(kept, {})
    store.finish(builder.info.metadata["built"])
    store.close()
    code, out, _ = run("build", "folder", *options, capsys=capsys)
    assert code == 0
    assert out[0] == "kinetics_clips/folder was complete when its build was killed"
    assert not kept.exists()


@pytest.mark.slow
def test_build_keeps_frames_where_it_is_told(tmp_path, videos, capsys, monkeypatch):
    options = ["--manual-dir", videos, "--data-dir", tmp_path / "data"]
    seen = []
    put = resume.Store.put

    def put_and_note(store, *args):
        seen.append(store.directory)
        put(store, *args)

    monkeypatch.setattr(resume.Store, "put", put_and_note)
    run("build", "folder", *options, "--no-resume", capsys=capsys)
    assert not seen
    for extra, directory in (
        ([], tmp_path / "data/downloads/kinetics_clips/folder"),
        (["--resume-dir", tmp_path / "kept"], tmp_path / "kept"),
    ):
        code, _, _ = run(
            "build", "folder", *options, "--overwrite", *extra, capsys=capsys
        )
        assert code == 0
        assert set(seen) == {directory}
        assert not directory.exists()
        seen.clear()


@pytest.mark.slow
def test_the_home_directory_is_found_where_no_shell_expands_it(
    tmp_path, videos, capsys, monkeypatch
):
    """As in `--data-dir=~/x`, of which shells leave `~` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    source = ["folder", "--manual-dir=~/my videos", "--data-dir=~/data"]
    assert run("check", *source, "--report=~/r.csv", capsys=capsys)[0] == 0
    code, out, _ = run("build", *source, "--resume-dir=~/kept", capsys=capsys)
    assert code == 0
    assert out[-1].endswith(f"at {tmp_path}/data/kinetics_clips/folder/2.0.0")
    words = ["--length=4", "--data-dir=~/data", "--out=~/clips.png"]
    assert run("preview", "kinetics_clips/folder", *words, capsys=capsys)[0] == 0
    directory = "~/data/kinetics_clips/folder/2.0.0"
    assert run("index", directory, capsys=capsys)[0] == 0
    assert {"clips.png", "data", "r.csv"} <= set(os.listdir(tmp_path))
    shown = kinetics_clips.show_clips(
        directory, "train", kinetics_clips.ClipSpec(length=4)
    )
    shown.save("~/again.png")
    assert (tmp_path / "again.png").is_file()
    assert os.listdir() == []


def let_no_file_grow():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.slow
@pytest.mark.parametrize("resumes", [True, False], ids=["kept frames", "shards"])
def test_a_write_that_fails_is_one_clear_line(tmp_path, videos, resumes):
    options = ["--manual-dir", videos, "--data-dir", tmp_path / "data"]
    options += [] if resumes else ["--no-resume"]
    done = subprocess.run(
        command("build", "folder", *options),
        preexec_fn=let_no_file_grow,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    (line,) = (line for line in lines if line.startswith("kinetics-clips:"))
    assert "error: " in line
    assert str(tmp_path / "data") in line
    assert "too large" in line.lower()
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


def test_a_data_dir_that_cannot_be_made_is_one_clear_line(tmp_path, videos, capsys):
    (tmp_path / "file").touch()
    options = ["--manual-dir", videos, "--data-dir", tmp_path / "file/data"]
    for extra in ([], ["--no-resume"]):
        code, _, err = run("build", "folder", *options, *extra, capsys=capsys)
        assert code == 1
        assert f"'{tmp_path}/file" in err.splitlines()[-1]
        assert "Traceback" not in err


@pytest.mark.slow
def test_build_stops_where_the_disk_cannot_hold_it(
    tmp_path, videos, capsys, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    options = ["--manual-dir", videos, "--data-dir", tmp_path / "data"]
    code, out, err = run("build", "folder", *options, capsys=capsys)
    assert code == 1
    assert "must have room for" in err and "1000 bytes free: not enough" in err
    assert not list((tmp_path / "data").rglob("kinetics_clips/folder/2.0.0"))
    # `check` says the same, and does not call it an error.
    code, out, err = run("check", "folder", *options, capsys=capsys)
    assert code == 0
    assert "1000 bytes free: not enough" in "\n".join(out)


@pytest.fixture
def k400(tmp_path):
    """A copy of which 1 of 3 videos is there, 1 is empty and 1 is missing."""
    root = tmp_path / "k400"
    (root / "val").mkdir(parents=True)
    names = [f"AAAAAAAAAA{i}_000001_000011" for i in range(3)]
    synthetic.write_video(root / f"val/{names[0]}.mp4", 30, height=48, width=64)
    (root / f"val/{names[1]}.mp4").touch()
    (root / "val/stray.mp4").write_bytes(b"x")
    rows = [f"zumba,{name[:11]},1,11,val\n" for name in names]
    (root / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\n" + "".join(rows)
    )
    return root


def test_build_stops_at_under_half_of_the_videos(tmp_path, k400, capsys, monkeypatch):
    options = ["--manual-dir", k400, "--data-dir", tmp_path]
    with monkeypatch.context() as patch:
        patch.setattr(kinetics_clips.Builder, "encode", None)  # before any decoding
        code, _, err = run("build", "k400", *options, capsys=capsys)
    assert code == 1
    assert "got 1 of 3 of validation" in err and "--allow-missing" in err
    assert not (tmp_path / "downloads").exists()
    code, _, _ = run("build", "k400", *options, "--allow-missing", capsys=capsys)
    assert code == 0
    builder = tfds.builder("kinetics_clips/k400", data_dir=tmp_path)
    assert builder.info.splits["validation"].num_examples == 1


def test_check_counts_without_decoding(tmp_path, k400, capsys, monkeypatch):
    monkeypatch.setattr(kinetics_clips.Builder, "encode", None)
    report_file = tmp_path / "found.csv"
    options = ["--manual-dir", k400, "--sample", 0, "--report", report_file]
    code, out, _ = run("check", "k400", *options, capsys=capsys)
    assert code == 0
    counts = {line.split()[0]: line.split()[1] for line in out[1:8]}
    assert out[0] == "validation"
    assert counts == {
        "annotated": "3",
        "found": "2",
        "missing": "1",
        "empty": "1",
        "unmatched": "1",
        "unlabelled": "0",
        "duplicates": "0",
    }
    assert "the official CSVs 19,906" in out[1]
    rows = [line.split(",")[3:6] for line in report_file.read_text().splitlines()]
    assert sorted(rows[1:]) == [
        ["", "failed", "missing"],
        ["val/AAAAAAAAAA0_000001_000011.mp4", "found", ""],
        ["val/AAAAAAAAAA1_000001_000011.mp4", "failed", "empty"],
        ["val/stray.mp4", "unmatched", ""],
    ]


def test_check_tells_the_cost_of_a_build_and_writes_nothing(tmp_path, capsys):
    write_many(tmp_path / "videos", 12, num_frames=30)
    data_dir = tmp_path / "data"
    options = ["--manual-dir", tmp_path / "videos", "--data-dir", data_dir]
    code, out, _ = run("check", "folder", *options, "--sample", 6, capsys=capsys)
    assert code == 0
    assert "by 6 of its 12 videos, encoded here by" in "\n".join(out)
    assert not data_dir.exists()
    _, text = next(line for line in out if "dataset" in line).split("dataset  ")
    number, unit = text.split(" ±")[0].split(",")[0].split()
    told = float(number) * {"KiB": 1 << 10, "MiB": 1 << 20}[unit]
    builder = build(tmp_path / "videos", data_dir)
    assert told == pytest.approx(int(builder.info.dataset_size), rel=0.05)


def test_check_decodes_all_and_names_the_bad(tmp_path, capsys, caplog):
    write_many(tmp_path / "videos", 3)
    (tmp_path / "videos/train/a/bad.mp4").write_text("no video")
    report_file = tmp_path / "found.csv"
    options = ["--manual-dir", tmp_path / "videos", "--data-dir", tmp_path]
    options += ["--decode", "--report", report_file]
    code, out, _ = run("check", "folder", *options, capsys=capsys)
    assert code == 0
    assert "train: 3 stored, 1 failed (1 not a video), 0 unmatched" in out
    assert "train/a/bad.mp4: not a video" in caplog.text
    rows = [line.split(",") for line in report_file.read_text().splitlines()]
    assert ["train/a/bad.mp4", "failed", "not a video"] in [row[3:6] for row in rows]


def test_check_of_a_wrong_directory_shows_the_layout(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    code, _, err = run("check", "k400", "--manual-dir", tmp_path, capsys=capsys)
    assert code == 1
    assert "it holds pictures/" in err and "Expected, with videos" in err


@pytest.mark.slow
def test_videos_that_all_fail_are_told_with_the_reason_first(tmp_path, capsys):
    for number in range(12):
        path = tmp_path / f"videos/train/a/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no video")
    options = ["--manual-dir", tmp_path / "videos", "--data-dir", tmp_path / "data"]
    why = (
        "failed: not a video (a text file of 8 bytes). `--manual-dir` must hold at "
        "least one video that can be stored, got train: 0 stored, "
    )
    for command_name in ("check", "build"):
        code, out, err = run(command_name, "folder", *options, capsys=capsys)
        assert code == 1
        assert f"kinetics-clips: error: All 12 videos {why}" in err
        assert not any("dataset" in line for line in out if "Building" not in line)
    code, _, err = run("check", "folder", *options, "--sample", 3, capsys=capsys)
    assert code == 1
    assert f"kinetics-clips: error: All 3 videos of the sample {why}" in err
    # Known before any is opened.
    for path in (tmp_path / "videos/train/a").iterdir():
        path.write_bytes(b"")
    for sample in (0, 50):
        extra = ["--sample", sample]
        code, _, err = run("check", "folder", *options, *extra, capsys=capsys)
        assert code == 1
        assert "error: All 12 videos failed: empty (0 bytes)." in err
    assert not (tmp_path / "data").exists() or not list(
        (tmp_path / "data").rglob("*.z")
    )


def test_a_build_without_the_command_tells_the_reason_first_too(tmp_path):
    (tmp_path / "videos/train/a").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"videos/train/a/{number}.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"^All 3 videos failed: not a video \(a text"):
        build(tmp_path / "videos", tmp_path / "data")


@pytest.mark.parametrize("option", ["--data-dir", "--resume-dir"])
@pytest.mark.parametrize("command_name", ["check", "build"])
def test_where_nothing_can_be_written_is_told_at_once(
    tmp_path, videos, capsys, command_name, option
):
    (tmp_path / "file").touch()
    options = {"--data-dir": tmp_path / "data", option: tmp_path / "file/below"}
    words = [word for pair in options.items() for word in pair]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(
        command_name, "folder", "--manual-dir", videos, *words, capsys=capsys
    )
    assert code == 1
    assert (
        f"error: `{option}` must be a directory in which a build can write, got "
        f"'{tmp_path}/file/below"
    ) in err
    assert f"': Not a directory. Choose another one with {option}." in err
    assert sorted(tmp_path.rglob("*")) == before
    # What can be told is told.
    assert any("dataset  " in line for line in out) == (command_name == "check")


@pytest.mark.slow
def test_check_and_build_tell_the_same_cost(tmp_path, capsys):
    write_many(tmp_path / "videos", 60, num_frames=10)
    (tmp_path / "videos/train/a/bad.mp4").write_text("no video")
    options = ["--manual-dir", tmp_path / "videos", "--data-dir", tmp_path / "data"]

    def costs(out):
        text = "\n".join(line for line in out if line.startswith("  "))
        # Others write to the disk meanwhile.
        return re.findall(r"dataset .*|disk .*?, (?=\d)|failed .*", text)

    _, out, _ = run("check", "folder", *options, capsys=capsys)
    told = costs(out)
    assert len(told) >= 2 and f"disk     {tmp_path / 'data'}: " in told[1]
    command = ["-m", "kinetics_clips", "build", "folder", *options]
    done = run_tensorflow(*command, "--num-shards", "99")
    assert done.returncode == 1  # after it has kept its sample
    assert costs(done.stdout.splitlines()) == told
    # Of what is kept by now, both need less.
    _, out, _ = run("check", "folder", *options, capsys=capsys)
    code, again, _ = run("build", "folder", *options, capsys=capsys)
    assert code == 0
    assert costs(out) == costs(again)
    assert costs(out)[0] == told[0] and costs(out)[1] != told[1]


@pytest.mark.slow
def test_bad_rows_are_one_error_or_counted_as_rows(tmp_path, capsys):
    shutil.copytree(DUMMY_DATA, tmp_path / "k400")
    with (tmp_path / "k400/annotations/train.csv").open("a") as file:
        file.write("zumba,#NAME?,1,11,train\nzumba,AAAAAAAAAA,1,11,train\n")
    options = ["k400", "--manual-dir", tmp_path / "k400", "--data-dir", tmp_path]
    for verb in ("check", "build"):
        code, _, err = run(verb, *options, capsys=capsys)
        assert code == 1
        assert "annotations/train.csv, line 5: youtube_id must be 11 letters" in err
        assert "Mend the 2 rows, or go on without: --skip-bad-rows" in err
    options.append("--skip-bad-rows")
    code, out, _ = run("check", *options, capsys=capsys)
    assert code == 0
    assert "  bad rows             2" in out
    assert not [line for line in out if "passed over" in line]
    code, out, _ = run("build", *options, "--allow-missing", capsys=capsys)
    assert code == 0
    names = "annotations/train.csv:5, annotations/train.csv:6"
    assert f"  2 bad rows are skipped: {names}" in out
    assert not [line for line in out if "passed over" in line]
    rows = read_report(tfds.builder("kinetics_clips/k400", data_dir=tmp_path))
    bad = [row for row in rows if row["reason"] == "bad row"]
    assert [row["filename"] for row in bad] == names.split(", ")
    assert "got '#NAME?'" in bad[0]["detail"]


@pytest.mark.slow
def test_sizes_and_classes_are_told_before_and_after(tmp_path, capsys):
    root = tmp_path / "videos"
    write_tree(root, "train", {"a/one": 4, "a/two": 4, "b/one": 4, "b/two": 4})
    write_tree(root, "validation", {"a/one": 4, "c/one": 4})
    synthetic.write_video(root / "train/a/wide.mp4", 4, height=48, width=96)
    options = ["--manual-dir", root, "--data-dir", tmp_path]
    expected = [
        "1 of 3 classes has no video to train on: c",
        "1 class to train on has no video in validation: b",
        "frames have 2 sizes: batches need a crop",
    ]
    for command_name in ("check", "build"):
        code, out, _ = run(command_name, "folder", *options, capsys=capsys)
        assert code == 0
        assert [line.strip() for line in out if line.strip() in expected] == expected


@pytest.mark.slow
def test_a_bug_in_a_worker_ends_every_command(tmp_path, videos, capsys, monkeypatch):
    settings = EncodeSettings(short_side="256", jpeg_quality=85)
    init = Encoder.__init__
    monkeypatch.setattr(
        Encoder, "__init__", lambda self, _, *others: init(self, settings, *others)
    )
    options = ["--manual-dir", videos, "--data-dir", tmp_path]
    for command_name in ("check", "build"):
        code, _, err = run(command_name, "folder", *options, capsys=capsys)
        assert code == 1
        assert "error: TypeError: '>' not supported" in err
        assert "This is a bug: please report it" in err
        assert "Traceback" not in err
    with pytest.raises(TypeError, match=r"'>' not supported") as raised:
        cli.main(["check", "folder", *map(str, options), "--debug"])
    assert "in _encode_frames" in str(raised.value.__cause__)  # which Python prints


def test_index_makes_an_index_and_verifies_the_dataset(data_dir, tmp_path, capsys):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    directory = tmp_path / "kinetics_clips/folder/2.0.0"
    path = directory / "train.frame_index"
    before = path.read_bytes()
    for dataset in (["kinetics_clips/folder", "--data-dir", tmp_path], [directory]):
        path.unlink()
        code, out, _ = run("index", *dataset, capsys=capsys)
        assert code == 0
        assert out == [
            f"Verified 4 videos of 1 shard, and indexed their frames: {path}",
            "Verified 1 video of 1 shard, and indexed their frames: "
            f"{directory / 'validation.frame_index'}",
        ]
        assert path.read_bytes() == before

    code, _, err = run("index", directory, "--workers", 0, capsys=capsys)
    assert code == 1
    assert "`--workers` must be at least 1, got 0" in err
    code, _, err = run("index", "nothing", "--data-dir", tmp_path, capsys=capsys)
    assert code == 1
    assert "must be a dataset that is built" in err

    (shard,) = directory.glob("*-train.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    code, _, err = run("index", directory, capsys=capsys)
    assert code == 1
    assert f"error: {shard} is damaged after " in err
    assert "Traceback" not in err
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_build_ends_with_an_index(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path]
    assert run("build", "folder", *options, capsys=capsys)[0] == 0
    for _ in range(2):
        source = kinetics_clips.ClipSource(
            "kinetics_clips/folder",
            "train",
            kinetics_clips.ClipSpec(length=2),
            data_dir=tmp_path,
        )
        assert {clip["video_id"] for clip in source} == {b"a/one", b"b/two"}
        # The old index does not outlive its shards.
        assert run("build", "folder", *options, "--overwrite", capsys=capsys)[0] == 0


@pytest.mark.slow
def test_preview_takes_all_fields_of_a_clip(data_dir, tmp_path, capsys):
    options = ["--data-dir", data_dir, "--num", 2, "--seed", 4, "--epoch", 1]
    options += ["--frames", 3, "--class", "blue", "--length", 6, "--windows", 2]
    for fields, suffix in (
        (["--stride", 3, "--crop", 64, "--crops", "three"], "png"),
        (["--fps", 10, "--area", 0.2, 0.8, "--size", 48, "--flip"], "webm"),
    ):
        out = tmp_path / f"clips.{suffix}"
        arguments = ["kinetics_clips/folder", *options, *fields, "--out", out]
        code, lines, err = run("preview", *arguments, capsys=capsys)
        assert (code, err) == (0, "")
        num_views = 12 if "--crops" in fields else 4
        assert lines == [f"{num_views} clips of kinetics_clips/folder/2.0.0: {out}"]
        assert out.stat().st_size > 1000
    shown = kinetics_clips.show_clips(
        "kinetics_clips/folder",
        spec=kinetics_clips.ClipSpec(
            length=6, windows=2, stride=3, crop=64, crops="three"
        ),
        num=2,
        class_name="blue",
        seed=4,
        epoch=1,
        num_frames=3,
        data_dir=data_dir,
    )
    sheet = cv2.imread(str(tmp_path / "clips.png"))[:, :, ::-1]
    np.testing.assert_array_equal(sheet, shown.sheet())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "clips.gif"], "`--out` must end with .png for a picture or .webm"),
        (["--split", "test"], "'test'"),
        (["--class", "green"], "`--class` must be one of the 2 classes of"),
        (["--class", "green"], "got 'green'. There is 'blue', 'red'"),
        (["--num", "0"], "`--num` must be at least 1, got 0"),
        (["--frames", "0"], "`--frames` must be at least 1, got 0"),
        (["--windows", "some"], "`--windows` must be 'random', 'center' or a number"),
        (["--area", "0.1", "0.5"], "`--area` needs a `--size`"),
        (["--out", "nowhere/clips.png"], "No such file or directory"),
    ],
)
def test_preview_says_what_is_wrong(data_dir, capsys, options, message):
    dataset = ["kinetics_clips/folder", "--data-dir", data_dir]
    code, out, err = run("preview", *dataset, *options, capsys=capsys)
    assert (code, out) == (1, [])
    assert err.startswith("kinetics-clips: error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_preview_of_streamed_records_is_quiet(streamed_dir, tmp_path):
    out = tmp_path / "clips.png"
    dataset = ["kinetics_clips/folder", "--data-dir", streamed_dir]
    done = subprocess.run(
        command("preview", *dataset, "--length", "4", "--out", out),
        capture_output=True,
        text=True,
        env={n: v for n, v in os.environ.items() if n != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert out.exists()


def test_commands_take_the_short_and_the_whole_name(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path]
    code, out, _ = run("build", "kinetics_clips/folder", *options, capsys=capsys)
    assert (code, out[0]) == (0, "Building kinetics_clips/folder")
    code, *_ = run("build", "folder", *options, "--name", "my_lab", capsys=capsys)
    assert code == 0
    for name in ("folder", "my_lab", "kinetics_clips/my_lab"):
        code, out, err = run("index", name, "--data-dir", tmp_path, capsys=capsys)
        assert code == 0, err
    code, _, err = run("index", "k400", "--data-dir", tmp_path, capsys=capsys)
    assert code == 1
    assert "kinetics_clips/k400" in err


def test_report_makes_the_page_again(data_dir, tmp_path, capsys):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    directory = tmp_path / "kinetics_clips/folder/2.0.0"
    path = directory / "build_report.html"
    path.unlink()
    for dataset in (["kinetics_clips/folder", "--data-dir", tmp_path], [directory]):
        assert run("report", *dataset, capsys=capsys) == (0, [str(path)], "")
        assert "videos of train are stored" in path.read_text()
    (directory / "build_report.csv").unlink()
    code, _, err = run("report", directory, capsys=capsys)
    assert code == 1
    assert "must be one that this package has built" in err


def test_debug_shows_where_an_error_comes_from(tmp_path, capsys):
    arguments = ["index", str(tmp_path / "nothing")]
    assert cli.main(arguments) == 1
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="must be a dataset that is built"):
        cli.main([*arguments, "--debug"])


def test_a_bug_is_a_line_too(monkeypatch, capsys):
    monkeypatch.setitem(cli._COMMANDS, "index", lambda args: {}[args.dataset])
    code, _, err = run("index", "x", capsys=capsys)
    assert code == 1
    assert err == (
        "kinetics-clips: error: KeyError: 'x'. This is a bug: please report it with "
        "what the same command prints with --debug.\n"
    )


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([name, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    example = shlex.split(text.split("example: ")[1])
    assert example[:2] == ["kinetics-clips", name]
    assert arguments.parser().parse_args(example[1:]).command == name


def test_help_tells_the_exit_codes(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    text = capsys.readouterr().out
    for code in (0, 1, 2, 130):
        assert re.search(rf"^  {code} +\w", text, re.MULTILINE)


@pytest.mark.slow
def test_a_build_goes_on_where_nobody_reads_its_output(tmp_path, videos):
    options = ["--manual-dir", str(videos), "--data-dir", str(tmp_path / "data")]
    words = shlex.join(map(str, command("build", "folder", *options)))
    done = subprocess.run(
        f"{words} | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "Building kinetics_clips/folder\n")
    assert "Broken pipe" not in done.stderr
    assert list((tmp_path / "data").rglob("build_report.html"))


def test_a_build_that_was_killed_before_its_page_makes_it(tmp_path, videos, capsys):
    options = ["--manual-dir", videos, "--data-dir", tmp_path]
    assert run("build", "folder", *options, capsys=capsys)[0] == 0
    page = tmp_path / "kinetics_clips/folder/2.0.0/build_report.html"
    page.unlink()
    store = resume.Store(tmp_path / "downloads/kinetics_clips/folder", {})
    builder = kinetics_clips.Builder(config="folder", data_dir=tmp_path)
    store.finish(builder.info.metadata["built"])
    store.close()
    assert run("build", "folder", *options, capsys=capsys)[0] == 0
    assert page.exists()
