"""Draws clips as a picture or as a video, so that people can look at their data."""

import fractions
import io
import os
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageFont

from kinetics_clips import files
from kinetics_clips.read import shuffling
from kinetics_clips.read.assemble import Clip
from kinetics_clips.read.clip_source import ClipSource
from kinetics_clips.read.clip_spec import ClipSpec
from kinetics_clips.read.crops import Origin
from kinetics_clips.store import datasets
from kinetics_clips.store.frame_index import NoFrameIndexError

_PICTURE, _MOTION = ".png", ".webm"

# Pixels of a sheet.
_MARGIN, _GAP = 20, 6
_TILE_HEIGHT = 112
_TITLE_SIZE, _LABEL_SIZE, _TEXT_SIZE, _SMALL_SIZE = 14, 17, 13, 11

_DOT = "·"

_WHITE, _BLACK, _GREY, _MARK = "#ffffff", "#1b1b1b", "#6a6a6a", "#e8590c"

# Whole videos in memory to draw from, where records are streamed.
_NUM_SHUFFLED = 32

# Of all decoded clips together.
_MAX_BYTES = 4 << 30

# Of a video: a clip's tile, and frames a second where no rate is known.
_MOTION_HEIGHT = 224
_DEFAULT_FPS = 25


class Shown(NamedTuple):
    """One view of a clip, and all that is written beside it.

    Attributes:
      video: uint8 `[length, height, width, 3]`, RGB, as a model sees it.
      label: The class's name, or `no label`.
      video_id: Id of the video.
      frame_indices: Indices of the stored frames it shows, int32 `[length]`.
      origin: Its place in the video; `view.boxes` holds its own box alone.
      whole: The stored frame in its middle, uint8 `[height, width, 3]`, where it is cut
        out of one; else None.
      place: Its place among several views; empty for the only one.
      rate: Frames per second at which it moves as it was shot; 0 where that is
        unknown.
    """

    video: np.ndarray
    label: str
    video_id: str
    frame_indices: np.ndarray
    origin: Origin
    whole: np.ndarray | None
    place: str
    rate: float


class Preview:
    """Clips that display themselves in a notebook, as a picture.

    Args:
      title: Text above them.
      clips: The clips to show.
      num_frames: Number of frames to show of each clip, evenly spaced, the first and
        the last included.

    Attributes:
      clips: The clips that are shown.
    """

    def __init__(self, title: str, clips: Sequence[Shown], num_frames: int):
        self.clips: list[Shown] = list(clips)
        self._title = title
        self._num_frames = num_frames

    def __repr__(self) -> str:
        return f"<{len(self.clips)} clips of {self._title}>"

    def sheet(self) -> np.ndarray:
        """Draws a row a clip; uint8 `[height, width, 3]`, RGB."""
        return np.asarray(self._sheet())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a sheet (`.png`), or all frames as a video in VP9 (`.webm`).

        Raises:
          ValueError: If the file's name ends otherwise.
          OSError: If it cannot be written.
        """
        suffix = require_suffix(path)
        path = Path(files.absolute(path))
        if suffix == _PICTURE:
            path.write_bytes(self._repr_png_())
        else:
            _write_motion(path, self.clips)

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self._sheet().save(png, "PNG", optimize=True)
        return png.getvalue()

    def _sheet(self) -> Image.Image:
        rows = [_row(clip, self._num_frames) for clip in self.clips]
        width = max(row.width for row in rows)
        title = _text_image(self._title, _TITLE_SIZE, _GREY)
        width = max(width, title.width)
        height = title.height + sum(_MARGIN + row.height for row in rows)
        sheet = Image.new("RGB", (width + 2 * _MARGIN, height + 2 * _MARGIN), _WHITE)
        sheet.paste(title, (_MARGIN, _MARGIN))
        top = _MARGIN + title.height + _MARGIN
        for row in rows:
            sheet.paste(row, (_MARGIN, top))
            top += row.height + _MARGIN
        return sheet


def require_suffix(path: str | os.PathLike[str]) -> str:
    """Returns `.png` or `.webm`, as the file's name ends; ValueError for another."""
    suffix = Path(path).suffix.lower()
    if suffix not in (_PICTURE, _MOTION):
        raise ValueError(
            f"`path` must end with {_PICTURE} for a picture or {_MOTION} for a video, "
            f"got {os.fspath(path)}."
        )
    return suffix


