"""The `kinetics-clips` command."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

import kinetics_clips
from kinetics_clips import check, datasets, frame_index, report, resume, videos
from kinetics_clips import kinetics_clips_dataset_builder as dataset_builder
from kinetics_clips.videos import Video

_log = logging.getLogger(__name__)

# What says in its text what is wrong; anything else is a bug, and shows where.
_ERRORS = (ValueError, OSError, RuntimeError)

# Videos that a build encodes first, to see whether there is room for all.
_BUILD_SAMPLE = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, or 1 with a line that says why."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("kinetics_clips").setLevel(logging.INFO)
    # TFDS warns of its own temporary directory and of every custom config.
    logging.getLogger("absl").setLevel(logging.ERROR)
    # What batch systems send: end as on Ctrl-C, with the workers and nothing left over.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with logging_redirect_tqdm():
            return args.run(args)
    except Exception as error:
        # TensorFlow's errors, of a full disk say, share no base class with Python's.
        of_tensorflow = type(error).__module__.startswith("tensorflow.")
        if not of_tensorflow and not isinstance(error, _ERRORS):
            raise
        print(f"kinetics-clips: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = args.run is _build and not args.no_resume
        hint = "; the same command goes on from here" if resumes else ""
        print(f"kinetics-clips: stopped{hint}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kinetics-clips",
        description="Build TFDS datasets of video frames; read random clips back.",
    )
    parser.add_argument(
        "--version", action="version", version=kinetics_clips.__version__
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="make videos, build a dataset of them, load clips, draw them"
    )
    demo.add_argument(
        "--data-dir",
        type=_local,
        default=Path("kinetics_clips_demo"),
        metavar="DIR",
        help="where all of it goes (default: ./kinetics_clips_demo)",
    )
    demo.set_defaults(run=_demo)

    look = commands.add_parser(
        "check",
        parents=[_build_options()],
        help="tell whether a copy of the videos is complete, and what a build costs",
        epilog="example: kinetics-clips check k400 --manual-dir /data/k400",
    )
    look.add_argument(
        "--sample",
        type=int,
        default=50,
        metavar="N",
        help="videos to encode for what a build costs; 0 = none (default: 50)",
    )
    look.add_argument(
        "--decode", action="store_true", help="decode all videos, to find the bad ones"
    )
    look.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a row for every annotated video and every video file, as CSV",
    )
    look.set_defaults(run=_check)

    build = commands.add_parser(
        "build",
        parents=[_build_options()],
        help="build a dataset; goes on where an interrupted build stopped",
        epilog="example: kinetics-clips build folder --manual-dir ~/my_videos",
    )
    build.add_argument(
        "--allow-missing",
        action="store_true",
        help="build even if under half of the annotated videos are there",
    )
    build.add_argument(
        "--overwrite",
        action="store_true",
        help="build a dataset of that name anew; it takes the old one's place at the "
        "end",
    )
    build.add_argument(
        "--num-shards",
        type=int,
        metavar="N",
        help="files of each split (default: TFDS's choice, of about 1 GiB)",
    )
    build.set_defaults(run=_build)

    index = commands.add_parser(
        "index",
        help="index the frames of a prepared dataset, and verify it; builds do both",
        epilog="example: kinetics-clips index kinetics_clips/k400",
    )
    index.add_argument(
        "dataset",
        metavar="DATASET",
        help="a TFDS name or the directory of a prepared dataset, with a sequence of "
        "images",
    )
    _add_data_dir(index, "where a name is looked for")
    _add_workers(index)
    index.set_defaults(run=_index)
    return parser


def _build_options() -> argparse.ArgumentParser:
    """Returns what all commands take that build, or look at what would be built."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "config",
        choices=dataset_builder.RELEASES,
        metavar="CONFIG",
        help=" or ".join(dataset_builder.RELEASES),
    )
    options.add_argument(
        "--manual-dir",
        type=_local,
        required=True,
        metavar="DIR",
        help="where the videos are",
    )
    options.add_argument(
        "--name", default="", help="of the config (default: made from the other values)"
    )
    _add_data_dir(options, "where the dataset goes")
    options.add_argument(
        "--short-side",
        type=_whole_or_none,
        default=256,
        metavar="N",
        help="pixels that a frame's shorter side is scaled down to, or 'none' "
        "(default: 256)",
    )
    options.add_argument(
        "--jpeg-quality",
        type=int,
        default=85,
        metavar="N",
        help="1 to 100 (default: 85)",
    )
    options.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames a second to store (default: every frame as it is)",
    )
    options.add_argument(
        "--max-videos", type=int, metavar="N", help="of each split (default: all)"
    )
    _add_workers(options)
    resume = options.add_mutually_exclusive_group()
    resume.add_argument(
        "--resume-dir",
        type=_local,
        metavar="DIR",
        help="where the frames of finished videos are kept until the build is complete "
        "(default: DATA_DIR/downloads/kinetics_clips/NAME)",
    )
    resume.add_argument(
        "--no-resume",
        action="store_true",
        help="keep none: half the disk, but an interrupted build starts over",
    )
    return options


