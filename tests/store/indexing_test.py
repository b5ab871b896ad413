from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from kinetics_clips.store import index_format, indexing
from kinetics_clips.store.frame_index import (
    FrameIndex,
    FrameIndexError,
    UnreadableVideoError,
)


def records(path: Path) -> list[bytes]:
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def shard_of(directory: Path) -> Path:
    (shard,) = directory.glob("*-train.tfrecord-*")
    return shard


def contents(index: FrameIndex, video: int) -> list[bytes]:
    frames = range(index.num_frames(video))
    return [jpeg.tobytes() for jpeg in index.read(video, frames)]


def test_processes_make_the_same_index(directory, monkeypatch, tmp_path):
    examples = [tf.train.Example.FromString(e) for e in records(shard_of(directory))]
    # One video a shard.
    shards = []
    for number, example in enumerate(examples):
        shards.append(tmp_path / f"shard_{number}")
        with tf.io.TFRecordWriter(str(shards[-1])) as writer:
            writer.write(example.SerializeToString())
    made = []
    for limit in (0, 1 << 40):
        monkeypatch.setattr(indexing, "_MIN_PARALLEL_BYTES", limit)
        arguments = ("video", {"video_id": "text", "fps": "<f4", "label": "<i8"})
        with indexing._in_processes(
            indexing._index_shard, shards, 2, *arguments
        ) as rows:
            made.append(index_format.path_of(tmp_path, str(limit)))
            indexing._write(made[-1], arguments[1], rows)
    assert made[0].read_bytes() == made[1].read_bytes()
    index = FrameIndex(made[0])
    assert len(index.shards) == len(index) == len(examples)
    for video, example in enumerate(examples):
        frames = example.features.feature["video"].bytes_list.value
        assert contents(index, video) == list(frames)
    assert list(index.videos_of("shard_2")) == [2]
    with pytest.raises(FrameIndexError, match="is not of the shard shard_9"):
        index.videos_of("shard_9")


def test_an_index_is_replaced_as_a_whole_or_not_at_all(directory):
    path = index_format.path_of(directory, "train")
    before = path.read_bytes()
    shard = shard_of(directory)
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UnreadableVideoError, match="the file ends in the record"):
        indexing.build(tfds.builder_from_directory(str(directory)))
    assert path.read_bytes() == before


def test_a_shard_with_fewer_videos_than_announced_is_an_error(directory):
    shard = shard_of(directory)
    content = records(shard)
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in content[:-1]:
            writer.write(record)
    with pytest.raises(
        UnreadableVideoError, match=r"must hold 4 videos of train, .* got 3"
    ):
        indexing.build(tfds.builder_from_directory(str(directory)))


# Values of features that would have the name of a table of the index itself, or of one
# of the text `a`.
COLLIDING = {
    "records": 7,
    "first frames": 7,
    "frame checksums": 7,
    "frames": 0.5,
    "a ends": 7,
    "a bytes": True,
}


class Foreign(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset that another builder stored."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES: dict = {}  # noqa: RUF012
    VALUES: dict = {}  # noqa: RUF012

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        rng = np.random.default_rng(0)
        for number in range(3):
            frames = rng.integers(256, size=(5, 16, 24, 3), dtype=np.uint8)
            example = {
                "frames": list(frames),
                "video": frames,
                "thumbnail": frames[0],
                "label": number,
                "good": True,
                "weight": number / 2,
                "boxes": {"x": [1, 2]},
                "a": f"text {number}",
                **self.VALUES,
            }
            yield number, {name: example[name] for name in self.FEATURES}


JPEGS = tfds.features.Sequence(tfds.features.Image(encoding_format="jpeg"))


@pytest.mark.parametrize(
    "frames",
    [
        {"frames": JPEGS},
        {"video": tfds.features.Video((None, 16, 24, 3), encoding_format="jpeg")},
        {"frames": JPEGS, "video": JPEGS},
    ],
    ids=["sequence", "video feature", "two"],
)
def test_datasets_of_other_builders_are_indexed(tmp_path, frames):
    class Dataset(Foreign, skip_registration=True):
        FEATURES = {  # noqa: RUF012
            **frames,
            "thumbnail": tfds.features.Image(shape=(16, 24, 3)),
            "label": tfds.features.ClassLabel(num_classes=3),
            "good": np.bool_,
            "weight": np.float32,
            "boxes": {"x": tfds.features.Sequence(np.int64)},
        }

    builder = Dataset(data_dir=tmp_path)
    builder.download_and_prepare()
    (index,) = indexing.build(builder)
    assert set(index.features) == {"label", "good", "weight"}
    name = "video" if "video" in frames else "frames"
    skipped = builder.as_dataset(
        split="train", decoders={name: tfds.decode.SkipDecoding()}
    )
    for video, example in enumerate(tfds.as_numpy(skipped)):
        assert contents(index, video) == example[name].tolist()
        assert index.features["label"][video] == example["label"]
        assert index.features["weight"][video] == example["weight"]


@pytest.mark.parametrize("name", COLLIDING)
def test_features_named_like_other_tables_are_left_out(tmp_path, caplog, name):
    caplog.set_level("INFO")
    kind = {bool: np.bool_, int: np.int64, float: np.float32}[type(COLLIDING[name])]

    class Dataset(Foreign, skip_registration=True):
        FEATURES = {  # noqa: RUF012
            "video": JPEGS,
            "label": tfds.features.ClassLabel(num_classes=3),
            "a": tfds.features.Text(),
            name: kind,
        }
        VALUES = {name: COLLIDING[name]}  # noqa: RUF012

    builder = Dataset(data_dir=tmp_path)
    builder.download_and_prepare()
    (index,) = indexing.build(builder)
    assert set(index.features) == {"label", "a"}
    (line,) = (text for text in caplog.messages if "left out" in text)
    assert repr(name) in line
    skipped = builder.as_dataset(
        split="train", decoders={"video": tfds.decode.SkipDecoding()}
    )
    for video, example in enumerate(tfds.as_numpy(skipped)):
        assert contents(index, video) == example["video"].tolist()
        assert index.features["label"][video] == example["label"]
        assert index.features["a"][video] == example["a"]


def test_texts_named_like_other_tables_are_kept(tmp_path, caplog):
    caplog.set_level("INFO")
    names = ["records", "frames", "frame checksums", "first frames", "a", "a ends"]
    texts = dict.fromkeys(names, tfds.features.Text())
    features = tfds.features.FeaturesDict({"video": JPEGS, **texts})
    assert indexing._schema(features) == ("video", dict.fromkeys(sorted(names), "text"))
    assert "left out" not in caplog.text


@pytest.mark.parametrize(
    ("features", "got"),
    [
        ({"label": np.int64}, r"\['label'\]"),
        ({"frames": JPEGS, "other": JPEGS}, r"\['frames', 'other'\]"),
    ],
)
def test_a_dataset_without_frames_is_refused(features, got):
    with pytest.raises(ValueError, match=rf"must have one sequence of images.*{got}"):
        indexing._schema(tfds.features.FeaturesDict(features))


def test_an_index_needs_tfrecords(tmp_path):
    class Dataset(Foreign, skip_registration=True):
        FEATURES = {"frames": JPEGS}  # noqa: RUF012

    builder = Dataset(data_dir=tmp_path, file_format="riegeli")
    with pytest.raises(
        ValueError, match=r"must be stored as TFRecords, .* got riegeli in "
    ):
        indexing.build(builder)
