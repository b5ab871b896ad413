import pytest

from kinetics_clips.store import build_dirs


def test_versions_are_those_that_are_complete_the_newest_last(tmp_path):
    for name in ("1.10.0", "1.9.0", "2.0.0", "incomplete.new_1.9.1", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset_info.json").touch()
    (tmp_path / "2.0.0/dataset_info.json").unlink()
    assert build_dirs.versions(tmp_path) == ["1.9.0", "1.10.0"]
    assert build_dirs.versions(tmp_path / "nowhere") == []


def test_a_build_needs_a_file_system(tmp_path):
    build_dirs.require_local(tmp_path)
    with pytest.raises(ValueError, match="mounted directory to build in, got gs://a/b"):
        build_dirs.require_local("gs://a/b")
