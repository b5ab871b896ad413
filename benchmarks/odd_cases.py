"""Odd videos of every kind, as the ffmpeg program and a few changed bytes make them."""

# ruff: noqa: E501 (a command stays in one line)

import concurrent.futures
import itertools
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import imageio_ffmpeg
import loky
import numpy as np


class Odd(NamedTuple):
    """A video, and what is known of it besides what the ffmpeg program shows.

    Attributes:
      name: Of the file.
      kind: That it is of.
      command: In bash, that writes it to `$o`, with what `_PRELUDE` defines.
      patch: What changes its bytes after that.
      stored: Whether it is right to store it.
      reason: What the error says, as a regular expression, where it is right not to;
        with `stored`, either is.
      streams: Which may be taken, as of `-map`; empty = the one that ffmpeg takes.
      shown_by: Filters of ffmpeg's that show it as it should be, where ffmpeg alone does
        not; empty = none.
      num_frames: That it has; None = as many as ffmpeg shows.
      fps: Rates that are right; none = as ffmpeg's times say, gaps left out.
      tolerance: Share by which a rate may differ.
      truncated: Whether it is; None = it is not, or ffmpeg complains and either is.
      noted: What notes say, as a regular expression; "" = there are none but those that
        ffmpeg gives a reason for; None = any.
      slanted: Whether it is turned by an angle that leaves black corners.
      any_shape: Whether the shape of its pixels is nonsense, or its size.
      any_length: Whether nobody can say how long it takes.
    """

    name: str
    kind: str = "folder"
    command: str = ""
    patch: Callable[[bytes], bytes] | None = None
    stored: bool = True
    reason: str = ""
    streams: tuple[str, ...] = ("",)
    shown_by: str = ""
    num_frames: int | None = None
    fps: tuple[float, ...] = ()
    tolerance: float = 0.05
    truncated: bool | None = None
    noted: str | None = None
    slanted: bool = False
    any_shape: bool = False
    any_length: bool = False


# Words that commands are made of: ff is ffmpeg; T and P are inputs, a test picture that
# moves and patches of flat colours; L shorter, S sound; X, M, V, W are codecs, C copies.
_PRELUDE = """
set -euo pipefail
ff() { "$FFMPEG" -hide_banner -loglevel error -nostdin -y "$@"; }
T="-f lavfi -i testsrc2=s=96x64:r=30:d=2"
L="-f lavfi -i testsrc2=s=96x64:r=30:d=1"
P="-loop 1 -framerate 10 -t 0.4 -i patches.ppm"
S="-f lavfi -i sine=d=10"
X="-c:v libx264 -pix_fmt yuv420p -preset veryfast"
H="-c:v libx265 -pix_fmt yuv420p -preset veryfast -x265-params log-level=none"
M="-c:v mpeg4 -q:v 2"
V="-c:v libvpx -b:v 2M -deadline realtime"
W="-c:v libvpx-vp9 -b:v 2M -deadline realtime"
A="-c:v libsvtav1 -preset 10 -crf 20"
C="-c copy"
"""
# What others are made of.
_PARTS = """
ff $T $X base.mp4
ff $T $X -bf 0 nob.mp4
ff -f lavfi -i testsrc2=s=160x96:r=30:d=1 $X big.mp4
ff $L $X short.mp4
ff -i short.mp4 -c copy -bsf:v h264_mp4toannexb short.h264
ff -i big.mp4 -c copy -bsf:v h264_mp4toannexb big.h264
ff $L $X -bf 0 nob_short.h264
ff -f lavfi -i testsrc2=s=160x96:r=30:d=1 $X -bf 0 nob_big.h264
ff -f lavfi -i color=blue:s=640x480:d=0.1:r=10 -frames:v 1 still.png
ff -f lavfi -i testsrc=s=320x240:d=0.04 -frames:v 1 sleeve.jpg
"""
_PATCHES = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (235, 235, 235),
            (20, 20, 20), (128, 128, 128), (220, 200, 40), (205, 150, 120))  # fmt: skip


def write(directory: Path) -> tuple[list[tuple[Path, Odd]], list[str]]:
    """Writes all of them; returns them, and what could not be made, and why."""
    parts = directory / "parts"
    parts.mkdir(parents=True)
    colours = np.array(_PATCHES, np.uint8).reshape(2, 4, 3)[:, :, ::-1]
    for name, side in (("patches.ppm", 48), ("patches_hd.ppm", 320)):
        cv2.imwrite(str(parts / name), colours.repeat(side, 0).repeat(side, 1))
    _bash(_PARTS, parts)
    odds = list(_all())
    made, failed = [], []
    with concurrent.futures.ThreadPoolExecutor(loky.cpu_count()) as pool:
        errors = pool.map(lambda odd: _write(directory, odd), odds)
        for odd, error in zip(odds, errors, strict=True):
            if error:
                failed.append(f"{odd.kind}: {odd.name}: {error}")
            else:
                made.append((directory / odd.name, odd))
    return made, failed


def _write(directory: Path, odd: Odd) -> str:
    """Returns what went wrong."""
    path = directory / odd.name
    try:
        _bash(odd.command, directory / "parts", o=path)
        if odd.patch:
            path.write_bytes(odd.patch(path.read_bytes()))
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return lines[0] if lines else "no reason given"
    except ValueError as error:
        return f"{error}"
    return "" if path.exists() else "nothing is written"


def _bash(command: str, directory: Path, **variables: Path) -> None:
    environment = {
        **os.environ,
        "FFMPEG": imageio_ffmpeg.get_ffmpeg_exe(),
        **{name: str(path) for name, path in variables.items()},
    }
    subprocess.run(
        ["bash", "-c", _PRELUDE + command],
        cwd=directory,
        env=environment,
        capture_output=True,
        check=True,
    )


def _all() -> Iterator[Odd]:
    for kind, odds in (
        ("control", _controls()),
        ("colours", _colours()),
        ("HDR", _hdr()),
        ("turning", _turning()),
        ("not truncated", _not_truncated()),
        ("truncated", _truncated()),
        ("time", _times()),
        ("which stream", _streams()),
        ("no video", _no_videos()),
        ("raw streams, other containers", _containers()),
        ("pixels that are not square", _aspects()),
        ("interlaced", _interlaced()),
        ("changes on the way", _changes()),
    ):
        for odd in odds:
            prefix = re.sub(r"\W+", "_", kind)
            yield odd._replace(kind=kind, name=f"{prefix}-{odd.name}")


def _controls() -> Iterator[Odd]:
    for name, command in (
        ("b_frames.mp4", "cp base.mp4 $o"),
        ("no_b_frames.mp4", "cp nob.mp4 $o"),
        ("h264.mkv", "ff -i base.mp4 $C $o"),
        ("vp9.webm", "ff $L $W $o"),
        ("av1.mp4", "ff $L $A $o"),
        ("hevc.mp4", "ff $L $H $o"),
        ("mpeg4.avi", "ff $L $M $o"),
        ("odd.mp4", "ff -f lavfi -i testsrc2=s=97x65:r=30:d=1 $X -pix_fmt yuv444p $o"),
        ("narrow.mp4", "ff -f lavfi -i testsrc2=s=16x200:r=30:d=1 $X $o"),
        ("one_frame.mp4", "ff $L $X -frames:v 1 $o"),
        ("mandelbrot.mp4", "ff -f lavfi -i mandelbrot=s=320x240:r=15 -t 1 $X $o"),
        ("life.webm", "ff -f lavfi -i cellauto=s=96x64:r=30 -t 1 $W $o"),
        ("60_fps.mp4", "ff -f lavfi -i testsrc2=s=96x64:r=60000/1001:d=1 $X $o"),
        ("5_fps.mp4", "ff -f lavfi -i testsrc2=s=96x64:r=5:d=4 $X $o"),
    ):
        yield Odd(name, command=command, truncated=False, noted="")


