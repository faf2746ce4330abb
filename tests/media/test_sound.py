"""Sound of any container becomes 16 kHz mono at an even level, in bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import sys
import time
import tracemalloc
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made import scene, shots, sound_file, tone, video_file
from numpy.typing import NDArray

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, MissingExtraError
from llmrec.media.denoise import reduce_noise
from llmrec.media.sound import TARGET, normalise, read_sound
from llmrec.media.video import read_video

LIMITS = MediaSettings()


def rms(sound: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


def pitch(sound: NDArray[np.float32]) -> float:
    """Hertz of the strongest frequency."""
    return float(np.abs(np.fft.rfft(sound)).argmax() * 16_000 / len(sound))


def pcm(samples: NDArray[Any], width: int, rate: int, channels: int) -> io.BytesIO:
    """A WAV file of the standard library, the same on every channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(np.repeat(samples[:, None], channels, axis=1).tobytes())
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("container", "codec", "rate", "layout"),
    [
        ("wav", "pcm_u8", 8_000, "mono"),
        ("wav", "pcm_s24le", 48_000, "5.1"),
        ("wav", "pcm_s32le", 96_000, "stereo"),
        ("wav", "pcm_f32le", 22_050, "mono"),
        ("w64", "pcm_s16le", 16_000, "mono"),
        ("aiff", "pcm_s16be", 11_025, "mono"),
        ("au", "pcm_s16be", 16_000, "mono"),
        ("caf", "pcm_s16be", 16_000, "stereo"),
        ("flac", "flac", 44_100, "stereo"),
        ("ogg", "libopus", 48_000, "stereo"),
        ("mp3", "libmp3lame", 44_100, "mono"),
        ("adts", "aac", 16_000, "mono"),
        ("mp4", "aac", 44_100, "stereo"),
        ("3gp", "aac", 16_000, "mono"),
        ("mov", "pcm_s16le", 16_000, "mono"),
        ("matroska", "flac", 32_000, "quad"),
        ("webm", "libopus", 48_000, "mono"),
        ("avi", "pcm_s16le", 16_000, "mono"),
        ("mpegts", "aac", 48_000, "mono"),
        ("flv", "libmp3lame", 44_100, "mono"),
    ],
)
def test_every_container_codec_rate_and_layout(container: str, codec: str, rate: int, layout: str) -> None:
    media = read_sound(sound_file(tone(1, rate), container, codec, rate, layout), LIMITS)
    assert media.sound is not None
    assert media.frames == ()
    assert media.sound.dtype == np.float32
    assert media.seconds == len(media.sound) / 16_000 == pytest.approx(1, abs=0.12)  # encoders pad
    heard = media.sound[3_000:13_000]
    assert pitch(heard) == pytest.approx(440, abs=2)
    assert rms(heard) == pytest.approx(TARGET, rel=0.05)


@pytest.mark.parametrize("channels", [2, 3, 5, 8, 9, 16, 20, 24])
def test_every_number_of_channels_is_mixed(channels: int) -> None:
    samples = (tone(1, 16_000) * 32767).astype("<i2")
    sound = read_sound(pcm(samples, 2, 16_000, channels), LIMITS).sound
    assert sound is not None
    assert pitch(sound) == pytest.approx(440, abs=1)
    assert rms(sound) == pytest.approx(TARGET, rel=0.02)


def test_a_rate_that_changes_within_a_file() -> None:
    parts = [sound_file(tone(1, rate), "adts", "aac", rate).getvalue() for rate in (16_000, 32_000)]
    assert read_sound(io.BytesIO(b"".join(parts)), LIMITS).seconds == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize("decibels", [-46, -30, -10, 0])
def test_the_level_of_speech_is_evened_out_and_pauses_do_not_count(decibels: float) -> None:
    spoken = tone(2, level=10 ** (decibels / 20))
    sound = normalise(np.concatenate([spoken, np.zeros(64_000, np.float32), spoken]))
    gain = min(TARGET / (10 ** (decibels / 20) / np.sqrt(2)), 10)
    assert rms(sound[:32_000]) == pytest.approx(rms(spoken) * gain, rel=0.05)
    assert np.abs(sound).max() <= 1


