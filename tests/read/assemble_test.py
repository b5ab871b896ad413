import operator

import numpy as np
import pytest
from conftest import build, numbers, write_tree

from kinetics_clips import ClipSpec
from kinetics_clips.command import synthetic
from kinetics_clips.read import assemble
from kinetics_clips.store import frame_index
from kinetics_clips.store.frame_index import FrameIndex, UnreadableVideoError


def batch_of(index, spec, videos) -> assemble.Batch:
    batch = assemble.Batch(len(videos), spec, operator.call)
    for at, video in enumerate(videos):
        batch.add(at, index, video, np.random.default_rng(at))
    return batch


def test_clips_stand_in_the_order_of_their_places(index):
    clips = batch_of(index, ClipSpec(length=40), [2, 0, 1]).clips(assemble.RAISE)
    assert clips["video"].shape[:2] == (3, 40)
    for clip, frames in zip(clips["video"], clips["frame_indices"], strict=True):
        assert numbers(clip) == frames.tolist()
    ids = [index.features["video_id"][video] for video in (2, 0, 1)]
    assert clips["video_id"].tolist() == ids


def test_an_unreadable_video_is_raised_or_left_out(index, caplog):
    def batch():
        batch = batch_of(index, ClipSpec(length=4), [0, 1])
        batch._errors[0] = UnreadableVideoError("shard 3")
        return batch

    with pytest.raises(UnreadableVideoError, match="shard 3"):
        batch().clips(assemble.RAISE)
    clips = batch().clips(assemble.SKIP)
    assert clips["video_id"].tolist() == [index.features["video_id"][1]]
    assert numbers(clips["video"][0]) == clips["frame_indices"][0].tolist()
    assert "skipped: shard 3" in caplog.text


def test_clips_of_several_sizes_make_no_batch(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    path = tmp_path / "videos/train/a/two.mp4"
    synthetic.write_video(path, 4, height=64, width=64)
    builder = build(tmp_path / "videos", tmp_path)
    index = FrameIndex(frame_index.path_of(builder.data_path, "train"))
    with pytest.raises(ValueError, match=r"2 sizes.*\[\(64, 64\), \(96, 128\)\]"):
        batch_of(index, ClipSpec(length=2), [0, 1]).clips(assemble.RAISE)