def _colours() -> Iterator[Odd]:
    def flat(name, vf, codec, patches="$P"):
        return Odd(
            name,
            command=f"ff {patches} -vf '{vf}' {codec} $o",
            truncated=False,
            noted="",
        )

    matrices = ("bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc")
    for matrix, levels in itertools.product(matrices, ("tv", "pc")):
        by = f"scale=out_color_matrix={matrix}:out_range={levels}"
        for pixels, codec, suffix in (
            ("yuv420p", "$X", "h264.mp4"),
            ("yuv444p", "$X -pix_fmt yuv444p", "h264_444.mkv"),
            ("yuv420p10le", "$H -pix_fmt yuv420p10le", "hevc10.mp4"),
            ("yuv422p", "-c:v ffv1", "ffv1_422.mkv"),
        ):
            yield flat(f"{matrix}_{levels}_{suffix}", f"{by},format={pixels}", codec)
    # Planes of BT.709 that say something else: reserved, or unknown.
    tagged = "-bsf:v h264_metadata=matrix_coefficients="
    for number in (0, 2, 3):
        vf = "scale=out_color_matrix=bt709,format=yuv420p"
        yield flat(f"matrix_{number}.mp4", vf, f"$X {tagged}{number}")
    # What the ffmpeg program refuses to convert may be taken for its nearest relative.
    for number, name in (
        (10, "bt2020nc"),
        (11, ""),
        (12, ""),
        (13, ""),
        (14, ""),
        (15, ""),
    ):
        made = f"ff $P -vf scale=out_color_matrix={name or 'bt709'},format=yuv420p $X"
        yield Odd(
            f"matrix_{number}.mp4",
            command=f"{made} {tagged}{number} $o",
            truncated=False,
            shown_by=f"setparams=colorspace={name or 'unknown'}",
            noted="colour|matrix",
        )
    yield Odd(
        "ycgco.mp4",
        command=f"ff $P -vf zscale=matrix=ycgco,format=yuv420p $X {tagged}8 $o",
        truncated=False,
        shown_by="zscale=matrixin=ycgco:matrix=gbr:rangein=tv:range=pc,format=gbrp",
    )
    by709 = "scale=out_color_matrix=bt709:out_range=tv,format="
    full709 = "scale=out_color_matrix=bt709:out_range=pc,format="
    for name, vf, codec in (
        ("vp9_709.webm", by709 + "yuv420p", "$W"),
        ("vp9_709_full.webm", full709 + "yuv420p", "$W"),
        ("vp9_rgb.webm", "format=gbrp", "$W -pix_fmt gbrp"),
        ("vp9_444_10.webm", by709 + "yuv444p10le", "$W -pix_fmt yuv444p10le"),
        ("vp8_709.webm", by709 + "yuv420p", "$V"),
        ("av1_709.mp4", by709 + "yuv420p", "$A"),
        ("av1_709_10.mkv", by709 + "yuv420p10le", "$A"),
        ("mpeg2_709.mpg", by709 + "yuv420p", "-c:v mpeg2video -q:v 2"),
        ("mpeg2_709_422.ts", by709 + "yuv422p", "-c:v mpeg2video -q:v 2"),
        ("mpeg4_709_colr.mov", by709 + "yuv420p", "$M -movflags write_colr"),
        ("mpeg4_untagged.avi", "format=yuv420p", "$M"),
        ("prores_709.mov", by709 + "yuv422p10le", "-c:v prores_ks"),
        ("prores_4444.mov", by709 + "yuv444p10le", "-c:v prores_ks"),
        ("prores_alpha.mov", by709 + "yuva444p10le", "-c:v prores_ks -profile:v 4"),
        (
            "dnxhr_709.mov",
            by709 + "yuv422p",
            "-c:v dnxhd -profile:v dnxhr_sq -s 384x192",
        ),
        ("cineform.mov", "format=yuv422p10le", "-c:v cfhd"),
        ("v210.mov", by709 + "yuv422p10le", "-c:v v210"),
        ("r210.mov", "format=gbrp10le", "-c:v r210"),
        ("y41p.avi", "format=yuv411p", "-c:v y41p"),
        ("yuv4.mov", by709 + "yuv420p", "-c:v yuv4"),
        ("jpeg2000_xyz.mov", "format=xyz12le", "-c:v jpeg2000 -pred 1"),
        ("rgb_1_bit.avi", "format=monow", "-c:v rawvideo"),
        ("uyvy.mov", by709 + "uyvy422", "-c:v rawvideo"),
        ("yuyv.avi", "format=yuyv422", "-c:v rawvideo"),
        ("bgr24.avi", "format=bgr24", "-c:v rawvideo"),
        ("pal8.avi", "format=pal8", "-c:v rawvideo"),
        ("rgb555.avi", "format=rgb555le", "-c:v rawvideo"),
        ("nv12.avi", by709 + "nv12", "-c:v rawvideo"),
        ("p010.avi", by709 + "p010le", "-c:v rawvideo"),
        ("rgb48.mov", "format=rgb48be", "-c:v rawvideo"),
        ("argb.mov", "format=argb", "-c:v rawvideo"),
        ("rgb.mp4", "format=rgb24", "-c:v libx264rgb"),
        ("hevc_rgb.mp4", "format=gbrp", "$H -pix_fmt gbrp"),
        ("h264_422_10.mp4", by709 + "yuv422p10le", "$X -pix_fmt yuv422p10le"),
        ("hevc_444_12.mp4", by709 + "yuv444p12le", "$H -pix_fmt yuv444p12le"),
        ("hevc_grey.mp4", "format=gray", "$H -pix_fmt gray"),
        ("h264_grey.mp4", "format=gray", "$X -pix_fmt gray"),
        ("h264_grey_10.mp4", "format=gray10le", "$X -pix_fmt gray10le"),
        ("ffv1_grey.mkv", "format=gray", "-c:v ffv1"),
        ("ffv1_grey_16.mkv", "format=gray16le", "-c:v ffv1"),
        ("ffv1_grey_alpha.mkv", "format=ya8", "-c:v ffv1"),
        ("ffv1_410.mkv", by709 + "yuv410p", "-c:v ffv1"),
        ("ffv1_411.mkv", by709 + "yuv411p", "-c:v ffv1"),
        ("ffv1_440.mkv", full709 + "yuv440p", "-c:v ffv1"),
        ("ffv1_444_16.mkv", full709 + "yuv444p16le", "-c:v ffv1"),
        ("ffv1_alpha.mkv", by709 + "yuva420p", "-c:v ffv1"),
        ("ffv1_alpha_422_10.mkv", full709 + "yuva422p10le", "-c:v ffv1"),
        ("ffv1_bgr0.mkv", "format=bgr0", "-c:v ffv1"),
        ("ffv1_bgra.mkv", "format=bgra", "-c:v ffv1"),
        ("ffv1_gbrp_10.mkv", "format=gbrp10le", "-c:v ffv1"),
        ("ffv1_gbrp_16.mkv", "format=gbrp16le", "-c:v ffv1"),
        ("huffyuv_rgb.avi", "format=rgb24", "-c:v huffyuv"),
        ("utvideo_709.avi", by709 + "yuv420p", "-c:v utvideo"),
        ("utvideo_rgb.mkv", "format=gbrp", "-c:v utvideo"),
        ("magicyuv.avi", "format=gbrp", "-c:v magicyuv"),
        ("png.mov", "format=rgb24", "-c:v png"),
        ("animation.mov", "format=rgb24", "-c:v qtrle"),
        ("cinepak.avi", "format=rgb24", "-c:v cinepak"),
        ("zmbv.avi", "format=bgr0", "-c:v zmbv"),
        ("msrle.avi", "format=pal8", "-c:v msrle"),
        ("mjpeg_full.avi", "scale=out_range=pc,format=yuvj420p", "-c:v mjpeg -q:v 1"),
        ("mjpeg_422.mov", "scale=out_range=pc,format=yuvj422p", "-c:v mjpeg -q:v 1"),
        ("mjpeg_444.mkv", "scale=out_range=pc,format=yuvj444p", "-c:v mjpeg -q:v 1"),
        ("mjpeg_tv.avi", "format=yuv420p", "-c:v mjpeg -q:v 1 -strict unofficial"),
        ("jpeg2000_rgb.mov", "format=rgb24", "-c:v jpeg2000 -pred 1"),
        ("jpeg2000.mkv", by709 + "yuv422p", "-c:v jpeg2000 -pred 1"),
        ("theora.ogv", "format=yuv420p", "-c:v libtheora -q:v 10"),
        ("theora_444.ogv", "format=yuv444p", "-c:v libtheora -q:v 10"),
        ("wmv2.wmv", "format=yuv420p", "-c:v wmv2 -q:v 2"),
        ("flv1.flv", "format=yuv420p", "-c:v flv -q:v 2"),
        ("h264_709.flv", by709 + "yuv420p", "$X"),
        ("h264_709.ts", by709 + "yuv420p", "$X"),
        ("vc2.mkv", by709 + "yuv422p", "-c:v vc2"),
        ("snow.avi", "format=yuv420p", "-c:v snow -q:v 2 -strict -2"),
    ):
        yield flat(name, vf, codec)
    for name, vf in (
        ("709_hd.mp4", by709 + "yuv420p"),
        ("untagged_hd.mp4", "format=yuv420p"),
        ("smpte170m_hd.mp4", "scale=out_color_matrix=smpte170m,format=yuv420p"),
        ("2020_hd.mp4", "scale=out_color_matrix=bt2020nc,format=yuv420p"),
    ):
        yield flat(name, vf, "$X", "-loop 1 -framerate 10 -t 0.3 -i patches_hd.ppm")
    for name, made, tag in (
        ("colr_alone.mp4", "bt709", "-bsf:v h264_metadata=matrix_coefficients=2"),
        ("vui_alone.mkv", "bt709", "-bsf:v h264_metadata=matrix_coefficients=1"),
        ("range_alone.mp4", "smpte170m:out_range=pc",
         "-bsf:v h264_metadata=video_full_range_flag=1"),
        ("range_wrong.mkv", "smpte170m:out_range=tv",
         "-bsf:v h264_metadata=video_full_range_flag=1"),
    ):  # fmt: skip
        vf = f"scale=out_color_matrix={made},format=yuv420p"
        yield flat(name, vf, f"$X {tag}")
    for matrix, levels in itertools.product(("bt709", "bt2020nc"), ("tv", "pc")):
        by = f"scale=out_color_matrix={matrix}:out_range={levels},format=yuv420p"
        for source, name in (
            ("-f lavfi -i testsrc2=s=192x128:r=10:d=0.5", "testsrc"),
            ("-f lavfi -i mandelbrot=s=320x240:r=10 -t 0.5", "mandelbrot"),
            ("-f lavfi -i gradients=s=97x65:r=10:d=0.5:n=5:seed=1", "gradients"),
        ):
            codec = "-c:v ffv1" if name == "gradients" else "$X"
            suffix = "mkv" if name == "gradients" else "mp4"
            yield flat(f"{name}_{matrix}_{levels}.{suffix}", by, codec, source)


