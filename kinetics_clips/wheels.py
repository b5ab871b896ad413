"""Imports what compiled wheels bring, and tells how to mend one that is half installed.

    from kinetics_clips.wheels import av, cv2

Two wheels install the same `cv2`: uninstalling one takes it from the other, and leaves
a package that can be imported and has nothing in it.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    import cv2
    import simplejpeg

__all__ = ["av", "cv2", "simplejpeg"]

# Module -> the wheel that brings it, what it is for, and something that it must have.
_WHEELS = {
    "av": ("av", "decode videos", "open"),
    "cv2": ("opencv-python-headless", "scale frames", "resize"),
    "simplejpeg": ("simplejpeg", "encode and decode JPEGs", "decode_jpeg"),
}


def __getattr__(name: str) -> ModuleType:
    if name not in _WHEELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    wheel, purpose, content = _WHEELS[name]
    try:
        module = importlib.import_module(name)
        getattr(module, content)
    except (AttributeError, ImportError, ValueError) as error:  # or another ABI
        raise ImportError(
            f"The package {wheel} must be installed as a whole to {purpose}, got: "
            f"{error}. Mend it: pip install --force-reinstall {wheel}",
            name=name,
        ) from error
    return module
