import shutil

import pytest
import tensorflow_datasets as tfds
from conftest import run_script

import kinetics_clips
from kinetics_clips import datasets


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
        r"there is kinetics_clips/folder:1\.0\.0\.",
    ):
        datasets.find(name, data_dir.name)


def test_find_never_builds(tmp_path):
    unprepared = kinetics_clips.Builder(config="folder", data_dir=tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"folder/1\.0\.0, which is not in .*: there is nothing"
    ):
        datasets.find(unprepared)
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    "builder",
    [
        "tfds.builder('kinetics_clips/folder', data_dir=sys.argv[1])",
        "tfds.builder('kinetics_clips/folder')",  # in TFDS_DATA_DIR
        "tfds.builder_from_directory(sys.argv[1] + '/kinetics_clips/folder/1.0.0')",
    ],
)
def test_is_read_without_the_package(data_dir, monkeypatch, builder):
    if "data_dir" not in builder:
        monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    done = run_script(
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
    done = run_script(script)
    assert done.stdout.strip() == "4 4", done.stderr


def test_public_names_are_there():
    for name in kinetics_clips.__all__:
        public = getattr(kinetics_clips, name)
        assert public.__doc__ or name.startswith("VIEWS_")
    assert set(kinetics_clips.__all__) <= set(dir(kinetics_clips))
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'"):
        kinetics_clips.nothing  # noqa: B018
