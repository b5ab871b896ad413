import numpy as np
import pytest

from kinetics_clips import ClipSpec
from kinetics_clips.read import assemble
from kinetics_clips.read.assemble import Decoded
from kinetics_clips.store.frame_index import UnreadableVideoError


def decoded(num_clips: int, spec: ClipSpec, errors: dict) -> Decoded:
    video = np.arange(num_clips, dtype=np.uint8).reshape(-1, 1, 1, 1, 1, 1)
    shape = (num_clips, spec.num_views, spec.length, 8, 8, 3)
    indices = np.arange(num_clips * spec.num_windows * spec.length, dtype=np.int32)
    return Decoded(
        np.broadcast_to(video, shape),
        indices.reshape(num_clips, spec.num_windows, spec.length),
        errors,
    )


def test_an_unreadable_video_is_raised_or_left_out(index, caplog):
    spec = ClipSpec(length=4)
    clips = decoded(3, spec, {1: UnreadableVideoError("shard 3")})
    places = [(index, video) for video in (2, 0, 1)]
    with pytest.raises(UnreadableVideoError, match="shard 3"):
        assemble.clips(clips, places, spec, assemble.RAISE)
    good = assemble.clips(clips, places, spec, assemble.SKIP)
    ids = [index.features["video_id"][video] for video in (2, 1)]
    assert good["video_id"].tolist() == ids
    assert good["label"].tolist() == index.features["label"][[2, 1]].tolist()
    assert good["video"][:, 0, 0, 0, 0].tolist() == [0, 2]
    assert good["frame_indices"].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert "skipped: shard 3" in caplog.text


def test_no_other_error_is_left_out(index):
    spec = ClipSpec(length=4)
    clips = decoded(1, spec, {0: OSError("no more files")})
    with pytest.raises(OSError, match="no more files"):
        assemble.clips(clips, [(index, 0)], spec, assemble.SKIP)


def test_views_stand_window_by_window(index):
    spec = ClipSpec(length=2, crop=8, windows=2, crops="three")
    clips = assemble.clips(decoded(1, spec, {}), [(index, 0)], spec, assemble.RAISE)
    assert clips["video"].shape == (1, 6, 2, 8, 8, 3)
    expected = [[[0, 1]] * 3 + [[2, 3]] * 3]
    assert clips["frame_indices"].tolist() == expected
