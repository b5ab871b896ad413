import math

import numpy as np
import pytest
from draws import Recorded
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips.read import crops
from kinetics_clips.read.clip_spec import ClipSpec

sides = st.integers(1, 400)


@given(sides, sides, sides)
def test_scaled_to_keeps_the_aspect(height, width, short_side):
    scaled = crops.scaled_to(height, width, short_side)
    short = min(height, width)
    assert min(scaled) == short_side
    for side, got in zip((height, width), scaled, strict=True):
        assert abs(got - side * short_side / short) <= 0.5


@given(sides, sides, st.integers(1, 300), st.data())
def test_a_random_crop_may_lie_anywhere(height, width, crop, data):
    spec = ClipSpec(crop=crop)
    scaled = (height, width)
    if min(scaled) < crop:
        scaled = crops.scaled_to(height, width, crop)
    slack = [side - crop for side in scaled]
    corner = [data.draw(st.integers(0, s)) for s in slack]
    draws = Recorded(*corner)
    view = crops.draw_view(draws, height, width, spec)
    assert view == (scaled, [(*corner, crop, crop)], (crop, crop), False)
    assert draws.highs == [s + 1 for s in slack]


@pytest.mark.parametrize(
    ("height", "width", "place", "corners"),
    [
        (256, 340, "center", [(16, 58)]),
        (256, 340, "three", [(16, 0), (16, 58), (16, 116)]),
        (340, 257, "three", [(0, 16), (58, 16), (116, 16)]),
        (224, 224, "three", [(0, 0)] * 3),
        (112, 140, "three", [(0, 0), (0, 28), (0, 56)]),  # scaled up to 224x280
    ],
)
def test_crops_at_fixed_places(height, width, place, corners):
    spec = ClipSpec(crop=224, crops=place, size=112)
    view = crops.draw_view(Recorded(), height, width, spec)
    assert view.boxes == [(*corner, 224, 224) for corner in corners]
    assert view.size == (112, 112)
    assert spec.num_crops == len(corners)


fractions = st.floats(0, 1, exclude_max=True)


@given(sides, sides, st.tuples(fractions, fractions), fractions, fractions, st.data())
def test_a_box_of_an_area_fits_and_has_it(height, width, area, one, two, data):
    area = sorted(max(share, 0.01) for share in area)
    spec = ClipSpec(area=area, size=32)
    high = 1 << 30
    top_left = data.draw(st.integers(0, high)), data.draw(st.integers(0, high))

    class Draws(Recorded):
        def integers(self, high):
            self.highs.append(int(high))
            return top_left[len(self.highs) - 1] % high

    draws = Draws(one, two)
    view = crops.draw_view(draws, height, width, spec)
    ((top, left, box_height, box_width),) = view.boxes
    assert 0 <= top <= height - box_height and 1 <= box_height
    assert 0 <= left <= width - box_width and 1 <= box_width
    assert draws.highs == [height - box_height + 1, width - box_width + 1]
    assert view.size == (32, 32) and view.scaled == (height, width)
    share = area[0] + (area[1] - area[0]) * one
    pixels = share * height * width
    if 0.75 <= share * width / height and width / height / share <= 4 / 3:
        # Any ratio in between has that area.
        assert abs(box_height * box_width - pixels) <= height + width


def test_a_box_of_an_area_has_every_ratio():
    rng = np.random.default_rng(0)
    spec = ClipSpec(area=(0.1, 0.2), size=32)
    boxes = [crops.draw_view(rng, 256, 340, spec).boxes[0] for _ in range(3000)]
    ratios = np.log([width / height for _, _, height, width in boxes])
    shares = [width * height / (256 * 340) for _, _, height, width in boxes]
    for values, low, high in [
        (ratios, math.log(3 / 4), math.log(4 / 3)),
        (shares, 0.1, 0.2),
    ]:
        quarters = np.quantile(values, [0.01, 0.25, 0.5, 0.75, 0.99])
        expected = low + (high - low) * np.array([0.01, 0.25, 0.5, 0.75, 0.99])
        np.testing.assert_allclose(quarters, expected, atol=0.03 * (high - low))


def test_half_of_all_clips_are_flipped():
    rng = np.random.default_rng(0)
    flips = [crops.draw_view(rng, 8, 8, ClipSpec(flip=True)).flip for _ in range(999)]
    assert 430 < sum(flips) < 570
    assert not crops.draw_view(rng, 8, 8, ClipSpec()).flip
