"""Sound and video files that tests make, with PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 25


def tone(
    seconds: float, rate: int = 16_000, level: float = 0.25, hertz: float = 440.0
) -> NDArray[np.float32]:
    """A sine of that amplitude."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def sound_file(
    samples: NDArray[np.float32],
    container: str = "wav",
    codec: str = "pcm_s16le",
    rate: int = 16_000,
    layout: str = "mono",
    metadata: dict[str, str] | None = None,
) -> io.BytesIO:
    """Encode samples, the same on every channel."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate, layout=layout)
        _encode_sound(output, stream, samples)
    file.seek(0)
    return file


def _encode_sound(output: Any, stream: Any, samples: NDArray[np.float32]) -> None:
    for start in range(0, len(samples), 4096):
        block = np.tile(samples[start : start + 4096], (stream.layout.nb_channels, 1))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, start, Fraction(1, stream.rate)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def scene(seed: int, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """A picture of coloured squares, unlike that of any other seed."""
    squares = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.repeat(np.repeat(squares, height // 6, axis=0), width // 8, axis=1)


def shots(*lengths: float, first: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Frames of still shots of so many seconds each, which show ``scene(first)`` and following."""
    for seed, seconds in enumerate(lengths, first):
        for _ in range(round(seconds * RATE)):
            yield scene(seed)


def video_file(
    pictures: Iterator[NDArray[np.uint8]] | Sequence[NDArray[np.uint8]],
    container: str = "mp4",
    codec: str = "libx264",
    sound: NDArray[np.float32] | None = None,
    aspect: Fraction | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
) -> io.BytesIO:
    """Encode frames, and beside them a sound track unless it is None."""
    file, stream = io.BytesIO(), None
    with av.open(file, "w", format=container, container_options=muxing or {}) as output:
        for pixels in pictures:
            if stream is None:
                stream = output.add_stream(codec, rate=RATE, options=options or {})
                stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
                if codec == "mjpeg":
                    stream.pix_fmt = "yuvj420p"
                if aspect:
                    stream.codec_context.sample_aspect_ratio = aspect
                if rotation:
                    stream.set_display_rotation(rotation)
                track = None if sound is None else output.add_stream("aac", rate=16_000, layout="mono")
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        if stream is not None:
            output.mux(stream.encode(None))
            if track is not None:
                _encode_sound(output, track, sound)
    file.seek(0)
    return file
