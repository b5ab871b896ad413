"""The package's types are without an error, and say what users may write."""

import importlib.util
import subprocess
import sys

import pytest
from conftest import REPOSITORY


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="mypy is not installed"
)
def test_mypy_finds_no_error_in_the_package_nor_in_what_users_write(tmp_path):
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)),
            *("kinetics_clips", "tests/typing/user_code.py"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
