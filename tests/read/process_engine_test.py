import concurrent.futures
import gc
import logging
import multiprocessing
import os
import pickle
import shutil
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
from kinetics_clips.read import decoding_pool, process_engine
from kinetics_clips.read.decoding_pool import DecodingPool
from kinetics_clips.read.decoding_process import MARK
from kinetics_clips.read.decoding_task import Source
from kinetics_clips.read.process_engine import ProcessEngine
from kinetics_clips.store.frame_index import FrameIndex, FrameIndexError

SPEC = ClipSpec(length=20, crop=64)


@pytest.fixture
def engine() -> ProcessEngine:
    return wait_for_processes()


@pytest.fixture(scope="module")
def spare_pools() -> list[DecodingPool]:
    """Pools that tests have left behind in order: to start one takes a second."""
    return []


@pytest.fixture
def own_engine(spare_pools, monkeypatch):
    """Processes of the test alone, which it may kill; who waits for them soon knows."""
    for module in (decoding_pool, process_engine):
        monkeypatch.setattr(module, "PATIENCE", 0.2)
    pool = spare_pools.pop() if spare_pools else DecodingPool(2)
    if not pool.deaths and not pool.are_ready():
        pool.start()
        end = time.monotonic() + 60
        while not pool.are_ready():
            assert time.monotonic() < end
            time.sleep(0.01)
    yield ProcessEngine(pool)
    if pool.deaths or not pool.are_ready():
        pool.close_inherited()
    else:
        spare_pools.append(pool)


def pids(engine: ProcessEngine) -> list[int]:
    return [process.pid for process in engine.pool._processes.values()]


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
    gc.collect()  # what other tests of these processes have left
    own_engine.pool._tell_forgotten()
    source = Source([index], ClipSpec(length=8))
    for key in range(30):
        own_engine.read(source, [(0, 0)], key)
    assert len(own_engine.pool._things) <= 3  # a source, a channel, a batch
    del source
    gc.collect()
    large = Source([index], ClipSpec(length=400))
    kept = [own_engine.read(large, [(0, 0)], key) for key in range(7)]
    del kept, large
    gc.collect()
    own_engine.pool._tell_forgotten()
    assert len(own_engine.pool._things) <= 2 + process_engine._MAX_FREE


@pytest.mark.slow
def test_sources_that_are_gone_again_disturb_no_process(index, own_engine):
    """One that has had no task for a while hears late of what came and went."""
    for key in range(30):
        source = Source([index], ClipSpec(length=4 + key))
        assert_right(own_engine.read(source, [(0, 0)], key), 1)
        del source
    source = Source([index], ClipSpec(length=8))
    for key in range(10):
        assert_right(own_engine.read(source, [(0, 0), (0, 1)] * 8, key), 16)
    assert not own_engine.pool.deaths


def test_a_process_that_is_killed_costs_nothing(index, own_engine, caplog):
    source = Source([index], ClipSpec(length=8))
    own_engine.read(source, [(0, 0)], 0)
    for number, victim in enumerate(pids(own_engine)):
        os.kill(victim, signal.SIGKILL)
        videos = [(0, video % 3) for video in range(9)]
        assert_right(own_engine.read(source, videos, number), 9)
    assert "A process that decodes has ended (exit code -9)" in caplog.text
    assert len(pids(own_engine)) == 2


class DeadlyIndex(FrameIndex):
    """An index that ends the process which reads its first video."""

    def read(self, video, *args):
        if video == 0 and MARK in sys.orig_argv:
            os._exit(7)
        return super().read(video, *args)

    def __reduce__(self):
        return DeadlyIndex, (self.path,)


@pytest.mark.slow
def test_a_clip_that_ends_every_process_is_an_error(index, own_engine):
    source = Source([DeadlyIndex(index.path)], ClipSpec(length=8))
    with pytest.raises(RuntimeError, match=r"^2 processes that decode have ended, one"):
        own_engine.read(source, [(0, 1), (0, 0), (0, 2)], 5)
    assert_right(own_engine.read(source, [(0, 1), (0, 2)], 5), 2)


