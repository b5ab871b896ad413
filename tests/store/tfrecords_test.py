import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_clips.store import tfrecords

features = st.dictionaries(
    st.text(max_size=8),
    st.one_of(
        st.lists(st.binary(max_size=300), max_size=5),
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=5),
        st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    ),
    max_size=5,
)

other_lists = st.dictionaries(st.text(min_size=9), st.lists(st.binary()), max_size=3)


def serialized(values: dict) -> np.ndarray:
    def feature(value):
        if value and isinstance(value[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
        if value and isinstance(value[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=value))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    example = tf.train.Example(
        features=tf.train.Features(
            feature={name: feature(value) for name, value in values.items()}
        )
    )
    return np.frombuffer(example.SerializeToString(), np.uint8)


def write(path, records) -> list[bytes]:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return list(records)


@given(features)
def test_features_are_those_of_tensorflow(values):
    data = serialized(values)
    found = tfrecords.features(data)
    for name, spans in found.items():
        if spans and isinstance(spans[0], tfrecords.Span):
            found[name] = [tfrecords.text(data, span) for span in spans]
    assert found == values


@given(features, other_lists)
def test_lists_of_bytes_become_features(values, lists):
    others = tf.train.Example.FromString(serialized(values).tobytes()).features
    data = tfrecords.serialize(others.SerializeToString(), lists)
    expected = tf.train.Example(features=others)
    for name, items in lists.items():
        expected.features.feature[name].bytes_list.value.extend(items)
    assert tf.train.Example.FromString(data) == expected
    assert len(data) == expected.ByteSize()


@settings(max_examples=300)
@given(features, st.data())
def test_damaged_examples_are_values_or_an_error(values, draw):
    data = serialized(values).copy()
    for _ in range(draw.draw(st.integers(1, 3))):
        if len(data):
            data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(
                st.integers(0, 255)
            )
    cut = data[: draw.draw(st.integers(0, len(data)))]
    for damaged in (data, cut):
        try:
            found = tfrecords.features(damaged)
        except ValueError:
            continue
        for spans in found.values():
            for span in spans:
                if isinstance(span, tfrecords.Span):
                    assert 0 <= span.offset <= span.offset + span.length
                    assert span.offset + span.length <= len(damaged)


def test_records_are_read_with_their_places(tmp_path):
    path = tmp_path / "records"
    written = write(path, [b"", b"one", bytes(3_000_000), b"x" * 70])
    content = path.read_bytes()
    read = [(offset, data.tobytes()) for offset, data in tfrecords.read(path)]
    assert [data for _, data in read] == written
    for offset, data in read:
        assert content[offset : offset + len(data)] == data


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "records"
    write(path, [b"some", b"records", b""])
    content = path.read_bytes()
    for number in range(len(content)):
        damaged = bytearray(content)
        damaged[number] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"record at byte \d+ has (a )?damaged"):
            list(tfrecords.read(path))


def test_every_cut_is_noticed(tmp_path):
    path = tmp_path / "records"
    write(path, [b"some", b"records"])
    content = path.read_bytes()
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        if length == 16 + len(b"some"):  # the end of the first record
            assert len(list(tfrecords.read(path))) == 1
            continue
        with pytest.raises(ValueError, match=r"the file ends in the record at byte"):
            list(tfrecords.read(path))


@given(features, other_lists, st.integers(0, 400))
def test_the_first_features_are_those_that_are_whole(values, lists, length):
    others = tf.train.Example.FromString(serialized(values).tobytes()).features
    data = np.frombuffer(
        tfrecords.serialize(others.SerializeToString(), lists), np.uint8
    )
    every = tfrecords.features(data)
    found = tfrecords.first_features(data[:length])
    assert found == {name: every[name] for name in found}
    assert list(found) == list(every)[: len(found)]
    assert tfrecords.first_features(data) == every


@given(st.binary(max_size=64))
def test_the_first_features_of_anything_are_none_or_lie_within(content):
    for values in tfrecords.first_features(np.frombuffer(content, np.uint8)).values():
        for value in values:
            if isinstance(value, tfrecords.Span):
                assert value.offset + value.length <= len(content)


def test_a_record_is_read_by_its_place(tmp_path):
    path = tmp_path / "records"
    content = write(path, [b"one", b"", b"three" * 1000])
    places = [record.offset for record in tfrecords.read(path)]
    with path.open("rb") as file:
        read = [tfrecords.read_at(file.fileno(), place) for place in places]
        assert [data.tobytes() for data in read] == content
        for place in (0, places[0] + 1, places[-1] + 5, 10**6):
            with pytest.raises(ValueError, match=r"the file ends|no record begins"):
                tfrecords.read_at(file.fileno(), place)
