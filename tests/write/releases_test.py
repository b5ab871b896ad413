from pathlib import Path

import pytest

from kinetics_clips.write import annotations, releases
from kinetics_clips.write.releases import FOLDER, RELEASES


@pytest.mark.parametrize("release", sorted(set(RELEASES) - {FOLDER}))
def test_a_release_is_complete(release):
    """So that a new one lacks nothing."""
    assert len(annotations.labels_of(release).names) == int(release[1:4])
    assert releases.COUNTS[release]
    name = release.removeprefix("k").replace("_", "-")
    assert releases.named(Path(f"kinetics-{name}/train.csv")) == release


@pytest.mark.parametrize(
    ("path", "release"),
    [
        ("k700_train_2020.csv", "k700_2020"),
        ("kinetics600/annotations/kinetics-400_train.csv", "k400"),
        ("kinetics600/train.csv", "k600"),
        ("k400_and_k600/train.csv", None),
        ("train_1400.csv", None),
        ("k800/train.csv", None),
        ("2020/train.csv", None),
    ],
)
def test_the_last_part_of_a_path_that_names_one_release_counts(path, release):
    assert releases.named(Path(path)) == release
