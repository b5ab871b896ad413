"""The `kinetics-clips` command."""

import argparse
import dataclasses
import gc
import importlib
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow_datasets as tfds
from tqdm.contrib.logging import logging_redirect_tqdm

from kinetics_clips import progress, wheels, wording
from kinetics_clips.command import arguments, startup
from kinetics_clips.kinetics_clips_dataset_builder import Builder
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.store import datasets, index_format, indexing
from kinetics_clips.write import check, releases, report, resume, videos
from kinetics_clips.write.config import KineticsClipsConfig
from kinetics_clips.write.videos import Video

if TYPE_CHECKING:  # importing it brings OpenCV, which readers do not need
    from kinetics_clips.write.frames import EncodedVideo, VideoError

_log = logging.getLogger(__name__)

# What says in its text what is wrong; anything else is a bug.
_ERRORS = (ValueError, OSError, RuntimeError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code, as `--help` lists them."""
    startup.prepare_streams()
    args = arguments.parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("kinetics_clips").setLevel(logging.INFO)
    # TFDS warns of its own temporary directory and of every custom config.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        startup.stop_by_exceptions()
        with logging_redirect_tqdm(), progress.of_command():
            return _COMMANDS[args.command](args)
    except Exception as error:
        if args.debug:
            raise
        words = arguments.in_options(_in_words(error), args)
        print(f"kinetics-clips: error: {words}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = args.command == "build" and not args.no_resume
        hint = "; the same command goes on from here" if resumes else ""
        print(f"kinetics-clips: stopped{hint}", file=sys.stderr)
        return startup.STOPPED


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory."
    # TensorFlow's errors, of a full disk say, share no base class with Python's.
    of_tensorflow = type(error).__module__.startswith("tensorflow.")
    if (of_tensorflow or isinstance(error, _ERRORS)) and str(error):
        return str(error)
    return (
        f"{type(error).__name__}: {error}. This is a bug: please report it with what "
        "the same command prints with --debug."
    )


def _import_tensorflow(args: argparse.Namespace) -> None:
    """Imports it before others do: it greets with lines that no setting turns off."""
    if args.debug or "tensorflow" in sys.modules:
        return
    wheels.require("tensorflow")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        # A third of the time goes into looking for garbage among what stays anyway.
        gc.disable()
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            heard.seek(0)
            os.write(saved, heard.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            gc.enable()
    gc.freeze()


def _demo(args: argparse.Namespace) -> int:
    _import_tensorflow(args)
    from kinetics_clips.command import demo

    demo.run(args.data_dir)
    return 0


def _check(args: argparse.Namespace) -> int:
    if args.sample < 0:
        raise ValueError(f"`--sample` must be at least 0, got {args.sample}.")
    builder, resume_dir = _builder(args, keep=False)
    found = builder.scan(args.manual_dir)
    for split in found.splits:
        print(check.table(split, args.release))
    if found.unmatched:
        kinds = videos.summary_of_passed_over(found.unmatched)
        line = f"  {'unmatched':12}{len(found.unmatched):>10,}   {kinds}"
        print(f"of no split\n{line.rstrip()}")
    selected = {split.name: builder.select(split) for split in found.splits}
    size = sys.maxsize if args.decode else args.sample
    decoded, _ = _encode_sample(args, builder, selected, size, resume_dir)
    for finding in _findings(args, selected, decoded, found.class_names):
        print(finding)
    if args.decode:
        print(f"All decoded:\n{report.summary(decoded.values())}")
    rows = [
        decoded.get(video) or report.undecoded(video)
        for split in found.splits
        for video in split.videos
    ]
    if args.report:
        report.write(args.report, report.unmatched(found) + rows)
        print(f"What was found of every video: {args.report}")
    # As a build would.
    videos.require_videos(found, args.manual_dir, args.release)
    _require_stored(decoded, selected, rows)
    _require_writable(args, builder, resume_dir)
    return 0


def _findings(
    args: argparse.Namespace,
    selected: dict[str, list[Video]],
    decoded: dict[Video, report.Row],
    class_names: Sequence[str],
) -> list[str]:
    """Returns what the report of a build will find, as far as it can be told before."""
    from kinetics_clips.show import report_page

    to_store = [
        row
        for split_videos in selected.values()
        for video in split_videos
        if (row := decoded.get(video) or report.undecoded(video)).status
        != report.FAILED
    ]
    found = []
    if any(row.split == "train" for row in to_store):
        is_subset = args.max_videos is not None
        checks = report_page.class_checks(to_store, class_names, is_subset)
        found += [check.text for check in checks if check.level != report_page.GOOD]
    stored = [row for row in decoded.values() if row.status == report.STORED]
    of = "" if len(stored) == len(to_store) else "of the sample, "
    return found + [f"{of}{text}" for text in report_page.several_sizes(stored)]


def _build(args: argparse.Namespace) -> int:
    wheels.require("tensorflow")  # before the work that comes first
    from kinetics_clips.show import report_page

    builder, resume_dir = _builder(args, keep=not args.no_resume)
    name = f"{builder.name}/{builder.builder_config.name}"
    exists = builder.is_prepared()
    if not args.overwrite:
        builder.require_same_values()
    metadata = builder.info.metadata or {}
    if (
        exists
        and resume_dir
        and resume.remove_finished(resume_dir, metadata.get("built"))
    ):
        print(f"{name} was complete when its build was killed")
    elif exists and not args.overwrite:
        raise ValueError(
            f"{name} exists: built {metadata.get('built', 'at an unknown time')} from "
            f"{metadata.get('manual_dir', 'an unknown directory')}, at "
            f"{builder.data_dir}. --overwrite builds it again and then replaces it; "
            "--name gives the new one a name of its own."
        )
    else:
        _build_anew(args, builder, resume_dir)
    directory = Path(builder.data_path)
    rows = report.read(directory / report.FILENAME)
    page = directory / report_page.FILENAME
    if not page.exists():  # the build was killed before
        report_page.write(builder, rows)
    print(f"{report_page.verdict(rows, builder.info)}: {page}")
    for finding in report_page.findings(rows, builder.info):
        print(f"  {finding}")
    print(f"What became of every video: {directory / report.FILENAME}")
    print(f"To look at it: {_preview_command(builder, args.data_dir)}")
    print(f"Built {name} at {builder.data_dir}")
    return 0


def _build_anew(
    args: argparse.Namespace, builder: Builder, resume_dir: Path | None
) -> None:
    """Looks at the source and the disk, and builds unless there is no use."""
    print(f"Building {builder.name}/{builder.builder_config.name}")
    _require_writable(args, builder, resume_dir)
    found = builder.scan(args.manual_dir)
    videos.require_videos(found, args.manual_dir, args.release)
    if not args.allow_missing:
        check.require_half(found)
    selected = {split.name: builder.select(split) for split in found.splits}
    rows, needs = _encode_sample(args, builder, selected, check.SAMPLE, resume_dir)
    if 0 < sum(map(len, selected.values())) == len(rows):  # nothing else is there
        _require_stored(rows, selected, ())
    check.require_room(needs)
    _import_tensorflow(args)
    mode = tfds.download.GenerateMode
    with progress.without_prints():
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=args.manual_dir,
                num_shards=args.num_shards,
                download_mode=(
                    mode.REUSE_CACHE_IF_EXISTS
                    if args.overwrite
                    else mode.REUSE_DATASET_IF_EXISTS
                ),
            )
        )


def _index(args: argparse.Namespace) -> int:
    builder = _find(args)
    for index in indexing.build(builder, args.num_workers):
        print(
            f"Verified {wording.count(len(index), 'video', 'videos')} of "
            f"{wording.count(len(index.shards), 'shard', 'shards')}, and indexed "
            f"their frames: {index.path}"
        )
    return 0


def _preview(args: argparse.Namespace) -> int:
    from kinetics_clips.show import preview

    preview.require_suffix(args.path)
    builder = _find(args)
    if not any(Path(builder.data_path).glob(f"*{index_format.SUFFIX}")):
        _import_tensorflow(args)  # which streams the records
    fields = [field.name for field in dataclasses.fields(ClipSpec)]
    shown = preview.show_clips(
        builder,
        args.split,
        ClipSpec(**{name: getattr(args, name) for name in fields}),
        num=args.num,
        class_name=args.class_name,
        seed=args.seed,
        epoch=args.epoch,
        num_frames=args.num_frames,
    )
    shown.save(args.path)
    count = wording.count(len(shown.clips), "clip", "clips")
    print(f"{count} of {builder.info.full_name}: {args.path}")
    return 0


def _report(args: argparse.Namespace) -> int:
    from kinetics_clips.show import report_page

    print(report_page.rewrite(_find(args)))
    return 0


def _find(args: argparse.Namespace) -> Builder:
    """Finds the dataset of a command; `folder` is short for `kinetics_clips/folder`."""
    name = args.dataset
    ours = f"{Builder.name}/{name}"
    is_short = name in releases.RELEASES or Path(args.data_dir, ours).is_dir()
    if "/" not in name and is_short and not Path(name).is_dir():
        name = ours
    return datasets.find(name, args.data_dir)


def _preview_command(builder: Builder, data_dir: Path) -> str:
    name = f"{builder.name}/{builder.builder_config.name}"
    words = ["kinetics-clips", "preview", name]
    if data_dir != arguments.DATA_DIR:
        words += ["--data-dir", str(data_dir)]
    if "train" not in builder.info.splits:
        words += ["--split", next(iter(builder.info.splits))]
    return shlex.join(words)


def _builder(args: argparse.Namespace, keep: bool) -> tuple[Builder, Path | None]:
    """Returns the builder of a command's options, and where it would keep frames."""
    if not args.manual_dir.is_dir() or not any(args.manual_dir.iterdir()):
        raise ValueError(
            "`--manual-dir` must be a directory with videos, got "
            f"{args.manual_dir}. Expected:\n{videos.layout(args.release).rstrip()}"
        )
    config = KineticsClipsConfig(
        name=args.name,
        release=args.release,
        short_side=args.short_side,
        jpeg_quality=args.jpeg_quality,
        fps=args.fps,
        max_videos=args.max_videos,
    )
    resume_dir = args.resume_dir
    if resume_dir is None and not args.no_resume:
        resume_dir = args.data_dir / "downloads" / "kinetics_clips" / config.name
    builder = Builder(
        config=config,
        data_dir=args.data_dir,
        num_workers=args.num_workers,
        resume_dir=resume_dir if keep else None,
        skip_bad_rows=args.skip_bad_rows,
    )
    return builder, resume_dir


def _encode_sample(
    args: argparse.Namespace,
    builder: Builder,
    selected: dict[str, list[Video]],
    size: int,
    resume_dir: Path | None,
) -> tuple[dict[Video, report.Row], list[check.Disk]]:
    """Encodes some of the videos and prints what a build of all costs.

    Returns:
      The rows of those videos, and what is needed of each disk.
    """
    sample = check.draw(selected, size)
    # Of before: a build keeps what it encodes here.
    kept = resume.num_bytes(resume_dir) if resume_dir else 0
    free = check.free_space(args.data_dir, resume_dir)
    rows: dict[Video, report.Row] = {}
    if not sample:
        return rows, []
    results = _with_rows(builder.encode(sample), len(sample), rows)
    if args.command == "check":  # a build names them all
        results = _logged(results)
    cost = check.estimate(results, selected, builder.num_workers)
    if cost.num_failed == len(sample):
        return rows, []
    needs = check.disks(cost, args.data_dir, resume_dir, kept, free)
    print(check.costs(cost, needs, builder.num_workers))
    return rows, needs


def _with_rows(
    results: Iterable[tuple[Video, "EncodedVideo | VideoError"]],
    total: int,
    rows: dict[Video, report.Row],
) -> Iterator[tuple[Video, "EncodedVideo | VideoError"]]:
    """Passes results on, keeps a row of each, and shows how far they are."""
    num_failed = 0
    with progress.bar(total=total, desc="sample", unit=" videos") as bar:
        for video, result in results:
            if isinstance(result, Exception):
                num_failed += 1
                rows[video] = report.failed(video, result.reason, result.detail)
            else:
                rows[video] = report.stored(video, result)
            bar.set_postfix(failed=num_failed, refresh=False)
            bar.update()
            yield video, result


def _logged(
    results: Iterable[tuple[Video, "EncodedVideo | VideoError"]],
) -> Iterator[tuple[Video, "EncodedVideo | VideoError"]]:
    """Passes results on, and names the videos that failed."""
    for video, result in results:
        if isinstance(result, Exception):
            _log.warning("%s: %s", video.filename, result)
        yield video, result


def _require_stored(
    sample: dict[Video, report.Row],
    selected: dict[str, list[Video]],
    rows: Iterable[report.Row],
) -> None:
    """Raises ValueError where no video of a sample, or none at all, can be stored."""
    num_selected = sum(map(len, selected.values()))
    if not num_selected:
        raise report.nothing_stored(rows)
    if sample and not any(row.status == report.STORED for row in sample.values()):
        of = " of the sample" if len(sample) < num_selected else ""
        raise report.nothing_stored(sample.values(), of)


def _require_writable(
    args: argparse.Namespace, builder: Builder, resume_dir: Path | None
) -> None:
    """Raises OSError where a build could not write."""
    check.require_writable(Path(builder.data_path).parent, "--data-dir")
    if resume_dir:
        check.require_writable(resume_dir, "--resume-dir")


_COMMANDS = {
    "demo": _demo,
    "check": _check,
    "build": _build,
    "index": _index,
    "preview": _preview,
    "report": _report,
}
