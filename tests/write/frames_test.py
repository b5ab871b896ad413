import os
import pickle
import struct

import av
import cv2
import numpy as np
import pytest
from conftest import set_display_matrix

from kinetics_clips.command import synthetic
from kinetics_clips.write import frames, pictures
from kinetics_clips.write.frames import EncodeSettings, VideoError

AS_IS = EncodeSettings(short_side=None, jpeg_quality=90)


def decode(jpeg: bytes) -> np.ndarray:
    """Decodes a JPEG to RGB."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def numbers(encoded: frames.EncodedVideo) -> list[int]:
    return [synthetic.read_number(decode(jpeg)) for jpeg in encoded.frames]


def write(path, num_frames=12, **options):
    synthetic.write_video(path, num_frames, **{"height": 96, "width": 128, **options})
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
@pytest.mark.parametrize("from_memory", [False, True], ids=["path", "bytes"])
def test_encode_stores_every_frame_in_order(tmp_path, suffix, from_memory):
    path = write(tmp_path / f"video{suffix}", 20, fps=25)
    encoded = frames.encode(path.read_bytes() if from_memory else path, AS_IS)
    assert numbers(encoded) == list(range(20))
    assert encoded.num_frames == 20
    assert (encoded.height, encoded.width) == (96, 128)
    assert encoded.fps == pytest.approx(25, rel=1e-2)
    assert encoded.num_bytes == sum(len(jpeg) for jpeg in encoded.frames)
    assert not encoded.truncated


@pytest.mark.parametrize(
    ("height", "width", "short_side", "expected"),
    [
        (96, 128, 48, (48, 64)),
        (128, 96, 48, (64, 48)),
        (96, 130, 50, (50, 68)),  # 67.7
        (96, 128, 96, (96, 128)),
        (96, 128, 200, (96, 128)),  # never up
        (96, 128, None, (96, 128)),
    ],
)
def test_encode_scales_down_only(tmp_path, height, width, short_side, expected):
    path = write(tmp_path / "video.mp4", 3, height=height, width=width)
    encoded = frames.encode(path, EncodeSettings(short_side, 90))
    assert (encoded.height, encoded.width) == expected
    assert {decode(jpeg).shape for jpeg in encoded.frames} == {(*expected, 3)}
    assert numbers(encoded) == [0, 1, 2]


@pytest.mark.parametrize(("height", "width"), [(96, 128), (96, 130), (130, 96)])
@pytest.mark.parametrize("short_side", [47, 48, 49])
def test_encode_gives_the_same_bytes_every_time(tmp_path, height, width, short_side):
    path = write(tmp_path / "video.mp4", 4, height=height, width=width)
    settings = EncodeSettings(short_side, 90)
    first = frames.encode(path, settings)
    for number in range(8):
        np.full((300, 300), number, np.uint8)  # into memory that is used again
        assert frames.encode(path, settings) == first
    # The last row and column, which libjpeg-turbo fills up to pairs, are no others.
    picture = decode(first.frames[0]).astype(int)[20:]  # below the number's blocks
    assert np.median(np.abs(picture[-1] - picture[-2])) < 6
    assert np.median(np.abs(picture[:, -1] - picture[:, -2])) < 6


def test_encode_is_as_true_as_rgb_scaled_by_area(tmp_path):
    # Between what the decoder gives as RGB and the JPEG at its best.
    path = write(tmp_path / "video.mp4", 2, height=360, width=640)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    _, frame = capture.read()
    expected = cv2.resize(frame[:, :, ::-1], (228, 128), interpolation=cv2.INTER_AREA)
    encoded = frames.encode(path, EncodeSettings(128, 98))
    assert cv2.PSNR(decode(encoded.frames[0]), expected) > 35


def test_encode_scales_without_aliasing(tmp_path):
    # Every fourth column is white: a scaler that skips pixels gives black or white.
    path = str(tmp_path / "stripes.avi")
    frame = np.zeros((128, 128, 3), np.uint8)
    frame[:, ::4] = 255
    fourcc = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, fourcc, 30, (128, 128))
    assert writer.isOpened()
    writer.write(frame)
    writer.release()
    encoded = frames.encode(tmp_path / "stripes.avi", EncodeSettings(32, 95))
    assert np.abs(decode(encoded.frames[0]).astype(int) - 64).max() < 6


def test_encode_keeps_colours(tmp_path):
    path = write(tmp_path / "video.mp4", 1, colour=(220, 30, 40))
    picture = decode(frames.encode(path, AS_IS).frames[0]).astype(int)
    disc = picture[int(96 * 0.58), int(128 * 0.65)]  # its centre in frame 0
    assert np.abs(disc - (220, 30, 40)).max() < 25


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [
        ("mjpeg", "yuvj420p"),
        ("mjpeg", "yuvj422p"),
        ("ffv1", "yuv420p"),
        ("ffv1", "yuv444p"),
        ("ffv1", "yuv420p10le"),
        ("ffv1", "gray"),
        ("ffv1", "bgr0"),
    ],
)
def test_encode_understands_pixel_formats(tmp_path, codec, pixel_format):
    drawn = synthetic.draw_frame(1234, height=95, width=127)
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = *drawn.shape[:2], pixel_format
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn)))
        container.mux(stream.encode(None))
    for jpeg in frames.encode(path, EncodeSettings(None, 95)).frames:
        picture = decode(jpeg)
        assert synthetic.read_number(picture) == 1234
        grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (drawn, picture)]
        # A range taken for the other one is off by 8 on average, and by 20 at most.
        difference = grey[0].astype(int) - grey[1]
        assert abs(difference.mean()) < 2
        assert np.percentile(np.abs(difference), 95) < 6


def test_encode_quality_sets_the_size(tmp_path):
    path = write(tmp_path / "video.mp4", 2)
    sizes = [
        frames.encode(path, EncodeSettings(None, quality)).num_bytes
        for quality in (30, 95)
    ]
    assert sizes[0] < 0.7 * sizes[1]


def test_encode_turns_rotated_videos(tmp_path):
    path = write(tmp_path / "video.mp4", 3)
    plain = decode(frames.encode(path, AS_IS).frames[0]).astype(int)
    set_display_matrix(path, 0, 1, -1, 0)
    encoded = frames.encode(path, AS_IS)
    assert (encoded.height, encoded.width) == (128, 96)
    turned = decode(encoded.frames[0]).astype(int)
    assert np.abs(turned - np.rot90(plain, -1)).mean() < 3
    set_display_matrix(path, -1, 0, 0, -1)
    assert (
        np.abs(
            decode(frames.encode(path, AS_IS).frames[0]).astype(int) - plain[::-1, ::-1]
        ).mean()
        < 3
    )


def test_encode_keeps_what_a_cut_video_has(tmp_path):
    path = write(tmp_path / "video.webm", 60)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    encoded = frames.encode(path, AS_IS)
    assert 5 < encoded.num_frames < 57
    assert numbers(encoded) == list(range(encoded.num_frames))
    assert encoded.truncated


@pytest.mark.parametrize(("promised", "truncated"), [(105, False), (106, True)])
def test_truncated_is_less_than_95_percent(tmp_path, promised, truncated):
    path = write(tmp_path / "video.avi", 100)
    content = bytearray(path.read_bytes())
    # The stream header's length lies 32 bytes behind the start of its content.
    start = content.index(b"strh") + 8 + 32
    assert struct.unpack_from("<I", content, start) == (100,)
    struct.pack_into("<I", content, start, promised)
    path.write_bytes(content)
    encoded = frames.encode(path, AS_IS)
    assert (encoded.num_frames, encoded.truncated) == (100, truncated)


def slow_down_second_half(path) -> None:
    """Makes the last 10 of an MP4's 20 frames last three times as long."""
    content = bytearray(path.read_bytes())
    # One run of 20 equal durations becomes two.
    start = content.index(b"stts") + 8
    runs, count, duration = struct.unpack_from(">III", content, start)
    assert (runs, count) == (1, 20)
    content[start : start + 12] = struct.pack(
        ">IIIII", 2, 10, duration, 10, 3 * duration
    )
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        at = content.index(box) - 4
        (size,) = struct.unpack_from(">I", content, at)
        struct.pack_into(">I", content, at, size + 8)
    # The edit list would cut the video at its old duration.
    path.write_bytes(content.replace(b"edts", b"free"))


