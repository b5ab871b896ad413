import concurrent.futures
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pebble
import psutil
import pytest
from conftest import workers_of, write_tree
from processes import run_script

from kinetics_clips.write import frames, videos, workers
from kinetics_clips.write.frames import EncodeSettings, VideoError

pytestmark = pytest.mark.usefixtures("own_workers")

SETTINGS = EncodeSettings(short_side=64, jpeg_quality=85)


def find(root: Path, count: int, num_frames: int = 10) -> list[videos.Video]:
    write_tree(root, "train", {f"a/{i:03d}": num_frames for i in range(count)})
    return videos.find(root, "folder").splits[0].videos


def test_encode_all_yields_each_video_once(tmp_path):
    to_encode = find(tmp_path, 12)
    (tmp_path / "train/a/003.mp4").write_bytes(b"")
    (tmp_path / "train/a/004.mp4").write_text("ffconcat version 1.0\nfile 005.mp4\n")
    results = {
        video.annotation.video_id: result
        for video, result in workers.encode_all(to_encode, SETTINGS, num_workers=2)
    }
    assert sorted(results) == [f"a/{i:03d}" for i in range(12)]
    errors = {k: v.reason for k, v in results.items() if isinstance(v, VideoError)}
    # A list of other files is no video, though FFmpeg would play it.
    assert errors == {"a/003": "empty", "a/004": "not a video"}
    whole = frames.encode(tmp_path / "train/a/000.mp4", SETTINGS)
    assert results["a/000"] == whole


@pytest.mark.slow
def test_encode_all_takes_videos_only_as_it_needs_them(tmp_path):
    to_encode = find(tmp_path, 30)
    taken = []
    source = (taken.append(video) or video for video in to_encode)
    with contextlib.closing(workers.encode_all(source, SETTINGS, 2)) as results:
        next(results)
        time.sleep(1.0)
        assert len(taken) <= 2 * workers._IN_FLIGHT


def test_a_pool_keeps_its_workers_until_it_is_closed(tmp_path):
    to_encode = find(tmp_path, 4)
    with workers.Pool(1) as pool:
        assert len(list(pool.encode_all(to_encode, SETTINGS))) == 4
        (worker,) = workers_of(psutil.Process())
        assert len(list(pool.encode_all(to_encode, SETTINGS))) == 4
        with contextlib.closing(pool.encode_all(to_encode, SETTINGS, 1)) as results:
            next(results)  # and no other video is begun
        assert workers_of(psutil.Process()) == [worker]
        pool.close()
        assert not workers_of(psutil.Process())
        assert len(list(pool.encode_all(to_encode, SETTINGS))) == 4
    assert not workers_of(psutil.Process())


def test_what_a_pool_still_encodes_never_comes_out_of_the_next_call(tmp_path):
    to_encode = find(tmp_path, 8)
    with workers.Pool(1) as pool:
        left = pool.encode_all(to_encode[:4], SETTINGS)
        next(left)
        results = pool.encode_all(to_encode[4:], SETTINGS)
        next(results)
        left.close()  # as late as the garbage collector may
        rest = [video for video, _ in results]
        assert len(rest) == 3 and all(video in to_encode[4:] for video in rest)


def test_ctrl_c_meets_no_lock_of_the_pool(tmp_path):
    """It raises between any two lines that the main thread runs."""
    to_encode = find(tmp_path, 8)
    modules = set()

    def trace(frame, event, argument):
        modules.add(frame.f_globals.get("__name__", ""))

    results = workers.encode_all(to_encode, SETTINGS, 2)
    sys.settrace(trace)  # of this thread alone
    try:
        next(results)
        results.close()
    finally:
        sys.settrace(None)
    assert "kinetics_clips.write.workers" in modules
    roots = {module.partition(".")[0] for module in modules}
    assert not roots & {"pebble", "concurrent", "loky", "multiprocessing"}


def test_encode_all_of_nothing_yields_nothing():
    assert list(workers.encode_all([], SETTINGS, 1)) == []


