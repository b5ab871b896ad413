"""Decodes one video and encodes its frames as JPEGs: the only video decoder."""

import contextlib
import dataclasses
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

# A TFRecord ends at 2 GiB; half of it leaves room for TFDS's own buffers.
MAX_BYTES = 1 << 30

# JPEG stores a side in 16 bits; libjpeg stops a little short of that.
_MAX_JPEG_SIDE = 65_500

# Healthy files are off by a frame or two from what their header promises.
_WHOLE_SHARE = 0.95

# FFmpeg's containers for the suffixes in `videos.SUFFIXES`. Left to itself it would
# also take a text file that lists other files to open for a video.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg"


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


@dataclasses.dataclass(frozen=True)
class EncodeSettings:
    """How frames are scaled and encoded.

    Attributes:
      short_side: Pixels that the shorter side of a frame is scaled down to, its aspect
        kept; smaller frames stay as they are. None keeps every frame as it is.
      jpeg_quality: JPEG quality, in [1, 100].
    """

    short_side: int | None
    jpeg_quality: int


@dataclasses.dataclass(frozen=True)
class EncodedVideo:
    """The frames of one video, in display order.

    Attributes:
      frames: One JPEG a frame.
      height: Of every frame, in pixels.
      width: Of every frame, in pixels.
      fps: `(num_frames - 1) / (time of the last frame - time of the first)` from the
        decoded timestamps; the header's rate where that is undefined, 0 where the
        header has none.
      truncated: Whether decoding ended under 95 % of the frames that the header
        promises.
    """

    frames: list[bytes]
    height: int
    width: int
    fps: float
    truncated: bool

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.frames))


def configure_process() -> None:
    """Prepares a process that does nothing but encode; call it before any decoding.

    One thread a process, because the processes already fill the cores, and no FFmpeg
    messages: what they say comes back as a `VideoError`.
    """
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # AV_LOG_QUIET
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"format_whitelist;{_CONTAINERS}"
    set_log_level = getattr(cv2, "setLogLevel", None)  # OpenCV 4; 5 has moved it
    (set_log_level or cv2.utils.logging.setLogLevel)(0)
    cv2.setNumThreads(1)


def encode(source: Path | bytes, settings: EncodeSettings) -> EncodedVideo:
    """Decodes a whole video, from its first frame on, and encodes every frame.

    Rotation metadata is honoured. Frames are counted, never sought; a video that stops
    decoding early keeps what it has.

    Args:
      source: The file's path, or its content.
      settings: How to scale and encode.

    Returns:
      The encoded frames; at least one.

    Raises:
      VideoError: If nothing can be stored; its `reason` says why.
    """
    try:
        with _opened(source) as capture:
            return _encode_frames(capture, settings)
    except cv2.error as error:
        raise VideoError("unreadable", str(error).strip()) from error


@contextlib.contextmanager
def _opened(source: Path | bytes) -> Iterator[cv2.VideoCapture]:
    if isinstance(source, bytes):
        # Kept until the end: OpenCV reads from it, but holds no reference to it.
        size, argument = len(source), io.BytesIO(source)
    else:
        size, argument = _file_size(source), os.fspath(source.absolute())
    if not size:
        raise VideoError("empty", "0 bytes")
    # CAP_FFMPEG alone: OpenCV's other backends would read an image or a camera.
    capture = cv2.VideoCapture(argument, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise VideoError("not a video", f"no video stream in its {size} bytes")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    finally:
        capture.release()


def _file_size(path: Path) -> int:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a FIFO would wait for ever
            raise VideoError("not a video", "not a regular file")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise VideoError("unreadable", error.strerror or str(error)) from error
    return status.st_size


def _encode_frames(capture: cv2.VideoCapture, settings: EncodeSettings) -> EncodedVideo:
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality]
    jpegs: list[bytes] = []
    num_bytes = 0
    frame = scaled = size = None
    first_ms = last_ms = 0.0
    while True:
        decoded, frame = capture.read(frame)  # into the same memory each time
        if not decoded:
            break
        last_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
        if size is None:
            first_ms = last_ms
            size = _stored_size(*frame.shape[:2], settings.short_side)
        # A stream may change its size on the way; what is stored does not.
        if frame.shape[:2] != size:
            scaled = cv2.resize(
                frame, size[::-1], dst=scaled, interpolation=cv2.INTER_AREA
            )
        else:
            scaled = frame
        jpegs.append(_encode_jpeg(scaled, options))
        num_bytes += len(jpegs[-1])
        if num_bytes > MAX_BYTES:
            raise VideoError(
                "too large", f"over {MAX_BYTES} bytes after {len(jpegs)} frames"
            )
    if size is None:
        raise VideoError("no frames", "a video stream of which no frame decodes")
    return EncodedVideo(
        frames=jpegs,
        height=size[0],
        width=size[1],
        fps=_frame_rate(capture, len(jpegs), last_ms - first_ms),
        truncated=(len(jpegs) < _WHOLE_SHARE * capture.get(cv2.CAP_PROP_FRAME_COUNT)),
    )


def _stored_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Returns (height, width) with the short side scaled down to `short_side`."""
    short = min(height, width)
    if short_side is not None and short > short_side:
        height = (height * short_side + short // 2) // short
        width = (width * short_side + short // 2) // short
    if max(height, width) > _MAX_JPEG_SIDE:
        raise VideoError(
            "too large", f"{width}x{height}: a JPEG's side ends at {_MAX_JPEG_SIDE}"
        )
    return height, width


def _encode_jpeg(frame: np.ndarray, options: list[int]) -> bytes:
    encoded, jpeg = cv2.imencode(".jpg", frame, options)
    if not encoded:
        raise VideoError("unreadable", "OpenCV could not encode a frame")
    return jpeg.tobytes()


def _frame_rate(capture: cv2.VideoCapture, num_frames: int, elapsed_ms: float) -> float:
    if num_frames > 1 and elapsed_ms > 0:
        return (num_frames - 1) / elapsed_ms * 1000.0
    header = capture.get(cv2.CAP_PROP_FPS)
    return header if 0 < header < float("inf") else 0.0
