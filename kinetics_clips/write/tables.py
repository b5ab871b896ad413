"""Reads tables that people have saved in their own dialects of CSV.

Columns may be separated by commas, semicolons, tabs or bars; the text may be UTF-8 or
UTF-16; comments, blank lines and a spreadsheet's `sep=;` may stand before the header,
whose names may be written in any case, with blanks or hyphens for underscores.
"""

import csv
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TextIO

_SEPARATORS = ",;\t|"

# Lines that may stand before the header; and characters of a line that are looked at,
# because one of a file that is no table may be of any length.
_MAX_LINES, _MAX_LINE = 100, 10_000


def columns(path: Path, known: Collection[str]) -> list[str]:
    """Returns the names of a table's columns, in lower case and with underscores.

    Args:
      path: The table.
      known: Names by which its header is found: the first line that has one of them,
        or else the first one that is no comment.

    Raises:
      ValueError: If the file is in no encoding that is known; names it.
    """
    with _opened(path) as file:
        return _header(file, known)[0]


def rows(path: Path, known: Collection[str]) -> Iterator[tuple[int, dict]]:
    """Yields the rows below a table's header, with the number of their last line.

    Args:
      path: The table.
      known: The names of columns that `columns` takes.

    Yields:
      Line number from 1 on, and the cells by column, without blanks around them; None
      for those that are missing.

    Raises:
      ValueError: If the file is no text in the encoding that it starts with, or a cell
        does not end; names file and line.
    """
    with _opened(path) as file:
        names, separator, skipped = _header(file, known)
        file.seek(0)
        reader = csv.reader(itertools.islice(file, skipped, None), delimiter=separator)
        try:
            for cells in reader:
                if not any(map(str.strip, cells)) or cells[0].startswith("# "):
                    continue
                row = dict.fromkeys(names)
                row.update(zip(names, map(str.strip, cells), strict=False))
                yield skipped + reader.line_num, row
        except UnicodeDecodeError as error:  # met a block ahead of the line
            raise _no_text(file, error) from error
        except csv.Error as error:
            line = skipped + reader.line_num
            raise ValueError(f"{path}, line {line}: {error}") from error


def start(path: Path) -> str:
    """Returns the first lines of a file, as text, whatever it holds."""
    try:
        with _opened(path, errors="replace") as file:
            return file.read(_MAX_LINE)
    except ValueError:
        return ""


def _opened(path: Path, errors: str = "strict") -> TextIO:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif head[1::2].count(0) > len(head) // 4:  # UTF-16 without its mark
        encoding = "utf-16-le"
    elif head[::2].count(0) > len(head) // 4:
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    return path.open(encoding=encoding, errors=errors, newline="")


def _no_text(file: TextIO, error: UnicodeDecodeError) -> ValueError:
    encoding = "UTF-16" if "16" in file.encoding else "UTF-8"
    return ValueError(
        f"{file.name} must be {encoding} text: {error}. Save it as UTF-8."
    )


def _header(file: TextIO, known: Collection[str]) -> tuple[list[str], str, int]:
    """Returns the names of the columns, what separates them, and lines up to there."""
    try:
        for number in range(1, _MAX_LINES + 1):
            line = file.readline(_MAX_LINE)
            if not line:
                break
            if not line.strip() or re.fullmatch(r"\s*sep=.\s*", line, re.IGNORECASE):
                continue
            found = [(_names(line, separator), separator) for separator in _SEPARATORS]
            names, separator = max(
                found, key=lambda one: (len(set(known) & set(one[0])), len(one[0]))
            )
            if set(known) & set(names) or not line.startswith("#"):
                return names, separator, number
    except UnicodeDecodeError as error:
        raise _no_text(file, error) from error
    return [], ",", 0


def _names(line: str, separator: str) -> list[str]:
    try:
        (cells,) = csv.reader([line.lstrip("# ").rstrip("\r\n")], delimiter=separator)
    except (csv.Error, ValueError):  # no cell ends, or there are several lines
        return []
    return [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]
