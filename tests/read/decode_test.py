import cv2
import numpy as np
import pytest
from conftest import HEIGHT, WIDTH, psnr
from hostile import decode as decode_whole

from kinetics_clips import ClipSpec
from kinetics_clips.read import decode, fetch, jpegs
from kinetics_clips.store.frame_index import UnreadableVideoError


@pytest.fixture
def clip_of(index):
    return lambda spec: fetch.clip(index, 0, np.random.default_rng(0), spec)


@pytest.mark.parametrize("crop", [None, 40])
def test_frames_are_cut_out_of_what_a_full_decode_gives(clip_of, crop):
    spec = ClipSpec(length=6, windows=2, crop=crop)
    clip = clip_of(spec)
    views = np.zeros((2, 6, *clip.view.size, 3), np.uint8)
    decode.frames(clip, views, clip.encoded)
    whole = decode_whole([jpeg.tobytes() for jpeg in clip.encoded.values()])
    whole = dict(zip(clip.encoded, whole, strict=True))
    top, left, height, width = (crop and clip.view.boxes[0]) or (0, 0, HEIGHT, WIDTH)
    for window, row in enumerate(clip.frame_indices.tolist()):
        for at, frame in enumerate(row):
            expected = whole[frame][top : top + height, left : left + width]
            np.testing.assert_array_equal(views[window, at], expected)


@pytest.mark.parametrize(
    ("spec", "left", "width", "is_half"),
    [
        ({"size": 48}, 0, 128, True),
        ({"size": 49}, 0, 128, False),
        ({"size": 30}, 0, 128, True),
        ({"crop": 96, "crops": "center", "size": 48}, 16, 96, True),
        ({"crop": 96, "crops": "center", "size": 32, "flip": True}, 16, 96, True),
        ({"crop": 94, "crops": "center", "size": 47}, 17, 94, False),
    ],
)
def test_frames_that_shrink_to_half_are_decoded_so(
    clip_of, monkeypatch, spec, left, width, is_half
):
    halves = []
    half = jpegs.decode_half
    monkeypatch.setattr(
        jpegs, "decode_half", lambda *args: halves.append(1) or half(*args)
    )
    clip = clip_of(ClipSpec(length=4, **spec))
    views = np.zeros((1, 4, *clip.view.size, 3), np.uint8)
    decode.frames(clip, views, clip.encoded)
    assert len(halves) == (4 if is_half else 0)
    top = (HEIGHT - width) // 2 if width < HEIGHT else 0
    whole = decode_whole([jpeg.tobytes() for jpeg in clip.encoded.values()])
    for picture, got in zip(whole, views[0], strict=True):
        box = picture[top : HEIGHT - top, left : left + width]
        if clip.view.flip:
            box = box[:, ::-1]
        size = clip.view.size[::-1]
        expected = cv2.resize(box, size, interpolation=cv2.INTER_AREA)
        # These frames have hard edges; natural ones come out better.
        assert psnr(got, expected) >= 38


def test_only_the_frames_that_are_named_are_decoded(clip_of):
    clip = clip_of(ClipSpec(length=4))
    views = np.full((1, 4, HEIGHT, WIDTH, 3), 7, np.uint8)
    first, *others = clip.encoded
    decode.frames(clip, views, others)
    ((window, at),) = clip.places[first]
    assert (views[window, at] == 7).all()
    assert all((views[0, other] != 7).any() for other in range(4) if other != at)


def test_a_flipped_clip_is_mirrored(clip_of):
    clip = clip_of(ClipSpec(length=3))
    straight, mirrored = np.zeros((2, 1, 3, HEIGHT, WIDTH, 3), np.uint8)
    decode.frames(clip, straight, clip.encoded)
    flipped = clip._replace(view=clip.view._replace(flip=True))
    decode.frames(flipped, mirrored, clip.encoded)
    np.testing.assert_array_equal(mirrored, straight[..., ::-1, :])


def test_a_damaged_frame_names_video_and_frame(clip_of):
    clip = clip_of(ClipSpec(length=2))
    frame = min(clip.encoded)
    clip.encoded[frame] = clip.encoded[frame][:40]
    views = np.zeros((1, 2, HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(UnreadableVideoError, match=rf"Frame {frame} of .* be a JPEG"):
        decode.frames(clip, views, clip.encoded)
