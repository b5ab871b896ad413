"""Makes the datasets of shared directories known by a name of the team's own."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core import community
from tensorflow_datasets.core.community import config as community_config
from tensorflow_datasets.core.community import register_path

from kinetics_clips import files

_KEYS = {"paths", "info"}

_MAX_PROBLEM = 500  # characters


def register_namespaces(path: str | os.PathLike[str]) -> list[str]:
    """Makes namespaces known to TFDS: names for directories that hold datasets.

    The file is in the format of TFDS's own registry of community datasets:

        [team]
        paths = ["/mnt/shared/tfds", "gs://bucket/tfds"]

    After that `tfds.load("team:kinetics_clips/k400")`, and `load_clips` and
    `ClipSource` with that name, find what was built into one of those directories. It
    is read as it lies there, whichever version of this package built it, and never
    built. Doing it again is nothing new, and neither are other files that say the same.

    Args:
      path: Path of the TOML file. Relative directories in it start at its own.

    Returns:
      The namespaces of the file.

    Raises:
      OSError: If the file cannot be read.
      ValueError: If it is not such a file, a directory is not there, or a namespace is
        known already with other directories. Nothing is registered then.
    """
    path = Path(files.absolute(path))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (RecursionError, ValueError) as error:  # not TOML, or not UTF-8
        raise _bad(path, f"TOML in UTF-8, got: {error}") from error
    if not content:
        raise _bad(path, "at least one namespace, such as [team], got none")
    configs = {name: _config(path, name, table) for name, table in content.items()}
    registry = community.community_register()
    new = {}
    for name, config in configs.items():
        if not registry.has_namespace(name):
            new[name] = config
        elif registry.config_per_namespace[name].paths != config.paths:
            known = [str(p) for p in registry.config_per_namespace[name].paths]
            raise _bad(
                path,
                f"names that are not taken, got [{name}], which stands for {known}. "
                "Take another name, those directories, or a new process",
            )
    for name, config in new.items():
        register = register_path.DataDirRegister(namespaces={name: config})
        registry.add_namespace(name, config, [register])
    return list(configs)


def _config(path: Path, name: str, table: object) -> community_config.NamespaceConfig:
    if not isinstance(table, Mapping):
        raise _bad(path, f"tables, such as [team], got {name} = {table!r}")
    if not re.fullmatch(r"[\w-]+", name):
        raise _bad(path, f"names of letters, digits, '_' and '-', got [{name}]")
    if not table.keys() <= _KEYS:
        raise _bad(path, f"only `paths` and `info` in [{name}], got {sorted(table)}")
    got = table.get("paths")
    paths = [got] if isinstance(got, str) else got
    if not (isinstance(paths, list) and paths and all(map(_is_text, paths))):
        raise _bad(
            path, f"a directory or a list of them as `paths` of [{name}], got {got!r}"
        )
    directories = []
    for text in paths:
        try:
            directory = _directory(path.parent, text)
        except (RuntimeError, ValueError) as error:  # of nobody's home, or with NUL
            raise _bad(
                path, f"directories as `paths` of [{name}], got {text!r}: {error}"
            ) from error
        if text.startswith("github://") or not directory.is_dir():
            raise _bad(path, f"directories as `paths` of [{name}], got {directory}")
        directories.append(directory)
    return community_config.NamespaceConfig(paths=directories, info=table.get("info"))


def _directory(parent: Path, text: str) -> tfds.core.Path:
    if "://" not in text:  # one directory has one name, whichever way leads to it
        text = os.path.realpath(parent / Path(text).expanduser())
    return tfds.core.Path(text)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _bad(path: Path, problem: str) -> ValueError:
    if len(problem) > _MAX_PROBLEM:  # a value may be of any length
        problem = problem[:_MAX_PROBLEM] + "..."
    return ValueError(f"{path} must hold {problem}.")
