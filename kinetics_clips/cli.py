"""The `kinetics-clips` command."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from tqdm.contrib.logging import logging_redirect_tqdm

import kinetics_clips
from kinetics_clips import kinetics_clips_dataset_builder as dataset_builder
from kinetics_clips import report, videos


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, or 1 with a line that says why."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("kinetics_clips").setLevel(logging.INFO)
    # TFDS warns of its own temporary directory and of every custom config.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with logging_redirect_tqdm():
            return args.run(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"kinetics-clips: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kinetics-clips: stopped", file=sys.stderr)
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

    build = commands.add_parser(
        "build",
        help="build a dataset",
        epilog="example: kinetics-clips build folder --manual-dir ~/my_videos",
    )
    build.add_argument(
        "config",
        choices=dataset_builder.RELEASES,
        metavar="CONFIG",
        help=" or ".join(dataset_builder.RELEASES),
    )
    build.add_argument(
        "--manual-dir",
        type=_local,
        required=True,
        metavar="DIR",
        help="where the videos are",
    )
    build.add_argument(
        "--name", default="", help="of the config (default: made from the other values)"
    )
    build.add_argument(
        "--data-dir",
        type=_local,
        metavar="DIR",
        help="where the dataset goes (default: $TFDS_DATA_DIR or "
        "~/tensorflow_datasets)",
    )
    build.add_argument(
        "--short-side",
        type=_whole_or_none,
        default=256,
        metavar="N",
        help="pixels that a frame's shorter side is scaled down to, or 'none' "
        "(default: 256)",
    )
    build.add_argument(
        "--jpeg-quality",
        type=int,
        default=85,
        metavar="N",
        help="1 to 100 (default: 85)",
    )
    build.add_argument(
        "--max-videos", type=int, metavar="N", help="of each split (default: all)"
    )
    build.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one a core)"
    )
    build.add_argument(
        "--overwrite",
        action="store_true",
        help="delete a dataset of that name first",
    )
    build.set_defaults(run=_build)
    return parser


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a local directory, got {text}")
    return Path(text)


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


def _build(args: argparse.Namespace) -> int:
    config = kinetics_clips.KineticsClipsConfig(
        name=args.name,
        release=args.config,
        short_side=args.short_side,
        jpeg_quality=args.jpeg_quality,
        max_videos=args.max_videos,
    )
    builder = kinetics_clips.Builder(
        config=config, data_dir=args.data_dir, num_workers=args.workers
    )
    name = f"{builder.name}/{config.name}"
    exists = builder.is_prepared()
    if exists and not args.overwrite:
        metadata = builder.info.metadata
        print(
            f"{name} exists: built {metadata.get('built', 'at an unknown time')} from "
            f"{metadata.get('manual_dir', 'an unknown directory')}, at "
            f"{builder.data_dir}.\n--overwrite deletes it and builds it again; --name "
            "gives the new one a name of its own.",
            file=sys.stderr,
        )
        return 1
    if not args.manual_dir.is_dir() or not any(args.manual_dir.iterdir()):
        raise ValueError(
            "`--manual-dir` must be a directory with videos, got "
            f"{args.manual_dir}.\n{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    if exists:  # a wrong directory must not cost the old dataset
        videos.find(args.manual_dir.absolute(), config.release)
    print(f"Building {name}")
    mode = tfds.download.GenerateMode
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=args.manual_dir.absolute(),
            download_mode=(
                mode.REUSE_CACHE_IF_EXISTS
                if args.overwrite
                else mode.REUSE_DATASET_IF_EXISTS
            ),
        )
    )
    print(f"What became of every video: {builder.data_path / report.FILENAME}")
    print(f"Built {name} at {builder.data_dir}")
    return 0
