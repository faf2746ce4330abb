"""Video becomes a handful of upright frames spread over its shots, and its sound."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from made import RATE, scene, shots, sound_file, tone, video_file
from numpy.typing import NDArray

from llmrec.config import MediaSettings
from llmrec.errors import MediaError
from llmrec.media import video
from llmrec.media.types import Frame, Media
from llmrec.media.video import read_video

LIMITS = MediaSettings()


def three(**changes: object) -> MediaSettings:
    return MediaSettings.model_validate({"frames": 3} | changes)


def spans(media: Media) -> list[tuple[float, float]]:
    return [(round(frame.start or 0, 1), round(frame.end or 0, 1)) for frame in media.frames]


def shows(frame: Frame, picture: NDArray[np.uint8]) -> bool:
    """Whether a frame shows a picture, as far as its codec lets tell; any other scene differs by 80."""
    return frame.pixels.shape == picture.shape and bool(
        np.abs(frame.pixels.astype(int) - picture).mean() < 15
    )


@pytest.mark.parametrize(
    ("container", "codec", "sound"),
    [
        ("mp4", "libx264", True),
        ("mp4", "mpeg4", True),
        ("matroska", "libx264", True),
        ("webm", "libvpx", False),
        ("mov", "mjpeg", True),
        ("avi", "mpeg4", True),
        ("mpegts", "libx264", True),
        ("flv", "libx264", True),
    ],
)
def test_a_frame_of_each_shot_and_the_sound(container: str, codec: str, sound: bool) -> None:
    media = read_video(
        video_file(shots(1.4, 0.8, 2), container, codec, tone(4.2) if sound else None), three()
    )
    assert [shows(frame, scene(shot)) for shot, frame in enumerate(media.frames)] == [True] * 3
    cuts = [media.frames[0].start, *(frame.end for frame in media.frames)]
    assert cuts == pytest.approx([0, 1.4, 2.2, 4.2], abs=0.25)
    assert (media.width, media.height) == (160, 120)
    assert media.seconds == pytest.approx(4.2, abs=0.15)
    assert media.frames[0].pixels.dtype == np.uint8
    if sound:
        assert media.sound is not None
        assert len(media.sound) / 16_000 == pytest.approx(4.2, abs=0.15)
    else:
        assert media.sound is None


def test_a_long_video_is_judged_by_its_key_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    made = video_file(shots(1.5, 1, 2.5), sound=tone(5), options={"g": "10"})
    monkeypatch.setattr(video, "EVERY_FRAME", 0)
    decoded = count_frames(monkeypatch)
    media = read_video(made, three())
    assert [shows(frame, scene(shot)) for shot, frame in enumerate(media.frames)] == [True] * 3
    assert spans(media) == [(0, pytest.approx(1.5, abs=0.2)), (1.5, 2.5), (2.5, 5)]
    assert len(decoded) < 5 * RATE / 4


def test_all_frames_are_decoded_where_there_are_few_key_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    made = video_file(shots(1.5, 1, 2.5), options={"g": "1000", "sc_threshold": "0"})
    monkeypatch.setattr(video, "EVERY_FRAME", 0)
    media = read_video(made, three())
    assert [shows(frame, scene(shot)) for shot, frame in enumerate(media.frames)] == [True] * 3


def count_frames(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    decoded: list[object] = []
    decode = video.Opened.decode

    def record(self: video.Opened, packet: object) -> list[object]:
        frames = decode(self, packet)  # type: ignore[arg-type]
        decoded.extend(frame for frame in frames if hasattr(frame, "width"))
        return frames

    monkeypatch.setattr(video.Opened, "decode", record)
    return decoded


def test_more_and_fewer_shots_than_frames() -> None:
    many = read_video(video_file(shots(0.6, 0.6, 2, 0.6, 2)), three())
    assert len(many.frames) == 3
    assert shows(many.frames[1], scene(2))
    one = read_video(video_file(shots(7)), three())
    assert spans(one) == [(0, 2.4), (2.4, 4.8), (4.8, 7)]
    single = read_video(video_file([scene(0)]), LIMITS)
    assert spans(single) == [(0, 0)]
    assert shows(single.frames[0], scene(0))


def test_a_black_beginning_does_not_stand_for_the_video() -> None:
    def fade() -> Iterator[NDArray[np.uint8]]:
        for step in range(3 * RATE):
            yield (scene(0) * min(1.0, max(0.0, step / RATE - 1))).astype(np.uint8)

    [frame] = read_video(video_file(fade()), MediaSettings(frames=1)).frames
    assert shows(frame, scene(0)) or frame.pixels.mean() > scene(0).mean() * 0.6


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_a_phone_that_was_held_sideways(rotation: int, turns: int) -> None:
    media = read_video(video_file(shots(1), rotation=rotation), LIMITS)
    assert shows(media.frames[0], np.rot90(scene(0), turns))
    assert (media.height, media.width) == np.rot90(scene(0), turns).shape[:2]


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [(Fraction(16, 9), (120, 284)), (Fraction(1, 2), (120, 80)), (Fraction(1, 500), (120, 160))],
)
def test_pixels_that_are_not_square(aspect: Fraction, shape: tuple[int, int]) -> None:
    media = read_video(video_file(shots(1), aspect=aspect), LIMITS)
    assert media.frames[0].pixels.shape[:2] == (media.height, media.width) == shape


def test_frames_are_reduced_to_the_longest_side() -> None:
    media = read_video(video_file([scene(0, 320, 240)] * 25), MediaSettings(max_side=64))
    assert media.frames[0].pixels.shape == (48, 64, 3)
    assert (media.width, media.height) == (320, 240)


def test_sound_alone_gives_no_frames() -> None:
    media = read_video(sound_file(tone(1, 44_100), "mp3", "libmp3lame", 44_100), LIMITS)
    assert (media.frames, media.width, media.height) == ((), 0, 0)
    assert media.sound is not None
    assert media.seconds == len(media.sound) / 16_000


def test_a_sound_track_without_samples_is_empty() -> None:
    media = read_video(video_file(shots(1), "matroska", sound=tone(0)), LIMITS)
    assert media.sound is not None
    assert len(media.sound) == 0
    assert len(media.frames) == 1


def test_a_truncated_video_gives_what_it_holds() -> None:
    data = video_file(
        shots(2, 2), options={"g": "10"}, muxing={"movflags": "frag_keyframe+empty_moov"}
    ).getvalue()
    [frame] = read_video(io.BytesIO(data[: len(data) // 2]), three()).frames
    assert shows(frame, scene(0))
    data = video_file(shots(1)).getvalue()
    with pytest.raises(MediaError, match="not a sound or video file that can be read"):
        read_video(io.BytesIO(data[: len(data) // 2]), LIMITS)  # its table of contents comes last


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"GIF87a", b"no video at all " * 100])
def test_what_is_no_video_is_an_error(content: bytes) -> None:
    with pytest.raises(MediaError, match=r"the file is empty|not a sound or video file"):
        read_video(io.BytesIO(content), LIMITS)


def test_frames_with_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = count_frames(monkeypatch)
    limits = MediaSettings(max_pixels=160 * 120 - 1)
    with pytest.raises(MediaError, match=r"160 x 120 pixels, more than 19,199 \(\[media\] max_pixels\)"):
        read_video(video_file(shots(1)), limits)
    with pytest.raises(MediaError, match=r"unknown size, or of more than 19,199 \(\[media\] max_pixels\)"):
        read_video(video_file(shots(1), "mov", "mjpeg"), limits)  # refused before its size is known
    assert decoded == []


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_a_video_that_is_too_long(container: str) -> None:
    made = video_file(shots(3), container, "libx264")
    assert read_video(made, MediaSettings(max_seconds=3.2)).frames
    with pytest.raises(MediaError, match=r"longer than 2.5 s \(\[media\] max_seconds\)"):
        read_video(made, MediaSettings(max_seconds=2.5))


def test_a_video_that_hides_its_length_is_stopped_at_the_limit() -> None:
    data = bytearray(video_file(shots(3), "avi", "mpeg4").getvalue())
    at = data.index(b"strh")
    data[at + 40 : at + 44] = struct.pack("<I", 1)  # frames in the stream
    with pytest.raises(MediaError, match=r"longer than 2.5 s"):
        read_video(io.BytesIO(data), MediaSettings(max_seconds=2.5))


def test_the_deadline_holds_while_decoding() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.05)
            return super().read(min(size or 0, 2048))

    began = time.monotonic()
    with pytest.raises(MediaError, match=r"took longer than 0.3 s \(\[media\] timeout\)"):
        read_video(Slow(video_file(shots(*[0.2] * 20)).getvalue()), MediaSettings(timeout=0.3))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "libx264"), ("mpegts", "libx264"), ("avi", "mpeg4")]
)
def test_damaged_bytes_never_give_more_than_an_error(container: str, codec: str) -> None:
    data = np.frombuffer(video_file(shots(0.5, 0.5), container, codec, tone(1)).getvalue(), np.uint8)
    random, read = np.random.default_rng(0), 0
    for flips in [1, 20, 200] * 5:
        damaged = data.copy()
        damaged[random.integers(0, len(data), flips)] = random.integers(0, 256, flips)
        try:
            media = read_video(io.BytesIO(damaged.tobytes()), three())
        except MediaError:
            continue
        read += 1
        assert all(frame.pixels.ndim == 3 for frame in media.frames)
    assert read > 0
