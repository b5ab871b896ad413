"""Serializes examples as TFDS does, without its copies of every frame."""

import contextlib
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from kinetics_clips.store import tfrecords


class ExampleSerializer(tfds.core.ExampleSerializer):
    """TFDS's own, but for lists of bytes, which it copies half a dozen times.

    With four megabytes of frames in each that is most of the work of the one process
    that writes for all those that encode.
    """

    def serialize_example(self, example: Mapping[str, Any]) -> bytes:
        """Returns a serialized `tf.train.Example`, equal to the one that TFDS makes."""
        lists = {
            name: value
            for name, value in example.items()
            if _is_bytes_list(value) and self.example_specs[name].shape == (None,)
        }
        rest = self.get_tf_example({**example, **dict.fromkeys(lists, ())}).features
        for name in lists:
            del rest.feature[name]
        # Two builds of the same videos write the same bytes.
        others = rest.SerializeToString(deterministic=True)
        return tfrecords.serialize(others, lists)


def in_place() -> contextlib.AbstractContextManager[Any]:
    """Makes the writers of TFDS that are created meanwhile use that serializer."""
    return tfds.core.utils.temporary_assignment(
        example_serializer, "ExampleSerializer", ExampleSerializer
    )


def _is_bytes_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, bytes) for item in value)
