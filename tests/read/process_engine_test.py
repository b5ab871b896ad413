import gc
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import numbers, wait_for_processes
from processes import run_script

from kinetics_clips import ClipSource, ClipSpec
from kinetics_clips.read import decoding_process, process_engine
from kinetics_clips.read.decoding_process import MARK, Source
from kinetics_clips.read.process_engine import Processes
from kinetics_clips.store.frame_index import FrameIndex

SPEC = ClipSpec(length=20, crop=64)


@pytest.fixture
def engine() -> Processes:
    return wait_for_processes()


@pytest.fixture
def own_engine():
    """Processes of the test alone, which it may kill."""
    engine = Processes(2)
    engine.start()
    end = time.monotonic() + 60
    while not engine.are_ready():
        assert time.monotonic() < end
        time.sleep(0.01)
    yield engine
    engine.close()


def pids(engine: Processes) -> list[int]:
    return [child.process.pid for child in engine._children.values()]


def assert_right(decoded, num_clips: int) -> None:
    assert not decoded.errors
    assert len(decoded.video) == num_clips
    for clip, frames in zip(decoded.video, decoded.frame_indices, strict=True):
        assert numbers(clip[0]) == frames[0].tolist()


def test_a_batch_is_divided_among_the_processes(index, own_engine):
    spec = ClipSpec(length=64)  # whose frames are numbered
    for videos in ([0], [2, 0, 1], [1] * 40):
        decoded = own_engine.read(Source([index], spec), [(0, v) for v in videos], 3)
        assert_right(decoded, len(videos))
    ends = [index.num_frames(video) for video in (2, 0, 1)]
    assert len(set(ends)) > 1  # some wrap


def test_a_batch_is_not_written_to_while_it_is_referred_to(index, engine):
    source = Source([index], ClipSpec(length=8))
    batches = [engine.read(source, [(0, 0), (0, 1)], key) for key in range(12)]
    for decoded in batches:
        assert_right(decoded, 2)
    parts = [decoded.video[1, 0, 3:] for decoded in batches]
    expected = [part.copy() for part in parts]
    del batches, decoded
    gc.collect()
    for key in range(12, 24):
        engine.read(source, [(0, 0), (0, 1)], key)
    np.testing.assert_array_equal(parts, expected)


def test_memory_is_used_again_and_forgotten_when_it_is_not(index, own_engine):
    source = Source([index], ClipSpec(length=8))
    for key in range(30):
        own_engine.read(source, [(0, 0)], key)
    assert len(own_engine._things) <= 3  # a source, a channel, a batch
    del source
    gc.collect()
    large = Source([index], ClipSpec(length=400))
    kept = [own_engine.read(large, [(0, 0)], key) for key in range(7)]
    del kept, large
    gc.collect()
    own_engine._tell_forgotten()
    assert len(own_engine._things) <= 2 + process_engine._MAX_FREE


def test_a_process_that_is_killed_costs_nothing(index, own_engine, caplog):
    source = Source([index], ClipSpec(length=8))
    own_engine.read(source, [(0, 0)], 0)
    for number, victim in enumerate(pids(own_engine)):
        os.kill(victim, signal.SIGKILL)
        videos = [(0, video % 3) for video in range(9)]
        assert_right(own_engine.read(source, videos, number), 9)
    assert "A process that decodes has ended (exit code -9)" in caplog.text
    assert len(own_engine._children) == 2


class DeadlyIndex(FrameIndex):
    """An index that ends the process which reads its first video."""

    def read(self, video, *args):
        if video == 0 and MARK in sys.orig_argv:
            os._exit(7)
        return super().read(video, *args)

    def __reduce__(self):
        return DeadlyIndex, (self.path,)


def test_a_clip_that_ends_every_process_is_an_error(index, own_engine):
    source = Source([DeadlyIndex(index.path)], ClipSpec(length=8))
    with pytest.raises(RuntimeError, match=r"got 2 that ended one after the other at"):
        own_engine.read(source, [(0, 1), (0, 0), (0, 2)], 5)
    assert_right(own_engine.read(source, [(0, 1), (0, 2)], 5), 2)


def test_others_batches_outlive_a_deadly_clip(index, own_engine):
    """In threads of their own, as tf.data reads them."""
    import concurrent.futures

    deadly = Source([DeadlyIndex(index.path)], ClipSpec(length=8))
    good = Source([index], ClipSpec(length=8))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        bad = pool.submit(own_engine.read, deadly, [(0, 0)], 0)
        others = [
            pool.submit(own_engine.read, good, [(0, 0), (0, 1), (0, 2)], key)
            for key in range(12)
        ]
    for other in others:
        assert_right(other.result(), 3)
    with pytest.raises(RuntimeError, match="at the same clip"):
        bad.result()


