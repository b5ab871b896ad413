import concurrent.futures
import os
import pickle
import shutil
from pathlib import Path

import halves
import numpy as np
import pytest
import simplejpeg
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import (
    HEIGHT,
    TRAIN,
    VALIDATION,
    WIDTH,
    build,
    numbers,
    wait_for_processes,
    write_tree,
)
from processes import run_script

import kinetics_clips
from kinetics_clips import ClipSource, ClipSpec
from kinetics_clips.command import synthetic
from kinetics_clips.read import crops, process_engine, scaling, shuffling, windows
from kinetics_clips.store import frame_index, index_format, indexing

NAME = "kinetics_clips/folder"

SPECS = {
    "whole": ClipSpec(length=9),
    "stride": ClipSpec(length=30, stride=4),
    "crop": ClipSpec(length=5, crop=64),
    "crop as large as the frame": ClipSpec(length=5, crop=HEIGHT),
    "crop scaled up": ClipSpec(length=3, crop=150),
    "fps": ClipSpec(length=8, fps=12.5),
    "center": ClipSpec(length=6, windows="center", crop=48, crops="center"),
    "views": ClipSpec(length=16, windows=4, crop=64, crops="three"),
    "scaled views": ClipSpec(length=4, windows=3, crop=96, crops="three", size=40),
    "area": ClipSpec(length=4, area=(0.1, 0.6), size=50),
    "flip": ClipSpec(length=4, flip=True),
    "flipped crop": ClipSpec(length=4, crop=60, flip=True, size=30),
    "size": ClipSpec(length=4, size=72),
}


@pytest.fixture(params=["threads", "processes"], autouse=True)
def engine(request, monkeypatch) -> str:
    """Has batches decoded by the one or the other, whichever a machine would choose."""
    if request.param == "threads":
        monkeypatch.setattr(process_engine, "of_this_process", lambda _: None)
    else:
        wait_for_processes()
    return request.param


def source(where, spec=None, split="train", **options) -> ClipSource:
    spec = spec or ClipSpec(length=8, crop=64)
    return ClipSource(NAME, split, spec, data_dir=where, **options)


@pytest.fixture(scope="module")
def stored(builder) -> list[dict]:
    """The examples of the train split, every frame decoded on its own."""
    examples = builder.as_dataset(
        split="train", decoders={"video": kinetics_clips.EncodedFrames()}
    )
    decode = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}
    return [
        {
            **example,
            "video": [tf.io.decode_jpeg(j, **decode).numpy() for j in example["video"]],
            "halves": [
                tf.io.decode_jpeg(j, ratio=2, **decode).numpy()
                for j in example["video"]
            ],
        }
        for example in tfds.as_numpy(examples)
    ]


