import bz2
import gzip
import io
import logging
import lzma
import os
import random
import resource
import stat
import subprocess
import sys
import tarfile
import types
import warnings
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from kinetics_clips.command import synthetic
from kinetics_clips.write import archives, sources
from kinetics_clips.write.sources import File

CONTENTS = {f"{name}.mp4": name.encode() * 3000 for name in "abc"}
BLOCK = tarfile.BLOCKSIZE


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {".tar": "w", ".bz2": "w:bz2", ".tbz2": "w:bz2", ".txz": "w:xz"}
    mode = kinds.get(path.suffix.lower(), "w:gz")
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            add(archive, name, content)
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes, **attributes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    archive.addfile(member, io.BytesIO(content))


def names(listing: sources.Listing) -> list[str]:
    return [file.name for file in listing.files]


def problems(listing: sources.Listing) -> dict[str, tuple[str, str] | None]:
    return {file.name: file.problem for file in listing.files}


def passed_over(listing: sources.Listing) -> dict[str, tuple[str, str]]:
    return {file.name: file.problem for file in listing.passed_over}


def read_all(files: list[File]) -> dict[str, object]:
    """Reads files under their names; checks that each comes exactly once."""
    pairs = list(sources.read((file.name, file) for file in files))
    results = dict(pairs)
    assert len(results) == len(pairs)
    assert results.keys() == {file.name for file in files}
    return results


@pytest.fixture
def opened(monkeypatch) -> types.SimpleNamespace:
    """Watches which archives are read, and how, by the real `tarfile`."""
    calls = types.SimpleNamespace(names=[], num_members=0, most_members=0)
    members_of, next_of = archives.members, tarfile.TarFile.next

    def members(path):
        calls.names.append(path.name)
        for member in members_of(path):
            calls.num_members += 1
            yield member

    def next_member(archive):
        member = next_of(archive)
        calls.most_members = max(calls.most_members, len(archive.members))
        return member

    monkeypatch.setattr(archives, "members", members)
    monkeypatch.setattr(tarfile.TarFile, "next", next_member)
    return calls


@pytest.mark.parametrize("suffix", sorted(sources.SUFFIXES))
def test_list_files_takes_every_suffix_in_any_case(tmp_path, suffix):
    touch(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    write_tar(tmp_path / "c.tar", {f"d{suffix.upper()}": b"x"})
    listing = sources.list_files(tmp_path)
    expected = {f"a{suffix}", f"b{suffix.upper()}", f"c.tar/d{suffix.upper()}"}
    assert set(names(listing)) == expected


def test_list_files_tells_size_and_time(tmp_path):
    touch(tmp_path, "deep/er/one.mp4")
    os.utime(tmp_path / "deep/er/one.mp4", ns=(0, 1_234_567_890))
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        add(archive, "./two.mp4", b"xyz", mtime=17)
    assert sources.list_files(tmp_path).files == [
        File(tmp_path, "all.tar/two.mp4", 3, 17_000_000_000, archive="all.tar"),
        File(tmp_path, "deep/er/one.mp4", 1, 1_234_567_890),
    ]


def test_list_files_sorts(tmp_path):
    touch(tmp_path, "c.mp4", "a/z.mp4", "b.csv", "a/y.CSV", "a/x.txt", "B.mp4")
    write_tar(tmp_path / "a.tar", {"z.mp4": b"x", "a.mp4": b"x"})
    garbage = [f"{name}.tar" for name in "bcdefghijklmnopqrstuvwxyz"]
    touch(tmp_path, *reversed(garbage))
    listing = sources.list_files(tmp_path)
    assert names(listing) == sorted(names(listing))
    assert len(names(listing)) == 5
    tables = [str(path.relative_to(tmp_path)) for path in listing.tables]
    assert tables == ["a/x.txt", "a/y.CSV", "b.csv"]
    assert [file.name for file in listing.passed_over] == garbage


def test_list_files_counts_what_it_passes_over(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    touch(
        tmp_path,
        "train/a/one.mp4",
        "train/a/._one.mp4",
        "train/a/.hidden/two.mp4",
        "train/a/one.json",
        "train/a/two.md",
        "README",
    )
    members = ["b/one.mp4", "b/._one.mp4", ".cache/two.mp4", "b/one.json", "read.me"]
    write_tar(tmp_path / "train/part.tar", dict.fromkeys(members, b"x"))
    listing = sources.list_files(tmp_path)
    assert names(listing) == ["train/a/one.mp4", "train/part.tar/b/one.mp4"]
    (record,) = caplog.records
    for count in (
        "4 dotfiles",
        "1 .json",
        "1 .md",
        "1 without suffix",
        "2 other files in archives",
    ):
        assert count in record.getMessage()


def test_list_files_takes_a_relative_directory(tmp_path, monkeypatch):
    touch(tmp_path, "here/train/one.mp4")
    write_tar(tmp_path / "here/train/a.tar", {"two.mp4": b"xy"})
    monkeypatch.chdir(tmp_path / "here")
    for root in (Path("."), Path("../here")):
        listing = sources.list_files(root)
        assert names(listing) == ["train/a.tar/two.mp4", "train/one.mp4"]
        results = read_all(listing.files)
        assert results["train/a.tar/two.mp4"] == b"xy"
        assert results["train/one.mp4"].read_bytes() == b"x"


def test_list_files_raises_where_there_is_no_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        sources.list_files(tmp_path / "absent")


def test_list_files_marks_what_cannot_be_a_video(tmp_path):
    touch(tmp_path, "good é '(1)'.mp4", os.fsdecode(b"bad\xe9.mp4"))
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    bad = os.fsdecode(b"bad\xe9.mp4")
    write_tar(tmp_path / "z.tar", {"good é.mp4": b"x", bad: b"x", "empty.mp4": b""})
    not_utf8 = ("unreadable name", "the name is not UTF-8")
    assert problems(sources.list_files(tmp_path)) == {
        "good é '(1)'.mp4": None,
        bad: not_utf8,
        "empty.mp4": ("empty", "0 bytes"),
        "pipe.mp4": ("not a video", "not a regular file"),
        "z.tar/good é.mp4": None,
        f"z.tar/{bad}": not_utf8,
        "z.tar/empty.mp4": ("empty", "0 bytes"),
    }


def test_list_files_bounds_what_is_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 10)
    touch(tmp_path, "loose.mp4")
    (tmp_path / "loose.mp4").write_bytes(bytes(11))
    write_tar(tmp_path / "z.tar", {"10.mp4": bytes(10), "11.mp4": bytes(11)})
    assert problems(sources.list_files(tmp_path)) == {
        "loose.mp4": None,
        "z.tar/10.mp4": None,
        "z.tar/11.mp4": ("too large", "11 bytes inside an archive"),
    }


# Links.


def test_list_files_follows_a_link_right_below_the_root_out_of_it(tmp_path, caplog):
    touch(tmp_path, "disk/a/one.mp4", "disk/list.csv")
    write_tar(tmp_path / "disk/b.tar", {"two.mp4": b"two"})
    root = tmp_path / "root"
    root.mkdir()
    (root / "train").symlink_to(tmp_path / "disk")
    (root / "again.mp4").symlink_to(tmp_path / "disk/a/one.mp4")
    listing = sources.list_files(root)
    assert problems(listing) == {
        "again.mp4": None,  # leads to where the walk leads too
        "train/a/one.mp4": None,
        "train/b.tar/two.mp4": None,
    }
    assert listing.tables == [root / "train/list.csv"]
    assert read_all(listing.files)["train/b.tar/two.mp4"] == b"two"
    assert "links" not in caplog.text


def test_list_files_follows_no_deeper_link_to_a_folder(tmp_path, caplog):
    touch(tmp_path, "outside/class/one.mp4", "disk/b/two.mp4", "root/train/a/real.mp4")
    root = tmp_path / "root"
    (root / "train/linked").symlink_to(tmp_path / "outside/class")
    (tmp_path / "disk/linked").symlink_to(tmp_path / "outside/class")
    (root / "val").symlink_to(tmp_path / "disk")
    assert names(sources.list_files(root)) == ["train/a/real.mp4", "val/b/two.mp4"]
    assert "2 links to folders are not followed" in caplog.text
    assert f"{root}/train/linked" in caplog.text
    assert passed_over(sources.list_files(root)) == dict.fromkeys(
        ("train/linked", "val/linked"), ("link not followed", "a link to a folder")
    )


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("val", "root/train"),
        ("val", "root"),
        ("val", "."),
        ("train/a/up", "root/train"),
        ("train/a/up", "root"),
    ],
    ids=["beside", "root", "above", "its parent", "root from below"],
)
def test_list_files_ends_where_links_lead_in_circles(tmp_path, caplog, link, target):
    touch(tmp_path, "root/train/a/one.mp4", "private/secret.mp4")
    root = tmp_path / "root"
    (root / link).symlink_to(tmp_path / target)
    assert names(sources.list_files(root)) == ["train/a/one.mp4"]
    assert "1 link to a folder is not followed" in caplog.text


