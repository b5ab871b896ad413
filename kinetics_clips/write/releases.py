"""The releases of Kinetics: their names, classes, and how many videos others report.

A new one needs a row in each table here, and the list of its classes in `labels/`.
"""

import re
from pathlib import Path
from typing import Final, Literal, TypeAlias

FOLDER: Final = "folder"  # the release that is no release: a tree of class folders
Release: TypeAlias = Literal["k400", "k600", "k700", "k700_2020", "folder"]
RELEASES: tuple[Release, ...] = ("k400", "k600", "k700", "k700_2020", FOLDER)

# Whose CSVs are read where a release's own are not there: 700-2020 grew out of 700,
# with the same classes, and people do not always say which one they have.
SIBLINGS = {"k700": "k700_2020", "k700_2020": "k700"}

# Files of `labels/` with the names of the classes.
CLASSES = {
    "k400": "k400.txt",
    "k600": "k600.txt",
    "k700": "k700.txt",
    "k700_2020": "k700.txt",
}

ANNOTATED, FOUND = "annotated", "found"

# (who, what was counted, train, validation, test), for each release: rows of annotation
# files, or videos that somebody has. None = not published. Sources: the README of
# https://github.com/cvdfoundation/kinetics-dataset, the zoo pages of
# https://docs.voxel51.com (DeepMind's and CVDF's of 600 and 700-2020), the dataset
# pages of https://github.com/open-mmlab/mmaction2, `media_sequence` of
# https://github.com/google-ai-edge/mediapipe (700), and the configs of
# https://github.com/tensorflow/models (TF Model Garden).
COUNTS: dict[str, list[tuple[str, str, int, int, int | None]]] = {
    "k400": [
        ("the official CSVs", ANNOTATED, 246_534, 19_906, 38_685),
        ("DeepMind's CSVs of 2021", ANNOTATED, 219_561, 18_014, None),
        ("CVDF", FOUND, 240_258, 19_881, 38_685),
        ("MMAction2", FOUND, 240_436, 19_796, None),
        ("TF Model Garden", FOUND, 215_570, 17_706, None),
    ],
    "k600": [
        ("DeepMind's CSVs", ANNOTATED, 370_582, 28_313, 56_618),
        ("CVDF", FOUND, 427_549, 29_793, 72_924),
        ("MMAction2", FOUND, 383_393, 27_910, None),
        ("TF Model Garden", FOUND, 366_016, 27_780, None),
    ],
    "k700": [
        ("DeepMind's CSVs", ANNOTATED, 540_247, 34_610, 69_103),
        ("MMAction2", FOUND, 542_357, 34_824, None),
        ("TF Model Garden", FOUND, 522_883, 33_441, None),
    ],
    "k700_2020": [
        ("DeepMind's CSVs", ANNOTATED, 542_352, 34_125, 67_433),
        ("CVDF", FOUND, 534_073, 33_914, 64_260),
        ("TF Model Garden", FOUND, 535_982, 33_640, None),
    ],
}


def named(path: Path) -> str | None:
    """Returns the release that a path names, in its last part that names one.

    `k700-2020`, `kinetics_400` and `train_600.csv` name one.
    """
    kinds = {release[1:4] for release in RELEASES if release != FOLDER}
    for part in reversed(path.parts):
        found = set(re.findall(r"(?<!\d)\d00(?!\d)", part)) & kinds
        if len(found) == 1:
            release = f"k{found.pop()}"
            later = f"{release}_2020"
            return later if later in RELEASES and "2020" in part else release
    return None
