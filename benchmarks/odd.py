"""Compares what is stored of odd videos with what the ffmpeg program shows of them.

`soak.py odd` calls it. A video is right if it has the frames of ffmpeg's, in their
order and colours, turned and with square pixels; their rate; no mark of a truncated one
unless it is; a note where something is to be known of it. Or if it is refused, where
ffmpeg finds no film in it either, with a reason that says why.
"""

import collections
import concurrent.futures
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import hostile
import loky
import numpy as np
import odd_cases
import simplejpeg
from odd_cases import Odd
from shown import Shown, show

from kinetics_clips.write import frames, workers
from kinetics_clips.write.annotations import Annotation
from kinetics_clips.write.sources import File
from kinetics_clips.write.videos import Video

# As they are; scaled; and at an even rate, which is the third's `fps`.
_AS_THEY_ARE, _SCALED, _EVEN = _SETTINGS = (
    frames.EncodeSettings(short_side=None, jpeg_quality=97),
    frames.EncodeSettings(short_side=48, jpeg_quality=97),
    frames.EncodeSettings(short_side=48, jpeg_quality=85, fps=10),
)

# Of 255 levels. Flat is what lies at least as far from an edge as a block of a JPEG
# with colours of half the size reaches, and colours interpolated from it.
_FLAT, _FLAT_REACH = 3, 17
# Colours at edges are interpolated otherwise by swscale than by decoders of JPEGs,
# and what is outside of 0 to 255 is cut off in another place: so means of blocks of 8
# by 8 pixels are compared. A wrong matrix, range, place or frame is 5 to 50 there.
# Edges that are scaled differ by how, as a pixel of a test picture of 64 lines is an
# eighth of a block, and by what was cut off before.
_BLOCK = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class _Bounds(NamedTuple):
    """How far stored frames may be from those that ffmpeg shows, of 255 levels.

    Attributes:
      bias: Of red, green and blue, over all frames.
      mean: Of the blocks of a frame, in each colour.
      most: Of any block, in brightness.
    """

    bias: float
    mean: float
    most: float


_UNSCALED_BOUNDS, _SCALED_BOUNDS = _Bounds(1.0, 2.0, 12.0), _Bounds(2.0, 6.0, 20.0)
_SLANTED_BOUNDS = _Bounds(5.0, 6.0, 80.0)  # a pixel more or less is black at edges

# A gap is longer than this many seconds and so many times what is usual.
_GAP, _GAP_TIMES = 10.0, 20
_MAX_FILLED = 60.0  # seconds that one gap may be filled for

# What an error says of a format that is not read: how to make another of it.
_WAY_OUT = re.compile(r"ffmpeg .*-i ")
# What has to be said, by what is to be known.
_NOTES = {
    "HDR": r"HDR|PQ|HLG|tone",
    "interlaced": r"interlac",
    "size": r"\bsizes?\b",
}


class Kind(NamedTuple):
    """What became of the videos of one kind."""

    name: str
    tried: int
    right: int
    reported: int
    wrong: int


def run(root: Path, folder: Path | None) -> tuple[list[Kind], int]:
    """Compares odd videos, and prints what is wrong with which.

    Args:
      root: Where they are made.
      folder: Whose files are compared instead; None = all of `odd_cases` are made.

    Returns:
      What became of each kind, and how many videos could not be made.
    """
    if folder:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        videos = [(path, Odd(str(path.relative_to(folder)))) for path in paths]
        failed = []
    else:
        videos, failed = odd_cases.write(root)
    for line in failed:
        print(f"not made: {line}", file=sys.stderr)
    counts: dict[str, collections.Counter[str]] = {}
    for video, is_stored, wrong in _compare(videos):
        outcome = "wrong" if wrong else "right" if is_stored else "reported"
        counts.setdefault(video.kind, collections.Counter())[outcome] += 1
        if wrong:
            print(f"wrong: {video.name}: {'; '.join(wrong)}", file=sys.stderr)
    kinds = [
        Kind(name, of.total(), of["right"], of["reported"], of["wrong"])
        for name, of in counts.items()
    ]
    return kinds, len(failed)


def _compare(
    videos: Sequence[tuple[Path, Odd]],
) -> Iterator[tuple[Odd, bool, list[str]]]:
    """Yields each video with whether it is stored, and what is wrong with that.

    Args:
      videos: Paths, with what is known of each besides what ffmpeg shows.
    """
    to_encode = [
        Video(Annotation("train", str(path), "a"), _file(path)) for path, _ in videos
    ]
    results = [
        {
            video.annotation.video_id: result
            for video, result in workers.encode_all(to_encode, settings)
        }
        for settings in _SETTINGS
    ]
    with concurrent.futures.ThreadPoolExecutor(loky.cpu_count()) as pool:
        found = pool.map(
            lambda video: _wrong(*video, *(by_id[str(video[0])] for by_id in results)),
            videos,
        )
        for (path, odd), wrong in zip(videos, found, strict=True):
            result = results[0][str(path)]
            yield odd, isinstance(result, frames.EncodedVideo), wrong