def _hdr() -> Iterator[Odd]:
    made = "ff $L -vf scale=out_color_matrix=bt2020nc,format=yuv420p10le"
    tags = "-color_primaries bt2020 -colorspace bt2020nc -color_trc"
    for trc, (codec, name) in itertools.product(
        ("smpte2084", "arib-std-b67", "bt2020-10", "bt709"),
        (
            ("$H -pix_fmt yuv420p10le", "hevc.mp4"),
            ("$W -pix_fmt yuv420p10le", "vp9.webm"),
            ("$A -pix_fmt yuv420p10le", "av1.mkv"),
            ("-c:v prores_ks -pix_fmt yuv422p10le -movflags write_colr", "prores.mov"),
        ),
    ):
        set_trc = (
            f",setparams=color_trc={trc}:color_primaries=bt2020:colorspace=bt2020nc"
        )
        yield Odd(
            f"{trc}_{name}",
            command=f"{made}{set_trc} {codec} {tags} {trc} $o",
            truncated=False,
        )
    yield Odd(
        "pq_h264_8_bit.mp4",
        command="ff $L $X -bsf:v h264_metadata=transfer_characteristics=16 $o",
        truncated=False,
    )


def _put(kind: bytes, at: int, layout: str, *values: int) -> Callable[[bytes], bytes]:
    """Returns a function that puts numbers after each box, or element, of a kind."""

    def patch(content: bytes) -> bytes:
        patched = bytearray(content)
        places = [found.start() for found in re.finditer(re.escape(kind), content)]
        if not places:
            raise ValueError(f"no {kind!r} in it")
        for place in places:
            struct.pack_into(layout, patched, place + at, *values)
        return bytes(patched)

    return patch


def _matrix(a: float, b: float, c: float, d: float, x: float = 0, y: float = 0):
    one = 65536
    values = [a * one, b * one, 0, c * one, d * one, 0, x * one, y * one, 1 << 30]
    return _put(b"tkhd", 44, ">9i", *map(round, values))


def _turning() -> Iterator[Odd]:
    half = 0.5**0.5
    for name, matrix in (
        ("identity", (1, 0, 0, 1)), ("mirrored", (-1, 0, 0, 1, 96, 0)),
        ("flipped", (1, 0, 0, -1, 0, 64)), ("180", (-1, 0, 0, -1, 96, 64)),
        ("90", (0, 1, -1, 0, 64, 0)), ("270", (0, -1, 1, 0, 0, 96)),
        ("transposed", (0, 1, 1, 0)), ("transversed", (0, -1, -1, 0, 64, 96)),
        ("zeros", (0, 0, 0, 0)), ("zeros_but_one", (1, 0, 0, 0)),
        ("90_without_place", (0, 1, -1, 0)), ("twice_as_large", (2, 0, 0, 2)),
        ("90_twice_as_large", (0, 2, -2, 0)), ("wide", (2, 0, 0, 1)),
        ("45", (half, half, -half, half)), ("30", (0.866, 0.5, -0.5, 0.866)),
        ("1", (0.99985, 0.01745, -0.01745, 0.99985)),
        ("90_nearly", (0.005, 1, -1, 0.005)), ("sheared", (1, 0.3, 0, 1)),
        ("mirrored_45", (-half, half, half, half)),
    ):  # fmt: skip
        for source, suffix in (("base.mp4", "mp4"), ("big.mp4", "mov")):
            if suffix == "mov" and len(matrix) < 6:
                continue
            yield Odd(
                f"{name}.{suffix}",
                command=f"ff -i {source} $C $o",
                patch=_matrix(*matrix),
                truncated=False,
                slanted=name in ("45", "30", "sheared", "mirrored_45"),
            )
    for degrees, suffix in itertools.product((90, 180, -90), ("mkv", "mov", "3gp")):
        yield Odd(
            f"said_{degrees}.{suffix}",
            command=f"ff -display_rotation {degrees} -i base.mp4 $C $o",
            truncated=False,
        )
    for name, orientation in (
        ("sei_90", "rotate=90"), ("sei_180", "rotate=180"), ("sei_270", "rotate=270"),
        ("sei_mirrored", "flip=horizontal"), ("sei_flipped", "flip=vertical"),
    ):  # fmt: skip
        command = f"ff -i base.mp4 $C -bsf:v h264_metadata={orientation} $o"
        yield Odd(f"{name}.mp4", command=command, truncated=False)
        yield Odd(f"{name}.ts", command=command, truncated=False)
    yield Odd(
        "sei_and_header.mp4",
        command="ff -i base.mp4 $C -bsf:v h264_metadata=rotate=90 $o",
        patch=_matrix(-1, 0, 0, 1, 96, 0),
        truncated=False,
    )
    yield Odd(
        "90_and_pixels.mp4",
        command="ff $L -vf setsar=3/2 $X $o",
        patch=_matrix(0, 1, -1, 0, 64, 0),
        truncated=False,
    )


