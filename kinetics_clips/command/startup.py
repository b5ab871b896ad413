"""Tells what kind of process this is, before it imports for seconds; prepares ours."""

import codecs
import contextlib
import io
import itertools
import os
import select
import signal
import sys
from pathlib import PurePath
from types import FrameType
from typing import Any, TextIO

STOPPED = 130  # the exit code, as a shell's after Ctrl-C

# What we print beyond ASCII, where a terminal has no more. Bytes of a file's name that
# are no text go out as they came in; all other characters as `\xNN` and the like.
_IN_ASCII = {"±": "+-"}
_ERRORS = "kinetics_clips.in_ascii"


def is_command() -> bool:
    """Returns whether this process is the command, and no program that imports us."""
    if not sys.argv or not sys.argv[0]:  # embedded, or at a prompt
        return False
    if PurePath(sys.argv[0]).stem == "kinetics-clips":
        return True
    # What Python says while it looks for the module that it is to run.
    options = itertools.pairwise(sys.orig_argv)
    return sys.argv[0] == "-m" and ("-m", "kinetics_clips") in options


def is_worker() -> bool:
    """Returns whether this process is one of ours, which encode or decode alone."""
    if "kinetics_clips_decoder" in sys.orig_argv:
        return True
    return "loky.backend.popen_loky_posix" in sys.orig_argv and any(
        word.startswith("pebble_pool_worker") for word in sys.orig_argv
    )


def prepare() -> None:
    """Makes Ctrl-C and SIGTERM end the process in a word, and its streams go on."""
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is default:  # some are started to ignore them
            signal.signal(number, _stop)
    prepare_streams()


def stop_by_exceptions() -> None:
    """Makes Ctrl-C and SIGTERM raise KeyboardInterrupt, as soon as there is a catch."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What batch systems send: end as on Ctrl-C, with the workers and nothing left over.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def prepare_streams() -> None:
    """Makes the standard streams take any text, and go on when nobody reads them.

    One that is closed is opened, on nothing: the next file that is opened would take
    its place, and get what is printed.
    """
    codecs.register_error(_ERRORS, _in_ascii)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Takes the lowest number that is free, for the workers too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = _going_on(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _going_on(sys.stderr, sys.__stderr__, 2)


def _stop(number: int, frame: FrameType | None) -> None:
    # At once: nothing is there yet that would have to be left in order, and an import
    # takes exceptions for its own.
    with contextlib.suppress(OSError):
        os.write(2, b"kinetics-clips: stopped\n")
    os._exit(STOPPED)


def _going_on(
    stream: TextIO | None, original: TextIO | None, descriptor: int
) -> TextIO | Any:
    """Returns a standard stream that never fails; another's own stays as it is."""
    if stream is not original:
        return stream
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_GoingOn(descriptor, "wb", closefd=False)),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=_ERRORS,
        line_buffering=True,
    )


class _GoingOn(io.FileIO):
    """A stream that, when nothing can be written to it any more, swallows the rest.

    Such as a pipe to `head`, or a log on a full disk: the work is worth more.
    """

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:  # it is not to wait
                select.select([], [self], [])
            return written
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return len(data)


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    after = error.start + 1
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), after
    escaped = character.encode("ascii", "backslashreplace").decode("ascii")
    return _IN_ASCII.get(character, escaped), after