def by_hand(example: dict, spec: ClipSpec, rng: np.random.Generator) -> dict:
    """Decodes all frames of a video and takes a clip out of them."""
    frames = windows.draw_frames(rng, len(example["video"]), example["fps"], spec)
    size = example["video"][0].shape[:2]
    view = crops.draw_view(rng, *size, spec)
    decoded, boxes = example["video"], np.array(view.boxes)
    if halves.are_decoded(size, view.scaled, boxes, view.size):
        decoded, boxes = example["halves"], boxes // 2
        view = view._replace(scaled=decoded[0].shape[:2], boxes=boxes.tolist())

    def resized(pixels, size):
        if pixels.shape[:2] == tuple(size):
            return pixels
        out = np.empty((*map(int, size), 3), np.uint8)
        scaling.put(np.ascontiguousarray(pixels), False, out)
        return out

    def cut(frame, box):
        top, left, height, width = box
        scaled = resized(decoded[frame], view.scaled)
        shown = resized(scaled[top : top + height, left : left + width], view.size)
        return shown[:, ::-1] if view.flip else shown

    views = [
        np.stack([cut(frame, box) for frame in window])
        for window in frames
        for box in view.boxes
    ]
    indices = np.repeat(frames, len(view.boxes), axis=0)
    single = spec.num_views == 1
    return {
        "video": views[0] if single else np.stack(views),
        "label": example["label"],
        "video_id": example["video_id"],
        "frame_indices": indices[0] if single else indices,
    }


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_clips_are_cut_out_of_plain_decoded_frames(data_dir, stored, spec):
    clips = source(data_dir, spec)
    key = shuffling.epoch_key(7, 3)
    batch = clips.batch(range(len(clips)), key)
    for number, example in enumerate(stored):
        expected = by_hand(example, spec, np.random.default_rng(number))
        clip = clips.sample(number, np.random.default_rng(number))
        np.testing.assert_equal(clip, expected)
        assert clip["video"].dtype == np.uint8
        assert clip["frame_indices"].dtype == np.int32
        assert clip["label"].dtype == np.int64
        rng = shuffling.generator(key, example["video_id"])
        np.testing.assert_equal(
            {name: values[number] for name, values in batch.items()},
            by_hand(example, spec, rng),
        )


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_load_clips_gives_the_same_clips(data_dir, spec):
    clips = source(data_dir, spec, seed=5)
    clips.set_epoch(2)
    ds = kinetics_clips.load_clips(
        NAME, "train", spec, data_dir=data_dir, seed=5, epoch=2
    )
    loaded = {clip["video_id"]: clip for clip in tfds.as_numpy(ds)}
    assert len(loaded) == len(clips) == len(TRAIN)
    for clip in clips:
        np.testing.assert_equal(loaded[clip["video_id"]], clip)


def test_frames_carry_the_numbers_that_are_named(data_dir):
    clips = source(data_dir, ClipSpec(length=24, stride=2))
    assert {clip["video_id"].decode() for clip in clips} == set(TRAIN)
    for clip in clips:
        num_frames = TRAIN[clip["video_id"].decode()]
        first = clip["frame_indices"][0]
        expected = [(first + 2 * i) % num_frames for i in range(24)]
        assert clip["frame_indices"].tolist() == expected
        assert numbers(clip["video"]) == expected


def firsts(clips) -> list[int]:
    return [int(clip["frame_indices"][0]) for clip in clips]


def test_seed_and_epoch_set_the_clip(data_dir):
    spec = ClipSpec(length=2)
    one, same = (source(data_dir, spec, seed=1) for _ in range(2))
    assert firsts(one) == firsts(one) == firsts(same)
    assert [*one.batch([0, 1, 2, 3])["frame_indices"][:, 0]] == firsts(one)
    epochs = []
    for epoch in range(4):
        one.set_epoch(epoch)
        epochs.append(tuple(firsts(one)))
    assert len(set(epochs)) == 4
    assert epochs[0] == tuple(firsts(same))
    assert firsts(source(data_dir, spec, seed=2)) != firsts(same)


def test_without_a_seed_every_access_draws_anew(data_dir):
    clips = source(data_dir, ClipSpec(length=2))
    assert len({tuple(firsts(clips)) for _ in range(4)}) == 4
    batches = {tuple(clips.batch([0] * 4)["frame_indices"][:, 0]) for _ in range(4)}
    assert len(batches) == 4


@pytest.mark.slow
def test_forked_processes_draw_differently_and_do_not_hang(data_dir):
    # Of a process without TensorFlow, whose own threads do not survive a fork. Frames
    # are larger than what OpenCV scales in one thread.
    done = run_script(
        """
import concurrent.futures, multiprocessing, sys
import cv2
from kinetics_clips import ClipSource, ClipSpec

def draw(clips):
    assert multiprocessing.parent_process() is None or cv2.getNumThreads() == 1
    drawn = [*clips.batch(range(4))["frame_indices"]]
    drawn += [clip["frame_indices"] for clip in clips]
    return tuple(int(frames[0]) for frames in drawn)

def draw_in_children(clips):
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as pool:
        return list(pool.map(draw, [clips] * 4))

spec = ClipSpec(length=2, size=400)
clips = ClipSource("kinetics_clips/folder", "train", spec, data_dir=sys.argv[1])
cv2.setNumThreads(3)
drawn = {draw(clips), *draw_in_children(clips)}
clips = ClipSource("kinetics_clips/folder", "train", spec, 1, data_dir=sys.argv[1])
same = {draw(clips), *draw_in_children(clips)}
print(len(drawn), len(same), cv2.getNumThreads())
""",
        data_dir,
    )
    assert done.stdout == "5 1 3\n", done.stderr


