"""Makes all pictures of the documentation anew, in docs/pictures/.

    python docs/pictures.py

The diagrams of `clips.md` are drawn with the package's own arithmetic, and the tests
compare them with this script. `clips.png` shows clips of the demo's dataset, and
`report.png` its report, which takes the browser Chromium.
"""

import html
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kinetics_clips.read import clip_spec, crops, windows
from kinetics_clips.read.clip_spec import ClipSpec

DIRECTORY = Path(__file__).with_name("pictures")

_WIDTH = 480
_MARGIN = 14
_NAME_WIDTH = 132  # of the text before a row
_FONT = "font-family='system-ui, sans-serif' font-size='15'"
_TEXT, _TAKEN, _SKIPPED, _SECOND = "#1b1b1b", "#00796b", "#b9c4c2", "#e8590c"
_LINE = 30  # pixels from a row to the next


class Draws:
    """Gives numbers that are set before, where the package draws random ones."""

    def __init__(self, numbers: Iterable[float]):
        self._numbers = iter(numbers)

    def integers(self, high) -> int:
        number = int(next(self._numbers))
        assert 0 <= number < high
        return number

    def random(self) -> float:
        return next(self._numbers)


def diagrams() -> dict[str, str]:
    """Returns the diagrams: name of the file -> its SVG."""
    return {
        "offsets.svg": _offsets(),
        "rates.svg": _rates(),
        "windows.svg": _windows(),
        "wrap.svg": _wrap(),
        "crops.svg": _crops(),
        "boxes.svg": _boxes(),
    }


def _picture(title: str, height: float, parts: Iterable[str]) -> str:
    lines = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height:g}' "
        f"width='{_WIDTH}' height='{height:g}' role='img' {_FONT}>\n"
        f"<title>{html.escape(title)}</title>\n"
        f"<rect width='{_WIDTH}' height='{height:g}' rx='6' fill='#ffffff'/>\n"
        f"{lines}\n</svg>\n"
    )


def _text(x: float, y: float, text: str, extra: str = "") -> str:
    text = html.escape(text)
    return f"<text x='{x:g}' y='{y:g}' fill='{_TEXT}' {extra}>{text}</text>"


