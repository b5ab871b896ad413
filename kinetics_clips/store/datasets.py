"""Finds a prepared dataset by name, directory or builder; never builds one."""

import difflib
import functools
import logging
import os
from pathlib import Path
from typing import TypeAlias

import tensorflow_datasets as tfds
from tensorflow_datasets.core import splits as splits_lib

from kinetics_clips import files, wording
from kinetics_clips.store import build_dirs

_log = logging.getLogger(__name__)

_INFO = "dataset_info.json"

# Of this package, and the first version in which its colours are right.
_NAME, _RIGHT_COLOURS = "kinetics_clips", "2.0.0"

Dataset: TypeAlias = str | os.PathLike[str] | tfds.core.DatasetBuilder


def find(
    dataset: Dataset, data_dir: str | os.PathLike[str] | None = None
) -> tfds.core.DatasetBuilder:
    """Finds a prepared dataset.

    Args:
      dataset: A TFDS name such as `kinetics_clips/k400`, the directory of a prepared
        dataset (the one that holds `dataset_info.json`), or a builder.
      data_dir: Directory in which a name is looked for. Defaults to TFDS's own. A
        namespace has directories of its own; where several hold a dataset, its name
        must say which version, as in `team:kinetics_clips/k400:2.0.0`.

    Returns:
      The dataset's builder, which names its files by absolute paths. Where a name does
      not say which version, and the dataset is there in other ones than that of this
      package, it is the newest of them, and the log says so.

    Raises:
      FileNotFoundError: If there is no such prepared dataset; says how to build it.
      RuntimeError: If TFDS is mocked.
    """
    require_no_mock()
    builder = _found(dataset, data_dir)
    if (fault := fault_of(builder.info)) is not None:
        _log_once(f"{builder.data_path}: {fault}.")
    return builder


def _found(
    dataset: Dataset, data_dir: str | os.PathLike[str] | None
) -> tfds.core.DatasetBuilder:
    if data_dir:
        data_dir = files.absolute(data_dir)
    if isinstance(dataset, tfds.core.DatasetBuilder):
        builder = dataset
    elif Path(directory := files.absolute(dataset), _INFO).is_file():
        return _in_directory(directory)
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
    if (builder.data_path / _INFO).exists():
        directory = files.absolute(builder.data_path)
        if directory == os.fspath(builder.data_path):
            return builder
        return _in_directory(directory)
    if builder is not dataset and ":" not in name:
        parent = Path(builder.data_path).parent
        if others := build_dirs.versions(parent):
            _log_once(
                f"{name} is read in version {others[-1]}, since {parent} has no "
                f"{builder.version}."
            )
            return _in_directory(parent / others[-1])
    # <data_dir>/<dataset>/<config>/<version>
    raise _not_found(builder.info.full_name, builder.data_dir_root)


def _in_directory(directory: str | os.PathLike[str]) -> tfds.core.DatasetBuilder:
    with files.named(directory):
        return tfds.builder_from_directory(os.fspath(directory))


def fault_of(info: tfds.core.DatasetInfo) -> str | None:
    """Returns what is wrong with all that an older version of this package stored."""
    if info.name != _NAME or info.version >= _RIGHT_COLOURS:
        return None
    return (
        f"Stored by version {info.version}: colours of HD videos are off; build again "
        "to mend"
    )


@functools.lru_cache
def _log_once(message: str) -> None:
    _log.warning("%s", message)


def require_no_mock() -> None:
    """Requires that TFDS is itself.

    Raises:
      RuntimeError: If its `mock_data` has taken its place; says what to do in tests.
    """
    # TFDS's mock patches what makes examples, and nothing that reads files.
    module = tfds.core.DatasetBuilder.as_dataset.__module__
    if module.startswith("tensorflow_datasets.testing"):
        raise RuntimeError(
            "Clips must be read outside of `tfds.testing.mock_data`, which generates "
            "whole examples, and has no files to read windows from. For tests, "
            "`kinetics_clips.testing.make_dataset(directory)` makes a small real "
            "dataset; under the mock, `tfds.load` and `sample_clip` work."
        )


def split_of(
    builder: tfds.core.DatasetBuilder, split: str
) -> splits_lib.SplitInfo | splits_lib.SubSplitInfo:
    """Returns the part of a prepared dataset that a split expression names.

    Args:
      builder: The builder of the dataset.
      split: Any TFDS split expression, such as `train[:80%]`, or a
        `tfds.core.ReadInstruction`.

    Raises:
      ValueError: If it is no such thing, names what is not there, or holds no video.
    """
    splits = builder.info.splits
    try:
        if not isinstance(split, str | splits_lib.AbstractSplit):
            raise ValueError(f"it is of {type(split).__name__}")
        part = splits[split]
        if str(split) not in splits:
            for piece in splits_lib.AbstractSplit.from_spec(split).to_absolute(splits):
                start, end = piece.from_ or 0, piece.to
                if end is not None and end < start:  # TFDS would take what it likes
                    raise ValueError(f"it ends at {end}, before it begins at {start}")
        if not part.num_examples:
            raise ValueError("it holds no video")
    except (KeyError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        there = ", ".join(
            f"{s.name} of {wording.count(s.num_examples, 'video', 'videos')}"
            for s in splits.values()
        )
        raise ValueError(
            "`split` must be a split, or a part or a sum of splits, as in 'train', "
            f"'train[:80%]' or 'train+validation', got {split!r}: {reason}. There is "
            f"{there or 'no split'}."
        ) from error
    return part


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


def _not_found(name: str, data_dir: str | os.PathLike[str] | None) -> FileNotFoundError:
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
    if Path(files.absolute(name)).exists():
        return FileNotFoundError(
            f"`dataset` must be a directory with its {_INFO}, got {name}, which is "
            "there, but holds none. Name the directory of a version, such as "
            "DIR/kinetics_clips/folder/2.0.0, or build the dataset with "
            "`kinetics-clips build CONFIG --manual-dir DIR --data-dir DIR`."
        )
    there = f"there is {', '.join(built)}" if built else "that directory has no dataset"
    return FileNotFoundError(
        f"`dataset` must be a dataset that is built, or a directory with its "
        f"{_INFO}, got {name}, which is not in {root}: {there}. Name one "
        "that is there, pass the `data_dir` of another one, or build it with "
        "`kinetics-clips build CONFIG --manual-dir DIR --data-dir DIR`."
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
    names: list[str] = []
    if isinstance(feature, tfds.features.ClassLabel):
        names += feature.names or []
    if class_name in names:
        return names.index(class_name)
    by_folded = {name.casefold(): name for name in names}
    alike = difflib.get_close_matches(class_name.casefold(), by_folded, n=3)
    near = [by_folded[folded] for folded in alike] or names[:3]
    raise ValueError(
        f"`class_name` must be one of the {len(names)} classes of {info.full_name}, "
        f"got {class_name!r}. There is {', '.join(map(repr, near)) or 'none'}."
    )