def test_threads_get_the_same_clips(data_dir):
    clips = source(data_dir, SPECS["scaled views"], seed=3)
    expected = list(clips)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            got = list(pool.map(clips.__getitem__, range(4)))
            batches = list(pool.map(clips.batch, [range(4)] * 4))
            np.testing.assert_equal(got, expected)
            for batch in batches:
                np.testing.assert_equal(list(batch["video"]), [c["video"] for c in got])


def test_a_pickled_source_goes_on(data_dir):
    clips = source(data_dir, seed=3)
    clips.set_epoch(4)
    pickled = pickle.dumps(clips)
    assert len(pickled) < 4000
    np.testing.assert_equal(list(pickle.loads(pickled)), list(clips))


@pytest.mark.parametrize("spec", ["whole", "crop"])
def test_what_the_user_keeps_is_never_overwritten(data_dir, spec):
    clips = source(data_dir, SPECS[spec])
    kept = []
    for number in range(50):
        batch = clips.batch([number % 4, (number + 1) % 4], key=number)
        if number % 3 == 0:
            kept.append((number, batch["video"], batch["video"].copy()))
        elif number % 3 == 1:  # a view alone
            kept.append(
                (number, batch["video"][1, 2:, ::2], batch["video"][1, 2:, ::2].copy())
            )
        clip = clips.sample(number % 4, np.random.default_rng(number))["video"]
        kept.append((number, clip[1:], clip[1:].copy()))
        del batch, clip
    for _, array, copy in kept:
        np.testing.assert_array_equal(array, copy)


@pytest.mark.slow
def test_what_a_user_keeps_of_load_clips_is_never_overwritten(data_dir):
    ds = kinetics_clips.load_clips(
        NAME, "train", SPECS["whole"], batch_size=2, data_dir=data_dir, num_epochs=25
    )
    kept = [(batch["video"], batch["video"].numpy().copy()) for batch in ds]
    arrays = [
        (array["video"], array["video"].copy()) for array in ds.as_numpy_iterator()
    ]
    assert len(kept) == len(arrays) == 50
    for tensor, copy in kept + arrays:
        np.testing.assert_array_equal(tensor, copy)


def test_splits_are_those_of_tfds(data_dir, builder):
    everything = {**TRAIN, **VALIDATION}
    for split in (
        "train",
        "validation",
        "train+validation",
        "train[1:3]",
        "train[-1:]",
        "train[50%:]+validation",
    ):
        clips = source(data_dir, ClipSpec(length=1), split)
        names = [
            e["video_id"]
            for e in tfds.as_numpy(
                builder.as_dataset(
                    split=split,
                    decoders=tfds.decode.PartialDecoding({"video_id": True}),
                )
            )
        ]
        assert [clip["video_id"] for clip in clips] == names
        for clip in clips:
            assert clip["frame_indices"] < everything[clip["video_id"].decode()]
    with pytest.raises(ValueError, match="Unknown split"):
        source(data_dir, split="test")


def test_numbers_are_those_of_a_list(data_dir):
    clips = source(data_dir, seed=0)
    np.testing.assert_equal(clips[-1], clips[3])
    for number in (4, -5):
        with pytest.raises(IndexError, match=rf"must be in \[-4, 4\), got {number}"):
            clips[number]
    with pytest.raises(IndexError, match=r"must be in \[-4, 4\), got 7"):
        clips.batch([7, 0])
    empty = clips.batch([])
    assert empty["video"].shape == (0, 8, 64, 64, 3)


@pytest.mark.parametrize(
    "indices", [[2, 0], (2, 0), np.array([2, 0]), range(2, -1, -2)], ids=repr
)
def test_indices_give_a_batch(data_dir, indices):
    clips = source(data_dir, seed=1)
    np.testing.assert_equal(clips[indices], clips.batch([2, 0]))


