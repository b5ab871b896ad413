"""Finds a prepared dataset by name, directory or builder; never builds one."""

import difflib
import os
from pathlib import Path

import tensorflow_datasets as tfds

from kinetics_clips import build_dirs, files

_INFO = "dataset_info.json"

Dataset = str | os.PathLike | tfds.core.DatasetBuilder


def find(
    dataset: Dataset, data_dir: str | os.PathLike | None = None
) -> tfds.core.DatasetBuilder:
    """Finds a prepared dataset.

    Args:
      dataset: A TFDS name such as `kinetics_clips/k400`, the directory of a prepared
        dataset (the one that holds `dataset_info.json`), or a builder.
      data_dir: Where a name is looked for; TFDS's default when None. A namespace has
        directories of its own; where several hold a dataset, its name must say which
        version, as in `team:kinetics_clips/k400:1.0.0`.

    Returns:
      The dataset's builder.

    Raises:
      FileNotFoundError: If there is no such prepared dataset; says how to build it.
    """
    if isinstance(dataset, tfds.core.DatasetBuilder):
        builder = dataset
    elif (Path(dataset) / _INFO).is_file():
        with files.named(dataset):
            return tfds.builder_from_directory(os.fspath(dataset))
    else:
        name = os.fspath(dataset)
        try:
            with files.named(name):
                builder = tfds.builder(name, data_dir=data_dir)
        # ValueError: the builder's code knows no such config either.
        except (tfds.core.DatasetNotFoundError, ValueError) as error:
            if ":" in name.partition("/")[0]:  # a namespace: TFDS knows what it holds
                raise FileNotFoundError(
                    f"`dataset` must be in a directory of its namespace, got {name}: "
                    f"{error} (`register_namespaces` makes namespaces known.)"
                ) from error
            raise _not_found(name, data_dir) from error
    # Not TFDS's `is_prepared`, which wants a directory that is named as a version.
    if not (builder.data_path / _INFO).exists():
        # <data_dir>/<dataset>/<config>/<version>
        raise _not_found(builder.info.full_name, builder.data_dir_root)
    return builder


def require_tfrecords(builder: tfds.core.DatasetBuilder) -> None:
    """Requires that a dataset is stored as TFRecords.

    Raises:
      ValueError: If it is stored in another format; says how to read it.
    """
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.TFRECORD:
        raise ValueError(
            "`dataset` must be stored as TFRecords, which a frame index is of, got "
            f"{file_format.value} in {builder.data_path}. Build it without a file "
            "format, or read whole videos by `tfds.data_source(..., decoders={'video': "
            "kinetics_clips.EncodedFrames()})`."
        )


def _not_found(name: str, data_dir: str | os.PathLike | None) -> FileNotFoundError:
    root = Path(data_dir or tfds.core.constants.DATA_DIR).absolute()
    built = [
        f"{config_dir.relative_to(root).as_posix()}:{version}"
        for config_dir in sorted(root.glob("*/*"))
        for version in build_dirs.versions(config_dir)
    ]
    if below := sorted(Path(name).glob(f"*/{_INFO}")):
        return FileNotFoundError(
            f"`dataset` must be a directory with its {_INFO}, got {name}, below which "
            f"there is {', '.join(str(path.parent) for path in below)}."
        )
    return FileNotFoundError(
        f"`dataset` must be a dataset that is built, or a directory with its "
        f"dataset_info.json, got {name}, which is not in {root}: there is "
        f"{', '.join(built) or 'nothing'}. Name one that is there, pass the `data_dir` "
        "of another one, or build it with `kinetics-clips build CONFIG --manual-dir "
        "DIR --data-dir DIR`."
    )


def label_name(info: tfds.core.DatasetInfo, label: int) -> str | None:
    """Returns the class name of a label, or None for -1 (no label published).

    Args:
      info: The dataset's `builder.info`.
      label: The stored label.

    Raises:
      ValueError: If the dataset has no such class.
    """
    feature = info.features["label"]
    label = int(label)
    if label == -1:  # TFDS's own `int2str` answers with the last class
        return None
    if not 0 <= label < feature.num_classes:
        raise ValueError(
            f"`label` must be in [-1, {feature.num_classes}), got {label}."
        )
    return feature.int2str(label)


def label_number(info: tfds.core.DatasetInfo, class_name: str) -> int:
    """Returns the label of a class; the inverse of `label_name`.

    Raises:
      ValueError: If the dataset has no such class; names those that are spelled alike.
    """
    feature = info.features["label"] if "label" in info.features else None
    is_class = isinstance(feature, tfds.features.ClassLabel)
    names = list((is_class and feature.names) or [])
    if class_name in names:
        return names.index(class_name)
    by_folded = {name.casefold(): name for name in names}
    alike = difflib.get_close_matches(class_name.casefold(), by_folded, n=3)
    near = [by_folded[folded] for folded in alike] or names[:3]
    raise ValueError(
        f"`class_name` must be one of the {len(names)} classes of {info.full_name}, "
        f"got {class_name!r}. There is {', '.join(map(repr, near)) or 'none'}."
    )