def test_list_files_ends_where_two_linked_folders_lead_to_each_other(tmp_path):
    touch(tmp_path, "one/1.mp4", "two/2.mp4", "root/0.mp4")
    (tmp_path / "one/two").symlink_to(tmp_path / "two")
    (tmp_path / "two/one").symlink_to(tmp_path / "one")
    (tmp_path / "two/root").symlink_to(tmp_path / "root")
    for name in ("one", "two"):
        (tmp_path / "root" / name).symlink_to(tmp_path / name)
    listing = sources.list_files(tmp_path / "root")
    assert names(listing) == ["0.mp4", "one/1.mp4", "two/2.mp4"]


def test_list_files_marks_links_to_files_out_of_the_tree(tmp_path, caplog):
    touch(tmp_path, "outside/one.mp4", "root/a/real.mp4")
    write_tar(tmp_path / "outside/part.tar", {"two.mp4": b"x"})
    root = tmp_path / "root"
    (root / "a/inside.mp4").symlink_to(root / "a/real.mp4")
    (root / "a/outside.mp4").symlink_to(tmp_path / "outside/one.mp4")
    (root / "top.mp4").symlink_to(tmp_path / "outside/one.mp4")
    (root / "a/broken.mp4").symlink_to(root / "a/nowhere.mp4")
    (root / "part.tar").symlink_to(tmp_path / "outside/part.tar")
    listing = sources.list_files(root)
    outside = ("unreadable", "a link that leads out of the directory")
    assert problems(listing) == {
        "a/real.mp4": None,
        "a/inside.mp4": None,
        "a/outside.mp4": outside,
        "top.mp4": outside,
        "a/broken.mp4": ("unreadable", "a link that leads nowhere"),
    }
    assert [(file.name, file.problem) for file in listing.passed_over] == [
        ("part.tar", outside)
    ]
    assert "1 archive could not be read to the end: part.tar (a link" in caplog.text


def test_list_files_marks_a_link_that_leads_to_itself(tmp_path):
    touch(tmp_path, "a/real.mp4")
    (tmp_path / "a/self.mp4").symlink_to(tmp_path / "a/self.mp4")
    (tmp_path / "folder").symlink_to(tmp_path / "folder")
    assert problems(sources.list_files(tmp_path)) == {
        "a/real.mp4": None,
        "a/self.mp4": ("unreadable", "a link that leads nowhere"),
    }


def test_list_files_lists_no_table_out_of_the_tree(tmp_path):
    touch(tmp_path, "outside/train.csv", "root/val.csv")
    root = tmp_path / "root"
    (root / "train.csv").symlink_to(tmp_path / "outside/train.csv")
    (root / "val2.csv").symlink_to(root / "val.csv")
    assert sources.list_files(root).tables == [root / "val.csv", root / "val2.csv"]


def test_list_files_lists_no_table_that_is_no_file(tmp_path):
    # To open a pipe would wait for ever.
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "broken.csv").symlink_to(tmp_path / "nowhere.csv")
    assert sources.list_files(tmp_path).tables == []


# Archives.


