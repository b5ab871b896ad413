"""Reads and writes examples as they lie in a TFRecord, without TensorFlow.

The framing: https://www.tensorflow.org/tutorials/load_data/tfrecord
The wire format: https://protobuf.dev/programming-guides/encoding
"""

import contextlib
import io
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from kinetics_clips import files

# Before the data: its length, and the checksum of these eight bytes. After it: its own.
_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")

# How a field is encoded.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Fields of `tf.train.Example` and what it is made of.
_EXAMPLE_FEATURES, _FEATURES_FEATURE, _ENTRY_KEY, _ENTRY_VALUE = 1, 1, 1, 2
_FEATURE_BYTES, _FEATURE_FLOATS, _FEATURE_INTS = 1, 2, 3
_LIST_VALUE = 1


class Record(NamedTuple):
    """A record of a file.

    Attributes:
      offset: Offset of its data in the file, in bytes.
      data: uint8 `[num_bytes]`, valid until the next record is read.
    """

    offset: int
    data: np.ndarray


class Span(NamedTuple):
    """Where bytes lie in a record's data."""

    offset: int
    length: int


def read(path: Path) -> Iterator[Record]:
    """Reads all records of a file and verifies their checksums.

    Raises:
      ValueError: If the file is damaged; says where.
      OSError: If it cannot be read; names the file.
    """
    buffer = np.empty(1 << 20, np.uint8)
    with files.named(path), path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < size:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise ValueError(f"the file ends in the record at byte {offset}")
            length, checksum = _HEAD.unpack(head)
            if _masked(head[:8]) != checksum:
                raise ValueError(f"the record at byte {offset} has a damaged length")
            end = offset + _HEAD.size + length + _TAIL.size
            if end > size:
                raise ValueError(f"the file ends in the record at byte {offset}")
            if length > len(buffer):
                buffer = np.empty(length, np.uint8)
            data = buffer[:length]
            _read_into(file, data)
            if _TAIL.unpack(file.read(_TAIL.size)) != (_masked(data),):
                raise ValueError(f"the record at byte {offset} has damaged data")
            yield Record(offset + _HEAD.size, data)
            offset = end


def read_at(descriptor: int, offset: int) -> np.ndarray:
    """Reads one record of an open file, and verifies its checksums.

    Args:
      descriptor: Descriptor of the file.
      offset: Offset of the record's data, in bytes, as in `Record.offset`.

    Returns:
      Its data, uint8 `[num_bytes]`.

    Raises:
      ValueError: If there is no whole record.
      OSError: If it cannot be read.
    """
    start = offset - _HEAD.size
    if start < 0:
        raise ValueError(f"no record begins at byte {start}")
    head = os.pread(descriptor, _HEAD.size, start)
    if len(head) < _HEAD.size:
        raise ValueError(f"the file ends before byte {offset}")
    length, checksum = _HEAD.unpack(head)
    if _masked(head[:8]) != checksum:
        raise ValueError(f"no record begins at byte {start}")
    if offset + length + _TAIL.size > os.fstat(descriptor).st_size:
        raise ValueError(f"the file ends in the record at byte {offset}")
    data = np.empty(length + _TAIL.size, np.uint8)
    if fill(descriptor, data, offset):
        raise ValueError("the file has become shorter while it was read")
    data, tail = data[:length], data[length:]
    if _TAIL.unpack(tail.data) != (_masked(data),):
        raise ValueError(f"the record at byte {offset} has damaged data")
    return data


def fill(descriptor: int, data: np.ndarray, position: int) -> int:
    """Fills an array from a place of a file on; returns the bytes that are missing."""
    view = data.data
    while view:
        count = os.preadv(descriptor, [view], position)
        if not count:
            break
        view, position = view[count:], position + count
    return len(view)


def features(data: np.ndarray) -> dict[str, list[Any]]:
    """Lists the values of the features of a serialized `tf.train.Example`.

    Args:
      data: uint8 `[num_bytes]`.

    Returns:
      Name -> its integers, its floats, or where its bytes lie.

    Raises:
      ValueError: If it is no such thing.
    """
    view = data.data
    found: dict[str, list[Any]] = {}
    try:
        for field, example in _messages(view, Span(0, len(view))):
            if field != _EXAMPLE_FEATURES:
                continue
            for field, entry in _messages(view, example):
                if field == _FEATURES_FEATURE:
                    name, values = _feature(view, entry)
                    found[name] = values
    except (IndexError, KeyError, struct.error) as error:
        raise ValueError(f"no serialized tf.train.Example: {error!r}") from error
    return found


