"""Runs the README's Python, on the demo's dataset, and compares what it prints."""

import contextlib
import io
import re

import pytest
from conftest import REPOSITORY

from kinetics_clips import demo

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:```text\n(.*?)```)?", README, re.DOTALL)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("readme")
    demo.run(directory / "kinetics_clips_demo")
    return directory


def test_the_readme_prints_what_it_says(directory, monkeypatch):
    assert len(BLOCKS) == README.count("```python") > 0
    monkeypatch.chdir(directory)
    names: dict = {}  # the blocks build on one another
    for code, expected in BLOCKS:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "README.md", "exec"), names)
        # TFDS announces what it builds before.
        assert printed.getvalue().endswith(expected)