@pytest.mark.parametrize(
    "suffix", [".tar", ".tar.gz", ".tgz", ".TAR.GZ", ".tar.bz2", ".tbz2", ".txz"]
)
def test_read_gives_back_what_was_put_in(tmp_path, suffix):
    contents = {
        "train/top.mp4": os.urandom(1),
        "a b (c)/é.mkv": os.urandom(BLOCK),
        f"{'long' * 50}/{'name' * 40}.webm": os.urandom(10 * BLOCK + 1),
        "./dot.avi": os.urandom(300_000),
    }
    write_tar(tmp_path / f"x/part{suffix}", contents)
    before = sorted(tmp_path.rglob("*"))
    listing = sources.list_files(tmp_path)
    prefix = f"x/part{suffix}/"
    assert {file.archive for file in listing.files} == {prefix[:-1]}
    assert {file.path for file in listing.files} == {tmp_path / prefix}
    assert read_all(listing.files) == {
        prefix + name.removeprefix("./"): content for name, content in contents.items()
    }
    assert sorted(tmp_path.rglob("*")) == before  # nothing is extracted


@pytest.mark.parametrize(
    "kind",
    [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT],
    ids=["ustar", "GNU", "pax"],
)
def test_read_knows_every_format_of_tar(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
        add(archive, f"{'folder/' * 15}é.mp4", b"content", mtime=1.5)
    (file,) = sources.list_files(tmp_path).files
    assert file.name == f"a.tar/{'folder/' * 15}é.mp4"
    assert list(sources.read([("key", file)])) == [("key", b"content")]


def test_read_gives_loose_files_first_then_every_archive_once(tmp_path, opened):
    touch(tmp_path, "y.mp4", "z.mp4")
    for archive in ("b.tar", "a.tar.gz", "unwanted.tar"):
        # Not in the order of their names; one content ends at the end of a block.
        members = {"2.mp4": b"2" * BLOCK, "3.mp4": b"3" * 9000, "1.mp4": b"1"}
        write_tar(tmp_path / archive, members)
    files = sources.list_files(tmp_path).files
    opened.names.clear()
    wanted = [file for file in files if file.archive != "unwanted.tar"]
    random.Random(0).shuffle(wanted)
    results = sources.read((file.name, file) for file in wanted)
    loose = [next(results), next(results)]
    assert {key: path for key, path in loose} == {
        name: tmp_path / name for name in ("y.mp4", "z.mp4")
    }
    assert opened.names == []
    assert [key for key, _ in results] == [
        f"{archive}/{number}.mp4"
        for archive in ("a.tar.gz", "b.tar")
        for number in "231"
    ]
    assert opened.names == ["a.tar.gz", "b.tar"]


def test_read_stops_behind_the_last_that_is_wanted(tmp_path, opened):
    path = write_tar(tmp_path / "a.tar.gz", CONTENTS)
    files = {file.name: file for file in sources.list_files(tmp_path).files}
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: len(content) // 2])[:-8])
    opened.num_members = 0
    results = list(sources.read([("key", files["a.tar.gz/a.mp4"])]))
    assert results == [("key", CONTENTS["a.mp4"])]
    assert opened.num_members == 1


def test_read_opens_archives_one_at_a_time(tmp_path, opened):
    for name in "abc":
        write_tar(tmp_path / f"{name}.tar", {"one.mp4": b"x", "two.mp4": b"x"})
    files = sources.list_files(tmp_path).files
    opened.names.clear()
    results = sources.read((file.name, file) for file in files)
    seen = [len(opened.names) for _ in results]
    assert seen == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_list_and_read_keep_no_headers(tmp_path, opened, suffix):
    contents = {f"{number}.mp4": b"x" for number in range(500)}
    write_tar(tmp_path / f"a{suffix}", contents)
    opened.names.clear()
    opened.most_members = 0
    files = sources.list_files(tmp_path).files
    assert len(files) == 500
    assert len(read_all(files)) == 500
    assert opened.names == [f"a{suffix}"] * 2
    assert opened.most_members == 1


def test_list_files_reads_no_devices_or_unsafe_names(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "good.mp4", b"good")
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            add(archive, f"device{kind.decode()}.mp4", b"", type=kind)
        add(archive, "folder.mp4", b"", type=tarfile.DIRTYPE)
        add(archive, "/absolute.mp4", b"absolute")
        for name in ("../up.mp4", "a/../../up.mp4"):
            add(archive, name, b"unsafe")
    listing = sources.list_files(tmp_path)
    no_file = ("not a video", "not a regular file")
    assert problems(listing) == {
        "a.tar/absolute.mp4": None,  # unpacked it would lie in here, too
        "a.tar/device3.mp4": no_file,
        "a.tar/device4.mp4": no_file,
        "a.tar/device6.mp4": no_file,
        "a.tar/good.mp4": None,
    }
    unsafe = ("unsafe name", "it leads out of its archive")
    assert passed_over(listing) == {
        "a.tar/../up.mp4": unsafe,
        "a.tar/a/../../up.mp4": unsafe,
    }
    good = [file for file in listing.files if not file.problem]
    assert read_all(good) == {
        "a.tar/absolute.mp4": b"absolute",
        "a.tar/good.mp4": b"good",
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".zip"])
def test_all_files_of_one_name_in_an_archive_are_read(tmp_path, suffix):
    # As `tar --append` leaves them, or archives that were put one after the other.
    path = tmp_path / f"a{suffix}"
    members = [("a/one.mp4", b"old"), ("./a/one.mp4", b"newer"), ("a/one.mp4", b"last")]
    members.append(("a/one (2).mp4", b"named so"))
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for name, content in members:
                archive.writestr(name, content)
    else:
        with tarfile.open(path, f"w:{suffix[5:]}") as archive:
            for name, content in members:
                add(archive, name, content)
    files = sources.list_files(tmp_path).files
    contents = read_all(files)
    assert {file.name: file.num_bytes for file in files} == {
        name: len(content) for name, content in contents.items()
    }
    assert contents == {
        f"a{suffix}/a/one.mp4": b"old",
        f"a{suffix}/a/one (2).mp4": b"newer",
        f"a{suffix}/a/one (3).mp4": b"last",
        f"a{suffix}/a/one (2) (2).mp4": b"named so",
    }