def test_near_silence_is_not_amplified_into_noise() -> None:
    hiss = np.random.default_rng(0).normal(0, 2e-4, 48_000).astype(np.float32)
    assert np.array_equal(normalise(hiss.copy()), hiss)
    assert not normalise(np.zeros(48_000, np.float32)).any()


def test_a_click_limits_the_gain_so_that_nothing_is_clipped() -> None:
    sound = tone(2, level=0.02)
    sound[100] = 0.9
    assert np.abs(normalise(sound)).max() == pytest.approx(0.99)


def test_samples_that_are_no_numbers_or_beyond_full_scale() -> None:
    samples = tone(1) * 40
    samples[5_000:5_010], samples[6_000] = np.nan, np.inf
    sound = read_sound(sound_file(samples, "wav", "pcm_f32le"), LIMITS).sound
    assert sound is not None
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    assert rms(sound[8_000:]) == pytest.approx(TARGET, rel=0.1)


def test_steady_noise_is_reduced_on_request_and_speech_is_kept() -> None:
    spoken = tone(6, level=0.2) * np.repeat([1, 0] * 6, 8_000).astype(np.float32)
    noisy = spoken + np.random.default_rng(0).normal(0, 0.02, len(spoken)).astype(np.float32)
    plain = read_sound(sound_file(noisy, codec="pcm_f32le"), LIMITS).sound
    clean = read_sound(sound_file(noisy, codec="pcm_f32le"), MediaSettings(denoise=True)).sound
    assert plain is not None
    assert clean is not None
    pause, speech = slice(9_000, 15_000), slice(17_000, 23_000)
    assert 20 * np.log10(rms(plain[pause]) / rms(clean[pause])) > 8
    assert rms(clean[speech]) == pytest.approx(rms(plain[speech]), rel=0.1)
    assert np.corrcoef(clean[speech], spoken[speech])[0, 1] > 0.995, "delayed or distorted"


@pytest.mark.parametrize("length", [0, 1, 255, 256, 511, 512, 700])
def test_noise_reduction_keeps_the_length_of_short_sounds(length: int) -> None:
    assert reduce_noise(tone(1)[:length]).shape == (length,)


def test_noise_reduction_joins_its_parts_without_a_seam() -> None:
    bursts = np.cos(2 * np.pi * np.arange(31 * 16_000) / 16_000) > 0  # one lasts from 29.75 to 30.25 s
    spoken = tone(31) * bursts + np.random.default_rng(0).normal(0, 0.001, len(bursts)).astype(np.float32)
    cleaned, seam = reduce_noise(spoken), slice(478_000, 482_000)
    assert cleaned.shape == spoken.shape
    assert np.allclose(cleaned[seam], spoken[seam], atol=0.01)


def test_sound_without_samples_is_empty_and_no_error() -> None:
    media = read_sound(pcm(np.zeros(0, "<i2"), 2, 16_000, 1), LIMITS)
    assert media.sound is not None
    assert (media.sound.shape, media.sound.dtype, media.seconds) == ((0,), np.float32, 0)


def test_a_video_gives_its_sound_track() -> None:
    sound = read_sound(video_file(shots(1), sound=tone(1)), LIMITS).sound
    assert sound is not None
    assert pitch(sound[2_000:14_000]) == pytest.approx(440, abs=2)


def test_cover_art_is_not_taken_for_a_video() -> None:
    file, cover = io.BytesIO(), video_file([scene(0)], "mov", "mjpeg")
    with (
        av.open(file, "w", format="mp3") as output,
        av.open(sound_file(tone(1, 44_100), "mp3", "libmp3lame", 44_100)) as sound,
        av.open(cover) as picture,
    ):
        streams = [output.add_stream_from_template(source.streams[0]) for source in (sound, picture)]
        streams[1].disposition = av.stream.Disposition.attached_pic
        for source, stream in zip((picture, sound), streams[::-1], strict=True):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
    file.seek(0)
    with av.open(file) as check:
        assert [stream.type for stream in check.streams] == ["audio", "video"]
    for read in (read_sound, read_video):
        media = read(file, LIMITS)
        assert (media.frames, media.width) == ((), 0)
        assert media.seconds == pytest.approx(1, abs=0.1)


