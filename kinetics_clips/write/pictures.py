"""Turns decoded frames into JPEGs of one size, in the colours that they mean.

A JPEG holds brightness and two planes of colour by the matrix of BT.601, and uses all
levels from 0 to 255. Decoded frames hold planes too, by one of several matrices and
ranges: the planes are turned and scaled as they are, and what differs is converted
where they are small. What a frame means is what FFmpeg's own conversion to RGB takes
it for.
"""

import re
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np

from kinetics_clips.wheels import av, cv2, simplejpeg
from kinetics_clips.write import turning
from kinetics_clips.write.containers import VideoError

# JPEG stores a side in 16 bits; libjpeg stops a little short of that.
_MAX_JPEG_SIDE = 65_500

# Below it, linear interpolation is as true to the frame as INTER_AREA (within 2 dB of
# a band-limited reduction, measured), and five times as fast; above, it aliases.
_MAX_LINEAR_RATIO = 1.5

# Formats whose first planes are brightness and colours of 8 bits, whatever the colours'
# resolution; `yuvj` ones use all levels.
_PLANAR = re.compile(r"yuv[aj]?4[0-9]{2}p")

# The shape of a pixel, width by height, is left out beyond it: a mistake, not a film.
_MAX_PIXEL_ASPECT = 4.0

# To the range of a JPEG, 0 to 255, by whether a video has that one or 16 to 235 for
# brightness and 16 to 240 for colours: (black, factor of brightness, of colours).
_LEVELS = {True: (0, 1.0, 1.0), False: (16, 255 / 219, 255 / 224)}

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG

# H.273's numbers of transfer characteristics.
_HDR = {16: "PQ", 18: "HLG"}

# H.273's numbers of matrices.
_BT709, _FCC, _SMPTE240M, _YCGCO, _BT2020, _BT2020_CONSTANT = 1, 4, 7, 8, 9, 10
_AS_BT601 = (0, 2, 3, 5, 6)  # RGB's, unknown and reserved ones: as FFmpeg takes them


def _to_rgb(red: float, blue: float) -> np.ndarray:
    """Returns the matrix from brightness and two colours, 0 at grey, to RGB.

    Args:
      red: Share of red in brightness.
      blue: Share of blue in brightness.
    """
    green = 1 - red - blue
    return np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )


# Shares of red and blue as of https://www.itu.int/rec/T-REC-H.273; YCgCo has none.
_TO_RGB = {
    _BT709: _to_rgb(0.2126, 0.0722),
    _FCC: _to_rgb(0.30, 0.11),
    _SMPTE240M: _to_rgb(0.212, 0.087),
    _BT2020: _to_rgb(0.2627, 0.0593),
    _BT2020_CONSTANT: _to_rgb(0.2627, 0.0593),
    _YCGCO: np.array([[1, -1, 1], [1, 1, 0], [1, -1, -1]]),
}
_FROM_RGB = np.linalg.inv(_to_rgb(0.299, 0.114))

# By matrix: what is added to brightness, and what the two colours become, as shares of
# the two colours. Grey stays grey: brightness itself adds to no colour.
_COLOURS = {matrix: (_FROM_RGB @ rgb)[:, 1:] for matrix, rgb in _TO_RGB.items()}


Planes: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


class Picture(NamedTuple):
    """A decoded frame, turned as it is to be shown.

    Attributes:
      planes: Brightness, `uint8 [height, width]`, and two of colour, of that size or
        smaller.
      full_range: Whether they use all levels, as those of a JPEG do.
      matrix: H.273's number of the matrix that leads to RGB; 0 for a JPEG's own.
      pixel_aspect: Width of a pixel by its height.
      notes: What a person should know of it.
    """

    planes: Planes
    full_range: bool
    matrix: int
    pixel_aspect: float
    notes: tuple[str, ...]


