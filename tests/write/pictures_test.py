"""Which colours, which way up and how large the frames of odd videos are stored."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import hostile
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from conftest import numbers, set_display_matrix

from kinetics_clips.command import synthetic
from kinetics_clips.write import frames, turning
from kinetics_clips.write.frames import EncodeSettings

HEIGHT, WIDTH = 96, 128
SHARP = EncodeSettings(short_side=None, jpeg_quality=98)

# H.273's numbers, and the shares of red and blue in brightness that they stand for.
MATRICES = {
    "untagged": (2, 0.299, 0.114),
    "bt709": (1, 0.2126, 0.0722),
    "fcc": (4, 0.30, 0.11),
    "bt470bg": (5, 0.299, 0.114),
    "smpte170m": (6, 0.299, 0.114),
    "smpte240m": (7, 0.212, 0.087),
    "bt2020nc": (9, 0.2627, 0.0593),
}
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (240, 235, 20)]


def encoded(path: Path, settings: EncodeSettings = SHARP) -> np.ndarray:
    """Returns the stored frames as RGB, uint8 `[num_frames, height, width, 3]`."""
    return hostile.decode(frames.encode(path, settings).frames)


def in_planes(rgb: tuple, red: float, blue: float, full_range: bool) -> list[float]:
    """Returns brightness and the two colours of a colour, as planes hold them."""
    r, g, b = (value / 255 for value in rgb)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)]
    if full_range:
        return [255 * luma, *(128 + 255 * c for c in chroma)]
    return [16 + 219 * luma, *(128 + 224 * c for c in chroma)]


def write(
    path: Path,
    images: list[np.ndarray] | list[av.VideoFrame],
    pixel_format: str = "yuv420p",
    codec: str = "ffv1",
    **attributes,
) -> Path:
    """Writes images, RGB or frames, with attributes of the stream's encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = (
            images[0].shape[:2]
            if isinstance(images[0], np.ndarray)
            else (images[0].height, images[0].width)
        )
        stream.pix_fmt = pixel_format
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        for image in images:
            if isinstance(image, np.ndarray):
                image = av.VideoFrame.from_ndarray(image)
                image = image.reformat(format=pixel_format)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def flat(pixel_format: str, levels: list[float]) -> av.VideoFrame:
    """Returns a frame of planes that each have one level, in 8 bits."""
    frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
    for plane, level in zip(frame.planes, levels, strict=True):
        plane.update(bytes([round(level)]) * plane.buffer_size)
    return frame


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("full_range", [False, True], ids=["tv", "pc"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_flat_colours_are_those_that_were_meant(
    tmp_path, matrix, full_range, pixel_format
):
    number, red, blue = MATRICES[matrix]
    images = [
        flat(pixel_format, in_planes(rgb, red, blue, full_range)) for rgb in COLOURS
    ]
    for image in images:
        image.colorspace = number
        image.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
    path = write(
        tmp_path / "video.mkv",
        images,
        pixel_format,
        colorspace=number,
        color_range=2 if full_range else 1,
    )
    for settings in (SHARP, EncodeSettings(60, 98)):
        for rgb, picture in zip(COLOURS, encoded(path, settings), strict=True):
            assert np.abs(picture.astype(int) - rgb).max() <= 3


def test_ycgco_is_known_too(tmp_path):
    # Brightness, green against magenta, orange against blue, each from 0 to 255.
    images = []
    for red, green, blue in COLOURS:
        green_part = (2 * green - red - blue) / 4
        levels = [
            (red + 2 * green + blue) / 4,
            128 + green_part,
            128 + (red - blue) / 2,
        ]
        images.append(flat("yuv444p", levels))
    attributes = {"colorspace": 8, "color_range": 2}
    path = write(tmp_path / "video.mkv", images, "yuv444p", **attributes)
    for rgb, picture in zip(COLOURS, encoded(path), strict=True):
        assert np.abs(picture.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [
        ("ffv1", "yuv420p"),
        ("ffv1", "yuv411p"),
        ("ffv1", "yuva420p"),
        ("ffv1", "yuv420p10le"),
        ("ffv1", "yuv422p10le"),
        ("ffv1", "yuv444p12le"),
        ("ffv1", "bgr0"),
        ("ffv1", "bgra"),
        ("ffv1", "gbrp10le"),
        ("ffv1", "gray"),
        ("ffv1", "gray10le"),
        ("mjpeg", "yuvj420p"),
        ("mjpeg", "yuvj444p"),
        ("rawvideo", "yuyv422"),
        ("rawvideo", "nv12"),
    ],
)
@pytest.mark.parametrize("matrix", ["untagged", "bt709"])
def test_natural_colours_are_those_that_ffmpeg_shows(
    tmp_path, codec, pixel_format, matrix
):
    number = MATRICES[matrix][0]
    noise = np.random.default_rng(0).integers(30, 225, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    attributes = {"colorspace": number}
    if codec == "mjpeg":
        attributes |= {"qmin": 1, "qmax": 1}
    path = write(tmp_path / "video.mkv", [image], pixel_format, codec, **attributes)
    expected = hostile.frames_of_ffmpeg(path, HEIGHT, WIDTH)
    difference = encoded(path).astype(int) - expected
    assert np.abs(difference.mean((0, 1, 2))).max() < 1
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("short_side", [None, 60])
def test_conversion_keeps_all_shades_of_grey(tmp_path, short_side):
    # A wedge from black to white: in every matrix, colours are 128.
    wedge = np.repeat(np.linspace(0, 255, WIDTH)[np.newaxis], HEIGHT, 0)
    image = np.repeat(wedge[:, :, np.newaxis], 3, 2).astype(np.uint8)
    path = write(tmp_path / "video.mkv", [image], colorspace=1)
    (picture,) = encoded(path, EncodeSettings(short_side, 98)).astype(int)
    assert np.ptp(picture, axis=2).max() <= 2
    assert picture[:, 0].max() < 8 and picture[:, -1].min() > 247


@pytest.mark.parametrize(
    ("transfer", "note"), [(16, "HDR (PQ): "), (18, "HDR (HLG): "), (1, None)]
)
def test_hdr_is_stored_as_it_is_and_noted(tmp_path, transfer, note):
    image = synthetic.draw_frame(5, height=HEIGHT, width=WIDTH)
    attributes = {"color_trc": transfer, "colorspace": 9, "color_primaries": 9}
    path = write(tmp_path / "video.mkv", [image], "yuv420p10le", **attributes)
    result = frames.encode(path, SHARP)
    assert synthetic.read_number(*hostile.decode(result.frames)) == 5
    assert [text.startswith(note) for text in result.notes] == ([True] if note else [])


# Where (right, down) go: a, b, c, d of a display matrix, and what is shown.
ORIENTATIONS = {
    "as it is": ((1, 0, 0, 1), lambda frame: frame),
    "mirrored": ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),
    "upside down and mirrored": ((1, 0, 0, -1), lambda frame: frame[::-1]),
    "turned by 180": ((-1, 0, 0, -1), lambda frame: frame[::-1, ::-1]),
    "turned by 90": ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
    "turned by 270": ((0, -1, 1, 0), lambda frame: np.rot90(frame)),
    "transposed": ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
    "transposed across": ((0, -1, -1, 0), lambda f: f[::-1, ::-1].transpose(1, 0, 2)),
    "scaled": ((3, 0, 0, 3), lambda frame: frame),
    "of zeros": ((0, 0, 0, 0), lambda frame: frame),
    "flat": ((1, 0, 0, 0), lambda frame: frame),
}


@pytest.fixture(scope="module")
def upright(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("upright") / "video.mp4"
    synthetic.write_video(path, 3, height=HEIGHT, width=WIDTH)
    return path


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_frames_are_turned_as_their_matrix_says(tmp_path, upright, name):
    matrix, turn = ORIENTATIONS[name]
    path = tmp_path / "video.mp4"
    path.write_bytes(upright.read_bytes())
    set_display_matrix(path, *matrix)
    plain = encoded(upright).astype(int)[2]
    turned = encoded(path).astype(int)[2]
    expected = turn(plain)
    assert turned.shape == expected.shape
    assert np.abs(turned - expected).mean() < 3
    if name not in ("as it is", "scaled", "of zeros", "flat"):
        assert expected.shape != plain.shape or np.abs(expected - plain).mean() > 6


@pytest.mark.parametrize("degrees", [10, 45, -100])
def test_frames_are_rotated_by_any_angle(tmp_path, upright, degrees):
    path = tmp_path / "video.mp4"
    path.write_bytes(upright.read_bytes())
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    set_display_matrix(path, cos, sin, -sin, cos)
    turned = encoded(path)
    expected = hostile.frames_of_ffmpeg(path, HEIGHT, WIDTH)
    assert cv2.PSNR(turned[0], expected[0]) > 22


def test_a_matrix_that_cannot_be_is_left_out():
    for sides in itertools.product((0, 1, -1, 2**31 - 1, -(2**31)), repeat=4):
        a, b, c, d = sides
        found = turning._turning_of((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        plane = np.zeros((4, 6), np.uint8)
        assert found.of(plane, 0).shape == ((6, 4) if found.transposes else (4, 6))


@pytest.mark.parametrize(
    ("aspect", "short_side", "expected", "note"),
    [
        ((32, 27), None, (HEIGHT, 152), "pixels of 32:27"),  # 151.7
        ((8, 9), None, (HEIGHT, 114), "pixels of 8:9"),  # 113.8
        ((32, 27), 48, (48, 76), "pixels of 32:27"),
        ((1, 2), 48, (72, 48), "pixels of 1:2"),  # 64 x 96
        ((1, 1), None, (HEIGHT, WIDTH), ""),
        ((20, 1), None, (HEIGHT, WIDTH), "pixels said to be 20:1"),
    ],
)
def test_pixels_become_square(tmp_path, aspect, short_side, expected, note):
    image = synthetic.draw_frame(7, height=HEIGHT, width=WIDTH)
    ratio = Fraction(*aspect)
    path = tmp_path / "video.mkv"
    write(path, [image], codec="libx264", sample_aspect_ratio=ratio)
    result = frames.encode(path, EncodeSettings(short_side, 95))
    assert (result.height, result.width) == expected
    assert synthetic.read_number(*hostile.decode(result.frames)) == 7
    assert "".join(result.notes).startswith(note) and bool(result.notes) == bool(note)


def test_a_change_of_size_is_noted(tmp_path):
    parts = []
    for height, width in ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH)):
        images = [synthetic.draw_frame(n, height=height, width=width) for n in range(5)]
        part = write(tmp_path / "part.ts", images, codec="libx264")
        parts.append(part.read_bytes())
    path = tmp_path / "video.ts"
    path.write_bytes(b"".join(parts))
    result = frames.encode(path, SHARP)
    stored = hostile.decode(result.frames)
    assert stored.shape == (10, HEIGHT, WIDTH, 3)
    assert numbers(stored) == [*range(5), *range(5)]
    assert result.notes == (
        "its size changes from 128x96 to 128x48: all frames are scaled to the size of "
        "the first",
    )


def test_interlaced_frames_are_noted(tmp_path):
    image = av.VideoFrame.from_ndarray(
        synthetic.draw_frame(3, height=HEIGHT, width=WIDTH)
    )
    path = tmp_path / "video.mpg"
    with av.open(str(path), "w") as container:
        options = {"flags": "+ildct+ilme"}
        stream = container.add_stream("mpeg2video", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for packet in stream.encode(image.reformat(format="yuv420p")):
            container.mux(packet)
        container.mux(stream.encode(None))
    (note,) = frames.encode(path, SHARP).notes
    assert note.startswith("interlaced: ")
