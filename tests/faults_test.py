"""Bad videos, text, archives, disks and luck: all is stored right, or reported.

`benchmarks/soak.py` is the long part of it.
"""

import collections
import csv
import errno
import gzip
import os
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import av
import cv2
import faulty_disk
import hostile
import numpy as np
import pytest
from conftest import build, numbers, read_report, video_of, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import TensorFlowProcess, run_script, run_tensorflow

import kinetics_clips
from kinetics_clips import ClipSource, ClipSpec
from kinetics_clips.command import synthetic
from kinetics_clips.read import process_engine
from kinetics_clips.store import index_format, tfrecords
from kinetics_clips.write import annotations, frames, sources, videos, workers

SETTINGS = frames.EncodeSettings(short_side=None, jpeg_quality=95, fps=None)

# FFmpeg 7 finds other frames in some damaged files than the later ffmpeg program.
_SAME_FFMPEG = av.library_versions["libavformat"] >= (62,)

_no_fuse = pytest.mark.skipif(
    not faulty_disk.can_be_mounted(), reason="FUSE is not installed"
)


def needs_fuse(test):
    return pytest.mark.fuse(_no_fuse(test))


@pytest.mark.parametrize("name", hostile.UNUSUAL)
def test_unusual_videos_are_stored_as_ffmpeg_shows_them(tmp_path, name):
    video = hostile.UNUSUAL[name]
    path = tmp_path / f"video{video.suffix}"
    hostile.write_unusual(path, video)
    encoded = frames.encode(path, SETTINGS)
    got = hostile.decode(encoded.frames)
    assert not encoded.truncated
    turned = np.rot90(got, video.rotation // 90, axes=(1, 2))
    num_frames = len(video.times or range(video.num_frames))
    numbers = [synthetic.read_number(frame) for frame in turned]
    assert numbers == list(range(video.first, num_frames))
    expected = hostile.frames_of_ffmpeg(path, encoded.height, encoded.width)
    for frame, other in zip(got, expected, strict=True):
        assert hostile.difference(frame, other) < hostile.TOLERANCE


def test_a_stream_that_is_lost_and_found_again_keeps_its_last_frames(tmp_path):
    """Its demuxer says to try again, which is not the end."""
    video = hostile.UNUSUAL["transport stream"]
    path = tmp_path / "video.ts"
    hostile.write_unusual(path, video)
    path.write_bytes(path.read_bytes()[: 17 * 188 + 4] + bytes(2576))
    with (
        av.open(str(path)) as container,
        pytest.raises(
            av.error.BlockingIOError, match="Resource temporarily unavailable"
        ),
    ):
        list(container.demux())
    got = hostile.decode(frames.encode(path, SETTINGS).frames)
    expected = hostile.frames_of_ffmpeg(path, hostile.HEIGHT, hostile.WIDTH)
    assert len(got) == len(expected) > 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"), [("B-frames", 1200), ("VP9", 100), ("MJPEG", 100), ("AV1", 100)]
)
def test_no_mutant_crashes_or_is_lost(tmp_path, name, count):
    video = hostile.UNUSUAL[name]
    original = tmp_path / f"original{video.suffix}"
    hostile.write_unusual(original, video)
    to_encode, names = [], {}
    for number, (damage, content) in enumerate(
        hostile.mutants(original.read_bytes(), count, seed=0)
    ):
        path = tmp_path / f"{number}{video.suffix}"
        path.write_bytes(content)
        to_encode.append(video_of(path))
        names[path.stem] = damage
    outcomes = collections.Counter()
    for one, result in workers.encode_all(to_encode, SETTINGS):
        damage = names.pop(one.annotation.video_id)
        if isinstance(result, frames.VideoError):
            assert result.reason not in ("crash", "timeout"), (damage, result)
            outcomes[result.reason] += 1
            continue
        outcomes["stored"] += 1
        got = hostile.decode(result.frames)
        assert got.shape[1:3] == (result.height, result.width)
        # Every tenth is compared. `soak.py` compares all, and MJPEG as it must be.
        if not _SAME_FFMPEG or int(one.annotation.video_id) % 10 or name == "MJPEG":
            continue
        # Scaled, or with edges that each program draws in its own way.
        if any("width to height" in n or "its corners" in n for n in result.notes):
            continue
        expected = hostile.frames_of_ffmpeg(one.file.path, *got.shape[1:3])
        assert len(got) == len(expected), damage
        for frame, other in zip(got, expected, strict=True):
            assert hostile.difference(frame, other) < hostile.TOLERANCE, damage
    assert not names
    assert outcomes["stored"] > 0.1 * count
    assert outcomes["not a video"] > 0


