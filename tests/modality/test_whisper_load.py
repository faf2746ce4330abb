"""Which transcriber a name stands for, and what makes its answers others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.config import TranscriptSettings
from llmrec.errors import AssetError, ConfigError
from llmrec.media.types import SAMPLE_RATE
from llmrec.modality.whisper import asset_uri, load_transcriber, transcriber_fingerprint


def fingerprint(**settings: Any) -> str:
    return transcriber_fingerprint("whisper-base", TranscriptSettings(**settings))


def test_the_fingerprint_needs_no_weights_and_changes_with_what_changes_words() -> None:
    others = [
        fingerprint(engine="openai-whisper"),
        fingerprint(precision="float32"),
        fingerprint(language="de"),
        fingerprint(beams=5),
        fingerprint(min_confidence=0.9),
        fingerprint(max_no_speech=0.9),
    ]
    assert len({fingerprint(), *others}) == 7
    assert fingerprint() == fingerprint(batch_size=1) == fingerprint(engine="faster-whisper")


def test_another_model_has_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    first = transcriber_fingerprint(f"file:{tmp_path}", TranscriptSettings())
    (tmp_path / "model.bin").write_bytes(b"other weights")
    assert first != transcriber_fingerprint(f"file:{tmp_path}", TranscriptSettings()) != fingerprint()


def test_a_plug_in_is_a_transcriber() -> None:
    transcriber = load_transcriber("plugin:counter", TranscriptSettings())
    assert transcriber_fingerprint("plugin:counter", TranscriptSettings()) == transcriber.fingerprint
    heard = transcriber.transcribe(np.zeros(3 * SAMPLE_RATE, np.float32))
    assert [segment.text for segment in heard.segments] == ["a sound of 3 seconds"]
    with pytest.raises(ConfigError, match="plugin:other: no installed package registers this transcriber"):
        load_transcriber("plugin:other", TranscriptSettings())


def test_models_of_openai_whisper_are_files_at_their_makers_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asset_uri("openai:turbo").startswith("https://")
    assert asset_uri("openai:turbo").endswith("/large-v3-turbo.pt")
    assert asset_uri("whisper-base") == "whisper-base"
    with pytest.raises(ConfigError, match="openai:huge: openai-whisper has no such model") as caught:
        load_transcriber("openai:huge", TranscriptSettings())
    assert "turbo" in str(caught.value)
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    with pytest.raises(AssetError, match="LLMREC_OFFLINE"):
        load_transcriber("openai:tiny", TranscriptSettings())


def test_a_checkpoint_is_for_openai_whisper(tmp_path: Path) -> None:
    path = tmp_path / "base.pt"
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="faster-whisper takes a folder") as caught:
        load_transcriber(f"file:{path}", TranscriptSettings(engine="faster-whisper"))
    assert "openai-whisper" in str(caught.value)
    assert transcriber_fingerprint(f"file:{path}", TranscriptSettings()) == transcriber_fingerprint(
        f"file:{path}", TranscriptSettings(engine="openai-whisper")
    )


@pytest.mark.parametrize("engine", ["faster-whisper", "openai-whisper"])
def test_a_folder_without_weights_is_named(engine: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(AssetError, match=r"model\.bin"):
        load_transcriber(f"file:{tmp_path}", TranscriptSettings.model_validate({"engine": engine}))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="unknown asset 'whisper-huge'"):
        load_transcriber("whisper-huge", TranscriptSettings())
    with pytest.raises(AssetError, match="not found"):
        load_transcriber(f"file:{tmp_path}/missing", TranscriptSettings())
