"""Who may import whom: an arrow runs down only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import kinetics_clips

PACKAGE = Path(kinetics_clips.__file__).parent

# From the ground up. A room imports itself and what is below its floor, so that `write`
# and `read`, which share one, never import each other.
FLOORS = [
    {"version", "files", "progress", "wheels", "wording"},
    {"store"},
    {"write", "read"},
    {"show"},
    {"kinetics_clips_dataset_builder"},
    {"command"},
    {"testing"},
]


def imports(path: Path) -> Iterator[str]:
    """Yields the modules of this package that a file imports, without its name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, module = name.partition(".")
            if package == PACKAGE.name:
                yield module


def test_a_room_imports_only_what_is_below_it():
    floor_of = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
    seen = set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):  # the doors
            continue
        for module in imports(path):
            other = module.partition(".")[0]
            assert other in floor_of, f"{path}: the package's own __init__, or no room"
            assert other == room or floor_of[other] < floor_of[room], (
                f"{path.relative_to(PACKAGE)} imports {module}"
            )
            seen |= {room, other}
    assert seen == set(floor_of)


def test_every_test_is_in_the_room_of_what_it_tests():
    tests = Path(__file__).parent
    for path in tests.rglob("*_test.py"):
        if path.parent != tests:
            module = path.name.replace("_test.py", ".py")
            assert (PACKAGE / path.parent.name / module).exists(), path
