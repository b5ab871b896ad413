import functools
import json
import logging
import pickle
import shutil
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from conftest import numbers
from processes import run_script, run_tensorflow

import kinetics_clips
from kinetics_clips import files
from kinetics_clips.store import datasets


def test_find_takes_name_directory_and_builder(builder, data_dir):
    found = [
        datasets.find("kinetics_clips/folder", data_dir),
        datasets.find(builder.data_dir),
        datasets.find(builder),
    ]
    assert {str(one.data_dir) for one in found} == {str(builder.data_dir)}


def test_a_dataset_in_a_directory_of_any_name_is_read(builder, tmp_path):
    directory = tmp_path / "my copy"
    shutil.copytree(builder.data_dir, directory)
    spec = kinetics_clips.ClipSpec(length=2)
    for dataset in (directory, datasets.find(directory)):
        assert len(list(kinetics_clips.load_clips(dataset, "train", spec))) == 4
    assert len(kinetics_clips.ClipSource(datasets.find(directory), "train", spec)) == 4


@pytest.mark.parametrize("name", ["kinetics_clips/k400", "kinetics_clips/nowhere"])
def test_find_says_what_is_there_and_how_to_build(data_dir, monkeypatch, name):
    monkeypatch.chdir(data_dir.parent)
    with pytest.raises(
        FileNotFoundError,
        match=rf"got {name}.* not in {data_dir}: "
        r"there is kinetics_clips/folder:2\.0\.0\.",
    ):
        datasets.find(name, data_dir.name)


def test_find_never_builds(tmp_path):
    unprepared = kinetics_clips.Builder(config="folder", data_dir=tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=r"folder/2\.0\.0, which is not in .*: that directory has no dataset",
    ):
        datasets.find(unprepared)
    assert not list(tmp_path.iterdir())


def test_a_directory_without_a_dataset_is_told_from_no_directory(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=rf"must be a directory with its dataset_info.json, got {tmp_path}, which "
        "is there, but holds none",
    ):
        datasets.find(tmp_path)
    with pytest.raises(FileNotFoundError, match="that directory has no dataset"):
        datasets.find(tmp_path / "nowhere", data_dir=tmp_path)


def test_label_name(builder):
    assert [kinetics_clips.label_name(builder.info, i) for i in (-1, 0, 1)] == [
        None,
        "blue",
        "red",
    ]
    for label in (-2, 2):
        with pytest.raises(
            ValueError, match=rf"`label` must be in \[-1, 2\), got {label}"
        ):
            kinetics_clips.label_name(builder.info, label)


def test_label_number(builder):
    names = builder.info.features["label"].names
    assert [datasets.label_number(builder.info, name) for name in names] == [0, 1]
    with pytest.raises(
        ValueError, match=r"2 classes of .*, got 'RED'\. There is 'red'\."
    ):
        datasets.label_number(builder.info, "RED")
    with pytest.raises(ValueError, match=r"got 'xyz'\. There is 'blue', 'red'\."):
        datasets.label_number(builder.info, "xyz")


def test_loads_by_name_with_the_package(data_dir):
    ds = tfds.load("kinetics_clips/folder", split="train", data_dir=data_dir)
    assert len(ds) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "builder",
    [
        "tfds.builder('kinetics_clips/folder', data_dir=sys.argv[1])",
        "tfds.builder('kinetics_clips/folder')",  # in TFDS_DATA_DIR
        "tfds.builder_from_directory(sys.argv[1] + '/kinetics_clips/folder/2.0.0')",
    ],
)
def test_is_read_without_the_package(data_dir, monkeypatch, builder):
    run = functools.partial(run_tensorflow, "-c")
    if builder == "tfds.builder('kinetics_clips/folder')":  # TFDS looks when imported
        monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
        run = run_script
    done = run(
        f"""
import sys
import tensorflow_datasets as tfds
builder = {builder}
ds = builder.as_dataset(split="train")
names = builder.info.features["label"].names
print(len(ds), names, "kinetics_clips" in sys.modules)
""",
        data_dir,
    )
    assert done.stdout.strip() == "4 ['blue', 'red'] False", done.stderr


