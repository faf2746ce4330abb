"""Video → a handful of frames spread over its shots, and its sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from llmrec.config import MediaSettings
from llmrec.errors import MediaError
from llmrec.media.containers import Opened, open_container
from llmrec.media.deadline import Deadline
from llmrec.media.shots import Look, Span, look_at, plan
from llmrec.media.sound import SoundTrack
from llmrec.media.types import SAMPLE_RATE, Frame, Media, Picture

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

EVERY_FRAME = 500_000_000
"""Pixels of a whole video up to which all of its frames are decoded to find the cuts: about a second of work
on two cores. Of a longer one only the key frames are, which encoders also put on cuts."""

LEAST_LOOKS = 2
"""Key frames wanted for each frame to sample; where there are fewer, all frames are decoded after all."""

INTERVAL = 0.1
"""Seconds from one look at the pictures to the next, at least."""

_SMALL = 64
_ASPECTS = (1 / 8, 8.0)
"""Shapes of a pixel that are believed."""


def read_video(stream: BinaryIO, limits: MediaSettings) -> Media:
    """Sample a video and decode its sound track.

    At most ``limits.frames`` frames, each for a span of the video (:func:`llmrec.media.shots.plan`): upright,
    with square pixels, at most ``limits.max_side`` long. A file that has sound alone gives no frames. What is
    damaged is left out; only a file of which nothing can be decoded is an error.

    Args:
        stream: a seekable binary file.

    Raises:
        MediaError: it is not a sound or video file, is damaged throughout, or is beyond a limit.
        MissingExtraError: PyAV is not installed.
    """
    deadline = Deadline(limits.timeout)
    with open_container(stream, limits, deadline) as opened:
        scan = None if opened.pictures is None else _Scan(opened, opened.pictures, limits)
        track = None if opened.sound is None else SoundTrack(opened, limits)
        if scan is None and track is None:
            raise MediaError("neither moving pictures nor sound that can be decoded")
        for packet in opened.packets():
            if scan is not None and packet.stream is opened.pictures:
                scan.add(packet)
            elif track is not None:
                track.add(packet)
        sound = None if track is None else track.finish()
    heard = 0.0 if sound is None else len(sound) / SAMPLE_RATE
    if scan is None:
        return Media(sound=sound, seconds=heard)
    if not scan.every and len(scan.looks) < LEAST_LOOKS * limits.frames:
        with open_container(stream, limits, deadline) as again:
            scan.look_closer(again, Deadline(deadline.left() / 3))
    with open_container(stream, limits, deadline) as again:
        frames = _take(again, plan(scan.looks, scan.seconds, limits.frames), scan.every, limits.max_side)
    if opened.damaged and not frames and not heard:
        raise MediaError("damaged: none of its pictures or sound can be decoded")
    width, height = scan.size
    return Media(tuple(frames), sound, width, height, max(scan.seconds, heard))


class _Scan:
    """The first pass over the pictures: looks at them, their size when upright, and their length."""

    def __init__(self, opened: Opened, pictures: VideoStream, limits: MediaSettings) -> None:
        context = pictures.codec_context
        pixels = context.width * context.height
        if not 0 < pixels <= limits.max_pixels:  # 0: FFmpeg refused the size, or never found it
            size = f"{context.width:,} x {context.height:,} pixels," if pixels else "an unknown size, or of"
            raise MediaError(f"frames of {size} more than {limits.max_pixels:,} ([media] max_pixels)")
        rate = float(pictures.average_rate or 30)
        # Told by the file alone, not by the time that it takes, so that the frames are the same everywhere.
        self.every = opened.seconds is not None and pixels * opened.seconds * rate <= EVERY_FRAME
        self.size, self.seconds = (0, 0), 0.0
        self._begin(opened, pictures)

    def _begin(self, opened: Opened, pictures: VideoStream) -> None:
        from av.video.reformatter import VideoReformatter

        self.looks: list[Look] = []
        self._opened, self._pictures = opened, pictures
        self._origin, self._unit = pictures.start_time or 0, float(pictures.time_base or 0)
        self._before: Picture | None = None
        self._reduce = VideoReformatter().reformat

    def add(self, packet: Packet[Any]) -> None:
        """Look at the frames of a packet.

        Raises:
            MediaError: it lies beyond the longest time that is allowed.
        """
        if packet.pts is not None:
            self.seconds = max(self.seconds, self._time(packet.pts + (packet.duration or 0)))
            self._opened.check_length(self.seconds)
        for frame in _decoded(self._opened, packet, self.every):
            time = self._time(_position(frame))
            if self._before is None:
                self.size = _upright_size(frame, self._pictures)
            elif time < self.looks[-1].time + INTERVAL:
                continue
            reduced = self._reduce(frame, _SMALL, _SMALL, "rgb24", interpolation="AREA")
            small = np.asarray(reduced.to_ndarray(), np.uint8)
            self.looks.append(look_at(time, _position(frame), small, self._before))
            self._before = small

    def look_closer(self, opened: Opened, until: Deadline) -> None:
        """Look again, at all frames: as far as ``until``, beyond which the first pass has to do."""
        if opened.pictures is None:
            return
        self.every = True
        self._begin(opened, opened.pictures)
        for packet in opened.packets(opened.pictures):
            self.add(packet)
            if until.left() <= 0:
                break

    def _time(self, position: int) -> float:
        return max(0.0, (position - self._origin) * self._unit)


def _take(opened: Opened, spans: Sequence[Span], every: bool, max_side: int) -> list[Frame]:
    """Decode the frames that were chosen, in the way that they were found."""
    frames: list[Frame] = []
    if (pictures := opened.pictures) is None:
        return frames
    flow = _flow(opened, pictures, every)
    for span in spans:
        if not every:
            opened.seek(span.look.position, pictures)
            flow = _flow(opened, pictures, every)
        found = next((frame for frame in flow if _position(frame) >= span.look.position), None)
        if found is not None:
            frames.append(Frame(_upright(found, pictures, max_side), span.start, span.end))
    return frames


def _flow(opened: Opened, pictures: VideoStream, every: bool) -> Iterator[VideoFrame]:
    for packet in opened.packets(pictures):
        yield from _decoded(opened, packet, every)


def _decoded(opened: Opened, packet: Packet[Any], every: bool) -> list[VideoFrame]:
    """The frames that a packet completes; of all of them, those that no other is predicted from are left out,
    which saves a third of the time."""
    packet.stream.codec_context.skip_frame = "NONREF" if every else "NONKEY"
    return opened.decode(packet) if every or packet.is_keyframe or not packet.size else []


def _position(frame: VideoFrame) -> int:
    return int(frame.pts if frame.pts is not None else frame.dts or 0)


def _aspect(pictures: VideoStream) -> float:
    """Width of a pixel over its height."""
    aspect = float(pictures.sample_aspect_ratio or 1)
    return aspect if _ASPECTS[0] <= aspect <= _ASPECTS[1] else 1.0


def _upright_size(frame: VideoFrame, pictures: VideoStream) -> tuple[int, int]:
    """Width and height with square pixels, after rotation."""
    width, height = round(frame.width * _aspect(pictures)), frame.height
    return (height, width) if round(frame.rotation / 90) % 2 else (width, height)


def _upright(frame: VideoFrame, pictures: VideoStream, max_side: int) -> Picture:
    wide, high = frame.width * _aspect(pictures), frame.height
    scale = min(1.0, max_side / max(wide, high))
    width, height = max(1, round(wide * scale)), max(1, round(high * scale))
    pixels = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)), dtype=np.uint8)