def test_processes_that_cannot_start_leave_it_to_threads(monkeypatch, data_dir, caplog):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(process_engine, "_pools", {})
    source = ClipSource("kinetics_clips/folder", "train", SPEC, data_dir=data_dir)
    end = time.monotonic() + 30
    with caplog.at_level(logging.WARNING):
        while "Threads decode" not in caplog.text:
            assert source.batch([0, 1])["video"].shape == (2, 20, 64, 64, 3)
            assert time.monotonic() < end
    assert "one cannot start (exit code 1)" in caplog.text
    assert process_engine.of_this_process(2) is None
    assert caplog.text.count("Threads decode") == 1


def test_an_error_too_large_for_its_place_says_what_fits():
    errors = np.zeros((1, 2048), np.uint8)
    decoding_process._put_error(errors[0], ValueError("x" * 100_000))
    error = decoding_process.error_of(errors[0])
    assert isinstance(error, RuntimeError)
    assert str(error).startswith("ValueError: xxx")


SCRIPT = """
import os, sys, time
import kinetics_clips
from kinetics_clips.read import process_engine
source = kinetics_clips.ClipSource(
    "kinetics_clips/folder", "train", kinetics_clips.ClipSpec(length=64),
    data_dir=sys.argv[1],
)
while not (engine := process_engine.of_this_process(2)):
    time.sleep(0.01)
source._num_threads = 2
print(*(child.process.pid for child in engine._children.values()), flush=True)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("end", ["killed", "done", "interrupted"])
def test_no_process_outlives_its_parent(data_dir, end):
    names = set(os.listdir("/dev/shm"))
    goes_on = "" if end == "done" else "while True: source.batch(range(3))"
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + goes_on, str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = [int(word) for word in run.stdout.readline().split()]
    assert len(children) == 2
    if end != "done":
        time.sleep(0.3)
        run.send_signal(signal.SIGKILL if end == "killed" else signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert ("KeyboardInterrupt" in err) == (end == "interrupted")
    limit = time.monotonic() + 30
    while not all(map(gone, children)):
        assert time.monotonic() < limit, "a process is left over"
        time.sleep(0.02)
    assert set(os.listdir("/dev/shm")) <= names


def test_ctrl_c_in_a_batch_leaves_the_next_ones_right(data_dir):
    script = (
        SCRIPT
        + """
import _thread, threading
from kinetics_clips.command.synthetic import read_number
interrupted = 0
for attempt in range(30):
    timer = threading.Timer(0.002 * attempt, _thread.interrupt_main)
    try:
        timer.start()
        for _ in range(4):
            source.batch(range(3))
        time.sleep(1)
    except KeyboardInterrupt:
        interrupted += 1
    batch = source.batch(range(3))
    for video, frames in zip(batch["video"], batch["frame_indices"]):
        assert [read_number(frame) for frame in video] == frames.tolist()
print(interrupted)
"""
    )
    done = run_script(script, str(data_dir))
    assert done.stdout.splitlines()[-1] == "30", done.stderr


def in_another_process(source: ClipSource, queue) -> None:
    shape = source.batch([0, 1])["video"].shape
    queue.put((shape, len(psutil.Process().children())))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_of_others_has_no_processes(data_dir, engine, method):
    source = ClipSource("kinetics_clips/folder", "train", SPEC, data_dir=data_dir)
    source.batch([0])
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=in_another_process, args=(source, queue))
    process.start()
    assert queue.get(timeout=60) == ((2, 20, 64, 64, 3), 0)
    process.join()
    assert source.batch([0])["video"].shape == (1, 20, 64, 64, 3)


def test_a_source_that_has_processes_can_be_pickled(data_dir, engine):
    source = ClipSource("kinetics_clips/folder", "train", SPEC, 3, data_dir=data_dir)
    before = source.batch([0, 1])
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.batch([0, 1])["video"], before["video"])


def test_a_script_needs_no_guard(data_dir, tmp_path):
    """None of what stands in it runs again in the processes."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT + "print(source.batch([0, 1])['video'].shape)\n")
    (tmp_path / "numpy.py").write_text("raise ImportError('not this one')")
    done = subprocess.run(
        [sys.executable, "-P", script, str(data_dir)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[-1] == "(2, 64, 96, 128, 3)"