@pytest.mark.parametrize(
    "index", [1, np.int64(1), np.array(1), 1 - len(TRAIN)], ids=repr
)
def test_an_index_gives_a_clip(data_dir, index):
    clips = source(data_dir, seed=1)
    np.testing.assert_equal(clips[index], clips[1])
    assert clips[index]["video"].ndim == 4


def test_what_is_no_index_is_an_error(data_dir):
    for wrong in ("a", 1.5, None, ["a"]):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            source(data_dir)[wrong]


def test_arguments_out_of_range_are_errors(data_dir):
    with pytest.raises(ValueError, match="`num_threads` must be at least 1 or None"):
        source(data_dir, num_threads=0)
    for key in (-1, 1 << 63):
        with pytest.raises(ValueError, match=r"`key` must be in \[0, 2\*\*63\) or"):
            source(data_dir).batch([0], key)


def test_pytorch_gets_a_batch_in_one_call(data_dir):
    clips = source(data_dir, seed=1)
    several = clips.__getitems__([2, 0, 2])
    assert [clip["video_id"] for clip in several] == [
        clips[index]["video_id"] for index in (2, 0, 2)
    ]
    for index, clip in zip((2, 0, 2), several, strict=True):
        np.testing.assert_equal(clip, clips[index])


def test_frames_that_views_share_are_decoded_once(data_dir, monkeypatch):
    decoded = []
    decode = simplejpeg.decode_jpeg

    def counted(data, *args, **options):
        decoded.append(bytes(data))
        return decode(data, *args, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted)
    spec = ClipSpec(length=32, windows=10, crop=64, crops="three")
    clip = source(data_dir, spec)[0]
    assert clip["video"].shape == (30, 32, 64, 64, 3)
    assert len(decoded) == len(set(clip["frame_indices"].flat))


def test_no_tensorflow_is_imported(data_dir):
    script = (
        "import sys, kinetics_clips as k\n"
        "spec = k.ClipSpec(length=4, crop=32)\n"
        "s = k.ClipSource(sys.argv[1], 'train', spec, data_dir=sys.argv[2])\n"
        "print(s.batch([0, 1])['video'].shape, s[0]['video'].shape)\n"
        "print(s.encoded(0)['boxes'].shape)\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'tensorflow']\n"
    )
    done = run_script(script, NAME, data_dir)
    assert done.stdout == "(2, 4, 32, 32, 3) (4, 32, 32, 3)\n(1, 4)\n", done.stderr


@pytest.fixture
def damaged_dir(data_dir, tmp_path) -> Path:
    """A copy of the prepared dataset with one bad bit, in frame 10 of `red/long`."""
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    (shard,) = tmp_path.rglob("*-train.tfrecord-*")
    index = frame_index.FrameIndex(index_format.path_of(shard.parent, "train"))
    video = [*index.features["video_id"]].index(b"red/long")
    (jpeg,) = index.read(video, [10])
    record = next(
        r.numpy()
        for r in tf.data.TFRecordDataset(str(shard))
        if b"red/long" in r.numpy()
    )
    content = bytearray(shard.read_bytes())
    status = shard.stat()
    content[content.index(record) + record.index(jpeg.tobytes()) + len(jpeg) // 2] ^= 4
    shard.write_bytes(content)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    return tmp_path


DAMAGED = r"Frame 10 of video red/long \(\d of kinetics_clips-train.tfrecord-00000-of-0"
# All of the first 64 frames at least.
WHOLE = ClipSpec(length=64, windows="center", crop=32, crops="center")


def test_a_damaged_frame_is_an_error_that_names_it(damaged_dir):
    clips = source(damaged_dir, WHOLE)
    ids = [
        clip["video_id"]
        for clip in source(damaged_dir, ClipSpec(length=1, windows="center"))
    ]
    number = ids.index(b"red/long")
    with pytest.raises(kinetics_clips.UnreadableVideoError, match=DAMAGED):
        clips[number]
    with pytest.raises(kinetics_clips.UnreadableVideoError, match=DAMAGED):
        clips.batch(range(4))
    for indices in (number, [number], range(4)):
        with pytest.raises(kinetics_clips.UnreadableVideoError, match=DAMAGED):
            clips.encoded(indices)
    ds = kinetics_clips.load_clips(
        NAME, "train", WHOLE, batch_size=2, data_dir=damaged_dir
    )
    with pytest.raises(
        tf.errors.UnknownError, match=f"UnreadableVideoError: {DAMAGED}"
    ):
        list(ds)
    # A window without that frame can be read.
    other = source(damaged_dir, ClipSpec(length=1, windows=2))
    assert other[number]["frame_indices"].tolist() == [[0], [69]]
    assert other.encoded(number)["frame_indices"].tolist() == [[0], [69]]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 4])