def test_processes_of_the_caller_are_not_waited_for(monkeypatch):
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        monkeypatch.setattr(workers, "_MAX_START", 1e9)
        assert list(workers.encode_all([], SETTINGS, 1)) == []
        assert child.is_alive()
    finally:
        child.kill()


def test_closing_ends_the_workers(tmp_path):
    results = workers.encode_all(find(tmp_path, 20), SETTINGS, 2)
    next(results)
    running = workers_of(psutil.Process())
    assert running
    results.close()
    _, alive = psutil.wait_procs(running, timeout=10)
    assert not alive


def in_worker() -> bool:
    return "loky" in " ".join(psutil.Process().cmdline())


class CrashingPath(type(Path())):
    """Kills the worker in the middle of a video, as a decoder's bug would."""

    def stat(self, **options):
        if in_worker():
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().stat(**options)


class HangingPath(type(Path())):
    """Holds the worker in the middle of a video for ever."""

    def stat(self, **options):
        while in_worker():
            time.sleep(1)
        return super().stat(**options)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize(
    ("path_type", "reason"), [(CrashingPath, "crash"), (HangingPath, "timeout")]
)
def test_a_crash_or_a_hang_costs_one_video(
    tmp_path, monkeypatch, path_type, reason, num_workers
):
    monkeypatch.setattr(workers, "_DEADLINE", 3.0)
    to_encode = find(tmp_path, 8)
    file = dataclasses.replace(to_encode[2].file, root=path_type(tmp_path))
    bad = dataclasses.replace(to_encode[2], file=file)
    to_encode[2] = bad
    outcomes = {
        video.annotation.video_id: getattr(result, "reason", "stored")
        for video, result in workers.encode_all(to_encode, SETTINGS, num_workers)
    }
    assert outcomes.pop(bad.annotation.video_id) == reason
    assert list(outcomes.values()) == ["stored"] * 7


class RaisingPath(type(Path())):
    """Raises in the worker, in the middle of a video, what a file beside it holds."""

    def stat(self, **options):
        if in_worker():
            raise pickle.loads(Path(f"{self}.error").read_bytes())
        return super().stat(**options)


