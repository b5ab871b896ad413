import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips.read.clip_sampler import ClipSampler


class Source:
    """As much of a source as a sampler asks for."""

    def __init__(self, num_videos: int):
        self.num_videos = num_videos
        self.epochs: list[int] = []

    def __len__(self) -> int:
        return self.num_videos

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def samplers(num_videos, count, **options) -> list[ClipSampler]:
    return [
        ClipSampler(Source(num_videos), shard=(index, count), **options)
        for index in range(count)
    ]


def steps(hosts: list[ClipSampler]) -> list[set[int]]:
    """The clips of each step of a pass, of all hosts together."""
    return [set(itertools.chain(*batches)) for batches in zip(*hosts, strict=True)]


def test_every_pass_is_a_new_epoch_of_all_videos():
    source = Source(50)
    sampler = ClipSampler(source, seed=3)
    passes = [list(sampler) for _ in range(3)]
    assert source.epochs == [0, 1, 2]
    assert all(sorted(one) == list(range(50)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert list(ClipSampler(Source(50), seed=3)) == passes[0]
    assert list(ClipSampler(Source(50), seed=4)) != passes[0]


@given(st.integers(1, 200), st.integers(1, 12), st.booleans())
def test_batches_are_the_indices_in_groups(num_videos, size, drop):
    single = list(ClipSampler(Source(num_videos)))
    sampler = ClipSampler(Source(num_videos), batch_size=size, drop_remainder=drop)
    length = len(sampler)
    batches = list(sampler)
    assert length == len(batches)
    together = list(itertools.chain(*batches))
    assert together == single[: len(together)]
    lost = num_videos - len(together)
    assert lost == (num_videos % size if drop else 0)


@pytest.mark.parametrize("num_videos", [256, 1000, 1023])
def test_a_step_holds_the_same_clips_on_any_number_of_hosts(num_videos):
    alone = steps(samplers(num_videos, 1, batch_size=64, drop_remainder=True))
    for count in (2, 4, 8):
        size = 64 // count
        hosts = samplers(num_videos, count, batch_size=size, drop_remainder=True)
        assert steps(hosts) == alone


@given(
    num_videos=st.integers(20, 150),
    before=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    after=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    num_steps=st.integers(0, 4),
    num_epochs=st.integers(0, 2),
)
def test_a_run_goes_on_with_any_hosts_and_batches(
    num_videos, before, after, num_steps, num_epochs
):
    """No clip of the epoch comes twice, and none is left out but at its very end."""
    hosts = samplers(num_videos, before[0], batch_size=before[1], seed=7)
    for _ in range(num_epochs):
        steps(hosts)
    running = [iter(host) for host in hosts]
    seen = []
    for _ in range(min(num_steps, len(hosts[0]))):
        for host in running:
            seen += next(host)
    if not seen:
        return
    (state,) = {tuple(host.state_dict().items()) for host in hosts}
    others = samplers(num_videos, after[0], batch_size=after[1], seed=7)
    for other in others:
        other.load_state_dict(dict(state))
    rest = list(itertools.chain(*steps(others)))
    if dict(state)["epoch"] > num_epochs:  # that was the whole epoch
        assert len(seen) > num_videos - before[0]
        return
    assert others[0]._source.epochs == [num_epochs]
    assert not set(seen) & set(rest)
    assert len(seen) + len(rest) > num_videos - after[0]


def test_a_loader_that_reads_ahead_says_what_was_used():
    sampler = ClipSampler(Source(40), batch_size=4)
    running = iter(sampler)
    batches = [next(running) for _ in range(6)]
    other = ClipSampler(Source(40), batch_size=4)
    other.load_state_dict(sampler.state_dict(num_batches=2))
    assert list(itertools.islice(other, 4)) == batches[2:]
    assert len(ClipSampler(Source(40), batch_size=4)) == 10


@pytest.mark.parametrize("num_videos", [10, 12])
def test_after_an_epoch_comes_the_next(num_videos):
    sampler = ClipSampler(Source(num_videos), batch_size=5, drop_remainder=True)
    list(sampler)
    state = sampler.state_dict()
    assert (state["epoch"], state["num_clips"]) == (1, 0)
    other = ClipSampler(Source(num_videos), batch_size=5, drop_remainder=True)
    other.load_state_dict(state)
    assert list(other) == list(sampler) != []


def test_a_state_of_other_videos_is_refused():
    state = ClipSampler(Source(10), seed=1).state_dict()
    with pytest.raises(ValueError, match=r"with seed=2, got \{'epoch': 0.*'seed': 1"):
        ClipSampler(Source(10), seed=2).load_state_dict(state)
    with pytest.raises(ValueError, match=r"with num_videos=11, got"):
        ClipSampler(Source(11), seed=1).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1 or None, got 0"),
        ({"shard": (2, 2)}, r"`shard` must be .* got \(2, 2\)"),
        ({"shard": (-1, 2)}, r"`shard` must be .* got \(-1, 2\)"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ClipSampler(Source(3), **options)
