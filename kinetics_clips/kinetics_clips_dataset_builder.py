"""The TFDS builder: schema, splits, and the glue from videos to stored examples."""

import contextlib
import dataclasses
import datetime
import logging
import os
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow_datasets as tfds

from kinetics_clips import files, progress
from kinetics_clips.store import build_dirs, frame_index
from kinetics_clips.version import __version__
from kinetics_clips.write import annotations, report, resume, serializing, videos
from kinetics_clips.write.sources import as_utf8, in_utf8
from kinetics_clips.write.videos import RELEASES, Found, Video

if TYPE_CHECKING:  # readers import this module too, and need no video codec
    from kinetics_clips.write.frames import EncodedVideo, EncodeSettings, VideoError
    from kinetics_clips.write.workers import Pool

_log = logging.getLogger(__name__)

_DESCRIPTION = """\
Kinetics is a collection of about 300,000 ten-second YouTube videos of human actions,
or several hundred thousand in its later releases. This dataset stores every frame of
every video as a JPEG, so that a window of consecutive frames can be read and decoded
without touching the rest; `kinetics_clips.load_clips` reads random clips back. The
config `folder` stores any videos that lie in class folders in the same way.
"""

_CITATION = """\
@article{kay2017kinetics,
  title={The Kinetics Human Action Video Dataset},
  author={Kay, Will and Carreira, Joao and Simonyan, Karen and Zhang, Brian and
          Hillier, Chloe and Vijayanarasimhan, Sudheendra and Viola, Fabio and
          Green, Tim and Back, Trevor and Natsev, Paul and Suleyman, Mustafa and
          Zisserman, Andrew},
  journal={arXiv preprint arXiv:1705.06950},
  year={2017}
}
"""


def require(name: str, value: object, holds: object, requirement: str) -> None:
    """Raises ValueError that tells what an argument must be, unless it is."""
    if not holds:
        raise ValueError(f"`{name}` must be {requirement}, got {value!r}.")


def _require_whole(
    name: str, value: object, low: int, high: int, optional: bool = False
) -> None:
    if value is None and optional:
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(
        name,
        value,
        whole and low <= value <= high,
        f"a whole number in [{low}, {high}]" + (" or None" if optional else ""),
    )


