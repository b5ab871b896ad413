"""Says what the bytes of a frame index are.

`indexing` writes them, `frame_index` reads them, and `docs/format.md` specifies them
for other readers.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

SUFFIX = ".frame_index"

# The file's last bytes: length and CRC32C of the description, which stands before them.
FORMAT = b"KCINDEX"
MAGIC = FORMAT + b"2"
TRAILER = struct.Struct("<QI8s")

# A frame: where its bytes lie in the record's data, and their CRC32C.
FRAME = np.dtype([("offset", "<u4"), ("length", "<u4"), ("checksum", "<u4")])

# Rows of frames that have a checksum together: a window takes one block or two.
BLOCK = 256
BLOCK_BYTES = BLOCK * FRAME.itemsize

# Tables begin at a multiple of it.
ALIGNMENT = 64

# Tables of every index, whatever the features are.
FRAMES, CHECKSUMS = "frames", "frame checksums"
FIRST_FRAMES, RECORDS = "first frames", "records"

# How the values of a feature are kept. Texts follow each other in a table of bytes.
INT, FLOAT, TEXT = "<i8", "<f4", "text"
BYTES = "|u1"


class Shard(NamedTuple):
    """A file of stored videos.

    Attributes:
      name: Name of the file in the dataset's directory.
      num_videos: Number of videos that it holds.
      num_bytes: Size of the file, in bytes.
      modified: When it last changed, in ns since 1970; while that stays, its videos are
        those that were indexed.
    """

    name: str
    num_videos: int
    num_bytes: int
    modified: int


def path_of(directory: Path, split: str) -> Path:
    """Returns where the index of a split is."""
    return directory / f"{split}{SUFFIX}"


def tables_of_text(name: str) -> tuple[str, str]:
    """Returns the names of the tables that hold a text: where each ends, and all."""
    return f"{name} ends", f"{name} bytes"