# Damage. What `write_tar` makes of CONTENTS: per video a header and 6 blocks.


def _tar_bytes(contents=CONTENTS) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            add(archive, name, content)
    return buffer.getvalue()


def _random_contents() -> dict[str, bytes]:
    """Returns videos that do not compress, larger than any buffer together."""
    generator = random.Random(0)
    return {f"{number:02}.mp4": generator.randbytes(30_000) for number in range(30)}


def _overwritten(content: bytes, start: int, patch: bytes) -> bytes:
    return content[:start] + patch + content[start + len(patch) :]


VIDEO = 7 * BLOCK
DAMAGE = {
    "garbage": (".tar", b"garbage" * 1000, 0),
    "garbage, compressed": (".tar.gz", gzip.compress(b"garbage" * 1000), 0),
    "no gzip": (".tar.gz", b"garbage" * 1000, 0),
    "nothing, compressed": (".tar.gz", gzip.compress(b""), 0),
    "cut in the first header": (".tar", _tar_bytes()[:100], 0),
    "cut in a video": (".tar", _tar_bytes()[: VIDEO + BLOCK + 700], 1),
    "cut behind a header": (".tar", _tar_bytes()[: VIDEO + BLOCK], 1),
    "cut in a header": (".tar", _tar_bytes()[: VIDEO + 100], 1),
    "cut between videos": (".tar", _tar_bytes()[: 2 * VIDEO], 2),
    "compressed, cut in the first header": (
        ".tar.gz", gzip.compress(_tar_bytes()[:100])[:-8], 0),
    "compressed, cut in a video": (
        ".tar.gz", gzip.compress(_tar_bytes()[: VIDEO + BLOCK + 700])[:-8], 1),
    "compressed, cut between videos": (
        ".tgz", gzip.compress(_tar_bytes()[: 2 * VIDEO])[:-8], 2),
    "overwritten header": (
        ".tar", _overwritten(_tar_bytes(), VIDEO, b"\xff" * BLOCK), 1),
    "overwritten header, compressed": (
        ".tar.gz",
        gzip.compress(_overwritten(_tar_bytes(), VIDEO, b"\xff" * BLOCK)), 1),
}  # fmt: skip


def _damage(path: Path, suffix: str, content: bytes) -> sources.Listing:
    touch(path, "beside.mp4")
    (path / f"a{suffix}").write_bytes(content)
    return sources.list_files(path)


@pytest.mark.parametrize("damage", DAMAGE)
def test_list_files_reports_a_damaged_archive(tmp_path, caplog, damage):
    suffix, content, _ = DAMAGE[damage]
    listing = _damage(tmp_path, suffix, content)
    (archive,) = listing.passed_over
    assert archive.name == f"a{suffix}"
    assert archive.problem[0] == "unreadable"
    assert archive.problem[1]
    assert f"1 archive could not be read to the end: a{suffix} (" in caplog.text


@pytest.mark.parametrize("damage", DAMAGE)
def test_read_uses_what_can_be_read_of_a_damaged_archive(tmp_path, damage):
    suffix, content, num_whole = DAMAGE[damage]
    results = read_all(_damage(tmp_path, suffix, content).files)
    assert results.pop("beside.mp4") == tmp_path / "beside.mp4"
    for number, (name, whole) in enumerate(CONTENTS.items()):
        result = results.pop(f"a{suffix}/{name}", None)
        if number < num_whole:
            assert result == whole
        elif result is not None:  # its header could be read, and nothing else
            reason, detail = result
            assert reason == "unreadable"
            assert detail.startswith("its archive is damaged: ")
    assert results == {}


@pytest.mark.parametrize(
    ("compress", "noise"),
    [(gzip.compress, b"\xff" * 5000), (lzma.compress, b"\xff" * 5000)],
    ids=["gzip", "xz that is named .tar"],
)
def test_list_files_reports_an_archive_with_a_damaged_middle(tmp_path, compress, noise):
    contents = _random_contents()
    compressed = compress(_tar_bytes(contents))
    damaged = _overwritten(compressed, len(compressed) // 2, noise)
    listing = _damage(tmp_path, ".tar", damaged)
    assert 5 < len(listing.files) < 30
    assert [file.name for file in listing.passed_over] == ["a.tar"]
    results = read_all(listing.files)
    for name in list(contents)[:5]:
        assert results[f"a.tar/{name}"] == contents[name]


def test_list_files_reports_an_empty_archive(tmp_path):
    (archive,) = _damage(tmp_path, ".tar", b"").passed_over
    assert archive.problem == ("empty", "0 bytes")


def test_list_files_takes_an_archive_without_members_as_sound(tmp_path):
    listing = _damage(tmp_path, ".tar", _tar_bytes({}))
    assert names(listing) == ["beside.mp4"]
    assert listing.passed_over == []


@pytest.mark.parametrize(
    "headers",
    [
        {"mtime": "nan"},
        {"mtime": "inf"},
        {"GNU.sparse.size": "x"},
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    ],
    ids=["mtime nan", "mtime inf", "sparse size", "sparse map", "sparse 1.0"],
)
def test_list_files_survives_senseless_headers(tmp_path, headers):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "one.mp4", b"one")
        add(archive, "two.mp4", b"two", pax_headers=headers)
    listing = sources.list_files(tmp_path)
    assert "a.tar/one.mp4" in names(listing)
    # Either the header does not matter, or the archive is named as damaged.
    assert len(listing.files) == 2 or len(listing.passed_over) == 1
    assert read_all(listing.files)["a.tar/one.mp4"] == b"one"


@pytest.mark.parametrize("size", [1 << 50, -BLOCK], ids=["beyond memory", "negative"])
def test_list_files_survives_a_senseless_size_of_headers(tmp_path, size):
    header = tarfile.TarInfo("headers")
    header.type, header.size = tarfile.XHDTYPE, size
    sound = _tar_bytes()[:VIDEO]
    content = sound + header.tobuf(tarfile.GNU_FORMAT) + bytes(2 * BLOCK)
    listing = _damage(tmp_path, ".tar", content)
    assert names(listing) == ["a.tar/a.mp4", "beside.mp4"]
    assert [file.name for file in listing.passed_over] == ["a.tar"]