def show_clips(
    dataset: datasets.Dataset,
    split: str = "train",
    spec: ClipSpec = ClipSpec(),  # noqa: B008 (frozen)
    num: int = 6,
    class_name: str | None = None,
    seed: int = 0,
    epoch: int = 0,
    num_frames: int = 8,
    data_dir: str | os.PathLike[str] | None = None,
) -> Preview:
    """Shows clips as a model will see them: same reader, same spec, same seed.

        shown = kinetics_clips.show_clips("kinetics_clips/k400", "train", spec)
        shown.save("clips.png")  # or .webm; in a notebook `shown` displays itself

    With a frame index these are the first clips of
    `load_clips(..., seed=seed, epoch=epoch)`.

    Args:
      dataset: A TFDS name, the directory of a prepared dataset, or a builder.
      split: Any TFDS split expression. Defaults to `train`.
      spec: The `ClipSpec` that says what a clip is.
      num: Number of videos to show a clip of, with all its views. Defaults to 6; a
        split of fewer is shown as a whole.
      class_name: Name of the only class to show. Defaults to None: all classes.
      seed: Seed of the windows, the crops, and the choice of videos. Defaults to 0.
      epoch: Number of the epoch. Defaults to 0, the first one.
      num_frames: Number of frames of each clip in a picture, evenly spaced. Defaults
        to 8.
      data_dir: Directory in which a name is looked for. Defaults to TFDS's own.

    Raises:
      FileNotFoundError: If the dataset is not there; says how to build it.
      ValueError: If an argument is out of its range, there is no such split or class,
        or no video of it.
      UnreadableVideoError: If a video is not what was written.
      RuntimeError: Under `tfds.testing.mock_data`, which has no files.
    """
    for name, value in (("num", num), ("num_frames", num_frames)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if num * spec.num_views * spec.length * (spec.side or 0) ** 2 * 3 > _MAX_BYTES:
        raise ValueError(
            f"The clips must fit into {_MAX_BYTES >> 30} GiB together, got {num} of "
            f"{spec}. Show fewer, or smaller ones."
        )
    builder = datasets.find(dataset, data_dir)
    label = None
    if class_name is not None:
        label = datasets.label_number(builder.info, class_name)
    key = shuffling.epoch_key(seed, epoch)
    try:
        source = ClipSource(builder, split, spec, seed)
        uncut = _whole(spec)
        whole_source = ClipSource(builder, split, uncut, seed) if uncut else None
    except NoFrameIndexError:
        found = _from_records(builder, split, spec, key, label, num)
    else:
        found = _from_index(source, whole_source, epoch, key, label, num)
    features = builder.info.features
    has_names = "label" in features and isinstance(
        features["label"], tfds.features.ClassLabel
    )
    shown: list[Shown] = []
    for clip, origin, whole in found:
        class_of = None
        if has_names:
            class_of = datasets.label_name(builder.info, int(clip["label"]))
        shown += _views(clip, origin, whole, class_of, spec)
    if not shown:
        of_class = "" if class_name is None else f" of the class {class_name!r}"
        raise ValueError(f"`split` must hold a video{of_class}, got none in {split!r}.")
    parts = [builder.info.full_name, split, str(spec), f"seed {seed}"]
    if epoch:
        parts.append(f"epoch {epoch}")
    return Preview(" · ".join(parts), shown, num_frames)


def _whole(spec: ClipSpec) -> ClipSpec | None:
    """Returns the spec of the same windows with whole frames, of clips that are cut."""
    if not (spec.crop or spec.area):
        return None
    return ClipSpec(spec.length, spec.stride, fps=spec.fps, windows=spec.windows)


def _from_index(
    source: ClipSource,
    whole: ClipSource | None,
    epoch: int,
    key: int,
    label: int | None,
    num: int,
) -> Iterator[tuple[Clip, Origin, np.ndarray | None]]:
    """Yields clips, their origin, and the whole frames that they are cut out of."""
    indices = shuffling.order(key, len(source))
    if label is not None:
        indices = indices[source.labels[indices] == label]
    source.set_epoch(epoch)
    if whole:
        whole.set_epoch(epoch)
    for number in indices[:num].tolist():
        frames = whole[number]["video"] if whole else None
        yield source[number], source.origin(number), frames


def _from_records(
    builder: tfds.core.DatasetBuilder,
    split: str,
    spec: ClipSpec,
    key: int,
    label: int | None,
    num: int,
) -> Iterator[tuple[Clip, Origin, np.ndarray | None]]:
    from kinetics_clips.read import streaming  # brings TensorFlow

    examples = streaming.read_examples(builder, split, shuffle_files=True, seed=key)
    if label is not None:
        examples = examples.filter(lambda example: example["label"] == label)
    # Some of the first ones, since all would have to be read.
    examples = examples.shuffle(_NUM_SHUFFLED, seed=key)
    whole = _whole(spec)

    def sample(example: dict[str, Any]) -> tuple[Any, ...]:
        seed = [key, key]
        clip, origin = streaming.sample_with_origin(example, spec, seed)
        if whole is None:
            return clip, origin
        return clip, origin, streaming.sample_clip(example, whole, seed)["video"]

    for clip, origin, *frames in examples.take(num).map(sample).as_numpy_iterator():
        yield clip, origin, frames[0] if frames else None


def _views(
    clip: Clip,
    origin: Origin,
    whole: np.ndarray | None,
    label: str | None,
    spec: ClipSpec,
) -> Iterator[Shown]:
    """Yields every view of a clip."""
    shape = spec.num_views, spec.length
    video = clip["video"].reshape(*shape, *clip["video"].shape[-3:])
    frame_indices = clip["frame_indices"].reshape(shape)
    if whole is not None:
        whole = whole.reshape(spec.num_windows, spec.length, *whole.shape[-3:])
    for number in range(spec.num_views):
        window, crop = divmod(number, spec.num_crops)
        view = origin.view._replace(boxes=[tuple(map(int, origin.view.boxes[crop]))])
        yield Shown(
            video=video[number],
            label=label or "no label",
            video_id=clip["video_id"].decode("utf-8", "backslashreplace"),
            frame_indices=frame_indices[number],
            origin=origin._replace(view=view),
            whole=None if whole is None else whole[window, spec.length // 2].copy(),
            place=_place(window, crop, spec),
            rate=spec.fps or float(origin.fps) / spec.stride,
        )


def _place(window: int, crop: int, spec: ClipSpec) -> str:
    parts = []
    if spec.num_windows > 1:
        parts.append(f"window {window + 1} of {spec.num_windows}")
    if spec.num_crops > 1:
        parts.append(f"crop {crop + 1} of {spec.num_crops}")
    return ", ".join(parts)


def _details(clip: Shown) -> str:
    """Says which frames, seconds and pixels of its video a clip is."""
    first, last = int(clip.frame_indices.min()), int(clip.frame_indices.max())
    fps = float(clip.origin.fps)
    parts = [clip.place] if clip.place else []
    parts.append(f"frames {first} to {last}")
    again = (np.diff(clip.frame_indices) < 0).any()
    if again or (first == last and len(clip.video) > 1):
        parts.append("again and again: the video is shorter than the clip")
    if fps > 0:
        parts.append(f"{first / fps:.2f} to {last / fps:.2f} s at {fps:.4g} fps")
    height, width = map(int, clip.origin.frame_size)
    view = clip.origin.view
    if clip.whole is not None:
        top, left, box_height, box_width = view.boxes[0]
        parts.append(f"{box_width}x{box_height} at ({left}, {top}) of {width}x{height}")
        if tuple(view.scaled) != (height, width):
            parts.append("scaled up to {1}x{0} before".format(*view.scaled))
    else:
        parts.append(f"whole frames of {width}x{height}")
    shown = clip.video.shape[1:3]
    if shown != (tuple(view.boxes[0][2:])):
        parts.append(f"scaled to {shown[1]}x{shown[0]}")
    if view.flip:
        parts.append("mirrored")
    return " · ".join(parts)


def _row(clip: Shown, num_frames: int) -> Image.Image:
    label = _text_image(clip.label, _LABEL_SIZE, _BLACK)
    video_id = _text_image(clip.video_id, _TEXT_SIZE, _GREY)
    details = _text_image(_details(clip), _TEXT_SIZE, _GREY)
    tiles = [] if clip.whole is None else [_whole_tile(clip, clip.whole)]
    numbers = np.linspace(0, len(clip.video) - 1, min(num_frames, len(clip.video)))
    for number in numbers.round().astype(int):
        text = str(clip.frame_indices[number])
        if clip.origin.fps > 0:
            text += f" · {clip.frame_indices[number] / clip.origin.fps:.2f} s"
        tiles.append(_tile(_scaled(clip.video[number], _TILE_HEIGHT), text))
    width = sum(tile.width + _GAP for tile in tiles) - _GAP
    width = max(width, label.width + 12 + video_id.width, details.width)
    top = label.height + details.height + _GAP
    row = Image.new("RGB", (width, top + max(t.height for t in tiles)), _WHITE)
    row.paste(label, (0, 0))
    row.paste(video_id, (label.width + 12, label.height - video_id.height))
    row.paste(details, (0, label.height))
    left = 0
    for tile in tiles:
        row.paste(tile, (left, top))
        left += tile.width + _GAP
    return row


def _whole_tile(clip: Shown, whole: np.ndarray) -> Image.Image:
    """Draws a frame of the video, and the box that the clip is cut out of."""
    tile = _scaled(whole, _TILE_HEIGHT)
    view = clip.origin.view
    scale_y, scale_x = tile.height / view.scaled[0], tile.width / view.scaled[1]
    top, left, height, width = view.boxes[0]
    right, bottom = (left + width) * scale_x - 1, (top + height) * scale_y - 1
    left, top, right, bottom = map(
        round, (left * scale_x, top * scale_y, right, bottom)
    )
    box = (left, top, max(left + 1, right), max(top + 1, bottom))
    faded = Image.blend(tile, Image.new("RGB", tile.size, _WHITE), 0.55)
    inside = (*box[:2], box[2] + 1, box[3] + 1)
    faded.paste(tile.crop(inside), inside)
    ImageDraw.Draw(faded).rectangle(box, outline=_MARK, width=2)
    return _tile(faded, f"{clip.frame_indices[len(clip.video) // 2]} · crop box")


def _scaled(frame: np.ndarray, height: int) -> Image.Image:
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    image = Image.fromarray(np.ascontiguousarray(frame))
    return image.resize((width, height), Image.Resampling.BOX)


def _tile(image: Image.Image, text: str) -> Image.Image:
    """Writes below an image, as much as there is room for."""
    drawn = _text_image(text, _SMALL_SIZE, _GREY)
    if drawn.width > image.width:
        drawn = _text_image(text.split(" ")[0], _SMALL_SIZE, _GREY)
    tile = Image.new("RGB", (image.width, image.height + drawn.height), _WHITE)
    tile.paste(image, (0, 0))
    tile.paste(drawn, (0, image.height))
    return tile


def _text_image(text: str, size: int, colour: str) -> Image.Image:
    """Draws a line of text, in the letters that Pillow's own font has.

    Others lose their accents, or are written as their escapes.
    """
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = _DOT.join(
        part.encode("ascii", "backslashreplace").decode() for part in text.split(_DOT)
    )
    text = "".join(c if c.isprintable() else " " for c in text)
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 1, round(size * 1.5)), _WHITE)
    ImageDraw.Draw(image).text((-left, size * 0.15), text, colour, font)
    return image


