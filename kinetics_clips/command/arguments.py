"""The options of the `kinetics-clips` command, and its help."""

import argparse
import re
from pathlib import Path

import tensorflow_datasets as tfds

from kinetics_clips import files
from kinetics_clips.kinetics_clips_dataset_builder import Builder
from kinetics_clips.read import clip_spec
from kinetics_clips.version import __version__
from kinetics_clips.write import check
from kinetics_clips.write.config import KineticsClipsConfig
from kinetics_clips.write.releases import RELEASES

DATA_DIR = Path(files.absolute(tfds.core.constants.DATA_DIR))

_EXAMPLES = """\
examples:
  kinetics-clips demo
  kinetics-clips check k400 --manual-dir /data/k400
  kinetics-clips build k400 --manual-dir /data/k400 --data-dir /big/disk
  kinetics-clips preview kinetics_clips/k400 --data-dir /big/disk --crop 224

exit codes:
  0    done
  1    an error, in one line on standard error; --debug shows where
  2    options that cannot be understood
  130  stopped by Ctrl-C or SIGTERM; the same `build` goes on from there
"""


# Python's arguments whose options bear other names than theirs.
_SPELLED = {
    "class_name": "--class",
    "dataset": "DATASET",
    "num_frames": "--frames",
    "num_workers": "--workers",
    "path": "--out",
    "release": "CONFIG",
}


def in_options(text: str, args: argparse.Namespace) -> str:
    """Returns an error's text that names a command's options, not Python's arguments.

    Args:
      text: Text in which the arguments stand as `crop`, between backticks.
      args: What the parser has made of the command line: each destination is the name
        of the argument that it is passed on as.
    """

    def option(match: re.Match[str]) -> str:
        name = match[1]
        if name not in vars(args):
            return match[0]
        return f"`{_SPELLED.get(name) or '--' + name.replace('_', '-')}`"

    # No option takes a None: it is left out.
    return re.sub(r"`(\w+)`", option, text.replace(" or None, got", ", got"))


def parser() -> argparse.ArgumentParser:
    """Returns what parses a command line; `command` is the command's name."""
    parser = argparse.ArgumentParser(
        prog="kinetics-clips",
        description="Build TFDS datasets of video frames; read random clips back.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--debug", action="store_true", help="show the traceback of an error"
    )

    demo = commands.add_parser(
        "demo",
        parents=[common],
        help="make some videos, build a dataset from them, load clips and draw them",
        epilog="example: kinetics-clips demo",
    )
    demo.add_argument(
        "--data-dir",
        type=_local,
        default=Path("kinetics_clips_demo"),
        metavar="DIR",
        help="directory that takes all of it (default: ./kinetics_clips_demo)",
    )

    look = commands.add_parser(
        "check",
        parents=[common, _build_options()],
        help="tell whether a copy of the videos is complete, and what a build costs",
        epilog="example: kinetics-clips check k400 --manual-dir /data/k400",
    )
    look.add_argument(
        "--sample",
        type=int,
        default=check.SAMPLE,
        metavar="N",
        help="number of videos to encode as a trial, from which the cost of a build is "
        f"estimated; 0 for none (default: {check.SAMPLE})",
    )
    look.add_argument(
        "--decode", action="store_true", help="decode all videos, to find the bad ones"
    )
    look.add_argument(
        "--report",
        type=_path,
        metavar="FILE",
        help="CSV file to write, with a row for every annotated video and every video "
        "file",
    )

    build = commands.add_parser(
        "build",
        parents=[common, _build_options()],
        help="build a dataset; goes on where an interrupted build stopped",
        epilog="example: kinetics-clips build folder --manual-dir ~/my_videos",
    )
    build.add_argument(
        "--allow-missing",
        action="store_true",
        help="build even if less than half of the videos are there",
    )
    build.add_argument(
        "--overwrite",
        action="store_true",
        help="build again a dataset that is there; the new one replaces it at the end",
    )
    build.add_argument(
        "--num-shards",
        type=int,
        metavar="N",
        help="number of files of each split (default: as TFDS chooses, of about 1 GiB "
        "each)",
    )

    index = commands.add_parser(
        "index",
        parents=[common],
        help="index the frames of a prepared dataset, and verify it; builds do both",
        epilog="example: kinetics-clips index kinetics_clips/k400",
    )
    _add_dataset(index)
    _add_workers(index)

    preview = commands.add_parser(
        "preview",
        parents=[common],
        help="draw clips as a model will see them, as a picture or a video",
        epilog="example: kinetics-clips preview kinetics_clips/k400 --crop 224 "
        "--class archery --out archery.webm",
    )
    _add_dataset(preview)
    preview.add_argument(
        "--split", default="train", help="any TFDS split expression (default: train)"
    )
    preview.add_argument(
        "--num",
        type=int,
        default=6,
        metavar="N",
        help="number of videos to show a clip of (default: 6)",
    )
    preview.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="only class to show (default: all)",
    )
    preview.add_argument(
        "--out",
        dest="path",
        type=_path,
        default=Path("clips.png"),
        metavar="FILE",
        help="file to write: .png for a sheet with one row per clip, .webm for a video "
        "(default: clips.png)",
    )
    preview.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of all random draws (default: 0)",
    )
    preview.add_argument(
        "--epoch",
        type=int,
        default=0,
        metavar="N",
        help="number of the epoch, from 0 on (default: 0)",
    )
    preview.add_argument(
        "--frames",
        dest="num_frames",
        type=int,
        default=8,
        metavar="N",
        help="number of frames of each clip in a sheet, evenly spaced (default: 8)",
    )
    _add_spec(preview)

    report = commands.add_parser(
        "report",
        parents=[common],
        help="make a dataset's build_report.html again from its build_report.csv",
        epilog="example: kinetics-clips report kinetics_clips/k400",
    )
    _add_dataset(report)
    return parser