def test_tags_in_an_old_encoding_do_not_matter() -> None:
    file = sound_file(tone(1, 44_100), "mp3", "libmp3lame", 44_100, metadata={"title": "Stra?e"})
    data = file.getvalue().replace(b"Stra?e", b"Stra\xdfe")
    assert read_sound(io.BytesIO(data), LIMITS).seconds == pytest.approx(1, abs=0.1)


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(sound_file(tone(1)).getvalue())
    with path.open("rb") as stream:
        assert read_sound(stream, LIMITS).seconds == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"RIFF", "not a sound or video file"),
        (b"just words " * 500, "not a sound or video file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), "not a sound or video file"),
        (np.random.default_rng(0).bytes(100_000), "not a sound or video file"),
        (video_file(shots(1)).getvalue(), "no sound track"),
    ],
    ids=["empty", "header", "text", "picture", "noise", "silent film"],
)
def test_what_is_no_sound_is_an_error_that_says_so(content: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        read_sound(io.BytesIO(content), LIMITS)


def test_what_precedes_a_damaged_place_is_kept() -> None:
    whole = sound_file(tone(4, 44_100), "mp3", "libmp3lame", 44_100).getvalue()
    half = read_sound(io.BytesIO(whole[: len(whole) // 2]), LIMITS)
    assert half.seconds == pytest.approx(2, abs=0.2)
    damaged = bytearray(sound_file(tone(4), "flac", "flac").getvalue())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    assert 1 < (read_sound(io.BytesIO(damaged), LIMITS).seconds or 0) < 2.3


def test_a_file_of_which_nothing_can_be_decoded_is_an_error() -> None:
    damaged = bytearray(sound_file(tone(2, 48_000), "matroska", "flac", 48_000).getvalue())
    with av.open(io.BytesIO(damaged)) as container:
        for packet in container.demux():
            if packet.size:
                place = damaged.find(bytes(packet)[:16])
                damaged[place : place + packet.size] = bytes([1]) * packet.size
    with pytest.raises(MediaError, match="damaged"):
        read_sound(io.BytesIO(damaged), LIMITS)


@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("mp4", "aac")]
)
def test_damaged_bytes_never_give_more_than_an_error(container: str, codec: str) -> None:
    data = sound_file(tone(0.5), container, codec).getvalue()
    random = np.random.default_rng(0)
    for flips in [1, 20, 200] * 8:
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[random.integers(0, min(len(data), 30 * flips), flips)] = random.integers(0, 256, flips)
        with contextlib.suppress(MediaError):
            sound = read_sound(io.BytesIO(damaged.tobytes()), LIMITS).sound
            assert sound is not None
            assert np.isfinite(sound).all()


def declaring_ten_hours(kind: str) -> bytes:
    """A second of sound in a file whose header says that it lasts ten hours."""
    if kind == "wav":
        data = bytearray(sound_file(tone(1)).getvalue())
        at = data.index(b"data")
        data[at + 4 : at + 8] = struct.pack("<I", 36_000 * 32_000)
    elif kind == "flac":
        data = bytearray(sound_file(tone(1), "flac", "flac").getvalue())
        data[22:26] = struct.pack(">I", 36_000 * 16_000)
    else:
        data = bytearray(sound_file(tone(1, 48_000), "ogg", "libopus", 48_000).getvalue())
        page = data.rindex(b"OggS")
        data[page + 6 : page + 14] = struct.pack("<q", 36_000 * 48_000)
        data[page + 22 : page + 26] = bytes(4)
        checksum = 0
        for byte in data[page:]:
            checksum ^= byte << 24
            for _ in range(8):
                checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 1 << 31 else 0)) & 0xFFFFFFFF
        data[page + 22 : page + 26] = struct.pack("<I", checksum)
    return bytes(data)


@pytest.mark.parametrize("kind", ["flac", "ogg"])
def test_ten_hours_in_a_header_are_refused_by_the_header(kind: str) -> None:
    began = time.monotonic()
    with pytest.raises(MediaError, match=r"longer than 3,600 s \(\[media\] max_seconds\)"):
        read_sound(io.BytesIO(declaring_ten_hours(kind)), LIMITS)
    assert time.monotonic() - began < 1


def test_a_wav_of_a_program_that_did_not_know_the_length() -> None:
    assert read_sound(io.BytesIO(declaring_ten_hours("wav")), LIMITS).seconds == 1


