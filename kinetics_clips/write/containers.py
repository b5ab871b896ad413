"""Opens a video file and yields its decoded frames: the only video decoder."""

import contextlib
import io
import itertools
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from kinetics_clips import wording
from kinetics_clips.wheels import av

# Enough to tell what a file is.
_PROBED_BYTES = 1 << 20

# Of the packets of the longest stream; below it is a still, a title, or a mistake.
_FILM_SHARE = 0.1

# Boxes at the top of a fragmented MP4 file: two a fragment.
_MAX_BOXES = 1_000_000

# How often a demuxer may say, one time after the other, that it is to be asked again.
_MAX_TRIES = 1_000

# FFmpeg's containers and bare streams, whatever a file is called. Left to itself it
# would also take a text file that lists other files to open for a video.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,live_flv,asf,ogg,"
    "dv,gif,ivf,mxf,nut,rm,wtv,yuv4mpegpipe,"
    "h264,hevc,h263,m4v,mpegvideo,mjpeg,obu,vc1,dirac,cavsvideo"
)

# What others are by their first bytes, for a person.
_OTHERS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "gzipped data"),
    (b"%PDF", "a PDF file"),
    (b"ID3", "only sound, an MP3 file"),
    (b"fLaC", "only sound, a FLAC file"),
    (b"#EXTM3U", "a playlist, which names files and holds none"),
    (b"{", "JSON text"),
    (b"<", "a web page, or other marked up text"),
)

# How FFmpeg names its formats of pictures that follow each other, or of a single one.
_PICTURES = "_pipe"

# FFmpeg's containers whose header says for how long all streams together last.
_WITH_DURATION = frozenset({"asf", "flv", "mxf", "nut", "rm", "wtv"})

# A file holds it all from this share of the bytes, or seconds, on that it promises:
# healthy ones may be off by a frame or two.
_WHOLE_SHARE = 0.95

# Names of elements of Matroska: the header of the file, and all the rest of it.
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

# Titles and comments may be in any encoding: PyAV reads them all from its 19 on.
_ANY_METADATA: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)