def _write_motion(path: Path, clips: Sequence[Shown]) -> None:
    """Writes clips side by side as a video, at the median of their rates."""
    from kinetics_clips.wheels import av

    rates = [clip.rate for clip in clips if clip.rate > 0]
    rate = statistics.median(rates or [_DEFAULT_FPS])
    columns = min(len(clips), max(1, round(len(clips) ** 0.5 * 1.2)))
    titles = [_title_image(clip) for clip in clips]
    first = [
        _motion_frame(clip, title, 0) for clip, title in zip(clips, titles, strict=True)
    ]
    width = max(block.width for block in first) + _MARGIN
    height = max(block.height for block in first) + _MARGIN
    num_rows = -(-len(clips) // columns)
    sides = columns * width + _MARGIN, num_rows * height + _MARGIN
    even = tuple((side + 1) // 2 * 2 for side in sides)  # VP9's colours are of pairs
    with (
        files.open_new(path) as file,
        av.open(file, "w", format="webm") as container,
    ):
        stream = container.add_stream(
            "libvpx-vp9",
            rate=fractions.Fraction(rate).limit_denominator(1001),
            options={"crf": "30", "b:v": "0", "cpu-used": "4", "row-mt": "1"},
        )
        stream.width, stream.height = even
        stream.pix_fmt = "yuv420p"
        for number in range(len(clips[0].video)):
            picture = Image.new("RGB", even, _WHITE)
            for place, (clip, title) in enumerate(zip(clips, titles, strict=True)):
                row, column = divmod(place, columns)
                corner = (_MARGIN + column * width, _MARGIN + row * height)
                picture.paste(_motion_frame(clip, title, number), corner)
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def _title_image(clip: Shown) -> Image.Image:
    lines = [
        _text_image(clip.label, _TEXT_SIZE, _BLACK),
        _text_image(clip.video_id, _SMALL_SIZE, _GREY),
    ]
    if clip.place:
        lines.append(_text_image(clip.place, _SMALL_SIZE, _GREY))
    size = max(line.width for line in lines), sum(line.height for line in lines)
    title = Image.new("RGB", size, _WHITE)
    top = 0
    for line in lines:
        title.paste(line, (0, top))
        top += line.height
    return title


def _motion_frame(clip: Shown, title: Image.Image, number: int) -> Image.Image:
    """Draws a frame of a clip, below its title."""
    frame = _scaled(clip.video[number], _MOTION_HEIGHT)
    width = max(frame.width, title.width)
    block = Image.new("RGB", (width, title.height + frame.height), _WHITE)
    block.paste(title, (0, 0))
    block.paste(frame, (0, title.height))
    return block