def _not_truncated() -> Iterator[Odd]:
    def whole(name, command, patch=None, **known):
        return Odd(name, command=command, patch=patch, truncated=False, **known)

    for name, codecs in (
        ("webm", "$V -c:a libopus"), ("mkv", "$X -c:a aac"), ("mp4", "$X -c:a aac"),
        ("mov", "$X -c:a pcm_s16le"), ("avi", "$M -c:a mp2"), ("ts", "$X -c:a aac"),
        ("mpg", "-c:v mpeg2video -q:v 2 -c:a mp2"), ("flv", "$X -c:a aac -ar 44100"),
        ("wmv", "-c:v wmv2 -q:v 2 -c:a wmav2"), ("ogv", "-c:v libtheora -c:a libvorbis"),
        ("3gp", "$X -c:a aac"),
    ):  # fmt: skip
        yield whole(f"sound_longer.{name}", f"ff $T $S {codecs} $o")
    for name, codec in (
        ("webm", "$V"), ("mkv", "$X"), ("mp4", "$X"), ("mov", "$X"), ("ts", "$X"),
        ("flv", "$X"), ("avi", "$M"), ("mpg", "-c:v mpeg2video -q:v 2"),
    ):  # fmt: skip
        # An AVI fills the time with empty packets, after the first frame.
        fps = (30.0, 4.93) if name == "avi" else ()
        command = f"ff $T {codec} -output_ts_offset 10 $o"
        yield whole(f"offset.{name}", command, fps=fps, any_length=name == "avi")
        late = "ff -itsoffset 8 $T -f lavfi -i sine=d=10 -map 0 -map 1"
        audio = {"webm": "libopus", "avi": "mp2", "mpg": "mp2", "flv": "mp3"}
        sound = f"-c:a {audio.get(name, 'aac')} -ar 48000"
        if name not in ("avi", "flv"):
            yield whole(f"sound_earlier.{name}", f"{late} {codec} {sound} $o")
    vary = (
        "-f lavfi -i testsrc2=s=96x64:r=30:d=10 -vf "
        "'select=not(mod(n\\,10))+lt(n\\,6)+gt(n\\,290)' -fps_mode passthrough "
        "-enc_time_base 1/1000"
    )
    for name, codec in (("webm", "$V"), ("mkv", "$X"), ("mp4", "$X"), ("ts", "$X"),
                        ("flv", "$X"), ("mov", "$X")):  # fmt: skip
        yield whole(f"variable.{name}", f"ff {vary} {codec} $o")
    frag = "ff -i base.mp4 $C -movflags"
    yield whole("fragments.mp4", f"{frag} frag_keyframe+empty_moov $o")
    yield whole("fragments_of_one.mp4", f"{frag} frag_every_frame+empty_moov $o")
    yield whole("fragments_cmaf.mp4", f"{frag} cmaf+delay_moov+frag_keyframe $o")
    yield whole("fragments_hybrid.mp4", f"{frag} hybrid_fragmented+frag_keyframe $o")
    hours = 3600 * 1000
    for box, at in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        name = box.decode()
        for kind, command in (
            ("fragments", f"{frag} frag_keyframe+empty_moov $o"),
            ("plain", "ff -i base.mp4 $C -use_editlist 0 $o"),
        ):
            put = _put(box, at, ">I", hours * 100)
            yield whole(f"{kind}_{name}_long.mp4", command, put)
            # -1 is unknown.
            put = _put(box, at, ">I", 0xFFFFFFFF)
            yield whole(f"{kind}_{name}_unknown.mp4", command, put)
    for muxer, suffix in (("matroska", "mkv"), ("webm", "webm"), ("flv", "flv")):
        codec = "$V" if suffix == "webm" else "$X"
        piped = f"ff $T {codec} -f {muxer} pipe:1 | cat > $o"
        yield whole(f"piped.{suffix}", piped)
    yield whole("live.webm", "ff $T $V -f webm -live 1 pipe:1 | cat > $o")
    yield whole("duration_long.mkv", "ff -i base.mp4 $C $o",
                _put(b"\x44\x89\x88", 3, ">d", 60_000.0))  # fmt: skip
    yield whole("duration_long.webm", "ff $T $V $o",
                _put(b"\x44\x89\x88", 3, ">d", 60_000.0))  # fmt: skip
    yield whole("duration_long.flv", "ff -i base.mp4 $C $o",
                _put(b"duration\x00", 9, ">d", 60.0))  # fmt: skip
    yield whole("edit_list.mp4", "ff -ss 0.5 -i base.mp4 $C $o")
    yield whole("edit_list.mov", "ff -ss 1.1 -i nob.mp4 $C $o")
    yield whole(
        "edit_list_empty.mp4",
        "ff -itsoffset 5 -i base.mp4 $S -map 0 -map 1 -c:v copy -c:a aac $o",
    )
    yield whole(
        "start_cut.mp4",
        "ff $T $X -g 10 $o.a.mp4; ff -ss 0.9 -i $o.a.mp4 $C $o; rm $o.a.mp4",
    )
    yield whole("time_code.mov", "ff $T $X -timecode 01:00:00:00 $o")
    subtitles = "printf '1\\n00:00:01,000 --> 00:01:00,000\\nword\\n' > $o.srt; "
    for suffix, codec in (("mp4", "mov_text"), ("mkv", "srt"), ("mov", "mov_text")):
        yield whole(
            f"subtitles_longer.{suffix}",
            f"{subtitles} ff -i base.mp4 -i $o.srt -c:v copy -c:s {codec} $o; rm $o.srt",
        )
    yield whole(
        "chapters_longer.mp4",
        "printf ';FFMETADATA1\\n[CHAPTER]\\nTIMEBASE=1/1\\nSTART=0\\nEND=100\\ntitle=a\\n'"
        " > $o.txt; ff -i base.mp4 -i $o.txt -map_metadata 1 $C $o; rm $o.txt",
    )
    yield whole("last_lasts.mp4", "ff -i nob.mp4 $C -bsf:v 'setts=duration=if(eq(N\\,59)\\,5*15360\\,512)' $o",
                any_length=True)  # fmt: skip
    yield whole(
        "rate_said_twice.mkv", "ff -i nob.mp4 $C -r 60 -bsf:v 'setts=ts=N*512' $o"
    )
    yield whole(
        "still_frames.avi", f"ff {vary.replace('-enc_time_base 1/1000', '')} $M $o"
    )
    yield whole(
        "paused.mkv", "ff -i nob.mp4 $C -bsf:v 'setts=ts=N*512+gte(N\\,30)*4*15360' $o"
    )
    yield whole("slide_show.mp4", "ff -f lavfi -i testsrc2=s=96x64:r=0.2:d=60 $X $o")


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share)]