def _add_data_dir(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data-dir",
        type=_local,
        default=Path(tfds.core.constants.DATA_DIR).expanduser(),
        metavar="DIR",
        help=f"{what} (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one a core)"
    )


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a local directory, got {text}")
    return Path(text).absolute()


def _whole_or_none(text: str) -> int | None:
    try:
        return None if text.lower() == "none" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a whole number or 'none', got {text!r}"
        ) from None


def _demo(args: argparse.Namespace) -> int:
    from kinetics_clips import demo  # brings TensorFlow

    demo.run(args.data_dir)
    return 0


def _check(args: argparse.Namespace) -> int:
    if args.sample < 0:
        raise ValueError(f"`--sample` must be at least 0, got {args.sample}.")
    builder, resume_dir = _builder(args, keep=False)
    found = builder.scan(args.manual_dir)
    for split in found.splits:
        print(check.table(split, args.config))
    if found.unmatched:
        print(f"of no split\n  {'unmatched':12}{len(found.unmatched):>10,}")
    selected = {split.name: builder.select(split) for split in found.splits}
    sample = check.draw(selected, sys.maxsize if args.decode else args.sample)
    decoded: dict[Video, report.Row] = {}
    if sample:
        results = _rows_kept(builder.encode(sample), decoded)
        _print_costs(builder, results, selected, args.data_dir, resume_dir)
    if args.decode:
        print(f"All decoded:\n{report.summary(decoded.values())}")
    if args.report:
        rows = report.unmatched(found)
        for split in found.splits:
            rows += [decoded.get(v) or report.undecoded(v) for v in split.videos]
        report.write(args.report, rows)
        print(f"What was found of every video: {args.report}")
    videos.require_videos(found, args.manual_dir, args.config)  # as a build would
    return 0


def _build(args: argparse.Namespace) -> int:
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
        print(
            f"{name} exists: built {metadata.get('built', 'at an unknown time')} from "
            f"{metadata.get('manual_dir', 'an unknown directory')}, at "
            f"{builder.data_dir}.\n--overwrite builds it again and then replaces it; "
            "--name gives the new one a name of its own.",
            file=sys.stderr,
        )
        return 1
    else:
        _build_anew(args, builder, resume_dir)
    print(f"What became of every video: {builder.data_path / report.FILENAME}")
    print(f"Built {name} at {builder.data_dir}")
    return 0


def _build_anew(
    args: argparse.Namespace, builder: kinetics_clips.Builder, resume_dir: Path | None
) -> None:
    """Looks at the source and the disk, and builds unless there is no use."""
    print(f"Building {builder.name}/{builder.builder_config.name}")
    found = builder.scan(args.manual_dir)
    videos.require_videos(found, args.manual_dir, args.config)
    if not args.allow_missing:
        check.require_half(found)
    selected = {split.name: builder.select(split) for split in found.splits}
    sample = check.draw(selected, _BUILD_SAMPLE)
    if sample:
        results = builder.encode(sample)
        check.require_room(
            _print_costs(builder, results, selected, args.data_dir, resume_dir)
        )
    mode = tfds.download.GenerateMode
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
        print(
            f"Verified {len(index)} videos of {len(index.shards)} shards, and indexed "
            f"their frames: {index.path}"
        )
    return 0


def _builder(
    args: argparse.Namespace, keep: bool
) -> tuple[kinetics_clips.Builder, Path | None]:
    """Returns the builder of a command's options, and where it would keep frames."""
    if not args.manual_dir.is_dir() or not any(args.manual_dir.iterdir()):
        raise ValueError(
            "`--manual-dir` must be a directory with videos, got "
            f"{args.manual_dir}.\n"
            f"{kinetics_clips.Builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
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
    bar = tqdm(results, desc="sample", unit=" videos", leave=False)
    cost = check.estimate(bar, selected, builder.num_workers)
    needs = check.disks(cost, data_dir, resume_dir, builder.num_bytes_kept())
    print(check.costs(cost, needs, builder.num_workers))
    return needs


def _rows_kept(
    results: Iterable[tuple[Video, object]], rows: dict[Video, report.Row]
) -> Iterator[tuple[Video, object]]:
    """Passes results on, and keeps a row of each."""
    for video, result in results:
        if isinstance(result, Exception):
            _log.warning("%s: %s", video.filename, result)
            rows[video] = report.failed(video, result.reason)
        else:
            rows[video] = report.stored(video, result)
        yield video, result
