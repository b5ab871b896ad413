import io
import os
import shutil

import av
import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import TRAIN, numbers
from PIL import Image
from processes import run_script

import kinetics_clips
from kinetics_clips.read.crops import Origin, View
from kinetics_clips.show import preview
from kinetics_clips.store import frame_index

NAME = "kinetics_clips/folder"
SPEC = kinetics_clips.ClipSpec(length=16)


def shown_of(video, frame_indices=None, *, fps=30.0, whole=None, view=None, **texts):
    """Returns what is drawn of a clip of whole frames."""
    length, height, width = video.shape[:3]
    if frame_indices is None:
        frame_indices = np.arange(length, dtype=np.int32)
    view = view or View(
        (height, width), [(0, 0, height, width)], (height, width), False
    )
    texts = {"label": "a class", "video_id": "an id", "place": "", "rate": fps} | texts
    return preview.Shown(
        video=video,
        frame_indices=frame_indices,
        origin=Origin((height, width), fps, view),
        whole=whole,
        **texts,
    )


def black(length=4, height=48, width=64):
    return np.zeros((length, height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "spec",
    [
        kinetics_clips.ClipSpec(length=16),
        kinetics_clips.ClipSpec(length=8, stride=2, crop=64, flip=True),
        kinetics_clips.ClipSpec(length=4, area=(0.3, 0.9), size=48, flip=True),
        kinetics_clips.ClipSpec(length=4, windows=2, crop=64, crops="three"),
        kinetics_clips.ClipSpec(length=4, fps=15, crop=112),
    ],
)
def test_shows_what_load_clips_gives(data_dir, spec):
    shown = preview.show_clips(
        NAME, "train", spec, num=3, seed=5, epoch=2, data_dir=data_dir
    )
    expected = kinetics_clips.load_clips(
        NAME, "train", spec, seed=5, epoch=2, data_dir=data_dir
    )
    views = iter(shown.clips)
    for clip in expected.take(3).as_numpy_iterator():
        shape = spec.num_views, spec.length
        videos = clip["video"].reshape(*shape, *clip["video"].shape[-3:])
        for video, indices in zip(
            videos, clip["frame_indices"].reshape(shape), strict=True
        ):
            view = next(views)
            np.testing.assert_array_equal(view.video, video)
            np.testing.assert_array_equal(view.frame_indices, indices)
            assert view.video_id == clip["video_id"].decode()
            assert view.label == view.video_id.split("/")[0]
    assert not list(views)


@pytest.mark.parametrize("directory", ["data_dir", "streamed_dir"])
def test_the_box_is_where_the_clip_comes_from(request, directory):
    spec = kinetics_clips.ClipSpec(length=4, crop=64, crops="three", flip=True)
    shown = preview.show_clips(
        NAME, "train", spec, num=4, data_dir=request.getfixturevalue(directory)
    )
    assert len(shown.clips) == 12
    mirrored = set()
    for clip in shown.clips:
        ((top, left, height, width),) = clip.origin.view.boxes
        cut = clip.whole[top : top + height, left : left + width]
        if clip.origin.view.flip:
            cut = cut[:, ::-1]
        mirrored.add(bool(clip.origin.view.flip))
        # A crop that is fused with decoding differs at its edge, by the colour there.
        np.testing.assert_allclose(
            clip.video[2, :, 1:-1].astype(int), cut[:, 1:-1].astype(int), atol=1
        )
        assert numbers([clip.whole]) == [clip.frame_indices[2]]
        assert tuple(clip.origin.frame_size) == (96, 128)
    assert mirrored == {True, False}


def test_streamed_records_are_shown_too(streamed_dir):
    shown = preview.show_clips(NAME, "train", SPEC, num=9, data_dir=streamed_dir)
    assert {clip.video_id for clip in shown.clips} == set(TRAIN)
    for clip in shown.clips:
        assert clip.whole is None
        assert numbers(clip.video) == clip.frame_indices.tolist()
        assert clip.origin.fps == pytest.approx(30)
    again = preview.show_clips(NAME, "train", SPEC, num=9, data_dir=streamed_dir)
    assert {c.video_id: c.frame_indices.tolist() for c in again.clips} == {
        c.video_id: c.frame_indices.tolist() for c in shown.clips
    }


@pytest.mark.parametrize("directory", ["data_dir", "streamed_dir"])
def test_of_one_class(request, directory):
    options = {"data_dir": request.getfixturevalue(directory), "class_name": "blue"}
    shown = preview.show_clips(NAME, "train", SPEC, **options)
    assert {clip.video_id for clip in shown.clips} == {"blue/long", "blue/short"}
    with pytest.raises(
        ValueError, match="hold a video of the class 'blue', got none in 'validation'"
    ):
        preview.show_clips(NAME, "validation", SPEC, **options)
    options["class_name"] = "Blu"
    with pytest.raises(
        ValueError, match=r"one of the 2 classes of .*, got 'Blu'. There is 'blue'"
    ):
        preview.show_clips(NAME, "train", SPEC, **options)


@pytest.mark.parametrize("option", ["num", "num_frames"])
def test_a_number_under_one_is_an_error(data_dir, option):
    with pytest.raises(ValueError, match=f"`{option}` must be at least 1, got 0"):
        preview.show_clips(NAME, "train", SPEC, data_dir=data_dir, **{option: 0})


def test_a_sheet_shows_evenly_spaced_frames():
    video = black(9)
    video += (np.arange(9, dtype=np.uint8) * 30)[:, None, None, None]
    sheet = preview.Preview("title", [shown_of(video)], num_frames=3).sheet()
    # The row of tiles: as high as drawn, 149 wide for 64x48, six pixels apart.
    columns = [20 + 75 + 155 * number for number in range(3)]
    row = sheet.shape[0] - 20 - 40
    assert [sheet[row, column, 0] for column in columns] == [0, 120, 240]


def test_a_sheet_draws_the_box():
    video = black(4, 24, 24) + np.uint8(200)
    view = View((48, 64), [(10, 30, 24, 24)], (24, 24), False)
    shown = shown_of(video, whole=black(1)[0], view=view)
    sheet = preview.Preview("title", [shown], num_frames=1).sheet().astype(int)
    orange = np.abs(sheet - [0xE8, 0x59, 0x0C]).sum(axis=-1) < 8
    rows, columns = np.nonzero(orange)
    # Of 112 pixels for 48: the box's 24 are 56, from 70 on the left.
    assert columns.min() == 20 + 70
    assert columns.max() - columns.min() == 55
    assert rows.max() - rows.min() == 55


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "frames 0 to 3 · 0.00 to 0.10 s at 30 fps · whole frames of 64x48"),
        ({"fps": 0.0}, "frames 0 to 3 · whole frames of 64x48"),
        (
            {"frame_indices": np.array([2, 3, 0, 1]), "fps": 0.0},
            "frames 0 to 3 · again and again: the video is shorter than the clip · "
            "whole frames of 64x48",
        ),
        (
            {
                "view": View((96, 128), [(3, 5, 80, 80)], (48, 64), True),
                "whole": black(1)[0],
                "fps": 0.0,
                "place": "crop 1 of 3",
            },
            "crop 1 of 3 · frames 0 to 3 · 80x80 at (5, 3) of 64x48 · scaled up to "
            "128x96 before · scaled to 64x48 · mirrored",
        ),
    ],
)
def test_what_is_written_of_a_clip(options, text):
    assert preview._details(shown_of(black(), **options)) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Küche · Söhne", "Kuche · Sohne"),
        ("日本", "\\u65e5\\u672c"),
        ("a\nb\x00", "a b "),
        ("ﬁx", "fix"),
    ],
)
def test_letters_that_the_font_lacks_are_written_otherwise(text, same):
    one, other = (preview._text_image(t, 13, "#000000") for t in (text, same))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("text", ["", "日本語 ✂", "a\nb\x00", "x" * 500, "Ärger"])
