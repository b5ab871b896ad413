"""What other libraries do with a dataset, beyond what the pages of docs/ show."""

import numpy as np
import pytest
from conftest import needs
from processes import run_script, run_tensorflow

from kinetics_clips import ClipSampler, ClipSource, ClipSpec
from kinetics_clips.read import repeats

SPEC = ClipSpec(length=4)


@pytest.fixture
def source(data_dir) -> ClipSource:
    return ClipSource("kinetics_clips/folder", "train", SPEC, data_dir=data_dir)


@pytest.fixture
def seeded(data_dir) -> ClipSource:
    return ClipSource("kinetics_clips/folder", "train", SPEC, seed=0, data_dir=data_dir)


def windows_of(batches) -> list[tuple]:
    """Returns the windows of all clips, with the videos that they are of."""
    found = []
    for batch in batches:
        for video_id, indices in zip(
            batch["video_id"], np.asarray(batch["frame_indices"]), strict=True
        ):
            found.append((video_id, *indices.tolist()))
    return found


def windows_of_clips(clips) -> list[tuple]:
    return [(clip["video_id"], *clip["frame_indices"].tolist()) for clip in clips]


@pytest.mark.slow
@needs("torch")
@pytest.mark.parametrize("persistent", [False, True])
def test_pytorch_draws_anew_in_every_worker_and_epoch(source, persistent):
    from torch.utils.data import DataLoader

    # Of one video, of 87 windows, alone: all that differs is the worker, and the time.
    ids = [source[number]["video_id"] for number in range(len(source))]
    loader = DataLoader(
        source,
        batch_size=4,
        sampler=[ids.index(b"blue/long")] * 16,
        num_workers=2,
        persistent_workers=persistent,
    )
    epochs = [windows_of(loader) for _ in range(2)]
    assert [len(windows) for windows in epochs] == [16, 16]
    # 27 distinct ones are expected of 32 draws, and 14 where two are always alike.
    assert len(set(epochs[0] + epochs[1])) > 20


