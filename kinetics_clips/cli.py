"""The `kinetics-clips` command."""

import argparse
import dataclasses
import logging
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from tqdm.contrib.logging import logging_redirect_tqdm

import kinetics_clips
from kinetics_clips import (
    check,
    cli_parser,
    datasets,
    frame_index,
    progress,
    report,
    resume,
    videos,
)
from kinetics_clips.videos import Video

_log = logging.getLogger(__name__)

# What says in its text what is wrong; anything else is a bug.
_ERRORS = (ValueError, OSError, RuntimeError, ImportError)

# Videos that a build encodes first, to see whether there is room for all.
_BUILD_SAMPLE = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code, as `--help` lists them."""
    args = cli_parser.parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("kinetics_clips").setLevel(logging.INFO)
    # TFDS warns of its own temporary directory and of every custom config.
    logging.getLogger("absl").setLevel(logging.ERROR)
    # What batch systems send: end as on Ctrl-C, with the workers and nothing left over.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with logging_redirect_tqdm(), progress.of_command():
            return _COMMANDS[args.command](args)
    except BrokenPipeError:  # nobody reads on, as behind `| head`
        _drop_output()
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(f"kinetics-clips: error: {_in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = args.command == "build" and not args.no_resume
        hint = "; the same command goes on from here" if resumes else ""
        print(f"kinetics-clips: stopped{hint}", file=sys.stderr)
        return 130


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


def _say(text: str) -> None:
    """Prints; goes on where nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), sys.stdout.fileno())


