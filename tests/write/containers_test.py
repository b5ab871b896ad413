"""What is taken for a video, which stream of it, and whether its file is whole."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import hostile
import numpy as np
import pytest
from conftest import numbers
from PIL import Image

from kinetics_clips.command import synthetic
from kinetics_clips.write import frames
from kinetics_clips.write.frames import EncodeSettings, VideoError

HEIGHT, WIDTH = 48, 64
AS_IS = EncodeSettings(short_side=None, jpeg_quality=90)


def frame(number: int, height: int = HEIGHT, width: int = WIDTH) -> av.VideoFrame:
    drawn = synthetic.draw_frame(number, height=height, width=width)
    return av.VideoFrame.from_ndarray(drawn).reformat(format="yuv420p")


def silence(container: av.container.OutputContainer, seconds: float) -> list[av.Packet]:
    """Adds a stream of sound to a container, and returns its packets."""
    stream = container.add_stream("aac", rate=48_000)
    packets = []
    for start in range(0, int(seconds * 48_000), 1024):
        part = av.AudioFrame.from_ndarray(np.zeros((2, 1024), "f4"), "fltp", "stereo")
        part.rate, part.pts = 48_000, start
        part.time_base = Fraction(1, 48_000)
        packets += stream.encode(part)
    return packets + stream.encode(None)


def write(
    path: Path,
    num_frames: int = 60,
    codec: str = "mpeg4",
    seconds_of_sound: float = 0,
    times=None,
    **options: str,
) -> Path:
    """Writes numbered frames at 30 a second, and silence beside them.

    `times` are in units of 1/30 s; `options` are the container's.
    """
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream(codec, rate=30)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        packets = silence(container, seconds_of_sound) if seconds_of_sound else []
        for number in range(num_frames):
            image = frame(number)
            image.time_base = Fraction(1, 30)
            image.pts = times[number] if times else number
            packets += video.encode(image)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def shown(path: Path, settings: EncodeSettings = AS_IS) -> list[int]:
    """Returns the numbers of the frames that are stored."""
    return numbers(hostile.decode(frames.encode(path, settings).frames))


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
HEALTHY = {
    "mp4": (".mp4", {}),
    "fragments": (".mp4", FRAGMENTS),
    "mkv": (".mkv", {}),
    "mkv that is live": (".mkv", {"live": "1"}),
    "avi": (".avi", {}),
    "ts": (".ts", {}),
    "mov": (".mov", {"movflags": "faststart"}),
}


@pytest.mark.parametrize("seconds_of_sound", [0, 1, 4], ids="sound of {} s".format)
@pytest.mark.parametrize("kind", HEALTHY)
def test_a_whole_file_is_not_truncated(tmp_path, kind, seconds_of_sound):
    suffix, options = HEALTHY[kind]
    path = tmp_path / f"video{suffix}"
    write(path, seconds_of_sound=seconds_of_sound, **options)
    encoded = frames.encode(path, AS_IS)
    assert (encoded.num_frames, encoded.truncated) == (60, False)
    assert encoded.fps == pytest.approx(30, rel=0.02)
    assert encoded.notes == ()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("start", [10, 3600])
def test_a_late_start_is_not_truncated(tmp_path, suffix, start):
    times = [start * 30 + number for number in range(60)]
    path = write(tmp_path / f"video{suffix}", times=times)
    encoded = frames.encode(path, EncodeSettings(None, 90, fps=10))
    assert (encoded.num_frames, encoded.truncated) == (20, False)


def test_a_variable_rate_is_not_truncated(tmp_path):
    # A header of 30 frames a second, and 40 frames in ten seconds.
    times = [number * 15 // 2 for number in range(40)]
    encoded = frames.encode(write(tmp_path / "video.mkv", 40, times=times), AS_IS)
    assert (encoded.num_frames, encoded.truncated) == (40, False)
    assert encoded.fps == pytest.approx(4, rel=0.01)


def test_a_duration_that_is_nonsense_is_not_truncated(tmp_path):
    path = write(tmp_path / "video.mp4", **FRAGMENTS)
    content = bytearray(path.read_bytes())
    for box, place in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        start = content.index(box) + 4 + place
        struct.pack_into(">I", content, start, 10_000_000)
    path.write_bytes(content)
    encoded = frames.encode(path, AS_IS)
    assert (encoded.num_frames, encoded.truncated) == (60, False)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp4", {"movflags": "faststart"}),
        (".mp4", FRAGMENTS),
        (".mkv", {}),
        (".avi", {}),
        (".flv", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("seconds_of_sound", [0, 2])
def test_a_cut_file_is_truncated(tmp_path, suffix, options, share, seconds_of_sound):
    path = tmp_path / f"video{suffix}"
    codec = "flv1" if suffix == ".flv" else "mpeg4"
    write(path, codec=codec, seconds_of_sound=seconds_of_sound, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    try:
        encoded = frames.encode(path, AS_IS)
    except VideoError:  # said even more clearly
        return
    assert encoded.truncated == (encoded.num_frames < 57) or suffix == ".mkv"
    if share == 0.5:
        assert encoded.truncated


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("gap", [60, 7200])
def test_a_gap_makes_no_copies(tmp_path, suffix, gap):
    times = [number + gap * 30 * (number >= 30) for number in range(60)]
    path = write(tmp_path / f"video{suffix}", times=times)
    encoded = frames.encode(path, AS_IS)
    assert (encoded.num_frames, encoded.truncated) == (60, False)
    assert encoded.fps == pytest.approx(30, rel=0.02)
    assert "the time jumps" in "".join(encoded.notes)
    assert frames.encode(path, EncodeSettings(None, 90, fps=10)).num_frames == 20


def two_streams(path: Path, first: dict, second: dict) -> Path:
    """Writes two video streams, of `num_frames` each in a size of their own."""
    with av.open(str(path), "w") as container:
        packets = []
        streams = []
        for options in (first, second):
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height = options["size"]
            stream.pix_fmt = "yuv420p"
            stream.disposition = options.get("disposition", 0)
            streams.append(stream)
        for stream, options in zip(streams, (first, second), strict=True):
            for number in range(options["num_frames"]):
                image = frame(number, stream.height, stream.width)
                packets += stream.encode(image)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_film_is_taken_rather_than_a_larger_still(tmp_path, suffix):
    default = av.stream.Disposition.default.value
    still = {"size": (128, 96), "num_frames": 1, "disposition": default}
    film = {"size": (WIDTH, HEIGHT), "num_frames": 30}
    for first, second in ((still, film), (film, still)):
        path = two_streams(tmp_path / f"video{suffix}", first, second)
        encoded = frames.encode(path, AS_IS)
        assert (encoded.height, encoded.width) == (HEIGHT, WIDTH)
        assert shown(path) == list(range(30))
        assert encoded.notes[0].startswith("2 video streams: ")


def test_of_two_films_the_default_one_is_taken_and_then_the_larger(tmp_path):
    small = {"size": (WIDTH, HEIGHT), "num_frames": 30}
    large = {"size": (128, 96), "num_frames": 20}
    path = two_streams(tmp_path / "video.mkv", small, large)
    assert frames.encode(path, AS_IS).width == 128
    small["disposition"] = av.stream.Disposition.default.value
    path = two_streams(tmp_path / "video.mkv", small, large)
    assert frames.encode(path, AS_IS).width == WIDTH


def test_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        packets = silence(container, 1)
        packets += cover.encode(frame(0).reformat(format="yuvj420p"))
        for packet in packets:
            container.mux(packet)
    with pytest.raises(
        VideoError, match=r"not a video .*only sound and a cover picture"
    ):
        frames.encode(path, AS_IS)


@pytest.mark.parametrize(
    ("codec", "format"),
    [
        ("mpeg1video", "mpeg1video"),
        ("mpeg2video", "mpeg2video"),
        ("libx264", "h264"),
        ("libx265", "hevc"),
        ("mpeg4", "m4v"),
        ("vp9", "ivf"),
        ("rawvideo", "yuv4mpegpipe"),
        ("ffv1", "nut"),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mpg"])
def test_bare_streams_are_read_whatever_they_are_called(
    tmp_path, codec, format, suffix
):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = tmp_path / f"video{suffix}"
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(20):
            container.mux(stream.encode(frame(number)))
        container.mux(stream.encode(None))
    assert shown(path) == list(range(20))
    encoded = frames.encode(path, AS_IS)
    assert encoded.fps == pytest.approx(25, rel=0.05)
    assert not encoded.truncated


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b'\xef\xbb\xbf{"error": "gone"}', "JSON text"),
        (b"#EXTM3U\n/etc/passwd\n", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a text file of 38 bytes"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (bytes(4096), "zeros at its start"),
        (b"\0\0\0\x18ftypisom" + bytes(12), "an MP4 file without its index"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, content, what):
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=f"not a video .*{what}") as error:
        frames.encode(path, AS_IS)
    assert f"{len(content)} bytes" in error.value.detail


def test_sound_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        for packet in silence(container, 1):
            container.mux(packet)
    with pytest.raises(VideoError, match=r"not a video .no video in it, only s"):
        frames.encode(path, AS_IS)


@pytest.mark.parametrize("from_memory", [False, True], ids=["path", "bytes"])
@pytest.mark.parametrize(
    "content",
    [
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\xb7" + bytes(55) + b"\x18\x53\x80\x67",
        b"FLV",
        b"FLV\x01",
        b"\0\0\0\x08ftyp",
    ],
)
def test_a_file_that_ends_in_its_first_bytes_is_no_video(
    tmp_path, content, from_memory
):
    path = tmp_path / "video.mkv"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=f"not a video .*{len(content)} bytes"):
        frames.encode(content if from_memory else path, AS_IS)


def test_a_picture_is_no_video(tmp_path):
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        container.mux(stream.encode(frame(1).reformat(format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="a PNG picture, not a video"):
        frames.encode(path, AS_IS)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_moving_pictures_are_named_with_what_would_wrap_them(tmp_path, format):
    path = tmp_path / "video.mp4"
    first, *others = [Image.new("RGB", (WIDTH, HEIGHT), c) for c in ("red", "blue")]
    first.save(path, format, save_all=True, append_images=others)
    with pytest.raises(VideoError, match=rf"(?i){format}.*wrap it: ffmpeg -i FILE"):
        frames.encode(path, AS_IS)


def test_a_list_of_files_opens_none_of_them(tmp_path):
    secret = write(tmp_path / "secret.mkv")
    for name, text in {
        "list.mp4": f"ffconcat version 1.0\nfile {secret}\n",
        "list.mkv": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9\n{secret}\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError, match="not a video"):
            frames.encode(tmp_path / name, AS_IS)
