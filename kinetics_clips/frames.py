"""Decodes one video and encodes its frames as JPEGs: the only video decoder."""

import contextlib
import dataclasses
import io
import itertools
import math
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import cv2
import numpy as np
import simplejpeg

# A TFRecord ends at 2 GiB; half of it leaves room for TFDS's own buffers.
MAX_BYTES = 1 << 30

# JPEG stores a side in 16 bits; libjpeg stops a little short of that.
_MAX_JPEG_SIDE = 65_500

# Healthy files are off by a frame or two from what their header promises.
_WHOLE_SHARE = 0.95

# Below it, linear interpolation is as true to the frame as INTER_AREA (within 2 dB of
# a band-limited reduction, measured), and five times as fast; above, it aliases.
_MAX_LINEAR_RATIO = 1.5

# How often a demuxer may say, one time after the other, that it is to be asked again.
_MAX_TRIES = 1_000

# Colours stay as the decoder gives them, in three planes: a JPEG holds the same ones.
# Half the bytes of RGB are scaled, and nothing is converted there and back.
_PIXEL_FORMATS = ("yuv420p", "yuvj420p")  # all others become the first
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG

# (factor, summand) from the range of a video, 16 to 235 for brightness and 16 to 240
# for colours, to that of a JPEG, 0 to 255; by whether it has that one.
_LEVELS = {
    False: (
        (255 / 219, -16 * 255 / 219),
        *((255 / 224, 0.5 - 16 * 255 / 224),) * 2,
    ),
    True: ((1.0, 0.0),) * 3,
}

# What frames depend on besides the settings.
LIBRARIES = {
    "av": av.__version__,
    "opencv": cv2.__version__,
    "simplejpeg": simplejpeg.__version__,
}

# FFmpeg's containers for the suffixes in `sources.SUFFIXES`. Left to itself it would
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
    av.logging.restore_default_callback()
    av.logging.set_libav_level(-8)  # AV_LOG_QUIET
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
        with _file(source) as file, _opened(file) as container:
            encoded = _encode_frames(container, settings)
    except (av.FFmpegError, cv2.error, MemoryError, OSError) as error:
        raise VideoError("unreadable", _in_words(error)) from error
    return dataclasses.replace(encoded, seconds=time.perf_counter() - start)


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
            reason = _in_words(self._error)
            raise VideoError("unreadable", reason) from self._error


