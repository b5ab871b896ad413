"""Measures reading random clips against the decoder's limit, and against other ways.

    python benchmarks/read.py                       # all: a quarter of an hour
    python benchmarks/read.py warm --rounds 5       # or: cold, scale

The videos are generated: ten seconds of 340x256, 300 frames, as in `build.py`; stored
at JPEG quality 75. A clip is 64 consecutive frames of a random place of a random video,
a batch eight clips, uint8.

- `warm`: clips a second from the page cache, as shares of the limit: libjpeg-turbo
  (simplejpeg, one thread a core) that decodes the same windows from memory into one
  array that is used again. Every way is a process of its own, warmed up for four
  seconds after its first batch; the ways take turns, `--rounds` times. Of what is not
  installed the table says so (`pip install torch torchcodec decord h5py`). torchcodec
  opens a file for each clip, and scans it; it is also measured with the two options by
  which it does not: `seek_mode="approximate"`, and `custom_frame_mappings`, which
  `ffprobe` makes once for each file, as our index is made once.
- `busy`: with a main thread that computes all the time, a loop of Python or training
  steps in one thread: what is read, as a share of what libjpeg-turbo decodes on one
  core beside nobody; and how fast the main thread is, as a share of its speed alone.
- `cores`: how many cores one process keeps busy: decoders that sleep as long as real
  ones work, so that they stand for cores, and the CPU time of all else.
- `cold`: reading alone, after the shards were dropped from the page cache: the windows
  of all videos by the frame index, against the whole records; and both with decoding.
- `scale`: how fast shards are indexed; and a split of 300,000 videos, whose shards are
  links to one: how long its index takes to open and what that takes of memory, the time
  to a first batch, the memory of reading, and the speed against a split of 1,000.

Rates are medians; a share is the median of the rounds' shares, with the least and the
greatest. It needs the `ffmpeg` program with libx264, and 2 GB in the temporary
directory (TMPDIR) or in `--keep`.
"""

import argparse
import contextlib
import functools
import importlib
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest.mock
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import generated
import loky
import numpy as np
import psutil
import sections
import simplejpeg
import tables
import tensorflow_datasets as tfds
from tables import Row

import kinetics_clips
from kinetics_clips.read import process_engine
from kinetics_clips.read.decoding_task import Source
from kinetics_clips.store import index_format, indexing
from kinetics_clips.store.frame_index import FrameIndex

_KIND = generated.Kind("small", 340, 256, 500_000, num_frames=300, num_different=24)
_QUALITY = 75
_LENGTH, _BATCH, _CROP = 64, 8, 224

# Seconds. Memory for a third batch may be needed late: its pages take half a second.
_WARM_UP = 4
_NAME = f"kinetics_clips/folder_q{_QUALITY}"
_PACKAGES = (
    *("simplejpeg", "tensorflow", "tensorflow-datasets", "h5py"),
    *("torchcodec", "decord", "opencv-python-headless", "av"),
)

_SCALE = {"thousand": 1_000, "all": 300_000}

_MIB = 1 << 20


class Data(NamedTuple):
    """Where the same videos lie, in every form that is read.

    Attributes:
      root: Of all of it.
    """

    root: Path

    @property
    def videos(self) -> Path:
        return self.root / _KIND.name / "train" / "any class"

    @property
    def keyframes(self) -> Path:
        """The videos with a keyframe every 16 frames."""
        return self.root / "keyframes"

    @property
    def indexed(self) -> Path:
        """Of the dataset, with its frame index."""
        return self.root / "indexed"

    @property
    def streamed(self) -> Path:
        """Of the same dataset, without a frame index."""
        return self.root / "streamed"

    @property
    def loose(self) -> Path:
        return self.root / "loose"

    @property
    def hdf5(self) -> Path:
        return self.root / "frames.hdf5"

    @property
    def features(self) -> Path:
        """A TFRecord with a feature a frame."""
        return self.root / "features.tfrecord"

    def scaled(self, name: str) -> Path:
        return self.root / name / _NAME / "2.0.0"

    def index(self) -> FrameIndex:
        return FrameIndex(self.indexed / _NAME / "2.0.0" / "train.frame_index")

    def shards(self) -> list[Path]:
        return sorted((self.indexed / _NAME / "2.0.0").glob("*.tfrecord-*"))