def test_importing_the_package_registers_it_without_tensorflow():
    script = (
        "import sys, kinetics_clips, tensorflow_datasets as tfds\n"
        "tfds.builder_cls('kinetics_clips')\n"
        "print('tensorflow' in sys.modules)\n"
    )
    done = run_script(script)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.slow
def test_reading_needs_no_video_codec(data_dir):
    script = (
        "import sys\n"
        "sys.modules['cv2'] = sys.modules['av'] = None\n"  # importing them fails
        "import kinetics_clips\n"
        "ds = kinetics_clips.load_clips('kinetics_clips/folder', 'train',\n"
        f"    kinetics_clips.ClipSpec(length=4), data_dir={str(data_dir)!r})\n"
        "source = kinetics_clips.ClipSource('kinetics_clips/folder', 'train',\n"
        f"    kinetics_clips.ClipSpec(length=4, crop=64), data_dir={str(data_dir)!r})\n"
        "print(len(list(ds)), len(list(source)))\n"
    )
    done = run_tensorflow("-c", script)
    assert done.stdout.strip() == "4 4", done.stderr


def test_public_names_are_there():
    for name in kinetics_clips.__all__:
        public = getattr(kinetics_clips, name)
        assert public.__doc__ or name.startswith("VIEWS_")
    assert set(kinetics_clips.__all__) <= set(dir(kinetics_clips))
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'"):
        kinetics_clips.nothing  # noqa: B018


SPEC = kinetics_clips.ClipSpec(length=4)

READERS = {
    "load_clips": kinetics_clips.load_clips,
    "ClipSource": kinetics_clips.ClipSource,
    "show_clips": kinetics_clips.show_clips,
}


@pytest.fixture(params=READERS)
def reader(request):
    return READERS[request.param]


RI = tfds.core.ReadInstruction

BAD_SPLITS = {
    "train[3:1]": r"it ends at 1, before it begins at 3",
    "train[3:2]": r"it ends at 2, before it begins at 3",  # of which TFDS takes one
    "validation+train[2:1]": r"it ends at 1, before it begins at 2",
    "train[:0]": r"it holds no video",
    "train[:0%]": r"it holds no video",
    "train[4:]": r"it holds no video",
    "train[9:]": r"incompatible with 4 examples",
    "nope": r"Unknown split 'nope'",
    "train[": r"Unrecognized split format: 'train\['",
    "all[:2]": r"'all' does not support slice",
    "": r"Unrecognized split format: ''",
    None: r"it is of NoneType",
    ("train", "validation"): r"it is of tuple",
    RI("train", from_=3, to=1, unit="abs"): r"it ends at 1, before it begins at 3",
    RI("nope"): r"Unknown split 'nope'",
}


@pytest.mark.parametrize("split", [*BAD_SPLITS, ["train"]], ids=repr)
@pytest.mark.parametrize("which", ["data_dir", "streamed_dir"])
def test_a_split_that_is_none_is_one_error_in_all_readers(
    request, reader, which, split
):
    problem = r"it is of list" if split == ["train"] else BAD_SPLITS[split]
    data_dir = request.getfixturevalue(which)
    with pytest.raises(
        ValueError,
        match=rf"^`split` must be a split, .*'train\[:80%\]'.*, got .*: .*{problem}.*"
        r"\. There is train of 4 videos, validation of 1 video\.$",
    ):
        reader("kinetics_clips/folder", split, SPEC, data_dir=data_dir)


