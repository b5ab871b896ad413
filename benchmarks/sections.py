"""The command line of the benchmarks: sections to choose, tasks in new processes."""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path


def parser(
    description: str, sections: Iterable[str], keeps: bool = True
) -> argparse.ArgumentParser:
    """Returns what parses a benchmark's command line; options of its own are added.

    Args:
      description: Docstring of the benchmark, whose first line is shown.
      sections: Names of all sections.
      keeps: Whether all sections work on one directory, which can be kept.
    """
    names = ", ".join(sections)
    parser = argparse.ArgumentParser(description=description.split("\n", 1)[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{names} (default: all)"
    )
    parser.set_defaults(all_sections=list(sections))
    if keeps:
        parser.add_argument(
            "--keep", type=Path, metavar="DIR", help="keep the data, for the next run"
        )
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    return parser


def parse(
    parser: argparse.ArgumentParser, tasks: Mapping[str, Callable[..., dict]]
) -> argparse.Namespace:
    """Returns the options, `sections` among them; ends a process that is a task.

    Args:
      parser: What `parser` has returned.
      tasks: Functions that `run_task` may call, by name.
    """
    args = parser.parse_args()
    if args.task:
        name, arguments = args.task
        print(json.dumps(tasks[name](**json.loads(arguments))))
        sys.exit(0)
    if unknown := set(args.sections).difference(args.all_sections):
        names = ", ".join(args.all_sections)
        parser.error(f"SECTION must be of {names}, got {', '.join(unknown)}")
    args.sections = args.sections or args.all_sections
    return args


@contextlib.contextmanager
def directory(args: argparse.Namespace) -> Iterator[Path]:
    """Gives the directory to keep data in, or one that is removed at the end."""
    if args.keep:
        yield args.keep.absolute()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def run_task(task: str, **arguments: object) -> dict:
    """Runs a task of this benchmark in a new process.

    Returns:
      What the task has returned, and how long its process lived, `process_seconds`. Its
      messages are shown only where it fails.
    """
    text = json.dumps(arguments, default=str)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, sys.argv[0], "--task", task, text],
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{task} {text} failed:\n{done.stderr[-4000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "process_seconds": seconds}
