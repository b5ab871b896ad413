"""Hints on the epochs of Grain, which need no Grain here: `recipes_test.py` has it."""

import logging
import sys
import threading
import types

import pytest

from kinetics_clips import ClipSampler, ClipSource, ClipSpec
from kinetics_clips.read import repeats

LOADER = "grain._src.python.data_loader"


@pytest.fixture(autouse=True)
def hints(monkeypatch) -> None:
    monkeypatch.setattr(repeats, "_hints", [True])
    monkeypatch.setitem(sys.modules, "grain", types.ModuleType("grain"))


@pytest.fixture
def seeded(data_dir) -> ClipSource:
    spec = ClipSpec(length=4)
    return ClipSource("kinetics_clips/folder", "train", spec, seed=0, data_dir=data_dir)


def reader_of(module: str):
    """Returns what reads as a module of such a name would, by an index that counts on.

    Others may be in between, as what a user wraps a source into.
    """
    names = {"__name__": module}
    exec("def read(get, index, length): return get(index % length)", names)
    return names["read"]


@pytest.mark.parametrize("module", repeats._MODULES)
def test_a_second_epoch_of_grain_is_told_of_once(seeded, caplog, module):
    read, length = reader_of(module), len(seeded)
    for index in range(length):
        read(seeded.__getitem__, index, length)
    assert not caplog.records
    for index in range(length, 3 * length):
        read(lambda i: seeded[i], index, length)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"the same windows from {seeded!r} in every epoch" in record.message


def test_one_of_many_threads_tells(seeded, caplog):
    read, length = reader_of(LOADER), len(seeded)
    threads = [
        threading.Thread(target=read, args=(seeded.__getitem__, index, length))
        for index in range(length, length + 16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 1


def test_who_repeats_clips_on_purpose_is_told_nothing(seeded, data_dir, caplog):
    read, length = reader_of(LOADER), len(seeded)
    index = length  # which is of this test, and not of Grain
    for _ in range(3):
        for i in range(length):
            read(seeded.__getitem__, i, length)
            assert seeded[index % length]["video_id"]
        list(seeded)
        seeded.batch(range(length))
    mixed = reader_of("grain._src.python.dataset.transformations.mix")
    mixed(seeded.__getitem__, length, length)
    for _ in range(2):
        for i in ClipSampler(seeded):
            seeded[i]
    seeded.set_epoch(1)
    read(seeded.__getitem__, length, length)
    unseeded = ClipSource(
        "kinetics_clips/folder", "train", ClipSpec(length=4), data_dir=data_dir
    )
    read(unseeded.__getitem__, length, length)
    assert not caplog.records