def _add_spec(parser: argparse.ArgumentParser) -> None:
    """Adds the fields of a `ClipSpec`."""
    spec = parser.add_argument_group("what a clip is, as ClipSpec says it")
    for name, default, what in (
        ("--length", 64, "number of frames of a clip (default: 64)"),
        (
            "--stride",
            1,
            "number of stored frames from one frame to the next (default: 1)",
        ),
        (
            "--crop",
            None,
            "side of the square that is cut out, in pixels (default: whole frames)",
        ),
        (
            "--size",
            None,
            "side in pixels that crops are scaled to (default: as they are)",
        ),
    ):
        spec.add_argument(name, type=int, default=default, metavar="N", help=what)
    spec.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames per second of a clip, instead of --stride",
    )
    spec.add_argument(
        "--windows",
        type=lambda text: int(text) if text.isdecimal() else text,
        default=clip_spec.RANDOM,
        metavar="W",
        help="windows of a video: random, center, or the number of evenly spaced ones "
        "(default: random)",
    )
    spec.add_argument(
        "--crops",
        default=clip_spec.RANDOM,
        choices=[clip_spec.RANDOM, clip_spec.CENTER, clip_spec.THREE],
        help="place of the square (default: random)",
    )
    spec.add_argument(
        "--area",
        type=float,
        nargs=2,
        metavar=("LEAST", "MOST"),
        help="share of the frame that a random box covers, instead of --crop",
    )
    spec.add_argument("--flip", action="store_true", help="mirror half of all clips")


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        help="a TFDS name, such as kinetics_clips/k400 (or k400, for short), or the "
        "directory of a prepared dataset",
    )
    _add_data_dir(parser, "directory in which a name is looked for")


def _build_options() -> argparse.ArgumentParser:
    """Returns what all commands take that build, or look at what would be built."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "release",
        type=lambda text: text.removeprefix(f"{Builder.name}/"),
        choices=RELEASES,
        metavar="CONFIG",
        help=" or ".join(RELEASES),
    )
    options.add_argument(
        "--manual-dir",
        type=_local,
        required=True,
        metavar="DIR",
        help="directory that holds the videos",
    )
    options.add_argument(
        "--name",
        default="",
        help="name of the config (default: made from the other values)",
    )
    _add_data_dir(options, "directory that takes the dataset")
    options.add_argument(
        "--short-side",
        type=_whole_or_none,
        default=KineticsClipsConfig.short_side,
        metavar="N",
        help="length in pixels that the shorter side of a frame is scaled down to, or "
        f"'none' (default: {KineticsClipsConfig.short_side})",
    )
    options.add_argument(
        "--jpeg-quality",
        type=int,
        default=KineticsClipsConfig.jpeg_quality,
        metavar="N",
        help=f"JPEG quality, 1 to 100 (default: {KineticsClipsConfig.jpeg_quality})",
    )
    options.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames per second to store (default: every frame)",
    )
    options.add_argument(
        "--max-videos",
        type=int,
        metavar="N",
        help="number of videos of each split (default: all)",
    )
    options.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="report rows of annotation files that cannot be understood, and go on "
        "without them",
    )
    _add_workers(options)
    resume = options.add_mutually_exclusive_group()
    resume.add_argument(
        "--resume-dir",
        type=_local,
        metavar="DIR",
        help="directory in which the frames of finished videos are kept until the "
        "build is complete (default: DATA_DIR/downloads/kinetics_clips/NAME)",
    )
    resume.add_argument(
        "--no-resume",
        action="store_true",
        help="keep none of them: the build takes half the disk, and starts over when "
        "it was interrupted",
    )
    return options


def _add_data_dir(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data-dir",
        type=_local,
        default=DATA_DIR,
        metavar="DIR",
        help=f"{what} (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        dest="num_workers",
        type=int,
        metavar="N",
        help="number of processes (default: one per core)",
    )


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"must be a local directory, got {text}")
    return _path(text)


def _path(text: str) -> Path:
    return Path(files.absolute(text))  # no shell expands the `~` of `--out=~/x`


def _whole_or_none(text: str) -> int | None:
    try:
        return None if text.lower() == "none" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a whole number or 'none', got {text!r}"
        ) from None
