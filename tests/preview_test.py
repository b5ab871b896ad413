import cv2
import numpy as np
import pytest

from kinetics_clips import preview


def clip(length, height, width, colour):
    return np.full((length, height, width, 3), colour, np.uint8)


def test_contact_sheet_draws_every_frame_in_order():
    video = clip(5, 40, 60, 0)
    video += (np.arange(5, dtype=np.uint8) * 40)[:, None, None, None]
    sheet = preview.contact_sheet([video], ["a title"], num_columns=3, tile_height=20)
    # Two rows of tiles of 20x30, two pixels apart, below a title of 24.
    assert sheet.shape == (24 + 2 * 22, 3 * 32, 3)
    tiles = [
        sheet[24 + 22 * row + 10, 32 * column + 15, 0]
        for row in (0, 1)
        for column in range(3)
    ]
    assert tiles == [0, 40, 80, 120, 160, 255]
    assert sheet[:24].min() < 100  # the title is written


def test_contact_sheet_takes_clips_of_different_sizes():
    sheet = preview.contact_sheet(
        [clip(2, 40, 60, 10), clip(1, 60, 40, 200)], ["one", "two"], num_columns=2
    )
    assert sheet.shape == (2 * (24 + 82), 2 * 122, 3)


def test_contact_sheet_needs_a_title_a_clip():
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter"):
        preview.contact_sheet([clip(1, 8, 8, 0)], [])


def test_write_png_keeps_colours(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:] = (250, 20, 30)
    path = str(tmp_path / "picture.png")
    preview.write_png(path, picture)
    np.testing.assert_array_equal(cv2.imread(path)[:, :, ::-1], picture)


def test_write_png_says_when_it_cannot(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*nowhere"):
        preview.write_png(
            str(tmp_path / "nowhere" / "x.png"), np.zeros((4, 4, 3), np.uint8)
        )
