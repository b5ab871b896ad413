"""Opens a video file and yields its decoded frames: the only video decoder."""

import contextlib
import io
import itertools
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kinetics_clips.wheels import av

# How often a demuxer may say, one time after the other, that it is to be asked again.
_MAX_TRIES = 1_000

# FFmpeg's containers for the suffixes in `sources.SUFFIXES`. Left to itself it would
# also take a text file that lists other files to open for a video.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg"

# Titles and comments may be in any encoding: PyAV reads them all from its 19 on.
_ANY_METADATA = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)


class VideoError(RuntimeError):
    """A video that cannot be stored.

    Attributes:
      reason: One of `missing`, `empty`, `not a video`, `no frames`, `too large`,
        `unreadable name`, `crash`, `timeout`, `unreadable`.
      detail: What was found, for a person; may be empty.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class _File(io.FileIO):
    """A video's file, of which a disk that fails is not its end.

    FFmpeg takes an error for the end of what there is, and some formats say nothing of
    it.
    """

    _error: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            self._error = error
            raise

    def __exit__(self, kind, error, traceback) -> None:
        super().__exit__(kind, error, traceback)
        if self._error:
            reason = in_words(self._error)
            raise VideoError("unreadable", reason) from self._error


def file_of(source: Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not stat.S_ISREG(source.stat().st_mode):  # opening a FIFO would wait for ever
        raise VideoError("not a video", "not a regular file")
    return _File(source)


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator[av.container.InputContainer]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not size:
        raise VideoError("empty", "0 bytes")
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        # Not `options`, which are for streams too: PyAV below 17 crashes on those that
        # a container such as MPEG's shows only later.
        container = av.open(file, container_options=options, **_ANY_METADATA)
    except (av.FFmpegError, ValueError) as error:
        detail = f"{size} bytes, {in_words(error)}"
        raise VideoError("not a video", detail) from error
    with container:
        stream = container.streams.best("video")
        if stream is None:
            raise VideoError("not a video", f"no video stream in its {size} bytes")
        if stream.codec_context is None:
            raise VideoError("unreadable", "its codec is unknown, or has no decoder")
        yield container


def in_words(error: Exception) -> str:
    """Returns what an error says, without the number and the file of a system's."""
    return getattr(error, "strerror", None) or str(error).strip()


def decode(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """Yields all frames that can be decoded; damaged packets cost theirs alone."""
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    for packet in itertools.chain(_packets(container, stream), [None]):
        try:
            # None, after the last, makes the decoder give out what it holds.
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            frames = []
        yield from frames


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.Packet]:
    """Yields all packets that can be read."""
    num_tries = 0
    while num_tries < _MAX_TRIES:
        try:
            for packet in container.demux(stream):
                num_tries = 0
                yield packet
            return
        except av.error.BlockingIOError:  # where a transport stream has lost its place
            num_tries += 1
        except av.FFmpegError:  # the file ends here
            return