class Viewer:
    """Makes the pictures of a stream's frames.

    Args:
      stream: The stream that is decoded.
    """

    def __init__(self, stream: av.VideoStream):
        self._stream = stream
        self._angle: int | None = None
        self._turning = turning.Turning()
        self._aspect = 1.0
        self._notes: tuple[str, ...] = ()

    def picture(self, frame: av.VideoFrame) -> Picture:
        """Returns the picture of the next frame, in that one's memory if it can be."""
        # Asking a frame for its matrix keeps it, and its memory, until the garbage
        # collector runs: the next ones are asked only where their angle is another.
        if frame.rotation != self._angle:
            self._angle, self._turning = frame.rotation, turning.turning(frame)
            self._aspect, self._notes = _of_stream(self._stream, self._turning)
        notes = self._notes
        if frame.interlaced_frame:
            both = "interlaced: both fields of a frame are stored as one picture"
            notes = (*notes, both)
        if frame.planes[0].line_size < 0:  # bottom up, as PyAV below 17 misreads
            frame = _reformatted(frame, "rgb24")
        matrix = int(frame.colorspace)
        if matrix == _BT2020_CONSTANT:
            constant = "colours of BT.2020 with constant luminance, taken as without"
            notes = (*notes, constant)
        if matrix not in _COLOURS:
            if matrix not in _AS_BT601:
                unknown = f"colours of an unknown kind, matrix {matrix} of H.273"
                notes = (*notes, unknown)
            matrix = 0
        planes, full_range = _planes(frame)
        if self._turning.turns or self._turning.degrees:
            luma, blue, red = planes
            planes = (
                self._turning.of(luma, 0 if full_range else 16),
                self._turning.of(blue, 128),
                self._turning.of(red, 128),
            )
        if frame.format.is_rgb:
            matrix = 0
        return Picture(planes, full_range, matrix, self._aspect, notes)


def _of_stream(
    stream: av.VideoStream, turned: turning.Turning
) -> tuple[float, tuple[str, ...]]:
    """Returns the width of a pixel by its height, and what to know of all frames."""
    notes = []
    if (transfer := int(stream.codec_context.color_trc)) in _HDR:
        notes.append(
            f"HDR ({_HDR[transfer]}): stored without tone mapping, colours look pale"
        )
    aspect = stream.sample_aspect_ratio or Fraction(1)
    ratio = f"{aspect.numerator}:{aspect.denominator}"
    if not 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT:
        notes.append(
            f"pixels said to be {ratio}, width to height: taken for square ones"
        )
        aspect = Fraction(1)
    elif aspect != 1:
        notes.append(
            f"pixels of {ratio}, width to height: made square by scaling the width"
        )
    if turned.degrees:
        notes.append(f"turned by {turned.degrees} degrees, which cuts its corners")
    return float(1 / aspect if turned.transposes else aspect), tuple(notes)


def _planes(frame: av.VideoFrame) -> tuple[Planes, bool]:
    """Returns the planes of a frame in 8 bits, and whether they use all levels."""
    name = frame.format.name
    if frame.format.is_rgb:
        rgb = _reformatted(frame, "rgb24").to_ndarray()
        luma, red, blue = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
        return (luma, blue, red), True
    if name.startswith(("gray", "ya", "mono")):
        luma = _pixels(_reformatted(frame, "gray").planes[0])
        height, width = luma.shape
        grey = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
        return (luma, grey, grey), True
    full_range = name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    if not _PLANAR.fullmatch(name):
        frame = _reformatted(frame, "yuv420p")
    luma, blue, red = map(_pixels, frame.planes[:3])
    return (luma, blue, red), full_range


def _reformatted(frame: av.VideoFrame, name: str) -> av.VideoFrame:
    """Returns a frame in another format, its levels and its matrix as they are."""
    # Everything is named: versions of FFmpeg differ in what they take for granted.
    matrix = av.video.reformatter.Colorspace.ITU601
    levels = av.video.reformatter.ColorRange.MPEG
    return frame.reformat(
        format=name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=levels,
        dst_color_range=levels,
    )