def with_one_that_raises(root: Path, error: Exception) -> list[videos.Video]:
    to_encode = find(root, 8)
    file = dataclasses.replace(to_encode[2].file, root=RaisingPath(root))
    to_encode[2] = dataclasses.replace(to_encode[2], file=file)
    Path(f"{file.path}.error").write_bytes(pickle.dumps(error))
    return to_encode


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "title"),  # a ValueError
        ZeroDivisionError("of times"),
        NotImplementedError("pal8"),  # a RuntimeError
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_video_may_have_caused_costs_one_video(tmp_path, error):
    outcomes = [
        str(result) if isinstance(result, VideoError) else "stored"
        for _, result in workers.encode_all(
            with_one_that_raises(tmp_path, error), SETTINGS, 2
        )
    ]
    assert sorted(outcomes) == sorted(
        ["stored"] * 7 + [f"crash ({type(error).__name__}: {error})"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        TypeError("takes no such argument"),
        AttributeError("has no such attribute"),
        NameError("is not defined"),
        ModuleNotFoundError("No module named 'cv2'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_video_can_have_caused_ends_the_build(tmp_path, error):
    to_encode = with_one_that_raises(tmp_path, error)
    with pytest.raises(type(error), match=str(error)) as raised:
        list(workers.encode_all(to_encode, SETTINGS, 2))
    # Where in the worker it was.
    assert "containers.py" in str(raised.value.__cause__)
    assert not workers_of(psutil.Process())


@pytest.mark.slow
def test_a_bug_that_every_video_meets_ends_the_build_at_once(tmp_path):
    settings = EncodeSettings(short_side="256", jpeg_quality=85)
    start = time.monotonic()
    with pytest.raises(TypeError, match=r"'>' not supported"):
        list(workers.encode_all(find(tmp_path, 300), settings, 2))
    assert time.monotonic() - start < 60
    assert not workers_of(psutil.Process())


@pytest.mark.slow
@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["ahead", "back"])
def test_a_clock_that_jumps_costs_nothing(tmp_path, monkeypatch, step):
    monkeypatch.setattr(workers, "_DEADLINE", 3.0)
    to_encode = find(tmp_path, 8)
    file = dataclasses.replace(to_encode[2].file, root=HangingPath(tmp_path))
    to_encode[2] = dataclasses.replace(to_encode[2], file=file)
    times = itertools.count(1e9, step)
    monkeypatch.setattr(time, "time", lambda: next(times))
    outcomes = [
        getattr(result, "reason", "stored")
        for _, result in workers.encode_all(to_encode, SETTINGS, 2)
    ]
    assert sorted(outcomes) == ["stored"] * 7 + ["timeout"]


@pytest.mark.slow
def test_idle_workers_that_die_cost_nothing(tmp_path):
    to_encode = find(tmp_path, 12)
    results = workers.encode_all(to_encode, SETTINGS, num_workers=1)
    outcomes = [next(results)]
    time.sleep(1.0)  # all that was handed out is done
    for worker in workers_of(psutil.Process()):
        worker.kill()
    time.sleep(0.5)  # the pool has seen it
    outcomes += results
    ids = {video.annotation.video_id for video, _ in outcomes}
    assert len(outcomes) == len(ids) == 12
    assert not any(isinstance(result, VideoError) for _, result in outcomes)


@pytest.mark.slow
def test_a_video_that_breaks_every_pool_costs_one_video(tmp_path, monkeypatch):
    to_encode = find(tmp_path, 8)
    poison = to_encode[2]
    schedule = workers._schedule

    def schedule_and_break(pool, source, settings):
        if source != poison.file.path:
            return schedule(pool, source, settings)
        future = concurrent.futures.Future()
        future.set_exception(BrokenProcessPool("All workers expired"))
        return future

    monkeypatch.setattr(workers, "_schedule", schedule_and_break)
    outcomes = {
        video.annotation.video_id: getattr(result, "reason", "stored")
        for video, result in workers.encode_all(to_encode, SETTINGS, 1)
    }
    assert outcomes.pop(poison.annotation.video_id) == "crash"
    assert list(outcomes.values()) == ["stored"] * 7


@pytest.mark.slow
def test_a_pool_that_breaks_before_it_looks_at_videos_costs_nothing(
    tmp_path, monkeypatch
):
    loops = iter([lambda manager: time.sleep(0.5)])
    loop = pebble.pool.process.task_scheduler_loop
    monkeypatch.setattr(
        pebble.pool.process,
        "task_scheduler_loop",
        lambda manager: next(loops, loop)(manager),
    )
    outcomes = list(workers.encode_all(find(tmp_path, 3), SETTINGS, 1))
    assert len(outcomes) == 3
    assert not any(isinstance(result, VideoError) for _, result in outcomes)
    assert not list(loops)


@pytest.mark.slow
def test_a_pool_that_ends_while_workers_start_says_nothing(tmp_path):
    """Two videos are done long before eight workers are there."""
    to_encode = find(tmp_path, 2)
    script = """
import pickle, sys
from kinetics_clips.write import workers
to_encode, settings = pickle.loads(bytes.fromhex(sys.argv[1]))
print(len(list(workers.encode_all(to_encode, settings, num_workers=8))))
"""
    done = run_script(script, pickle.dumps((to_encode, SETTINGS)).hex())
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.slow
def test_workers_that_never_start_are_an_error(tmp_path, monkeypatch):
    class Deadly:
        """Ends the process that receives it."""

        def __reduce__(self):
            return os._exit, (1,)

    monkeypatch.setattr(workers, "_start", Deadly())
    with pytest.raises(RuntimeError, match=r"died 10 times in a row without"):
        list(workers.encode_all(find(tmp_path, 12), SETTINGS, 1))


READ_ONLY = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
uid = os.getuid()
CLONE_NEWNS, CLONE_NEWUSER, MS_RDONLY = 0x00020000, 0x10000000, 1
if libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) or libc.mount(
    b"none", b"/dev/shm", b"tmpfs", MS_RDONLY, None
):
    raise SystemExit(f"skip: {os.strerror(ctypes.get_errno())}")
"""


def test_a_read_only_place_of_semaphores_is_named(tmp_path):
    find(tmp_path / "videos", 1)
    script = (
        READ_ONLY
        + f"""
import sys
from pathlib import Path
import tensorflow_datasets as tfds
import kinetics_clips
from kinetics_clips.store import indexing
builder = kinetics_clips.Builder(config="folder", data_dir={str(tmp_path)!r})
config = tfds.download.DownloadConfig(manual_dir={str(tmp_path / "videos")!r})
indexing._MIN_PARALLEL_BYTES = 0
def build():
    builder.download_and_prepare(download_config=config)
def index():
    with indexing._in_processes(print, [Path(__file__)] * 2, 2) as results:
        list(results)
__file__ = sys.executable
for call in (build, index):
    try:
        call()
    except OSError as error:
        print(error)
"""
    )
    done = run_script(script)
    if "skip: " in done.stderr:
        pytest.skip(done.stderr)
    problem = "[Errno 30] Read-only file system: '/dev/shm'"
    assert done.stdout.splitlines()[-2:] == [problem] * 2, done.stderr


def test_deadline_grows_with_the_file(tmp_path):
    path = tmp_path / "video.mp4"
    with path.open("wb") as file:
        file.truncate(25_000_000)
    assert workers._deadline(path) == pytest.approx(85)
    assert workers._deadline(tmp_path / "nowhere.mp4") == 60


@pytest.mark.slow
def test_workers_hold_no_tensorflow_and_leave_the_callers_script_alone(tmp_path):
    write_tree(tmp_path / "videos", "train", {f"a/{i}": 60 for i in range(12)})
    script = tmp_path / "script.py"
    # No `if __name__ == "__main__"`, TensorFlow first: what people write.
    script.write_text(
        textwrap.dedent(
            f"""
            print("SCRIPT RUNS")
            import tensorflow as tf
            tf.constant(1) + 1
            import threading, time
            import psutil
            import tensorflow_datasets as tfds
            import kinetics_clips

            seen = {{}}
            done = threading.Event()

            def watch():
                while not done.is_set():
                    for child in psutil.Process().children(recursive=True):
                        try:
                            maps = [m.path for m in child.memory_maps()]
                            seen[child.pid] = (
                                any("tensorflow/" in path for path in maps),
                                any("google/_upb" in path for path in maps),
                                any("cv2" in path for path in maps),
                            )
                        except psutil.Error:
                            continue  # it has ended
                    time.sleep(0.01)

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            tfds.load(
                "kinetics_clips/folder",
                data_dir={str(tmp_path / "data")!r},
                download_and_prepare_kwargs={{
                    "download_config": tfds.download.DownloadConfig(
                        manual_dir={str(tmp_path / "videos")!r}
                    )
                }},
            )
            done.set()
            watcher.join()
            print("WITH TENSORFLOW", sum(tf for tf, _, _ in seen.values()))
            print("WITH TFDS", sum(upb for _, upb, _ in seen.values()))  # its protobuf
            print("WITH OPENCV", sum(cv2 for _, _, cv2 in seen.values()) > 0)
            print("LEFT", len([
                child for child in psutil.Process().children(recursive=True)
                if "resource_tracker" not in " ".join(child.cmdline())
            ]))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("SCRIPT RUNS") == 1
    assert "WITH TENSORFLOW 0" in lines
    assert "WITH TFDS 0" in lines
    assert "WITH OPENCV True" in lines  # the watcher did see workers
    assert "LEFT 0" in lines
