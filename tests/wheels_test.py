import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, write_tree

import kinetics_clips
from kinetics_clips import wheels

WHEELS = {
    "cv2": "opencv-python-headless",
    "av": "av",
    "simplejpeg": "simplejpeg",
    "tensorflow": "tensorflow",
    "apache_beam": "apache-beam",
}


def remedy(name: str) -> str:
    """Returns the end of what has to be said of a module that is not whole."""
    return f"Mend it: pip install --force-reinstall {WHEELS[name]}\n"


def run(root: Path, *words: object) -> subprocess.CompletedProcess:
    """Runs Python, which finds what lies in `root` before what is installed."""
    path = os.pathsep.join([str(root), str(REPOSITORY)])
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(
    params=[
        "",  # what pip leaves: a package that is there and has nothing in it
        "raise ModuleNotFoundError('No module named it')",
        "import lib_that_is_gone",
        "raise ImportError('libGL.so.1: cannot open shared object file')",
    ],
    ids=["empty", "gone", "without its library", "without libGL"],
)
def content(request) -> str:
    return request.param


def test_a_half_installed_wheel_is_an_error_that_tells_how_to_mend_it(
    tmp_path, content
):
    for name in WHEELS:
        (tmp_path / f"{name}.py").write_text(content)
    script = """
import sys
from kinetics_clips import wheels
for name in sys.argv[1:]:
    try:
        getattr(wheels, name)
    except ImportError as error:
        print(error)
"""
    done = run(tmp_path, "-c", script, *WHEELS)
    lines = done.stdout.splitlines(keepends=True)
    for (name, wheel), line in zip(WHEELS.items(), lines, strict=True):
        assert line.startswith(f"The package {wheel} must be installed as a whole to ")
        assert line.endswith(remedy(name))


def test_a_wheel_for_another_numpy_is_one_too(tmp_path):
    (tmp_path / "simplejpeg.py").write_text("raise ValueError('dtype size changed')")
    done = run(tmp_path, "-c", "import kinetics_clips.read.jpegs")
    assert "must be installed as a whole to encode and decode JPEGs, got" in done.stderr
    assert done.stderr.endswith(remedy("simplejpeg"))


def test_the_command_says_so_in_a_line(tmp_path, content):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    (tmp_path / "cv2.py").write_text(content)
    arguments = ["--manual-dir", tmp_path / "videos", "--data-dir", tmp_path / "data"]
    done = run(tmp_path, "-m", "kinetics_clips", "build", "folder", *arguments)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("kinetics-clips: error: The package opencv-python-headless")
    assert done.stderr.endswith(remedy("cv2"))
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


@pytest.mark.slow
def test_builder_and_readers_say_so_too(tmp_path, data_dir):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    (tmp_path / "cv2.py").write_text("")
    script = f"""
import kinetics_clips, tensorflow_datasets as tfds
spec = kinetics_clips.ClipSpec(length=2, size=32)
def build():
    config = tfds.download.DownloadConfig(manual_dir={str(tmp_path / "videos")!r})
    builder = kinetics_clips.Builder(config="folder", data_dir={str(tmp_path)!r})
    builder.download_and_prepare(download_config=config)
def source():
    arguments = ["kinetics_clips/folder", "train", spec]
    return kinetics_clips.ClipSource(*arguments, data_dir={str(data_dir)!r})
def load():
    arguments = ["kinetics_clips/folder", "train", spec]
    list(kinetics_clips.load_clips(*arguments, data_dir={str(data_dir)!r}))
for call in (build, lambda: source()[0], lambda: source().batch([0, 1]), load):
    try:
        call()
    except Exception as error:
        print("pip install --force-reinstall opencv-python-headless" in str(error))
spec = kinetics_clips.ClipSpec(length=2, crop=32)  # which needs none of it
print(source()[0]["video"].shape)
"""
    done = run(tmp_path, "-c", script)
    printed = done.stdout.splitlines()[-5:]
    assert printed == ["True"] * 4 + ["(2, 32, 32, 3)"], done.stderr


WITHOUT_EXTRAS = """
import importlib, importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    # Finds what this interpreter has, but for what only extras bring.

    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "apache_beam"):
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec), None)

sys.meta_path[:] = [Without(sys.meta_path[:])]
"""


def test_what_an_extra_brings_is_asked_for_in_a_line(tmp_path, data_dir):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    script = f"""{WITHOUT_EXTRAS}
import kinetics_clips, tensorflow_datasets as tfds

def build(**options):
    config = tfds.download.DownloadConfig(
        manual_dir={str(tmp_path / "videos")!r}, **options
    )
    builder = kinetics_clips.Builder(config="folder", data_dir={str(tmp_path)!r})
    builder.download_and_prepare(download_config=config)

for call in (
    build,
    lambda: kinetics_clips.load_clips,
    lambda: kinetics_clips.sample_clip,
    lambda: kinetics_clips.EncodedFrames().dtype,
    lambda: importlib.import_module("kinetics_clips.write.beam_pipeline"),
):
    try:
        call()
    except ModuleNotFoundError as error:
        print(error)
"""
    done = run(tmp_path, "-c", script)
    lines = done.stdout.splitlines()
    assert lines == [
        "TensorFlow is not installed: it is needed to build a dataset, and to read one "
        "in tf.data. Install it: pip install '.[tf]' in a clone of kinetics_clips."
    ] * 4 + [
        "Apache Beam is not installed: it is needed to build on a cluster. Install it: "
        "pip install '.[beam]' in a clone of kinetics_clips."
    ], done.stderr


@pytest.mark.slow
def test_reading_checking_indexing_and_drawing_need_no_extra(tmp_path, data_dir):
    write_tree(tmp_path / "videos", "train", {"a/one": 2})
    shutil.copytree(data_dir, tmp_path / "data")
    script = f"""{WITHOUT_EXTRAS}
import kinetics_clips
from kinetics_clips.command import cli

data, videos, out = {[str(tmp_path / name) for name in ("data", "videos", "a.png")]}
assert cli.main(["check", "folder", "--manual-dir", videos, "--data-dir", data]) == 0
assert cli.main(["index", "folder", "--data-dir", data]) == 0
assert cli.main(["preview", "folder", "--data-dir", data, "--out", out]) == 0
assert cli.main(["report", "folder", "--data-dir", data]) == 0
assert cli.main(["build", "folder", "--manual-dir", videos, "--data-dir", data]) == 1
source = kinetics_clips.ClipSource("kinetics_clips/folder", "train", data_dir=data)
print(source[0]["video"].shape[0])
"""
    done = run(tmp_path, "-c", script)
    assert done.stdout.splitlines()[-1:] == ["64"], done.stderr
    (error,) = (line for line in done.stderr.splitlines() if "error:" in line)
    assert error.startswith("kinetics-clips: error: TensorFlow is not installed: it")


def test_whole_wheels_are_what_they_are():
    import cv2

    assert wheels.cv2 is cv2
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        wheels.other  # noqa: B018
    assert set(wheels.__all__) == set(WHEELS)


def test_nothing_else_imports_them():
    """So that all of them tell how to mend it."""
    for path in Path(kinetics_clips.__file__).parent.rglob("*.py"):
        if path.name == "wheels.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                modules = [node.module]
            if modules:
                assert not {name.split(".")[0] for name in modules} & set(WHEELS), path
