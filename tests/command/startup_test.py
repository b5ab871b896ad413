"""Runs the command where its streams fail, and stops it before it has begun."""

import codecs
import os
import shlex
import signal
import subprocess
import sys

import pytest
from conftest import write_tree

from kinetics_clips.command import startup

# Neither UTF-8 nor a way to it.
ASCII = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


# As many workers as there are videos to try would take longer to start.
OPTIONS = ["--workers", 1, "--manual-dir"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    write_tree(root, "train", {f"a/{n}": 6 + 2 * n for n in range(5)})
    (root / "train/a/bad \N{PLUS-MINUS SIGN} \N{BLACK HEART SUIT}.mp4").write_text("x")
    return root


def in_shell(*words: object, streams: str = "", **variables: str):
    """Runs the command with its streams as the shell makes them."""
    command = [sys.executable, "-m", "kinetics_clips", *words]
    return subprocess.run(
        f"{shlex.join(map(str, command))} {streams}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        timeout=120,
        env={**os.environ, **variables},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "streams",
    ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"],
    ids=["closed", "full"],
)
def test_a_build_goes_on_without_its_streams(videos, tmp_path, streams):
    options = [*OPTIONS, videos, "--data-dir", tmp_path]
    done = in_shell("build", "folder", *options, streams=streams)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(tmp_path.rglob("build_report.html"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "streams", [">&-", ">/dev/full", "| head -1; exit $PIPESTATUS"]
)
def test_a_check_goes_on_where_nobody_reads_it(videos, tmp_path, streams):
    options = [
        "--workers",
        1,
        "--manual-dir",
        videos,
        "--data-dir",
        tmp_path,
        "--report",
    ]
    done = in_shell("check", "folder", *options, tmp_path / "f.csv", streams=streams)
    assert done.returncode == 0
    assert b"rror" not in done.stderr.replace(b"annot", b"")
    assert done.stdout in (b"", b"train\n")
    assert (tmp_path / "f.csv").exists()


@pytest.mark.parametrize("streams", [">&-", ">/dev/full"])
def test_help_that_nobody_reads_is_no_error(streams):
    done = in_shell("--help", streams=streams)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_error_that_nobody_reads_keeps_its_exit_code(tmp_path):
    assert in_shell("index", tmp_path / "x", streams="2>&-").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("variables", [ASCII, {"PYTHONIOENCODING": "latin-1"}])
def test_a_terminal_without_unicode_gets_what_it_can_show(videos, tmp_path, variables):
    options = [
        "--workers",
        1,
        "--manual-dir",
        videos,
        "--data-dir",
        tmp_path / "d\xe4ta",
    ]
    done = in_shell("check", "folder", *options, "--sample", "3", **variables)
    assert b"Traceback" not in done.stderr
    if variables is ASCII:
        # What such a name is in this locale, TensorFlow cannot be told.
        assert done.returncode == 1
        assert b"Set PYTHONUTF8=1 in the environment" in done.stderr
        options[-1] = tmp_path
        done = in_shell("check", "folder", *options, "--sample", "3", **variables)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if b"  dataset" in line)
    sign = b" +- " if variables is ASCII else b" \xb1 "
    assert sign in line


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("5 \xb1 1", "ascii", b"5 +- 1"),
        ("5 \xb1 1", "latin-1", b"5 \xb1 1"),
        ("5 \xb1 1", "utf-8", "5 \xb1 1".encode()),
        ("tw\xf6 \u2665 \U0001f600", "ascii", rb"tw\xf6 \u2665 \U0001f600"),
        ("\udcf6.mp4", "utf-8", b"\xf6.mp4"),  # a name that is no text
        ("\udcf6.mp4", "ascii", b"\xf6.mp4"),
        ("\ud800", "utf-8", rb"\ud800"),
    ],
)
def test_any_text_can_be_printed(text, encoding, expected):
    startup.prepare_streams()
    assert codecs.encode(text, encoding, startup._ERRORS) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("as_module", [True, False], ids=["module", "script"])
def test_it_can_be_stopped_while_it_imports(tmp_path, number, as_module):
    # In the place of what takes most of the time.
    (tmp_path / "tensorflow_datasets.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)\n"
    )
    command = ["-m", "kinetics_clips"]
    if not as_module:  # as pip writes it
        command = [tmp_path / "kinetics-clips"]
        command[0].write_text("from kinetics_clips.command.cli import main\nmain()\n")
    paths = [str(tmp_path), *sys.path]
    done = subprocess.run(
        [sys.executable, *command, "check"],
        capture_output=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stdout) == (130, b"")
    assert done.stderr == b"kinetics-clips: stopped\n"


def test_who_imports_the_package_keeps_his_signals_and_streams(tmp_path):
    script = (
        "import signal, sys\n"
        "before = signal.getsignal(signal.SIGINT), sys.stdout, sys.stderr\n"
        "import kinetics_clips\n"
        "after = signal.getsignal(signal.SIGINT), sys.stdout, sys.stderr\n"
        "assert before == after\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