def _file(path: Path) -> File:
    status = path.stat()
    return File(path.parent, path.name, status.st_size, status.st_mtime_ns)


_Result = frames.EncodedVideo | frames.VideoError


def _wrong(
    path: Path, odd: Odd, as_it_is: _Result, scaled: _Result, even: _Result
) -> list[str]:
    if isinstance(as_it_is, frames.VideoError):
        return list(_wrong_reason(path, odd, as_it_is))
    if isinstance(scaled, frames.VideoError):
        return [f"scaled: {scaled}"]
    if isinstance(even, frames.VideoError):
        return [f"at {_EVEN.fps} fps: {even}"]
    if not odd.stored:
        return [f"{as_it_is.num_frames} frames of {as_it_is.fps:.4g} fps are stored"]
    by_stream = []
    for stream in odd.streams:
        size = as_it_is.height, as_it_is.width
        shown = show(path, size, stream, odd.shown_by)
        if not shown.is_film:
            by_stream.append(
                [f"{as_it_is.num_frames} frames of what is no film are stored"]
            )
            continue
        wrong = [
            *_wrong_facts(odd, shown, as_it_is),
            *_wrong_pixels(as_it_is, shown.frames, _bounds(odd, not shown.is_plain)),
            *_wrong_even(odd, shown, even),
        ]
        if (scaled.height, scaled.width) != size:
            wrong += [f"scaled: {what}" for what in _wrong_scaled(odd, shown, scaled)]
        by_stream.append(wrong)
    return min(by_stream, key=len)


def _bounds(odd: Odd, is_scaled: bool) -> _Bounds:
    if odd.slanted:
        return _SLANTED_BOUNDS
    return _SCALED_BOUNDS if is_scaled else _UNSCALED_BOUNDS


def _wrong_scaled(odd: Odd, shown: Shown, got: frames.EncodedVideo) -> Iterable[str]:
    smaller = [
        cv2.resize(frame, (got.width, got.height), interpolation=cv2.INTER_AREA)
        for frame in shown.frames
    ]
    if len(smaller) != got.num_frames:
        yield f"{got.num_frames} frames, not {len(smaller)}"
    yield from _wrong_pixels(got, smaller, _bounds(odd, is_scaled=True))
    height, width = shown.shape
    aspect = got.width / got.height * height / width
    short = min(got.height, got.width)
    is_off = not odd.any_shape and abs(aspect - 1) > 1.01 / short
    if is_off or short != _SCALED.short_side:
        yield f"{got.width}x{got.height}, not as {width}x{height}"


def _wrong_reason(path: Path, odd: Odd, error: frames.VideoError) -> Iterable[str]:
    if odd.reason:
        if not re.search(odd.reason, str(error), re.IGNORECASE):
            yield f"the reason, {error}, does not say {odd.reason}"
    elif odd.stored:
        shown = show(path, None, odd.streams[0], odd.shown_by)
        if shown.is_film:
            yield f"{error}; ffmpeg shows {len(shown.frames)} frames"
    if error.reason in ("crash", "timeout"):
        yield str(error)


def _wrong_facts(odd: Odd, shown: Shown, got: frames.EncodedVideo) -> Iterable[str]:
    num_frames = len(shown.frames) if odd.num_frames is None else odd.num_frames
    if got.num_frames != num_frames:
        yield f"{got.num_frames} frames, not {num_frames}"
    # A pixel may be rounded away, and either side be the one that is scaled.
    height, width = shown.shape
    aspect = got.width / got.height * height / width
    if not odd.any_shape and abs(aspect - 1) > 1.01 / min(got.height, got.width):
        yield f"{got.width}x{got.height}, not as {width}x{height}"
    rates = _rates(odd, shown)
    is_rate = any(abs(got.fps - fps) <= odd.tolerance * fps for fps in rates)
    if any(rates) and not is_rate:
        yield f"{got.fps:.4g} fps, not {' or '.join(f'{fps:.4g}' for fps in rates)}"
    truncated = odd.truncated
    if truncated is None and not shown.complains:
        truncated = False
    if truncated is not None and got.truncated != truncated:
        yield "truncated" if got.truncated else "not said to be truncated"
    notes = "; ".join(got.notes)
    for name, pattern in _NOTES.items():
        if name in shown.notable:
            if not re.search(pattern, notes, re.IGNORECASE):
                yield f"not noted: {name}"
        elif re.search(pattern, notes, re.IGNORECASE) and not odd.noted:
            yield f"noted: {notes}"
            return
    if odd.noted is not None and not re.search(odd.noted, notes, re.IGNORECASE):
        yield f"noted: {notes or 'nothing'}, expected {odd.noted or 'nothing'}"
    elif odd.noted == "" and notes and not shown.notable:
        yield f"noted: {notes}"


def _rates(odd: Odd, shown: Shown) -> tuple[float, ...]:
    """Returns the rates that are right; 0 where none can be told."""
    if odd.fps:
        return odd.fps
    steps = np.diff(np.sort(shown.times[~np.isnan(shown.times)]))
    # Of times that several frames share, or a frame alone, the header may know better.
    unsure = len(steps) == 0 or np.median(steps) == 0
    return _usual_rate(shown.times), *((shown.header_rate,) if unsure else ())


