"""The TFDS builder: schema, splits, and the glue from videos to stored examples."""

import contextlib
import dataclasses
import datetime
import functools
import logging
import os
import platform
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow_datasets as tfds

from kinetics_clips import files, progress, wheels
from kinetics_clips.store import build_dirs, indexing
from kinetics_clips.version import __version__
from kinetics_clips.write import annotations, report, serializing, videos
from kinetics_clips.write.config import KineticsClipsConfig, require, require_whole
from kinetics_clips.write.releases import FOLDER, RELEASES
from kinetics_clips.write.sources import as_utf8, in_utf8
from kinetics_clips.write.videos import Found, Video

if TYPE_CHECKING:  # readers import this module too, and need no video codec
    from kinetics_clips.write.encoder import Encoder
    from kinetics_clips.write.frames import EncodedVideo, VideoError

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
            if release != FOLDER
        ),
        KineticsClipsConfig(
            release=FOLDER,
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
{videos.layout(FOLDER)}
"""

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        resume_dir: str | os.PathLike[str] | None = None,
        skip_bad_rows: bool = False,
        config: str | KineticsClipsConfig | None = None,
        **kwargs: Any,
    ):
        require_whole("num_workers", num_workers, 1, 4096, optional=True)
        self._num_workers = num_workers
        self._resume_dir = Path(files.absolute(resume_dir)) if resume_dir else None
        self._skip_bad_rows = skip_bad_rows
        self._scanned: tuple[Path, Found] | None = None
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

    def scan(self, manual_dir: str | os.PathLike[str]) -> Found:
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
    ) -> Generator[tuple[Video, "EncodedVideo | VideoError"], None, None]:
        """Yields each video with its frames, or the error that says why not.

        See `Encoder.encode`.
        """
        return self._encoder.encode(to_encode, num_at_once)

    @functools.cached_property
    def _encoder(self) -> "Encoder":
        from kinetics_clips.write.encoder import Encoder
        from kinetics_clips.write.frames import EncodeSettings

        config = self.builder_config
        return Encoder(
            EncodeSettings(
                short_side=config.short_side,
                jpeg_quality=config.jpeg_quality,
                fps=config.fps,
            ),
            self._num_workers,
            self._resume_dir,
            str(self.VERSION),
        )

    def download_and_prepare(
        self,
        *,
        download_config: tfds.download.DownloadConfig | None = None,
        **kwargs: Any,
    ) -> None:
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
            wheels.require("tensorflow")
            build_dirs.require_local(self.data_dir_root)
        self._rows = []
        with files.named(self.data_path):
            self._prepare(overwrite, download_config, kwargs)
        if self._rows:  # it was not there
            from kinetics_clips.show import report_page

            report_page.write_if_possible(self, self._rows)
        if self._resume_dir:  # not before all is in its place
            self._encoder.remove_kept()

    def _prepare(
        self,
        overwrite: bool,
        download_config: tfds.download.DownloadConfig | None,
        kwargs: dict[str, Any],
    ) -> None:
        final = Path(self.data_path)
        if build_dirs.finish_swap(final):
            self.info.read_from_directory(final)
        if overwrite and final.exists():
            with (
                build_dirs.swapped_in(final) as beside,
                tfds.core.utils.temporary_assignment(self, "_data_dir", str(beside)),
            ):
                super().download_and_prepare(download_config=download_config, **kwargs)
            self.info.update_data_dir(self.data_dir)
            return
        self.require_same_values()
        if not (download_config and download_config.manual_dir):
            build_dirs.require_no_other_version(
                final, f"{self.name}/{self.builder_config.name}"
            )
        build_dirs.remove_empty(final)  # TFDS would take it for a dataset
        super().download_and_prepare(download_config=download_config, **kwargs)

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

    def _info(self) -> tfds.core.DatasetInfo:
        release = self.builder_config.release
        # The classes of a tree of folders are known when the tree has been seen.
        labels = None if release == FOLDER else annotations.labels_of(release)
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

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> None:
        """Runs TFDS's own method; adds the frame index and the report."""
        self._num_shards = download_config.num_shards
        self._on_beam = bool(
            download_config.beam_runner or download_config.beam_options
        )
        if self._on_beam:
            from kinetics_clips.write import beam_pipeline

            beam_pipeline.require_possible(download_config, self._resume_dir)
        with (
            build_dirs.in_work(self.data_path),
            serializing.in_place(),
            self._encoder.workers(),
            contextlib.ExitStack() as self._open_generators,
        ):
            super()._download_and_prepare(dl_manager, download_config)
            if self.info.file_format is tfds.core.FileFormat.TFRECORD:
                indexing.build(self, self.num_workers)
        if self._on_beam:
            self._rows += beam_pipeline.take_rows(Path(self.data_path))
        report.finish(Path(self.data_path), self._rows)
        self.info.metadata["totals"] = report.totals(self._rows)
        self.info.metadata["config"] = self.builder_config.values
        self.info.metadata["manual_dir"] = as_utf8(in_utf8(str(_root(dl_manager))))
        self.info.metadata["built"] = _now()
        self.info.metadata["versions"] = self._versions()
        self._encoder.finish(self.info.metadata["built"])

    def _versions(self) -> dict[str, str]:
        from kinetics_clips.write import frames

        return {
            "kinetics_clips": __version__,
            "python": platform.python_version(),
            "tensorflow_datasets": tfds.__version__,
            **frames.LIBRARIES,
        }

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Any]:
        if self._on_beam:
            from kinetics_clips.write import beam_pipeline

        root = _root(dl_manager)
        scanned = self._scanned
        found = scanned[1] if scanned and scanned[0] == root else self.scan(root)
        self._scanned = None
        videos.require_videos(found, root, self.builder_config.release)
        self._rows += report.unmatched(found)
        # Made anew: names that an overwritten or a failed build left cannot be reset.
        label = self.info.features["label"]
        label.__init__(names=found.class_names, doc=label.doc)
        generators: dict[str, Any] = {}
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
                generators[split.name] = beam_pipeline.examples(
                    to_encode,
                    self._encoder.settings,
                    _example,
                    Path(self.data_path),
                    split.name,
                )
                continue
            generator = self._generate_examples(split.name, to_encode)
            self._open_generators.enter_context(contextlib.closing(generator))
            generators[split.name] = generator
        if not generators:
            raise report.nothing_stored(self._rows)
        self._last_split = list(generators)[-1]
        if self._on_beam:  # which has workers of its own
            self._encoder.end_workers()
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

    def _generate_examples(
        self, split: str, to_encode: list[Video]
    ) -> Generator[tuple[str, dict[str, object]], None, None]:
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
            self._encoder.end_workers()
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
        row = report.failed(video, reason, detail)
        self._rows.append(row)
        report.log_failure(row)


def _built_in(
    config: str | KineticsClipsConfig | None,
) -> str | KineticsClipsConfig | None:
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


def _example(video: Video, encoded: "EncodedVideo") -> dict[str, object]:
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


def _root(dl_manager: tfds.download.DownloadManager) -> Path:
    return Path(files.absolute(dl_manager.manual_dir))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
