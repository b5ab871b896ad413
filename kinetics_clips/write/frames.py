"""Encodes the frames of one video as JPEGs."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from kinetics_clips.wheels import av, cv2, simplejpeg
from kinetics_clips.write import containers, pictures, timing
from kinetics_clips.write.containers import VideoError as VideoError

# A TFRecord ends at 2 GiB; half of it leaves room for TFDS's own buffers.
MAX_BYTES = 1 << 30

# What frames depend on besides the settings.
LIBRARIES = {
    "av": av.__version__,
    "opencv": cv2.__version__,
    "simplejpeg": simplejpeg.__version__,
}


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
      height: Height of every frame, in pixels.
      width: Width of every frame, in pixels.
      fps: Stored frames a second: as asked for, or `(num_frames - 1) / (time of the
        last frame - time of the first)` from the decoded timestamps, without gaps of
        more than ten seconds and single times that are out of order; the header's rate
        where that is undefined, 0 where the header has none.
      truncated: Whether the file ends before 95 % of what its container promises.
      notes: What a person should know of a video that is stored all the same, such as
        that its colours are those of a screen that this one is not; may be empty.
      seconds: Time that encoding took, in seconds; it is not stored.
    """

    frames: list[bytes]
    height: int
    width: int
    fps: float
    truncated: bool
    notes: tuple[str, ...] = ()
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
        with containers.file_of(source) as file, containers.opened(file) as video:
            encoded = _encode_frames(video, settings)
    except (av.FFmpegError, cv2.error, MemoryError, OSError) as error:
        raise VideoError("unreadable", containers.in_words(error)) from error
    return dataclasses.replace(encoded, seconds=time.perf_counter() - start)


def _encode_frames(video: containers.Video, settings: EncodeSettings) -> EncodedVideo:
    clock = timing.Clock(video.header_fps)
    shown = clock.settled(_pictures(video))
    jpegs: list[bytes] = []
    num_bytes = 0
    encode_jpeg = None
    for picture, copies in (
        timing.resampled(shown, settings.fps)
        if settings.fps
        else ((one.frame, 1) for one in shown)
    ):
        # A stream may change its size on the way; what is stored does not.
        encode_jpeg = encode_jpeg or pictures.JpegEncoder(
            picture, settings.short_side, settings.jpeg_quality
        )
        jpeg = encode_jpeg(picture)
        num_bytes += len(jpeg) * copies
        if num_bytes > MAX_BYTES:
            raise VideoError(
                "too large",
                f"over {MAX_BYTES} bytes after {len(jpegs) + copies} frames",
            )
        jpegs += [jpeg] * copies
    if encode_jpeg is None:
        raise VideoError("no frames", "a video stream of which no frame decodes")
    own_fps = clock.frame_rate() or video.header_fps
    return EncodedVideo(
        frames=jpegs,
        height=encode_jpeg.height,
        width=encode_jpeg.width,
        fps=settings.fps or own_fps,
        truncated=video.ends_early(),
        notes=(*video.notes(), *encode_jpeg.notes, *clock.notes(own_fps)),
    )


def _pictures(video: containers.Video) -> Iterator[timing.Shown[pictures.Picture]]:
    """Yields the pictures of a video as they are decoded."""
    viewer = pictures.Viewer(video.stream)
    # A decoder's last frames do not know it.
    tick = float(video.stream.time_base or 0)
    for frame in video.decoded():
        pts, duration = frame.pts, frame.duration
        yield timing.Shown(
            viewer.picture(frame),
            None if pts is None else pts * tick,
            duration * tick if duration else None,
        )