def _usual_rate(times: np.ndarray) -> float:
    """Returns the frames a second of all but gaps; 0 where that is undefined."""
    steps = np.diff(np.sort(times[~np.isnan(times)]))
    steps = steps[~_is_gap(steps)]
    return len(steps) / steps.sum() if steps.sum() > 0 else 0.0


def _is_gap(steps: np.ndarray) -> np.ndarray:
    usual = np.median(steps[steps > 0]) if (steps > 0).any() else 0.0
    return (steps > _GAP) & (steps > _GAP_TIMES * usual)


def _wrong_even(odd: Odd, shown: Shown, got: frames.EncodedVideo) -> Iterable[str]:
    """Says whether as many frames are stored at an even rate as its seconds have."""
    times = np.sort(shown.times[~np.isnan(shown.times)])
    rates = _rates(odd, shown)
    if got.fps != _EVEN.fps:
        yield f"{got.fps} fps, not {_EVEN.fps}"
    if not all(rates) or odd.any_length:
        return
    filled = _MAX_FILLED * _EVEN.fps * _is_gap(np.diff(times)).sum()
    for rate in rates:
        expected = len(shown.frames) / rate * _EVEN.fps
        slack = 1 + 0.1 * expected + 1.01 * _EVEN.fps / rate
        if expected - slack <= got.num_frames <= expected + filled + slack:
            return
    yield f"{got.num_frames} frames at {_EVEN.fps} fps, not {expected:.0f}"


def _wrong_pixels(
    got: frames.EncodedVideo, shown: Sequence[np.ndarray], bounds: _Bounds
) -> list[str]:
    """Says what differs between stored frames and those that ffmpeg shows.

    Or what a JPEG of the latter shows: it has colours of half the size, whatever the
    video's, and so has what is stored.
    """
    if len(shown) != got.num_frames:
        return []  # which is said
    stored = hostile.decode(got.frames)
    off_by = max(map(_off_on_flat, stored, shown))
    flat = [f"flat colours are off by {off_by}"] if off_by > _FLAT else []
    if not (wrong := list(_differences(stored, shown, bounds))):
        return flat
    through_jpeg = hostile.decode([_jpeg(frame) for frame in shown])
    return flat + min(wrong, list(_differences(stored, through_jpeg, bounds)), key=len)


def _off_on_flat(stored: np.ndarray, shown: np.ndarray) -> int:
    """Returns by how many levels flat colours of a frame are off at most.

    But those at an end of the levels: what a codec made of them may be beyond it, which
    ffmpeg cuts off in RGB, and a JPEG in brightness alone.
    """
    kernel = np.ones((2 * _FLAT_REACH + 1,) * 2, np.uint8)
    spread = cv2.subtract(cv2.dilate(shown, kernel), cv2.erode(shown, kernel))
    differs = np.abs(_blurred(stored) - _blurred(shown))
    is_flat = (spread.max(-1) <= 2) & (shown.min(-1) > 0) & (shown.max(-1) < 255)
    return round(float(differs[is_flat].max(initial=0)))


def _blurred(frame: np.ndarray) -> np.ndarray:
    """Returns a frame without the noise of a codec, of which no colour is made."""
    return cv2.blur(frame.astype(np.float32), (_BLOCK + 1, _BLOCK + 1))


def _differences(
    stored: np.ndarray, shown: Sequence[np.ndarray], bounds: _Bounds
) -> Iterable[str]:
    bias = np.zeros(3)
    worst: collections.Counter[str] = collections.Counter()
    blocks = np.stack([_blocks(frame) for frame in stored])
    expected = np.stack([_blocks(frame) for frame in shown])
    for number, (frame, other) in enumerate(zip(stored, shown, strict=True)):
        differs = frame.astype(np.int16) - other
        bias += differs.mean((0, 1)) / len(stored)
        far = np.abs(blocks[number] - expected[number])
        worst["mean of blocks"] = max(worst["mean of blocks"], far.mean())
        gray = np.abs((blocks[number] - expected[number]) @ _LUMA)
        worst["a block"] = max(worst["a block"], gray.max())
        for near in (number - 1, number + 1):
            if 0 <= near < len(stored):
                other_far = np.abs(blocks[number] - expected[near]).mean()
                if far.mean() > other_far + 0.5:
                    worst["out of order"] = 1
    if np.abs(bias).max() > bounds.bias:
        yield "RGB is off by " + ", ".join(f"{level:+.1f}" for level in bias)
    if worst["mean of blocks"] > bounds.mean or worst["a block"] > bounds.most:
        yield (
            f"frames are off by {worst['mean of blocks']:.1f}, and by "
            f"{worst['a block']:.0f} somewhere"
        )
    if worst["out of order"]:
        yield "frames are out of order"


def _jpeg(frame: np.ndarray) -> bytes:
    quality = _AS_THEY_ARE.jpeg_quality
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(frame), quality=quality, colorsubsampling="420"
    )


def _blocks(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    size = max(width // _BLOCK, 1), max(height // _BLOCK, 1)
    return cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA)