def test_on_error_skip_leaves_it_out_and_says_so(damaged_dir, caplog, batch_size):
    ds = kinetics_clips.load_clips(
        NAME,
        "train",
        WHOLE,
        batch_size=batch_size,
        data_dir=damaged_dir,
        on_error="skip",
        num_epochs=2,
    )
    ids = [np.atleast_1d(clip["video_id"]) for clip in tfds.as_numpy(ds)]
    expected = sorted(set(TRAIN) - {"red/long"}) * 2
    assert sorted(i.decode() for i in np.concatenate(ids)) == sorted(expected)
    skipped = [r.message for r in caplog.records if "skipped: Frame 10" in r.message]
    assert len(skipped) == 2
    full = kinetics_clips.load_clips(
        NAME,
        "train",
        WHOLE,
        batch_size=2,
        data_dir=damaged_dir,
        on_error="skip",
        num_epochs=2,
        drop_remainder=True,
    )
    assert full.element_spec["video"].shape[0] == 2
    assert [len(batch["label"]) for batch in full] == [2, 2, 2]


def test_what_is_no_jpeg_is_an_error(tmp_path, data_dir):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    (shard,) = tmp_path.rglob("*-train.tfrecord-*")
    examples = [
        tf.train.Example.FromString(r.numpy())
        for r in tf.data.TFRecordDataset(str(shard))
    ]
    small = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    cut = [bytes(examples[0].features.feature["video"].bytes_list.value[5][:-200])]
    for example, frame in zip(examples, [b"no JPEG", small, *cut], strict=False):
        example.features.feature["video"].bytes_list.value[5] = frame
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    indexing.build(tfds.builder(NAME, data_dir=tmp_path))
    clips = source(tmp_path, WHOLE)
    for number in range(3):
        with pytest.raises(
            kinetics_clips.UnreadableVideoError,
            match=rf"Frame 5 of video .* \({number} of .*\) must be a JPEG of the",
        ):
            clips[number]
    good = clips.batch(range(4), on_error="skip")
    np.testing.assert_equal(
        {name: values[0] for name, values in good.items()}, clips[3]
    )
    assert len(good["label"]) == 1


def test_clips_of_an_unknown_rate_say_so(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 30, "a/two": 30})
    builder = build(tmp_path / "videos", tmp_path)
    (shard,) = Path(builder.data_path).glob("*.tfrecord-*")
    examples = [
        tf.train.Example.FromString(r.numpy())
        for r in tf.data.TFRecordDataset(str(shard))
    ]
    examples[0].features.feature["fps"].float_list.value[0] = 0
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    indexing.build(builder)
    clips = ClipSource(builder, "train", ClipSpec(length=2, fps=10))
    with pytest.raises(
        kinetics_clips.UnreadableVideoError,
        match=r"must have a known rate for clips of 10.0 frames a second, got 0.0",
    ):
        clips[0]
    assert np.diff(clips[1]["frame_indices"]).tolist() == [3]