def _import_tensorflow(args: argparse.Namespace) -> None:
    """Imports it before others do: it greets with lines that no setting turns off."""
    if args.debug:
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            heard.seek(0)
            os.write(saved, heard.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _demo(args: argparse.Namespace) -> int:
    _import_tensorflow(args)
    from kinetics_clips import demo

    demo.run(args.data_dir)
    return 0


def _check(args: argparse.Namespace) -> int:
    if args.sample < 0:
        raise ValueError(f"`--sample` must be at least 0, got {args.sample}.")
    builder, resume_dir = _builder(args, keep=False)
    found = builder.scan(args.manual_dir)
    for split in found.splits:
        _say(check.table(split, args.config))
    if found.unmatched:
        kinds = videos.summary_of_passed_over(found.unmatched)
        line = f"  {'unmatched':12}{len(found.unmatched):>10,}   {kinds}"
        _say(f"of no split\n{line.rstrip()}")
    selected = {split.name: builder.select(split) for split in found.splits}
    sample = check.draw(selected, sys.maxsize if args.decode else args.sample)
    decoded: dict[Video, report.Row] = {}
    if sample:
        results = _with_bar(_rows_kept(builder.encode(sample), decoded), sample)
        _print_costs(builder, results, selected, args.data_dir, resume_dir)
    if args.decode:
        _say(f"All decoded:\n{report.summary(decoded.values())}")
    if args.report:
        rows = report.unmatched(found)
        for split in found.splits:
            rows += [decoded.get(v) or report.undecoded(v) for v in split.videos]
        report.write(args.report, rows)
        _say(f"What was found of every video: {args.report}")
    videos.require_videos(found, args.manual_dir, args.config)  # as a build would
    return 0


def _build(args: argparse.Namespace) -> int:
    from kinetics_clips import report_page

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
        _say(f"{name} was complete when its build was killed")
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
    _say(f"{report_page.verdict(rows, builder.info)}: {page}")
    _say(f"What became of every video: {directory / report.FILENAME}")
    _say(f"To look at it: {_preview_command(builder, args.data_dir)}")
    _say(f"Built {name} at {builder.data_dir}")
    return 0


def _build_anew(
    args: argparse.Namespace, builder: kinetics_clips.Builder, resume_dir: Path | None
) -> None:
    """Looks at the source and the disk, and builds unless there is no use."""
    _say(f"Building {builder.name}/{builder.builder_config.name}")
    found = builder.scan(args.manual_dir)
    videos.require_videos(found, args.manual_dir, args.config)
    if not args.allow_missing:
        check.require_half(found)
    selected = {split.name: builder.select(split) for split in found.splits}
    sample = check.draw(selected, _BUILD_SAMPLE)
    if sample:
        results = _with_bar(builder.encode(sample), sample)
        check.require_room(
            _print_costs(builder, results, selected, args.data_dir, resume_dir)
        )
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
    builder = datasets.find(args.dataset, args.data_dir)
    for index in frame_index.build(builder, args.workers):
        _say(
            f"Verified {len(index)} videos of {len(index.shards)} shards, and indexed "
            f"their frames: {index.path}"
        )
    return 0


def _preview(args: argparse.Namespace) -> int:
    from kinetics_clips import preview

    preview.require_suffix(args.out)
    builder = datasets.find(args.dataset, args.data_dir)
    if not any(Path(builder.data_path).glob(f"*{frame_index.SUFFIX}")):
        _import_tensorflow(args)  # which streams the records
    fields = [field.name for field in dataclasses.fields(kinetics_clips.ClipSpec)]
    shown = preview.show_clips(
        builder,
        args.split,
        kinetics_clips.ClipSpec(**{name: getattr(args, name) for name in fields}),
        num=args.num,
        class_name=args.class_name,
        seed=args.seed,
        epoch=args.epoch,
        num_frames=args.frames,
    )
    shown.save(args.out)
    _say(f"{len(shown.clips)} clips of {builder.info.full_name}: {args.out}")
    return 0


def _report(args: argparse.Namespace) -> int:
    from kinetics_clips import report_page

    _say(report_page.rewrite(datasets.find(args.dataset, args.data_dir)))
    return 0


def _preview_command(builder: kinetics_clips.Builder, data_dir: Path) -> str:
    name = f"{builder.name}/{builder.builder_config.name}"
    words = ["kinetics-clips", "preview", name]
    if data_dir != cli_parser.DATA_DIR:
        words += ["--data-dir", str(data_dir)]
    if "train" not in builder.info.splits:
        words += ["--split", next(iter(builder.info.splits))]
    return shlex.join(words)


def _builder(
    args: argparse.Namespace, keep: bool
) -> tuple[kinetics_clips.Builder, Path | None]:
    """Returns the builder of a command's options, and where it would keep frames."""
    if not args.manual_dir.is_dir() or not any(args.manual_dir.iterdir()):
        raise ValueError(
            "`--manual-dir` must be a directory with videos, got "
            f"{args.manual_dir}. Expected:\n{videos.layout(args.config).rstrip()}"
        )
    config = kinetics_clips.KineticsClipsConfig(
        name=args.name,
        release=args.config,
        short_side=args.short_side,
        jpeg_quality=args.jpeg_quality,
        fps=args.fps,
        max_videos=args.max_videos,
    )
    resume_dir = args.resume_dir
    if resume_dir is None and not args.no_resume:
        resume_dir = args.data_dir / "downloads" / "kinetics_clips" / config.name
    builder = kinetics_clips.Builder(
        config=config,
        data_dir=args.data_dir,
        num_workers=args.workers,
        resume_dir=resume_dir if keep else None,
        skip_bad_rows=args.skip_bad_rows,
    )
    return builder, resume_dir


def _print_costs(
    builder: kinetics_clips.Builder,
    results: Iterable[tuple[Video, object]],
    selected: dict[str, list[Video]],
    data_dir: Path,
    resume_dir: Path | None,
) -> list[check.Disk]:
    """Prints what a build costs, by results of a sample; returns the disk's part."""
    cost = check.estimate(results, selected, builder.num_workers)
    needs = check.disks(cost, data_dir, resume_dir, builder.num_bytes_kept())
    _say(check.costs(cost, needs, builder.num_workers))
    return needs


def _with_bar(
    results: Iterable[tuple[Video, object]], sample: Sequence[Video]
) -> Iterator[tuple[Video, object]]:
    """Passes results on, and shows how far they are."""
    num_failed = 0
    with progress.bar(total=len(sample), desc="sample", unit=" videos") as bar:
        for video, result in results:
            num_failed += isinstance(result, Exception)
            bar.set_postfix(failed=num_failed, refresh=False)
            bar.update()
            yield video, result


def _rows_kept(
    results: Iterable[tuple[Video, object]], rows: dict[Video, report.Row]
) -> Iterator[tuple[Video, object]]:
    """Passes results on, and keeps a row of each."""
    for video, result in results:
        if isinstance(result, Exception):
            _log.warning("%s: %s", video.filename, result)
            rows[video] = report.failed(video, result.reason, result.detail)
        else:
            rows[video] = report.stored(video, result)
        yield video, result


_COMMANDS = {
    "demo": _demo,
    "check": _check,
    "build": _build,
    "index": _index,
    "preview": _preview,
    "report": _report,
}
