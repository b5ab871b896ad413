import cv2
import numpy as np
import pytest
import simplejpeg
from conftest import SHARED, needs_shared, psnr
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_clips.read import jpegs, scaling
from kinetics_clips.write import frames


def textured(height: int, width: int) -> np.ndarray:
    """Returns a picture with less detail the finer it is, as natural ones have."""
    rng = np.random.default_rng(height * 1000 + width)
    picture = np.zeros((height, width, 3))
    for octave in range(6):
        cells = rng.uniform(-1, 1, (2 + (height >> octave), 2 + (width >> octave), 3))
        picture += cv2.resize(cells, (width, height)) * 2**octave
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low) * 255).astype(np.uint8)


def put(pixels: np.ndarray, height: int, width: int, flip: bool = False) -> np.ndarray:
    out = np.empty((height, width, 3), np.uint8)
    scaling.put(pixels, flip, out)
    return out


@pytest.mark.parametrize("ratio", [1.02, 1.2, 1.49, 1.51, 1.8, 2, 2.3, 3, 3.9, 4.1, 7])
def test_shrinking_is_antialiased(ratio):
    picture = textured(256, 340)
    height, width = round(256 / ratio), round(340 / ratio)
    expected = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    assert psnr(put(picture, height, width), expected) >= 40


@needs_shared
def test_frames_of_real_videos_shrink_as_by_the_mean_of_all_pixels():
    """By what scaling makes of them, and by libjpeg's halves before it."""
    settings = frames.EncodeSettings(short_side=256, jpeg_quality=85, fps=None)
    worst = {}
    for path in sorted((SHARED / "real_clips").rglob("*.m[pk]*")):
        jpegs_of_video = frames.encode(path, settings).frames
        for jpeg in jpegs_of_video[:: len(jpegs_of_video) // 4]:
            whole = simplejpeg.decode_jpeg(jpeg)
            height, width = (side // 2 * 2 for side in whole.shape[:2])
            half = np.empty((-(-len(whole) // 2), -(-whole.shape[1] // 2), 3), np.uint8)
            is_even = whole.shape[:2] == (height, width)
            if is_even:
                data = np.frombuffer(bytearray(jpeg), np.uint8)
                jpegs.decode_half(data, half, len(half), (height, width))
            for side in (200, 150, 128, 112, 80):
                size = round(whole.shape[1] * side / len(whole)), side
                expected = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
                found = [psnr(put(whole, *size[::-1]), expected)]
                if is_even and side <= 128:
                    found.append(psnr(put(half, *size[::-1]), expected))
                worst[side] = min(worst.get(side, 99), *found)
    assert min(worst.values()) >= 40, worst


def test_stripes_become_grey_and_not_other_stripes():
    """Linear interpolation alone takes one row in three."""
    stripes = np.zeros((192, 96, 3), np.uint8)
    stripes[::3] = 255
    shrunk = put(stripes, 64, 32)
    assert np.abs(shrunk.astype(int) - 85).max() <= 45
    linear = cv2.resize(stripes, (32, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(linear.astype(int) - 85).max() >= 80


def test_growing_is_linear():
    picture = textured(30, 40)
    expected = cv2.resize(picture, (100, 90), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(put(picture, 90, 100), expected)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 4), st.booleans(), st.booleans())
def test_any_part_of_a_picture_goes_anywhere(sizes, flip, is_same):
    """Into a part of an array, of which no other part is touched."""
    height, width, new_height, new_width = sizes
    if is_same:
        new_height, new_width = height, width
    part = textured(height + 2, width + 2)[1:-1, 1:-1]
    outs = np.full((3, new_height, new_width, 3), 77, np.uint8)
    scaling.put(part, flip, outs[1])
    straight = put(np.ascontiguousarray(part), new_height, new_width)
    if is_same:
        np.testing.assert_array_equal(straight, part)
    np.testing.assert_array_equal(outs[1], straight[:, ::-1] if flip else straight)
    assert (outs[::2] == 77).all()
