import cv2
import numpy as np
import pytest
import simplejpeg
from conftest import psnr
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_clips.read import jpegs


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with detail of every size, in colour."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(
        256, size=(height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8
    )
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(picture, rng.integers(30, size=picture.shape, dtype=np.uint8))


@settings(max_examples=300)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(["444", "422", "420", "440", "411", "Gray"]),
    st.integers(20, 99),
    st.data(),
)
def test_rows_are_those_of_a_full_decode(height, width, sampling, quality, data):
    picture = photo(height, width)
    space = "RGB"
    if sampling == "Gray":
        picture, space = picture[:, :, :1].copy(), "GRAY"
    jpeg = simplejpeg.encode_jpeg(
        picture, quality=quality, colorspace=space, colorsubsampling=sampling
    )
    whole = simplejpeg.decode_jpeg(jpeg, "RGB")
    for num_rows in {1, height, data.draw(st.integers(1, height))}:
        pixels = np.zeros((height, width, 3), np.uint8)
        jpegs.decode(np.frombuffer(bytearray(jpeg), np.uint8), pixels, num_rows)
        np.testing.assert_array_equal(pixels[:num_rows], whole[:num_rows])


@settings(max_examples=100)
@given(
    st.integers(4, 60),
    st.integers(4, 60),
    st.sampled_from(["444", "422", "420", "440", "411"]),
    st.data(),
)
def test_half_of_a_jpeg_is_what_libjpeg_makes_of_it(height, width, sampling, data):
    picture = photo(2 * height, 2 * width)
    jpeg = simplejpeg.encode_jpeg(picture, quality=90, colorsubsampling=sampling)
    whole = simplejpeg.decode_jpeg(jpeg, "RGB", min_height=height, min_width=width)
    assert whole.shape == (height, width, 3)
    for num_rows in {1, height, data.draw(st.integers(1, height))}:
        pixels = np.zeros((height, width, 3), np.uint8)
        size = 2 * height, 2 * width
        jpegs.decode_half(
            np.frombuffer(bytearray(jpeg), np.uint8), pixels, num_rows, size
        )
        np.testing.assert_array_equal(pixels[:num_rows], whole[:num_rows])


def test_half_of_a_picture_is_the_mean_of_its_pixels():
    x, y = np.meshgrid(np.arange(340), np.arange(256))
    channels = [np.sin(x / 9 + y / 14), np.cos(y / 12), np.sin((x - y) / 17)]
    picture = (127 * np.stack(channels, axis=2) + 128).astype(np.uint8)
    jpeg = np.frombuffer(simplejpeg.encode_jpeg(picture, quality=95), np.uint8).copy()
    expected = cv2.resize(
        simplejpeg.decode_jpeg(jpeg), (170, 128), interpolation=cv2.INTER_AREA
    )
    pixels = np.zeros((128, 170, 3), np.uint8)
    jpegs.decode_half(jpeg, pixels, 128, (256, 340))
    assert psnr(pixels, expected) > 45


def test_half_of_a_jpeg_of_another_size_is_an_error():
    jpeg = np.frombuffer(simplejpeg.encode_jpeg(photo(80, 96)), np.uint8)
    for size in [(80, 98), (40, 96), (160, 192)]:
        pixels = np.zeros((size[0] // 2, size[1] // 2, 3), np.uint8)
        with pytest.raises(ValueError, match=r"it is of \(80, 96\) pixels, expected"):
            jpegs.decode_half(jpeg.copy(), pixels, len(pixels), size)


@pytest.mark.parametrize(
    "options",
    [
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
        [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    ],
    ids=["progressive", "restart markers", "optimized"],
)
def test_other_jpegs(options):
    _, jpeg = cv2.imencode(".jpg", photo(80, 96), options)
    whole = simplejpeg.decode_jpeg(jpeg.tobytes(), "RGB")
    for num_rows in range(1, 81):
        pixels = np.zeros((80, 96, 3), np.uint8)
        jpegs.decode(jpeg.copy(), pixels, num_rows)
        np.testing.assert_array_equal(pixels[:num_rows], whole[:num_rows])


def test_rows_below_are_not_decoded():
    jpeg = np.frombuffer(simplejpeg.encode_jpeg(photo(256, 340)), np.uint8).copy()
    pixels = np.zeros((256, 340, 3), np.uint8)
    jpegs.decode(jpeg, pixels, 100)
    assert pixels[:101].any(axis=(1, 2)).all()
    assert not pixels[101:].any()


@pytest.mark.parametrize("num_rows", [10, 80])
def test_what_is_no_whole_jpeg_of_that_size_is_an_error(num_rows):
    jpeg = np.frombuffer(simplejpeg.encode_jpeg(photo(80, 96)), np.uint8)
    assert jpegs.frame_size(jpeg) == (80, 96)
    for length in range(0, len(jpeg) - 2, 7):
        with pytest.raises(ValueError, match=r"."):
            jpegs.decode(
                jpeg[:length].copy(), np.zeros((80, 96, 3), np.uint8), num_rows
            )
    for size in [(81, 96), (79, 96), (80, 97), (80, 95), (96, 80), (40, 192)]:
        with pytest.raises(ValueError, match=r"."):
            jpegs.decode(jpeg.copy(), np.zeros((*size, 3), np.uint8), num_rows)
    with pytest.raises(ValueError, match=r"(?i)jpeg"):
        jpegs.frame_size(jpeg[:5])