@pytest.mark.slow
@needs("torch")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pytorch_with_a_seed_follows_set_epoch_in_workers_that_stay(seeded, method):
    from torch.utils.data import DataLoader

    loader = DataLoader(
        seeded,
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    epochs = []
    for epoch in range(3):
        seeded.set_epoch(epoch)
        epochs.append(windows_of(loader))
        assert epochs[-1] == windows_of([seeded.batch(range(len(seeded)))])
    assert epochs[0] != epochs[1] != epochs[2]


@needs("torch")
@pytest.mark.parametrize(
    "method", [None, "fork", pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_pytorch_takes_whole_batches_of_a_sampler(seeded, method):
    from torch.utils.data import DataLoader

    loader = DataLoader(
        seeded,
        sampler=ClipSampler(seeded, batch_size=4, seed=5),
        batch_size=None,
        num_workers=2 if method else 0,
        persistent_workers=method is not None,
        multiprocessing_context=method,
    )
    expected = ClipSampler(seeded, batch_size=4, seed=5)
    passes = []
    for _ in range(2):
        batches = list(loader)
        passes.append(windows_of(batches))
        assert passes[-1] == windows_of([seeded[indices] for indices in expected])
        assert batches[0]["video"].shape[:2] == (4, SPEC.length)
    assert sorted(w[0] for w in passes[0]) == sorted(w[0] for w in passes[1])
    assert passes[0] != passes[1]


@needs("torch")
def test_pytorch_goes_on_where_a_sampler_was_saved(seeded):
    """Though the loader's workers have read on, into the last batch of the epoch."""
    from torch.utils.data import DataLoader

    def epochs_of(sampler):
        loader = DataLoader(
            seeded,
            sampler=sampler,
            batch_size=None,
            num_workers=2,
            persistent_workers=True,
        )
        for _ in range(2):
            yield from loader

    sampler = ClipSampler(seeded, batch_size=1, seed=5)
    whole = windows_of(epochs_of(sampler))
    sampler = ClipSampler(seeded, batch_size=1, seed=5)
    batches = epochs_of(sampler)
    start = windows_of(next(batches) for _ in range(2))
    again = ClipSampler(seeded, batch_size=1, seed=5)
    again.load_state_dict(sampler.state_dict(num_batches=2))
    assert start + windows_of(epochs_of(again)) == whole


@needs("torch")
def test_pytorch_makes_batches_of_what_one_call_decodes(seeded, monkeypatch):
    from torch.utils.data import DataLoader

    calls = []
    batch = ClipSource.batch
    monkeypatch.setattr(
        ClipSource, "batch", lambda *args: calls.append(args[1]) or batch(*args)
    )
    (one,) = DataLoader(seeded, batch_size=len(seeded))
    assert calls == [list(range(len(seeded)))]
    assert windows_of([one]) == windows_of([batch(seeded, range(len(seeded)))])


@needs("torch")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_pytorch_reads_encoded_clips_of_each_epoch(seeded, num_workers):
    from torch.utils.data import DataLoader

    loader = DataLoader(
        range(len(seeded)),
        batch_size=2,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=seeded.encoded,
    )
    epochs = []
    for epoch in range(2):
        seeded.set_epoch(epoch)
        clips = [clip for batch in loader for clip in batch]
        np.testing.assert_equal(clips, seeded.encoded(range(len(seeded))))
        epochs.append([clip["frame_indices"].tolist() for clip in clips])
    assert epochs[0] != epochs[1]


@needs("torch")
def test_pytorch_shares_videos_among_processes(source):
    from torch.utils.data import DataLoader, DistributedSampler

    shares = []
    for rank in range(2):
        sampler = DistributedSampler(source, num_replicas=2, rank=rank, seed=0)
        sampler.set_epoch(1)
        loader = DataLoader(source, batch_size=2, sampler=sampler)
        shares.append([video_id for video_id, *_ in windows_of(loader)])
    assert len(shares[0]) == len(shares[1]) == len(source) // 2
    assert len(set(shares[0] + shares[1])) == len(source)


@needs("torch")
def test_pytorch_gets_the_pixels(seeded):
    import torch
    from torch.utils.data import DataLoader

    for n, clip in enumerate(DataLoader(seeded, batch_size=None)):
        assert clip["video"].dtype == torch.uint8
        np.testing.assert_array_equal(clip["video"], seeded[n]["video"])
        assert clip["label"] == seeded[n]["label"]


def grain_clips(source, host=0, num_hosts=1):
    import grain

    return (
        grain.MapDataset.range(len(source))
        .shuffle(seed=3)
        .repeat(50)
        .random_map(source.sample, seed=3)[host::num_hosts]
        .batch(2)
    )


@pytest.mark.slow
@needs("grain")
def test_grain_draws_new_windows_in_every_epoch(source):
    windows = windows_of(grain_clips(source))
    assert len(windows) == 50 * len(source)
    epochs = [
        windows[start : start + len(source)]
        for start in range(0, len(windows), len(source))
    ]
    for epoch in epochs:
        assert len({video_id for video_id, *_ in epoch}) == len(source)
    assert len({tuple(sorted(epoch)) for epoch in epochs}) > 25
    assert windows == windows_of(grain_clips(source))


@pytest.mark.slow
@needs("grain")
def test_grain_shares_videos_among_hosts(source):
    whole = windows_of(grain_clips(source))
    shares = [windows_of(grain_clips(source, host, 2)) for host in range(2)]
    of_epoch = len(source) // 2
    for epoch in range(50):
        part = slice(epoch * of_epoch, (epoch + 1) * of_epoch)
        videos = {video_id for share in shares for video_id, *_ in share[part]}
        assert len(videos) == len(source)
    # Their draws differ, and are those of one host that reads all.
    assert sorted(shares[0] + shares[1]) == sorted(whole)


@pytest.mark.slow
@needs("grain")
def test_grain_goes_on_where_it_was_saved(source):
    batches = iter(grain_clips(source).to_iter_dataset())
    for _ in range(3):
        next(batches)
    state = batches.get_state()
    due = [next(batches) for _ in range(5)]
    again = iter(grain_clips(source).to_iter_dataset())
    again.set_state(state)
    for batch in due:
        np.testing.assert_equal(next(again), batch)


def grain_loader(source, **options):
    """Returns a loader of three epochs, in which `source` is what Grain indexes."""
    import grain

    sampler = grain.samplers.IndexSampler(4, shuffle=True, seed=3, num_epochs=3)
    return grain.DataLoader(data_source=source, sampler=sampler, **options)


def grain_repeated(source):
    import grain

    return grain.MapDataset.source(source).shuffle(seed=3).repeat(3).to_iter_dataset()


@pytest.fixture
def hints(monkeypatch):
    monkeypatch.setattr(repeats, "_hints", [True])


@needs("grain")
@pytest.mark.parametrize("pipeline", [grain_loader, grain_repeated])
def test_grain_that_repeats_windows_in_every_epoch_says_so_once(
    seeded, hints, caplog, pipeline
):
    clips = list(pipeline(seeded))
    assert len(clips) == 3 * len(set(windows_of_clips(clips))) == 3 * len(seeded)
    list(pipeline(seeded))
    messages = [r.message for r in caplog.records if r.name == repeats.__name__]
    assert len(messages) == 1
    assert f"the same windows from {seeded!r} in every epoch" in messages[0]


@needs("grain")
def test_grain_that_has_to_repeat_windows_says_nothing(source, seeded, hints, caplog):
    import grain

    whole = grain.MapDataset.source(seeded)
    for _ in range(3):  # as one evaluates
        assert len(list(whole.to_iter_dataset())) == len(seeded)
    clips = iter(whole.to_iter_dataset())
    start = clips.get_state()
    for _ in range(3):
        assert len(windows_of_clips(clips)) == len(seeded)
        clips.set_state(start)
    list(grain.MapDataset.mix([whole, whole]).to_iter_dataset())
    list(grain_repeated(source))  # draws anew
    list(grain_clips(seeded)[:8])  # draws with Grain's generators
    for epoch in range(3):
        seeded.set_epoch(epoch)
        list(whole.to_iter_dataset())
    assert not [r for r in caplog.records if r.name == repeats.__name__]


@needs("grain")
def test_grain_loaders_draw_new_windows_in_every_epoch(seeded, hints, caplog):
    import grain

    class Draw(grain.transforms.RandomMap):
        def random_map(self, video, rng):
            return seeded.sample(video, rng)

    loader = grain_loader(range(len(seeded)), operations=[Draw()])
    windows = windows_of_clips(loader)
    assert len(windows) == 3 * len(seeded)
    # `blue/short` and `red/exact` have 17 and 61 windows, the others more.
    assert len(set(windows)) > 2 * len(seeded)
    assert windows == windows_of_clips(loader)
    assert not [r for r in caplog.records if r.name == repeats.__name__]


@pytest.mark.slow
@needs("grain")
def test_grain_in_processes_gives_the_same_clips(data_dir):
    done = run_script(
        """
import sys
import grain
import numpy as np
from absl import flags
from kinetics_clips import ClipSource, ClipSpec

if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()  # as absl's app.run(main) does
    source = ClipSource(
        "kinetics_clips/folder", "train", ClipSpec(length=4), data_dir=sys.argv[1]
    )
    clips = grain.MapDataset.range(len(source)).random_map(source.sample, seed=0)
    clips = clips.batch(2).to_iter_dataset()
    options = grain.MultiprocessingOptions(num_workers=2)
    one, other = list(clips), list(clips.mp_prefetch(options))
    assert len(one) == len(other) == 2
    np.testing.assert_equal(one, other)
    print("tensorflow" in sys.modules)
""",
        data_dir,
    )
    assert done.stdout == "False\n", done.stderr


@pytest.mark.slow
@needs("jax")
def test_jax_hosts_share_an_epoch(data_dir):
    done = run_script(
        """
import sys
import jax
import numpy as np
from kinetics_clips import ClipSource, ClipSpec, load_clips

assert (jax.process_index(), jax.process_count()) == (0, 1)
options = {"data_dir": sys.argv[1], "batch_size": 2, "seed": 0, "epoch": 1}
seen = []
for host in range(2):  # of which each would pass its own process_index()
    for batch in load_clips(
        "kinetics_clips/folder", "train", ClipSpec(length=4), shard=(host, 2), **options
    ).as_numpy_iterator():
        video = jax.device_put(batch["video"])
        assert video.dtype == np.uint8
        np.testing.assert_array_equal(np.asarray(video), batch["video"])
        seen += batch["video_id"].tolist()
print(len(seen), len(set(seen)))
""",
        data_dir,
    )
    assert done.stdout == "4 4\n", done.stderr


@pytest.mark.slow
def test_model_garden_reads_frames_by_name(data_dir):
    """The steps of its `InputReader`, `VideoTfdsDecoder` and `process_image`.

    As of https://github.com/tensorflow/models/tree/master/official: no code of it, and
    none of this package, which its trainers do not import.
    """
    done = run_tensorflow(
        "-c",
        """
import sys
import tensorflow as tf
import tensorflow_datasets as tfds

dataset = tfds.load(
    name="kinetics_clips/folder",
    download=True,
    split="train",
    data_dir=sys.argv[1],
    shuffle_files=True,
    as_supervised=False,
    decoders={"video": tfds.decode.SkipDecoding()},
    read_config=tfds.ReadConfig(
        interleave_cycle_length=10,
        interleave_block_length=1,
        shuffle_seed=1,
        repeat_filenames=True,
        assert_cardinality=False,
        skip_prefetch=True,
    ),
)


def parse(features):
    frames, label = features["video"], features["label"]
    assert frames.dtype == tf.string and frames.shape.rank == 1
    length, num_steps, stride = tf.shape(frames)[0], 4, 2
    order = tf.tile(tf.range(length), [num_steps * stride])
    offset = tf.random.uniform((), maxval=length, dtype=tf.int32)
    frames = tf.gather(frames, tf.gather(order, offset + stride * tf.range(num_steps)))
    images = tf.map_fn(
        lambda jpeg: tf.image.decode_jpeg(jpeg, channels=3),
        frames,
        fn_output_signature=tf.uint8,
    )
    images = tf.image.resize(images, (32, 32))
    return {"image": images / 255.0}, tf.one_hot(tf.cast(label, tf.int32), 2)


for features, labels in dataset.map(parse).batch(3).take(2):
    print(features["image"].shape, labels.shape, tf.reduce_sum(labels, 1).numpy())
print("kinetics_clips" in sys.modules)
""",
        data_dir,
    )
    expected = "(3, 4, 32, 32, 3) (3, 2) [1. 1. 1.]\n" * 2 + "False\n"
    assert done.stdout == expected, done.stderr


def test_importing_needs_none_of_them():
    done = run_script(
        """
import sys
import kinetics_clips
optional = "tensorflow torch jax grain apache_beam keras av".split()
print([name for name in optional if name in sys.modules])
"""
    )
    assert done.stdout == "[]\n", done.stderr
