"""Imports what compiled wheels bring, and tells how to mend one that is half installed.

    from kinetics_clips.wheels import av, cv2

Two wheels install the same `cv2`: uninstalling one takes it from the other, and leaves
a package that can be imported and has nothing in it.
"""

import importlib
import os
import sys
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


def _work_alone() -> None:
    """Makes OpenCV do without threads in a process that was forked.

    It shares the work of a large frame with threads that the fork has not copied, and
    now and then waits for them for ever.
    """
    set_num_threads = getattr(sys.modules.get("cv2"), "setNumThreads", None)
    if set_num_threads:  # there, and whole
        set_num_threads(0)  # 1 would wait for those threads to end


os.register_at_fork(after_in_child=_work_alone)
