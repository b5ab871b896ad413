from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

import kinetics_clips
from kinetics_clips import testing

SPEC = kinetics_clips.ClipSpec(length=8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return testing.make_dataset(tmp_path_factory.mktemp("made"))


def clips_of(dataset, split: str, data_dir: Path | None = None) -> dict[str, dict]:
    """Returns a clip of each video, by the video's id."""
    source = kinetics_clips.ClipSource(dataset, split, SPEC, 0, data_dir)
    return {
        clip["video_id"].decode(): clip
        for clip in (source[number] for number in range(len(source)))
    }


def rows_of(builder) -> list[dict]:
    return list(
        tfds.as_numpy(
            builder.as_dataset(
                split="train", decoders={"video": kinetics_clips.EncodedFrames()}
            )
        )
    )


def test_its_content_is_what_the_docstring_says(made):
    assert made.info.full_name == f"kinetics_clips/folder/{made.VERSION}"
    counts = {name: split.num_examples for name, split in made.info.splits.items()}
    assert counts == {"train": 6, "validation": 3}
    names = ["class 0", "class 1", "class 2"]
    assert made.info.features["label"].names == names
    sizes, num_frames = [(96, 128), (128, 96), (64, 64)], [80, 64, 20]
    rows = {row["video_id"].decode(): row for row in rows_of(made)}
    for split, count in counts.items():
        clips = clips_of(made, split)
        assert set(clips) == {f"class {n % 3}/{split}_{n}" for n in range(count)}
        for number in range(count):
            video_id = f"class {number % 3}/{split}_{number}"
            clip = clips[video_id]
            assert clip["label"] == number % 3
            assert clip["video"].shape == (8, *sizes[number % 3], 3)
            shown = [kinetics_clips.testing.frame_number(f) for f in clip["video"]]
            assert shown == clip["frame_indices"].tolist()
            if split == "train":
                assert rows[video_id]["num_frames"] == num_frames[number % 3]
                assert rows[video_id]["fps"] == 25


def test_each_class_has_a_colour_of_its_own(made):
    clips = clips_of(made, "validation")
    discs = []
    for clip in clips.values():
        frame = clip["video"][0].astype(int)
        saturation = frame.max(axis=-1) - frame.min(axis=-1)
        discs.append(frame[saturation > 120].mean(axis=0))
    for one in range(3):
        for other in range(one):
            assert np.abs(discs[one] - discs[other]).max() > 60


def test_all_readers_take_it_by_name_directory_and_builder(made):
    root = Path(made.data_dir).parents[2]
    for dataset in ("kinetics_clips/folder", made.data_dir, made):
        ds = kinetics_clips.load_clips(dataset, "train", SPEC, data_dir=root)
        assert len(list(ds)) == 6
    shown = kinetics_clips.show_clips(made, "validation", SPEC)
    assert len(shown.clips) == 3


@pytest.mark.slow
def test_code_that_asks_for_a_release_finds_its_classes(tmp_path):
    made = testing.make_dataset(
        tmp_path, config="k400", num_videos={"train": 4, "test": 1}, sizes=[(32, 48)]
    )
    assert len(made.info.features["label"].names) == 400
    clips = clips_of("kinetics_clips/k400", "train", tmp_path)
    assert {video_id: int(clip["label"]) for video_id, clip in clips.items()} == {
        f"train{number:06}_000000_000010": number % 3 for number in range(4)
    }
    assert made.info.features["label"].names[:3] == [
        "abseiling",
        "air drumming",
        "answering questions",
    ]
    (test,) = clips_of(made, "test")
    assert test == "test-000000_000000_000010"


def test_its_options_are_what_is_stored(tmp_path):
    config = kinetics_clips.KineticsClipsConfig(name="mine", short_side=None)
    made = testing.make_dataset(
        tmp_path,
        config=config,
        num_videos={"test": 3},
        class_names=["run", "jump"],
        num_frames=[30, 5],
        sizes=[(300, 400), (32, 48)],
        fps=[10, 30],
    )
    assert made.info.features["label"].names == ["jump", "run"]
    clips = clips_of(made, "test")
    assert {name: clip["video"].shape for name, clip in clips.items()} == {
        "run/test_0": (8, 300, 400, 3),
        "jump/test_1": (8, 32, 48, 3),
        "run/test_2": (8, 300, 400, 3),
    }
    for clip in clips.values():  # one of five frames starts over
        shown = [testing.frame_number(frame) for frame in clip["video"]]
        assert shown == clip["frame_indices"].tolist()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"num_videos": {}}, "`num_videos` must be of train"),
        ({"num_videos": {"val": 1}}, "`num_videos` must be of train"),
        ({"num_videos": {"train": 0}}, "`num_videos` must be of train"),
        ({"class_names": []}, "`class_names` must be at least one"),
        ({"num_frames": 0}, r"`num_frames` must be in \[1, 4096\], got \[0\]"),
        ({"num_frames": [9, 4097]}, r"`num_frames` must be in \[1, 4096\]"),
        ({"num_frames": []}, r"`num_frames` must be in \[1, 4096\]"),
        ({"sizes": [(64, 33)]}, "`sizes` must be even"),
        ({"sizes": [(30, 64)]}, "`sizes` must be even"),
        ({"sizes": [(64, 46)]}, "`sizes` must be even"),
        ({"fps": 0}, r"`fps` must be in \(0, 1000\]"),
    ],
)
def test_what_cannot_be_made_is_an_error(tmp_path, options, problem):
    with pytest.raises(ValueError, match=problem):
        testing.make_dataset(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_is_there_is_left_alone(made):
    before = Path(made.data_dir, "dataset_info.json").read_text()
    root = Path(made.data_dir).parents[2]
    with pytest.raises(ValueError, match=r"`directory` must not hold a dataset of tha"):
        testing.make_dataset(root, num_videos={"test": 1})
    assert Path(made.data_dir, "dataset_info.json").read_text() == before


def test_nothing_is_made_behind_the_mock_of_tfds(tmp_path):
    with tfds.testing.mock_data():
        with pytest.raises(
            RuntimeError, match=r"outside of `tfds\.testing\.mock_data`"
        ):
            testing.make_dataset(tmp_path)
