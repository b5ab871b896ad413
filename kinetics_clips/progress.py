"""Shows how far things are: TFDS's bars, or those of the `kinetics-clips` command.

TFDS is imported where it is asked: workers import this module too, and show nothing.
"""

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Protocol

import tqdm

# Seconds between two lines of a bar, where there is no terminal to draw it in.
_LINE_EVERY = 30.0


class Bar(Protocol):
    """What is used of `tqdm`."""

    total: float | None

    def __iter__(self) -> Iterator[Any]: ...

    def __enter__(self) -> "Bar": ...

    def __exit__(self, *_: object) -> None: ...

    def set_postfix(self, refresh: bool = True, **notes: int) -> object: ...

    def update(self, n: int = 1) -> object: ...


def bar(iterable: Iterable[Any] | None = None, **options: object) -> Bar:
    """Returns what `tqdm` does; `tfds.disable_progress_bar()` turns it off.

    Args:
      iterable: Passed on while it is counted; None where `update` counts.
      **options: Those of `tqdm`, such as `desc`, `total` and `unit`.
    """
    import tensorflow_datasets as tfds

    # Looked up now: a command puts its own in TFDS's place.
    return tfds.core.utils.tqdm(iterable, **options)


def of_command() -> contextlib.AbstractContextManager[Any]:
    """Makes all bars, those of TFDS too, be the command's: one for each step.

    Where standard error is no terminal, each is a line now and then.
    """
    import tensorflow_datasets as tfds

    return tfds.core.utils.temporary_assignment(tfds.core.utils, "tqdm", _of_command)


@contextlib.contextmanager
def without_prints() -> Iterator[None]:
    """Keeps what TFDS prints of a download from a command's output, unless it fails."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            yield
        except Exception:
            print(printed.getvalue(), file=sys.stderr, end="")
            raise


def _of_command(
    iterable: Iterable[Any] | None = None,
    desc: str = "",
    unit: str = " it",
    **options: Any,
) -> Bar:
    if desc.startswith("Generating"):  # of all splits, and of what ours counts
        from tensorflow_datasets.core.utils import tqdm_utils

        return tqdm_utils.EmptyTqdm(iterable)
    # "Shuffling <directory>/<dataset>-<split>.tfrecord-...": when files are written
    if match := re.match(r"Shuffling .*-([^-/.]+)\.[^-/.]+-", desc):
        desc, unit = f"write {match[1]}", " videos"
    if sys.stderr.isatty():
        options |= {"leave": True, "dynamic_ncols": True}
        return tqdm.tqdm(iterable, desc=desc, unit=unit, **options)
    return _Lines(iterable, desc=desc, unit=unit, total=options.get("total"))


class _Lines:
    """What is used of `tqdm`, as lines on standard error.

    Attributes:
      n: Number of steps that are done.
      total: Number of steps in all; None where it is unknown.
    """

    def __init__(
        self,
        iterable: Iterable[Any] | None,
        desc: str,
        unit: str,
        total: int | None = None,
    ):
        self.n = 0
        self.total: float | None = total
        if total is None and isinstance(iterable, Sized):
            self.total = len(iterable)
        self._iterable = () if iterable is None else iterable
        self._desc, self._unit = desc, unit
        self._notes = ""
        self._start = self._last = time.monotonic()
        self._last_n = 0
        self._closed = False

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_postfix(self, refresh: bool = True, **notes: int) -> None:
        self._notes = "".join(f", {n:,} {what}" for what, n in notes.items() if n)

    def update(self, n: int = 1) -> None:
        self.n += n
        now = time.monotonic()
        if now >= self._last + _LINE_EVERY:
            rate = (self.n - self._last_n) / (now - self._last)
            text = f", {rate:.3g} a second"
            if self.total and rate:
                left = tqdm.tqdm.format_interval((self.total - self.n) / rate)
                text += f", {left} left"
            self._print(text)
            self._last, self._last_n = now, self.n

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            took = tqdm.tqdm.format_interval(time.monotonic() - self._start)
            self._print(f" in {took}")

    def _print(self, text: str) -> None:
        of_all = "" if self.total is None else f" of {self.total:,}"
        print(
            f"{self._desc}: {self.n:,}{of_all}{self._unit}{text}{self._notes}",
            file=sys.stderr,
            flush=True,
        )