def main() -> int:
    measures = {
        "warm": _measure_warm,
        "busy": _measure_busy,
        "cores": _measure_cores,
        "cold": _measure_cold,
        "scale": _measure_scale,
    }
    parser = sections.parser(__doc__, measures)
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--seconds", type=float, default=4, help="a turn (default: 4)")
    parser.add_argument("--videos", type=int, default=96, help="(default: 96)")
    parser.add_argument("--only", default="", help="ways whose name has this, and L")
    args = sections.parse(parser, {"of_data": _of_data})
    print(tables.machine(_PACKAGES), flush=True)
    with sections.directory(args) as directory:
        data = Data(directory)
        _prepare(data, args.videos)
        for name in args.sections:
            tables.show(name, measures[name](data, args))
    return 0


def _measure_warm(data: Data, args: argparse.Namespace) -> list[Row]:
    ways = {
        name: way for name, way in _WAYS.items() if args.only in name or name == _LIMIT
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    missing: dict[str, str] = {}
    for number in range(1, args.rounds + 1):
        for name in ways:
            if name in missing:
                continue
            result = _run("rate", data, way=name, seconds=args.seconds)
            if "missing" in result:
                missing[name] = result["missing"]
                continue
            rates[name].append(result["rate"])
            generated.log(f"  round {number}: {name} {result['rate']:.1f} clips/s")
    rows = []
    for name, way in ways.items():
        if name in missing:
            rows.append(Row(name, f"not measured: {missing[name]}"))
            continue
        shares = [a / b for a, b in zip(rates[name], rates[_LIMIT], strict=True)]
        speed = f", {statistics.median(rates[name]):.0f} clips/s"
        rows.append(tables.ratio_row(name, shares, way.target, speed))
    return rows


def _measure_busy(data: Data, args: argparse.Namespace) -> list[Row]:
    rows = []
    for caller, (way, target) in itertools.product(
        _CALLERS,
        {"ClipSource.batch": 0.9, "load_clips": 0.9, _THREADS: None}.items(),
    ):
        name = f"{way}, {caller}"
        results = [
            _run("busy", data, way=way, caller=caller, seconds=args.seconds)
            for _ in range(args.rounds)
        ]
        if "missing" in results[0]:
            rows.append(Row(name, f"not measured: {results[0]['missing']}"))
            continue
        for what in ("reading / one core's decoding", "the caller / alone"):
            ratios = [result[what] for result in results]
            rows.append(tables.ratio_row(f"{name}: {what}", ratios, target))
    return rows


def _measure_cores(data: Data, args: argparse.Namespace) -> list[Row]:
    rows, one = [], 0.0
    for num_processes in (1, 8, 16, 32):
        results = [
            _run("cores", data, num_processes=num_processes, seconds=args.seconds)
            for _ in range(args.rounds)
        ]
        rate, parent, children = (
            statistics.median(result[key] for result in results)
            for key in ("rate", "parent", "children")
        )
        one = one or rate
        share = rate / one / num_processes
        rows.append(
            Row(
                f"{num_processes} sleeping decoders / as many times one",
                f"{share:.2f}, {rate:.0f} clips/s; CPU a clip beside the decoder: "
                f"{parent:.2f} ms here, {children:.2f} ms there",
                ">= 0.85",
                share >= 0.85,
            )
        )
    return rows


def _measure_cold(data: Data, args: argparse.Namespace) -> list[Row]:
    sides = ("windows", "records", "clips by windows", "clips by records")
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(1, args.rounds + 1):
        for side in sides:
            _drop_from_cache(data)
            result = _run("cold", data, side=side)
            rates[side].append(result["rate"])
            generated.log(f"  round {number}: {side} {result['rate']:.1f} a second")
    rows = [Row(f"{s}, a second", f"{statistics.median(rates[s]):.0f}") for s in sides]
    for fast, slow, target in (
        ("windows", "records", 5),
        ("clips by windows", "clips by records", None),
    ):
        ratios = [a / b for a, b in zip(rates[fast], rates[slow], strict=True)]
        rows.append(tables.ratio_row(f"{fast} / {slow}", ratios, target))
    return rows


def _measure_scale(data: Data, args: argparse.Namespace) -> list[Row]:
    for name, num_videos in _SCALE.items():
        _link(data, name, num_videos)
    indexed = statistics.median(_run("index", data)["rate"] for _ in range(args.rounds))
    opened = _run("open", data, name="all")
    read = _run("memory", data, name="all")
    rates: dict[str, list[float]] = {name: [] for name in _SCALE}
    for number in range(1, max(args.rounds, 5) + 1):
        for name in _SCALE:
            result = _run("rate_of", data, name=name, seconds=args.seconds)
            rates[name].append(result["rate"])
            generated.log(f"  round {number}: {name} {result['rate']:.1f} clips/s")
    ratios = [a / b for a, b in zip(rates["all"], rates["thousand"], strict=True)]
    batch = _BATCH * _LENGTH * _CROP * _CROP * 3 / _MIB
    return [
        Row(
            "indexing from the page cache, one core",
            f"{indexed:.2f} GB/s",
            ">= 1 GB/s",
            indexed >= 1,
        ),
        Row(
            f"opening the index of {opened['num_videos']:,} videos",
            f"{opened['seconds']:.2f} s",
            "< 1 s",
            opened["seconds"] < 1,
        ),
        Row(
            "memory of it",
            f"{opened['memory']:.0f} MiB",
            "< 150 MiB",
            opened["memory"] < 150,
        ),
        Row(
            "first batch, after the import",
            f"{read['first']:.2f} s",
            "<= 2 s",
            read["first"] <= 2,
        ),
        Row(
            f"memory above the imports, batches of {batch:.0f} MiB",
            f"{read['memory']:.0f} MiB, {read['memory'] / batch:.1f} batches",
            "<= 400 MiB and 6 batches",
            read["memory"] <= 400 + 6 * batch,
        ),
        tables.ratio_row("clips a second of 300,000 videos / of 1,000", ratios, 0.95),
    ]


class Way(NamedTuple):
    """A way to read clips.

    Attributes:
      read: Yields how many clips it has read, again and again.
      target: The share of the limit that it has to reach, if any.
    """

    read: Callable[[Data], Iterator[int]]
    target: float | None = None


def _random_windows(num_videos: int) -> Iterator[list[tuple[int, int]]]:
    """Yields batches of (video, first frame)."""
    rng = np.random.default_rng(0)
    while True:
        videos = rng.integers(num_videos, size=_BATCH)
        offsets = rng.integers(_KIND.num_frames - _LENGTH + 1, size=_BATCH)
        yield list(zip(videos.tolist(), offsets.tolist(), strict=True))


def _decode_into(jpegs, clip: np.ndarray) -> None:
    for jpeg, frame in zip(jpegs, clip, strict=True):
        simplejpeg.decode_jpeg(jpeg, "RGB", buffer=frame)


def _batches(read_clip: Callable, num_videos: int) -> Iterator[int]:
    """Reads batches by `read_clip(video, first frame, clip)`, in a thread a core."""
    batch = np.empty((_BATCH, _LENGTH, _KIND.height, _KIND.width, 3), np.uint8)
    with ThreadPoolExecutor(loky.cpu_count()) as threads:
        for windows in _random_windows(num_videos):
            list(threads.map(read_clip, *zip(*windows, strict=True), batch))
            yield _BATCH


def _limit(data: Data) -> Iterator[int]:
    index = data.index()
    windows = [
        index.read(video, range(first, first + _LENGTH))
        for batch in itertools.islice(_random_windows(len(index)), 12)
        for video, first in batch
    ]

    def read_clip(number: int, _: int, clip: np.ndarray) -> None:
        _decode_into(windows[number], clip)

    return _batches(read_clip, len(windows))


def _source(data: Data, **spec) -> Iterator[float]:
    """Yields clips of `_LENGTH` frames: of one with fewer, a part."""
    spec = kinetics_clips.ClipSpec(**{"length": _LENGTH, **spec})
    source = kinetics_clips.ClipSource(_NAME, "train", spec, data_dir=data.indexed)
    for windows in _random_windows(len(source)):
        source.batch([video for video, _ in windows])
        yield _BATCH * spec.length / _LENGTH


def _load_clips(
    data: Data, crop: int | None, indexed: bool = True, batch_size: int | None = _BATCH
) -> Iterator[int]:
    ds = kinetics_clips.load_clips(
        _NAME,
        "train",
        kinetics_clips.ClipSpec(length=_LENGTH, crop=crop),
        batch_size=batch_size,
        num_epochs=None,
        data_dir=data.indexed if indexed else data.streamed,
    )
    for _ in ds:
        yield batch_size or 1


def _sample_clip(data: Data) -> Iterator[int]:
    import tensorflow as tf

    spec = kinetics_clips.ClipSpec(length=_LENGTH)
    raw = tfds.load(
        _NAME,
        split="train",
        data_dir=data.indexed,
        decoders={"video": kinetics_clips.EncodedFrames()},
        read_config=kinetics_clips.read_config(),
    )
    clips = raw.repeat().map(
        lambda example: kinetics_clips.sample_clip(example, spec),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return _of_dataset(clips)


def _of_dataset(clips) -> Iterator[int]:
    for _ in clips.batch(_BATCH).prefetch(1):
        yield _BATCH


def _decode_all(data: Data) -> Iterator[int]:
    import tensorflow as tf

    examples = tfds.load(
        _NAME,
        split="train",
        data_dir=data.indexed,
        read_config=kinetics_clips.read_config(),
    )

    def window(example: dict):
        offset = _random_offset(tf, example["video"])
        return example["video"][offset : offset + _LENGTH]

    return _of_dataset(examples.repeat().map(window))


def _random_offset(tf, frames):
    return tf.random.uniform([], 0, tf.shape(frames)[0] - _LENGTH + 1, tf.int32)


def _recipe(data: Data, parallel: bool) -> Iterator[int]:
    """The forum's: parse the record, slice its list of JPEGs, decode the window."""
    import tensorflow as tf

    def clip(record):
        features = {"video": tf.io.VarLenFeature(tf.string)}
        jpegs = tf.sparse.to_dense(
            tf.io.parse_single_example(record, features)["video"]
        )
        offset = _random_offset(tf, jpegs)
        return tf.map_fn(
            tf.io.decode_jpeg,
            jpegs[offset : offset + _LENGTH],
            fn_output_signature=tf.uint8,
        )

    records = tf.data.TFRecordDataset([str(path) for path in data.shards()]).repeat()
    calls = tf.data.AUTOTUNE if parallel else None
    return _of_dataset(records.map(clip, num_parallel_calls=calls))


def _feature_a_frame(data: Data) -> Iterator[int]:
    import tensorflow as tf

    names = [f"{number:03d}" for number in range(_KIND.num_frames)]
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in names}

    def clip(record):
        example = tf.io.parse_single_example(record, features)
        jpegs = tf.stack([example[name] for name in names])
        offset = _random_offset(tf, jpegs)
        return tf.map_fn(
            tf.io.decode_jpeg,
            jpegs[offset : offset + _LENGTH],
            fn_output_signature=tf.uint8,
        )

    records = tf.data.TFRecordDataset(str(data.features)).repeat()
    return _of_dataset(records.map(clip, num_parallel_calls=tf.data.AUTOTUNE))


def _loose(data: Data) -> Iterator[int]:
    folders = sorted(data.loose.iterdir())

    def read_clip(video: int, first: int, clip: np.ndarray) -> None:
        names = (folders[video] / f"{first + i:03d}.jpg" for i in range(_LENGTH))
        _decode_into((path.read_bytes() for path in names), clip)

    return _batches(read_clip, len(folders))


def _hdf5(data: Data) -> Iterator[int]:
    import h5py

    file = h5py.File(data.hdf5)
    videos = [file[name] for name in file]

    def read_clip(video: int, first: int, clip: np.ndarray) -> None:
        _decode_into(videos[video][first : first + _LENGTH], clip)

    return _batches(read_clip, len(videos))


def _opencv(data: Data, keyframes: bool) -> Iterator[int]:
    import cv2

    cv2.setNumThreads(1)
    paths = _videos(data, keyframes)

    def read_clip(video: int, first: int, clip: np.ndarray) -> None:
        capture = cv2.VideoCapture(
            str(paths[video]), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]
        )
        capture.set(cv2.CAP_PROP_POS_FRAMES, first)
        for frame in clip:
            frame[:] = capture.read()[1][:, :, ::-1]

    return _batches(read_clip, len(paths))


