"""Writes the tables of options in command.md, from the parser itself.

    python docs/command.py

The tests compare the page with what this would write.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from kinetics_clips.command import arguments

PAGE = Path(__file__).with_name("command.md")

_TABLE = re.compile(r"(<!-- options of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """Returns the page's text with its tables as the command's options are now."""
    commands = _commands()
    named = [match[2] for match in _TABLE.finditer(text)]
    if sorted(named) != sorted(commands):
        raise ValueError(f"The page must have tables of {list(commands)}, got {named}.")
    return _TABLE.sub(
        lambda match: "\n".join([match[1], *_table(commands[match[2]]), "", match[3]]),
        text,
    )


def _commands() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (
        action.choices
        for action in arguments.parser()._actions
        if action.dest == "command"
    )
    return commands


def _table(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for action in parser._actions:
        if "--help" in action.option_strings:
            continue
        name = " ".join([*action.option_strings, *_values(action)])
        what = (action.help or "").replace("%%", "%").replace("|", r"\|")
        # Options, variables, files and names of datasets are code.
        what = re.sub(
            r"(?<![\w`-])(--[a-z-]+|\$\w+|[~.]?/\w+|\w+(?:/\w+)+)", r"`\1`", what
        )
        required = ", required" if action.option_strings and action.required else ""
        yield f"| `{name}`{required} | {what} |"


def _values(action: argparse.Action) -> list[str]:
    if action.nargs == 0:
        return []
    choices = action.choices and f"{{{','.join(action.choices)}}}"
    names = action.metavar or choices or action.dest.upper()
    return [names] if isinstance(names, str) else list(names)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
