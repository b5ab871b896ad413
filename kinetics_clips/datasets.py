"""Finds a prepared dataset by name, directory or builder; never builds one."""

import os
from pathlib import Path

import tensorflow_datasets as tfds

Dataset = str | os.PathLike | tfds.core.DatasetBuilder


def find(
    dataset: Dataset, data_dir: str | os.PathLike | None = None
) -> tfds.core.DatasetBuilder:
    """Finds a prepared dataset.

    Args:
      dataset: A TFDS name such as `kinetics_clips/k400`, the directory of a prepared
        dataset (the one that holds `dataset_info.json`), or a builder.
      data_dir: Where a name is looked for; TFDS's default when None.

    Returns:
      The dataset's builder.

    Raises:
      FileNotFoundError: If there is no such prepared dataset; says how to build it.
    """
    if isinstance(dataset, tfds.core.DatasetBuilder):
        builder = dataset
    elif (Path(dataset) / "dataset_info.json").is_file():
        return tfds.builder_from_directory(os.fspath(dataset))
    else:
        try:
            builder = tfds.builder(os.fspath(dataset), data_dir=data_dir)
        # ValueError: the builder's code knows no such config either.
        except (tfds.core.DatasetNotFoundError, ValueError) as error:
            where = f" in {data_dir}" if data_dir else ""
            raise FileNotFoundError(
                f"`dataset` must be a prepared dataset, got {os.fspath(dataset)!r}, "
                f"which is neither a name that is built{where} nor a directory with a "
                f"dataset_info.json. {_how_to_build()}"
            ) from error
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"`dataset` must be a prepared dataset, got {builder.info.full_name}, "
            f"which is not in {builder.data_dir}. {_how_to_build()}"
        )
    return builder


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


def _how_to_build() -> str:
    return (
        "Build it with `kinetics-clips build CONFIG --manual-dir DIR --data-dir DIR`, "
        "or pass the `data_dir` under which it was built."
    )
