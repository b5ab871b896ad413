import json
import shutil

import pytest
from conftest import video_of
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips.write import resume
from kinetics_clips.write.frames import EncodedVideo
from kinetics_clips.write.resume import Store

SETTINGS = {"short_side": 256, "fps": None}


@pytest.fixture
def video(tmp_path):
    (tmp_path / "one.mp4").write_bytes(b"x" * 10)
    return video_of(tmp_path / "one.mp4")


ENCODED = EncodedVideo(
    frames=[b"\xff\xd8one", b"", b"\0three\0"],
    height=48,
    width=64,
    fps=29.97002997002997,
    truncated=True,
    notes=("a note",),
    seconds=1.5,
)


def test_get_returns_what_was_put(tmp_path, video):
    store = Store(tmp_path / "kept", SETTINGS)
    assert store.get(video) is None
    store.put(video, ENCODED)
    kept = store.get(video)
    assert kept == ENCODED
    assert kept.seconds == ENCODED.seconds
    assert store.num_bytes() > ENCODED.num_bytes
    store.close()
    assert Store(tmp_path / "kept", SETTINGS).get(video) == ENCODED


@given(jpegs=st.lists(st.binary(max_size=20), min_size=1, max_size=9), fps=st.floats(0))
def test_get_returns_any_frames(tmp_path_factory, jpegs, fps):
    directory = tmp_path_factory.mktemp("any")
    (directory / "one.mp4").touch()
    video = video_of(directory / "one.mp4")
    store = Store(directory / "kept", SETTINGS)
    encoded = EncodedVideo(jpegs, 1, 2, fps, False)
    store.put(video, encoded)
    assert store.get(video) == encoded


def test_get_knows_a_file_that_has_changed(tmp_path, video):
    store = Store(tmp_path / "kept", SETTINGS)
    store.put(video, ENCODED)
    (tmp_path / "one.mp4").write_bytes(b"y" * 10)  # of the same size
    assert store.get(video_of(tmp_path / "one.mp4")) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "no zip"])
def test_get_passes_over_what_is_damaged(tmp_path, video, damage, caplog):
    store = Store(tmp_path / "kept", SETTINGS)
    store.put(video, ENCODED)
    (path,) = (tmp_path / "kept").glob("*/*.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"three")] ^= 1
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "flip": content,
            "empty": b"",
            "no zip": b"no zip" * 100,
        }[damage]
    )
    assert store.get(video) is None
    assert f"{path}: damaged, decoded again" in caplog.text
    store.put(video, ENCODED)
    assert store.get(video) == ENCODED


def test_a_put_that_is_cut_short_leaves_what_was_there(tmp_path, video, monkeypatch):
    store = Store(tmp_path / "kept", SETTINGS)
    store.put(video, ENCODED)

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(resume.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        store.put(video, EncodedVideo([b"other"], 1, 1, 1.0, False))
    assert store.get(video) == ENCODED


def test_other_settings_are_refused_and_both_shown(tmp_path):
    Store(tmp_path / "a kept one", SETTINGS).close()
    with pytest.raises(
        ValueError,
        match=r"must be of \{'short_side': 64.*got \{'short_side': 256.*"
        r"rm -r '.*/a kept one'$",
    ):
        Store(tmp_path / "a kept one", {"short_side": 64, "fps": None})
    Store(tmp_path / "a kept one", SETTINGS)  # the refused one holds nothing


def test_one_build_at_a_time(tmp_path):
    store = Store(tmp_path / "kept", SETTINGS)
    with pytest.raises(ValueError, match=r"kept must be of one build at a time, but"):
        Store(tmp_path / "kept", SETTINGS)
    store.close()
    Store(tmp_path / "kept", SETTINGS).close()


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ValueError, match=r"must be empty or keep videos of an inter"):
        Store(tmp_path, SETTINGS)
    assert (tmp_path / "photo.jpg").exists()


def test_a_store_that_was_killed_at_its_start_goes_on(tmp_path):
    Store(tmp_path / "kept", SETTINGS).close()
    (tmp_path / "kept/settings.json").rename(tmp_path / "kept/settings.json.tmp")
    Store(tmp_path / "kept", SETTINGS).close()
    assert json.loads((tmp_path / "kept/settings.json").read_text()) == SETTINGS


@pytest.mark.parametrize("name", [".filelock-probe-1", ".nfs01", ".fuse_hidden01"])
def test_what_a_lock_left_that_was_killed_is_no_hindrance(tmp_path, name):
    directory = tmp_path / "kept"
    directory.mkdir()
    (directory / name).touch()
    Store(directory, SETTINGS).remove()
    assert not directory.exists()


def test_remove_leaves_nothing(tmp_path, video):
    store = Store(tmp_path / "kept", SETTINGS)
    store.put(video, ENCODED)
    store.finish("today")
    store.remove()
    assert not (tmp_path / "kept").exists()


def test_remove_finished_removes_only_what_its_dataset_was_built_of(tmp_path, video):
    directory = tmp_path / "kept"
    assert not resume.remove_finished(directory, "today")
    store = Store(directory, SETTINGS)
    store.put(video, ENCODED)
    store.close()
    assert not resume.remove_finished(directory, "today")
    store.finish("today")
    assert not resume.remove_finished(directory, "yesterday")
    assert Store(directory, SETTINGS).get(video) == ENCODED
    # Killed while it was being removed.
    shutil.rmtree(next(path for path in directory.iterdir() if path.is_dir()))
    assert resume.remove_finished(directory, "today")
    assert not directory.exists()
