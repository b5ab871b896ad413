import numpy as np
import pytest
from conftest import build, numbers, write_tree

from kinetics_clips import ClipSpec
from kinetics_clips.command import synthetic
from kinetics_clips.read import thread_engine
from kinetics_clips.store import index_format
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError


def read(index, spec, videos, num_threads=2):
    places = [(index, video) for video in videos]
    generators = [np.random.default_rng(video) for video in videos]
    return thread_engine.read(places, generators, spec, num_threads)


def test_clips_stand_in_the_order_of_their_places(index):
    decoded = read(index, ClipSpec(length=40), [2, 0, 1])
    assert decoded.video.shape[:3] == (3, 1, 40)
    for clip, frames in zip(decoded.video, decoded.frame_indices, strict=True):
        assert numbers(clip[0]) == frames[0].tolist()
    assert not decoded.errors
    alone = read(index, ClipSpec(length=40), [2, 0, 1], num_threads=0)
    np.testing.assert_array_equal(alone.video, decoded.video)


@pytest.mark.parametrize("num_threads", [0, 3])
def test_an_error_costs_one_clip(index, monkeypatch, num_threads):
    read_frames = FrameIndex.read

    def fail(self, video, *args):
        if video == 0:
            raise UnreadableVideoError("shard 3")
        return read_frames(self, video, *args)

    monkeypatch.setattr(FrameIndex, "read", fail)
    decoded = read(index, ClipSpec(length=4), [1, 0, 2], num_threads)
    assert [(at, str(error)) for at, error in decoded.errors.items()] == [
        (1, "shard 3")
    ]
    for at in (0, 2):
        frames = decoded.frame_indices[at, 0].tolist()
        assert numbers(decoded.video[at, 0]) == frames


def test_clips_of_several_sizes_make_no_batch(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    path = tmp_path / "videos/train/a/two.mp4"
    synthetic.write_video(path, 4, height=64, width=64)
    builder = build(tmp_path / "videos", tmp_path)
    index = FrameIndex(index_format.path_of(builder.data_path, "train"))
    (error,) = read(index, ClipSpec(length=2), [0, 1], 0).errors.values()
    with pytest.raises(ValueError, match=r"2 sizes.*\[\(64, 64\), \(96, 128\)\]"):
        raise error
