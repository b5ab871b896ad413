"""Tells, once in a process, that Grain repeats the clips of a source with a seed.

Such a source draws other clips when `set_epoch` is called. Grain has nothing that could
call it: it asks for `source[i]` with the same `i` in every epoch, from threads and
processes that read ahead, so that no moment lies between two epochs. But its frames on
the stack hold the index that `i` is made of, which counts on from epoch to epoch.

That index tells an epoch of which Grain's users expect other clips from passes that
have to be the same: over a validation set, or from a state that was restored, it begins
anew. To count how often each `i` is asked for would take one for the other.

To draw clips by that index would be right, until Grain changes the names of its own
that are used here. Without a hint, no clip changes.
"""

import logging
import sys
import types
from collections.abc import Sized

_log = logging.getLogger(__name__)

# Of `MapDataset.source` and of `DataLoader`. In other modules `index` may be that of a
# mixture, which is longer than each of its sources.
_MODULES = (
    "grain._src.python.dataset.transformations.source",
    "grain._src.python.data_loader",
)

_hints = [True]  # whichever of Grain's threads takes it, tells


def tell(source: Sized) -> None:
    """Tells it, if Grain asks for a clip of its second epoch or a later one.

    Args:
      source: The source that is asked for a clip. It has a seed, and is in epoch 0.
    """
    if not _hints or "grain" not in sys.modules or not _is_repeated(len(source)):
        return
    try:
        _hints.pop()
    except IndexError:
        return
    _log.warning(
        "Grain gets the same windows from %r in every epoch, as it does not call "
        "`set_epoch`. For new ones, let Grain draw them with `source.sample`: "
        "`grain.MapDataset.range(len(source)).random_map(source.sample, seed=0)`. "
        "Without a seed, the source draws anew at every access.",
        source,
    )


def _is_repeated(num_videos: int) -> bool:
    """Returns whether one of the callers is Grain, in an epoch after its first."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__") in _MODULES:
            index = frame.f_locals.get("index")
            if isinstance(index, int) and index >= num_videos:
                return True
        frame = frame.f_back
    return False
