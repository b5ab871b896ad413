import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import TRAIN, build, numbers, write_tree

import kinetics_clips
from kinetics_clips import ClipSpec, load_clips, synthetic

NAME = "kinetics_clips/folder"
LENGTH = 16


@pytest.fixture(params=["index", "streaming"])
def where(request, data_dir, streamed_dir) -> Path:
    """Where the dataset is prepared, with a frame index and without."""
    return data_dir if request.param == "index" else streamed_dir


def summaries(ds) -> list[tuple]:
    """Lists (video id, first frame, a pixel) of every clip, batches flattened."""
    found = []
    for tensors in ds:
        clips = {name: value.numpy() for name, value in tensors.items()}
        if clips["video"].ndim == 4:
            clips = {name: [value] for name, value in clips.items()}
        for video_id, indices, video in zip(
            clips["video_id"], clips["frame_indices"], clips["video"], strict=True
        ):
            pixel = video[0, 20, 20].tolist()
            found.append((video_id.decode(), int(indices[0]), pixel))
    return found


def load(where, split="train", spec=None, **options):
    spec = spec or ClipSpec(length=LENGTH, crop=64)
    return load_clips(NAME, split, spec, data_dir=where, **options)


def test_load_clips_batches(where):
    ds = load(where, batch_size=3)
    assert ds.element_spec == {
        "video": tf.TensorSpec([None, LENGTH, 64, 64, 3], tf.uint8),
        "label": tf.TensorSpec([None], tf.int64),
        "video_id": tf.TensorSpec([None], tf.string),
        "frame_indices": tf.TensorSpec([None, LENGTH], tf.int32),
    }
    assert [len(batch["label"]) for batch in ds] == [3, 1]
    assert len(ds) == 2
    full = load(where, batch_size=3, drop_remainder=True)
    assert full.element_spec["video"].shape == [3, LENGTH, 64, 64, 3]
    assert [len(batch["label"]) for batch in full] == [3]
    assert len(full) == 1


def test_load_clips_gives_frames_that_it_names(where, builder):
    ds = load(where, spec=ClipSpec(length=LENGTH), batch_size=2)
    for batch in tfds.as_numpy(ds):
        for video, indices, video_id, label in zip(
            batch["video"],
            batch["frame_indices"],
            batch["video_id"],
            batch["label"],
            strict=True,
        ):
            assert numbers(video) == indices.tolist()
            assert (
                kinetics_clips.label_name(builder.info, label)
                == (video_id.decode().split("/")[0])
            )


@pytest.mark.parametrize("batch_size", [None, 3])
def test_every_pass_is_a_new_epoch(where, batch_size):
    ds = load(where, batch_size=batch_size, seed=0)
    passes = [summaries(ds) for _ in range(4)]
    for clips in passes:
        assert sorted(video_id for video_id, *_ in clips) == sorted(TRAIN)
    assert len({tuple(sorted(map(str, clips))) for clips in passes}) == 4  # windows
    assert len({tuple(c[0] for c in clips) for clips in passes}) > 1  # order


def test_num_epochs_are_epochs_one_after_the_other(where):
    ds = load(where, batch_size=3, num_epochs=3, seed=0)
    assert [len(batch["label"]) for batch in ds] == [3, 1] * 3
    assert len(ds) == 6
    clips = summaries(ds)
    epochs = [clips[i : i + 4] for i in (0, 4, 8)]
    assert all(sorted(c[0] for c in e) == sorted(TRAIN) for e in epochs)
    assert len({tuple(sorted(map(str, e))) for e in epochs}) == 3


def test_num_epochs_none_never_ends(where):
    ds = load(where, num_epochs=None)
    assert ds.cardinality() == tf.data.INFINITE_CARDINALITY
    assert sum(1 for _ in ds.take(50)) == 50


def test_same_seed_same_clips_in_any_process(where):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from clips_test import load, summaries\n"
        "ds = load(sys.argv[2], batch_size=2, seed=11)\n"
        "print([summaries(ds) for _ in range(3)])\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(where)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    ds = load(where, batch_size=2, seed=11)
    here = str([summaries(ds) for _ in range(3)])
    assert [output.strip() for output in outputs] == [here, here]
    other = load(where, batch_size=2, seed=12)
    assert str([summaries(other) for _ in range(3)]) != here


def test_without_a_seed_every_dataset_differs(where):
    assert summaries(load(where)) != summaries(load(where))


def test_keras_fit_sees_new_windows_in_every_epoch(where):
    import keras

    seen = []

    class Recorder(keras.Model):
        def train_step(self, data):
            seen.extend(
                zip(
                    data["video_id"].numpy().tolist(),
                    data["frame_indices"].numpy()[:, 0].tolist(),
                    strict=True,
                )
            )
            return {"loss": tf.constant(0.0)}

    model = Recorder()
    model.compile(run_eagerly=True)
    model.fit(load(where, batch_size=2, seed=0), epochs=3, verbose=0)
    epochs = [frozenset(seen[i : i + 4]) for i in (0, 4, 8)]
    assert len(seen) == 12
    assert len(set(epochs)) == 3


