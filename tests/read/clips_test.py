import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import TRAIN, build, numbers, write_tree
from processes import run_tensorflow

import kinetics_clips
from kinetics_clips import ClipSpec, load_clips
from kinetics_clips.command import synthetic
from kinetics_clips.read import clips as clips_module

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_same_seed_same_clips_in_any_process(where):
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from clips_test import load, summaries\n"
        "ds = load(sys.argv[1], batch_size=2, seed=11)\n"
        "print([summaries(ds) for _ in range(3)])\n"
    )
    tests = Path(__file__).parents[:2]
    outputs = [run_tensorflow("-c", script, where, *tests).stdout for _ in range(2)]
    ds = load(where, batch_size=2, seed=11)
    here = str([summaries(ds) for _ in range(3)])
    assert [output.strip() for output in outputs] == [here, here]
    other = load(where, batch_size=2, seed=12)
    assert str([summaries(other) for _ in range(3)]) != here


@pytest.mark.slow
def test_without_a_seed_every_dataset_differs(where):
    assert summaries(load(where)) != summaries(load(where))


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [True, False])
def test_batching_different_sizes_says_what_to_set(tmp_path, indexed):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    synthetic.write_video(tmp_path / "videos/train/a/two.mp4", 4, height=80, width=96)
    builder = build(tmp_path / "videos", tmp_path)
    if not indexed:
        without_index(builder)
    # The index knows before anything is read.
    kind = ValueError if indexed else tf.errors.InvalidArgumentError
    for spec in (ClipSpec(length=2), ClipSpec(length=2, size=60)):
        with pytest.raises(
            kind,
            match=r"clips of a batch must have one size(.|\n)*Set a crop, as in Clip",
        ):
            whole = load_clips(builder, "train", spec, batch_size=2)
            assert not indexed
            list(whole)
    load_clips(builder, "train", ClipSpec(length=2), batch_size=1)
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
        ({"on_error": "ignore"}, "`on_error` must be 'raise' or 'skip', got 'ignore'"),
        (
            {"shard": (2, 2)},
            r"`shard` must be \(index, count\) with 0 <= index < c",
        ),
        (
            {"shard": (0, 2)},
            "`seed` must be a whole number for the same order on",
        ),
        ({"epoch": 3}, "`seed` must be a whole number for epochs that have numbers"),
        ({"start": (0, 0)}, "`seed` must be a whole number for epochs that have numbe"),
        ({"start": (0, 0), "epoch": 1, "seed": 1}, "`start` must be None where there"),
        ({"shard": (4, 5), "seed": 0}, "at least one batch, got 0 videos in 'train'"),
    ],
)
def test_load_clips_refuses_arguments_out_of_range(where, options, message):
    with pytest.raises(ValueError, match=message):
        load(where, **options)


@pytest.mark.slow
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


def ids(ds) -> list[str]:
    return [
        video_id.decode()
        for clip in tfds.as_numpy(ds)
        for video_id in np.atleast_1d(clip["video_id"])
    ]


@pytest.mark.slow
def test_an_epoch_can_be_pinned(where):
    ds = load(where, batch_size=2, seed=3, epoch=5)
    first = summaries(ds)
    assert first == summaries(ds)
    assert first == summaries(load(where, batch_size=2, seed=3, epoch=5))
    assert first != summaries(load(where, batch_size=2, seed=3, epoch=6))
    assert first != summaries(load(where, batch_size=2, seed=4, epoch=5))
    twice = load(where, batch_size=2, seed=3, epoch=5, num_epochs=2)
    assert summaries(twice) == first * 2


@pytest.fixture(scope="module", params=[True, False], ids=["index", "streaming"])
def ten_videos(request, tmp_path_factory):
    """A dataset of ten videos in three shards."""
    root = tmp_path_factory.mktemp("ten")
    write_tree(root / "videos", "train", {f"a/{i}": 3 for i in range(10)})
    builder = kinetics_clips.Builder(config="folder", data_dir=root)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=root / "videos", num_shards=3
        )
    )
    return builder if request.param else without_index(builder)


@pytest.mark.slow
def test_hosts_share_every_epoch(ten_videos):
    def share(index, **options):
        return load_clips(
            ten_videos,
            "train",
            ClipSpec(length=1),
            batch_size=2,
            shard=(index, 4),
            **options,
        )

    everything = {f"a/{i}" for i in range(10)}
    shares = [ids(share(i, shuffle=False)) for i in range(4)]
    assert sorted(map(len, shares)) == [2, 2, 3, 3]
    assert sorted(itertools.chain(*shares)) == sorted(everything)
    ds = [share(i, seed=1) for i in range(4)]
    seen, epochs = set(), set()
    for _ in range(4):
        shares = [ids(d) for d in ds]
        assert [len(s) for s in shares] == [2] * 4
        assert len(set(itertools.chain(*shares))) == 8  # disjoint
        seen |= set(itertools.chain(*shares))
        epochs.add(tuple(sorted(shares[0])))
    assert seen == everything
    assert len(epochs) > 2
    assert len(ds[0]) == 1