@pytest.mark.parametrize(
    ("split", "count"),
    [
        ("all", 5),
        ("train+validation", 5),
        ("validation+train[:0]", 1),
        ("train[:50%]+validation", 3),
        ("train[-1:]", 1),
        ("train[0shard]", 4),
        (RI("train", to=50, unit="%") + RI("validation"), 3),
        (tfds.even_splits("train", 3)[0], 2),
        (tfds.Split.TRAIN, 4),
    ],
    ids=str,
)
def test_a_split_is_any_expression_of_tfds(builder, split, count):
    assert datasets.split_of(builder, split).num_examples == count
    assert len(kinetics_clips.ClipSource(builder, split, SPEC)) == count
    assert len(kinetics_clips.load_clips(builder, split, SPEC)) == count


def test_an_absolute_path_is_a_place_and_an_address_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/usr")
    assert files.absolute("~/x") == f"{tmp_path}/x"
    assert files.absolute(Path("~/x")) == f"{tmp_path}/x"
    assert files.absolute("a/~/b") == "/usr/a/~/b"
    assert files.absolute("~nobody that is/x") == "/usr/~nobody that is/x"
    assert files.absolute(b"x") == "/usr/x"
    for address in ("gs://bucket/x", "s3://bucket", "https://host/~x"):
        assert files.absolute(address) == address
    assert files.absolute(tfds.core.Path("gs://bucket/x")) == "gs://bucket/x"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["data", Path("data"), "~/data"], ids=repr)
@pytest.mark.parametrize("which", ["data_dir", "streamed_dir"])
def test_a_relative_directory_stays_where_it_was(
    request, tmp_path, monkeypatch, reader, which, where
):
    (tmp_path / "data").symlink_to(request.getfixturevalue(which))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    directory = f"{where}/kinetics_clips/folder/{kinetics_clips.Builder.VERSION}"
    clips = [
        reader(dataset, "train", SPEC, data_dir=data_dir)
        for dataset, data_dir in (
            ("kinetics_clips/folder", where),
            (directory, None),
            (Path(directory), None),
            (tfds.builder("kinetics_clips/folder", data_dir=where), None),
            (tfds.builder_from_directory(directory), None),
        )
        if which == "data_dir" or reader is not kinetics_clips.ClipSource
    ]
    monkeypatch.chdir("/")
    for one in clips:
        if reader is kinetics_clips.load_clips:
            assert len(list(one)) == 4
        elif reader is kinetics_clips.ClipSource:
            assert len(list(pickle.loads(pickle.dumps(one)))) == len(list(one)) == 4
        else:
            assert one.sheet().size


@pytest.mark.slow
def test_tfds_default_directory_may_be_relative_too(data_dir, tmp_path):
    (tmp_path / "data").symlink_to(data_dir)
    script = f"""
import os, sys
os.chdir({str(tmp_path)!r})
os.environ["TFDS_DATA_DIR"] = "data"
import kinetics_clips
spec = kinetics_clips.ClipSpec(length=4)
builder = kinetics_clips.Builder(config="folder")
clips = [
    kinetics_clips.load_clips("kinetics_clips/folder", "train", spec),
    kinetics_clips.ClipSource("kinetics_clips/folder", "train", spec),
    kinetics_clips.ClipSource(builder, "train", spec),
]
os.chdir("/")
print(*(len(list(one)) for one in clips), builder.data_dir)
"""
    done = run_script(script)
    place = f"{tmp_path}/data/kinetics_clips/folder/{kinetics_clips.Builder.VERSION}"
    assert done.stdout.strip() == f"4 4 4 {place}", done.stderr


@pytest.fixture
def old_dir(data_dir, tmp_path) -> Path:
    """A directory in which the dataset is, as version 1.0.0 has stored it."""
    new = data_dir / f"kinetics_clips/folder/{kinetics_clips.Builder.VERSION}"
    old = tmp_path / "kinetics_clips/folder/1.0.0"
    shutil.copytree(new, old)
    info = old / "dataset_info.json"
    content = json.loads(info.read_text()) | {"version": "1.0.0"}
    info.write_text(json.dumps(content))
    datasets._log_once.cache_clear()
    return tmp_path


