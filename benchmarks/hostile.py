"""Makes videos as nobody should, and as cameras do: for `soak.py` and the tests.

The frames of all of them carry their number (`kinetics_clips.command.synthetic`), so
that what was stored of one can be told from what should have been; and what the ffmpeg
program shows of one is at hand.
"""

import fractions
import itertools
import os
import random
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import imageio_ffmpeg
import numpy as np

from kinetics_clips.command import synthetic

HEIGHT, WIDTH = 96, 128

# How far, of 255 levels, frames may be from those of ffmpeg on average: what JPEG at
# quality 95, and another way to RGB, make of them.
TOLERANCE = 1.5

# Boxes of an mp4 that hold others, after so many bytes of their own.
_CONTAINERS = {
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"edts": 0,
    b"dinf": 0, b"stsd": 8, b"avc1": 78,
}  # fmt: skip


class Unusual(NamedTuple):
    """A video that is as it should be, and not as most are.

    Attributes:
      suffix: Of its container.
      codec: FFmpeg's name of the encoder.
      options: Of the encoder.
      pixel_format: FFmpeg's name.
      size: (height, width), in pixels.
      num_frames: That it has.
      first: The number of the first that a player shows.
      full_range: Whether levels are those of a JPEG.
      times: Of its frames, in 1/600 s; None = 30 a second.
      rotation: Clockwise degrees that a player turns it by.
    """

    suffix: str = ".mp4"
    codec: str = "libx264"
    options: dict[str, str] = {}  # noqa: RUF012 (never written to)
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (HEIGHT, WIDTH)
    num_frames: int = 12
    first: int = 0
    full_range: bool = False
    times: list[int] | None = None
    rotation: int = 0


UNUSUAL = {
    "plain": Unusual(options={"bf": "0"}),
    "B-frames": Unusual(options={"bf": "3", "b_strategy": "0"}, num_frames=20),
    "one frame": Unusual(num_frames=1),
    "variable rate": Unusual(times=[0, 20, 40, 41, 42, 100, 400, 401, 700, 720, 2000]),
    "frames before its start": Unusual(first=5, times=list(range(-100, 140, 20))),
    "odd height": Unusual(size=(97, 128), pixel_format="yuv444p"),
    "odd width": Unusual(size=(96, 131), pixel_format="yuv444p"),
    "upright": Unusual(size=(160, 96)),
    "10 bit": Unusual(pixel_format="yuv420p10le"),
    "10 bit, 4:4:4": Unusual(pixel_format="yuv444p10le"),
    "4:2:2": Unusual(pixel_format="yuv422p"),
    "4:4:4": Unusual(pixel_format="yuv444p"),
    "full range": Unusual(full_range=True),
    "rotated by 90": Unusual(rotation=90),
    "rotated by 180": Unusual(rotation=180),
    "rotated by 270": Unusual(rotation=270),
    "HEVC": Unusual(codec="libx265", options={"x265-params": "log-level=none"}),
    "VP8": Unusual(suffix=".webm", codec="libvpx", options={"crf": "10", "b": "2M"}),
    "VP9": Unusual(suffix=".webm", codec="libvpx-vp9", options={"crf": "20"}),
    "AV1": Unusual(codec="libsvtav1", options={"crf": "20", "preset": "10"}),
    "AV1 in Matroska": Unusual(
        suffix=".mkv", codec="libsvtav1", options={"preset": "10"}
    ),
    "MPEG-4": Unusual(suffix=".avi", codec="mpeg4", options={"qscale": "2"}),
    "MPEG-2": Unusual(suffix=".mpg", codec="mpeg2video", options={"b": "4M"}),
    "MJPEG": Unusual(suffix=".avi", codec="mjpeg", pixel_format="yuvj420p"),
    "WMV": Unusual(suffix=".wmv", codec="wmv2", options={"b": "4M"}),
    "FLV": Unusual(suffix=".flv", codec="flv1", options={"b": "4M"}),
    "lossless": Unusual(suffix=".mkv", codec="ffv1"),
    "ProRes": Unusual(suffix=".mov", codec="prores_ks", pixel_format="yuv422p10le"),
    "transport stream": Unusual(suffix=".ts", options={"bf": "2"}),
}


def write_unusual(path: Path, video: Unusual) -> None:
    """Writes a video; its suffix says in which container."""
    height, width = video.size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(video.codec, rate=30, options=video.options)
        stream.height, stream.width = height, width
        stream.pix_fmt = video.pixel_format
        if video.codec == "libx264":
            stream.options = {"crf": "12", **video.options}
        ticks = 600 if video.times else 30  # a second
        stream.codec_context.time_base = fractions.Fraction(1, ticks)
        if video.full_range:
            stream.codec_context.color_range = 2
        times = video.times or range(video.num_frames)
        for number, time in enumerate(times):
            pixels = synthetic.draw_frame(number, height=height, width=width)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            target = "JPEG" if video.full_range else None
            frame = frame.reformat(
                format=video.pixel_format, dst_color_range=target or "MPEG"
            )
            frame.time_base = fractions.Fraction(1, ticks)
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if hasattr(os, "sched_setscheduler"):
        # As root, SVT-AV1 gives this thread, and what it starts, the right to keep all
        # others from running.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    if video.rotation:
        _rotate(path, video.rotation)