def _truncated() -> Iterator[Odd]:
    size = "-f lavfi -i testsrc2=s=96x64:r=30:d=4"
    for name, command, cut in (
        ("fast_start.mp4", "$X -movflags faststart", True),
        ("fast_start.mov", "$X -movflags faststart", True),
        ("h264.mkv", "$X -cluster_time_limit 500", True), ("vp8.webm", "$V", True),
        ("mpeg4.avi", "$M", True), ("h264.flv", "$X", True),
        ("wmv2.wmv", "-c:v wmv2 -q:v 2", None), ("with_sound.mp4", "", True),
        ("h264.ts", "$X", None), ("mpeg2.mpg", "-c:v mpeg2video -q:v 2", None),
        ("fragments.mp4", "$X -g 15 -movflags frag_keyframe+empty_moov", None),
        ("theora.ogv", "-c:v libtheora", None),
    ):  # fmt: skip
        if name == "with_sound.mp4":
            command = "-f lavfi -i sine=d=4 $X -c:a aac -movflags faststart"
        yield Odd(
            name, command=f"ff {size} {command} $o", patch=_cut(0.6), truncated=cut
        )
    yield Odd(
        "no_index.mp4",
        command=f"ff {size} $X $o",
        patch=_cut(0.6),
        stored=False,
        reason="not a video",
    )


def _times() -> Iterator[Odd]:
    def timed(name, ts, source="nob.mp4", fps=(30.0,), tolerance=0.1, **known):
        command = f"ff -i {source} -c:v copy -bsf:v 'setts={ts}' $o"
        return Odd(name, command=command, truncated=False, fps=fps, tolerance=tolerance,
                   num_frames=60, **known)  # fmt: skip

    gap = r"ts=if(lt(N\,{at})\,N*512\,N*512+{s}*15360)"
    for suffix in ("mp4", "mkv", "mov"):
        yield timed(f"gap_of_hours.{suffix}", gap.format(at=30, s=7200))
        yield timed(f"gap_of_a_minute.{suffix}", gap.format(at=30, s=61))
        yield timed(f"gap_first.{suffix}", gap.format(at=1, s=7200))
        yield timed(f"gap_last.{suffix}", gap.format(at=59, s=7200))
        yield timed(f"gaps.{suffix}", r"ts=N*512+floor(N/20)*3600*15360")
        for at, value in ((20, 90 * 60), (0, 90 * 60), (59, 90 * 60), (20, -3600)):
            if suffix != "mkv" and value < 0:
                continue
            spike = rf"pts=if(eq(N\,{at})\,{value}*15360\,PTS):dts=DTS"
            sign = "before" if value < 0 else "after"
            yield timed(f"spike_{sign}_{at}.{suffix}", spike)
        yield timed(f"two_spikes.{suffix}",
                    r"pts=if(eq(N\,20)+eq(N\,40)\,9000*15360\,PTS):dts=DTS")  # fmt: skip
        yield timed(f"three_at_once.{suffix}", "ts=floor(N/3)*3*512", tolerance=0.5)
        yield timed(f"jitter.{suffix}", r"ts=N*512+mod(N*7\,5)*40", tolerance=0.1)
    yield timed("all_at_once.mkv", "ts=0", any_length=True, tolerance=1e9)
    yield timed("back_to_start.mkv", r"ts=if(lt(N\,30)\,N*512\,(N-30)*512)",
                any_length=True, tolerance=1.0)  # fmt: skip
    yield timed("backwards.mkv", "pts=(60-N)*512:dts=(60-N)*512", any_length=True,
                tolerance=1e9)  # fmt: skip
    yield timed("too_fast.mp4", "ts=N", fps=(15360,), noted=r"fps|frames a second|rate",
                any_length=True)  # fmt: skip
    yield timed("too_slow.mp4", "ts=N*15360*300", fps=(1 / 300,), any_length=True,
                noted=None)  # fmt: skip
    yield timed("gap_of_hours.ts", gap.format(at=30, s=7200), any_length=True)
    yield timed("gap_of_hours.flv", gap.format(at=30, s=7200))
    wrap = "ff -i {source} $C -output_ts_offset 95442.7 -f mpegts $o"
    for source in ("base.mp4", "nob.mp4"):
        yield Odd(f"wraps_{source[:-4]}.ts", command=wrap.format(source=source),
                  fps=(30.0,), truncated=False, num_frames=60)  # fmt: skip
    yield Odd("wraps.mpg", command="ff $T -c:v mpeg2video -q:v 2 -output_ts_offset 95442.7 $o",
              fps=(30.0,), truncated=False, num_frames=60)  # fmt: skip
    twice = "ff -i base.mp4 $C $o.a.ts; cat $o.a.ts $o.a.ts > $o; rm $o.a.ts"
    yield Odd("twice.ts", command=twice, fps=(30.0,), truncated=False, tolerance=0.1,
              any_length=True)  # fmt: skip
    apart = (
        "ff -i base.mp4 $C -output_ts_offset 5000 $o.a.ts; ff -i base.mp4 $C $o.b.ts; "
        "cat $o.a.ts $o.b.ts > $o; rm $o.a.ts $o.b.ts"
    )
    yield Odd("jumps_back.ts", command=apart, fps=(30.0,), truncated=False,
              tolerance=0.1, any_length=True)  # fmt: skip
    yield Odd("thousand_fps.avi", command="ff -f lavfi -i testsrc2=s=96x64:r=1000:d=0.1 $M $o",
              truncated=False)  # fmt: skip