@pytest.mark.slow
def test_others_batches_outlive_a_deadly_clip(index, own_engine):
    """In threads of their own, as tf.data reads them."""
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
    monkeypatch.setattr(process_engine, "_engines", {})
    source = ClipSource("kinetics_clips/folder", "train", SPEC, data_dir=data_dir)
    end = time.monotonic() + 30
    with caplog.at_level(logging.WARNING):
        while "Threads decode" not in caplog.text:
            assert source.batch([0, 1])["video"].shape == (2, 20, 64, 64, 3)
            assert time.monotonic() < end
    assert "one cannot start (exit code 1)" in caplog.text
    assert process_engine.of_this_process(2) is None
    assert caplog.text.count("Threads decode") == 1


@pytest.mark.slow
def test_a_batch_may_have_any_number_of_clips(index, own_engine):
    source = Source([index], ClipSpec(length=1))
    for num_clips in (1, 700, 3000):
        decoded = own_engine.read(source, [(0, 0)] * num_clips, num_clips)
        assert_right(decoded, num_clips)


@pytest.mark.slow
def test_batches_that_are_kept_need_no_end_of_files(data_dir):
    script = (
        SCRIPT
        + """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
kept = [source.batch([0, 1]) for _ in range(150)]
from kinetics_clips.command.synthetic import read_number
for batch in kept:
    for video, frames in zip(batch["video"], batch["frame_indices"]):
        assert [read_number(frame) for frame in video] == frames.tolist()
print(process_engine.of_this_process(2) is engine)
"""
    )
    done = run_script(script, str(data_dir))
    assert done.stdout.splitlines()[-1] == "True", done.stderr


def test_a_process_that_cannot_be_replaced_leaves_it_to_threads(
    index, own_engine, monkeypatch, caplog
):
    source = Source([index], ClipSpec(length=8))

    def fail(slot):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(own_engine.pool, "_start", fail)
    os.kill(pids(own_engine)[0], signal.SIGKILL)
    os.kill(pids(own_engine)[1], signal.SIGKILL)
    assert own_engine.read(source, [(0, 0), (0, 1)], 3) is None
    assert not own_engine.pool.are_ready()
    assert "Threads decode, and no processes: [Errno 11] Resource" in caplog.text


@pytest.mark.slow
def test_who_is_interrupted_leaves_the_replacement_to_others(
    index, own_engine, monkeypatch
):
    source = Source([index], ClipSpec(length=8))

    def interrupted(slot):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(own_engine.pool, "_start", interrupted)
    for pid in pids(own_engine):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        own_engine.read(source, [(0, 0)], 1)
    assert_right(own_engine.read(source, [(0, 0), (0, 1)], 2), 2)


@pytest.mark.slow
def test_replacements_that_cannot_start_leave_it_to_threads(
    index, own_engine, monkeypatch, caplog
):
    source = Source([index], ClipSpec(length=8))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    for pid in pids(own_engine):
        os.kill(pid, signal.SIGKILL)
    assert own_engine.read(source, [(0, 0)], 3) is None
    assert "one cannot start (exit code 1)" in caplog.text


def test_a_process_that_dies_in_its_sleep_is_replaced(own_engine):
    before = pids(own_engine)
    os.kill(before[0], signal.SIGKILL)
    end = time.monotonic() + 60
    while not own_engine.pool.are_ready() or before[0] in pids(own_engine):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert before[1] in pids(own_engine)


