import numpy as np
import pytest
from conftest import HEIGHT, WIDTH
from hostile import decode as decode_whole

from kinetics_clips import ClipSpec
from kinetics_clips.read import decode, fetch
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