@pytest.mark.slow
def test_as_supervised_gives_pairs(where):
    ds = load(where, batch_size=4, as_supervised=True, seed=1, epoch=0)
    assert [spec.dtype for spec in ds.element_spec] == [tf.uint8, tf.int64]
    ((video, label),) = ds
    (clips,) = load(where, batch_size=4, seed=1, epoch=0)
    np.testing.assert_array_equal(video, clips["video"])
    np.testing.assert_array_equal(label, clips["label"])


@pytest.mark.parametrize("batch_size", [None, 2])
def test_views_have_an_axis_of_their_own(where, batch_size):
    spec = ClipSpec(length=6, crop=64, **kinetics_clips.VIEWS_4X3)
    ds = load(where, spec=spec, batch_size=batch_size)
    lead = [] if batch_size is None else [None]
    assert ds.element_spec["video"].shape.as_list() == [*lead, 12, 6, 64, 64, 3]
    assert ds.element_spec["frame_indices"].shape.as_list() == [*lead, 12, 6]
    for clip in ds:
        assert clip["video"].shape[-5:] == (12, 6, 64, 64, 3)


@pytest.mark.slow
def test_the_log_says_once_that_records_are_streamed(data_dir, streamed_dir, caplog):
    clips_module._log_streaming.cache_clear()
    caplog.set_level("INFO", logger="kinetics_clips")
    for _ in range(3):
        load(data_dir)
    assert "streamed" not in caplog.text
    for _ in range(3):
        load(streamed_dir)
    messages = [r.message for r in caplog.records if "streamed" in r.message]
    assert len(messages) == 1
    assert "kinetics-clips index" in messages[0]


def test_a_copy_without_times_is_read_and_one_of_another_size_is_not(
    data_dir, tmp_path
):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy)
    copied, original = load(tmp_path, seed=0), load(data_dir, seed=0)
    for one, other in zip(copied, original, strict=True):
        assert (one["video"].numpy() == other["video"].numpy()).all()
    (shard,) = tmp_path.rglob("*-train.tfrecord-*")
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(kinetics_clips.FrameIndexError, match="is stale: kinetics_clip"):
        load(tmp_path)


@pytest.mark.slow
def test_streaming_runs_under_the_service_of_tf_data(streamed_dir):
    dispatcher = tf.data.experimental.service.DispatchServer()
    worker = tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(
            dispatcher_address=dispatcher.target.split("://")[1]
        )
    )
    ds = load(streamed_dir, batch_size=2).apply(
        tf.data.experimental.service.distribute(
            processing_mode="parallel_epochs", service=dispatcher.target
        )
    )
    assert sorted(ids(ds)) == sorted(TRAIN)
    del worker


@pytest.mark.slow
def test_clips_go_to_the_replicas_of_a_strategy(where):
    done = run_tensorflow(
        "-c",
        "import sys, tensorflow as tf, kinetics_clips\n"
        "cpu, = tf.config.list_physical_devices('CPU')\n"
        "tf.config.set_logical_device_configuration(\n"
        "    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])\n"
        "ds = kinetics_clips.load_clips('kinetics_clips/folder', 'train',\n"
        "    kinetics_clips.ClipSpec(length=2, crop=32), batch_size=4,\n"
        "    data_dir=sys.argv[1])\n"
        "ids = []\n"
        "for clips in strategy.experimental_distribute_dataset(ds):\n"
        "    for part in strategy.experimental_local_results(clips['video_id']):\n"
        "        ids.append(sorted(part.numpy().tolist()))\n"
        "print([len(i) for i in ids], sorted(sum(ids, [])))\n",
        where,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[2, 2] {sorted(i.encode() for i in TRAIN)}\n"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0"])
def test_a_script_may_end_in_the_middle_of_an_epoch(where, end):
    done = run_tensorflow(
        "-c",
        "import sys, kinetics_clips\n"
        "ds = kinetics_clips.load_clips('kinetics_clips/folder', 'train',\n"
        "    kinetics_clips.ClipSpec(length=64), batch_size=2, num_epochs=None,\n"
        "    data_dir=sys.argv[1])\n"
        "iterator = iter(ds)\n"
        "for _ in range(5): next(iterator)\n" + end,
        where,
    )
    assert done.returncode == {"": 0, "1 / 0": 1}.get(end, 3), done.stderr
    assert done.stderr.count("Traceback") == (end == "1 / 0"), done.stderr