def test_encode_takes_the_rate_from_the_timestamps(tmp_path):
    path = write(tmp_path / "video.mp4", 20, fps=30)
    slow_down_second_half(path)
    # 19 steps in 10 + 9 * 3 durations; the header's average counts the last one too.
    encoded = frames.encode(path, AS_IS)
    assert encoded.num_frames == 20
    assert encoded.fps == pytest.approx(30 * 19 / 37, rel=1e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (10, list(range(0, 30, 3))),
        (15, list(range(0, 30, 2))),
        (30, list(range(30))),
        (60, [i for i in range(30) for _ in range(2)]),
        (7.5, [0, 4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_encode_at_another_rate(tmp_path, suffix, fps, expected):
    path = write(tmp_path / f"video{suffix}", 30, fps=30)
    encoded = frames.encode(path, EncodeSettings(None, 90, fps=fps))
    found = numbers(encoded)
    if fps == 60:  # every second target is a tie between two frames
        assert found[::2] == expected[::2]
        assert len(found) == len(expected)
    else:
        assert found == expected
    assert encoded.fps == fps
    assert not encoded.truncated


def test_encode_at_a_rate_evens_out_a_variable_one(tmp_path):
    path = write(tmp_path / "video.mp4", 20, fps=30)
    slow_down_second_half(path)
    found = numbers(frames.encode(path, EncodeSettings(None, 90, fps=30)))
    # Frame 10 is shown at 10/30 s, frame 11 at 13/30 s, ...; the last one at 37/30 s,
    # for as long as its container says, which some versions of FFmpeg pass on.
    slow = [number for number in range(11, 19) for _ in range(3)]
    assert found[: 12 + len(slow)] == [*range(10), 10, 10, *slow]
    assert found[12 + len(slow) :] in ([19] * n for n in (2, 3, 4))


def test_encode_cuts_time_stamps_that_leap(tmp_path, monkeypatch):
    path = write(tmp_path / "video.mp4", 20, fps=30)
    slow_down_second_half(path)
    monkeypatch.setattr(frames, "MAX_BYTES", 100_000)
    with pytest.raises(VideoError, match=r"too large .*over 100000 bytes after"):
        frames.encode(path, EncodeSettings(None, 90, fps=1e9))


def test_encode_single_frame_takes_the_headers_rate(tmp_path):
    encoded = frames.encode(write(tmp_path / "video.avi", 1, fps=12), AS_IS)
    assert encoded.num_frames == 1
    assert encoded.fps == pytest.approx(12, rel=1e-2)


def test_encode_stops_at_the_size_of_a_record(tmp_path, monkeypatch):
    path = write(tmp_path / "video.mp4")
    monkeypatch.setattr(frames, "MAX_BYTES", 5000)
    with pytest.raises(VideoError, match=r"too large .*over 5000 bytes after"):
        frames.encode(path, AS_IS)


def test_encode_refuses_frames_wider_than_a_jpeg(tmp_path, monkeypatch):
    path = write(tmp_path / "video.mp4")
    monkeypatch.setattr(pictures, "_MAX_JPEG_SIDE", 100)
    with pytest.raises(VideoError, match=r"too large .*128x96"):
        frames.encode(path, AS_IS)


def test_encode_says_why_it_cannot(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(VideoError, match=r"empty"):
        frames.encode(empty, AS_IS)
    with pytest.raises(VideoError, match=r"empty"):
        frames.encode(b"", AS_IS)
    text = tmp_path / "text.mp4"
    text.write_text("no video at all")
    with pytest.raises(VideoError, match=r"not a video .*15 bytes"):
        frames.encode(text, AS_IS)
    with pytest.raises(VideoError, match=r"unreadable .*No such file"):
        frames.encode(tmp_path / "nowhere.mp4", AS_IS)
    with pytest.raises(VideoError, match=r"not a video .*not a regular file"):
        frames.encode(tmp_path, AS_IS)
    fifo = tmp_path / "fifo.mp4"
    os.mkfifo(fifo)
    with pytest.raises(VideoError, match=r"not a video .*not a regular file"):
        frames.encode(fifo, AS_IS)


def test_encode_says_when_no_frame_decodes(tmp_path):
    path = write(tmp_path / "video.avi", 3)
    content = path.read_bytes()
    start = content.index(b"movi") + 4
    # The index and every frame are gone; the headers still promise a video stream.
    path.write_bytes(content[:start])
    with pytest.raises(VideoError, match=r"no frames"):
        frames.encode(path, AS_IS)


def test_video_error_survives_pickling():
    error = pickle.loads(pickle.dumps(VideoError("empty", "0 bytes")))
    assert (error.reason, error.detail, str(error)) == (
        "empty",
        "0 bytes",
        "empty (0 bytes)",
    )
