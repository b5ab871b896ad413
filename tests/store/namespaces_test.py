import json
import re
import shutil
import uuid

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st
from processes import run_script

import kinetics_clips
from kinetics_clips import ClipSource, ClipSpec, load_clips, register_namespaces

SPEC = ClipSpec(length=4)


@pytest.fixture
def name() -> str:
    """A namespace of the test's own: they last as long as the process."""
    return f"team_{uuid.uuid4().hex}"


def write(directory, text: str):
    path = directory / "team.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_team_reads_by_its_own_name(tmp_path, data_dir, name):
    shared = tmp_path / "shared"
    shutil.copytree(data_dir, shared / "tfds")
    for path in shared.rglob("*.frame_index"):
        path.unlink()
    path = write(shared, f'[{name}]\npaths = ["tfds"]\ninfo = "What we have."\n')
    assert register_namespaces(path) == [name]
    assert register_namespaces(path) == [name]
    dataset = f"{name}:kinetics_clips/folder"
    ds = tfds.load(
        dataset, split="train", decoders={"video": kinetics_clips.EncodedFrames()}
    )
    builder = tfds.builder("kinetics_clips/folder", data_dir=data_dir)
    num_videos = builder.info.splits["train"].num_examples
    assert len(list(ds)) == num_videos
    assert len(list(load_clips(dataset, "train", SPEC))) == num_videos


def test_a_team_reads_by_the_index(data_dir, tmp_path, name):
    register_namespaces(write(tmp_path, f'[{name}]\npaths = "{data_dir}"'))
    team = ClipSource(f"{name}:kinetics_clips/folder", "train", SPEC, seed=0)
    own = ClipSource("kinetics_clips/folder", "train", SPEC, seed=0, data_dir=data_dir)
    np.testing.assert_array_equal(team[0]["video"], own[0]["video"])


def test_no_tensorflow_is_needed(data_dir, tmp_path, name):
    path = write(tmp_path, f'[{name}]\npaths = ["{data_dir}"]')
    done = run_script(
        """
import sys
from kinetics_clips import ClipSource, ClipSpec, register_namespaces
register_namespaces(sys.argv[1])
source = ClipSource(sys.argv[2] + ":kinetics_clips/folder", "train", ClipSpec(length=4))
print(source[0]["video"].shape[0], "tensorflow" in sys.modules)
""",
        path,
        name,
    )
    assert done.stdout.split() == ["4", "False"], done.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at least one namespace, such as [team], got none"),
        ("[team", "TOML in UTF-8, got: "),
        ("paths = 'x'", "tables, such as [team], got paths = 'x'"),
        ("['a b']\npaths = 'x'", "names of letters, digits, '_' and '-', got [a b]"),
        ("[team]\npath = 'x'", "only `paths` and `info` in [team], got ['path']"),
        ("[team]\ninfo = 'x'", "a directory or a list of them as `paths` of [team]"),
        ("[team]\npaths = []", "a directory or a list of them as `paths` of [team]"),
        ("[team]\npaths = [1]", "a directory or a list of them as `paths` of [team]"),
        ("[team]\npaths = ['']", "a directory or a list of them as `paths` of [team]"),
        ("[team]\npaths = 'gone'", "/gone."),
        ("[team]\npaths = 'github://a/b/tree/c'", "as `paths` of [team], got github:"),
    ],
)
def test_a_bad_file_is_an_error_that_says_why(tmp_path, text, problem):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(f"{path} must hold ")) as error:
        register_namespaces(path)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "[team]\npaths = 'a\\u0000b'",
        '[team]\npaths = "a\\u0000b"',
        "[team]\npaths = '~nobody-of-that-name/data'",
        "[team]\npaths = " + "[" * 100_000,
        f"[team]\npaths = '{'x' * 5000}'",
        "\ufeff[team]\npaths = 1",
        "[team]\r\npaths = 1\r\n",
        "[team]\npaths = '.'\npaths = '.'",
        "[team]\npaths = '.'\n[team]\npaths = '.'",
        f"[team]\npaths = '{'x' * 10_000_000}'",
    ],
)
def test_a_hostile_file_is_an_error_with_its_name(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(f"{path} must hold ")) as error:
        register_namespaces(path)
    assert len(str(error.value)) < 1000


