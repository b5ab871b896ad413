"""Imports what compiled wheels bring, and tells how to mend one that is not whole.

    from kinetics_clips.wheels import av, cv2

Two wheels install the same `cv2`: uninstalling one takes it from the other, and leaves
a package that can be imported and has nothing in it. Others come with an extra of this
package, and are not there without it.
"""

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import apache_beam
    import av
    import cv2
    import simplejpeg
    import tensorflow

__all__ = ["apache_beam", "av", "cv2", "simplejpeg", "tensorflow"]


class _Wheel(NamedTuple):
    name: str
    purpose: str
    content: str  # something that its module must have
    extra: str = ""  # of this package, which installs it
    title: str = ""  # what people call it


_WHEELS = {
    "apache_beam": _Wheel(
        "apache-beam", "build on a cluster", "Pipeline", "beam", "Apache Beam"
    ),
    "av": _Wheel("av", "decode videos", "open"),
    "cv2": _Wheel("opencv-python-headless", "scale frames", "resize"),
    "simplejpeg": _Wheel("simplejpeg", "encode and decode JPEGs", "decode_jpeg"),
    "tensorflow": _Wheel(
        "tensorflow",
        "build a dataset, and to read one in tf.data",
        "data",
        "tf",
        "TensorFlow",
    ),
}


def __getattr__(name: str) -> ModuleType:
    if name not in _WHEELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require(name)
    wheel = _WHEELS[name]
    try:
        module = importlib.import_module(name)
        getattr(module, wheel.content)
    except (AttributeError, ImportError, ValueError) as error:  # or another ABI
        raise ImportError(
            f"The package {wheel.name} must be installed as a whole to "
            f"{wheel.purpose}, got: {error}. Mend it: "
            f"pip install --force-reinstall {wheel.name}",
            name=name,
        ) from error
    return module


def require(name: str) -> None:
    """Requires that a module is installed, and does not import it.

    Raises:
      ModuleNotFoundError: If it is not; says what installs it.
    """
    if importlib.util.find_spec(name) is None:
        wheel = _WHEELS[name]
        package, where = wheel.name, ""
        if wheel.extra:  # this package itself is on no index
            package, where = f"'.[{wheel.extra}]'", " in a clone of kinetics_clips"
        raise ModuleNotFoundError(
            f"{wheel.title or wheel.name} is not installed: it is needed to "
            f"{wheel.purpose}. Install it: pip install {package}{where}.",
            name=name,
        )


def work_alone() -> None:
    """Makes OpenCV do without threads, as in a process that was forked.

    It shares the work of a large frame with threads that the fork has not copied, and
    now and then waits for them for ever.
    """
    set_num_threads = getattr(sys.modules.get("cv2"), "setNumThreads", None)
    if set_num_threads:  # there, and whole
        set_num_threads(0)  # 1 would wait for those threads to end


os.register_at_fork(after_in_child=work_alone)
