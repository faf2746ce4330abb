"""Both engines with the packaged weights: speech becomes its words, everything else nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo.make_speech import SPEECH
from test_whisper_weights import model_bin
from whisper_sounds import loud, nobody_speaks, noise, spoken

from llmrec import assets
from llmrec.config import TranscriptSettings
from llmrec.errors import AssetError, ConfigError
from llmrec.media.types import SAMPLE_RATE
from llmrec.modality.base import Transcriber, Transcript
from llmrec.modality.whisper import load_transcriber
from llmrec.modality.whisper.checkpoint import converted_model
from llmrec.modality.whisper.faster import FasterWhisper
from llmrec.modality.whisper.openai import OpenAIWhisper
from llmrec.modality.whisper.weights import WhisperWeights
from llmrec.progress import NoProgress
from llmrec.runtime.folders import engine_folder

pytestmark = pytest.mark.slow

ENGINES = ("faster-whisper", "openai-whisper")


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def text_of(heard: Transcript) -> str:
    return " ".join(segment.text for segment in heard.segments)


@pytest.fixture(scope="module")
def models() -> dict[str, Transcriber]:
    """Loaded when first asked for; not by a fixture of its own, since each test has another home."""
    return {}


@pytest.fixture(params=ENGINES)
def transcriber(
    request: pytest.FixtureRequest, model_home: Path, models: dict[str, Transcriber]
) -> Transcriber:
    name = request.param
    if name not in models:
        models[name] = load_transcriber("whisper-base", TranscriptSettings(engine=name))
    return models[name]


@pytest.mark.parametrize("name", ["coffee", "lighthouse"])
def test_speech_becomes_its_words_with_their_times(transcriber: Transcriber, name: str) -> None:
    import jiwer

    heard = transcriber.transcribe(spoken(name))
    assert heard.language == "en"
    assert jiwer.wer(" ".join(words_of(SPEECH[name])), " ".join(words_of(text_of(heard)))) < 0.2
    seconds = len(spoken(name)) / SAMPLE_RATE
    assert all(0 <= segment.start < segment.end <= seconds for segment in heard.segments)
    assert all(0.4 <= segment.confidence <= 1 for segment in heard.segments)


@pytest.mark.parametrize("seconds", [2, 15])
def test_where_nobody_speaks_nothing_is_written(transcriber: Transcriber, seconds: float) -> None:
    heard = {name: text_of(transcriber.transcribe(sound)) for name, sound in nobody_speaks(seconds)}
    assert len(heard) == 40
    assert {name: text for name, text in heard.items() if text} == {}


def test_speech_in_noise_is_still_speech(transcriber: Transcriber) -> None:
    speech = spoken("coffee")
    for slope in (0, 1):
        rumble = loud(noise(len(speech), slope), 1.0)
        rumble *= np.sqrt(np.mean(speech**2) / np.mean(rumble**2) / 10)  # 10 dB below the speech
        heard = words_of(text_of(transcriber.transcribe(speech + rumble)))
        assert {"coffee", "chocolate"} <= set(heard)


def test_words_do_not_depend_on_the_batch(model_home: Path) -> None:
    sound = np.concatenate([spoken(name) for name in SPEECH])
    heard = [
        load_transcriber("whisper-base", TranscriptSettings(batch_size=size)).transcribe(sound)
        for size in (1, 8)
    ]
    assert heard[0].segments
    assert [segment.text for segment in heard[0].segments] == [segment.text for segment in heard[1].segments]


def test_both_engines_compute_the_same_with_the_same_weights(model_home: Path) -> None:
    folder = assets.resolve("whisper-base")
    model = converted_model(folder, engine_folder("whisper-base", "openai-whisper"), NoProgress())
    engines: list[Any] = [FasterWhisper(folder, "float32"), OpenAIWhisper(model, "float32")]
    speech = spoken("coffee")
    encoded = [engine.encode([speech], whole=True) for engine in engines]
    (one,), (other,) = (engine.languages(values) for engine, values in zip(engines, encoded, strict=True))
    assert {code: pytest.approx(value, abs=1e-3) for code, value in one.items()} == {
        code: value for code, value in other.items() if code in one
    }
    (first,), (second,) = (
        engine.decode(values, ["en"], 1) for engine, values in zip(engines, encoded, strict=True)
    )
    assert list(first.tokens) == list(second.tokens)
    assert first.log_probability == pytest.approx(second.log_probability, abs=5e-3)
    assert first.no_speech == pytest.approx(second.no_speech, abs=1e-3)


def test_weights_stored_in_8_bits_are_converted_too(model_home: Path, tmp_path: Path) -> None:
    folder = assets.resolve("whisper-base")
    weights = WhisperWeights(folder / "model.bin")
    small: dict[str, Any] = {}
    for name in weights.variables:
        values = weights.read(name)
        if name.endswith("/weight") and values.ndim == 2:
            scale = 127 / np.abs(values).max(axis=1)
            small[name] = np.round(values * scale[:, None]).astype(np.int8)
            small[f"{name}_scale"] = scale.astype(np.float32)
        else:
            kind = {1: np.int8, 2: np.int16}.get(weights.variables[name].kind, np.float32)
            small[name] = values.astype(kind)
    (tmp_path / "model.bin").write_bytes(model_bin(small))
    small_model, whole_model = (
        converted_model(source, tmp_path / f"converted-{place}", NoProgress())
        for place, source in enumerate((tmp_path, folder))
    )
    speech = spoken("coffee")
    vectors = [
        OpenAIWhisper(model, "float32").encode([speech])[0, :500].numpy().ravel()
        for model in (small_model, whole_model)
    ]
    assert np.corrcoef(vectors)[0, 1] > 0.99


def test_a_tokenizer_is_never_fetched(model_home: Path, tmp_path: Path) -> None:
    folder = assets.resolve("whisper-base")
    for name in ("model.bin", "config.json", "vocabulary.txt"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(AssetError, match=r"no tokenizer\.json"):
        load_transcriber(f"file:{tmp_path}", TranscriptSettings())
    (tmp_path / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AssetError, match="CTranslate2"):
        load_transcriber(f"file:{tmp_path}", TranscriptSettings())


@pytest.mark.parametrize("engine", ENGINES)
def test_settings_that_do_not_fit_are_named(model_home: Path, engine: str) -> None:
    for settings, problem in (({"precision": "float16"}, "float16"), ({"language": "xx"}, "'xx'")):
        with pytest.raises(ConfigError, match=problem):
            load_transcriber("whisper-base", TranscriptSettings.model_validate({"engine": engine} | settings))


HOUR = """
import json, resource, sys
import numpy as np
sys.path[:0] = ["tests/modality"]
from whisper_sounds import loud, noise, spoken
from llmrec.config import TranscriptSettings
from llmrec.modality.whisper import load_transcriber

transcriber = load_transcriber("whisper-base", TranscriptSettings())
transcriber.transcribe(spoken("coffee"))
sound = np.tile(loud(noise(16_000 * 60, 1), 0.003), 60)
for second in (100, 595, 1795, 3580):
    sound[second * 16_000 :][: len(spoken("rocket"))] += spoken("rocket")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
heard = transcriber.transcribe(sound)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([grown / 1024, [[s.start, s.end, s.text] for s in heard.segments]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="memory is measured with resource")
def test_an_hour_takes_little_memory_and_its_times_hold(model_home: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", HOUR], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown, segments = json.loads(done.stdout)
    assert grown < 700  # MiB: mostly the detector's, for its block of ten minutes
    launches = [start for start, _, text in segments if "launch" in text.lower()]
    assert [round(start / 5) * 5 for start in launches][:1] == [100]
    for second in (100, 595, 1795, 3580):
        assert any(second - 1 <= start <= second + 12 for start, _, _ in segments)
    assert all(
        any(second - 1 <= start and end <= second + 14 for second in (100, 595, 1795, 3580))
        for start, end, _ in segments
    )