def _pyav(data: Data, keyframes: bool) -> Iterator[int]:
    import av

    paths = _videos(data, keyframes)

    def read_clip(video: int, first: int, clip: np.ndarray) -> None:
        with av.open(str(paths[video])) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            step = round(1 / stream.average_rate / stream.time_base)
            container.seek(first * step, stream=stream)
            frames = (f for f in container.decode(stream) if f.pts >= first * step)
            for frame, out in zip(frames, clip, strict=False):
                out[:] = frame.to_ndarray(format="rgb24")

    return _batches(read_clip, len(paths))


def _decord(data: Data, keyframes: bool) -> Iterator[int]:
    import decord

    paths = _videos(data, keyframes)

    def read_clip(video: int, first: int, clip: np.ndarray) -> None:
        reader = decord.VideoReader(str(paths[video]), num_threads=1)
        clip[:] = reader.get_batch(range(first, first + _LENGTH)).asnumpy()

    return _batches(read_clip, len(paths))


def _torchcodec(
    data: Data, keyframes: bool, seek_mode: str | None = "exact"
) -> Iterator[int]:
    """Reads with torchcodec; without a `seek_mode`, frame mappings tell it where."""
    try:
        from torchcodec.decoders import VideoDecoder
    except RuntimeError as error:  # it finds no library of FFmpeg
        raise ImportError(str(error).splitlines()[0]) from error

    paths = _videos(data, keyframes)
    options = [
        {"seek_mode": seek_mode}
        if seek_mode
        else {"custom_frame_mappings": _frame_mappings(path)}
        for path in paths
    ]

    def read_clip(video: int, first: int, clip: np.ndarray) -> None:
        decoder = VideoDecoder(
            str(paths[video]),
            num_ffmpeg_threads=1,
            dimension_order="NHWC",
            **options[video],
        )
        frames = decoder.get_frames_in_range(first, first + _LENGTH)
        clip[:] = frames.data.numpy()

    return _batches(read_clip, len(paths))


