"""Sound of any container, rate and channel layout → one channel at 16 kHz, even in loudness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from llmrec.config import MediaSettings
from llmrec.errors import MediaError
from llmrec.media.containers import Opened, open_container
from llmrec.media.deadline import Deadline
from llmrec.media.denoise import reduce_noise
from llmrec.media.types import SAMPLE_RATE, Media, Sound

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.filter import Graph
    from av.packet import Packet

TARGET = 10 ** (-23 / 20)
"""Root mean square that sound is brought to: -23 dBFS, the level of EBU R 128."""

SILENCE = 10 ** (-60 / 20)
"""Sound that nowhere rises above it is left as it is: amplified, it would be noise."""

MAX_GAIN = 10 ** (20 / 20)
PEAK = 0.99

_BLOCK = SAMPLE_RATE * 4 // 10
_RATES = range(1_000, 768_001)
"""Sample rates that are believed. A resampling filter for others may need gigabytes."""


def read_sound(stream: BinaryIO, limits: MediaSettings) -> Media:
    """Decode a sound file, or the sound track of a video.

    What follows a damaged place is left out, or decoded where the format allows it; only a file of which
    nothing can be decoded is an error. A track without samples gives empty sound.

    Args:
        stream: a seekable binary file.

    Raises:
        MediaError: it is not a sound file, has no sound track, is damaged throughout, or is beyond a limit.
        MissingExtraError: PyAV is not installed.
    """
    with open_container(stream, limits, Deadline(limits.timeout)) as opened:
        if opened.sound is None:
            raise MediaError("no sound track that can be decoded")
        track = SoundTrack(opened, limits)
        for packet in opened.packets(opened.sound):
            track.add(packet)
        sound = track.finish()
        if not len(sound) and opened.damaged:
            raise MediaError("damaged: none of its sound can be decoded")
    return Media(sound=sound, seconds=len(sound) / SAMPLE_RATE)


class SoundTrack:
    """Collects the sound of a container's packets, decoded and resampled as they come."""

    def __init__(self, opened: Opened, limits: MediaSettings) -> None:
        self._opened, self._limits = opened, limits
        self._samples = bytearray()  # grows in place, so that a long sound is never held twice
        self._chain: _Chain | None = None

    def add(self, packet: Packet[Any]) -> None:
        """Decode a packet.

        Raises:
            MediaError: the sound is longer than the limit, or of an absurd sample rate.
        """
        for frame in self._opened.decode(packet):
            if frame.sample_rate not in _RATES:
                raise MediaError(f"a sample rate of {frame.sample_rate:,} Hz")
            heard = len(self._samples) / 4 / SAMPLE_RATE
            self._opened.check_length(heard + frame.samples / frame.sample_rate)
            if self._chain is None or not self._chain.fits(frame):
                self._flush()
                self._chain = _Chain(frame)
            self._take(self._chain.push(frame))

    def finish(self) -> Sound:
        """All of it, its loudness normalised; to be called once."""
        self._flush()
        sound = np.frombuffer(self._samples, np.float32)
        return normalise(reduce_noise(sound) if self._limits.denoise else sound)

    def _flush(self) -> None:
        if self._chain is not None:
            self._take(self._chain.push(None))

    def _take(self, blocks: list[Sound]) -> None:
        for block in blocks:
            self._samples += np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0).data


class _Chain:
    """FFmpeg filters from one sample format, layout and rate, which may change within a file, to ours."""

    def __init__(self, frame: AudioFrame) -> None:
        from av.error import FFmpegError

        self._key = _key(frame)
        try:
            self._graph = _graph(frame, mean=False)
        except FFmpegError:  # no known way to mix this layout
            self._graph = _graph(frame, mean=True)

    def fits(self, frame: AudioFrame) -> bool:
        return self._key == _key(frame)

    def push(self, frame: AudioFrame | None) -> list[Sound]:
        from av.error import BlockingIOError, EOFError

        self._graph.push(frame)
        blocks: list[Sound] = []
        while True:
            try:
                blocks.append(self._graph.pull().to_ndarray()[0])
            except (BlockingIOError, EOFError):
                return blocks


def _key(frame: AudioFrame) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _graph(frame: AudioFrame, mean: bool) -> Graph:
    from av.filter import Graph

    graph = Graph()
    sample_format, layout, rate = _key(frame)
    nodes = [
        graph.add("abuffer", sample_fmt=sample_format, channel_layout=layout, sample_rate=str(rate)),
    ]
    if mean:
        channels = frame.layout.nb_channels
        mix = "+".join(f"{1 / channels:.9f}*c{channel}" for channel in range(channels))
        nodes.append(graph.add("pan", f"mono|c0={mix}"))
    nodes += [
        graph.add("aformat", sample_fmts="fltp", channel_layouts="mono", sample_rates=str(SAMPLE_RATE)),
        graph.add("asetnsamples", nb_out_samples=str(SAMPLE_RATE), pad="0"),
    ]
    graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
    return graph


def normalise(sound: Sound) -> Sound:
    """Bring sound to :data:`TARGET`, in place, without ever clipping it.

    The level is measured as by ITU-R BS.1770: the mean power of the blocks of 400 ms that are neither silent
    nor 10 dB below the others, so that pauses do not count; without its frequency weighting, which matters
    little for speech.
    """
    whole = len(sound) // _BLOCK * _BLOCK
    blocks = sound[:whole].reshape(-1, _BLOCK) if whole else sound[np.newaxis]
    power = np.einsum("ij,ij->i", blocks, blocks, dtype=np.float64) / max(1, blocks.shape[1])
    power = power[power > SILENCE**2]
    if len(power):
        level = np.sqrt(power[power > power.mean() / 10].mean())
        peak = max(sound.max(), -sound.min())
        sound *= np.float32(min(TARGET / level, MAX_GAIN, PEAK / peak))
    return sound