@pytest.mark.slow
def test_a_new_process_goes_on_with_the_clips_that_were_due(where, tmp_path):
    script = (
        "import sys, tensorflow as tf, kinetics_clips\n"
        "ds = kinetics_clips.load_clips('kinetics_clips/folder', 'train',\n"
        "    kinetics_clips.ClipSpec(length=2, crop=32), seed=7, num_epochs=3,\n"
        "    data_dir=sys.argv[1])\n"
        "iterator = iter(ds)\n"
        "checkpoint = tf.train.Checkpoint(iterator=iterator)\n"
        "if len(sys.argv) == 3:\n"
        "    for _ in range(6): next(iterator)\n"  # into the second epoch
        "    print(checkpoint.save(sys.argv[2] + '/here'))\n"
        "else:\n"
        "    checkpoint.restore(sys.argv[3])\n"
        "for clip in iterator:\n"
        "    print(clip['video_id'].numpy(), clip['frame_indices'].numpy())\n"
    )
    saved = run_tensorflow("-c", script, where, tmp_path)
    assert saved.returncode == 0, saved.stderr
    path, *due = saved.stdout.splitlines()
    assert len(due) == 6
    restored = run_tensorflow("-c", script, where, tmp_path, path)
    assert restored.stdout.splitlines() == due, restored.stderr


def test_a_start_goes_on_as_the_interrupted_run_would(data_dir):
    options = {"batch_size": 2, "seed": 5}
    whole = summaries(load(data_dir, start=(0, 0), num_epochs=3, **options))
    assert len(whole) == 3 * len(TRAIN)
    steps = -(-len(TRAIN) // 2)
    for epoch in range(3):
        for batch in range(steps + 1):
            ds = load(data_dir, start=(epoch, batch), num_epochs=3 - epoch, **options)
            assert len(ds) == (3 - epoch) * steps - batch
            done = epoch * len(TRAIN) + min(batch * 2, len(TRAIN))
            assert summaries(ds) == whole[done:]
    endless = load(data_dir, start=(1, 1), num_epochs=None, **options)
    rest = whole[len(TRAIN) + 2 :]
    assert summaries(endless.take(2 * steps - 1)) == rest


def test_a_start_has_the_epochs_of_sampler_and_source(data_dir):
    source = kinetics_clips.ClipSource(
        NAME, "train", ClipSpec(length=LENGTH, crop=64), seed=5, data_dir=data_dir
    )
    for shard in ((0, 1), (1, 2)):
        sampler = kinetics_clips.ClipSampler(source, 2, seed=5, shard=shard)
        expected = [source[indices] for _ in range(2) for indices in sampler]
        ds = load(
            data_dir, batch_size=2, seed=5, start=(0, 0), num_epochs=2, shard=shard
        )
        for batch, mine in zip(ds.as_numpy_iterator(), expected, strict=True):
            np.testing.assert_equal(batch, mine)


def test_an_iterator_from_a_start_can_be_saved(data_dir, tmp_path):
    def begin():
        return iter(load(data_dir, batch_size=1, seed=5, start=(1, 1), num_epochs=2))

    iterator = begin()
    for _ in range(2):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "saved"))
    expected = summaries(iterator)
    again = begin()
    tf.train.Checkpoint(iterator=again).restore(path)
    assert summaries(again) == expected != []


def test_a_step_holds_the_same_clips_on_any_number_of_hosts(data_dir):
    def steps(count: int) -> list[set]:
        hosts = [
            load(
                data_dir,
                batch_size=4 // count,
                seed=5,
                start=(0, 0),
                num_epochs=3,
                shard=(index, count),
                drop_remainder=True,
            ).as_numpy_iterator()
            for index in range(count)
        ]
        return [
            {
                (video_id, *indices)
                for batch in batches
                for video_id, indices in zip(
                    batch["video_id"], batch["frame_indices"].tolist(), strict=True
                )
            }
            for batches in zip(*hosts, strict=True)
        ]

    assert len(steps(1)) == 3
    assert steps(1) == steps(2) == steps(4)


@pytest.mark.parametrize("start", [(0, 5), (-1, 0), (0, -1)])
def test_a_start_must_be_a_batch_of_an_epoch(data_dir, start):
    with pytest.raises(ValueError, match=rf"batch <= 4, got \({start[0]}, {start[1]}"):
        load(data_dir, seed=1, start=start)


def test_a_start_needs_an_index(streamed_dir):
    with pytest.raises(ValueError, match="`start` must be None where there is no fram"):
        load(streamed_dir, seed=1, start=(0, 0))