def _frame_mappings(path: Path) -> str:
    """Returns what `ffprobe` tells of a video's frames. It is asked once a file."""
    stored = path.with_suffix(".json")
    if not stored.exists():
        # Its older versions say `pkt_duration`.
        entries = "frame=pts,duration,pkt_duration,key_frame"
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0"]
        command += ["-show_entries", entries, "-of", "json=compact=1", str(path)]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        stored.write_text(told.stdout)
    return stored.read_text()


def _videos(data: Data, keyframes: bool) -> list[Path]:
    return sorted((data.keyframes if keyframes else data.videos).glob("*.mp4"))


_LIMIT = "L: the JPEG decoder, from memory"
_WAYS = {
    _LIMIT: Way(_limit),
    "load_clips, index": Way(functools.partial(_load_clips, crop=None), 0.95),
    f"load_clips, index, crop {_CROP}": Way(
        functools.partial(_load_clips, crop=_CROP), 0.95
    ),
    "load_clips, index, single clips": Way(
        functools.partial(_load_clips, crop=None, batch_size=None)
    ),
    "ClipSource.batch": Way(_source, 0.92),
    **{
        f"ClipSource.batch, {name}": Way(functools.partial(_source, **spec), target)
        for name, target, spec in [
            (f"crop {_CROP}", 0.92, {"crop": _CROP}),
            (f"crop {_CROP}, flip", 0.88, {"crop": _CROP, "flip": True}),
            (
                f"area (0.08, 1) to {_CROP}, flip",
                0.75,
                {"area": (0.08, 1), "size": _CROP, "flip": True},
            ),
            (
                "16 frames, area (0.08, 1) to 112, flip",
                0.75,
                {"length": 16, "area": (0.08, 1), "size": 112, "flip": True},
            ),
            ("128 short side", 0.85, {"size": 128}),
            ("16 frames, 112 short side", 1.2, {"length": 16, "size": 112}),
            (
                f"16 frames, stride 4, crop {_CROP}",
                0.88,
                {"length": 16, "stride": 4, "crop": _CROP},
            ),
        ]
    },
    "load_clips, streaming": Way(
        functools.partial(_load_clips, crop=None, indexed=False), 0.8
    ),
    f"load_clips, streaming, crop {_CROP}": Way(
        functools.partial(_load_clips, crop=_CROP, indexed=False), 0.8
    ),
    "sample_clip on tfds.load": Way(_sample_clip),
    "TFDS: decode all, slice": Way(_decode_all),
    "the recipe of 2018": Way(functools.partial(_recipe, parallel=False)),
    "the recipe of 2018, parallel": Way(functools.partial(_recipe, parallel=True)),
    "TFRecord, a feature a frame": Way(_feature_a_frame),
    "loose JPEG files": Way(_loose),
    "HDF5 of JPEGs": Way(_hdf5),
    **{
        f"{name}, mp4 {how}": Way(functools.partial(way, keyframes=keyframes))
        for name, way in [
            ("torchcodec", _torchcodec),
            (
                "torchcodec, approximate seeks",
                functools.partial(_torchcodec, seek_mode="approximate"),
            ),
            (
                "torchcodec, frame mappings",
                functools.partial(_torchcodec, seek_mode=None),
            ),
            ("decord", _decord),
            ("OpenCV", _opencv),
            ("PyAV", _pyav),
        ]
        for how, keyframes in [
            ("as shot", False),
            ("with a keyframe every 16 frames", True),
        ]
    },
}