toml_values = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["gone", "~nobody/x", "a\0b", "/", "github://a", "://", ""]),
    st.integers(),
    st.booleans(),
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=60).map(lambda text: f"[team]\n{text}".encode()),
        st.dictionaries(
            st.sampled_from(["paths", "info", "other"]),
            st.one_of(toml_values, st.lists(toml_values, max_size=3)),
        ).map(
            lambda table: "\n".join(
                ["[team]", *(f"{key} = {json.dumps(v)}" for key, v in table.items())]
            ).encode()
        ),
    )
)
def test_any_file_is_registered_or_an_error_with_its_name(tmp_path, content):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    try:
        register_namespaces(path)
    except ValueError as error:
        assert str(error).startswith(f"{path} must hold ")


def test_names_are_what_tfds_takes(data_dir, tmp_path, name):
    for team in (f"{name}-team", f"3d_{name}"):
        register_namespaces(write(tmp_path, f"[{team}]\npaths = '{data_dir}'"))
        assert len(ClipSource(f"{team}:kinetics_clips/folder", "train", SPEC)) == 4


def test_a_directory_is_the_same_by_every_way_to_it(tmp_path, name):
    (tmp_path / "real/data").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    path = write(tmp_path / "real", f"[{name}]\npaths = 'data'")
    assert register_namespaces(path) == [name]
    assert register_namespaces(tmp_path / "link/team.toml") == [name]
    path = write(tmp_path / "real", f"[{name}]\npaths = '../real/data'")
    assert register_namespaces(path) == [name]


def test_the_file_may_lie_in_the_home_directory(data_dir, tmp_path, name, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").symlink_to(data_dir)
    write(tmp_path, f"[{name}]\npaths = '~/data'")
    assert register_namespaces("~/team.toml") == [name]
    monkeypatch.chdir("/")
    assert len(ClipSource(f"{name}:kinetics_clips/folder", "train", SPEC)) == 4


def test_what_a_namespace_does_not_hold_is_an_error_in_its_words(
    data_dir, tmp_path, name
):
    shutil.copytree(data_dir, tmp_path / "newer")
    config = tmp_path / "newer/kinetics_clips/folder"
    (config / "2.0.0").rename(config / "2.1.0")
    text = f"[{name}]\npaths = '{data_dir}'\n"
    text += f"[{name}_2]\npaths = ['{data_dir}', 'newer']"
    register_namespaces(write(tmp_path, text))
    for dataset, data_dir_, problem in [
        (f"{name}:kinetics_clips/other", None, f"got {name}:kinetics_clips/other: "),
        (f"{name}:other", None, "Could not find dataset files for: other"),
        (f"{name}_3:kinetics_clips/folder", None, "`register_namespaces` makes"),
        (f"{name}:kinetics_clips/folder", data_dir, "`data_dir` cannot be set"),
        (f"{name}_2:kinetics_clips/folder", None, "multiple locations"),
    ]:
        with pytest.raises(FileNotFoundError, match=re.escape(problem)):
            ClipSource(dataset, "train", SPEC, data_dir=data_dir_)
    assert len(ClipSource(f"{name}_2:kinetics_clips/folder:2.0.0", "train", SPEC)) == 4


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.toml"):
        register_namespaces(tmp_path / "gone.toml")


def test_a_name_that_is_taken_is_an_error(tmp_path, name):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    register_namespaces(write(tmp_path, f"[{name}]\npaths = 'one'"))
    text = f"[{name}_new]\npaths = 'one'\n[{name}]\npaths = 'two'"
    with pytest.raises(ValueError, match=rf"got \[{name}\], which stands for .*one"):
        register_namespaces(write(tmp_path, text))
    with pytest.raises(tfds.core.DatasetNotFoundError, match="not found"):
        tfds.builder(f"{name}_new:kinetics_clips/folder")
