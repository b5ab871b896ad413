import dataclasses
import os

import numpy as np
import pytest

from kinetics_clips.write import check
from kinetics_clips.write.annotations import Annotation
from kinetics_clips.write.check import Disk
from kinetics_clips.write.frames import EncodedVideo, VideoError
from kinetics_clips.write.sources import File
from kinetics_clips.write.videos import (
    AMBIGUOUS,
    DUPLICATE,
    NO_ANNOTATION,
    Found,
    Split,
    Video,
)


def make_videos(count, tmp_path, problem=None, label="a", split="train"):
    return [
        Video(
            Annotation(split, f"{problem}{i}", label),
            File(tmp_path, f"{i}.mp4", 1, 0, problem=problem and (problem, "")),
        )
        for i in range(count)
    ]


def make_missing(count, split="train"):
    return [Video(Annotation(split, f"missing{i}", "a"), None) for i in range(count)]


@pytest.fixture
def split(tmp_path):
    return Split(
        "train",
        [
            *make_videos(5, tmp_path),
            *make_videos(3, tmp_path, problem="empty", label=None),
            *make_videos(1, tmp_path, problem="unreadable"),
            *make_missing(2),
        ],
        {"x": (NO_ANNOTATION, ""), "y": (AMBIGUOUS, ""), "z": (DUPLICATE, "a is used")},
    )


def test_count(split):
    assert check.count(split) == {
        "annotated": 11,
        "found": 9,
        "missing": 2,
        "empty": 3,
        "unreadable": 1,
        "unmatched": 2,
        "unlabelled": 3,
        "duplicates": 1,
    }


def test_table_counts_by_kind_what_is_not_read(split):
    rar, part = ("archive not read: .rar", ""), ("unfinished download", "")
    split.unmatched.update({"1.rar": rar, "2.rar": rar, "1.mp4.part": part})
    counts = check.count(split)
    assert (counts["unmatched"], counts["duplicates"]) == (2, 1)
    assert counts["passed over"] == 3
    assert check.table(split, "folder").splitlines()[-1] == (
        "  passed over          3   2 archive not read: .rar, 1 unfinished download"
    )


def test_table_shows_counts_beside_those_of_others(split):
    lines = check.table(split, "k400").splitlines()
    assert lines[0] == "train"
    assert lines[1].split()[:2] == ["annotated", "11"]
    assert "the official CSVs 246,534" in lines[1]
    assert lines[2].split()[:2] == ["found", "9"]
    assert "CVDF 240,258" in lines[2]
    assert lines[3].split() == ["missing", "2"]
    # Of another split, other numbers, or none.
    test = check.table(dataclasses.replace(split, name="test"), "k700")
    assert "DeepMind's CSVs 69,103" in test
    assert "MMAction2" not in test
    folder = check.table(split, "folder")
    assert "CSVs" not in folder
    assert folder.splitlines()[1].split() == ["in", "folders", "11"]


@pytest.mark.parametrize(
    ("found", "missing", "empty", "message"),
    [
        (5, 5, 0, None),
        (5, 6, 0, r"got 5 of 11 of train, 5 of 11 of all splits together\. "),
        (5, 0, 6, r"got 5 of 11 of train"),
        (0, 0, 0, None),
    ],
)
def test_require_half(tmp_path, found, missing, empty, message):
    videos = [
        *make_videos(found, tmp_path),
        *make_missing(missing),
        *make_videos(empty, tmp_path, problem="empty"),
    ]
    copy = Found(["a"], [Split("train", videos, {})], {})
    if message is None:
        check.require_half(copy)
    else:
        with pytest.raises(ValueError, match=message):
            check.require_half(copy)


def test_require_half_counts_splits_without_files_together_only(tmp_path):
    whole = Split("validation", make_videos(10, tmp_path), {})
    absent = Split("test", make_missing(9, "test"), {})
    check.require_half(Found(["a"], [whole, absent], {}))
    absent = Split("test", make_missing(11, "test"), {})
    with pytest.raises(ValueError, match=r"got 10 of 21 of all splits together\. "):
        check.require_half(Found(["a"], [whole, absent], {}))


@pytest.mark.parametrize(
    ("size", "expected"), [(0, (0, 0)), (11, (10, 1)), (12, (11, 2)), (999, (100, 10))]
)
def test_draw_takes_the_first_of_each_split_in_proportion(tmp_path, size, expected):
    selected = {
        "train": make_videos(100, tmp_path),
        "test": make_videos(10, tmp_path, split="test"),
    }
    sample = check.draw(selected, size)
    train = [video for video in sample if video.annotation.split == "train"]
    assert (len(train), len(sample) - len(train)) == expected
    assert train == selected["train"][: len(train)]
    assert check.draw({"train": []}, size) == []


def encoded(num_bytes, seconds=1.0):
    return EncodedVideo([b"x" * num_bytes], 1, 1, 1.0, False, seconds=seconds)


def test_estimate_of_all_is_exact(tmp_path):
    selected = {"train": make_videos(3, tmp_path), "test": make_videos(1, tmp_path)}
    results = [(None, encoded(size, size)) for size in (10, 20, 30)]
    results.append((None, VideoError("empty")))
    cost = check.estimate(results, selected, num_workers=2)
    assert (cost.sample_size, cost.num_videos, cost.num_failed) == (4, 4, 1)
    assert (cost.num_bytes, cost.num_bytes_error) == (60, 0)
    assert cost.seconds == pytest.approx(60 / 2 / check._BUILD_SHARE)
    assert cost.seconds_error == 0
    assert cost.largest_split == 45