def _rate(data: Data, way: str, seconds: float) -> dict:
    try:
        return {"rate": _rate_of(_WAYS[way].read(data), seconds)}
    except ImportError as error:
        return {"missing": str(error)}
    except OSError as error:  # a library that finds none of its own
        return {"missing": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def _rate_of(clips: Iterator[int], seconds: float) -> float:
    next(clips)  # imports and opens what it needs
    start = time.perf_counter()
    while time.perf_counter() < start + _WARM_UP:
        next(clips)
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        count += next(clips)
    return count / (time.perf_counter() - start)


def _busy(data: Data, way: str, caller: str, seconds: float) -> dict:
    """Reads in a thread while the main one computes, and each of them alone."""
    # libjpeg-turbo on one core, beside nobody.
    with unittest.mock.patch.object(loky, "cpu_count", lambda: 1):
        limit = _rate_of(_limit(data), seconds)
    try:
        step = _CALLERS[caller]()
    except ImportError as error:
        return {"missing": str(error)}
    _rate_of_steps(step, 1)  # warms up
    alone = _rate_of_steps(step, seconds)
    if way == _THREADS:
        process_engine.of_this_process = lambda _: None
    clips = _load_clips(data, crop=None) if way == "load_clips" else _source(data)
    _rate_of(clips, 0)  # warms up
    num_clips, is_over = 0, threading.Event()

    def read() -> None:
        nonlocal num_clips
        while not is_over.is_set():
            num_clips += next(clips)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(1)
    before, start = num_clips, time.perf_counter()
    steps = _rate_of_steps(step, seconds)
    rate = (num_clips - before) / (time.perf_counter() - start)
    is_over.set()
    reader.join()
    return {
        "reading / one core's decoding": rate / limit,
        "the caller / alone": steps / alone,
    }


def _rate_of_steps(step: Callable[[], object], seconds: float) -> float:
    number, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        step()
        number += 1
    return number / (time.perf_counter() - start)


def _python() -> Callable[[], object]:
    def count() -> None:
        number = 0
        for _ in range(1000):
            number += 1

    return count


def _pytorch() -> Callable[[], object]:
    """Returns a training step of a small network of videos, in one thread."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Conv3d(3, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    video, label = torch.rand(2, 3, 8, 64, 64), torch.tensor([0, 1])

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(video), label).backward()
        optimizer.step()

    return step


def _keras() -> Callable[[], object]:
    """Returns a training step of a small network of videos, in one thread."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv3D(8, 3, activation="relu"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    video, label = np.random.rand(2, 8, 64, 64, 3), np.array([0, 1])
    return lambda: model.train_on_batch(video, label)


_THREADS = "threads of this process"

# What the main thread does meanwhile.
_CALLERS = {
    "a loop of Python": _python,
    "steps of PyTorch": _pytorch,
    "steps of Keras": _keras,
}


_SLEEPING = """\
import time

def decode_jpeg_header(jpeg):
    return {height}, {width}, "RGB", "420"

calls = 0

def decode_jpeg(jpeg, *_, buffer, **__):
    global calls
    calls += 1
    if calls % {num_frames} == 0:  # to sleep takes time of the processor too
        time.sleep({num_frames} * {seconds})
    return buffer
"""


def _cores(data: Data, num_processes: int, seconds: float) -> dict:
    """Reads with decoders that sleep as long as real ones work; returns a clip's cost.

    Of two batches at once, as `load_clips` has them.
    """
    index = data.index()
    (jpeg,) = index.read(0, [0])
    start = time.perf_counter()
    for _ in range(500):
        simplejpeg.decode_jpeg(jpeg)
    length = (time.perf_counter() - start) / 500
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "simplejpeg.py").write_text(
            _SLEEPING.format(
                height=_KIND.height,
                width=_KIND.width,
                num_frames=_LENGTH,
                seconds=length,
            )
        )
        sys.path.insert(0, directory)
        while not (engine := process_engine.of_this_process(num_processes)):
            time.sleep(0.01)
        source = Source([index], kinetics_clips.ClipSpec(length=_LENGTH))
        rng = np.random.default_rng(0)

        def read(_: int) -> None:
            videos = rng.integers(len(index), size=_BATCH).tolist()
            engine.read(source, [(0, video) for video in videos], None)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(read, range(2 * num_processes)))  # warms up
            before = os.times()
            children = _cpu_of_children()
            start, num_batches = time.perf_counter(), 0
            while time.perf_counter() < start + seconds:
                list(threads.map(read, range(16)))
                num_batches += 16
            took = time.perf_counter() - start
        num_clips = num_batches * _BATCH
        after = os.times()
        here = after.user + after.system - before.user - before.system
        return {
            "rate": num_clips / took,
            "parent": 1e3 * here / num_clips,
            "children": 1e3 * (_cpu_of_children() - children) / num_clips,
        }