class VideoError(RuntimeError):
    """A video that cannot be stored.

    Attributes:
      reason: One of `missing`, `empty`, `not a video`, `no frames`, `too large`,
        `unreadable name`, `crash`, `timeout`, `unreadable`.
      detail: What was found, for a person; may be empty.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class _File(io.FileIO):
    """A video's file, of which a disk that fails is not its end.

    FFmpeg takes an error for the end of what there is, and some formats say nothing of
    it.
    """

    _error: OSError | None = None

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            self._error = error
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        if self._error:
            reason = in_words(self._error)
            raise VideoError("unreadable", reason) from self._error


def file_of(source: Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not stat.S_ISREG(source.stat().st_mode):  # opening a FIFO would wait for ever
        raise VideoError("not a video", "not a regular file")
    return _File(source)


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator["Video"]:
    """Opens a file's video for as long as the context lasts.

    Raises:
      VideoError: If there is none.
    """
    size = file.seek(0, io.SEEK_END)
    if not size:
        raise VideoError("empty", "0 bytes")
    promised = _promised_bytes(file)
    file.seek(0)
    try:
        container = _open(file, _FORMATS)
    except (av.FFmpegError, ValueError) as error:
        detail = _what_it_is(file, size) or f"{_bytes(size)}, {in_words(error)}"
        raise VideoError("not a video", detail) from error
    num_packets: Counter[int] = Counter()
    if len(_without_covers(container)) > 1:
        with container:
            num_packets = _num_packets(container)
        file.seek(0)
        container = _open(file, _FORMATS)
    with container:
        yield Video(container, size, promised, num_packets)


def _open(file: BinaryIO, formats: str | None) -> "av.container.InputContainer":
    """Opens a file, and nothing else, as one of some formats; None = any."""
    # No protocol: what a file names is not to be opened. Not `options`, which are for
    # streams too: PyAV below 17 crashes on those that a container such as MPEG's shows
    # only later.
    options = {"protocol_whitelist": "none"}
    if formats:
        options["format_whitelist"] = formats
    return av.open(file, "r", container_options=options, **_ANY_METADATA)


class Video:
    """A video that is read from its start to its end, once.

    Of several streams, covers and such as have no decoder are left out, and then those
    of under a tenth of the packets of the longest, such as a still beside a film. Of
    the others it is the one that the file marks as its default, then the largest, then
    the first.

    Args:
      container: The container that is open.
      num_bytes: The size of the file.
      promised_bytes: Its size by its own structure; None where that says nothing.
      num_packets: The packets of each video stream, by its index, where there are
        several.

    Attributes:
      stream: The stream that is decoded.
      header_fps: Frames per second that its header says; 0 where it says none.

    Raises:
      VideoError: If there is no video, or none that can be decoded.
    """

    def __init__(
        self,
        container: "av.container.InputContainer",
        num_bytes: int,
        promised_bytes: int | None,
        num_packets: Counter[int],
    ):
        streams = _without_covers(container)
        if not streams:
            raise VideoError("not a video", _without_video(container, num_bytes))
        known = [stream for stream in streams if stream.codec_context is not None]
        if not known:
            detail = "its codec is unknown, or has no decoder"
            raise VideoError("unreadable", detail)
        least = _FILM_SHARE * max(num_packets.values(), default=0)
        films = [stream for stream in known if num_packets[stream.index] >= least]
        self._container = container
        self._num_streams = len(streams)
        self._num_damaged = 0
        self._end = 0.0
        self.stream = max(
            films or known,
            key=lambda one: (
                bool(one.disposition & av.stream.Disposition.default),
                one.width * one.height,
                -one.index,
            ),
        )
        rate = self.stream.guessed_rate or self.stream.average_rate
        self.header_fps = float(rate or 0)
        # A structure that gives a size is believed; headers often say a wrong duration.
        self._is_cut = num_bytes < _WHOLE_SHARE * (promised_bytes or 0)
        self._promised_seconds = 0.0
        if promised_bytes is None:
            self._promised_seconds = _promised_seconds(container, self.stream)

    def decoded(self) -> Iterator["av.VideoFrame"]:
        """Yields all frames that can be decoded; damaged packets cost theirs alone."""
        self.stream.thread_type = "NONE"
        self.stream.codec_context.thread_count = 1
        for packet in itertools.chain(self._packets(), [None]):
            try:
                # None, after the last, makes the decoder give out what it holds.
                frames = self.stream.codec_context.decode(packet)
            except av.FFmpegError:
                # After the last, a decoder says that it is done in this way too.
                self._num_damaged += bool(packet is not None and packet.size)
                frames = []
            yield from frames

    def ends_early(self) -> bool:
        """Returns whether the file ends before what it promises, when it was read."""
        return self._is_cut or self._end < _WHOLE_SHARE * self._promised_seconds

    def notes(self) -> list[str]:
        """Returns what a person should know of what was decoded."""
        notes = []
        if self._num_streams > 1:
            number = self.stream.index
            notes.append(
                f"{self._num_streams} video streams: number {number} is stored"
            )
        if self._num_damaged:
            # Not how many: the report puts videos with equal notes together.
            lost = "some packets could not be decoded"
            notes.append(f"{lost}: their frames are missing")
        return notes

    def _packets(self) -> Iterator["av.Packet"]:
        """Yields all packets of the stream that can be read."""
        streams: Iterable[av.stream.Stream] = [self.stream]
        if self._promised_seconds and not _is_avi(self._container):
            streams = self._container.streams  # which end together
        num_tries = 0
        while num_tries < _MAX_TRIES:
            try:
                for packet in self._container.demux(*streams):
                    num_tries = 0
                    if self._promised_seconds:
                        self._see(packet)
                    if packet.stream_index == self.stream.index:
                        yield packet
                return
            except av.error.BlockingIOError:  # a transport stream has lost its place
                num_tries += 1
            except av.FFmpegError:  # the file ends here
                return
            except IndexError:  # at the end PyAV misses streams that came up late
                return

    def _see(self, packet: "av.Packet") -> None:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or not packet.time_base:
            return
        step = 1 / self.header_fps if self.header_fps else 0.0
        lasts = float(packet.duration * packet.time_base) if packet.duration else step
        self._end = max(self._end, float(time * packet.time_base) + lasts)


def _without_covers(
    container: "av.container.InputContainer",
) -> list["av.VideoStream"]:
    cover = av.stream.Disposition.attached_pic
    return [one for one in container.streams.video if not one.disposition & cover]


def _num_packets(container: "av.container.InputContainer") -> Counter[int]:
    """Counts the packets of the video streams; reads the container to its end."""
    streams = _without_covers(container)
    counts = Counter({stream.index: 0 for stream in streams})
    with contextlib.suppress(av.FFmpegError):  # the file ends there
        for packet in container.demux(*streams):
            counts[packet.stream_index] += bool(packet.size)
    return counts


def _is_avi(container: "av.container.InputContainer") -> bool:
    return container.format.name == "avi"


def _promised_seconds(
    container: "av.container.InputContainer", stream: "av.VideoStream"
) -> float:
    """Returns for how long a file lasts by its header; 0 where that is unknown.

    FFmpeg reckons the duration of formats without one from the file itself.
    """
    if _is_avi(container):  # the only one that says it of each stream
        return float((stream.duration or 0) * (stream.time_base or 0))
    if container.format.name in _WITH_DURATION:
        return (container.duration or 0) / av.time_base
    return 0.0


def _promised_bytes(file: BinaryIO) -> int | None:
    """Returns where a file ends by its own structure, or None where that is unknown.

    That of ISO base media (MP4, MOV, ...), of Matroska (MKV, WebM), and of an FLV file
    that is whole.
    """
    file.seek(0)
    head = file.read(64)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"styp", b"free", b"wide", b"skip"):
        return _end_of_boxes(file)
    if head.startswith(_EBML):
        return _end_of_segment(head)
    if head.startswith(b"FLV"):
        return _end_of_tags(file)
    return None


def _end_of_boxes(file: BinaryIO) -> int | None:
    """Returns where the last box of ISO/IEC 14496-12 at the top of a file ends."""
    size = file.seek(0, io.SEEK_END)
    position = 0
    for _ in range(_MAX_BOXES):
        if position >= size:
            return position
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if len(header) < 8 or length < 8 or not header[4:8].isalnum():
            return None  # to the file's end, or no box
        position += length
    return None


def _end_of_segment(head: bytes) -> int | None:
    """Returns where the segment of an EBML file (RFC 8794, RFC 9559) ends."""
    header_end = _end_of_element(head, 0)
    if header_end is None or not head.startswith(_SEGMENT, header_end):
        return None  # something else stands before the segment
    return _end_of_element(head, header_end)


def _end_of_element(head: bytes, position: int) -> int | None:
    """Returns where an EBML element ends whose name has four bytes; None = unknown."""
    position += 4
    if position >= len(head):
        return None
    length_of_size = 9 - head[position].bit_length()
    field = head[position : position + length_of_size]
    unknown = (1 << 7 * length_of_size) - 1
    size = int.from_bytes(field, "big") & unknown
    return None if size == unknown else position + length_of_size + size


def _end_of_tags(file: BinaryIO) -> int | None:
    """Returns the size of an FLV file that ends with a tag and that one's size."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - 4, 0))
    length = int.from_bytes(file.read(4), "big")
    if not 11 <= length <= size - 4:
        return None
    file.seek(size - 4 - length)
    return size if int.from_bytes(file.read(4)[1:], "big") == length - 11 else None


