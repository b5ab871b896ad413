import numpy as np
from conftest import HEIGHT, TRAIN, WIDTH

from kinetics_clips import ClipSpec
from kinetics_clips.read import draw, shuffling


def test_a_draw_depends_on_key_and_video_alone(index):
    spec = ClipSpec(length=4, crop=32)

    def drawn(video, key):
        rng = draw.generator(index, video, key)
        frames = draw.frames(rng, index, video, spec)
        return frames.tolist(), draw.view(rng, (HEIGHT, WIDTH), spec)

    keys = [shuffling.epoch_key(seed=0, epoch=epoch) for epoch in range(8)]
    of_video = [drawn(0, key) for key in keys]
    assert of_video == [drawn(0, key) for key in keys]
    assert len({str(one) for one in of_video}) == len(keys)
    assert of_video != [drawn(1, key) for key in keys]


def test_without_a_key_every_draw_differs(index):
    draws = {draw.generator(index, 0, None).integers(1 << 60) for _ in range(4)}
    assert len(draws) == 4


def test_frames_are_those_of_the_video(index):
    for video in range(len(TRAIN)):
        frames = draw.frames(
            np.random.default_rng(0), index, video, ClipSpec(length=200, windows=3)
        )
        assert (frames.shape, frames.dtype) == ((3, 200), np.int32)
        assert set(frames.flat) == set(range(index.num_frames(video)))


def test_a_view_is_in_numbers_of_python(index):
    view = draw.view(np.random.default_rng(0), (HEIGHT, WIDTH), ClipSpec(crop=32))
    ((top, left, height, width),) = view.boxes
    assert {type(number) for number in (top, left, *view.size, *view.scaled)} == {int}
    assert (height, width) == (32, 32)
    assert 0 <= top <= HEIGHT - 32 and 0 <= left <= WIDTH - 32


def test_an_id_and_a_rate_are_known_of_other_builders_too(index, monkeypatch):
    assert draw.video_id(index, 0).decode() in TRAIN
    assert draw.stored_fps(index, 0) > 0
    monkeypatch.setattr(index, "features", {})
    ids = {draw.video_id(index, video) for video in range(len(TRAIN))}
    assert len(ids) == len(TRAIN)
    assert draw.stored_fps(index, 0) == 0
