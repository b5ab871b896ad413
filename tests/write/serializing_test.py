import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

import kinetics_clips
from kinetics_clips.write import serializing

FEATURES = tfds.features.FeaturesDict(
    {
        "video": tfds.features.Sequence(tfds.features.Image(encoding_format="jpeg")),
        "names": tfds.features.Sequence(tfds.features.Text()),
        "pair": tfds.features.Tensor(shape=(2,), dtype=np.str_),
        "boxes": tfds.features.Sequence({"size": np.int64, "text": np.str_}),
        "label": np.int64,
        "fps": np.float32,
        "video_id": tfds.features.Text(),
    }
)

UNDECODED = {"video": kinetics_clips.EncodedFrames()}


@pytest.mark.parametrize("num_frames", [0, 1, 300])
def test_serializes_what_tfds_serializes(num_frames):
    specs = FEATURES.get_serialized_info()
    example = FEATURES.encode_example(
        {
            "video": [bytes([n % 256]) * (n + 1) for n in range(num_frames)],
            "names": ["a", "b"],
            "pair": ["c", "d"],
            "boxes": [{"size": 1, "text": "e"}, {"size": 2, "text": "f"}],
            "label": -1,
            "fps": 29.97,
            "video_id": "näme",
        }
    )
    ours = serializing.ExampleSerializer(specs).serialize_example(example)
    theirs = tfds.core.ExampleSerializer(specs).get_tf_example(example)
    assert type(theirs).FromString(ours) == theirs
    assert len(ours) == theirs.ByteSize()
    np.testing.assert_equal(
        tfds.as_numpy(FEATURES.deserialize_example(ours, decoders=UNDECODED)),
        tfds.as_numpy(
            FEATURES.deserialize_example(theirs.SerializeToString(), decoders=UNDECODED)
        ),
    )


def test_is_in_place_for_as_long_as_it_is_asked_for():
    with serializing.in_place():
        assert example_serializer.ExampleSerializer is serializing.ExampleSerializer
    assert example_serializer.ExampleSerializer is tfds.core.ExampleSerializer
