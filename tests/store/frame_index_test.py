import json
import os
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import TRAIN, VALIDATION, build, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st

import kinetics_clips
from kinetics_clips.store import index_format, indexing, tfrecords
from kinetics_clips.store.frame_index import (
    FrameIndex,
    FrameIndexError,
    NoFrameIndexError,
    UnreadableVideoError,
)


@pytest.fixture
def path(directory) -> Path:
    """Of the index of its training split."""
    return index_format.path_of(directory, "train")


@pytest.fixture
def original(path) -> bytes:
    """What that index is before anything happens to it."""
    return path.read_bytes()


def shard_of(directory: Path) -> Path:
    (shard,) = directory.glob("*-train.tfrecord-*")
    return shard


def overwrite(path: Path, content: bytes) -> None:
    """Writes a file as a bad disk would: its time stays as it was."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def opened(directory: Path, split: str = "train") -> FrameIndex:
    return FrameIndex(index_format.path_of(directory, split))


def stored(directory: Path, split: str) -> list[dict]:
    builder = tfds.builder_from_directory(str(directory))
    return list(
        tfds.as_numpy(
            builder.as_dataset(
                split=split, decoders={"video": kinetics_clips.EncodedFrames()}
            )
        )
    )


def contents(index: FrameIndex, video: int) -> list[bytes]:
    frames = range(index.num_frames(video))
    return [jpeg.tobytes() for jpeg in index.read(video, frames)]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_build_indexes_every_frame_and_feature(directory, split):
    index = opened(directory, split)
    examples = stored(directory, split)
    assert len(index) == len(examples) == len(TRAIN if split == "train" else VALIDATION)
    assert sum(shard.num_videos for shard in index.shards) == len(index)
    for video, example in enumerate(examples):
        assert contents(index, video) == example["video"].tolist()
        features = {name: values[video] for name, values in index.features.items()}
        assert features == {
            name: value for name, value in example.items() if name != "video"
        }
        some = [1, 4, 5]
        read = index.read(video, some)
        assert [r.tobytes() for r in read] == example["video"][some].tolist()
        last = index.num_frames(video) - 1
        assert index.read(video, [last])[0].tobytes() == example["video"][last]


def test_an_index_can_be_pickled(directory):
    index = opened(directory)
    again = pickle.loads(pickle.dumps(index))
    assert contents(again, 2) == contents(index, 2)
    assert len(pickle.dumps(index)) < 1000


def records(path: Path) -> list[bytes]:
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def test_without_an_index_the_error_says_how_to_make_one(directory):
    path = index_format.path_of(directory, "train")
    path.unlink()
    with pytest.raises(
        NoFrameIndexError,
        match=rf"{path} must be there.*kinetics-clips index {directory}$",
    ):
        opened(directory)


def test_a_shard_of_another_size_is_an_error_that_names_it(directory):
    shard = shard_of(directory)
    index = opened(directory)
    stale = rf"is stale: {shard.name} had .*kinetics-clips index {directory}$"
    overwrite(shard, shard.read_bytes()[:-1])
    with pytest.raises(FrameIndexError, match=stale):
        index.read(0, [0])
    with pytest.raises(FrameIndexError, match=stale):
        opened(directory)
    shard.unlink()
    with pytest.raises(FrameIndexError, match=f"of a shard that is gone: .*{shard}"):
        opened(directory)
    with pytest.raises(FileNotFoundError, match=shard.name):
        index.read(0, [0])


def moved_by_tar(source: Path, target: Path) -> None:
    """As GNU tar does, which keeps whole seconds."""
    archive = target.with_suffix(".tar")
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as file:
        file.add(source, target.name)
    with tarfile.open(archive) as file:
        file.extractall(target.parent, filter="data")


def moved_by_zip(source: Path, target: Path) -> None:
    archive = shutil.make_archive(str(target), "zip", source)
    shutil.unpack_archive(archive, target)


def moved_without_times(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=shutil.copyfile)


def moved_to_whole_seconds(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    for path in target.iterdir():
        seconds = int(path.stat().st_mtime)
        os.utime(path, (seconds, seconds))


@pytest.mark.parametrize(
    "move",
    [moved_by_tar, moved_by_zip, moved_without_times, moved_to_whole_seconds],
)
def test_a_moved_dataset_is_read_without_being_written_to(
    directory, tmp_path, monkeypatch, move
):
    moved = tmp_path / "moved"
    move(directory, moved)
    assert shard_of(moved).stat().st_mtime_ns != shard_of(directory).stat().st_mtime_ns
    whole = []  # records of megabytes that a clip would wait for
    read_at = tfrecords.read_at
    monkeypatch.setattr(
        tfrecords, "read_at", lambda *place: whole.append(place) or read_at(*place)
    )
    for split in ("train", "validation"):
        index, there = opened(directory, split), opened(moved, split)
        for video in range(len(index)):
            assert contents(there, video) == contents(index, video)
    again = pickle.loads(pickle.dumps(there))
    assert contents(again, 0) == contents(index, 0)
    assert not whole


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> Path:
    """A dataset of two shards, each of one video: both videos show the same."""
    videos = tmp_path_factory.mktemp("twins")
    write_tree(videos, "train", {"a/one": 9, "b/two": 9})
    builder = build(videos, videos / "data", {"num_shards": 2})
    return Path(builder.data_path)


def shards_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("*-train.tfrecord-*"))


def test_exchanged_shards_of_one_size_are_an_error(twins, tmp_path):
    """All frames have their checksums, in their places: the labels are wrong."""
    directory = tmp_path / "2.0.0"
    moved_without_times(twins, directory)
    index = opened(directory)
    one, two = shards_of(directory)
    assert one.stat().st_size == two.stat().st_size
    assert contents(index, 0) == contents(index, 1)
    one.rename(directory / "other")
    two.rename(one)
    (directory / "other").rename(two)
    for number in (0, 1):
        with pytest.raises(
            FrameIndexError,
            match=rf"is stale: where it tells of video ./... \(0 of .*-0000{number}-of-"
            r".*there is another video.* Rebuild it: kinetics-clips index",
        ):
            index.read(number, [3])
    with pytest.raises(FrameIndexError, match="is stale: where it tells of video"):
        opened(directory)


@pytest.mark.parametrize(
    "other", [{"label": 1}, {"video_id": b"blue/lang"}, {"fps": float("nan")}]
)
def test_a_shard_with_equal_frames_and_other_features_is_an_error(directory, other):
    """As of another build of the same videos, with a mended table."""
    shard = shard_of(directory)
    index = opened(directory)
    video = list(index.features["video_id"]).index(b"blue/long")
    rewritten = [tf.train.Example.FromString(record) for record in records(shard)]
    for name, value in other.items():
        feature = rewritten[video].features.feature[name]
        kind = feature.WhichOneof("kind")
        getattr(feature, kind).value[:] = [value]
    size = shard.stat().st_size
    write_records(shard, rewritten)
    assert shard.stat().st_size == size
    with pytest.raises(
        FrameIndexError, match=rf"is stale: where it tells of video blue/long \({video}"
    ):
        index.read(video, [3])
    for number in set(range(len(index))) - {video}:
        assert contents(index, number)
    indexing.build(tfds.builder_from_directory(str(directory)))
    assert contents(opened(directory), video)


def write_records(path: Path, examples: list) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            others = tf.train.Example()
            others.CopyFrom(example)
            del others.features.feature["video"]
            frames = list(example.features.feature["video"].bytes_list.value)
            writer.write(
                tfrecords.serialize(
                    others.features.SerializeToString(deterministic=True),
                    {"video": frames},
                )
            )


def test_features_that_lie_behind_the_frames_are_compared_too(directory):
    """As TensorFlow serializes an example: in any order."""
    shard = shard_of(directory)
    rewritten = [tf.train.Example.FromString(record) for record in records(shard)]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in rewritten:
            last = tf.train.Example()
            last.features.feature["label"].CopyFrom(example.features.feature["label"])
            del example.features.feature["label"]
            data = example.SerializeToString() + last.SerializeToString()
            writer.write(data)
    indexing.build(tfds.builder_from_directory(str(directory)))
    index = opened(directory)
    expected = [contents(index, video) for video in range(len(index))]
    os.utime(shard, (1, 1))
    index = opened(directory)
    assert [contents(index, video) for video in range(len(index))] == expected
    label = index.features["label"][0]
    size = shard.stat().st_size
    first, *others = records(shard)
    assert first[-1] == label
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in (first[:-1] + bytes([1 - label]), *others):
            writer.write(record)
    assert shard.stat().st_size == size
    with pytest.raises(FrameIndexError, match="is stale: where it tells of video"):
        index.read(0, [0])


def test_any_other_shard_of_the_same_size_is_an_error(directory):
    shard = shard_of(directory)
    index = opened(directory)
    original = shard.read_bytes()
    others = [bytes(len(original)), original[::-1], original[1:] + original[:1]]
    for content in others:
        shard.write_bytes(content)
        for video in range(len(index)):
            with pytest.raises(
                UnreadableVideoError, match="is not what was written: no record begins"
            ):
                index.read(video, [0])
        again = opened(directory)  # a damaged video is told of when it is read
        with pytest.raises(UnreadableVideoError, match="is not what was written"):
            again.read(0, [0])


def test_every_damaged_byte_of_a_moved_shard_is_noticed_or_harmless(directory):
    shard = shard_of(directory)
    index = opened(directory)
    expected = [contents(index, video) for video in range(len(index))]
    content = shard.read_bytes()
    start = int(index._records[1])
    num_noticed = 0
    for at in range(start - 12, start + 400):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        shard.write_bytes(damaged)
        try:
            assert contents(index, 1) == expected[1]
        except UnreadableVideoError:
            num_noticed += 1
    assert num_noticed > 200
    assert contents(index, 0) == expected[0]


def test_a_dataset_that_is_built_anew_is_not_mixed_with_the_old_one(tmp_path):
    """Whoever has it open gets what it was, or an error."""
    write_tree(tmp_path, "train", {"a/one": 9, "b/two": 9})
    build(tmp_path, tmp_path / "data")
    (directory,) = (tmp_path / "data").rglob("2.0.0")
    index = opened(directory)
    before = [contents(index, video) for video in range(2)]
    elsewhere = pickle.dumps(index)
    overwriting = {"download_mode": tfds.GenerateMode.REUSE_CACHE_IF_EXISTS}
    build(tmp_path, tmp_path / "data", overwriting)  # of the same videos
    assert [contents(index, video) for video in range(2)] == before
    assert contents(pickle.loads(elsewhere), 1) == before[1]
    (tmp_path / "train/a").rename(tmp_path / "train/c")  # an equal size, other labels
    build(tmp_path, tmp_path / "data", overwriting)
    for video in range(2):
        with pytest.raises(FrameIndexError, match="is stale: where it tells of video"):
            index.read(video, [0])
    with pytest.raises(FrameIndexError, match="has been built anew since"):
        pickle.loads(elsewhere)


def test_a_damaged_frame_is_an_error_that_names_it(directory):
    shard = shard_of(directory)
    content = shard.read_bytes()
    index = opened(directory)
    rng = np.random.default_rng(0)
    video = 1
    video_id = index.features["video_id"][video].decode()
    jpegs = contents(index, video)
    record = records(shard)[video]
    for frame in rng.integers(len(jpegs), size=10).tolist():
        start = content.index(record) + record.index(jpegs[frame])
        damaged = bytearray(content)
        damaged[start + int(rng.integers(len(jpegs[frame])))] ^= 0x01
        overwrite(shard, damaged)
        with pytest.raises(
            UnreadableVideoError,
            match=rf"Frame {frame} of video {video_id} \(1 of {shard.name}\)",
        ):
            index.read(video, range(frame, frame + 1))
        # All others are as they were.
        others = [number for number in range(len(jpegs)) if number != frame]
        assert [r.tobytes() for r in index.read(video, others)] == [
            jpegs[number] for number in others
        ]
        builder = tfds.builder_from_directory(str(directory))
        with pytest.raises(
            UnreadableVideoError,
            match=rf"{shard.name} is damaged after 1 video: the record at byte",
        ):
            indexing.build(builder)


# Length and checksum of the description, and what tells the format.
TRAILER = struct.Struct("<QI8s")


def signed(description: bytes) -> bytes:
    """Returns a description with the end of a file that belongs to it."""
    checksum = google_crc32c.value(description)
    return description + TRAILER.pack(len(description), checksum, b"KCINDEX2")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda d: d["features"].update(label="|u1"), r"label is kept as \|u1"),
        (lambda d: d["features"].update(label="<u8"), "label is kept as <u8"),
        (lambda d: d["tables"]["frames"].__setitem__(1, 12), "frames begin at byte 12"),
        (lambda d: d["tables"]["label"].__setitem__(2, 8000), "label of 8000 bytes at"),
    ],
    ids=["unknown kind", "unsigned", "frames elsewhere", "in the description"],
)
def test_a_description_against_the_format_is_refused(
    directory, path, original, damage, problem
):
    length, *_ = TRAILER.unpack(original[-TRAILER.size :])
    tables = original[: -TRAILER.size - length]
    description = json.loads(original[len(tables) : -TRAILER.size])
    damage(description)
    description["more"] = "x" * 10_000  # which a reader ignores
    path.write_bytes(tables + signed(json.dumps(description).encode()))
    with pytest.raises(FrameIndexError, match=f"is damaged: {problem}"):
        opened(directory)


def contents_or_errors(directory: Path) -> list:
    """Returns what an index gives of every video: features, and JPEGs or None."""
    index = opened(directory)
    found = []
    for video in range(len(index)):
        try:
            jpegs = contents(index, video)
        except UnreadableVideoError:
            jpegs = None
        features = [values[video] for _, values in sorted(index.features.items())]
        found.append((features, jpegs))
    return found


@pytest.mark.slow
def test_every_damaged_byte_of_an_index_is_noticed_or_harmless(
    directory, path, original
):
    expected = contents_or_errors(directory)
    num_noticed = 0
    for number in range(len(original)):
        damaged = bytearray(original)
        damaged[number] ^= 1 << number % 8
        path.write_bytes(damaged)
        try:
            index = opened(directory)
        except FrameIndexError:
            num_noticed += 1
            continue
        features = {name: list(values) for name, values in index.features.items()}
        assert features == {
            name: [values[at] for values, _ in expected]
            for at, name in enumerate(sorted(features))
        }
        if number % 12 > 3 and number % 37:  # of most frames only their place
            continue
        for video, (_, jpegs) in enumerate(expected):
            try:
                assert contents(index, video) == jpegs
            except UnreadableVideoError:
                num_noticed += 1
    assert num_noticed > len(original) // 10


@pytest.mark.slow
@settings(max_examples=300)
@given(draw=st.data())
def test_no_block_of_an_index_can_be_lost_or_moved(directory, path, original, draw):
    """As of a disk that wrote elsewhere, or not at all."""
    path.write_bytes(original)
    expected = contents_or_errors(directory)
    length = draw.draw(st.sampled_from([4, 12, 24, 96, 1200, 4096]))
    places = st.integers(0, len(original) // 12).map(lambda row: row * 12)
    at, whence = draw.draw(places), draw.draw(places)
    block = draw.draw(st.sampled_from([bytes(length), original[whence:][:length]]))
    damaged = original[:at] + block + original[at + length :]
    path.write_bytes(damaged[: len(original)])
    try:
        found = contents_or_errors(directory)
    except FrameIndexError:
        return
    for (features, jpegs), (features_before, before) in zip(
        found, expected, strict=True
    ):
        assert features == features_before
        assert jpegs in (None, before)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([-1, 0, 1, 2, 12, 64, 1 << 31, 1 << 63]),
        st.floats(),
        st.sampled_from(["<i8", "<f4", "|u1", "O", "text", "frames", "../x", "a\0b"]),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=600)
@given(draw=st.data())
def test_any_description_is_an_index_or_an_error(directory, path, original, draw):
    """Also one that nobody has written, and has its checksum all the same."""
    length, *_ = TRAILER.unpack(original[-TRAILER.size :])
    tables = original[: -TRAILER.size - length]
    description = json.loads(original[len(tables) : -TRAILER.size])
    for _ in range(draw.draw(st.integers(1, 3))):
        inside, at = description, draw.draw(st.sampled_from(sorted(description)))
        while isinstance(inside[at], dict | list) and inside[at]:
            if draw.draw(st.integers(0, 3)) == 0:
                break
            inside = inside[at]
            keys = sorted(inside) if isinstance(inside, dict) else range(len(inside))
            at = draw.draw(st.sampled_from(keys))
        if draw.draw(st.integers(0, 5)) == 0 and isinstance(inside, dict):
            if len(description) > 1 or inside is not description:
                del inside[at]
        else:
            inside[at] = draw.draw(json_values)
    path.write_bytes(tables + signed(json.dumps(description).encode()))
    try:
        contents_or_errors(directory)
    except FrameIndexError as error:
        assert str(path) in str(error)


@settings(max_examples=200)
@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_no_index(directory, path, content, has_checksum):
    path.write_bytes(signed(content) if has_checksum else content)
    with pytest.raises(FrameIndexError, match=r"(is damaged|must be readable)"):
        opened(directory)


def test_a_description_nested_deeper_than_python_goes_is_an_error(directory, path):
    path.write_bytes(signed(b"[" * 200_000))
    with pytest.raises(FrameIndexError, match="is damaged: maximum recursion depth"):
        opened(directory)


def test_an_index_of_another_version_is_an_error_that_says_so(
    directory, path, original
):
    path.write_bytes(original[:-1] + b"1")
    with pytest.raises(
        FrameIndexError, match=r"is of another version .*Rebuild it: kinetics-clips"
    ):
        opened(directory)


@pytest.mark.parametrize("length", [0, 1, 19, 20, 100, 1000])
def test_a_cut_index_is_an_error(directory, path, original, length):
    path.write_bytes(original[:length])
    with pytest.raises(FrameIndexError, match=r"(is damaged|must be readable)"):
        opened(directory)
