"""Reads tar and zip archives, joined ones too; says which are damaged."""

import bz2
import contextlib
import gzip
import io
import lzma
import math
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".zip",
)  # fmt: skip

# What a damaged or truncated archive raises, or one whose headers make no sense.
ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, OSError, ValueError, OverflowError, MemoryError, RecursionError,
    NotImplementedError,
)  # fmt: skip

_CHUNK = 1 << 16

# Of zeros between members. An archive ends with some, tens of KiB at most; a download
# that got stuck may have a hole anywhere.
_MAX_ZEROS = 1 << 20

# Of memory that unpacking takes; `xz -9` makes archives that need 65 MiB.
_MAX_LZMA_MEMORY = 1 << 29

_ZIP_METHODS = {
    zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA,
}  # fmt: skip
_MAX_LINK_BYTES = 4096
_OF_DOS = 0  # the system that made a member of a zip archive


class MemberError(Exception):
    """A member that cannot be read, of an archive whose others can."""


class Member(NamedTuple):
    """A member of an archive, while the archive is read.

    Attributes:
      name: Below the archive's root, with `/`, as it would be unpacked; of a name that
        leads out of the archive, `..` is a part. In UTF-8, other bytes as surrogates.
      num_bytes: The size of its content, unpacked.
      modified: Time of its last change, in ns since 1970; None where the archive does
        not tell.
      is_file: Whether it has content of its own.
      link: For a link, the name that it leads to; None for anything else.
      read: Returns its content; to be called before the next member is asked for.
    """

    name: str
    num_bytes: int
    modified: int | None
    is_file: bool
    link: str | None
    read: Callable[[], bytes]


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """Returns `zumba` for `zumba.tar.gz`; any other name as it is."""
    lengths = [len(suffix) for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return name[: -max(lengths)] if lengths else name


def members(path: Path) -> Generator[Member, None, None]:
    """Yields the members of an archive that are no folders, in its order.

    What the archive is, its content says. Of archives that were put one after the
    other, all are read.

    Raises:
      MemberError: By `Member.read`, when that member alone cannot be read.
      Exception: One of `ERRORS`, where the archive is damaged or ends early.
    """
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        is_zip = start.startswith(b"PK") or path.suffix.lower() == ".zip"
        yield from _zip_members(file) if is_zip else _tar_members(file, start)


def _tar_members(file: BinaryIO, start: bytes) -> Iterator[Member]:
    content = _decompressed(file, start)
    with _Tar.open(
        fileobj=content,
        mode="r:" if content is file else "r|",  # what is compressed is read but once
        bufsize=_CHUNK,
        tarinfo=_Header,
        ignore_zeros=True,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        offset = -1
        while (header := archive.next()) is not None:
            # A negative size leads back to where this header, or another one, stands.
            if header.size < 0 or archive.offset <= offset:
                raise tarfile.ReadError(f"a member of {header.size} bytes")
            offset = archive.offset
            if not header.isdir():
                yield _tar_member(archive, header)
            # It would keep every header that it has read.
            archive.members.clear()  # type: ignore[attr-defined] # typeshed has it not


def _tar_member(archive: "_Tar", header: tarfile.TarInfo) -> Member:
    name = _normal(header.name)
    link = None
    if header.islnk():
        link = _normal(header.linkname)
    elif header.issym():
        link = _link(name, header.linkname)
    seconds = header.mtime

    def read() -> bytes:
        content = archive.extractfile(header)
        if content is None:
            raise MemberError("without content in its archive")
        return content.read()

    return Member(
        name=name,
        num_bytes=header.size,
        modified=int(seconds * 1e9) if math.isfinite(seconds) else 0,
        is_file=header.isreg(),
        link=link,
        read=read,
    )


class _Tar(tarfile.TarFile):
    """An archive that counts the blocks of zeros in front of the next member."""

    num_zeros = 0


class _Header(tarfile.TarInfo):
    """The header of a member; one that is damaged is an error wherever it stands.

    `tarfile` takes it for the archive's end, unless it is the first; and it does not
    care whether there are the zeros that an archive ends with.
    """

    @classmethod
    def fromtarfile(  # type: ignore[override] # nothing but a `_Tar` calls it
        cls, archive: _Tar
    ) -> "_Header":
        try:
            header = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # nor this
            archive.num_zeros += tarfile.BLOCKSIZE
            if archive.num_zeros > _MAX_ZEROS:
                raise tarfile.ReadError(
                    f"more than {_MAX_ZEROS >> 20} MiB of zeros where a member was "
                    "expected; is it a download that was not completed?"
                ) from None
            raise
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined] # nor this
            if archive.num_zeros:
                raise
            raise tarfile.ReadError("unexpected end of data") from None
        except tarfile.HeaderError as error:
            behind = " behind an archive's end" if archive.num_zeros else ""
            raise tarfile.ReadError(f"{error}{behind}") from error
        archive.num_zeros = 0
        return header


def _decompressed(file: BinaryIO, start: bytes) -> "BinaryIO | _Gzip | _Streams":
    """Returns the content of a file that may be compressed."""
    if start.startswith(b"\x1f\x8b"):
        return _Gzip(fileobj=file)
    if start.startswith(b"BZh"):
        return _Streams(file, bz2.BZ2Decompressor)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise tarfile.ReadError("compressed by zstd: `zstd -d` unpacks it")
    if start.startswith(b"\xfd7zXZ\0"):
        return _Streams(file, lambda: lzma.LZMADecompressor(memlimit=_MAX_LZMA_MEMORY))
    return file


class _Gzip(gzip.GzipFile):
    """The content of a gzip file, up to the byte where it is damaged."""

    def read(self, size: int | None = -1) -> bytes:
        return self.read1(-1 if size is None else size)


class _Streams(io.RawIOBase):
    """The content of compressed streams, one after the other, and of nothing else.

    What `bz2` and `lzma` cannot read behind the first stream they pass over quietly.

    Args:
      file: Holds the streams; zeros may be between them and behind the last.
      new: Makes what decompresses one of them.
    """

    def __init__(
        self,
        file: BinaryIO,
        new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor],
    ):
        self._file = file
        self._new = new
        self._stream = new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data.lstrip(b"\0")
                while not data and (chunk := self._file.read(_CHUNK)):
                    data = chunk.lstrip(b"\0")
                if not data:
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input:
                data = self._file.read(_CHUNK)
                if not data:
                    raise EOFError("compressed data ends early")
            content = self._stream.decompress(data, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)