@pytest.fixture(scope="module")
def clip_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    hostile.write_unusual(path, hostile.UNUSUAL["plain"])
    return path.read_bytes()


@pytest.mark.parametrize("size", [(100_000, 96), (128, 65_500), (65_500, 65_500)])
def test_giant_pictures_take_no_memory(tmp_path, clip_bytes, size):
    """A header of 100,000 pixels, as an image and as a video."""
    width, height = size
    png = tmp_path / "giant.mp4"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + header + b"\0" * 64)
    content = bytearray(clip_bytes)
    at = content.index(b"avc1") + 28
    struct.pack_into(">HH", content, at, width & 0xFFFF, height & 0xFFFF)
    at = content.index(b"tkhd") + 4 + 76
    struct.pack_into(
        ">II", content, at, (width << 16) & 0xFFFFFFFF, height << 16 & 0xFFFFFFFF
    )
    mp4 = tmp_path / "other.mp4"
    mp4.write_bytes(content)
    # In a process of its own: what the children of this one took is theirs together.
    done = run_script(_ENCODE, png, mp4)
    assert done.returncode == 0, done.stderr
    *outcomes, memory = done.stdout.splitlines()
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.split()[0] not in ("crash", "timeout"), outcome
    assert int(memory) < 500 << 10


_ENCODE = """
import resource, sys
from pathlib import Path
from kinetics_clips.write import frames, workers
from kinetics_clips.write.annotations import Annotation
from kinetics_clips.write.sources import File
from kinetics_clips.write.videos import Video

settings = frames.EncodeSettings(short_side=None, jpeg_quality=95, fps=None)
videos = [
    Video(Annotation("train", str(path), "a"), File(path.parent, path.name, 1, 0))
    for path in map(Path, sys.argv[1:])
]
for video, result in workers.encode_all(videos, settings, num_workers=1):
    print(getattr(result, "reason", "stored"), getattr(result, "detail", ""))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_a_tree_of_hostile_files_is_built(tmp_path, clip_bytes):
    root = tmp_path / "videos"
    folder = root / "train" / "a"
    write_tree(root, "train", {"a/good": 6})
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video")
    cv2.imwrite(str(folder / "image.png"), synthetic.draw_frame(1))
    (folder / "image.png").rename(folder / "image.mp4")
    hostile.write_audio(folder / "audio.mp4")
    os.mkfifo(folder / "fifo.mp4")
    (folder / "directory.mp4").mkdir()
    (tmp_path / "outside.mp4").write_bytes(clip_bytes)
    (folder / "link_out.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "link_in.mp4").symlink_to("good.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "nowhere.mp4").symlink_to("nothing")
    (folder / "around").symlink_to(root / "train")
    (folder / os.fsdecode(b"caf\xe9.mp4")).write_bytes(clip_bytes)
    (folder / "new\nline.mp4").write_bytes(clip_bytes)
    (folder / "=1+1.mp4").write_bytes(clip_bytes)
    builder = build(root, tmp_path / "data")
    rows = {row["filename"]: row for row in read_report(builder)}
    outcomes = {
        Path(name).name: row["reason"] or row["status"] for name, row in rows.items()
    }
    image = outcomes.pop("image.mp4")
    assert image in ("stored", "not a video")  # a film of one picture, or none
    assert outcomes == {
        "good.mp4": "stored",
        "link_in.mp4": "stored",
        "new\nline.mp4": "stored",
        "=1+1.mp4": "stored",
        "empty.mp4": "empty",
        "text.mp4": "not a video",
        "audio.mp4": "not a video",
        "fifo.mp4": "not a video",
        "link_out.mp4": "unreadable",
        "loop.mp4": "unreadable",
        "around": "link not followed",
        "nowhere.mp4": "unreadable",
        "caf\\xe9.mp4": "unreadable name",
    }
    num_stored = builder.info.splits["train"].num_examples
    assert num_stored == sum(row["status"] == "stored" for row in rows.values())


# Text.


HOSTILE_IDS = [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "\x00", "a/b", "~", "$HOME",
    "-rf", "=1+1", "AAAAAAAAAA0", "CON", "\ufeff", "x" * 300,
]  # fmt: skip


def require_rows(path: Path) -> None:
    _, bad = annotations.read_csv(path, annotations.labels_of("k400"))
    annotations.require_no_bad_rows(bad)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.lists(
                st.one_of(
                    st.sampled_from([
                        "label", "youtube_id", "time_start", "time_end", "split",
                        "train", "abseiling", "0", "10", "-1", "1e9", "nan",
                        *HOSTILE_IDS,
                    ]),
                    st.text(max_size=12),
                ),
                max_size=6,
            ),
            max_size=6,
        ).map(lambda rows: "\r\n".join(map(",".join, rows)).encode("utf-8", "replace")),
    )
)  # fmt: skip
def test_any_table_is_read_or_an_error_with_its_name(tmp_path, content):
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    path = root / "train.csv"
    path.write_bytes(content)
    try:
        rows, bad = annotations.read_csv(path, annotations.labels_of("k400"))
        annotations.require_no_bad_rows(bad)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all(row.split in annotations.SPLITS for row in rows)
    try:
        videos.find(root, "k400")
    except ValueError as error:
        assert str(path) in str(error)


@settings(max_examples=60)
@given(ids=st.lists(st.sampled_from(HOSTILE_IDS), min_size=1, max_size=6))
def test_no_id_leads_out_of_the_root(tmp_path, ids):
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "train").mkdir(parents=True)
    (root / "train" / "AAAAAAAAAA0_000000_000010.mp4").write_bytes(b"x")
    (tmp_path / "passwd").write_text("x")
    lines = ["label,youtube_id,time_start,time_end,split"]
    lines += [f'abseiling,"{name}",0,10,train' for name in ids]
    (root / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    try:
        found = videos.find(root, "k400")
    except ValueError as error:
        assert "train.csv" in str(error)
        return
    for split in found.splits:
        for video in split.videos:
            if video.file:
                assert video.file.path.resolve().is_relative_to(root.resolve())


@pytest.mark.parametrize("column", range(4))  # the split may be anything
@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_a_giant_field_is_a_short_error(tmp_path, size, line, column):
    fields = [
        ["label", "youtube_id", "time_start", "time_end", "split"],
        ["abseiling", "AAAAAAAAAA0", "0", "10", "train"],
    ]
    fields[line][column] = "x" * size
    path = tmp_path / "train.csv"
    path.write_text("\n".join(map(",".join, fields)))
    with pytest.raises(ValueError, match=r"train\.csv") as error:
        require_rows(path)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("text", ["=1+1", '=HYPERLINK("x")', "@SUM(A1)", "+1", "-1"])
def test_formulas_are_no_annotations(tmp_path, text):
    path = tmp_path / "train.csv"
    for row in ([text, "AAAAAAAAAA0", "0"], ["abseiling", text, "0"]):
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
            writer.writerow([*row, "10", "train"])
        with pytest.raises(ValueError, match=r"train\.csv, line 2: .* got '"):
            require_rows(path)


# Shards.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A dataset of two tiny videos, and all its clips."""
    root = tmp_path_factory.mktemp("small")
    for video_id, number in (("a/one", 5), ("b/two", 4)):
        path = root / "videos/train" / f"{video_id}.mp4"
        path.parent.mkdir(parents=True)
        synthetic.write_video(path, number, height=32, width=48)
    builder = build(root / "videos", root / "data", config=tiny_config())
    spec = ClipSpec(length=4)
    source = ClipSource(builder, "train", spec, seed=0)
    return Path(builder.data_dir), spec, [source[n] for n in range(len(source))]