def _rows(
    title: str, num_frames: int, rows: Sequence[tuple[str, Sequence[int]]]
) -> str:
    """Draws a row for each clip: a dot for a stored frame, filled where it is taken."""
    step = (_WIDTH - _NAME_WIDTH - 2 * _MARGIN) / num_frames
    parts = [_text(_MARGIN, _LINE, "stored frame")]
    every = -(-num_frames // 12)

    def middle(frame: int) -> float:
        return _NAME_WIDTH + _MARGIN + (frame + 0.5) * step

    for frame in range(0, num_frames, every):
        small = "text-anchor='middle' font-size='13'"
        parts.append(_text(middle(frame), _LINE, str(frame), small))
    for number, (name, taken) in enumerate(rows, 2):
        y = number * _LINE
        parts.append(_text(_MARGIN, y, name))
        for frame in range(num_frames):
            colour = _TAKEN if frame in taken else _SKIPPED
            radius = min(step * 0.42, 8) if frame in taken else min(step * 0.2, 3)
            parts.append(
                f"<circle cx='{middle(frame):.1f}' cy='{y - 5}' r='{radius:.1f}' "
                f"fill='{colour}'/>"
            )
    return _picture(title, (len(rows) + 1.7) * _LINE, parts)


def _drawn(
    spec: ClipSpec, num_frames: int, fps: float = 30.0, offset: int = 0
) -> list[list[int]]:
    """Returns the windows of a video, the random one at an offset."""
    drawn = windows.draw_frames(Draws([offset]), num_frames, fps, spec)
    return drawn.tolist()


def _offsets() -> str:
    spec, num_frames = ClipSpec(length=3, stride=2), 8
    span = int(windows.steps(spec, 30.0)[-1]) + 1
    rows = [
        (f"offset {offset}", _drawn(spec, num_frames, offset=offset)[0])
        for offset in range(num_frames - span + 1)
    ]
    title = f"The {len(rows)} windows that {spec} can draw from {num_frames} frames"
    return _rows(title, num_frames, rows)


def _rates() -> str:
    specs = {
        "stride=1": ClipSpec(length=6),
        "stride=3": ClipSpec(length=6, stride=3),
        "fps=10": ClipSpec(length=6, fps=10),
        "fps=12": ClipSpec(length=6, fps=12),
    }
    rows = [(name, _drawn(spec, 18)[0]) for name, spec in specs.items()]
    return _rows("Six frames of a video of 30 frames per second", 18, rows)


def _windows() -> str:
    num_frames = 24
    evenly = _drawn(ClipSpec(length=5, windows=4), num_frames)
    rows = [
        ('"random"', _drawn(ClipSpec(length=5), num_frames, offset=13)[0]),
        ('"center"', _drawn(ClipSpec(length=5, windows="center"), num_frames)[0]),
        *((f"4: window {n}", window) for n, window in enumerate(evenly)),
    ]
    return _rows("Windows of five frames, as `windows` places them", num_frames, rows)


def _wrap() -> str:
    spec, num_frames = ClipSpec(length=8), 5
    (window,) = _drawn(spec, num_frames)
    step = (_WIDTH - _NAME_WIDTH - 2 * _MARGIN) / spec.length
    parts = [_text(_MARGIN, _LINE, "frame of the clip")]
    parts.append(_text(_MARGIN, 2 * _LINE, "stored frame"))
    for number, frame in enumerate(window):
        x = _NAME_WIDTH + _MARGIN + (number + 0.5) * step
        parts.append(_text(x, _LINE, str(number), "text-anchor='middle'"))
        colour = _TAKEN if frame == number else _SECOND
        parts.append(
            f"<text x='{x:g}' y='{2 * _LINE}' fill='{colour}' text-anchor='middle' "
            f"font-weight='bold'>{frame}</text>"
        )
    title = f"{spec} of a video of {num_frames} frames starts over at its end"
    return _picture(title, 2.7 * _LINE, parts)


def _frame(
    name: str, height: int, width: int, spec: ClipSpec, draws: Draws, left: float
) -> list[str]:
    """Draws a frame and the boxes that are cut out of it, a third of its size."""
    scale, top = 1 / 3, 40
    view = crops.draw_view(draws, height, width, spec)
    parts = [
        _text(left, 26, name),
        f"<rect x='{left:g}' y='{top}' width='{view.scaled[1] * scale:.1f}' "
        f"height='{view.scaled[0] * scale:.1f}' fill='#e6ecea'/>",
    ]
    dashes = itertools.cycle(["", "stroke-dasharray='7 4'", "stroke-dasharray='2 3'"])
    colours = itertools.cycle([_TAKEN, _SECOND, "#3949ab"])
    for (down, right, box_height, box_width), dash, colour in zip(
        view.boxes, dashes, colours, strict=False
    ):
        parts.append(
            f"<rect x='{left + right * scale + 1:.1f}' "
            f"y='{top + down * scale + 1:.1f}' "
            f"width='{box_width * scale - 2:.1f}' "
            f"height='{box_height * scale - 2:.1f}' fill='{colour}' "
            f"fill-opacity='0.15' stroke='{colour}' stroke-width='2' {dash}/>"
        )
    return parts


def _side_by_side(
    title: str,
    height: float,
    frames: Sequence[Callable[[float], list[str]]],
    columns: Sequence[float],
) -> str:
    parts = [
        part
        for draw, left in zip(frames, columns, strict=True)
        for part in draw(_MARGIN + left)
    ]
    return _picture(title, height, parts)


def _crops() -> str:
    size = (256, 340)
    names = [
        (clip_spec.RANDOM, [20, 88]),
        (clip_spec.CENTER, []),
        (clip_spec.THREE, []),
    ]
    frames = [
        lambda left, name=name, numbers=numbers: _frame(
            f'"{name}"',
            *size,
            ClipSpec(crop=224 if name != clip_spec.THREE else 256, crops=name),
            Draws(numbers),
            left,
        )
        for name, numbers in names
    ]
    upright = ClipSpec(crop=256, crops=clip_spec.THREE)
    frames.append(lambda left: _frame('"three"', 340, 256, upright, Draws([]), left))
    title = "Where `crops` cuts the square out"
    return _side_by_side(title, 168, frames, (0, 122, 244, 366))


def _boxes() -> str:
    spec = ClipSpec(area=(0.08, 1.0), size=224)
    shares = [(0.25, 0.3, 20, 90), (0.45, 0.8, 30, 10), (0.05, 0.5, 120, 200)]
    frames = [
        lambda left, drawn=drawn: _frame(
            f"{spec.area[0] + (spec.area[1] - spec.area[0]) * drawn[0]:.0%} of it",
            256,
            340,
            spec,
            Draws(drawn),
            left,
        )
        for drawn in shares
    ]
    title = "Three boxes that `area` may draw"
    return _side_by_side(title, 140, frames, (0, 154, 308))


def _photographs(work: Path) -> None:
    """Makes the pictures of the demo's dataset."""
    subprocess.run(["kinetics-clips", "demo", "--data-dir", work / "demo"], check=True)
    subprocess.run(
        [
            *("kinetics-clips", "preview", "kinetics_clips/folder"),
            *("--data-dir", work / "demo", "--crop", "224"),
            *("--num", "3", "--frames", "6", "--out", DIRECTORY / "clips.png"),
        ],
        check=True,
    )
    page = work / "demo/kinetics_clips/folder/2.0.0/build_report.html"
    subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
            *("--hide-scrollbars", "--disable-background-networking"),
            f"--user-data-dir={work / 'profile'}",
            "--window-size=960,640",
            f"--screenshot={DIRECTORY / 'report.png'}",
            page.as_uri(),
        ],
        check=True,
    )


def main() -> None:
    for name, content in diagrams().items():
        (DIRECTORY / name).write_text(content, encoding="utf-8")
    with tempfile.TemporaryDirectory() as work:
        _photographs(Path(work))


if __name__ == "__main__":
    main()