def test_shuffle_false_keeps_the_stored_order(where, builder):
    stored = builder.as_dataset(split="train", shuffle_files=False)
    order = [e["video_id"].numpy().decode() for e in stored]
    ds = load(where, shuffle=False)
    first, second = summaries(ds), summaries(ds)
    assert [c[0] for c in first] == [c[0] for c in second] == order
    assert first != second  # the windows are random all the same


def without_index(builder):
    """Removes the dataset's frame index, so that it is streamed."""
    for path in Path(builder.data_path).glob("*.frame_index"):
        path.unlink()
    return builder


def test_streaming_shuffles_shards_and_windows(tmp_path):
    write_tree(tmp_path / "videos", "train", {f"a/{i:02d}": 2 for i in range(24)})
    builder = kinetics_clips.Builder(config="folder", data_dir=tmp_path)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=tmp_path / "videos", num_shards=4
        )
    )
    assert without_index(builder).info.splits["train"].num_shards == 4
    spec = ClipSpec(length=2)

    def order(**options):
        ds = load_clips(builder, "train", spec, seed=3, **options)
        return [c["video_id"].numpy() for c in ds]

    assert sorted(order()) == sorted(order(shuffle=False))
    assert order() != order(shuffle=False)
    # A buffer of one window leaves what permuted shards alone do.
    shards_only = order(shuffle=1)
    assert shards_only != order(shuffle=False)
    assert shards_only != order()
    ds = load_clips(builder, "train[25%:75%]", spec)
    assert len(ds) == 12 == sum(1 for _ in ds)


def test_shuffle_says_how_many_windows_of_a_stream(tmp_path):
    write_tree(tmp_path / "videos", "train", {f"a/{i:02d}": 1 for i in range(24)})
    builder = without_index(build(tmp_path / "videos", tmp_path))

    def last_first(shuffle):
        """Returns the greatest stored position that came first in 30 epochs."""
        options = {"batch_size": 24, "num_epochs": 30, "seed": 0, "shuffle": shuffle}
        ds = load_clips(builder, "train", ClipSpec(length=1), **options)
        return max(positions[epoch["video_id"].numpy()[0]] for epoch in ds)

    stored = load_clips(builder, "train", ClipSpec(length=1), shuffle=False)
    positions = {clip["video_id"].numpy(): i for i, clip in enumerate(stored)}
    assert last_first(4) == 3
    assert last_first(True) > 16


@pytest.mark.parametrize("indexed", [True, False])
def test_batching_different_sizes_says_what_to_set(tmp_path, indexed):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    synthetic.write_video(tmp_path / "videos/train/a/two.mp4", 4, height=80, width=96)
    builder = build(tmp_path / "videos", tmp_path)
    if not indexed:
        without_index(builder)
    whole = load_clips(builder, "train", ClipSpec(length=2), batch_size=2)
    with pytest.raises(
        (tf.errors.InvalidArgumentError, tf.errors.UnknownError),
        match=r"clips of a batch must have one size(.|\n)*Set a crop, as in ClipSpec",
    ):
        list(whole)
    cropped = load_clips(builder, "train", ClipSpec(length=2, crop=90), batch_size=2)
    (batch,) = cropped
    assert batch["video"].shape == (2, 2, 90, 90, 3)
    single = load_clips(builder, "train", ClipSpec(length=2))
    assert {clip["video"].shape[1:3] for clip in single} == {(96, 128), (80, 96)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_epochs": 0}, "`num_epochs` must be at least 1 or None, got 0"),
        ({"shuffle": 0.5}, "`shuffle` must be a bool or a number of windows, got 0.5"),
        (
            {"batch_size": 5, "drop_remainder": True, "num_epochs": None},
            "`split` must hold at least one batch, got 4 videos in 'train' for batches",
        ),
        ({"batch_size": 0}, "`batch_size` must be at least 1 or None, got 0"),
        ({"shuffle": -1}, "`shuffle` must be a bool or a number of windows, got -1"),
    ],
)
def test_load_clips_refuses_arguments_out_of_range(where, options, message):
    with pytest.raises(ValueError, match=message):
        load(where, **options)


def test_the_iterator_checkpoints(where, tmp_path):
    ds = load(where, batch_size=2, num_epochs=3, seed=5)
    iterator = iter(ds)
    for _ in range(3):  # into the second epoch
        next(iterator)
    path = tf.train.Checkpoint(it=iterator).save(str(tmp_path / "checkpoint"))
    due = summaries(iterator)
    again = load(where, batch_size=2, num_epochs=3, seed=5)
    restored = iter(again)
    tf.train.Checkpoint(it=restored).restore(path)
    assert summaries(restored) == due
    assert len(due) == 6
