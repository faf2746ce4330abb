"""Opening sound and video files that nobody vouches for, with PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, MissingExtraError
from llmrec.media.deadline import Deadline

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

FORMATS = (
    *("aac", "ac3", "aiff", "amr", "asf", "au", "avi", "caf", "flac", "flv", "gif", "matroska", "mov"),
    *("mp3", "mpeg", "mpegts", "ogg", "w64", "wav"),
)
"""FFmpeg's names of the formats that are read: each holds all of its data. Playlists, lists of pictures and
scripts (HLS, DASH, concat, image2, SDP, ...) name other files and addresses, so they are not among them."""

_GUESSED = {"aac", "mp3"}
"""Formats whose length may be a guess from the first frame's bit rate, wrong by a factor of ten."""

_BUFFER = 1 << 18


class Opened:
    """An open container.

    Args:
        sound: its default sound track that can be decoded, if there is one.
        pictures: likewise for moving pictures; cover art is none.
        damaged: whether a part of what was read could not be decoded.
    """

    def __init__(self, container: InputContainer, source: _Source, limits: MediaSettings) -> None:
        from av.stream import Disposition

        self._container, self._source, self._limits = container, source, limits
        self.damaged = False
        self.sound: AudioStream | None = _decodable(container, "audio")
        self.pictures: VideoStream | None = _decodable(container, "video")
        if self.pictures is not None and self.pictures.disposition & Disposition.attached_pic:
            self.pictures = None
        if self.pictures is not None:
            self.pictures.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            self.pictures.codec_context.thread_type = "AUTO"
            self.pictures.codec_context.thread_count = (
                2  # each thread holds frames; files are read in parallel
            )

    @property
    def seconds(self) -> float | None:
        """The length that the file declares; None where it declares none."""
        microseconds = self._container.duration
        return None if microseconds is None or microseconds < 0 else float(microseconds) / 1e6

    def packets(self, *streams: Stream) -> Iterator[Packet[Any]]:
        """Encoded packets of these streams, without any of ``sound`` and ``pictures``, in the file's order,
        and for each an empty one that flushes its decoder.

        They end where the file is damaged beyond reading on.

        Raises:
            MediaError: the file cannot be read, or there is no time left.
        """
        from av.error import FFmpegError

        try:
            for packet in self._container.demux(*(streams or filter(None, (self.sound, self.pictures)))):
                self._source.check()
                if packet.size or packet.dts is None:  # an empty one amid the others means a dropped frame
                    yield packet
        except FFmpegError:
            self.damaged = True
        self._source.check()

    def decode(self, packet: Packet[Any]) -> list[Any]:
        """The frames that a packet completes; none where it is damaged."""
        from av.error import FFmpegError

        try:
            return list(packet.decode())
        except FFmpegError:
            self.damaged = True
            return []

    def seek(self, time: int, stream: VideoStream) -> None:
        """Go back or ahead to the last key frame at or before ``time``, in the stream's units; stay where
        the format does not allow it."""
        from av.error import FFmpegError

        with suppress(FFmpegError):
            self._container.seek(time, stream=stream, backward=True)

    def check_length(self, seconds: float | None) -> None:
        """Go on if a length is within the limit.

        Raises:
            MediaError: it is not.
        """
        if seconds is not None and seconds > self._limits.max_seconds:
            raise MediaError(f"longer than {self._limits.max_seconds:,g} s ([media] max_seconds)")


@contextmanager
def open_container(stream: BinaryIO, limits: MediaSettings, deadline: Deadline) -> Iterator[Opened]:
    """Open a sound or video file of any of :data:`FORMATS`, by its content, whatever its name.

    Args:
        stream: seekable; its beginning is the file's.

    Raises:
        MediaError: it is none of these, is damaged from the beginning, or is beyond a limit.
        MissingExtraError: PyAV is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError("av", "audio") from error
    source = _Source(stream, limits, deadline)
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "none",
        "max_pixels": str(limits.max_pixels),
    }
    try:
        container = av.open(
            source, options=options, metadata_errors="replace", buffer_size=_BUFFER, io_open=_refuse
        )
    except (av.error.FFmpegError, ValueError) as error:
        source.check()
        raise MediaError("not a sound or video file that can be read") from error
    with container:
        source.check()
        opened = Opened(container, source, limits)
        if container.format.name not in _GUESSED:
            opened.check_length(opened.seconds)
        try:
            yield opened
        except av.error.FFmpegError as error:
            raise MediaError(f"damaged: {error.strerror}") from error


class _Source:
    """What FFmpeg reads from: no name, from which it would guess a format, and nothing after the deadline.

    Errors are kept for :meth:`check`: an exception in a callback may be lost, or surface in another call.
    """

    def __init__(self, stream: BinaryIO, limits: MediaSettings, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline
        self._error: OSError | None = None
        size = stream.seek(0, os.SEEK_END)
        if size > limits.max_bytes:
            raise MediaError(f"larger than {limits.max_bytes:,} bytes ([media] max_bytes)")
        if not size:
            raise MediaError("the file is empty")
        stream.seek(0)

    def read(self, size: int) -> bytes:
        if self._error or self._deadline.left() <= 0:
            return b""
        try:
            return self._stream.read(size)
        except OSError as error:
            self._error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError):  # a damaged file may lead anywhere
            return -1

    def tell(self) -> int:
        return self._stream.tell()

    def check(self) -> None:
        if self._error:
            raise MediaError(f"cannot be read: {self._error.strerror}") from self._error
        self._deadline.check()


def _decodable(container: InputContainer, kind: Literal["audio", "video"]) -> Any:
    stream = container.streams.best(kind)
    return stream if stream is not None and stream.codec_context else None


def _refuse(url: str, flags: int, options: dict[str, str]) -> None:
    raise PermissionError("a media file may not open others")
