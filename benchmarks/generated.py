"""Generates videos that take as long to decode, and to encode, as natural ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np


class Kind(NamedTuple):
    """Videos that are alike.

    Attributes:
      name: Of their directory.
      width: In pixels.
      height: In pixels.
      bit_rate: In bits a second.
      num_frames: Of each video.
      num_different: How many are generated; all others are copies.
    """

    name: str
    width: int
    height: int
    bit_rate: int
    num_frames: int
    num_different: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    def width_at(self, height: int) -> int:
        """Returns the width of frames that are scaled to a height."""
        return round(self.width * height / self.height)


def make(directory: Path, kind: Kind, num_videos: int) -> Path:
    """Makes a tree of class folders; returns its root.

    What an earlier run has generated in the same directory is used again.
    """
    originals = [
        directory / "originals" / f"{kind.name}_{seed:02d}.mp4"
        for seed in range(min(kind.num_different, num_videos))
    ]
    missing = [path for path in originals if not path.exists()]
    if missing:
        log(f"generating {len(missing)} videos of {kind.size}")
    for seed, path in enumerate(originals):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path in missing:
            _generate(path, kind, seed)
    root = directory / kind.name
    shutil.rmtree(root, ignore_errors=True)
    folder = root / "train" / "any class"
    folder.mkdir(parents=True)
    for number in range(num_videos):
        original = originals[number % len(originals)]
        shutil.copyfile(original, folder / f"{number:05d}.mp4")
    return root


def _generate(path: Path, kind: Kind, seed: int) -> None:
    """Writes one video of textures that move, with noise, as natural ones have."""
    height, width = kind.height, kind.width
    ground, thing = path.with_suffix(".ground.png"), path.with_suffix(".thing.png")
    part = path.with_suffix(".part.mp4")
    _write_texture(ground, height * 3 // 2, width * 3 // 2, seed=2 * seed)
    _write_texture(thing, height // 2, width // 3, seed=2 * seed + 1)
    motion = (
        f"[0]crop={width * 5 // 4}:{height * 5 // 4}"
        f":(iw-ow)/2*(1+sin(0.8*t+{seed})):(ih-oh)/2*(1+cos(0.6*t+{seed}))"
        f",rotate=0.08*sin(t+{seed}):ow={width}:oh={height}[ground];"
        f"[ground][1]overlay=(W-w)/2*(1+sin(1.3*t+{seed})):(H-h)/2*(1+cos(t+{seed}))"
        f",noise=alls=6:allf=t:all_seed={seed},format=yuv420p"
    )
    still = ("-framerate", 30, "-loop", 1, "-i")
    # As HD videos are.
    tags = ("-colorspace", "bt709", "-color_range", "tv") if height >= 720 else ()
    ffmpeg(
        *("-y", *still, ground, *still, thing, "-filter_complex", motion),
        *("-frames:v", kind.num_frames, "-c:v", "libx264", "-b:v", kind.bit_rate),
        *("-g", 250, *tags, part),
    )
    os.replace(part, path)
    ground.unlink()
    thing.unlink()


def _write_texture(path: Path, height: int, width: int, seed: int) -> None:
    """Writes a picture with as much detail of every size as natural ones have."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.float32)
    contrast = 45.0
    num_rows = 4
    while num_rows <= height:
        shape = (num_rows, num_rows * width // height)
        grey, colour = rng.normal(size=(*shape, 1)), rng.normal(size=(*shape, 3))
        detail = (grey + 0.4 * colour).astype(np.float32)
        picture += contrast * cv2.resize(
            detail, (width, height), interpolation=cv2.INTER_CUBIC
        )
        num_rows *= 2
        contrast *= 0.55
    cv2.imwrite(str(path), picture.clip(0, 255).astype(np.uint8))


def ffmpeg(*arguments: object) -> None:
    """Runs the program; its messages are shown where it fails."""
    command = ["ffmpeg", "-nostdin", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True)


def log(text: str) -> None:
    """Says what goes on."""
    print(text, file=sys.stderr, flush=True)