def test_list_files_ends_where_a_size_leads_backwards(tmp_path):
    # Python before 3.11.14 and 3.12.12 goes round in circles (CVE-2025-8194).
    member = tarfile.TarInfo("b.mp4")
    member.size = -BLOCK
    content = _tar_bytes()[:VIDEO] + member.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(content + bytes(2 * BLOCK))
    script = (
        "import pathlib, sys; from kinetics_clips.write import sources\n"
        "listing = sources.list_files(pathlib.Path(sys.argv[1]))\n"
        "print(listing.files[0].name, listing.passed_over[0].problem[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        check=False,
    )
    assert done.stdout.split() == ["a.tar/a.mp4", "unreadable"], done.stderr


# Archives that were put one after the other, or that something else was put behind.

COMPRESS = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("tails", [b"", bytes(700), bytes(BLOCK), bytes(40 * BLOCK)])
def test_joined_archives_are_read_to_their_end(tmp_path, suffix, tails):
    if len(tails) % BLOCK and suffix == ".tar":
        pytest.skip("a tar archive is made of whole blocks")
    compress = COMPRESS[suffix]
    one = _tar_bytes({"a/1.mp4": b"1", "a/2.mp4": b"2" * BLOCK})
    two = _tar_bytes({"b/1.mp4": b"3" * 5000})
    three = _tar_bytes({})
    parts = [compress(part) + tails for part in (three, one, three, two, one)]
    (tmp_path / f"all{suffix}").write_bytes(b"".join(parts))
    listing = sources.list_files(tmp_path)
    assert passed_over(listing) == {}
    assert read_all(listing.files) == {
        f"all{suffix}/a/1.mp4": b"1",
        f"all{suffix}/a/1 (2).mp4": b"1",
        f"all{suffix}/a/2.mp4": b"2" * BLOCK,
        f"all{suffix}/a/2 (2).mp4": b"2" * BLOCK,
        f"all{suffix}/b/1.mp4": b"3" * 5000,
    }


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize(
    "tail",
    [
        b"x",
        b"\n" * BLOCK,
        b"garbage" * 10_000,
        gzip.compress(b"x")[:-1],
        b"BZh9",
        "zip",
    ],
    ids=["a byte", "a block", "more", "cut gzip", "bzip2's start", "zip"],
)
def test_what_follows_an_archive_and_is_none_is_reported(tmp_path, suffix, tail):
    if tail == "zip":
        tail = _zip_bytes(CONTENTS)
    content = COMPRESS[suffix](_tar_bytes()) + tail
    (tmp_path / f"a{suffix}").write_bytes(content)
    listing = sources.list_files(tmp_path)
    assert read_all(listing.files) == {f"a{suffix}/{n}": c for n, c in CONTENTS.items()}
    assert [file.name for file in listing.passed_over] == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_an_archive_behind_one_of_another_compression_is_reported(tmp_path, suffix):
    for other, compress in COMPRESS.items():
        joined = COMPRESS[suffix](_tar_bytes()) + compress(_tar_bytes())
        (tmp_path / f"a{suffix}").write_bytes(joined)
        listing = sources.list_files(tmp_path)
        if other == suffix:
            assert len(listing.files) == 6
        else:
            assert len(listing.files) == 3
            assert len(listing.passed_over) == 1


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_cut_between_joined_archives_is_reported(tmp_path, suffix):
    one = _tar_bytes()[: VIDEO + BLOCK + 700]
    joined = COMPRESS[suffix](one + _tar_bytes({"z.mp4": b"z"}))
    (tmp_path / f"a{suffix}").write_bytes(joined)
    listing = sources.list_files(tmp_path)
    assert len(listing.passed_over) == 1
    assert read_all(listing.files)[f"a{suffix}/a.mp4"] == CONTENTS["a.mp4"]


