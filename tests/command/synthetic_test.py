import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips.command import synthetic


@given(
    st.integers(0, 4095),
    st.integers(32, 300),
    st.integers(48, 400),
)
def test_number_is_read_back(number, height, width):
    frame = synthetic.draw_frame(number, height=height, width=width)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8
    assert synthetic.read_number(frame) == number


def test_draw_frame_refuses_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match=r"`number` must be in \[0, 4096\), got 4096"):
        synthetic.draw_frame(4096)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_write_video_writes_every_frame(tmp_path, suffix):
    path = tmp_path / f"video{suffix}"
    synthetic.write_video(path, 5, height=96, width=128, first_number=7)
    capture = cv2.VideoCapture(str(path))
    numbers = []
    while (frame := capture.read())[0]:
        numbers.append(synthetic.read_number(frame[1]))
    assert numbers == [7, 8, 9, 10, 11]


def test_write_video_says_when_it_cannot(tmp_path):
    with pytest.raises(OSError, match=r"OpenCV cannot write .*nowhere"):
        synthetic.write_video(tmp_path / "nowhere" / "video.mp4", 1)