def tiny_config():
    return kinetics_clips.KineticsClipsConfig(jpeg_quality=30)


@pytest.mark.slow
def test_no_flipped_byte_of_a_shard_gives_other_pixels(small, tmp_path):
    directory, spec, clips = small
    copy = tmp_path / "2.0.0"
    shutil.copytree(directory, copy)
    (shard,) = copy.glob("*-train.tfrecord-*")
    times = shard.stat()
    original = shard.read_bytes()
    source = ClipSource(copy, "train", spec, seed=0)
    num_errors = num_reads = 0
    for at in range(0, len(original), 7):
        damaged = bytearray(original)
        for place in range(at, min(at + 7, len(original))):
            damaged[place] ^= 1 << (place % 8)
        shard.write_bytes(damaged)
        os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
        for number, expected in enumerate(clips):
            num_reads += 1
            try:
                clip = source[number]
            except kinetics_clips.UnreadableVideoError as error:
                assert shard.name in str(error)
                num_errors += 1
            else:
                for name, value in expected.items():
                    np.testing.assert_array_equal(clip[name], value)
    # Most of a shard are frames, of which a clip takes nearly all.
    assert 0.3 * num_reads < num_errors < 0.6 * num_reads


@pytest.mark.slow
def test_no_flipped_byte_of_a_streamed_shard_gives_other_pixels(small, tmp_path):
    directory, spec, clips = small
    copy = tmp_path / "2.0.0"
    shutil.copytree(
        directory, copy, ignore=shutil.ignore_patterns(f"*{index_format.SUFFIX}")
    )
    (shard,) = copy.glob("*-train.tfrecord-*")
    original = shard.read_bytes()
    ids = {clip["video_id"] for clip in clips}
    spec = ClipSpec(length=4, windows="center")
    options = {"shuffle": False, "on_error": "skip"}

    def read() -> dict:
        ds = kinetics_clips.load_clips(copy, "train", spec, **options)
        return {clip["video_id"]: clip["video"] for clip in ds.as_numpy_iterator()}

    whole = read()
    assert set(whole) == ids
    num_lost = 0
    # A length and its checksum, the record and its own, in the middle and at the end.
    places = [0, 5, 9, 12, 200, len(original) // 2, len(original) - 20]
    for at in [*places, len(original) - 1]:
        damaged = bytearray(original)
        damaged[at] ^= 0x10
        shard.write_bytes(damaged)
        got = read()
        num_lost += len(ids) - len(got)
        for video_id, video in got.items():
            np.testing.assert_array_equal(video, whole[video_id])
    assert num_lost >= len(places) + 1  # every flip is noticed


# Archives: see `sources_test.py` for those that are cut, lead out, or lie.


@pytest.mark.slow
def test_a_bomb_takes_no_memory(tmp_path):
    member = tarfile.TarInfo("train/a/bomb.mp4")
    member.size = sources.MAX_MEMBER_BYTES + 1
    zeros = bytes(1 << 20)
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", compresslevel=1) as file:
        file.write(member.tobuf())
        for _ in range((sources.MAX_MEMBER_BYTES >> 20) + 2):
            file.write(zeros)
    assert (tmp_path / "bomb.tar.gz").stat().st_size < 10 << 20
    tracemalloc.start()
    try:
        (file,) = sources.list_files(tmp_path).files
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert file.problem[0] == "too large"
    assert peak < 20 << 20


# Luck: kills and full disks are in `cli_test.py` and `soak.py`.


@pytest.mark.slow
@needs_fuse
def test_a_disk_that_fails_while_clips_are_read_is_an_error_with_names(small, tmp_path):
    """In processes of their own: what is mapped of a failing disk ends them."""
    directory, *_ = small
    disk, mounted = tmp_path / "disk", tmp_path / "mounted"
    mounted.mkdir()
    shutil.copytree(directory, disk / "2.0.0")
    script = """
import sys
import kinetics_clips
from kinetics_clips import ClipSource, ClipSpec
try:
    source = ClipSource(sys.argv[1], "train", ClipSpec(length=4), seed=0)
    for number in range(2):
        source[number]
    print("read", number)
except (kinetics_clips.FrameIndexError, kinetics_clips.UnreadableVideoError) as error:
    print(type(error).__name__, error)
except OSError as error:
    print("OSError", error)
"""
    outcomes = collections.Counter()
    with faulty_disk.mounted(disk, mounted, "--reads") as counts:
        done = run_script(script, mounted / "2.0.0")
    assert done.stdout == "read 1\n", done.stderr
    for number in range(1, counts[0] + 1):
        options = ("--reads", "--fail", str(number))
        with faulty_disk.mounted(disk, mounted, *options):
            done = run_script(script, mounted / "2.0.0")
        assert done.returncode == 0, done.stderr
        kind, _, text = done.stdout.partition(" ")
        outcomes[kind] += 1
        assert str(mounted) in text
        # TFDS does not say why its own files could not be read.
        assert kind == "OSError" or "Input/output error" in text, text
    assert outcomes["FrameIndexError"] > 0
    assert outcomes["UnreadableVideoError"] > 0


@needs_fuse
def test_a_shard_that_cannot_be_indexed_is_named(small, tmp_path):
    directory, *_ = small
    (shard,) = directory.glob("*-train.tfrecord-*")
    with (
        faulty_disk.mounted(directory, tmp_path, "--reads", "--fail", "1"),
        pytest.raises(OSError, match=rf"Input/output error: '{tmp_path / shard.name}'"),
    ):
        list(tfrecords.read(tmp_path / shard.name))


def test_a_failing_shard_names_the_video_or_is_skipped(small, monkeypatch, caplog):
    directory, spec, clips = small
    source = ClipSource(directory, "train", spec, seed=0)
    start = int(source._indexes[0]._records[1])  # of the second video
    preadv = os.preadv

    def fail(descriptor, buffers, offset):
        if offset >= start and os.readlink(f"/proc/self/fd/{descriptor}").endswith("1"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(process_engine, "of_this_process", lambda _: None)
    np.testing.assert_array_equal(source[0]["video"], clips[0]["video"])
    with pytest.raises(
        kinetics_clips.UnreadableVideoError,
        match=r"video .* of .*train\.tfrecord.* must be readable, got Input/output",
    ):
        source[1]
    batch = source.batch([0, 1], on_error="skip")
    assert batch["video_id"].tolist() == [clips[0]["video_id"]]
    assert "skipped: video" in caplog.text


@pytest.mark.slow
@needs_fuse
@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".avi"])
def test_a_disk_that_fails_is_not_the_end_of_a_video(tmp_path, suffix):
    """FFmpeg takes it for that, and of some formats nothing says how long they are."""
    disk, mounted = tmp_path / "disk", tmp_path / "mounted"
    disk.mkdir()
    mounted.mkdir()
    path = mounted / f"video{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (30, 96, 128, 3), np.uint8)
    with av.open(str(disk / path.name), "w") as container:
        stream = container.add_stream("mpeg4" if suffix == ".avi" else "h264", rate=30)
        stream.height, stream.width, stream.bit_rate = 96, 128, 8_000_000
        for pixels in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    with faulty_disk.mounted(disk, mounted, "--reads") as counts:
        assert frames.encode(path, SETTINGS).num_frames == 30
    assert counts[0] > 2
    for number in range(1, counts[0] + 1):
        with (
            faulty_disk.mounted(disk, mounted, "--reads", "--fail", str(number)),
            pytest.raises(frames.VideoError, match=r"unreadable.*Input/output error"),
        ):
            frames.encode(path, SETTINGS)


