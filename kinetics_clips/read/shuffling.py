"""Shuffles: the order of an epoch, what draws in it, and a host's share of it.

Records that are streamed are shuffled in `streaming`.
"""

import hashlib

import numpy as np


def require_shard(shard: tuple[int, int]) -> None:
    """Raises ValueError unless a shard is the index of a host and a number of hosts."""
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            f"`shard` must be (index, count) with 0 <= index < count, got {shard}."
        )


def epoch_key(seed: int, epoch: int) -> int:
    """Returns the key of an epoch, in `[0, 2**63)`: equal only for equal arguments."""
    return int(_hash(b"%d %d" % (seed, epoch))[0]) >> 1


def generator(key: int, video_id: bytes) -> np.random.Generator:
    """Returns what draws the clip of a video in an epoch: a function of both alone."""
    return _generator(b"%d %b" % (key, video_id))


def order(key: int, num_videos: int) -> np.ndarray:
    """Returns the random order of the videos in an epoch, int64 `[num_videos]`."""
    return _generator(b"%d" % key).permutation(num_videos)


def share(order: np.ndarray, shard: tuple[int, int]) -> np.ndarray:
    """Returns the part of an order that a host reads: of all hosts as many videos.

    Batch by batch, the hosts together read the videos in their order, however many
    they are.

    Args:
      order: The videos that all hosts read, in their order.
      shard: Index of the host, and number of hosts.
    """
    index, count = shard
    return order[index::count][: len(order) // count]


def _generator(data: bytes) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=_hash(data)))


def _hash(data: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.blake2b(data, digest_size=16).digest(), np.uint64)