@pytest.mark.parametrize("where", ["between videos", "in a video", "to the end"])
def test_a_hole_that_a_download_left_is_reported(tmp_path, where):
    hole = bytes(3 << 20)
    content = _tar_bytes()
    if where == "between videos":  # a whole number of blocks
        content = content[:VIDEO] + hole + content[VIDEO:]
    elif where == "in a video":
        at = VIDEO + BLOCK + 100
        content = content[:at] + hole + content[at + 2 * VIDEO :]
    else:
        content = content[: 2 * VIDEO] + hole
    (tmp_path / "a.tar").write_bytes(content)
    (archive,) = sources.list_files(tmp_path).passed_over
    assert archive.problem[0] == "unreadable"
    assert "zeros where a member was expected" in archive.problem[1]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_every_video_in_front_of_damage_can_be_read(tmp_path, suffix):
    contents = _random_contents()
    compressed = COMPRESS[suffix](_tar_bytes(contents))
    (tmp_path / f"a{suffix}").write_bytes(compressed[: len(compressed) * 9 // 10])
    listing = sources.list_files(tmp_path)
    assert len(listing.passed_over) == 1
    whole = [c for c in read_all(listing.files).values() if isinstance(c, bytes)]
    # bzip2 compresses blocks of 900 kB.
    assert whole == list(contents.values())[: len(whole)]
    assert len(whole) >= (26 if suffix != ".tar.bz2" else 0)


def test_an_archive_that_zstd_compressed_is_reported_with_the_way_out(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    (archive,) = sources.list_files(tmp_path).passed_over
    assert archive.problem == (
        "unreadable", "compressed by zstd: `zstd -d` unpacks it")  # fmt: skip


# Links in archives.


def write_links(path: Path, members: list[tuple[str, str | bytes, str]]) -> None:
    """Writes an archive of `(name, content or target, "file", "hard" or "soft")`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content, kind in members:
                info = zipfile.ZipInfo(name)
                if kind == "soft":
                    info.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, content)
        return
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, content, kind in members:
            if kind == "file":
                add(archive, name, content)
            else:
                kinds = {"hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE}
                add(archive, name, b"", type=kinds[kind], linkname=content)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip"])
def test_links_within_an_archive_have_the_content_they_lead_to(tmp_path, suffix):
    members = [
        ("a/early.mp4", "../blobs/1", "soft"),
        ("a/chain.mp4", "early.mp4", "soft"),
        ("a/.hidden", b"hidden", "file"),
        ("blobs/1", b"one" * 1000, "file"),
        ("a/late.mp4", "./.././blobs/1", "soft"),
        ("a/to_hidden.mp4", ".hidden", "soft"),
        ("a/real.mp4", b"real", "file"),
    ]
    if suffix != ".zip":
        members.append(("a/hard.mp4", "./a/real.mp4", "hard"))
        members.append(("a/hard to soft.mp4", "a/early.mp4", "hard"))
    write_links(tmp_path / f"x{suffix}", members)
    listing = sources.list_files(tmp_path)
    assert passed_over(listing) == {}
    sizes = {file.name: file.num_bytes for file in listing.files}
    contents = read_all(listing.files)
    assert sizes == {name: len(content) for name, content in contents.items()}
    for name in ("early", "chain", "late", "hard to soft"):
        assert contents.pop(f"x{suffix}/a/{name}.mp4", b"one" * 1000) == b"one" * 1000
    assert contents.pop(f"x{suffix}/a/hard.mp4", b"real") == b"real"
    assert contents == {
        f"x{suffix}/a/real.mp4": b"real",
        f"x{suffix}/a/to_hidden.mp4": b"hidden",
    }


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_lead_to_a_member_of_their_own_archive_among_joined_ones(
    tmp_path, suffix, kind
):
    parts = []
    for content in (b"one", b"another"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            add(archive, "blob", content)
            add(archive, "link.mp4", b"", type=kind, linkname="blob")
        parts.append(COMPRESS[suffix](buffer.getvalue()))
    (tmp_path / f"x{suffix}").write_bytes(b"".join(parts))
    assert read_all(sources.list_files(tmp_path).files) == {
        f"x{suffix}/link.mp4": b"one",
        f"x{suffix}/link (2).mp4": b"another",
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
@pytest.mark.parametrize(
    ("target", "kind", "where"),
    [
        ("/etc/hostname", "soft", "out of"),
        ("../../etc/hostname", "soft", "out of"),
        ("a/../../secret.mp4", "soft", "out of"),
        ("../../secret.mp4", "hard", "out of"),
        ("nowhere.mp4", "soft", "nowhere in"),
        ("nowhere.mp4", "hard", "nowhere in"),
        ("link.mp4", "soft", "nowhere in"),
        ("loop.mp4", "soft", "nowhere in"),
    ],
)
def test_links_that_lead_elsewhere_are_not_followed(
    tmp_path, suffix, target, kind, where
):
    if (suffix, kind) == (".zip", "hard"):
        pytest.skip("zip archives have no hard links")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    members = [("link.mp4", target, kind), ("loop.mp4", "link.mp4", "soft")]
    write_links(tmp_path / f"root/x{suffix}", members)
    listing = sources.list_files(tmp_path / "root")
    problem = ("unreadable", f"a link that leads {where} its archive")
    assert problems(listing) == dict.fromkeys(
        (f"x{suffix}/link.mp4", f"x{suffix}/loop.mp4"), problem
    )
    assert set(read_all(listing.files).values()) == {
        ("unreadable", "no longer in its archive")
    }


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_links_to_folders_in_an_archive_are_reported(tmp_path, suffix):
    members = [
        ("train/zumba/1.mp4", b"1", "file"),
        ("val/zumba", "../train/zumba", "soft"),
        ("val/yoga", "/data/yoga", "soft"),
        ("val/notes", "../train/zumba/1.mp4", "soft"),
        ("val/nothing", "nowhere", "soft"),
    ]
    write_links(tmp_path / f"x{suffix}", members)
    listing = sources.list_files(tmp_path)
    assert names(listing) == [f"x{suffix}/train/zumba/1.mp4"]
    assert passed_over(listing) == dict.fromkeys(
        (f"x{suffix}/val/yoga", f"x{suffix}/val/zumba"),
        ("link not followed", "a link to a folder"),
    )


def test_links_to_a_member_that_is_too_large_are_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 10)
    write_links(
        tmp_path / "x.tar",
        [("a", bytes(11), "file"), ("b.mp4", "a", "soft"), ("c.mp4", "a", "hard")],
    )
    problem = ("too large", "11 bytes inside an archive")
    assert problems(sources.list_files(tmp_path)) == {
        "x.tar/b.mp4": problem,
        "x.tar/c.mp4": problem,
    }


# Zip archives.


def _zip_bytes(contents: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflated", "bzip2", "lzma"],
)
def test_zip_archives_are_read(tmp_path, method):
    contents = {"train/a b/é.mp4": b"1" * 9000, "train/empty.mp4": b"", "top.MKV": b"2"}
    contents |= {"__MACOSX/train/._1.mp4": b"x", "train/notes.md": b"x", "folder/": b""}
    (tmp_path / "x.ZIP").write_bytes(_zip_bytes(contents, method))
    listing = sources.list_files(tmp_path)
    assert problems(listing) == {
        "x.ZIP/top.MKV": None,
        "x.ZIP/train/a b/é.mp4": None,
        "x.ZIP/train/empty.mp4": ("empty", "0 bytes"),
    }
    good = [file for file in listing.files if not file.problem]
    assert read_all(good) == {
        "x.ZIP/train/a b/é.mp4": b"1" * 9000,
        "x.ZIP/top.MKV": b"2",
    }
    assert passed_over(listing) == {}


def test_a_damaged_member_of_a_zip_archive_costs_itself(tmp_path):
    content = _zip_bytes(CONTENTS, zipfile.ZIP_STORED)
    at = content.index(CONTENTS["b.mp4"]) + 10
    (tmp_path / "x.zip").write_bytes(_overwritten(content, at, b"?"))
    contents = read_all(sources.list_files(tmp_path).files)
    reason, detail = contents.pop("x.zip/b.mp4")
    assert reason == "unreadable"
    assert "Bad CRC-32" in detail
    assert contents == {f"x.zip/{name}": CONTENTS[name] for name in ("a.mp4", "c.mp4")}


@pytest.mark.parametrize(
    ("flag", "method", "detail"),
    [(1, 0, "encrypted"), (0, 9, "by method 9"), (0, 93, "by method 93")],
    ids=["encrypted", "deflate64", "zstd"],
)
def test_a_member_of_a_zip_archive_that_cannot_be_unpacked_is_named(
    tmp_path, flag, method, detail
):
    content = bytearray(_zip_bytes({"a.mp4": b"a", "b.mp4": b"b"}, zipfile.ZIP_STORED))
    for start in (0, content.index(b"PK\1\2")):  # the member's header, and the list's
        at = start + (8 if start else 6)
        content[at] |= flag
        content[at + 2] = method
    (tmp_path / "x.zip").write_bytes(content)
    contents = read_all(sources.list_files(tmp_path).files)
    assert contents.pop("x.zip/b.mp4") == b"b"
    assert contents["x.zip/a.mp4"][0] == "unreadable"
    assert detail in contents["x.zip/a.mp4"][1]


@pytest.mark.parametrize("cut", ["start", "middle", "end", "list", "joined"])
def test_a_zip_archive_that_is_no_whole_one_is_reported(tmp_path, cut):
    content = _zip_bytes(CONTENTS)
    content = {
        "start": content[:10],
        "middle": content[: len(content) // 2],
        "end": content[:-10],
        "list": _overwritten(content, content.index(b"PK\1\2"), b"????"),
        "joined": content + _zip_bytes({"d.mp4": b"d"}),
    }[cut]
    (tmp_path / "x.zip").write_bytes(content)
    listing = sources.list_files(tmp_path)
    assert names(listing) == (["x.zip/d.mp4"] if cut == "joined" else [])
    (archive,) = listing.passed_over
    assert (archive.name, archive.problem[0]) == ("x.zip", "unreadable")
    if cut == "joined":
        assert "were archives put one after the other?" in archive.problem[1]
        assert read_all(listing.files) == {"x.zip/d.mp4": b"d"}


@pytest.mark.parametrize(
    ("raw", "says_utf8", "of_dos", "name"),
    [
        ("é.mp4".encode(), True, False, "é.mp4"),
        ("é.mp4".encode(), False, False, "é.mp4"),
        ("é.mp4".encode("cp437"), False, True, "é.mp4"),
        (b"train\\a\\1.mp4", False, True, "train/a/1.mp4"),
        (b"a\\1.mp4", False, False, "a\\1.mp4"),
    ],
    ids=["UTF-8", "not said", "code page 437", "backslashes of DOS", "of Unix"],
)
def test_names_in_a_zip_archive_are_read_as_they_were_meant(
    tmp_path, raw, says_utf8, of_dos, name
):
    content = _zip_bytes({"N" * len(raw): b"x"}).replace(b"N" * len(raw), raw)
    content = bytearray(content)
    at = content.index(b"PK\1\2")
    content[at + 5] = 0 if of_dos else 3
    for flags in (6, at + 8):
        content[flags + 1] = 8 * says_utf8
    (tmp_path / "x.zip").write_bytes(content)
    listing = sources.list_files(tmp_path)
    assert problems(listing) == {f"x.zip/{name}": None}
    assert read_all(listing.files) == {f"x.zip/{name}": b"x"}


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 1000)
    bomb, liar = _zip_bytes({"a.mp4": bytes(1 << 20)}), bytearray()
    liar = bytearray(bomb)
    at = liar.index(b"PK\1\2")
    liar[at + 24 : at + 28] = (1000).to_bytes(4, "little")  # the size that it claims
    (tmp_path / "bomb.zip").write_bytes(bomb)
    (tmp_path / "liar.zip").write_bytes(liar)
    listing = sources.list_files(tmp_path)
    assert problems(listing) == {
        "bomb.zip/a.mp4": ("too large", "1048576 bytes inside an archive"),
        "liar.zip/a.mp4": None,
    }
    ((_, content),) = sources.read([("key", listing.files[1])])
    assert content[0] == "unreadable"


# What is not read.


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.rar", "archive not read: .rar"),
        ("a.part1.RAR", "archive not read: .rar"),
        ("a.r00", "archive not read: in parts"),
        ("a.z01", "archive not read: in parts"),
        ("a.7z", "archive not read: .7z"),
        ("a.7z.001", "archive not read: in parts"),
        ("a.zip.002", "archive not read: in parts"),
        ("a.tar.gz.aa", "archive not read: in parts"),
        ("a.tar.00", "archive not read: in parts"),
        ("a.tar.zst", "archive not read: .tar.zst"),
        ("a.tar.lz4", "archive not read: .tar.lz4"),
        ("a.mp4.gz", "archive not read: .mp4.gz"),
        ("train.csv.gz", "table not read: in an archive"),
        ("a.gz", "archive not read: .gz"),
        ("a.viv", "format not read: .viv"),
        ("a.SMK", "format not read: .smk"),
        ("a.roq", "format not read: .roq"),
        ("a.swf", "format not read: .swf"),
        ("a.mp4.1", "format not read: more behind .mp4"),
        ("a.mp4 ", "format not read: more behind .mp4"),
        ("a.mkv~", "format not read: more behind .mkv"),
        ("a.mp4\u200b", "format not read: more behind .mp4"),
        ("a.mp4 (1)", "format not read: more behind .mp4"),
        ("a.avi copy 2", "format not read: more behind .avi"),
        ("a.tar.gz.1", "format not read: more behind .gz"),
        ("a.mp4.part", "unfinished download"),
        ("a.f137.mp4.part", "unfinished download"),
        ("a.mp4.part-Frag12", "unfinished download"),
        ("a.mp4.part-Frag12.part", "unfinished download"),
        ("a.mp4.ytdl", "unfinished download"),
        ("a.mp4.crdownload", "unfinished download"),
        ("Unconfirmed 123.crdownload", "unfinished download"),
        ("a.mp4.!qB", "unfinished download"),
        ("a.mkv.tmp", "unfinished download"),
        ("part_0.tar.gz.part", "unfinished download"),
        ("part_0.tar.gz.aria2", "unfinished download"),
        *((name, None) for name in [
            "a.json", "a.mp4.json", "a.mp4.md5", "a.md", "README", "a.npy.gz", "a.tmp",
            "a.jpg", "a.webp", "a.m4a", "a.1", "a.log.1",
        ]),
    ],
)  # fmt: skip
def test_what_may_hold_videos_and_is_not_read_is_reported(tmp_path, name, reason):
    touch(tmp_path, f"train/{name}")
    write_tar(tmp_path / "x.tar", {f"a/{name}": b"x"})
    listing = sources.list_files(tmp_path)
    found = {file.name: file.problem[0] for file in listing.passed_over}
    expected = {f"train/{name}": reason, f"x.tar/a/{name}": reason} if reason else {}
    assert found == expected
    assert names(listing) == []


def test_tables_in_archives_are_reported(tmp_path):
    write_tar(tmp_path / "x.tar", {"annotations/train.csv": b"x", "a/one.mp4": b"x"})
    assert passed_over(sources.list_files(tmp_path)) == {
        "x.tar/annotations/train.csv": (
            "table not read: in an archive", "unpack the archive")
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_videos_without_a_suffix_are_reported(tmp_path, suffix):
    synthetic.write_video(tmp_path / f"a{suffix}", 3, height=32, width=48)
    (tmp_path / f"a{suffix}").rename(tmp_path / "dQw4w9WgXcQ")
    (tmp_path / "README").write_text("ftyp, and what else mp4 files begin with")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    listing = sources.list_files(tmp_path)
    assert {name: why for name, (why, _) in passed_over(listing).items()} == {
        "dQw4w9WgXcQ": "format not read: without suffix"
    }


def test_archives_in_archives_are_reported(tmp_path):
    write_tar(tmp_path / "x.tar", {"a/in.tar.gz": b"x", "b.zip": b"x"})
    assert passed_over(sources.list_files(tmp_path)) == dict.fromkeys(
        ("x.tar/a/in.tar.gz", "x.tar/b.zip"),
        ("archive not read: in an archive", "unpack the outer one"),
    )


def test_what_is_read_is_not_among_what_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SUFFIXES", sources.SUFFIXES | {".gif"})
    touch(tmp_path, "a.gif")
    write_tar(tmp_path / "x.tar", {"a/b.gif": b"x"})
    listing = sources.list_files(tmp_path)
    assert names(listing) == ["a.gif", "x.tar/a/b.gif"]
    assert passed_over(listing) == {}


# What changes between listing and reading.


def test_read_reports_members_that_have_vanished(tmp_path):
    write_tar(tmp_path / "a.tar", CONTENTS)
    files = sources.list_files(tmp_path).files
    write_tar(tmp_path / "a.tar", {"b.mp4": b"new"})
    vanished = ("unreadable", "no longer in its archive")
    assert read_all(files) == {
        "a.tar/a.mp4": vanished,
        "a.tar/b.mp4": b"new",
        "a.tar/c.mp4": vanished,
    }


def test_read_reports_an_archive_that_has_vanished(tmp_path):
    write_tar(tmp_path / "a.tar", CONTENTS)
    write_tar(tmp_path / "b.tar", {"one.mp4": b"one"})
    files = sources.list_files(tmp_path).files
    (tmp_path / "a.tar").unlink()
    results = read_all(files)
    assert results.pop("b.tar/one.mp4") == b"one"
    assert len(results) == 3
    for reason, detail in results.values():
        assert reason == "unreadable"
        assert detail.startswith("its archive is damaged: [Errno 2] No such file")


def test_read_reports_an_archive_that_was_cut_meanwhile(tmp_path):
    path = write_tar(tmp_path / "a.tar", CONTENTS)
    files = sources.list_files(tmp_path).files
    path.write_bytes(path.read_bytes()[: VIDEO + BLOCK + 700])
    results = read_all(files)
    assert results.pop("a.tar/a.mp4") == CONTENTS["a.mp4"]
    damaged = ("unreadable", "its archive is damaged: unexpected end of data")
    assert results == {"a.tar/b.mp4": damaged, "a.tar/c.mp4": damaged}


def test_read_of_nothing_yields_nothing():
    assert list(sources.read([])) == []


# Names.


@pytest.mark.parametrize(
    ("name", "archive", "unpacked"),
    [
        ("train/zumba/one.mp4", None, "train/zumba/one.mp4"),
        ("train/zumba.tar.gz/one.mp4", "train/zumba.tar.gz", "train/zumba/one.mp4"),
        (
            "train/zumba.tar.gz/zumba/one.mp4",
            "train/zumba.tar.gz",
            "train/zumba/one.mp4",
        ),
        ("train/part_0.tar/zumba/one.mp4", "train/part_0.tar", "train/zumba/one.mp4"),
        ("train.tar/train/zumba/one.mp4", "train.tar", "train/zumba/one.mp4"),
        ("all.TGZ/one.mp4", "all.TGZ", "all/one.mp4"),
    ],
    ids=["loose", "class", "class twice", "part", "split", "upper case"],
)
def test_unpacked_is_where_the_file_would_lie(name, archive, unpacked):
    file = File(Path("root"), name, 1, 0, archive)
    assert file.unpacked == PurePosixPath(unpacked)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.mp4", "plain.mp4"),
        ("é泳.mp4", "é泳.mp4"),
        (os.fsdecode(b"bad\xe9.mp4"), "bad\\xe9.mp4"),
    ],
    ids=["ASCII", "UTF-8", "not UTF-8"],
)
def test_as_utf8_can_always_be_written(name, expected):
    assert sources.as_utf8(name) == expected
    assert File(Path("root"), name, 1, 0).filename == expected
    sources.as_utf8(name).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("zumba.tar", "zumba"),
        ("zumba.tar.gz", "zumba"),
        ("k700_train_001.TGZ", "k700_train_001"),
        ("zumba.gz", None),
        ("zumba.tar.xz", "zumba"),
        ("zumba.tbz2", "zumba"),
        ("zumba.ZIP", "zumba"),
        ("zumba.tar.zst", None),
        ("tar", None),
    ],
)
def test_without_archive_suffix(name, stem):
    assert archives.is_archive(name) == (stem is not None)
    assert archives.without_suffix(name) == (stem or name)