@pytest.mark.slow
def test_a_late_process_does_not_write_into_what_was_returned(index, own_engine):
    source = Source([index], ClipSpec(length=64))
    stopped, killed = pids(own_engine)
    videos = [(0, video % 3) for video in range(12)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        os.kill(stopped, signal.SIGSTOP)
        result = pool.submit(own_engine.read, source, videos, 0)
        time.sleep(0.05)
        os.kill(killed, signal.SIGKILL)
        # The stopped one may have a task, which nobody else is given: go on.
        time.sleep(2)
        os.kill(stopped, signal.SIGCONT)
        decoded = result.result(timeout=60)
    assert_right(decoded, 12)
    decoded.video[:] = 7
    own_engine.read(source, videos, 1)
    assert (decoded.video == 7).all()


def test_a_forked_process_keeps_the_batch_that_it_has(index, engine):
    source = Source([index], ClipSpec(length=8))
    batch = engine.read(source, [(0, 0), (0, 1)], 1).video
    expected = batch.copy()
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.read(ours, 1)
        os._exit(0 if (batch == expected).all() else 1)
    del batch
    for key in range(2, 12):
        engine.read(source, [(0, 0), (0, 1)], key)
    os.write(theirs, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(ours)
    os.close(theirs)


def test_an_index_that_is_gone_is_an_error_of_its_own_clips(
    index, own_engine, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(index.path.parent, copy)
    gone = Source([FrameIndex(copy / index.path.name)], ClipSpec(length=8))
    (copy / index.path.name).unlink()
    (error,) = set(map(type, own_engine.read(gone, [(0, 0)], 1).errors.values()))
    assert issubclass(error, FrameIndexError)
    good = Source([index], ClipSpec(length=8))
    assert_right(own_engine.read(good, [(0, 0), (0, 1)], 1), 2)
    assert not own_engine.pool.deaths


def test_a_default_timeout_of_sockets_is_not_ours(data_dir):
    script = "import socket; socket.setdefaulttimeout(0.01)" + SCRIPT
    script += "for _ in range(20): source.batch(range(3))\nprint(engine.pool.deaths)"
    done = run_script(script, str(data_dir))
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.slow
def test_a_short_program_ends_without_a_word(data_dir):
    script = """
import sys, kinetics_clips
name = "kinetics_clips/folder"
source = kinetics_clips.ClipSource(name, "train", data_dir=sys.argv[1])
source.batch([0])
"""
    for _ in range(3):
        done = run_script(script, str(data_dir))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells ignore it
import kinetics_clips
from kinetics_clips.read import process_engine
source = kinetics_clips.ClipSource(
    "kinetics_clips/folder", "train", kinetics_clips.ClipSpec(length=64),
    data_dir=sys.argv[1],
)
while not (engine := process_engine.of_this_process(2)):
    time.sleep(0.01)
source._num_threads = 2
print(*(process.pid for process in engine.pool._processes.values()), flush=True)
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("end", ["killed", "done", "interrupted"])
def test_no_process_outlives_its_parent(data_dir, end):
    goes_on = "" if end == "done" else "while True: source.batch(range(3))"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT + goes_on, str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            children = [int(word) for word in run.stdout.readline().split()]
            assert len(children) == 2
            if end != "done":
                time.sleep(0.3)
                run.send_signal(signal.SIGKILL if end == "killed" else signal.SIGINT)
            _, err = run.communicate(timeout=60)
        finally:
            run.kill()
    assert ("KeyboardInterrupt" in err) == (end == "interrupted")
    limit = time.monotonic() + 30
    while not all(map(gone, children)):
        assert time.monotonic() < limit, "a process is left over"
        time.sleep(0.02)
    # Others may leave names there meanwhile; this has none of the processes' own.
    ours = tuple(map(str, (run.pid, *children)))
    assert not [n for n in os.listdir("/dev/shm") if any(pid in n for pid in ours)]


@pytest.mark.slow
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
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/train.py"
    added = f"import pathlib, sys; sys.path.append(pathlib.Path({str(tmp_path)!r}))\n"
    script.write_text(added + SCRIPT + "print(source.batch([0, 1])['video'].shape)\n")
    for name in ("json", "numpy", "signal"):  # where it runs, and not where it lies
        (tmp_path / f"{name}.py").write_text("raise ImportError('not this one')")
    done = subprocess.run(
        [sys.executable, script, str(data_dir)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[-1] == "(2, 64, 96, 128, 3)"