COLOURS = "Stored by version 1.0.0: colours of HD videos are off; build again to mend"


@pytest.mark.parametrize(
    "name", ["kinetics_clips/folder", "kinetics_clips/folder:1.0.0", None]
)
def test_datasets_of_version_1_0_0_are_read_and_told_apart(
    old_dir, reader, name, caplog
):
    dataset = name or old_dir / "kinetics_clips/folder/1.0.0"
    before = sorted(old_dir.rglob("*"))
    caplog.set_level(logging.WARNING, "kinetics_clips")
    for _ in range(2):
        clips = reader(dataset, "train", SPEC, data_dir=old_dir)
    if reader is not kinetics_clips.show_clips:
        videos = [clip["video"] for clip in clips]
        assert len(videos) == 4
        for video in videos:
            first = numbers(video)[0]
            assert numbers(video) == [first, first + 1, first + 2, first + 3]
    assert sorted(old_dir.rglob("*")) == before  # nothing is built
    messages = [r.getMessage() for r in caplog.records if r.name.endswith(".datasets")]
    place = old_dir / "kinetics_clips/folder"
    version = kinetics_clips.Builder.VERSION
    fallback = f"{name} is read in version 1.0.0, since {place} has no {version}."
    assert messages == [
        *([fallback] if name == "kinetics_clips/folder" else []),
        f"{place / '1.0.0'}: {COLOURS}.",
    ]


def test_the_version_of_this_package_comes_first(old_dir, data_dir, caplog):
    shutil.copytree(data_dir, old_dir, dirs_exist_ok=True)
    caplog.set_level(logging.WARNING, "kinetics_clips")
    found = datasets.find("kinetics_clips/folder", old_dir)
    assert found.version == kinetics_clips.Builder.VERSION
    assert not [r for r in caplog.records if r.name.endswith(".datasets")]
    assert datasets.fault_of(found.info) is None


def test_a_version_that_is_asked_for_and_is_not_there_is_an_error(old_dir):
    with pytest.raises(
        FileNotFoundError, match=r"there is kinetics_clips/folder:1\.0\.0\. Name one"
    ):
        datasets.find("kinetics_clips/folder:2.0.0", old_dir)
    unprepared = kinetics_clips.Builder(config="folder", data_dir=old_dir)
    with pytest.raises(FileNotFoundError, match=r"got kinetics_clips/folder/2\.0\.0"):
        datasets.find(unprepared)


def test_nothing_is_said_of_datasets_of_other_builders(builder):
    class Info:
        name, version = "ucf101", tfds.core.Version("1.0.0")

    assert datasets.fault_of(Info) is None
    assert datasets.fault_of(builder.info) is None


@pytest.mark.parametrize("policy", tfds.testing.MockPolicy)
def test_no_reader_reads_real_files_behind_the_mock_of_tfds(
    reader, builder, data_dir, policy
):
    for dataset in ("kinetics_clips/folder", builder.data_dir, builder):
        with tfds.testing.mock_data(policy=policy, data_dir=str(data_dir)):
            with pytest.raises(
                RuntimeError,
                match=r"outside of `tfds\.testing\.mock_data`.*"
                r"kinetics_clips\.testing\.make_dataset",
            ):
                reader(dataset, "train", SPEC, data_dir=data_dir)
    reader(builder, "train", SPEC)


def test_sample_clip_works_under_the_mock_of_tfds():
    with tfds.testing.mock_data(num_examples=3):
        raw = tfds.load(
            "kinetics_clips/k400",
            split="train",
            decoders={"video": kinetics_clips.EncodedFrames()},
            read_config=kinetics_clips.read_config(),
        )
        spec = kinetics_clips.ClipSpec(length=8, crop=16)
        clips = list(raw.map(lambda one: kinetics_clips.sample_clip(one, spec)))
    assert [clip["video"].shape for clip in clips] == [(8, 16, 16, 3)] * 3