def _file(source: Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not stat.S_ISREG(source.stat().st_mode):  # opening a FIFO would wait for ever
        raise VideoError("not a video", "not a regular file")
    return _File(source)


@contextlib.contextmanager
def _opened(file: BinaryIO) -> Iterator[av.container.InputContainer]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not size:
        raise VideoError("empty", "0 bytes")
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(file, options=options, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        detail = f"{size} bytes, {_in_words(error)}"
        raise VideoError("not a video", detail) from error
    with container:
        stream = container.streams.best("video")
        if stream is None:
            raise VideoError("not a video", f"no video stream in its {size} bytes")
        if stream.codec_context is None:
            raise VideoError("unreadable", "its codec is unknown, or has no decoder")
        yield container


def _in_words(error: Exception) -> str:
    """Returns what an error says, without the number and the file of a system's."""
    return getattr(error, "strerror", None) or str(error).strip()


class _Frame(NamedTuple):
    """A decoded frame.

    Attributes:
      planes: Brightness, `uint8 [height, width]`, and two of colour, of half its size
        rounded up.
      full_range: Whether they use all levels, as those of a JPEG do.
    """

    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    full_range: bool


def _encode_frames(
    container: av.container.InputContainer, settings: EncodeSettings
) -> EncodedVideo:
    stream = container.streams.best("video")
    header_fps = float(stream.guessed_rate or stream.average_rate or 0)
    times: list[float] = []
    frames = _read_frames(container, stream, times, header_fps)
    jpegs: list[bytes] = []
    num_bytes = 0
    encode_jpeg = None
    for frame, copies in (
        _resampled(frames, times, settings.fps)
        if settings.fps
        else ((frame, 1) for frame in frames)
    ):
        # A stream may change its size on the way; what is stored does not.
        encode_jpeg = encode_jpeg or _JpegEncoder(frame, settings)
        jpeg = encode_jpeg(frame)
        num_bytes += len(jpeg) * copies
        if num_bytes > MAX_BYTES:
            raise VideoError(
                "too large",
                f"over {MAX_BYTES} bytes after {len(jpegs) + copies} frames",
            )
        jpegs += [jpeg] * copies
    if encode_jpeg is None:
        raise VideoError("no frames", "a video stream of which no frame decodes")
    # A header counts frames, too, that an edit list hides; not all count them.
    by_duration = (container.duration or 0) / av.time_base * header_fps
    promised = min(filter(None, (stream.frames, by_duration)), default=0)
    return EncodedVideo(
        frames=jpegs,
        height=encode_jpeg.height,
        width=encode_jpeg.width,
        fps=settings.fps or _frame_rate(times) or header_fps,
        truncated=len(times) < _WHOLE_SHARE * promised,
    )


def _read_frames(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    times: list[float],
    header_fps: float,
) -> Iterator[_Frame]:
    """Yields decoded frames and appends their times, in seconds, which never fall."""
    for frame in _decode(container, stream):
        now = frame.time
        if now is None or (times and now <= times[-1]):  # some have no timestamps
            step = 1 / header_fps if header_fps else 0.0
            now = times[-1] + step if times else 0.0
        times.append(now)
        turned = frame.rotation % 360
        if frame.format.name not in _PIXEL_FORMATS:
            frame = frame.reformat(format=_PIXEL_FORMATS[0])
        full_range = frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE
        planes = [_pixels(plane) for plane in frame.planes]
        if turned in _ROTATIONS:
            planes = [cv2.rotate(plane, _ROTATIONS[turned]) for plane in planes]
        yield _Frame(tuple(planes), full_range)


# Of frames that are to be turned so many degrees against the clock.
_ROTATIONS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


def _decode(
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


def _pixels(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """Returns a plane as `uint8 [height, width]`, in the frame's own memory."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _resampled(
    frames: Iterable[_Frame], times: list[float], fps: float
) -> Iterator[tuple[_Frame, int]]:
    """Yields the frames that are stored at a rate, with how often each is.

    Args:
      frames: Decoded frames.
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


class _JpegEncoder:
    """Scales frames to the size of a first one's settings and encodes them.

    Attributes:
      height: Of the JPEGs, in pixels.
      width: Of the JPEGs, in pixels.
    """

    def __init__(self, first: _Frame, settings: EncodeSettings):
        self.height, self.width = _stored_size(
            *first.planes[0].shape, settings.short_side
        )
        half = (self.height + 1) // 2, (self.width + 1) // 2
        self._planes = [
            _Plane(*size) for size in ((self.height, self.width), half, half)
        ]
        self._quality = settings.jpeg_quality

    def __call__(self, frame: _Frame) -> bytes:
        """Returns the frame as a JPEG."""
        scaled = [
            plane.fill(pixels, *levels)
            for plane, pixels, levels in zip(
                self._planes, frame.planes, _LEVELS[frame.full_range], strict=True
            )
        ]
        return simplejpeg.encode_jpeg_yuv_planes(
            *scaled, quality=self._quality, fastdct=False
        )


class _Plane:
    """Scales planes to one size, into the same memory each time."""

    def __init__(self, height: int, width: int):
        self._height, self._width = height, width
        self._stepped: np.ndarray | None = None
        self._scaled: np.ndarray | None = None
        # libjpeg-turbo reads pairs of rows and columns, the last of which has to exist.
        self._memory = np.empty((height + height % 2, width + width % 2), np.uint8)

    def fill(self, pixels: np.ndarray, factor: float, summand: float) -> np.ndarray:
        """Returns a plane at the new size with new levels; valid until the next call.

        Args:
          pixels: `uint8 [any height, any width]`.
          factor: By which each level is multiplied.
          summand: Added after that.
        """
        filled = self._memory[: self._height, : self._width]
        scaled = self._scale(pixels)
        # Rounds and stays in the range, in one pass over the pixels.
        cv2.addWeighted(scaled, factor, scaled, 0, summand, dst=filled)
        self._memory[self._height :] = self._memory[self._height - 1]
        self._memory[:, self._width :] = self._memory[:, self._width - 1, np.newaxis]
        return filled

    def _scale(self, pixels: np.ndarray) -> np.ndarray:
        # INTER_AREA is fast at whole ratios and slow at all others.
        step = self._whole_step(*pixels.shape)
        if step > 1:
            height, width = pixels.shape[0] // step, pixels.shape[1] // step
            pixels = self._stepped = cv2.resize(
                pixels,
                (width, height),
                dst=self._stepped,
                interpolation=cv2.INTER_AREA,
            )
        if pixels.shape == (self._height, self._width):
            return pixels
        ratio = max(pixels.shape[0] / self._height, pixels.shape[1] / self._width)
        self._scaled = cv2.resize(
            pixels,
            (self._width, self._height),
            dst=self._scaled,
            interpolation=(
                cv2.INTER_LINEAR if ratio <= _MAX_LINEAR_RATIO else cv2.INTER_AREA
            ),
        )
        return self._scaled

    def _whole_step(self, height: int, width: int) -> int:
        ratio = min(height // self._height, width // self._width)
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


def _frame_rate(times: list[float]) -> float:
    elapsed = times[-1] - times[0]
    return (len(times) - 1) / elapsed if elapsed > 0 else 0.0