def _rotate(path: Path, degrees: int) -> None:
    """Writes a rotation into the track's header of an mp4."""
    matrix = {
        90: (0, 1, 0, -1, 0, 0, 0, 0),
        180: (-1, 0, 0, 0, -1, 0, 0, 0),
        270: (0, -1, 0, 1, 0, 0, 0, 0),
    }[degrees]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    struct.pack_into(">8i", content, at, *(65536 * value for value in matrix))
    path.write_bytes(content)


def mutants(content: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields damaged copies of a video: its every box first, then at random.

    Args:
      content: Of the video.
      count: Copies to yield.
      seed: Of the random ones.
    """
    yielded = 0
    for mutant in _all_mutants(content, random.Random(seed)):
        if yielded == count:
            return
        yielded += 1
        yield mutant


def _all_mutants(content: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    boxes = list(_boxes(content, 0, len(content)))
    for start, end, kind in boxes:
        name = kind.decode("latin-1")
        for at in (start, start + 4, start + 8, (start + end) // 2, end - 1):
            yield f"cut at {at}, in {name}", content[:at]
        for size in (0, 1, 7, 8, 1 << 16, (1 << 31) - 1, (1 << 32) - 1):
            yield f"{name} of {size} bytes", _put(content, start, ">I", size)
        yield f"without {name}", content[:start] + content[end:]
        yield f"{name} twice", content[:end] + content[start:end] + content[end:]
        # What a box holds is counts, sizes and offsets: all giant, or nothing.
        inside = min(end - start - 8, 64)
        for byte in (0x00, 0x7F, 0xFF):
            filled = bytes([byte]) * inside
            yield (
                f"{name} full of {byte:#04x}",
                content[: start + 8] + filled + content[start + 8 + inside :],
            )
        for at in range(start + 8, min(end, start + 48), 4):
            yield (
                f"a giant number at {at - start} of {name}",
                _put(content, at, ">I", 0x7FFFFFFF)[: len(content)],
            )
    for (a, b, one), (c, d, other) in itertools.pairwise(boxes):
        if b <= c:
            swapped = content[:a] + content[c:d] + content[b:c] + content[a:b]
            name = f"{one.decode('latin-1')} and {other.decode('latin-1')}"
            yield f"{name} swapped", swapped + content[d:]
    while True:
        damaged = bytearray(content)
        kind = rng.choice(("bits", "header bits", "zeros", "noise", "cut", "moved"))
        if kind in ("bits", "header bits"):
            end = len(content) if kind == "bits" else min(len(content), 600)
            num_flips = rng.choice((1, 2, 8, 64, 512))
            for _ in range(num_flips):
                damaged[rng.randrange(end)] ^= 1 << rng.randrange(8)
            yield f"{num_flips} {kind} flipped", bytes(damaged)
            continue
        start = rng.randrange(len(content))
        length = rng.choice((1, 4, 16, 256, 4096))
        end = min(start + length, len(content))
        if kind == "zeros":
            damaged[start:end] = bytes(end - start)
        elif kind == "noise":
            damaged[start:end] = rng.randbytes(end - start)
        elif kind == "cut":
            damaged = damaged[:start]
        else:
            damaged = damaged[:start] + damaged[end:] + damaged[start:end]
        yield f"{kind}, {end - start} bytes at {start}", bytes(damaged)


def _put(content: bytes, at: int, layout: str, value: int) -> bytes:
    packed = struct.pack(layout, value)
    return content[:at] + packed + content[at + len(packed) :]


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Yields (start, end, kind) of every box of an mp4; nothing of other files."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, start)
        if not 8 <= size <= end - start or not kind.isalnum():
            return
        yield start, start + size, kind
        if kind in _CONTAINERS:
            yield from _boxes(content, start + 8 + _CONTAINERS[kind], start + size)
        start += size


def write_audio(path: Path) -> None:
    """Writes a file with a second of sound, and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        samples = np.zeros((1, 44_100), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def decode(jpegs: Sequence[bytes], gray: bool = False) -> np.ndarray:
    """Returns stored frames as uint8 `[num_frames, height, width, 3]`, RGB, or gray."""
    kind = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB
    return np.stack([cv2.imdecode(np.frombuffer(j, np.uint8), kind) for j in jpegs])


def frames_of_ffmpeg(
    path: Path, height: int, width: int, gray: bool = False
) -> np.ndarray:
    """Returns the frames that the ffmpeg program shows of a video.

    Args:
      path: Of the video.
      height: Of its frames, in pixels.
      width: Of its frames, in pixels.
      gray: Whether their luma alone, `[num_frames, height, width]`.

    Returns:
      uint8 `[num_frames, height, width, 3]`, RGB, turned as their header says; none
      where they have another size.
    """
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error",
         # With more, what it makes of a damaged frame depends on the others at work.
         "-threads", "1",
         "-i", path, "-f", "rawvideo", "-pix_fmt", "gray" if gray else "rgb24",
         "-fps_mode", "passthrough",
         "-sws_flags", "accurate_rnd+full_chroma_int+bitexact", "-"],
        capture_output=True,
        timeout=120,
    )  # fmt: skip
    shown = np.frombuffer(done.stdout, np.uint8)
    shape = (height, width) if gray else (height, width, 3)
    if len(shown) % np.prod(shape):
        return np.empty((0, *shape), np.uint8)
    return shown.reshape(-1, *shape)


def difference(frame: np.ndarray, other: np.ndarray) -> float:
    """Returns how far a frame is from another on average, of 255 levels."""
    return float(np.abs(frame.astype(np.int16) - other).mean())