def _streams() -> Iterator[Odd]:
    x = "$X"
    # A sleeve is no film.
    for name, command in (
        ("cover.mp4", "ff -f lavfi -i sine=d=2 -i sleeve.jpg -map 0 -map 1 -c:a aac -c:v mjpeg"),
        ("cover_png.mp4", "ff -f lavfi -i sine=d=2 -i still.png -map 0 -map 1 -c:a aac -c:v png"),
        ("cover.mov", "ff -f lavfi -i sine=d=2 -i sleeve.jpg -map 1 -map 0 -c:a aac -c:v mjpeg"),
        ("cover_mp3.mp4", "ff -f lavfi -i sine=d=2 -i sleeve.jpg -map 0 -map 1 -c:a libmp3lame -c:v mjpeg -f mp3"),
        ("cover_flac.mkv", "ff -f lavfi -i sine=d=2 -i sleeve.jpg -map 0 -map 1 -c:a flac -c:v mjpeg -f flac"),
    ):  # fmt: skip
        yield Odd(
            name,
            command=f"{command} -frames:v 1 -disposition:v:0 attached_pic $o",
            stored=False,
            reason="not a video",
        )
    for name, command in (
        ("attachment.mkv", "ff -f lavfi -i sine=d=2 -attach sleeve.jpg -metadata:s:t mimetype=image/jpeg -metadata:s:t filename=cover.jpg $o"),
        ("sound.mp4", "ff -f lavfi -i sine=d=2 $o"), ("sound.mkv", "ff -f lavfi -i sine=d=2 $o"),
        ("sound.webm", "ff -f lavfi -i sine=d=2 -c:a libopus $o"), ("sound.avi", "ff -f lavfi -i sine=d=2 $o"),
        ("sound_wav.mp4", "ff -f lavfi -i sine=d=2 -f wav $o"), ("sound_mp3.mpg", "ff -f lavfi -i sine=d=2 -f mp3 $o"),
        ("subtitles.mkv", "printf '1\\n00:00:01,000 --> 00:00:02,000\\nword\\n' > $o.srt; ff -i $o.srt $o; rm $o.srt"),
    ):  # fmt: skip
        yield Odd(name, command=command, stored=False, reason="not a video|no frames")
    film = ("0:v:0",)
    for suffix in ("mp4", "mkv", "mov"):
        for name, command, streams in (
            ("film_and_still", f"ff $T -i still.png -map 0 -map 1 {x} -frames:v:1 1", film),
            ("still_and_film", f"ff -i still.png $T -map 0 -map 1 {x} -frames:v:0 1", ("0:v:1",)),
            ("still_default", f"ff -i still.png $T -map 0 -map 1 {x} -frames:v:0 1 -disposition:v:0 default -disposition:v:1 0", ("0:v:1",)),
            ("film_default", f"ff -i still.png $T -map 0 -map 1 {x} -frames:v:0 1 -disposition:v:1 default -disposition:v:0 0", ("0:v:1",)),
            ("two_films", f"ff $T -f lavfi -i testsrc=s=64x48:r=30:d=2 -map 0 -map 1 {x}", ("0:v:0", "0:v:1")),
            ("two_films_larger", f"ff $T -f lavfi -i testsrc=s=160x96:r=30:d=2 -map 0 -map 1 {x}", ("0:v:0", "0:v:1")),
            ("film_and_cover", "ff -i base.mp4 -i sleeve.jpg -map 0 -map 1 -c copy -disposition:v:1 attached_pic", film),
            ("film_and_data", "ff $T -f lavfi -i sine=d=2 $X -c:a aac -timecode 00:00:00:00", film),
        ):  # fmt: skip
            yield Odd(f"{name}.{suffix}", command=f"{command} $o", streams=streams,
                      truncated=False)  # fmt: skip
    yield Odd("cover_first.mp4", command="ff -i sleeve.jpg -i base.mp4 -map 0 -map 1 -c copy -disposition:v:0 attached_pic $o",
              streams=("0:V:0",), truncated=False)  # fmt: skip
    yield Odd("attached_cover.mkv", command="ff -i base.mp4 $C -attach sleeve.jpg -metadata:s:t mimetype=image/jpeg -metadata:s:t filename=cover.jpg $o",
              streams=("0:V:0",), truncated=False)  # fmt: skip
    yield Odd("two_programs.ts", command=f"ff $T -f lavfi -i testsrc=s=64x48:r=30:d=2 -map 0 -map 1 {x} -program st=0 -program st=1 $o",
              streams=("0:v:0", "0:v:1"), truncated=False)  # fmt: skip
    yield Odd("two_films.avi", command="ff $T -f lavfi -i testsrc=s=64x48:r=30:d=2 -map 0 -map 1 $M $o",
              streams=("0:v:0", "0:v:1"), truncated=False)  # fmt: skip


def _no_videos() -> Iterator[Odd]:
    python = f'"{sys.executable}" -c'
    for name, command in (
        ("empty.mp4", ": > $o"), ("zeros.mp4", "head -c 5000 /dev/zero > $o"),
        ("text.mp4", "echo 'Video unavailable. This video is private.' > $o"),
        ("html.mp4", "echo '<!DOCTYPE html><html><body>404</body></html>' > $o"),
        ("json.webm", 'echo \'{"error": "gone"}\' > $o'),
        ("list.mp4", "printf 'ffconcat version 1.0\\nfile parts/base.mp4\\n' > $o"),
        ("hls.mp4", "printf '#EXTM3U\\n#EXT-X-TARGETDURATION:2\\n#EXTINF:2,\\nparts/base.mp4\\n#EXT-X-ENDLIST\\n' > $o"),
        ("dash.mp4", "cp base.mp4 $o.b.mp4; ff -i base.mp4 $C -f dash dash.mpd; cp dash.mpd $o; rm $o.b.mp4"),
        ("sdp.mp4", "printf 'v=0\\no=- 0 0 IN IP4 127.0.0.1\\ns=a\\nc=IN IP4 127.0.0.1\\nt=0 0\\nm=video 5004 RTP/AVP 96\\na=rtpmap:96 H264/90000\\n' > $o"),
        ("png.mp4", "cp still.png $o"), ("jpeg.mp4", "cp sleeve.jpg $o"),
        ("webp.webm", "ff -i still.png -f webp $o"), ("bmp.avi", "ff -i still.png -c:v bmp -f image2 -update 1 $o"),
        ("tiff.mov", "ff -i still.png -c:v tiff -f image2 -update 1 $o"),
        ("svg.mp4", "echo '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>' > $o"),
        ("ppm.mpg", "cp patches.ppm $o"), ("pdf.mp4", "printf '%%PDF-1.4\\n%%EOF\\n' > $o"),
        ("zip.mp4", f"{python} \"import zipfile,sys; zipfile.ZipFile(sys.argv[1], 'w').write('base.mp4')\" $o"),
        ("tar.mp4", "tar cf $o base.mp4"), ("gzip.mp4", "gzip -c base.mp4 > $o"),
        ("srt.mp4", "printf '1\\n00:00:01,000 --> 00:00:02,000\\nword\\n' > $o"),
        ("elf.mkv", "head -c 100000 $BASH > $o"), ("csv.mp4", "printf 'label,youtube_id\\na,b\\n' > $o"),
    ):  # fmt: skip
        yield Odd(name, command=command, stored=False,
                  reason="not a video|empty|no frames")  # fmt: skip