def _cpu_of_children() -> float:
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(True))


def _cold(data: Data, side: str) -> dict:
    index = data.index()
    order = np.random.default_rng().permutation(len(index)).tolist()
    offsets = np.random.default_rng().integers(
        _KIND.num_frames - _LENGTH + 1, size=len(index)
    )
    if side == "windows":
        with ThreadPoolExecutor(16) as threads:
            start = time.perf_counter()
            list(
                threads.map(
                    lambda video, first: index.read(
                        video, range(first, first + _LENGTH)
                    ),
                    order,
                    offsets,
                )
            )
        return {"rate": len(order) / (time.perf_counter() - start)}
    import tensorflow as tf

    if side == "records":
        paths = tf.data.Dataset.from_tensor_slices([str(p) for p in data.shards()])
        records = paths.interleave(
            tf.data.TFRecordDataset, cycle_length=16, num_parallel_calls=16
        )
        start = time.perf_counter()
        count = sum(1 for _ in records)
        return {"rate": count / (time.perf_counter() - start)}
    ds = kinetics_clips.load_clips(
        _NAME,
        "train",
        kinetics_clips.ClipSpec(length=_LENGTH),
        batch_size=_BATCH,
        data_dir=data.indexed if side == "clips by windows" else data.streamed,
    )
    start = time.perf_counter()
    count = sum(len(batch["label"]) for batch in ds)
    return {"rate": count / (time.perf_counter() - start)}


