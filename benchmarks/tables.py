"""Prints what was measured, and on what machine."""

import importlib.metadata
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import loky


class Row(NamedTuple):
    """A line of a table.

    Attributes:
      what: Was measured.
      figure: That came out.
      target: What it has to be, if anything.
      met: Whether it is; None without a target.
    """

    what: str
    figure: str
    target: str = ""
    met: bool | None = None


def ratio_row(
    what: str, ratios: Sequence[float], target: float | None = None, more: str = ""
) -> Row:
    """Returns the median of the rounds' ratios, with the least and the greatest."""
    median = statistics.median(ratios)
    figure = f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f}){more}"
    if target is None:
        return Row(what, figure)
    return Row(what, figure, f">= {target}", median >= target)


def show(title: str, rows: Sequence[Row]) -> None:
    """Prints rows, and which of the targets are met."""
    met = {None: "", True: "yes", False: "NO"}
    lines = [Row(title.upper(), "figure", "target"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    print()
    for line in lines:
        cells = [text.ljust(w) for text, w in zip(line[:3], widths, strict=True)]
        print(
            "  ".join([*cells, "met" if line is lines[0] else met[line.met]]).rstrip()
        )
    sys.stdout.flush()


def machine(packages: Iterable[str]) -> str:
    """Describes the machine, and the versions of what is measured."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    ffmpeg = subprocess.run(
        ["ffmpeg", "-version"], capture_output=True, text=True, check=True
    )
    return ", ".join(
        [
            f"{loky.cpu_count()} cores of {cpu[1] if cpu else 'an unknown CPU'}",
            f"Python {sys.version.split()[0]}",
            " ".join(ffmpeg.stdout.split()[:3]),
            *map(_with_version, packages),
        ]
    )


def _with_version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"