def _containers() -> Iterator[Odd]:
    # What says how to make it a video that is read, where it is not read as it is.
    def raw(name, command, of="", fps=(), **known):
        reason = rf"(?s){of}.*ffmpeg .*-i" if of else ""
        return Odd(name, command=command, reason=reason, fps=fps, **known)

    es = "ff $T"
    either = (25.0, 30.0)  # a stream that says nothing of its rate, or cannot be heard
    for suffix in ("mp4", "h264", "mpg"):
        yield raw(f"h264_raw.{suffix}", "ff -i base.mp4 $C -bsf:v h264_mp4toannexb -f h264 $o",
                  r"h\.?264", either)  # fmt: skip
        yield raw(
            f"hevc_raw.{suffix}", f"{es} $H -f hevc $o", r"(hevc|h\.?265)", either
        )
        yield raw(f"mpeg2_raw.{suffix}", f"{es} -c:v mpeg2video -f mpeg2video $o",
                  r"mpeg-?2?", either)  # fmt: skip
        yield raw(f"mpeg1_raw.{suffix}", f"{es} -c:v mpeg1video -f mpeg1video $o",
                  r"mpeg-?1?", either)  # fmt: skip
        yield raw(f"mpeg4_raw.{suffix}", f"{es} $M -f m4v $o", r"mpeg-?4|m4v", either)
    for name, command, of in (
        ("h263_raw.mp4", "ff -f lavfi -i testsrc2=s=176x144:r=30:d=1 -c:v h263 -q:v 2 -f h263 $o", r"h\.?263"),
        ("mjpeg_raw.mp4", f"{es} -c:v mjpeg -q:v 1 -f mjpeg $o", "m?jpe?g"),
        ("av1_raw.mp4", f"{es} $A -f obu $o", "av1|obu"),
        ("vp8.ivf", f"{es} $V $o", "ivf"), ("vp9.ivf", f"{es} $W $o", "ivf"),
        ("av1.ivf", f"{es} $A $o", "ivf"), ("vp9_ivf.mp4", f"{es} $W -f ivf $o", "ivf"),
        ("dv.dv", "ff -f lavfi -i testsrc2=s=720x576:r=25:d=0.4 -c:v dvvideo -pix_fmt yuv420p $o", "dv"),
        ("dv_ntsc.dv", "ff -f lavfi -i testsrc2=s=720x480:r=30000/1001:d=0.4 -c:v dvvideo -pix_fmt yuv411p $o", "dv"),
        ("dv_raw.avi", "ff -f lavfi -i testsrc2=s=720x576:r=25:d=0.4 -c:v dvvideo -pix_fmt yuv420p -f dv $o", "dv"),
        ("dv.avi", "ff -f lavfi -i testsrc2=s=720x576:r=25:d=0.4 -c:v dvvideo -pix_fmt yuv420p $o", ""),
        ("dv.mov", "ff -f lavfi -i testsrc2=s=720x576:r=25:d=0.4 -c:v dvvideo -pix_fmt yuv420p $o", ""),
        ("gif.gif", "ff -f lavfi -i testsrc2=s=96x64:r=10:d=2 $o", "gif"),
        ("gif.mp4", "ff -f lavfi -i testsrc2=s=96x64:r=10:d=2 -f gif $o", "gif"),
        ("apng.mp4", "ff $L -f apng $o", "a?png"), ("apng.png", "ff $L -f apng $o", "a?png"),
        ("webp.webp", "ff $L -c:v libwebp_anim -f webp $o", "webp"),
        ("mpeg2.mxf", f"{es} -c:v mpeg2video -q:v 2 -r 25 $o", "mxf"),
        ("mxf.mp4", f"{es} -c:v mpeg2video -q:v 2 -r 25 -f mxf $o", "mxf"),
        ("y4m.y4m", f"{es} -pix_fmt yuv420p $o", "(y4m|yuv4mpeg)"),
        ("y4m.mp4", f"{es} -pix_fmt yuv420p -f yuv4mpegpipe $o", "(y4m|yuv4mpeg)"),
        ("mpeg2.vob", f"{es} -c:v mpeg2video -q:v 2 $o", ""),
        ("vob.mpg", f"{es} -c:v mpeg2video -q:v 2 -f vob $o", ""),
        ("h264.vob", "ff -i base.mp4 $C -f vob $o", ""),
        ("mpeg1.mpg", f"{es} -c:v mpeg1video -q:v 2 $o", ""),
        ("svcd.mpg", f"{es} -c:v mpeg2video -q:v 2 -f svcd $o", ""),
        ("m2ts.m2ts", "ff -i base.mp4 $C -mpegts_m2ts_mode 1 -f mpegts $o", ""),
        ("m2ts.mts", "ff -i base.mp4 $C -mpegts_m2ts_mode 1 -f mpegts $o", ""),
        ("hevc.ts", f"{es} $H $o", ""), ("mjpeg.avi", f"{es} -c:v mjpeg -q:v 1 $o", ""),
        ("h264.avi", "ff -i nob.mp4 $C $o", ""), ("h264_packed.avi", f"{es} $X -bf 2 $o", ""),
        ("mpeg4_packed.avi", f"{es} $M -bf 2 $o", ""), ("h264.3gp", "ff -i base.mp4 $C $o", ""),
        ("h263.3gp", "ff -f lavfi -i testsrc2=s=176x144:r=30:d=1 -c:v h263 -q:v 2 $o", ""),
        ("h264.f4v", "ff -i base.mp4 $C $o", ""), ("hevc.flv", f"{es} $H $o", ""),
        ("msmpeg4.asf", f"{es} -c:v msmpeg4 -q:v 2 $o", ""), ("h264.asf", "ff -i nob.mp4 $C -f asf $o", ""),
        ("theora.ogv", f"{es} -c:v libtheora -q:v 10 $o", ""), ("vp8.ogv", f"{es} $V -f ogg $o", ""),
        ("nut.nut", f"{es} $M $o", "nut"), ("gxf.gxf", "ff -f lavfi -i testsrc2=s=720x576:r=25:d=0.4 -c:v mpeg2video -q:v 2 $o", "gxf"),
        ("real.rm", f"{es} -c:v rv20 -q:v 2 $o", "rm|real"), ("flash.swf", f"{es} -c:v flv -q:v 2 $o", "swf|flash"),
        ("amv.amv", "ff -f lavfi -i testsrc2=s=96x64:r=25:d=1 -f lavfi -i sine=d=1:r=22050 -c:v amv -c:a adpcm_ima_amv -ac 1 -block_size 882 $o", "amv"),
        ("roq.roq", "ff -f lavfi -i testsrc2=s=96x64:r=30:d=1 -c:v roqvideo $o", "roq"),
        ("wtv.wtv", f"{es} -c:v mpeg2video -q:v 2 $o", "wtv"), ("film.cpk", "ff $L -c:v cinepak $o", "film|cpk"),
        ("rename_mkv.mp4", "ff -i base.mp4 $C -f matroska $o", ""), ("rename_avi.mp4", f"{es} $M -f avi $o", ""),
        ("rename_ts.mp4", "ff -i base.mp4 $C -f mpegts $o", ""), ("rename_mp4.avi", "ff -i base.mp4 $C -f mp4 $o", ""),
        ("rename_flv.mp4", "ff -i base.mp4 $C -f flv $o", ""), ("mp4.jpg", "ff -i base.mp4 $C -f mp4 $o", ""),
        ("box_unknown_before.mp4", "printf '\\0\\0\\0\\020free12345678' > $o; cat base.mp4 >> $o", ""),
        ("id3_before.ts", "ff -i base.mp4 $C -f mpegts $o.a; head -c 100 /dev/zero > $o; cat $o.a >> $o; rm $o.a", ""),
        ("vvc.mp4", f"{es} -c:v libvvenc $o", "vvc"),
    ):  # fmt: skip
        rates = either if of in ("mpeg4", "h263", "m?jpe?g", "av1|obu") else ()
        yield raw(name, command, of, rates)


