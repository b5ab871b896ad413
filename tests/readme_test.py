"""Runs the README's Python, on the demo's dataset, and compares what it prints."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, build, marks_of, write_tree
from processes import run_tensorflow

from kinetics_clips.command import demo, synthetic

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BEFORE, RECIPES, AFTER = re.split(r"^## (?=Recipes\n|Build\n)", README, flags=re.M)
RECIPES = re.split(r"^### ", RECIPES, flags=re.M)[1:]
PYTHON = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", re.DOTALL)
FILE = re.compile(r"```toml\n# (\S+)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"```sh\n([^`]*kinetics_clips_demo[^`]*)```")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("readme")
    demo.run(directory / "kinetics_clips_demo")
    return directory


@pytest.mark.slow
def test_the_readme_prints_what_it_says(directory, monkeypatch):
    monkeypatch.chdir(directory)
    names: dict = {}  # the blocks build on one another
    blocks = PYTHON.findall(BEFORE + AFTER)
    assert len(blocks) == (BEFORE + AFTER).count("```python") > 0
    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "README.md", "exec"), names)
        # TFDS announces what it builds before.
        assert printed.getvalue().endswith(expected)


def _marks(recipe: str) -> list:
    libraries = re.findall(r"^import (grain|jax|torch)$", recipe, re.MULTILINE)
    return [mark for name in libraries for mark in marks_of(name)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(text, id=text.partition("\n")[0], marks=_marks(text))
        for text in RECIPES
    ],
)
def test_a_recipe_runs_as_it_is(directory, monkeypatch, recipe):
    monkeypatch.chdir(directory)
    for name, content in FILE.findall(recipe):
        Path(name).write_text(content, encoding="utf-8")
    commands = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    for command in COMMAND.findall(recipe):
        subprocess.run(command, shell=True, check=True)
    blocks = PYTHON.findall(recipe)
    assert len(blocks) == recipe.count("```python")
    for code, expected in blocks:
        done = run_tensorflow("-c", code)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(expected)


@pytest.mark.slow
def test_the_keras_recipe_takes_videos_of_several_sizes(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train", {"a/one": 70, "b/two": 20})
    for height, width in ((240, 426), (256, 144)):
        path = tmp_path / f"videos/train/b/{height}.mp4"
        synthetic.write_video(path, 20, height=height, width=width)
    build(tmp_path / "videos", tmp_path / "kinetics_clips_demo")
    monkeypatch.chdir(tmp_path)
    (recipe,) = (text for text in RECIPES if text.startswith("Keras"))
    (code,) = (code for code, _ in PYTHON.findall(recipe))
    done = run_tensorflow("-c", code)
    assert done.returncode == 0, done.stderr