def test_any_text_is_drawn(text):
    shown = shown_of(black(), label=text, video_id=text)
    sheet = preview.Preview(text, [shown, shown_of(black(2, 30, 8))], 2).sheet()
    assert sheet.shape[2] == 3


def test_a_picture_and_a_video_are_written(data_dir, tmp_path):
    spec = kinetics_clips.ClipSpec(length=6, stride=3, crop=64)
    shown = preview.show_clips(NAME, "train", spec, num=3, data_dir=data_dir)
    shown.save(tmp_path / "clips.PNG")
    picture = np.asarray(Image.open(tmp_path / "clips.PNG"))
    np.testing.assert_array_equal(picture, shown.sheet())
    notebook = np.asarray(Image.open(io.BytesIO(shown._repr_png_())))
    np.testing.assert_array_equal(notebook, picture)

    shown.save(tmp_path / "clips.webm")
    with av.open(str(tmp_path / "clips.webm")) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == "vp9"
        assert stream.average_rate == 10  # every third of 30 a second
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode()]
    assert len(frames) == 6
    # The middle of the first clip, below its title; VP9 is close, not equal.
    expected = np.stack([frame[16:48, 16:48].mean() for frame in shown.clips[0].video])
    top = 20 + 20 + 16  # a margin, a class, an id
    got = np.stack(
        [frame[top + 56 : top + 168, 20 + 56 : 20 + 168].mean() for frame in frames]
    )
    np.testing.assert_allclose(got, expected, atol=6)