def command(root: Path, data_dir: Path, *options: str) -> list:
    words = ["-m", "kinetics_clips", "build", "folder"]
    return [*words, "--manual-dir", root, "--data-dir", data_dir, *options]


@pytest.mark.slow
def test_two_builds_at_once_give_one_dataset(tmp_path):
    write_tree(tmp_path / "videos", "train", {f"a/{n}": 12 for n in range(24)})
    data_dir = tmp_path / "data"
    running = [
        TensorFlowProcess(*command(tmp_path / "videos", data_dir, "--no-resume"))
        for _ in range(2)
    ]
    done = [one.wait() for one in running]
    codes = sorted(one.returncode for one in done)
    assert codes[0] == 0 and codes[1] in (0, 1), done
    for one in done:
        text = one.stderr if one.returncode else one.stdout
        line = "kinetics-clips: error: " if one.returncode else "Built kinetics_clips"
        assert any(each.startswith(line) for each in text.splitlines()), one
    directory = data_dir / "kinetics_clips/folder/2.0.0"
    source = ClipSource(directory, "train", ClipSpec(length=12), seed=0)
    assert len(source) == 24
    for clip in source:
        assert numbers(clip["video"]) == list(range(12))
    assert [path.name for path in directory.parent.iterdir()] == ["2.0.0"]


@pytest.mark.slow
@needs_fuse
def test_a_build_on_a_disk_over_the_network_leaves_nothing(tmp_path):
    """FUSE, as NFS, keeps what is removed for as long as it is open."""
    disk, mounted = tmp_path / "disk", tmp_path / "mounted"
    mounted.mkdir()
    write_tree(disk / "videos", "train", {"a/one": 4})
    with faulty_disk.mounted(disk, mounted):
        done = run_tensorflow(*command(mounted / "videos", mounted / "data"))
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert os.listdir(disk / "data/kinetics_clips/folder") == ["2.0.0"]
    assert not os.listdir(disk / "data/downloads/kinetics_clips")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_that_may_only_be_read_is_a_clear_line(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        done = run_tensorflow(*command(tmp_path / "videos", disk / "data"))
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kinetics-clips: error: ")
    assert "Read-only file system" in last and str(disk) in last