def _without_video(container: "av.container.InputContainer", size: int) -> str:
    """Returns what a file holds that has no video; covers are none."""
    has_sound = bool(container.streams.audio)
    if container.streams.video:
        return f"only {'sound and ' if has_sound else ''}a cover picture"
    return "no video in it, only sound" if has_sound else f"{_bytes(size)}, no video"


def _bytes(number: int) -> str:
    return wording.count(number, "byte", "bytes").replace(",", "")


def _what_it_is(file: BinaryIO, size: int) -> str:
    """Returns what a file is that is no video, or nothing where that is unknown."""
    file.seek(0)
    head = file.read(512)
    if not head.strip(b"\0"):
        return f"{_bytes(size)}, zeros at its start: was it downloaded to the end?"
    if head[4:8] == b"ftyp":
        what = "an MP4 file without its index (moov)"
        return f"{_bytes(size)}, {what}: cut off, or still being written"
    for start, what in _OTHERS:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(start):
            return f"{_bytes(size)}, {what}"
    if head.isascii():
        return f"a text file of {_bytes(size)}"
    file.seek(0)
    try:
        with _open(io.BytesIO(file.read(_PROBED_BYTES)), None) as container:
            name = container.format.name
            if name.endswith(_PICTURES) and b"ANIM" not in head:  # as moving WebP has
                kind = name.removesuffix(_PICTURES).upper()
                article = "an" if kind[0] in "AEFHILMNORSX" else "a"
                return f"{article} {kind} picture, not a video"
            if container.streams.video:
                return (
                    f"{_bytes(size)}, which FFmpeg takes for {name} "
                    f"({container.format.long_name}); wrap it: ffmpeg -i FILE -c copy "
                    "FILE.mkv, or without -c copy"
                )
    except (av.FFmpegError, ValueError):  # nor does FFmpeg know it
        return ""
    return "no video in it, only sound"


def in_words(error: Exception) -> str:
    """Returns what an error says, without the number and the file of a system's."""
    return getattr(error, "strerror", None) or str(error).strip()
