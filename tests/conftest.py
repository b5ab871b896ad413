"""Fixtures: small videos whose frames carry their own number, and a dataset of them."""

import collections
import contextlib
import csv
import gc
import importlib.util
import os
import shutil
import struct
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import hypothesis
import loky
import numpy as np
import psutil
import pytest
import tensorflow_datasets as tfds

import kinetics_clips
from kinetics_clips.command import synthetic
from kinetics_clips.read import process_engine
from kinetics_clips.read.process_engine import ProcessEngine
from kinetics_clips.store import frame_index, index_format
from kinetics_clips.write import workers
from kinetics_clips.write.annotations import Annotation
from kinetics_clips.write.sources import File
from kinetics_clips.write.videos import Video

# The same examples each time, however long one takes on a busy machine. Fixtures serve
# all examples of a test, so that a test has to leave them as they were.
hypothesis.settings.register_profile(
    "kinetics_clips",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("kinetics_clips")

REPOSITORY = Path(__file__).resolve().parents[1]
DUMMY_DATA = REPOSITORY / "dummy_data"
# Real videos and annotations, where this checkout lies beside them.
SHARED = REPOSITORY.parent / "shared"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the real clips are not on this machine"
)


def marks_of(library: str) -> list[pytest.MarkDecorator]:
    """Returns the marks of a test that needs a library of the guides."""
    absent = importlib.util.find_spec(library) is None
    skip = pytest.mark.skipif(absent, reason=f"{library} is not installed")
    return [pytest.mark.recipes, skip]


def needs(library: str):
    """Marks a test that needs a library of the guides."""
    recipes, skip = marks_of(library)
    return lambda test: recipes(skip(test))


# A third of the time of imports goes into looking through what stays anyway.
gc.disable()


def pytest_collection_modifyitems(items):
    """Puts files of many slow tests first: the last ones decide when all is done."""
    gc.freeze()
    gc.enable()
    num_slow = collections.Counter(
        item.path for item in items if item.get_closest_marker("slow")
    )
    items.sort(key=lambda item: -num_slow[item.path])


HEIGHT, WIDTH = 96, 128

# video id -> frames
TRAIN = {"blue/long": 90, "blue/short": 20, "red/exact": 64, "red/long": 70}
VALIDATION = {"red/other": 66}


def write_tree(root: Path, split: str, videos: dict[str, int]) -> None:
    """Writes `<root>/<split>/<video id>.mp4`, each with its number of frames."""
    for video_id, num_frames in videos.items():
        path = root / split / f"{video_id}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthetic.write_video(path, num_frames, height=HEIGHT, width=WIDTH)


def video_of(path: Path, video_id: str = "", label: str | None = "a") -> Video:
    """Returns the annotated video of a file, as `videos.find` would."""
    status = path.stat()
    file = File(path.parent, path.name, status.st_size, status.st_mtime_ns)
    return Video(Annotation("train", video_id or path.stem, label), file)


def build(
    manual_dir: Path, data_dir: Path, download: dict | None = None, **options
) -> tfds.core.DatasetBuilder:
    """Builds a dataset; `download` are options of TFDS, `options` the Builder's."""
    builder = kinetics_clips.Builder(
        # One worker: to start one takes longer than such videos do.
        **{"config": "folder", "data_dir": data_dir, "num_workers": 1, **options}
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual_dir, **(download or {})
        )
    )
    return builder


def read_report(builder: tfds.core.DatasetBuilder) -> list[dict]:
    """Reads the rows of a dataset's `build_report.csv`."""
    path = Path(builder.data_path) / "build_report.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(frames) -> list[int]:
    """Reads the numbers that frames carry, uint8 `[length, height, width, 3]`."""
    return [synthetic.read_number(frame) for frame in np.asarray(frames)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio of uint8 pictures, in decibels."""
    error = np.mean((one.astype(float) - other) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def set_display_matrix(path: Path, a: float, b: float, c: float, d: float) -> None:
    """Writes a display matrix, `[[a, b], [c, d]]`, into the header of an MP4 file."""
    content = bytearray(path.read_bytes())
    # ISO/IEC 14496-12: the matrix lies 40 bytes behind the box's type (version 0).
    start = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * (1 << 16)) for value in (a, b, c, d))
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Returns the processes that encode, of all that a process has started."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(word.startswith("pebble_pool_worker") for word in child.cmdline()):
                found.append(child)
    return found


class _PoolThatGoesOn(workers.Pool):
    """A pool that, when it is closed, leaves its workers to the next one of as many.

    To start some takes longer than to encode videos as tiny as ours.
    """

    def __init__(self, num_workers: int | None = None):
        super().__init__(num_workers)
        self._processes = _free.pop(self._num_workers, None)

    def close(self) -> None:
        processes = self._processes
        if processes and not processes.busy and self._num_workers not in _free:
            _free[self._num_workers], self._processes = processes, None
        super().close()


_free: dict[int, object] = {}  # by their number: workers that wait for a pool
_Pool = workers.Pool


def _end_workers() -> None:
    while _free:
        _, processes = _free.popitem()
        processes.end()


@pytest.fixture(scope="session", autouse=True)
def _workers_go_on():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "Pool", _PoolThatGoesOn)
        yield
    _end_workers()


@pytest.fixture
def own_workers(monkeypatch):
    """Lets every pool start and end workers of its own, as it does for users."""
    _end_workers()
    monkeypatch.setattr(workers, "Pool", _Pool)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """A directory in which `kinetics_clips/folder` is prepared."""
    root = tmp_path_factory.mktemp("videos")
    write_tree(root, "train", TRAIN)
    write_tree(root, "validation", VALIDATION)
    directory = tmp_path_factory.mktemp("data")
    build(root, directory)
    return directory


@pytest.fixture(scope="session")
def streamed_dir(tmp_path_factory, data_dir) -> Path:
    """The same as `data_dir`, without a frame index."""
    directory = tmp_path_factory.mktemp("streamed")
    ignored = shutil.ignore_patterns(f"*{index_format.SUFFIX}")
    shutil.copytree(data_dir, directory, ignore=ignored, dirs_exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def builder(data_dir) -> tfds.core.DatasetBuilder:
    return tfds.builder("kinetics_clips/folder", data_dir=data_dir)


@pytest.fixture
def directory(data_dir, tmp_path) -> Path:
    """A copy of the prepared dataset; shards keep their times."""
    copy = tmp_path / "folder/2.0.0"
    shutil.copytree(data_dir / "kinetics_clips/folder/2.0.0", copy)
    return copy


@pytest.fixture
def index(data_dir) -> frame_index.FrameIndex:
    """The frame index of the split `train`."""
    directory = data_dir / "kinetics_clips/folder/2.0.0"
    return frame_index.FrameIndex(index_format.path_of(directory, "train"))


def wait_for_processes() -> ProcessEngine:
    """Returns the processes that decode, when they are ready to."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if engine := process_engine.of_this_process(loky.cpu_count()):
            return engine
        time.sleep(0.01)
    raise TimeoutError("The processes that decode did not start.")
