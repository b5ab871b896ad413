"""Encodes videos on many machines, as a part of a Beam pipeline."""

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from kinetics_clips.wheels import apache_beam as beam
from kinetics_clips.write import report, workers
from kinetics_clips.write.frames import EncodedVideo, EncodeSettings
from kinetics_clips.write.videos import Video

_log = logging.getLogger(__name__)

# Loose videos that a worker gets at once: it starts a process for them, and they are
# done in half a minute, so that no worker is long behind the others. An archive can
# only be read from its start to its end, by one.
_GROUP = 64

# Counters of a running pipeline, such as `kinetics_clips/stored`.
NAMESPACE = "kinetics_clips"

# They run on one machine, in ways that their names do not say: the first downloads a
# program, and where it cannot, is another runner, in one process, as is the second.
_REFUSED = (
    beam.runners.direct.direct_runner.SwitchingDirectRunner,
    beam.runners.direct.direct_runner.BundleBasedDirectRunner,
)

_ROWS = "report_rows_"


def require_possible(
    download_config: tfds.download.DownloadConfig, resume_dir: Path | None
) -> None:
    """Requires of a build's options what a pipeline needs.

    Raises:
      ValueError: If no runner of several processes is named, or an option is set that
        a pipeline would pass over.
      ImportError: If Beam, or the runner, is not installed.
    """
    _require_runner(download_config.beam_runner, download_config.beam_options)
    if resume_dir:
        raise ValueError(
            "`resume_dir` must be None where a Beam pipeline builds, got "
            f"{resume_dir}: what its workers have done is kept by the runner."
        )
    if download_config.max_examples_per_split is not None:  # TFDS passes over it
        raise ValueError(
            "`max_examples_per_split` must be None where a Beam pipeline builds, "
            f"got {download_config.max_examples_per_split}. Set the config's "
            "`max_videos`."
        )


def _require_runner(
    runner: beam.runners.runner.PipelineRunner | str | None,
    options: beam.options.pipeline_options.PipelineOptions | None,
) -> None:
    """Requires that a runner is named, and is what its name says.

    Raises:
      ValueError: If not, or Beam knows no runner of that name.
      ImportError: If it is not installed.
    """
    if runner is None and options is not None:
        standard = beam.options.pipeline_options.StandardOptions
        runner = options.view_as(standard).runner
    if isinstance(runner, str):
        runner = beam.runners.runner.create_runner(runner)
    if runner is None or isinstance(runner, _REFUSED):
        name = runner and type(runner).__name__
        raise ValueError(
            "`runner` must be a Beam runner of several processes, such as FnApiRunner "
            "(one machine; keeps all in memory), DataflowRunner or FlinkRunner, got "
            f"{name}: Beam's default downloads a program, or quietly runs in one "
            "process. Name one as `beam_runner`, or as runner=... in the pipeline's "
            "options. One machine needs no Beam at all: leave both out."
        )


def examples(
    videos: Iterable[Video],
    settings: EncodeSettings,
    to_example: Callable[[Video, EncodedVideo], dict[str, object]],
    directory: Path,
    split: str,
) -> beam.PTransform:
    """Returns what makes the examples of a split out of its videos.

    The videos, and the directory, must have the same paths on all machines.

    Args:
      videos: Videos that have a file and no problem.
      settings: How to scale and encode.
      to_example: A function, to be pickled, that makes what TFDS stores.
      directory: The directory that gets the rows of the build report, for `take_rows`.
      split: The name of the split.

    Returns:
      A transform from a pipeline to pairs of video id and example.
    """
    groups = list(_groups(videos))

    @beam.ptransform_fn
    def encoded(pipeline: beam.Pipeline) -> beam.PCollection:
        results = (
            pipeline
            | beam.Create(groups, reshuffle=False)
            | beam.Reshuffle()
            | beam.FlatMap(
                functools.partial(_encode, settings=settings, to_example=to_example)
            ).with_outputs("rows", main="examples")
        )
        _ = results.rows | beam.io.WriteToText(
            str(directory / f"{_ROWS}{split}"), file_name_suffix=".jsonl"
        )
        return results.examples

    return encoded()


def take_rows(directory: Path) -> list[report.Row]:
    """Returns the rows that pipelines have put into a directory, and removes them."""
    rows = []
    for path in sorted(directory.glob(f"{_ROWS}*.jsonl")):
        with path.open(encoding="utf-8") as file:
            rows += [report.Row(**json.loads(line)) for line in file]
        path.unlink()
    return rows


def _groups(videos: Iterable[Video]) -> Iterator[list[Video]]:
    """Yields videos that one worker gets: some loose ones, or all of one archive."""
    archives: dict[Path, list[Video]] = {}
    loose = []
    for video in videos:
        if video.source.archive is None:
            loose.append(video)
        else:
            archives.setdefault(video.source.path, []).append(video)
    yield from (loose[at : at + _GROUP] for at in range(0, len(loose), _GROUP))
    yield from archives.values()


def _encode(
    videos: list[Video],
    settings: EncodeSettings,
    to_example: Callable[[Video, EncodedVideo], dict[str, object]],
) -> Iterator[tuple[str, dict[str, object]] | beam.pvalue.TaggedOutput]:
    # In a process of their own, which a crash or a hang costs one video and the worker
    # nothing; a worker's threads encode beside each other in this way too.
    for video, result in workers.encode_all(videos, settings, num_workers=1):
        if isinstance(result, Exception):
            row = report.failed(video, result.reason, result.detail)
            _log.warning("%s: %s", video.filename, result)
        else:
            row = report.stored(video, result)
            yield video.annotation.video_id, to_example(video, result)
        beam.metrics.Metrics.counter(NAMESPACE, row.status).inc()
        yield beam.pvalue.TaggedOutput("rows", json.dumps(dataclasses.asdict(row)))
