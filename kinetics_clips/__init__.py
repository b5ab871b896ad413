"""Kinetics videos as a TensorFlow dataset of frames, and random clips out of it.

    import kinetics_clips

    spec = kinetics_clips.ClipSpec(length=64, crop=224)
    ds = kinetics_clips.load_clips("kinetics_clips/k400", split="train", spec=spec)

Importing the package registers the dataset `kinetics_clips` with TFDS, and does not
import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from kinetics_clips import command_start

if command_start.is_command():  # all else takes a second to import
    command_start.prepare()

if not command_start.is_worker():
    # What registers the dataset with TFDS: half a second that those need not wait.
    from kinetics_clips import kinetics_clips_dataset_builder  # noqa: F401

if TYPE_CHECKING:
    from kinetics_clips import testing
    from kinetics_clips.clip_source import ClipSource
    from kinetics_clips.clips import load_clips
    from kinetics_clips.datasets import label_name
    from kinetics_clips.decoding import EncodedFrames
    from kinetics_clips.frame_index import FrameIndexError, UnreadableVideoError
    from kinetics_clips.kinetics_clips_dataset_builder import (
        Builder,
        KineticsClipsConfig,
    )
    from kinetics_clips.namespaces import register_namespaces
    from kinetics_clips.preview import show_clips
    from kinetics_clips.streaming import read_config, sample_clip
    from kinetics_clips.windows import VIEWS_1X3, VIEWS_4X3, VIEWS_10X3, ClipSpec

__version__ = "0.1.0"

__all__ = [
    "VIEWS_1X3",
    "VIEWS_4X3",
    "VIEWS_10X3",
    "Builder",
    "ClipSource",
    "ClipSpec",
    "EncodedFrames",
    "FrameIndexError",
    "KineticsClipsConfig",
    "UnreadableVideoError",
    "label_name",
    "load_clips",
    "read_config",
    "register_namespaces",
    "sample_clip",
    "show_clips",
    "testing",
]

# Where each name is, imported on first use: some need TensorFlow, which takes seconds
# to import, codecs, or TFDS's registry of namespaces. `show_clips` draws.
_LAZY = {
    "VIEWS_1X3": "windows",
    "VIEWS_4X3": "windows",
    "VIEWS_10X3": "windows",
    "Builder": "kinetics_clips_dataset_builder",
    "ClipSource": "clip_source",
    "ClipSpec": "windows",
    "EncodedFrames": "decoding",
    "FrameIndexError": "frame_index",
    "KineticsClipsConfig": "kinetics_clips_dataset_builder",
    "UnreadableVideoError": "frame_index",
    "label_name": "datasets",
    "load_clips": "clips",
    "read_config": "streaming",
    "register_namespaces": "namespaces",
    "sample_clip": "streaming",
    "show_clips": "preview",
}


def __getattr__(name: str) -> object:
    if name == "testing":
        return importlib.import_module("kinetics_clips.testing")
    if name in _LAZY:
        module = importlib.import_module(f"kinetics_clips.{_LAZY[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
