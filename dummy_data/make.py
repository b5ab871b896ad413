"""Makes the tiny fake of the source files beside it: `python dummy_data/make.py`.

The tree serves the config `k400` (annotations and file names) and the config `folder`
(class folders) alike.
"""

import csv
import pathlib

from kinetics_clips.command import synthetic

ROOT = pathlib.Path(__file__).parent
NUM_FRAMES = 8

# (folder, class folder, YouTube id, start, end); labels are real class names.
VIDEOS = [
    ("train", "abseiling", "AAAAAAAAAA0", 10, 20),
    ("train", "air drumming", "AAAAAAAAA_1", 0, 10),
    ("train", "zumba", "-AAAAAAAAA2", 123, 133),
    ("val", "abseiling", "AAAAAAAAAA3", 7, 17),
    ("test", "unlabelled", "AAAAAAAAAA4", 5, 15),
]
MISSING = ("val", "zumba", "AAAAAAAAAA5", 1, 11)


def main() -> None:
    (ROOT / "annotations").mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        rows = [video for video in [*VIDEOS, MISSING] if video[0] == split]
        path = ROOT / "annotations" / f"{split}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            columns = ["youtube_id", "time_start", "time_end", "split"]
            labelled = split != "test"
            writer.writerow(["label"] * labelled + columns)
            for _, label, *values in rows:
                writer.writerow([label] * labelled + [*values, split])
    for number, (split, folder, youtube_id, start, end) in enumerate(VIDEOS):
        directory = ROOT / split / folder
        directory.mkdir(parents=True, exist_ok=True)
        synthetic.write_video(
            directory / f"{youtube_id}_{start:06d}_{end:06d}.mp4",
            NUM_FRAMES + number,
            height=48,
            width=64,
            first_number=100 * number,
        )


if __name__ == "__main__":
    main()