@pytest.mark.parametrize(
    ("spec", "rate"),
    [
        (kinetics_clips.ClipSpec(length=2, fps=12.5), 12.5),
        (kinetics_clips.ClipSpec(length=2, stride=4), 7.5),
    ],
)
def test_a_video_moves_as_it_was_shot(data_dir, tmp_path, spec, rate):
    shown = preview.show_clips(NAME, "train", spec, num=1, data_dir=data_dir)
    shown.save(tmp_path / "clips.webm")
    with av.open(str(tmp_path / "clips.webm")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(rate)


def test_a_box_of_a_pixel_is_drawn():
    view = View((480, 640), [(470, 630, 1, 1)], (48, 48), False)
    shown = shown_of(black(1), whole=black(1, 480, 640)[0], view=view)
    assert preview.Preview("title", [shown], 1).sheet().min() == 0


def test_clips_beyond_memory_are_refused(data_dir):
    spec = kinetics_clips.ClipSpec(crop=9999)
    with pytest.raises(ValueError, match=r"fit into 4 GiB together, got 6 of"):
        preview.show_clips(NAME, "train", spec, data_dir=data_dir)


@pytest.mark.slow
def test_without_an_index_the_seed_chooses_videos(streamed_dir):
    firsts = {
        preview.show_clips(NAME, "train", SPEC, 1, seed=seed, data_dir=streamed_dir)
        .clips[0]
        .video_id
        for seed in range(8)
    }
    assert len(firsts) > 1


def test_other_files_are_refused(tmp_path):
    shown = preview.Preview("title", [shown_of(black())], 2)
    with pytest.raises(ValueError, match=r"must end with \.png .* got .*clips\.gif"):
        shown.save(tmp_path / "clips.gif")
    for name in ("clips.png", "clips.webm"):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            shown.save(tmp_path / "nowhere" / name)


def test_shows_without_tensorflow(data_dir):
    done = run_script(
        "import sys, kinetics_clips\n"
        "shown = kinetics_clips.show_clips(sys.argv[1])\n"
        "print(len(shown.clips), 'tensorflow' in sys.modules)",
        data_dir / NAME / "2.0.0",
    )
    assert done.stdout.split() == ["4", "False"], done.stderr


def test_tfds_shows_videos_in_a_data_frame(data_dir):
    ds, info = tfds.load(NAME, split="train", data_dir=data_dir, with_info=True)
    html = tfds.as_dataframe(ds.take(2), info)._repr_html_()
    assert html.count("<video") + html.count("<img") == 2
    assert "red/" in html or "blue/" in html


def test_a_damaged_video_is_named(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    (shard,) = (tmp_path / NAME / "2.0.0").glob("*-train.tfrecord-*")
    times = shard.stat()
    content = bytearray(shard.read_bytes())
    index = frame_index.FrameIndex(shard.parent / "train.frame_index")
    for video in range(len(index)):
        for row in index._rows(video, range(index.num_frames(video))):
            content[int(index._records[video]) + int(row["offset"]) + 9] ^= 1
    shard.write_bytes(content)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(
        kinetics_clips.UnreadableVideoError, match=r"Frame \d+ of video .* its checksum"
    ):
        preview.show_clips(NAME, "train", SPEC, data_dir=tmp_path)
