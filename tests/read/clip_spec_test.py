import math

import numpy as np
import pytest

import kinetics_clips
from kinetics_clips.read.clip_spec import ClipSpec


def test_standard_views():
    for views, num_windows in [
        (kinetics_clips.VIEWS_10X3, 10),
        (kinetics_clips.VIEWS_4X3, 4),
        (kinetics_clips.VIEWS_1X3, 1),
    ]:
        spec = ClipSpec(length=32, stride=2, crop=256, **views)
        assert (spec.num_windows, spec.num_crops) == (num_windows, 3)
        assert spec.num_views == 3 * num_windows
    with pytest.raises(TypeError, match="does not support item assignment"):
        kinetics_clips.VIEWS_1X3["crops"] = "center"


@pytest.mark.parametrize("name", ["length", "stride", "crop", "size"])
def test_clip_spec_refuses_less_than_one(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        ClipSpec(**{name: 0})


@pytest.mark.parametrize("value", [1.5, "8", True])
def test_clip_spec_refuses_what_is_not_whole(value):
    with pytest.raises(
        TypeError, match=f"`stride` must be a whole number, got {value!r}"
    ):
        ClipSpec(stride=value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"windows": 1},
            "`windows` must be at least 2, or .*'center' for one window, got 1",
        ),
        ({"windows": "all"}, "`windows` must be 'random', 'center' or a number of"),
        ({"crops": "five", "crop": 8}, "`crops` must be 'random', 'center' or 'three'"),
        ({"crops": "three"}, "`crops` needs a `crop`, got ClipSpec"),
        ({"fps": 0}, "`fps` must be above 0, got 0"),
        ({"fps": math.nan}, "`fps` must be above 0, got nan"),
        ({"fps": 5, "stride": 2}, "`fps` takes the place of `stride`"),
        ({"area": (0, 1), "size": 8}, r"`area` must be \(least, most\) with 0 < least"),
        ({"area": (0.5, 0.4), "size": 8}, r"`area` must be .*, got \(0.5, 0.4\)"),
        ({"area": 0.5, "size": 8}, r"`area` must be .*, got 0.5"),
        ({"area": (0.1, 1), "size": 8, "crop": 8}, "`area` takes the place of `crop`"),
        ({"area": (0.1, 1)}, "`area` needs a `size`"),
    ],
)
def test_clip_spec_refuses_what_does_not_go(values, message):
    with pytest.raises(ValueError, match=message):
        ClipSpec(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fps": "5"}, "`fps` must be a number, got '5'"),
        ({"flip": 1}, "`flip` must be True or False, got 1"),
    ],
)
def test_clip_spec_refuses_other_types(values, message):
    with pytest.raises(TypeError, match=message):
        ClipSpec(**values)


def test_clip_spec_takes_numpy_numbers():
    assert ClipSpec(length=np.int64(8), fps=np.float32(5)) == ClipSpec(length=8, fps=5)
    assert hash(ClipSpec(area=[0.1, 1], size=8)) == hash(
        ClipSpec(area=(0.1, 1.0), size=8)
    )


def test_clip_spec_is_frozen():
    with pytest.raises(AttributeError, match=r"cannot assign to field 'length'"):
        ClipSpec().length = 3


def test_a_spec_says_what_is_not_as_by_default():
    assert repr(ClipSpec()) == "ClipSpec(length=64)"
    spec = ClipSpec(length=8, crop=224, windows=4)
    assert repr(spec) == "ClipSpec(length=8, crop=224, windows=4)"
    assert eval(repr(spec)) == spec