def test_videos_of_other_sizes_do_not_batch(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    synthetic.write_video(tmp_path / "videos/train/a/two.mp4", 4, height=80, width=96)
    builder = build(tmp_path / "videos", tmp_path)
    whole = ClipSource(builder, "train", ClipSpec(length=2))
    with pytest.raises(
        ValueError,
        match=r"Frames have 2 sizes: batches need a crop\. .* must have one size, got "
        r".* \[\(80, 96\), \(96, 128\)\]\. Set a crop",
    ):
        whole.batch([0, 1])
    with pytest.raises(ValueError, match=r"Frames have 2 sizes: batches need a crop"):
        whole.require_one_size()
    assert {clip["video"].shape for clip in whole} == {
        (2, 80, 96, 3),
        (2, HEIGHT, WIDTH, 3),
    }
    cropped = ClipSource(builder, "train", ClipSpec(length=2, area=(0.5, 1), size=60))
    assert cropped.batch([0, 1])["video"].shape == (2, 2, 60, 60, 3)
    cropped.require_one_size()
    # Of one shape, scaled alike.
    write_tree(tmp_path / "alike", "train", {"a/one": 4})
    synthetic.write_video(tmp_path / "alike/train/a/two.mp4", 4, height=48, width=64)
    alike = build(tmp_path / "alike", tmp_path / "data")
    ClipSource(alike, "train", ClipSpec(length=2, size=48)).require_one_size()


class Foreign(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset that another builder stored: no ids, one video without a frame."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "video": tfds.features.Video((None, 16, 24, 3), encoding_format="jpeg"),
            "label": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, num_frames in enumerate([0, 5, 9]):
            frames = np.full((num_frames, 16, 24, 3), 50 * number, np.uint8)
            yield number, {"video": frames, "label": "word"}


def test_datasets_of_other_builders_are_read(tmp_path):
    builder = Foreign(data_dir=tmp_path)
    builder.download_and_prepare()
    indexing.build(builder)
    clips = ClipSource(builder, "train", ClipSpec(length=3), seed=0)
    read = clips.batch(range(3), on_error="skip")
    assert read["label"].tolist() == [-1, -1]
    colours = read["video"].mean(axis=(1, 2, 3, 4)).round(-1)
    assert sorted(colours.tolist()) == [50, 100]
    assert len(set(read["video_id"])) == 2
    empty = [n for n in range(3) if not clips._indexes[0].num_frames(n)]
    for read_one in (clips.__getitem__, clips.encoded):
        with pytest.raises(
            kinetics_clips.UnreadableVideoError,
            match=rf"video {empty[0]} of foreign-train.* must have frames, got 0",
        ):
            read_one(empty[0])
    full = [n for n in range(3) if n not in empty]
    assert [clip["video_id"] for clip in clips.encoded(full)] == [*read["video_id"]]


def test_labels_are_those_of_the_clips(builder):
    for split in ("train", "validation", "train[1:3]", "validation+train[:1]"):
        source = ClipSource(builder, split, ClipSpec(length=2))
        assert source.labels.dtype == np.int64
        assert source.labels.tolist() == [clip["label"] for clip in source]


def test_the_origin_is_that_of_the_clip(builder):
    spec = ClipSpec(length=3, crop=40, flip=True)
    source = ClipSource(builder, "train", spec, seed=3)
    whole = ClipSource(builder, "train", ClipSpec(length=3), seed=3)
    for number in range(len(source)):
        origin = source.origin(number)
        assert origin.frame_size == (96, 128)
        assert origin.fps == pytest.approx(30)
        ((top, left, height, width),) = origin.view.boxes
        cut = whole[number]["video"][:, top : top + height, left : left + width]
        cut = cut[:, :, ::-1] if origin.view.flip else cut
        np.testing.assert_array_equal(source[number]["video"], cut)


def test_a_source_says_what_it_reads(data_dir):
    assert repr(source(data_dir, ClipSpec(length=4))) == (
        "<ClipSource of 4 videos: kinetics_clips/folder/2.0.0, train, "
        "ClipSpec(length=4)>"
    )


def test_a_clip_is_64_whole_frames_by_default(data_dir):
    clip = ClipSource(NAME, "train", data_dir=data_dir)[0]
    assert clip["video"].shape == (64, HEIGHT, WIDTH, 3)
