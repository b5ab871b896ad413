"""When frames are shown, whatever their streams say, and which of them are stored."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips.write import timing
from kinetics_clips.write.timing import Shown

REGULAR = [number / 30 for number in range(60)]


def settled(times, header_fps=30.0) -> tuple[list[float], timing.Clock]:
    clock = timing.Clock(header_fps)
    shown = [Shown(number, time, None) for number, time in enumerate(times)]
    out = list(clock.settled(shown))
    assert [one.frame for one in out] == list(range(len(times)))
    assert [one.time for one in out] == clock.times
    return clock.times, clock


def with_changes(**changes: float) -> list[float]:
    times = list(REGULAR)
    for name, time in changes.items():
        times[int(name.removeprefix("at_"))] = time
    return times


@given(st.lists(st.floats(0.001, timing.MAX_GAP), max_size=30), st.floats(-5, 1e5))
def test_times_that_rise_stay_as_they_are(steps, start):
    times = list(itertools.accumulate(steps, initial=start))
    found, clock = settled(times)
    assert found == pytest.approx(times, abs=1e-6)
    assert not clock.num_leaps
    if len(times) > 1:
        rate = (len(times) - 1) / (times[-1] - times[0])
        assert clock.frame_rate() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("place", [1, 20, 58])
@pytest.mark.parametrize("wild", [-90.0, 1.5, 5.0, 82_944.0, 1e9])
def test_one_wild_time_does_not_move_the_others(place, wild):
    found, clock = settled(with_changes(**{f"at_{place}": wild}))
    others = [n for n in range(60) if n != place]
    np.testing.assert_allclose(np.array(found)[others], np.array(REGULAR)[others])
    assert found[place - 1] < found[place] < found[place + 1]
    assert clock.frame_rate() == pytest.approx(30)


@pytest.mark.parametrize("wild", [-90.0, 82_944.0])
@pytest.mark.parametrize("place", [0, 59])
def test_a_wild_time_at_an_end_is_left_out(place, wild):
    _, clock = settled(with_changes(**{f"at_{place}": wild}))
    assert clock.frame_rate() == pytest.approx(30)
    assert clock.num_leaps == 1
    assert clock.notes(30) == [
        "the time jumps by more than 10 s, or backwards: the gap was left out"
    ]


@pytest.mark.parametrize("gap", [timing.MAX_GAP + 1, 60.0, 7200.0])
def test_a_gap_is_left_out_beyond_its_bound(gap):
    times = [time + gap * (number >= 30) for number, time in enumerate(REGULAR)]
    found, clock = settled(times)
    np.testing.assert_allclose(found, REGULAR)
    assert clock.num_leaps == 1
    assert len(expanded(found, 30)) == 60


def test_a_gap_within_its_bound_is_filled():
    times = [time + 5 * (number >= 30) for number, time in enumerate(REGULAR)]
    found, clock = settled(times)
    assert clock.notes(10) == []
    assert 0 <= len(expanded(found, 30)) - (60 + 150) < 5  # the last one's own


def test_joined_files_go_on():
    found, clock = settled([*REGULAR, *REGULAR])
    np.testing.assert_allclose(np.diff(found), 1 / 30)
    assert clock.num_leaps == 1


@pytest.mark.parametrize("shared", [2, 3, 7])
def test_times_that_frames_share_are_not_believed(shared):
    times = [number // shared * 1.5 for number in range(60)]
    _, clock = settled(times)
    assert clock.frame_rate() > 30 / 3
    assert any("have the same time" in note for note in clock.notes(30))


def test_one_time_that_two_frames_share_moves_no_other():
    found, clock = settled(with_changes(at_20=REGULAR[19]))
    others = [n for n in range(60) if n != 20]
    np.testing.assert_allclose(np.array(found)[others], np.array(REGULAR)[others])
    assert clock.notes(30) == []


@pytest.mark.parametrize("times", [[None] * 60, [0.0] * 60])
def test_without_times_frames_come_at_the_headers_rate(times):
    _, clock = settled(times, header_fps=25)
    assert clock.frame_rate() == pytest.approx(25)
    _, clock = settled(times, header_fps=0)
    assert clock.frame_rate() == 0


@pytest.mark.parametrize(
    ("fps", "noted"), [(90_000, 1), (1000, 0), (0.1, 0), (0.01, 1)]
)
def test_a_rate_that_no_camera_has_is_noted(fps, noted):
    _, clock = settled([0.0, 1 / fps])
    assert sum("no camera" in note for note in clock.notes(fps)) == noted


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9), min_size=1, max_size=40),
    st.sampled_from([0.0, 25.0, 90_000.0]),
)
def test_times_never_fall_and_never_leap(times, header_fps):
    found, _ = settled(times, header_fps)
    steps = np.diff(found)
    assert (steps >= -1e-9).all()
    assert (steps <= 2 * timing.MAX_GAP + 1e-6 * max(map(abs, found))).all()


def expanded(times, fps, duration=None) -> list[int]:
    shown = [Shown(number, time, None) for number, time in enumerate(times)]
    shown[-1] = shown[-1]._replace(duration=duration)
    found = timing.resampled(shown, fps)
    return [number for number, copies in found for _ in range(copies)]


@given(
    steps=st.lists(st.integers(1, 500), max_size=30),
    start=st.integers(0, 1000),
    fps=st.floats(0.5, 120),
)
def test_resampled_frames_are_the_nearest_in_time(steps, start, fps):
    times = np.cumsum([start, *steps]) / 1000
    out = expanded(times, fps)
    mean = (times[-1] - times[0]) / max(len(times) - 1, 1)
    duration = times[-1] - times[0] + mean
    assert len(out) == 1 or abs(len(out) - duration * fps) <= 1
    for k, number in enumerate(out):
        distance = np.abs(times - times[0] - k / fps)
        assert distance[number] <= distance.min() + 1e-5 / fps + 1e-9


def test_the_last_frame_lasts_as_it_says():
    assert expanded([0, 0.1, 0.2], 10, duration=0.5) == [0, 1, 2, 2, 2, 2, 2]
    assert expanded([0, 0.1, 0.2], 10, duration=7200) == [0, 1, 2]
    assert expanded([0, 0.1, 0.2], 10) == [0, 1, 2]
