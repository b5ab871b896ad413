"""Decodes one video and encodes its frames as JPEGs: the only video decoder."""

import contextlib
import dataclasses
import io
import math
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

# A TFRecord ends at 2 GiB; half of it leaves room for TFDS's own buffers.
MAX_BYTES = 1 << 30

# JPEG stores a side in 16 bits; libjpeg stops a little short of that.
_MAX_JPEG_SIDE = 65_500

# Healthy files are off by a frame or two from what their header promises.
_WHOLE_SHARE = 0.95

# Below it, linear interpolation is as true to the frame as INTER_AREA (within 2 dB of
# a band-limited reduction, measured), and five times as fast; above, it aliases.
_MAX_LINEAR_RATIO = 1.5

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
      fps: Stored frames a second. Stored frame `i` is the one whose timestamp is
        nearest to `i / fps` seconds after the first, so that a source of a variable
        rate comes out even. None stores every frame.
    """

    short_side: int | None
    jpeg_quality: int
    fps: float | None = None


@dataclasses.dataclass(frozen=True)
class EncodedVideo:
    """The frames of one video, in display order.

    Attributes:
      frames: One JPEG a frame.
      height: Of every frame, in pixels.
      width: Of every frame, in pixels.
      fps: Stored frames a second: as asked for, or `(num_frames - 1) / (time of the
        last frame - time of the first)` from the decoded timestamps; the header's rate
        where that is undefined, 0 where the header has none.
      truncated: Whether decoding ended under 95 % of the frames that the header
        promises.
      seconds: That it took; no part of what is stored.
    """

    frames: list[bytes]
    height: int
    width: int
    fps: float
    truncated: bool
    seconds: float = dataclasses.field(default=0.0, compare=False)

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
    """Decodes a whole video, from its first frame on, and encodes its frames.

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
    start = time.perf_counter()
    try:
        with _opened(source) as capture:
            encoded = _encode_frames(capture, settings)
            return dataclasses.replace(encoded, seconds=time.perf_counter() - start)
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
    header_fps = capture.get(cv2.CAP_PROP_FPS)
    header_fps = header_fps if 0 < header_fps < math.inf else 0.0
    times: list[float] = []
    frames = _read_frames(capture, times, header_fps)
    jpegs: list[bytes] = []
    num_bytes = 0
    scale = None
    for frame, copies in (
        _resampled(frames, times, settings.fps)
        if settings.fps
        else ((frame, 1) for frame in frames)
    ):
        # A stream may change its size on the way; what is stored does not.
        scale = scale or _Scaler(_stored_size(*frame.shape[:2], settings.short_side))
        jpeg = _encode_jpeg(scale(frame), options)
        num_bytes += len(jpeg) * copies
        if num_bytes > MAX_BYTES:
            raise VideoError(
                "too large",
                f"over {MAX_BYTES} bytes after {len(jpegs) + copies} frames",
            )
        jpegs += [jpeg] * copies
    if scale is None:
        raise VideoError("no frames", "a video stream of which no frame decodes")
    return EncodedVideo(
        frames=jpegs,
        height=scale.height,
        width=scale.width,
        fps=settings.fps or _frame_rate(times) or header_fps,
        truncated=len(times) < _WHOLE_SHARE * capture.get(cv2.CAP_PROP_FRAME_COUNT),
    )


def _read_frames(
    capture: cv2.VideoCapture, times: list[float], header_fps: float
) -> Iterator[np.ndarray]:
    """Yields decoded frames and appends their times, in seconds, which never fall.

    A frame's memory is used again two frames later.
    """
    buffers: list[np.ndarray | None] = [None, None]
    while True:
        decoded, frame = capture.read(buffers[len(times) % 2])
        if not decoded:
            return
        buffers[len(times) % 2] = frame
        now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if times and now <= times[-1]:  # some containers keep no timestamps
            now = times[-1] + (1 / header_fps if header_fps else 0.0)
        times.append(now)
        yield frame


def _resampled(
    frames: Iterable[np.ndarray], times: list[float], fps: float
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields the frames that are stored at a rate, with how often each is.

    Args:
      frames: Decoded frames; each must live until the next but one is asked for.
      times: Their times in seconds, filled as the frames are read.
      fps: Frames a second to come out.
    """
    num_out = 0
    previous = None
    for frame in frames:
        if previous is not None:
            # Of a tie the later frame takes all, whatever the rounding of the times.
            middle = (times[-2] + times[-1]) / 2 - times[0]
            copies = math.ceil(middle * fps - 1e-6) - num_out
            if copies > 0:
                num_out += copies
                yield previous, copies
        previous = frame
    if previous is not None:
        # The last frame lasts as long as the others do on average.
        num_in = len(times)
        duration = (times[-1] - times[0]) * num_in / max(num_in - 1, 1)
        copies = max(round(duration * fps), 1) - num_out
        if copies > 0:
            yield previous, copies


class _Scaler:
    """Scales frames to one size, into the same memory each time.

    Attributes:
      height: Of the result, in pixels.
      width: Of the result, in pixels.
    """

    def __init__(self, size: tuple[int, int]):
        self.height, self.width = size
        self._stepped: np.ndarray | None = None
        self._scaled: np.ndarray | None = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Returns the frame at the new size; valid until the next call."""
        # INTER_AREA is fast at whole ratios and slow at all others.
        step = self._whole_step(*frame.shape[:2])
        if step > 1:
            height, width = frame.shape[0] // step, frame.shape[1] // step
            frame = self._stepped = cv2.resize(
                frame, (width, height), dst=self._stepped, interpolation=cv2.INTER_AREA
            )
        if frame.shape[:2] == (self.height, self.width):
            return frame
        ratio = max(frame.shape[0] / self.height, frame.shape[1] / self.width)
        self._scaled = cv2.resize(
            frame,
            (self.width, self.height),
            dst=self._scaled,
            interpolation=(
                cv2.INTER_LINEAR if ratio <= _MAX_LINEAR_RATIO else cv2.INTER_AREA
            ),
        )
        return self._scaled

    def _whole_step(self, height: int, width: int) -> int:
        ratio = min(height // self.height, width // self.width)
        steps = (k for k in range(ratio, 1, -1) if height % k == 0 == width % k)
        return next(steps, 1)


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


def _frame_rate(times: list[float]) -> float:
    elapsed = times[-1] - times[0]
    return (len(times) - 1) / elapsed if elapsed > 0 else 0.0
