"""Orders the videos of each epoch, for loaders that ask a source for indices."""

from collections.abc import Iterator
from typing import TypedDict

from kinetics_clips.read import shuffling
from kinetics_clips.read.clip_source import ClipSource


class SamplerState(TypedDict):
    """Where a `ClipSampler` is.

    Attributes:
      epoch: Number of the epoch.
      num_clips: Number of clips of that epoch that all hosts have had together.
      seed: Seed of the order.
      num_videos: Number of videos of the source.
    """

    epoch: int
    num_clips: int
    seed: int
    num_videos: int


class ClipSampler:
    """Indices of a source's videos: every pass is a new epoch, in another order.

        sampler = kinetics_clips.ClipSampler(source, batch_size=8, seed=0)
        loader = DataLoader(source, sampler=sampler, batch_size=None, num_workers=4)

    The order of an epoch is a function of the seed and the epoch alone, and so is which
    clips are in a step: on 1, 2 or 8 hosts, step `s` of a global batch of 256 holds the
    same 256 clips. Each pass begins with `source.set_epoch`, so that a source with a
    seed draws other windows in each; this reaches workers that stay from pass to pass.

    Args:
      source: The `ClipSource` that is indexed.
      batch_size: Number of clips of a batch of this host. Defaults to None: single
        indices, for loaders that make batches of their own.
      seed: Seed of the order. Defaults to 0.
      shard: Index of this host, and number of hosts that share the work. Each gets its
        own videos, and all as many: at most `count - 1` videos of an epoch are left
        out. Defaults to (0, 1).
      drop_remainder: Whether an epoch's last batch is left out when it is not full.
        Defaults to False.

    Raises:
      ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        source: ClipSource,
        batch_size: int | None = None,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        drop_remainder: bool = False,
    ):
        if batch_size is not None and batch_size < 1:
            raise ValueError(
                f"`batch_size` must be at least 1 or None, got {batch_size}."
            )
        shuffling.require_shard(shard)
        self._source, self._batch_size, self._seed = source, batch_size, seed
        self._index, self._count = shard
        self._drop_remainder = drop_remainder
        # Epoch, and number of its clips that all hosts have had: of the next pass, and
        # of where this one began; and how many clips it has given to this host.
        self._next = self._began = (0, 0)
        self._num_given = 0

    def __len__(self) -> int:
        """Returns how many batches, or indices, the next pass gives."""
        num_clips = (len(self._source) - self._next[1]) // self._count
        if self._batch_size is None:
            return num_clips
        full, rest = divmod(num_clips, self._batch_size)
        return full + (rest > 0 and not self._drop_remainder)

    def __iter__(self) -> Iterator[int | list[int]]:
        """Begins the next epoch, or goes on in the one of `load_state_dict`."""
        num_steps = len(self)
        epoch, done = self._began = self._next
        self._next, self._num_given = (epoch + 1, 0), 0
        self._source.set_epoch(epoch)
        key = shuffling.epoch_key(self._seed, epoch)
        order = shuffling.order(key, len(self._source))[done:]
        mine = shuffling.share(order, (self._index, self._count)).tolist()
        size = self._batch_size or 1
        for start in range(0, num_steps * size, size):
            batch = mine[start : start + size]
            self._num_given = start + len(batch)
            yield batch if self._batch_size is not None else batch[0]

    def state_dict(self, num_batches: int | None = None) -> SamplerState:
        """Returns where this is, for `load_state_dict` of a later run.

        A run may go on with another number of hosts or workers, and another batch size.

        Args:
          num_batches: Number of batches (of indices, without a `batch_size`) that were
            used since the pass began. Loaders with workers read ahead, so that only the
            training loop knows. Defaults to None: all that this has given.
        """
        epoch, done = self._began
        given = self._num_given
        if num_batches is not None:
            given = num_batches * (self._batch_size or 1)
        share = (len(self._source) - done) // self._count
        done += min(given, share) * self._count
        left = share - given
        if left <= 0 or (self._drop_remainder and left < (self._batch_size or 1)):
            epoch, done = epoch + 1, 0
        return {
            "epoch": epoch,
            "num_clips": done,
            "seed": self._seed,
            "num_videos": len(self._source),
        }

    def load_state_dict(self, state: SamplerState) -> None:
        """Makes the next pass go on where another sampler was.

        Raises:
          ValueError: If that one had another seed, or another number of videos.
        """
        for name, mine in (("seed", self._seed), ("num_videos", len(self._source))):
            if state.get(name) != mine:
                raise ValueError(
                    f"`state` must be of a sampler with {name}={mine}, got {state}: "
                    "the order of its videos was another one."
                )
        self._next = self._began = state["epoch"], state["num_clips"]
        self._num_given = 0