def _pixels(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """Returns a plane as `uint8 [height, width]`, in the frame's own memory."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(
        plane.height, plane.line_size
    )
    return rows[:, : plane.width]


class JpegEncoder:
    """Scales pictures to the size that the first one gets and encodes them.

    Pixels become square: the width is scaled by their shape. Of a stream that changes
    its size on the way all pictures get that of the first.

    Args:
      first: The first picture.
      short_side: The shorter side of a JPEG in pixels; None = as it is. Smaller
        pictures are not enlarged.
      jpeg_quality: The JPEG quality, in [1, 100].

    Attributes:
      height: The height of the JPEGs, in pixels.
      width: The width of the JPEGs, in pixels.
      notes: What a person should know of the pictures that were encoded, each once.
    """

    def __init__(self, first: Picture, short_side: int | None, jpeg_quality: int):
        self._shown = _shown_size(first)
        self.height, self.width = _stored_size(*self._shown, short_side)
        self.notes: dict[str, None] = {}
        half = (self.height + 1) // 2, (self.width + 1) // 2
        self._planes = [
            _Plane(*size) for size in ((self.height, self.width), half, half)
        ]
        self._quality = jpeg_quality

    def __call__(self, picture: Picture) -> bytes:
        """Returns the picture as a JPEG."""
        self._note(picture)
        scaled = [
            plane.scale(pixels)
            for plane, pixels in zip(self._planes, picture.planes, strict=True)
        ]
        if picture.matrix:
            self._convert(*scaled, matrix=picture.matrix, full_range=picture.full_range)
        else:
            black, luma_factor, factor = _LEVELS[picture.full_range]
            luma, *chroma = zip(self._planes, scaled, strict=True)
            luma[0].fill(luma[1], luma_factor, -black * luma_factor)
            for plane, pixels in chroma:
                plane.fill(pixels, factor, 128 * (1 - factor))
        return simplejpeg.encode_jpeg_yuv_planes(
            *(plane.pixels for plane in self._planes),
            quality=self._quality,
            fastdct=False,
        )

    def _convert(
        self,
        luma: np.ndarray,
        blue: np.ndarray,
        red: np.ndarray,
        *,
        matrix: int,
        full_range: bool,
    ) -> None:
        """Fills the planes from those of another matrix."""
        black, luma_factor, factor = _LEVELS[full_range]
        if matrix == _YCGCO:  # of RGB that has the range of brightness already
            factor = luma_factor
        to_luma, *to_chroma = _COLOURS[matrix] * factor
        for plane, (by_blue, by_red) in zip(self._planes[1:], to_chroma, strict=True):
            plane.fill(blue, by_blue, 128 * (1 - by_blue - by_red), red, by_red)
        # In eight bits, as finely as they allow: no colour leads out of them.
        finely = 0.99 / np.abs(to_luma).sum()
        by_blue, by_red = finely * to_luma
        added = cv2.addWeighted(
            blue, by_blue, red, by_red, 128 * (1 - by_blue - by_red)
        )
        added = cv2.resize(added, (self.width, self.height))
        self._planes[0].fill(
            luma,
            luma_factor,
            -black * luma_factor - 128 / finely,
            added,
            1 / finely,
        )

    def _note(self, picture: Picture) -> None:
        for note in picture.notes:
            self.notes[note] = None
        if (shown := _shown_size(picture)) != self._shown:
            (height, width), (later, wide) = self._shown, shown
            self.notes[
                f"its size changes from {width}x{height} to {wide}x{later}: all frames "
                "are scaled to the size of the first"
            ] = None


class _Plane:
    """Scales planes to one size, into the same memory each time.

    Attributes:
      pixels: `uint8 [height, width]`, what was filled in last.
    """

    def __init__(self, height: int, width: int):
        self._height, self._width = height, width
        self._stepped: np.ndarray | None = None
        self._scaled: np.ndarray | None = None
        # libjpeg-turbo reads pairs of rows and columns, the last of which has to exist.
        self._memory = np.empty((height + height % 2, width + width % 2), np.uint8)
        self.pixels = self._memory[:height, :width]

    def fill(
        self,
        scaled: np.ndarray,
        factor: float,
        summand: float,
        other: np.ndarray | None = None,
        other_factor: float = 0.0,
    ) -> None:
        """Sets the pixels to `factor * scaled + other_factor * other + summand`.

        Args:
          scaled: A plane, `uint8` of this one's shape, as is `other`.
          factor: The share of `scaled`.
          summand: The levels that are added.
          other: Another plane, or None.
          other_factor: The share of `other`.
        """
        other = scaled if other is None else other
        # Rounds and stays in the range, in one pass over the pixels.
        cv2.addWeighted(scaled, factor, other, other_factor, summand, dst=self.pixels)
        self._memory[self._height :] = self._memory[self._height - 1]
        self._memory[:, self._width :] = self._memory[:, self._width - 1, np.newaxis]

    def scale(self, pixels: np.ndarray) -> np.ndarray:
        """Returns a plane at this one's size; valid until the next call.

        Args:
          pixels: `uint8 [any height, any width]`.
        """
        if pixels.shape == (self._height, self._width):
            return pixels
        # INTER_AREA is fast at whole ratios and slow at all others.
        step = self._whole_step(*pixels.shape)
        if step > 1:
            height, width = pixels.shape[0] // step, pixels.shape[1] // step
            self._stepped = cv2.resize(
                pixels,
                (width, height),
                dst=self._stepped,
                interpolation=cv2.INTER_AREA,
            )
            return self.scale(self._stepped)  # by less than 2, or by no whole ratio
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


def _shown_size(picture: Picture) -> tuple[int, int]:
    """Returns (height, width) of a picture with square pixels."""
    height, width = picture.planes[0].shape
    return height, max(round(width * picture.pixel_aspect), 1)


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