def _aspects() -> Iterator[Odd]:
    for aspect in (
        "32/27",
        "27/32",
        "8/9",
        "64/45",
        "4/3",
        "2/1",
        "1/2",
        "10/11",
        "3/1",
    ):
        name = aspect.replace("/", "_")
        made = f"ff -f lavfi -i testsrc2=s=72x48:r=30:d=1 -vf setsar={aspect}"
        yield Odd(f"{name}.mp4", command=f"{made} $X $o", truncated=False)
        yield Odd(f"{name}.mkv", command=f"{made} $V $o", truncated=False)
    sized = "ff -f lavfi -i testsrc2=s={}:r=25:d=0.4 -vf {} {} $o"
    for name, size, aspect, codec in (
        ("pal_wide.mpg", "720x576", "setdar=16/9", "-c:v mpeg2video -q:v 2"),
        ("pal.mpg", "720x576", "setdar=4/3", "-c:v mpeg2video -q:v 2"),
        ("ntsc_wide.mpg", "720x480", "setdar=16/9", "-c:v mpeg2video -q:v 2"),
        ("pal_wide.dv", "720x576", "setdar=16/9", "-c:v dvvideo -pix_fmt yuv420p"),
        ("wide.avi", "72x48", "setsar=3/2", "$M"), ("wide.mov", "72x48", "setsar=3/2", "$M"),
        ("wide.webm", "72x48", "setsar=3/2", "$W"), ("wide.ts", "72x48", "setsar=3/2", "$X"),
        ("wide.flv", "72x48", "setsar=3/2", "$X"), ("wide.ogv", "96x48", "setsar=3/2", "-c:v libtheora -q:v 10"),
        ("wide_444.mkv", "73x49", "setsar=3/2", "-c:v ffv1 -pix_fmt yuv444p"),
        ("wide_709.mp4", "144x96", "setsar=3/2,scale=out_color_matrix=bt709,format=yuv420p", "$X"),
        ("wide_hdv.mp4", "1440x1080", "setsar=4/3", "$X"),
        ("unknown.mp4", "72x48", "setsar=0/1", "$X"),
    ):  # fmt: skip
        # DV is stored with what it does not show.
        command = sized.format(size, aspect, codec)
        if name.endswith(".dv"):
            yield Odd(name, command=command, truncated=False, reason="(?s)dv.*ffmpeg")
        else:
            yield Odd(name, command=command, truncated=False)
    for across, down in ((1000, 1), (1, 1000), (60000, 1)):
        yield Odd(
            f"nonsense_{across}_{down}.mp4",
            command="ff -f lavfi -i testsrc2=s=72x48:r=30:d=1 -vf setsar=2 $M $o",
            patch=_put(b"pasp", 4, ">II", across, down),
            truncated=False,
            any_shape=True,
            noted=r"pixel|aspect",
        )
    yield Odd("header_alone.mp4", command="ff -i short.mp4 $C -aspect 2:1 $o",
              truncated=False)  # fmt: skip
    yield Odd("header_alone.mkv", command="ff -i short.mp4 $C -aspect 2:1 $o",
              truncated=False)  # fmt: skip
    yield Odd("header_against_stream.mp4",
              command="ff -f lavfi -i testsrc2=s=72x48:r=30:d=1 -vf setsar=2/1 $X "
              "$o.a.mp4; ff -i $o.a.mp4 $C -aspect 3:2 $o; rm $o.a.mp4",
              truncated=False)  # fmt: skip


def _interlaced() -> Iterator[Odd]:
    for scan, (codec, name) in itertools.product(
        ("tff", "bff"),
        (
            ("-c:v mpeg2video -flags +ilme+ildct -q:v 2", "mpeg2.mpg"),
            ("-c:v mpeg2video -flags +ilme+ildct -q:v 2", "mpeg2.ts"),
            ("$X -flags +ilme+ildct", "h264.mp4"), ("$X -flags +ilme+ildct", "h264.mkv"),
            ("-c:v prores_ks -flags +ildct", "prores.mov"), ("-c:v ffv1", "ffv1.mkv"),
            ("$M -flags +ilme+ildct", "mpeg4.avi"),
        ),
    ):  # fmt: skip
        made = f"ff -f lavfi -i testsrc2=s=96x64:r=50:d=1 -vf interlace=scan={scan}"
        yield Odd(f"{scan}_{name}", command=f"{made} {codec} -r 25 $o", truncated=False)
    film = "ff -f lavfi -i testsrc2=s=96x64:r=24:d=1 -vf telecine=pattern="
    for pattern in ("23", "2332", "222222222223"):
        yield Odd(f"telecine_{pattern}.mpg", truncated=False,
                  command=f"{film}{pattern} -c:v mpeg2video -flags +ilme+ildct -q:v 2 $o")  # fmt: skip
        yield Odd(f"telecine_{pattern}.mp4", truncated=False,
                  command=f"{film}{pattern},setfield=tff $X -flags +ilme+ildct $o")  # fmt: skip
    yield Odd("progressive_in_fields.mp4", truncated=False,
              command="ff $L $X -x264-params fake-interlaced=1 $o")  # fmt: skip
    yield Odd("some.ts", truncated=False, command=(
        "ff -f lavfi -i testsrc2=s=96x64:r=25:d=1 $X $o.a.ts; ff -f lavfi -i "
        "testsrc2=s=96x64:r=50:d=1 -vf interlace $X -flags +ilme+ildct -output_ts_offset "
        "1 $o.b.ts; cat $o.a.ts $o.b.ts > $o; rm $o.a.ts $o.b.ts"))  # fmt: skip


def _changes() -> Iterator[Odd]:
    for suffix in ("ts", "mkv", "mp4", "mov", "flv"):
        for name, one, other in (
            ("larger", "nob_short", "nob_big"),
            ("smaller", "nob_big", "nob_short"),
        ):
            command = (
                f"cat {one}.h264 {other}.h264 > $o.a; ff -f h264 -framerate 30 -i $o.a $C "
                "-bsf:v setts=ts=N:time_base=1/30 $o; rm $o.a"
            )
            yield Odd(f"{name}.{suffix}", command=command, truncated=False)
    yield Odd("larger_raw.h264", command="cat short.h264 big.h264 > $o",
              fps=(25.0, 30.0), reason="(?s)264.*ffmpeg")  # fmt: skip

    def joined(name, codec, suffix, one, other, end="", **known):
        command = (
            f"ff {one} {codec} $o.a.{suffix}; ff {other} {codec} $o.b.{suffix}; "
            f"printf \"file '$o.a.{suffix}'\\nfile '$o.b.{suffix}'\\n\" > $o.txt; "
            f"ff -f concat -safe 0 -i $o.txt -c copy {end} $o; "
            f"rm $o.txt $o.a.{suffix} $o.b.{suffix}"
        )
        return Odd(f"{name}.{suffix}", command=command, truncated=False, **known)

    source = "-f lavfi -i testsrc2=s={}:r=30:d=1"
    small, large, odd = (source.format(s) for s in ("96x64", "160x96", "91x77"))
    yield joined("vp8", "$V", "webm", small, large)
    yield joined("vp9", "$W", "webm", large, small)
    yield joined("vp9_odd", "$W", "webm", small, odd)
    yield joined("mjpeg", "-c:v mjpeg -q:v 1", "avi", small, large)
    yield joined("mpeg2", "-c:v mpeg2video -q:v 2", "ts", small, large)
    yield joined("mpeg2", "-c:v mpeg2video -q:v 2", "mpg", small, large)
    yield joined("upright", "$X", "ts", small, source.format("64x96"))
    yield joined("444", "-c:v libx264", "ts", f"{small} -pix_fmt yuv420p",
                 f"{small} -pix_fmt yuv444p")  # fmt: skip
    yield joined("10_bit", "-c:v libx264", "ts", f"{small} -pix_fmt yuv420p",
                 f"{small} -pix_fmt yuv420p10le")  # fmt: skip
    by = "-vf scale=out_color_matrix={}:out_range={},format=yuv420p"
    for name, a, b in (
        ("matrix", ("bt709", "tv"), ("smpte170m", "tv")),
        ("range", ("bt709", "tv"), ("bt709", "pc")),
    ):
        yield joined(name, "$X", "ts", f"$P {by.format(*a)}", f"$P {by.format(*b)}")
    yield joined("pixels", "$X", "ts", f"{small} -vf setsar=1/1",
                 f"{small} -vf setsar=2/1", any_shape=True)  # fmt: skip