def _zip_members(file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        headers = archive.infolist()
        for header in headers:
            if not header.is_dir():
                yield _zip_member(archive, header)
        # A zip archive is read from its end: of joined ones, only the last is known.
        start = min((one.header_offset for one in headers), default=archive.start_dir)
        if start:
            raise zipfile.BadZipFile(
                f"its first {start} bytes are of none of its members; were archives "
                "put one after the other?"
            )


def _zip_member(archive: zipfile.ZipFile, header: zipfile.ZipInfo) -> Member:
    name = _normal(_zip_name(header))

    def read() -> bytes:
        if header.flag_bits & 1:
            raise MemberError("encrypted in its archive")
        if header.compress_type not in _ZIP_METHODS:
            raise MemberError(
                f"compressed in its archive by method {header.compress_type}, which is "
                "not read"
            )
        try:
            return archive.read(header)
        except ERRORS as error:
            raise MemberError(f"its archive is damaged: {error}") from error

    kind = stat.S_IFMT(header.external_attr >> 16)  # 0 where a system has no such kinds
    link = None
    if kind == stat.S_IFLNK:
        link = ""
        if header.file_size <= _MAX_LINK_BYTES:
            with contextlib.suppress(MemberError):
                link = _link(name, read().decode("utf-8", "surrogateescape"))
    return Member(
        name=name,
        num_bytes=header.file_size,
        modified=None,  # a local time of an unknown place
        is_file=kind in (0, stat.S_IFREG),
        link=link,
        read=read,
    )


def _zip_name(header: zipfile.ZipInfo) -> str:
    """Returns a name as it was meant: many programs do not say that theirs is UTF-8."""
    name = header.filename
    if not header.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/") if header.create_system == _OF_DOS else name


def _normal(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _link(name: str, target: str) -> str:
    """Returns the name that a symbolic link leads to, `..` for one that leads out."""
    if target.startswith("/"):
        return ".."
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