def first_features(data: np.ndarray) -> dict[str, list[Any]]:
    """Lists the features that the first bytes of a `tf.train.Example` hold whole.

    Args:
      data: uint8 `[num_bytes]`, of any number of bytes from the first on.

    Returns:
      As `features`; nothing of what is no such thing.
    """
    view = data.data
    found: dict[str, list[Any]] = {}
    endless = Span(0, 1 << 64)
    # It is cut somewhere, or no example at all.
    with contextlib.suppress(IndexError, KeyError, ValueError, struct.error):
        field, example = next(_messages(view, endless))
        for field, entry in _messages(view, example):
            if field != _FEATURES_FEATURE or entry.offset + entry.length > len(view):
                break
            name, values = _feature(view, entry)
            found[name] = values
    return found


def serialize(others: bytes, lists: Mapping[str, Sequence[bytes]]) -> bytes:
    """Serializes a `tf.train.Example`, copying what it holds once.

    Args:
      others: A serialized `tf.train.Features`.
      lists: The features that it lacks: name -> values.
    """
    parts = [others]
    for name, values in lists.items():
        items = [part for value in values for part in _field(_LIST_VALUE, [value])]
        parts += _field(
            _FEATURES_FEATURE,
            [
                *_field(_ENTRY_KEY, [name.encode()]),
                *_field(_ENTRY_VALUE, _field(_FEATURE_BYTES, items)),
            ],
        )
    return b"".join(_field(_EXAMPLE_FEATURES, parts))


def text(data: np.ndarray, span: Span) -> bytes:
    """Returns the bytes of a value."""
    return _bytes(data.data, span)


def _feature(view: memoryview, entry: Span) -> tuple[str, list]:
    parts = dict(_messages(view, entry))
    name = _bytes(view, parts[_ENTRY_KEY]).decode()
    return name, _values(view, parts.get(_ENTRY_VALUE, Span(0, 0)))


def _values(view: memoryview, feature: Span) -> list:
    for kind, values in _messages(view, feature):
        if kind == _FEATURE_BYTES:
            return [value for _, value in _messages(view, values)]
        read = {_FEATURE_FLOATS: _floats, _FEATURE_INTS: _ints}.get(kind)
        if read is not None:
            return [
                number
                for _, value in _fields(view, values)
                for number in read(view, value)
            ]
    return []


def _messages(view: memoryview, message: Span) -> Iterator[tuple[int, Span]]:
    """Yields the fields of a message that holds messages, texts or bytes alone."""
    for number, value in _fields(view, message):
        if not isinstance(value, Span):
            raise ValueError(f"a number in the message at byte {message.offset}")
        yield number, value


def _fields(view: memoryview, message: Span) -> Iterator[tuple[int, Span | int]]:
    """Yields the fields of a message: number, and where it lies or its whole number."""
    at, end = message.offset, message.offset + message.length
    while at < end:
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(view, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(view, at)
        elif kind == _FIXED32:
            length = 4
        elif kind == _FIXED64:
            length = 8
        else:
            raise ValueError(f"a field of kind {kind} at byte {at}")
        if at + length > end:
            raise ValueError(f"{length} bytes at {at}, in a message that ends at {end}")
        yield tag >> 3, Span(at, length)
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Returns a whole number and where the next field begins."""
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of over 64 bits at byte {at}")


def _field(number: int, parts: list[bytes]) -> list[bytes]:
    """Returns a field of a message, text or bytes, in parts."""
    head = bytearray([number << 3 | _BYTES])
    length = sum(map(len, parts))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return [bytes(head), *parts]


def _ints(view: memoryview, value: Span | int) -> Iterator[int]:
    if isinstance(value, int):
        yield _signed(value)
        return
    at = value.offset
    while at < value.offset + value.length:
        number, at = _varint(view, at)
        yield _signed(number)


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _floats(view: memoryview, value: Span | int) -> tuple[float, ...]:
    if isinstance(value, int):
        raise ValueError(f"the whole number {value} among floats")
    return struct.unpack(f"<{value.length // 4}f", _bytes(view, value))


def _bytes(view: memoryview, span: Span) -> bytes:
    return bytes(view[span.offset : span.offset + span.length])


def _read_into(file: io.RawIOBase, data: np.ndarray) -> None:
    view = data.data
    while view:
        count = file.readinto(view)
        if not count:
            raise ValueError("the file has become shorter while it was read")
        view = view[count:]


def _masked(data: bytes | np.ndarray) -> int:
    """Returns the CRC32C as TFRecords store it."""
    checksum = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