@dataclasses.dataclass(kw_only=True, eq=False)
class KineticsClipsConfig(tfds.core.BuilderConfig):
    """What changes the bytes on disk, and nothing else.

    TFDS knows a dataset by its name alone, so the name is a function of the values:
    the defaults are `k400`, `k600`, `k700`, `k700_2020` and `folder`, and every other
    value adds its suffix, as in `k400_128px_q95_10fps_1000videos`. Give a name of your
    own (letters, digits, `_`, `-`, `.`) to keep several folder datasets apart.

    Attributes:
      name: Name of the config. Computed from the other values by default.
      release: Release of Kinetics: `k400`, `k600`, `k700` or `k700_2020`; or `folder`
        (the default) for a tree of class folders.
      short_side: Length in pixels that the shorter side of a frame is scaled down to,
        its aspect kept; None keeps every frame as it is. Defaults to 256, which most
        published training recipes read.
      jpeg_quality: JPEG quality, in [1, 100]. 85 (the default) takes about 14 KB for a
        frame of 340x256.
      fps: Stored frames per second, in (0, 1000], each the nearest in time to its
        place. Defaults to None: every frame is stored.
      max_videos: Number of videos to store of each split: the first ones in the order
        of a hash of their id, of those that have a file. Defaults to None: all.

    Raises:
      ValueError: If a value is out of its range.
    """

    name: str = ""
    release: str = "folder"
    short_side: int | None = 256
    jpeg_quality: int = 85
    fps: float | None = None
    max_videos: int | None = None

    def __post_init__(self) -> None:
        require(
            "release", self.release, self.release in RELEASES, " or ".join(RELEASES)
        )
        number = isinstance(self.fps, int | float) and not isinstance(self.fps, bool)
        require(
            "fps",
            self.fps,
            self.fps is None or (number and 0 < self.fps <= 1000),
            "a number in (0, 1000] or None",
        )
        self.fps = self.fps and float(self.fps)
        _require_whole("short_side", self.short_side, 16, 1 << 16, optional=True)
        _require_whole("jpeg_quality", self.jpeg_quality, 1, 100)
        _require_whole("max_videos", self.max_videos, 1, 1 << 31, optional=True)
        self.name = self.name or self._computed_name()
        require(
            "name",
            self.name,
            re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name, re.ASCII) is not None,
            "letters, digits, '_', '-' and '.'",
        )

    @property
    def values(self) -> dict[str, object]:
        """The values that change the bytes on disk."""
        return {
            "release": self.release,
            "short_side": self.short_side,
            "jpeg_quality": self.jpeg_quality,
            "fps": self.fps,
            "max_videos": self.max_videos,
        }

    def _computed_name(self) -> str:
        parts = [self.release]
        if self.short_side != 256:
            parts.append(f"{self.short_side}px" if self.short_side else "fullsize")
        if self.jpeg_quality != 85:
            parts.append(f"q{self.jpeg_quality}")
        if self.fps:
            parts.append(f"{self.fps!r}fps".replace(".0fps", "fps"))
        if self.max_videos:
            parts.append(f"{self.max_videos}videos")
        return "_".join(parts)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Stores the frames of Kinetics videos, or of any videos in class folders.

    The directory of the finished dataset holds `build_report.csv`, with a row for every
    annotated video and every video file that was found, but for those that `max_videos`
    leaves out, and `build_report.html`, which shows it. `builder.info.metadata` holds
    the totals, the config's values and the versions of what built it.

    The arguments of `tfds.core.GeneratorBasedBuilder`, such as `config` and `data_dir`,
    are its arguments too.

    Args:
      num_workers: Number of processes that decode, in [1, 4096]. Defaults to the number
        of cores that this process may use.
      resume_dir: Directory of its own in which the frames of finished videos are kept
        until the build is complete, so that it goes on there after it was interrupted.
        Defaults to None: an interrupted build starts over.
      skip_bad_rows: Whether rows of annotation files that cannot be understood are
        reported and passed over, instead of ending the build. Defaults to False.
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 (TFDS's convention)
        "2.0.0": "Frames have the colours, the shape and the direction that the ffmpeg "
        "program gives them; those of 1.0.0 are off for most HD videos.",
        "1.0.0": "Initial release.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012
        *(
            KineticsClipsConfig(
                release=release,
                description=f"Kinetics-{release[1:].replace('_', '-')}: the release's "
                "CSVs, or class folders, and its videos.",
            )
            for release in RELEASES
            if release != videos.FOLDER
        ),
        KineticsClipsConfig(
            release=videos.FOLDER,
            description="Any videos as <split>/<class>/<video>.",
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""\
`manual_dir` must hold the videos; pass it as `--manual_dir` to `tfds build`, or as
`tfds.download.DownloadConfig(manual_dir=...)` in Python.

`kinetics_clips/k400`, `k600`, `k700`, `k700_2020`: what is downloaded as explained at
https://github.com/cvdfoundation/kinetics-dataset
{videos.layout("k400")}

`kinetics_clips/folder`: any videos, in class folders:
{videos.layout(videos.FOLDER)}
"""

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        resume_dir: str | os.PathLike | None = None,
        skip_bad_rows: bool = False,
        config=None,
        **kwargs,
    ):
        _require_whole("num_workers", num_workers, 1, 4096, optional=True)
        self._num_workers = num_workers
        self._resume_dir = resume_dir and Path(files.absolute(resume_dir))
        self._skip_bad_rows = skip_bad_rows
        self._store: resume.Store | None = None
        self._scanned: tuple[Path, Found] | None = None
        self._pool: Pool | None = None
        self._rows: list[report.Row] = []
        data_dir = kwargs.pop("data_dir", None) or None
        default = tfds.core.constants.DATA_DIR
        if data_dir or default != files.absolute(default):
            data_dir = files.absolute(data_dir or default)
        super().__init__(config=_built_in(config), data_dir=data_dir, **kwargs)

    @property
    def num_workers(self) -> int:
        """Processes that decode."""
        from kinetics_clips.write import workers

        return self._num_workers or workers.num_cores()

    def scan(self, manual_dir: str | os.PathLike) -> Found:
        """Finds the videos of `manual_dir`; the next build from there uses the result.

        Logs what dead builds of this dataset have left on the disk.

        Raises:
          ValueError: If an annotation file cannot be understood, or a class folder's
            name cannot be kept.
          OSError: If a folder cannot be read.
        """
        build_dirs.name_left_overs(Path(self.data_path))
        root = Path(files.absolute(manual_dir))
        self._scanned = (
            root,
            videos.find(root, self.builder_config.release, self._skip_bad_rows),
        )
        return self._scanned[1]

    def select(self, split: videos.Split) -> list[Video]:
        """Returns the videos of a split that a build decodes, in their order."""
        good = [video for video in split.videos if video.problem is None]
        return good[: self.builder_config.max_videos]

    def encode(
        self, to_encode: Sequence[Video], num_at_once: int | None = None
    ) -> Iterator[tuple[Video, "EncodedVideo | VideoError"]]:
        """Yields each video with its frames, or with the error that says why not.

        What `resume_dir` keeps comes first; all else is kept there when it is done.

        Args:
          to_encode: Videos that have a file and no problem.
          num_at_once: Videos that the processes are given before one is done; None =
            three for each.

        Raises:
          ValueError: If `resume_dir` is of a build with other settings.
          OSError: If a video cannot be kept.
        """
        from kinetics_clips.write import frames

        settings = self._settings()
        if self._resume_dir and self._store is None:
            self._store = resume.Store(
                self._resume_dir,
                {
                    **dataclasses.asdict(settings),
                    "data_version": str(self.VERSION),
                    **frames.LIBRARIES,
                },
            )
        waiting = to_encode
        if self._store:
            waiting = []
            for video in to_encode:
                encoded = self._store.get(video)
                if encoded is None:
                    waiting.append(video)
                else:
                    yield video, encoded
        with (
            self._workers() as pool,
            contextlib.closing(
                pool.encode_all(waiting, settings, num_at_once)
            ) as results,
        ):
            for video, result in results:
                if self._store and not isinstance(result, Exception):
                    self._store.put(video, result)
                yield video, result

    @contextlib.contextmanager
    def _workers(self) -> Iterator["Pool"]:
        """Gives the processes that encode, which end with the outermost context."""
        from kinetics_clips.write.workers import Pool

        if self._pool:
            yield self._pool
            return
        with Pool(self._num_workers) as self._pool:
            try:
                yield self._pool
            finally:
                self._pool = None

    def _settings(self) -> "EncodeSettings":
        from kinetics_clips.write.frames import EncodeSettings

        config = self.builder_config
        return EncodeSettings(
            short_side=config.short_side,
            jpeg_quality=config.jpeg_quality,
            fps=config.fps,
        )

    def download_and_prepare(self, *, download_config=None, **kwargs) -> None:
        """Builds the dataset, unless it exists.

        An overwriting `download_mode` builds beside the existing dataset and takes its
        place at the end.

        Without a `manual_dir` nothing is built beside another version of the dataset,
        so that `tfds.load` leaves a shared one alone when this package is newer.

        Raises:
          ValueError: If a dataset of that name was built with other values,
            `resume_dir` is of a build with other settings, or there is another version
            and no `manual_dir` was given.
          OSError: If something cannot be read or written.
        """
        if download_config and download_config.manual_dir:
            download_config = dataclasses.replace(
                download_config,
                manual_dir=files.absolute(download_config.manual_dir),
            )
        mode = download_config and download_config.download_mode
        overwrite = bool(mode and mode.overwrite_dataset)
        if overwrite or not self.is_prepared():
            build_dirs.require_local(self.data_dir_root)
        self._rows = []
        with files.named(self.data_path):
            self._prepare(overwrite, download_config, kwargs)
        if self._rows:  # it was not there
            self._write_page()
        if self._store:  # not before all is in its place
            self._remove_store()

    def _prepare(self, overwrite: bool, download_config, kwargs: dict) -> None:
        final = Path(self.data_path)
        if build_dirs.finish_swap(final):
            self.info.read_from_directory(final)
        if overwrite and final.exists():
            with tfds.core.utils.temporary_assignment(
                self, "_data_dir", str(build_dirs.beside(final))
            ):
                super().download_and_prepare(download_config=download_config, **kwargs)
            build_dirs.swap(final)
            self.info.update_data_dir(self.data_dir)
        else:
            self.require_same_values()
            if not (download_config and download_config.manual_dir):
                self._require_no_other_version()
            if final.is_dir() and not any(final.iterdir()):
                final.rmdir()  # TFDS would take it for a dataset
            super().download_and_prepare(download_config=download_config, **kwargs)

    def _remove_store(self) -> None:
        store, self._store = self._store, None
        try:
            store.remove()
        except OSError as error:  # the dataset is complete
            build_dirs.log_left_over(store.directory, error)

    def _write_page(self) -> None:
        from kinetics_clips.show import report_page

        try:
            report_page.write(self, self._rows)
        except Exception as error:  # days of building do not end for want of a page
            _log.warning(
                "%s was not written; the dataset is complete without. Try "
                "`kinetics-clips report`. The reason: %r",
                report_page.FILENAME,
                error,
                exc_info=not isinstance(error, OSError),
            )

    def require_same_values(self) -> None:
        """Requires that a dataset of that name, if one exists, has the config's values.

        Raises:
          ValueError: If it was built with other ones.
        """
        built = self.info.metadata and self.info.metadata.get("config")
        values = self.builder_config.values
        if built and built != values:
            raise ValueError(
                f"`name` must be one under which nothing else is stored, got "
                f"{self.builder_config.name!r}: asked for {values}, but "
                f"{self.data_path} was built with {built}. Give another name, or "
                "leave it empty."
            )

    def _require_no_other_version(self) -> None:
        final = Path(self.data_path)
        others = build_dirs.versions(final.parent)
        if others and final.name not in others:
            name = f"{self.name}/{self.builder_config.name}"
            raise ValueError(
                "`manual_dir` must be given to build a dataset of which there is "
                f"another version, got none: {name} {final.name} is not in "
                f"{final.parent}, but {', '.join(others)} is. Read that one as "
                f'"{name}:{others[-1]}", or build the new one with `kinetics-clips '
                "build`, or with tfds.download.DownloadConfig(manual_dir=...)."
            )

    def _info(self) -> tfds.core.DatasetInfo:
        release = self.builder_config.release
        # The classes of a tree of folders are known when the tree has been seen.
        labels = None if release == videos.FOLDER else annotations.labels_of(release)
        return self.dataset_info_from_configs(
            description=_DESCRIPTION,
            homepage="https://github.com/cvdfoundation/kinetics-dataset",
            citation=_CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Sequence(
                        tfds.features.Image(
                            shape=(None, None, 3), encoding_format="jpeg"
                        ),
                        doc="Frames in display order.",
                    ),
                    "label": tfds.features.ClassLabel(
                        names=labels and labels.names,
                        doc="-1 where the release publishes no label.",
                    ),
                    "video_id": tfds.features.Text(
                        doc="<youtube_id>_<start>_<end>, or the path below the "
                        "split without its suffix; unique in its split."
                    ),
                    "filename": tfds.features.Text(doc="Source file below the root."),
                    "num_frames": tfds.features.Scalar(np.int64, doc="Frames stored."),
                    "height": tfds.features.Scalar(
                        np.int64, doc="Of every frame, in pixels."
                    ),
                    "width": tfds.features.Scalar(
                        np.int64, doc="Of every frame, in pixels."
                    ),
                    "fps": tfds.features.Scalar(
                        np.float32,
                        doc="Frames a second by their timestamps; 0 = unknown.",
                    ),
                }
            ),
            supervised_keys=("video", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        """Runs TFDS's own method; adds the frame index and the report."""
        self._num_shards = download_config.num_shards
        self._on_beam = bool(
            download_config.beam_runner or download_config.beam_options
        )
        if self._on_beam:
            self._require_beam(download_config)
        with (
            build_dirs.in_work(self.data_path),
            serializing.in_place(),
            self._workers(),
            contextlib.ExitStack() as self._open_generators,
        ):
            super()._download_and_prepare(dl_manager, download_config)
            if self.info.file_format is tfds.core.FileFormat.TFRECORD:
                frame_index.build(self, self.num_workers)
        if self._on_beam:
            from kinetics_clips.write import beam_pipeline

            self._rows += beam_pipeline.take_rows(Path(self.data_path))
        order = [*annotations.SPLITS, videos.NO_SPLIT]
        self._rows.sort(key=lambda r: (order.index(r.split), r.filename, r.video_id))
        report.write(self.data_path / report.FILENAME, self._rows)
        for line in report.summary(self._rows).splitlines():
            _log.info("%s", line)
        self.info.metadata["totals"] = report.totals(self._rows)
        self.info.metadata["config"] = self.builder_config.values
        self.info.metadata["manual_dir"] = as_utf8(in_utf8(str(_root(dl_manager))))
        self.info.metadata["built"] = _now()
        self.info.metadata["versions"] = self._versions()
        if self._store:
            self._store.finish(self.info.metadata["built"])

    def _versions(self) -> dict[str, str]:
        from kinetics_clips.write import frames

        return {
            "kinetics_clips": __version__,
            "python": platform.python_version(),
            "tensorflow_datasets": tfds.__version__,
            **frames.LIBRARIES,
        }

    def _split_generators(self, dl_manager):
        root = _root(dl_manager)
        if not self._scanned or self._scanned[0] != root:
            self.scan(root)
        (_, found), self._scanned = self._scanned, None
        videos.require_videos(found, root, self.builder_config.release)
        self._rows += report.unmatched(found)
        # Made anew: names that an overwritten or a failed build left cannot be reset.
        label = self.info.features["label"]
        label.__init__(names=found.class_names, doc=label.doc)
        generators = {}
        for split in found.splits:
            for video in split.videos:
                if video.problem is not None:
                    self._fail(video, *video.problem)
            to_encode = self.select(split)
            # TFDS would end the build of all splits on an empty one.
            several = len(found.splits) > 1
            if (several or self._on_beam) and not self._any_stored(to_encode):
                _log.warning("%s: left out: no video can be stored", split.name)
                continue
            self._require_filled_shards(split.name, len(to_encode))
            videos_are = "video is" if len(to_encode) == 1 else "videos are"
            _log.info("%s: %d %s taken", split.name, len(to_encode), videos_are)
            if self._on_beam:
                generators[split.name] = self._beam_examples(split.name, to_encode)
                continue
            generator = self._generate_examples(split.name, to_encode)
            self._open_generators.enter_context(contextlib.closing(generator))
            generators[split.name] = generator
        if not generators:
            raise report.nothing_stored(self._rows)
        self._last_split = list(generators)[-1]
        if self._on_beam:  # which has workers of its own
            self._pool.close()
        return generators

    def _any_stored(self, to_encode: list[Video]) -> bool:
        """Encodes videos until one succeeds; reports them all where none does."""
        failures = []
        with contextlib.closing(self.encode(to_encode, num_at_once=1)) as results:
            for video, result in results:
                if not isinstance(result, Exception):
                    return True
                failures.append((video, result))
        for video, error in failures:
            self._fail(video, error.reason, error.detail)
        return False

    def _require_beam(self, download_config) -> None:
        try:
            from kinetics_clips.write import beam_pipeline
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"Builds on Beam need its package, got: {error}. Install it: pip "
                "install apache-beam"
            ) from error

        beam_pipeline.require_runner(
            download_config.beam_runner, download_config.beam_options
        )
        if self._resume_dir:
            raise ValueError(
                "`resume_dir` must be None where a Beam pipeline builds, got "
                f"{self._resume_dir}: what its workers have done is kept by the runner."
            )
        if download_config.max_examples_per_split is not None:  # TFDS passes over it
            raise ValueError(
                "`max_examples_per_split` must be None where a Beam pipeline builds, "
                f"got {download_config.max_examples_per_split}. Set the config's "
                "`max_videos`."
            )

    def _beam_examples(self, split: str, to_encode: list[Video]):
        from kinetics_clips.write import beam_pipeline

        return beam_pipeline.examples(
            to_encode, self._settings(), _example, Path(self.data_path), split
        )

    def _generate_examples(
        self, split: str, to_encode: list[Video]
    ) -> Iterator[tuple[str, dict]]:
        num_failed = 0
        with (
            contextlib.closing(self.encode(to_encode)) as results,
            progress.bar(
                total=len(to_encode),
                desc=f"encode {split}",
                unit=" videos",
                mininterval=1.0,
            ) as bar,
        ):
            for video, result in results:
                if isinstance(result, Exception):
                    num_failed += 1
                    self._fail(video, result.reason, result.detail)
                else:
                    self._rows.append(report.stored(video, result))
                    yield video.annotation.video_id, _example(video, result)
                bar.set_postfix(failed=num_failed, refresh=False)
                bar.update()
        if split == self._last_split:  # the shards are written by this process alone
            self._pool.close()
        num_stored = len(to_encode) - num_failed
        if not num_stored:
            raise report.nothing_stored(self._rows)
        self._require_filled_shards(split, num_stored)

    def _require_filled_shards(self, split: str, num_videos: int) -> None:
        num_shards = self._num_shards
        if num_shards is not None and not 1 <= num_shards <= num_videos:
            raise ValueError(
                "`num_shards` must be at least 1, and at most the number of videos of "
                f"each split that can be stored, got {num_shards}, and {num_videos} in "
                f"{split}."
            )

    def _fail(self, video: Video, reason: str, detail: str) -> None:
        """Reports a video that is not stored, and logs it by name."""
        self._rows.append(report.failed(video, reason, detail))
        # `videos.find` has summed up the missing ones, of which there may be thousands.
        _log.log(
            logging.DEBUG if video.file is None else logging.WARNING,
            "%s: %s: %s (%s)",
            video.annotation.split,
            video.filename or video.annotation.video_id,
            reason,
            detail,
        )


def _built_in(config):
    """Returns the name of the built-in config that `config` equals, or `config`.

    TFDS refuses a config object that bears the name of a built-in one.
    """
    if not isinstance(config, KineticsClipsConfig):
        return config
    for built_in in Builder.BUILDER_CONFIGS:
        if built_in.name == config.name:
            require(
                "name",
                config.name,
                built_in.values == config.values,
                f"another one than the built-in {built_in.name!r}, which stands for "
                f"{built_in.values}",
            )
            return built_in.name
    return config


def _example(video: Video, encoded) -> dict:
    label = video.annotation.label
    return {
        "video": encoded.frames,
        "label": -1 if label is None else label,
        "video_id": video.annotation.video_id,
        "filename": video.filename,
        "num_frames": encoded.num_frames,
        "height": encoded.height,
        "width": encoded.width,
        "fps": encoded.fps,
    }


def _root(dl_manager) -> Path:
    return Path(files.absolute(dl_manager.manual_dir))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