def test_a_long_file_that_hides_its_length_is_refused_in_bounded_memory() -> None:
    data = bytearray(sound_file(np.zeros(8_000 * 3_600, np.float32), "flac", "flac", 8_000).getvalue())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # 0 samples: unknown
    assert len(data) < 1_000_000
    tracemalloc.start()
    with pytest.raises(MediaError, match="longer than 600 s"):
        read_sound(io.BytesIO(data), MediaSettings(max_seconds=600))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 600 * 64_000 * 1.3


def test_the_length_of_an_mp3_is_counted_since_its_header_guesses() -> None:
    quiet, loud = (
        sound_file(
            np.random.default_rng(0).normal(0, level, 44_100).astype(np.float32), "mp3", "libmp3lame", 44_100
        )
        for level in (0, 0.1)
    )
    data = quiet.getvalue() + loud.getvalue() * 5
    assert read_sound(io.BytesIO(data), MediaSettings(max_seconds=7)).seconds == pytest.approx(6, abs=0.5)
    with pytest.raises(MediaError, match="longer than 5 s"):
        read_sound(io.BytesIO(data), MediaSettings(max_seconds=5))


@pytest.mark.parametrize("rate", [1, 50, 2_000_000_000])
def test_a_sample_rate_that_would_exhaust_memory(rate: int) -> None:
    data = bytearray(sound_file(tone(0.1)).getvalue())
    data[24:28] = struct.pack("<I", rate)
    with pytest.raises(MediaError, match=f"a sample rate of {rate:,} Hz"):
        read_sound(io.BytesIO(data), LIMITS)


def test_limits_on_bytes_and_time() -> None:
    file = sound_file(tone(60))
    with pytest.raises(MediaError, match=r"larger than 1,000 bytes \(\[media\] max_bytes\)"):
        read_sound(file, MediaSettings(max_bytes=1000))

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.02)
            return super().read(min(size or 0, 1024))

    began = time.monotonic()
    with pytest.raises(MediaError, match=r"took longer than 0.2 s \(\[media\] timeout\)"):
        read_sound(Slow(file.getvalue()), MediaSettings(timeout=0.2))
    assert time.monotonic() - began < 2


def test_a_disk_that_fails_is_told() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 500_000:
                raise OSError(5, "Input/output error", "/secret/path")
            return super().read(size)

    with pytest.raises(MediaError, match=r"^cannot be read: Input/output error$"):
        read_sound(Failing(sound_file(tone(60)).getvalue()), LIMITS)


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def playlists(path: Path, port: int) -> dict[str, bytes]:
    """Scripts that name a local file and a local server, in every form that FFmpeg follows."""
    url = f"http://127.0.0.1:{port}/a.ts"
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n"
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "hls": hls.format(url, f"file://{path}").encode(),
        "hls-file": hls.format(path, url).encode(),
        "concat": f"ffconcat version 1.0\nfile '{path}'\n".encode(),
        "concat-url": f"ffconcat version 1.0\nfile '{url}'\n".encode(),
        "sdp": sdp.encode(),
        "dash": mpd.encode(),
    }


@pytest.mark.parametrize("read", [read_sound, read_video])
@pytest.mark.parametrize("kind", ["hls", "hls-file", "concat", "concat-url", "sdp", "dash"])
def test_a_playlist_named_mp3_opens_no_file_and_no_connection(
    kind: str, read: Any, tmp_path: Path, listener: socket.socket
) -> None:
    target, script = tmp_path / "secret.wav", tmp_path / "song.mp3"
    target.write_bytes(sound_file(tone(1)).getvalue())
    script.write_bytes(playlists(target, listener.getsockname()[1])[kind])
    with script.open("rb") as stream, pytest.raises(MediaError, match="not a sound or video file"):
        read(stream, LIMITS)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_without_the_guards_a_playlist_would_be_followed(tmp_path: Path) -> None:
    target, script = tmp_path / "secret.wav", tmp_path / "song.mp3"
    target.write_bytes(sound_file(tone(1)).getvalue())
    script.write_bytes(playlists(target, 9)["concat"])
    with av.open(str(script), options={"safe": "0"}) as container:
        assert len(list(container.decode(audio=0))) > 0


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"llmrec\[audio\]"):
        read_sound(io.BytesIO(b"x"), LIMITS)