def _open(data: Data, name: str) -> dict:
    path = data.scaled(name) / "train.frame_index"
    before = _memory("VmRSS")
    start = time.perf_counter()
    index = FrameIndex(path)
    return {
        "seconds": time.perf_counter() - start,
        "memory": (_memory("VmRSS") - before) / _MIB,
        "num_videos": len(index),
    }


def _index(data: Data) -> dict:
    builder = tfds.builder_from_directory(data.indexed / _NAME / "2.0.0")
    num_bytes = sum(len(path.read_bytes()) for path in data.shards())  # into the cache
    start = time.perf_counter()
    indexing.build(builder, num_workers=1)
    return {"rate": num_bytes / 1e9 / (time.perf_counter() - start)}


def _of_scale(data: Data, name: str):
    return kinetics_clips.load_clips(
        data.scaled(name),
        "train",
        kinetics_clips.ClipSpec(length=_LENGTH, crop=_CROP),
        batch_size=_BATCH,
        num_epochs=None,
    )


def _memory_of(data: Data, name: str) -> dict:
    importlib.import_module("kinetics_clips.read.clips")  # brings TensorFlow
    before = _memory("VmRSS")
    start = time.perf_counter()
    batches = iter(_of_scale(data, name))
    next(batches)
    first = time.perf_counter() - start
    for _ in range(60):
        next(batches)
    return {"first": first, "memory": (_memory("VmHWM") - before) / _MIB}


def _rate_of_scale(data: Data, name: str, seconds: float) -> dict:
    batches = iter(_of_scale(data, name))
    return {"rate": _rate_of((len(b["label"]) for b in batches), seconds)}


def _memory(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) << 10


