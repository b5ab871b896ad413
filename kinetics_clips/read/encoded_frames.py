"""Leaves the frames of stored videos encoded, in TensorFlow and without it."""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow_datasets as tfds

if TYPE_CHECKING:
    from kinetics_clips.wheels import tensorflow as tf


class EncodedFrames(tfds.decode.Decoder):
    """A TFDS decoder that leaves `video` as its JPEGs: string `[num_frames]`.

    Unlike `tfds.decode.SkipDecoding` it does not loop over the frames: examples come
    as fast as TensorFlow reads bare records. In `tfds.data_source`, where
    `SkipDecoding` fails on frames, they are bytes, in an array of objects.

        tfds.load(..., decoders={"video": kinetics_clips.EncodedFrames()})
    """

    @property
    def dtype(self) -> "tf.DType":
        from kinetics_clips.wheels import (
            tensorflow as tf,  # only those who are in a graph ask
        )

        return tf.string

    def decode_example(self, serialized_example: "tf.Tensor") -> "tf.Tensor":
        return serialized_example

    def decode_batch_example(self, serialized_example: "tf.Tensor") -> "tf.Tensor":
        return serialized_example

    def decode_batch_example_np(self, serialized_example: np.ndarray) -> np.ndarray:
        return serialized_example
