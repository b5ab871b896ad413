"""Makes the odd videos of `odd_videos.txt` with the ffmpeg program."""

import ast
import concurrent.futures
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import imageio_ffmpeg
import loky
import numpy as np

_LIST = Path(__file__).with_name("odd_videos.txt")

# What others are made of: a film, without B-frames, shorter, larger, without container.
_PARTS = """
ff $T $X base.mp4
ff $T $X -bf 0 nob.mp4
ff $L $X short.mp4
ff $B $X big.mp4
ff $L $X -bf 0 short.h264
ff $B $X -bf 0 big.h264
ff -f lavfi -i color=blue:s=640x480:d=0.1:r=10 -frames:v 1 still.png
ff -f lavfi -i testsrc=s=320x240:d=0.04 -frames:v 1 sleeve.jpg
"""
# RGB of flat areas, and their sides in pixels.
_PATCHES = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (235, 235, 235),
            (20, 20, 20), (128, 128, 128), (220, 200, 40), (205, 150, 120))  # fmt: skip
_SIDES = {"patches.ppm": 48, "patches_hd.ppm": 320}


class Odd(NamedTuple):
    """A video, and what is known of it besides what the ffmpeg program shows.

    Attributes:
      name: Of the file.
      kind: That it is of.
      command: In bash, that writes it.
      choices: The command's arguments.
      stored: Whether it is right to store it.
      reason: What the error says, as a regular expression, where it is right not to;
        with `stored`, either is.
      streams: Which may be taken, as of `-map`; empty = the one that ffmpeg takes.
      shown_by: Filters of ffmpeg's that show it as it should be, where without them it
        does not; empty = none.
      num_frames: That it has; None = as many as ffmpeg shows.
      fps: Rates that are right; none = as ffmpeg's times say, gaps left out.
      tolerance: Share by which a rate may differ.
      truncated: Whether it is; None = it is not, or ffmpeg complains and either is.
      noted: What notes say, as a regular expression; "" = there are none but those that
        ffmpeg gives a reason for; None = any.
      slanted: Whether it is turned by an angle that leaves black corners.
      any_shape: Whether the shape of its pixels is nonsense, or its size.
      any_length: Whether nobody can say how long it takes.
    """

    name: str
    kind: str = "folder"
    command: str = ""
    choices: tuple[str, ...] = ()
    stored: bool = True
    reason: str = ""
    streams: tuple[str, ...] = ("",)
    shown_by: str = ""
    num_frames: int | None = None
    fps: tuple[float, ...] = ()
    tolerance: float = 0.05
    truncated: bool | None = None
    noted: str | None = None
    slanted: bool = False
    any_shape: bool = False
    any_length: bool = False


def write(directory: Path) -> tuple[list[tuple[Path, Odd]], list[str]]:
    """Writes all of them; returns them, and what could not be made, and why."""
    definitions, odds = read(_LIST.read_text())
    parts = directory / "parts"
    parts.mkdir(parents=True)
    colours = np.array(_PATCHES, np.uint8).reshape(2, 4, 3)[:, :, ::-1]
    for name, side in _SIDES.items():
        cv2.imwrite(str(parts / name), colours.repeat(side, 0).repeat(side, 1))
    _bash(definitions + _PARTS, parts, parts)
    made, failed = [], []
    with concurrent.futures.ThreadPoolExecutor(loky.cpu_count()) as pool:
        paths = [directory / odd.name for odd in odds]
        errors = pool.map(
            lambda odd, path: _write(definitions, odd, path, parts), odds, paths
        )
        for odd, path, error in zip(odds, paths, errors, strict=True):
            if error:
                failed.append(f"{odd.name}: {error}")
            else:
                made.append((path, odd))
    return made, failed


def read(text: str) -> tuple[str, list[Odd]]:
    """Returns the definitions of a list, and its videos with their kinds in front."""
    definitions, *sections = re.split(r"^= ", text, flags=re.MULTILINE)
    odds = []
    for section in sections:
        header, *lines = section.splitlines()
        kind, _, known = header.partition(":")
        call = ast.parse(f"f({known})", mode="eval").body
        facts = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        folder = re.sub(r"\W+", "_", kind)
        for line in lines:
            if line and not line.startswith("#"):
                pattern, command = line.split(maxsplit=1)
                for name, choices in _expand(pattern):
                    name = f"{folder}-{re.sub('[:/]', '_', name)}"
                    odds.append(Odd(name, kind, command, choices, **facts))
    return definitions, odds


def _expand(pattern: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields the names that a pattern with braces stands for, and what was chosen."""
    around = re.split(r"\{.*?\}", pattern)
    braces = re.findall(r"\{(.*?)\}", pattern)
    for choices in itertools.product(*(brace.split(",") for brace in braces)):
        rest = zip(choices, around[1:], strict=True)
        yield around[0] + "".join(map("".join, rest)), choices


def _write(definitions: str, odd: Odd, path: Path, parts: Path) -> str:
    """Returns what went wrong."""
    try:
        _bash(definitions + odd.command, parts, path, odd.choices)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no reason given"
    return "" if path.exists() else "nothing is written"


def _bash(
    command: str, directory: Path, path: Path, arguments: Sequence[str] = ()
) -> None:
    """Runs a command where the parts are, for a path, with room of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(
            ["bash", "-c", command, "bash", *arguments],
            cwd=directory,
            env={
                **os.environ,
                "FFMPEG": imageio_ffmpeg.get_ffmpeg_exe(),
                "PYTHON": sys.executable,
                "o": str(path),
                "t": temporary,
            },
            capture_output=True,
            check=True,
        )
