"""Asks the ffmpeg program what it shows of a video: frames in RGB, times, and facts."""

import math
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np

# Formats of FFmpeg that show pictures, or open other files.
_NO_FILMS = re.compile(
    r"(\w+_pipe|image2|hls|dash|concat|tty|ffmetadata|sdp|rtsp|imf)\b"
)
# What ffmpeg says of a file that ends early.
_CUT = re.compile(
    r"partial file|ended prematurely|truncat|moov atom not found|Packet corrupt"
    r"|Invalid data|error while decoding|damaged|concealing|overread|Invalid NAL|EOF",
    re.IGNORECASE,
)
_SHOWN = re.compile(
    r"\] n: *\d+ .*?pts_time:(\S+).*? sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\w)"
)
_STREAM = re.compile(r"Stream #0:(\d+)\S*: Video: .*")


class Shown(NamedTuple):
    """What the ffmpeg program shows of a video.

    Attributes:
      frames: uint8 `[num_frames, height, width, 3]`, RGB.
      times: Of them, in seconds; NaN where there is none.
      header_rate: Frames a second that its header promises; 0 where it does not.
      shape: (height, width) of the first, with square pixels.
      is_plain: Whether all are of that shape anyway.
      notable: What a person should know of it: "HDR", "interlaced", "size" (changes).
      is_film: Whether it is neither a picture nor a list.
      complains: Whether ffmpeg says that something is damaged or missing.
    """

    frames: np.ndarray
    times: np.ndarray
    header_rate: float
    shape: tuple[int, int]
    is_plain: bool
    notable: set[str]
    is_film: bool
    complains: bool


def show(
    path: Path, size: tuple[int, int] | None, stream: str = "", by: str = ""
) -> Shown:
    """Asks the ffmpeg program.

    Args:
      path: Of a video.
      size: (height, width) that its frames are scaled to; None = as they are.
      stream: That is shown, as of `-map`; empty = as ffmpeg chooses.
      by: Filters that its frames go through first.
    """
    # To RGB first: to scale and to convert at once is less exact for some formats.
    filters = [
        "showinfo=checksum=0",
        *((by,) if by else ()),
        "scale=flags=bilinear+accurate_rnd+full_chroma_int",
        "format=rgb24",
        *((f"scale={size[1]}:{size[0]}:flags=area",) if size else ()),
    ]
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin",
         # With more, what it makes of a damaged frame depends on the others at work.
         "-threads", "1", "-probesize", "1G", "-analyzeduration", "1G",
         "-i", path, *(("-map", stream) if stream else ()), "-an", "-sn", "-dn",
         "-fps_mode", "passthrough", "-vf", ",".join(filters),
         "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    said = done.stderr.decode(errors="replace")
    found = _SHOWN.findall(said)
    if not found:
        empty = np.empty((0, 1, 1, 3), np.uint8)
        return Shown(empty, np.empty(0), 0.0, (1, 1), True, set(), False, True)
    _, wide, high, width, height, _ = found[0]
    aspect = int(wide) / int(high) if int(wide) and int(high) else 1.0
    sizes = {row[3:5] for row in found}
    notable = {
        name
        for name, is_so in {
            "HDR": re.search(r"color_trc:(smpte2084|arib-std-b67)", said),
            "interlaced": any(row[5] in "TB" for row in found),
            "size": len(sizes) > 1,
        }.items()
        if is_so
    }
    format_name = re.search(r"Input #0, (\S+)", said)
    taken = re.search(r"Stream #0:(\d+) -> #0:0", said)
    described = {row[1]: row[0] for row in _STREAM.finditer(said)}
    stream_line = described.get(taken[1], "") if taken else ""
    rate = re.search(r"([\d.]+)(k?) fps", stream_line)
    is_film = not (
        (format_name and _NO_FILMS.match(format_name[1]))
        or "attached pic" in stream_line
    )
    shape = *(size or (int(height), int(width))), 3
    pixels = np.frombuffer(done.stdout, np.uint8)
    num_frames = len(pixels) // math.prod(shape)
    times = [float("nan") if row[0] == "NOPTS" else float(row[0]) for row in found]
    complains = any(
        _CUT.search(line) for line in said.splitlines() if "showinfo" not in line
    )
    return Shown(
        pixels[: num_frames * math.prod(shape)].reshape(-1, *shape),
        np.array(times),
        float(rate[1]) * (1_000 if rate[2] else 1) if rate else 0.0,
        (int(height), max(round(int(width) * aspect), 1)),
        aspect == 1 and len(sizes) == 1,
        notable,
        is_film,
        complains,
    )
