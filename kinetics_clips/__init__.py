"""Kinetics videos as a TensorFlow dataset of frames, and random clips out of it.

    import kinetics_clips

    spec = kinetics_clips.ClipSpec(length=64, crop=224)
    ds = kinetics_clips.load_clips("kinetics_clips/k400", split="train", spec=spec)

Importing the package registers the dataset `kinetics_clips` with TFDS, and does not
import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from kinetics_clips.command import startup
from kinetics_clips.version import __version__ as __version__

if startup.is_command():  # all else takes a second to import
    startup.prepare()

if not startup.is_worker():
    # What registers the dataset with TFDS: half a second that those need not wait.
    from kinetics_clips import kinetics_clips_dataset_builder  # noqa: F401

if TYPE_CHECKING:
    from kinetics_clips import testing
    from kinetics_clips.kinetics_clips_dataset_builder import Builder
    from kinetics_clips.read.clip_sampler import ClipSampler
    from kinetics_clips.read.clip_source import ClipSource
    from kinetics_clips.read.clip_spec import VIEWS_1X3, VIEWS_4X3, VIEWS_10X3, ClipSpec
    from kinetics_clips.read.clips import load_clips
    from kinetics_clips.read.encoded import EncodedClip
    from kinetics_clips.read.encoded_frames import EncodedFrames
    from kinetics_clips.read.streaming import read_config, sample_clip
    from kinetics_clips.show.preview import show_clips
    from kinetics_clips.store.datasets import label_name
    from kinetics_clips.store.frame_index import FrameIndexError, UnreadableVideoError
    from kinetics_clips.store.namespaces import register_namespaces
    from kinetics_clips.write.config import KineticsClipsConfig

__all__ = [
    "VIEWS_1X3",
    "VIEWS_4X3",
    "VIEWS_10X3",
    "Builder",
    "ClipSampler",
    "ClipSource",
    "ClipSpec",
    "EncodedClip",
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
    "VIEWS_1X3": "read.clip_spec",
    "VIEWS_4X3": "read.clip_spec",
    "VIEWS_10X3": "read.clip_spec",
    "Builder": "kinetics_clips_dataset_builder",
    "ClipSampler": "read.clip_sampler",
    "ClipSource": "read.clip_source",
    "ClipSpec": "read.clip_spec",
    "EncodedClip": "read.encoded",
    "EncodedFrames": "read.encoded_frames",
    "FrameIndexError": "store.frame_index",
    "KineticsClipsConfig": "write.config",
    "UnreadableVideoError": "store.frame_index",
    "label_name": "store.datasets",
    "load_clips": "read.clips",
    "read_config": "read.streaming",
    "register_namespaces": "store.namespaces",
    "sample_clip": "read.streaming",
    "show_clips": "show.preview",
}


if not TYPE_CHECKING:  # for which a module with `__getattr__` has every name

    def __getattr__(name: str) -> object:
        if name == "testing":
            return importlib.import_module("kinetics_clips.testing")
        if name in _LAZY:
            module = importlib.import_module(f"kinetics_clips.{_LAZY[name]}")
            return getattr(module, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
