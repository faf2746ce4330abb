"""A short film of photographs and a spoken text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (480, 320)
RATE = 8
"""Frames a second."""

_ZOOM = 0.08  # of the width, cut off at each side by the end of a shot
_CODEC = "libvpx"  # VP8 and Opus in WebM: free codecs that every browser plays
_VIDEO = {"deadline": "good", "cpu-used": "4", "crf": "30", "threads": "1"}
_EXACT = {"fflags": "+bitexact"}  # without a random id of the file


def compose(pictures: Sequence[Path], sound: Path, target: Path) -> None:
    """Write a WebM film: each picture for an equal share of the sound, zooming in, with hard cuts.

    The same files give the same bytes.

    Args:
        pictures: one for each shot; cropped to :data:`SIZE`.
        sound: an Opus file; its packets are taken as they are.
        target: the file to write.

    Raises:
        MissingExtraError: PyAV or Pillow is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "audio") from error

    with av.open(str(sound)) as source, av.open(str(target), "w", "webm", options=_EXACT) as film:
        speech = source.streams.audio[0]
        seconds = source.duration / av.time_base
        track = film.add_stream_from_template(speech)
        video = film.add_stream(_CODEC, rate=RATE, options=_VIDEO, bit_rate=200_000, pix_fmt="yuv420p")
        video.width, video.height = SIZE
        packets = [packet for packet in source.demux(speech) if packet.dts is not None]
        for packet in packets:
            packet.stream = track
        for number, image in enumerate(_shots(pictures, round(seconds * RATE / len(pictures)))):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            packets += video.encode(frame)
        packets += video.encode()
        film.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))


def _shots(pictures: Sequence[Path], length: int) -> Iterator[Image]:
    """``length`` frames of each picture."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError("pillow", "vision") from error

    width, height = SIZE
    for path in pictures:
        with Image.open(path) as opened:
            whole = ImageOps.fit(opened.convert("RGB"), SIZE)
        for number in range(length):
            cut = _ZOOM * number / length
            inner = (cut * width, cut * height, (1 - cut) * width, (1 - cut) * height)
            yield whole.resize(SIZE, box=inner)