_TASKS = {
    "rate": _rate,
    "busy": _busy,
    "cores": _cores,
    "cold": _cold,
    "index": _index,
    "open": _open,
    "memory": _memory_of,
    "rate_of": _rate_of_scale,
}


def _of_data(root: str, what: str, **arguments: object) -> dict:
    return _TASKS[what](Data(Path(root)), **arguments)


def _run(task: str, data: Data, **arguments: object) -> dict:
    """Runs a task in a new process."""
    return sections.run_task("of_data", root=data.root, what=task, **arguments)


def _drop_from_cache(data: Data) -> None:
    """Drops the shards from the page cache, which needs no rights."""
    os.sync()
    for directory in (data.indexed, data.streamed):
        for path in directory.rglob("*.tfrecord-*"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _prepare(data: Data, num_videos: int) -> None:
    """Makes the data in all its forms; what an earlier run has made is used again."""
    done = data.root / f"{num_videos}.done"
    if done.exists():
        return
    root = generated.make(data.root, _KIND, num_videos)
    generated.log("storing the videos in all forms")
    for directory in (data.indexed, data.streamed, data.loose, data.keyframes):
        shutil.rmtree(directory, ignore_errors=True)
    builder = kinetics_clips.Builder(
        config=kinetics_clips.KineticsClipsConfig(jpeg_quality=_QUALITY),
        data_dir=data.indexed,
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=root)
    )
    shutil.copytree(
        data.indexed,
        data.streamed,
        copy_function=os.link,
        ignore=shutil.ignore_patterns(f"*{index_format.SUFFIX}"),
    )
    data.keyframes.mkdir()
    for path in data.videos.glob("*.mp4"):
        generated.ffmpeg(
            *("-y", "-i", path, "-c:v", "libx264", "-crf", 23, "-g", 16),
            *("-keyint_min", 16, data.keyframes / path.name),
        )
    _store_otherwise(data)
    done.touch()


def _store_otherwise(data: Data) -> None:
    """Stores the dataset's frames as loose files, in HDF5, and as a feature each."""
    import tensorflow as tf

    index = data.index()
    with contextlib.ExitStack() as stack:
        hdf5 = None
        with contextlib.suppress(ImportError):
            import h5py

            hdf5 = stack.enter_context(h5py.File(data.hdf5, "w"))
        writer = stack.enter_context(tf.io.TFRecordWriter(str(data.features)))
        for video in range(len(index)):
            jpegs = index.read(video, range(index.num_frames(video)))
            folder = data.loose / f"{video:05d}"
            folder.mkdir(parents=True)
            for number, jpeg in enumerate(jpegs):
                (folder / f"{number:03d}.jpg").write_bytes(jpeg)
            if hdf5:
                stored = hdf5.create_dataset(
                    f"{video:05d}", len(jpegs), h5py.vlen_dtype(np.uint8)
                )
                stored[:] = jpegs
            features = {
                f"{number:03d}": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[jpeg.tobytes()])
                )
                for number, jpeg in enumerate(jpegs)
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def _link(data: Data, name: str, num_videos: int) -> None:
    """Makes a dataset of so many videos at least, all of whose shards are one file.

    Its index is what `indexing.build` would make of them.
    """
    directory = data.scaled(name)
    if directory.exists():
        return
    shard = data.shards()[0]
    rows = indexing._index_shard(shard, "video", _KINDS)
    num_shards = -(-num_videos // rows.shard.num_videos)
    directory.mkdir(parents=True)
    names = [
        f"kinetics_clips-train.tfrecord-{number:05d}-of-{num_shards:05d}"
        for number in range(num_shards)
    ]
    for link in names:
        os.link(shard, directory / link)
    indexing._write(
        directory / "train.frame_index",
        _KINDS,
        (rows._replace(shard=rows.shard._replace(name=link)) for link in names),
    )
    original = shard.parent
    for path in original.glob("*.*"):
        if path.suffix in (".json", ".txt"):
            shutil.copy(path, directory)
    info = json.loads((original / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"] = [str(rows.shard.num_videos)] * num_shards
    (directory / "dataset_info.json").write_text(json.dumps(info))


_KINDS = {
    "label": "<i8",
    "video_id": "text",
    "filename": "text",
    "num_frames": "<i8",
    "height": "<i8",
    "width": "<i8",
    "fps": "<f4",
}


if __name__ == "__main__":
    sys.exit(main())