def test_the_error_bar_holds_the_truth_in_95_of_100_samples(tmp_path):
    rng = np.random.default_rng(0)
    sizes = rng.gamma(4, 1000, 400).astype(int)
    selected = {"train": make_videos(400, tmp_path)}
    inside = 0
    for _ in range(300):
        results = [(None, encoded(size)) for size in rng.choice(sizes, 50, False)]
        cost = check.estimate(results, selected, num_workers=1)
        inside += abs(cost.num_bytes - sizes.sum()) <= cost.num_bytes_error
    assert 270 <= inside <= 298


def test_one_video_gives_an_error_bar_too(tmp_path):
    cost = check.estimate(
        [(None, encoded(100))], {"train": make_videos(50, tmp_path)}, num_workers=1
    )
    assert cost.num_bytes == 5000
    assert cost.num_bytes_error > 5000


GIB = 1 << 30
COST = check.Estimate(
    sample_size=50,
    num_failed=2,
    num_videos=240_000,
    num_bytes=1000 * GIB,
    num_bytes_error=50 * GIB,
    seconds=36_000,
    seconds_error=1800,
    largest_split=950 * GIB,
)


def test_memory_grows_with_the_largest_split():
    assert COST.main_memory == pytest.approx(2.8 * GIB)  # as for Kinetics-400
    small = dataclasses.replace(COST, largest_split=GIB)
    assert small.main_memory == pytest.approx(1.8 * GIB)


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(94, "not enough"), (96, "perhaps not enough"), (106, "enough")],
)
def test_disk_verdict(tmp_path, free, verdict):
    disk = Disk(tmp_path, needed=100 * GIB, error=5 * GIB, free=free * GIB)
    assert disk.verdict == verdict
    if verdict == "not enough":
        with pytest.raises(
            OSError,
            match=r"must have room for 100\.00 GiB ± 5 %, 94\.00 GiB free: not enough\."
            r" .*--no-resume halves",
        ):
            check.require_room([disk])
    else:
        check.require_room([disk])


def test_disks_counts_the_kept_frames_too(tmp_path):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    resume_dir = tmp_path / "not/yet/there"
    (disk,) = check.disks(COST, tmp_path, resume_dir)
    assert disk.directory == tmp_path
    assert (disk.needed, disk.error) == (2000 * GIB, 100 * GIB)
    assert disk.free == pytest.approx(free, rel=0.1)
    (disk,) = check.disks(COST, tmp_path, resume_dir, num_bytes_kept=400 * GIB)
    assert disk.needed == 1600 * GIB
    (disk,) = check.disks(COST, tmp_path, None)
    assert disk.needed == 1000 * GIB


def test_disks_names_what_is_not_there_yet(tmp_path):
    """As the build does, when it has made it."""
    before = check.disks(COST, tmp_path / "data", tmp_path / "data/kept")
    (tmp_path / "data/kept").mkdir(parents=True)
    after = check.disks(COST, tmp_path / "data", tmp_path / "data/kept")
    assert [disk.directory for disk in before] == [tmp_path / "data"]
    assert [disk.directory for disk in after] == [tmp_path / "data"]
    # What the sample has taken meanwhile is counted once.
    free = {device: 5 for device in check.free_space(tmp_path)}
    (disk,) = check.disks(COST, tmp_path, None, free=free)
    assert disk.free == 5


@pytest.mark.parametrize("below", ["", "data", "a/b/c"])
def test_require_writable_leaves_nothing(tmp_path, below):
    check.require_writable(tmp_path / below, "--data-dir")
    assert not list(tmp_path.iterdir())


def test_require_writable_names_what_is_wrong(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere/at/all")
    for name in ("file", "file/below", "link"):
        with pytest.raises(
            OSError,
            match=rf"`--data-dir` must be a directory in which .* got '.*/{name}': \w",
        ):
            check.require_writable(tmp_path / name, "--data-dir")
    with pytest.raises(ValueError, match=r"must be named in characters of this locale"):
        check.require_writable(tmp_path / "d\udcff", "--data-dir")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_costs_are_those_of_videos_that_can_be_stored(tmp_path):
    selected = {"train": make_videos(100, tmp_path)}
    results = [(None, encoded(1 << 20))] * 5 + [(None, VideoError("empty"))] * 5
    cost = check.estimate(results, selected, num_workers=1)
    assert cost.num_bytes == 50 << 20
    text = check.costs(cost, [], 1)
    assert "50.00 MiB \xb1 " in text and " %, 1.00 MiB a video" in text
    assert "failed   5 of the 10, so about 50 of all, cannot be stored" in text
    whole = check.estimate(results, {"train": make_videos(10, tmp_path)}, 1)
    assert "failed   5 of the 10 cannot be stored" in check.costs(whole, [], 1)


def test_disks_tells_file_systems_apart(tmp_path):
    other = "/dev/shm" if os.path.isdir("/dev/shm") else "/proc"
    needs = check.disks(COST, tmp_path, check.Path(other))
    assert [disk.needed for disk in needs] == [1000 * GIB, 1000 * GIB]


def test_costs_says_all_of_it(tmp_path):
    needs = [Disk(tmp_path, 2000 * GIB, 100 * GIB, 500 * GIB)]
    text = check.costs(COST, needs, num_workers=8)
    assert text.splitlines() == [
        "A build, by 50 of its 240,000 videos, encoded here by 8 processes:",
        "  dataset  1000.00 GiB ± 5 %, 4.44 MiB a video",
        "  time     10.0 hours ± 5 %",
        f"  disk     {tmp_path}: 1.95 TiB ± 5 %, 500.00 GiB free: not enough",
        "  memory   at most 4.75 GiB: 2.80 GiB of the main process, 250.00 MiB of each "
        "other",
        "  failed   2 of the 50, so about 9,600 of all, cannot be stored",
    ]
