import numpy as np
import pytest
from conftest import HEIGHT, WIDTH, numbers
from hostile import decode

from kinetics_clips import ClipSpec
from kinetics_clips.read import fetch
from kinetics_clips.store.frame_index import UnreadableVideoError


def test_each_frame_of_a_clip_is_fetched_once_and_no_other(index):
    spec = ClipSpec(length=100, stride=2)  # videos of 20 to 90 frames wrap
    for video in range(4):
        clip = fetch.clip(index, video, np.random.default_rng(video), spec)
        frames = list(clip.encoded)
        assert frames == sorted(set(clip.frame_indices.flat))
        shown = decode([jpeg.tobytes() for jpeg in clip.encoded.values()])
        assert numbers(shown) == frames
        places = {place: frame for frame in frames for place in clip.places[frame]}
        assert [places[0, at] for at in range(100)] == clip.frame_indices[0].tolist()
        assert clip.size == (HEIGHT, WIDTH)


def test_a_frame_that_is_no_jpeg_names_video_and_frame(index, monkeypatch):
    def read(video, frames, allocate):
        return [np.frombuffer(b"no JPEG", np.uint8)] * len(frames)

    monkeypatch.setattr(index, "read", read)
    spec = ClipSpec(length=2, windows="center")
    with pytest.raises(UnreadableVideoError, match=r"Frame \d+ of .* must be a JPEG"):
        fetch.clip(index, 0, np.random.default_rng(0), spec)
