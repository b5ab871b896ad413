"""Kinetics videos as a TensorFlow dataset of frames, and random clips out of it.

    import kinetics_clips

    spec = kinetics_clips.ClipSpec(length=64, crop=224)
    ds = kinetics_clips.load_clips("kinetics_clips/k400", split="train", spec=spec)

Importing the package registers the dataset `kinetics_clips` with TFDS, and does not
import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from kinetics_clips.datasets import label_name
from kinetics_clips.kinetics_clips_dataset_builder import Builder, KineticsClipsConfig
from kinetics_clips.windows import ClipSpec

if TYPE_CHECKING:
    from kinetics_clips.clips import (
        EncodedFrames,
        load_clips,
        read_config,
        sample_clip,
    )

__version__ = "0.1.0"

__all__ = [
    "Builder",
    "ClipSpec",
    "EncodedFrames",
    "KineticsClipsConfig",
    "label_name",
    "load_clips",
    "read_config",
    "sample_clip",
]

# These need TensorFlow, which takes seconds to import: on first use.
_IN_CLIPS = {"EncodedFrames", "load_clips", "read_config", "sample_clip"}


def __getattr__(name: str) -> object:
    if name in _IN_CLIPS:
        return getattr(importlib.import_module("kinetics_clips.clips"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
