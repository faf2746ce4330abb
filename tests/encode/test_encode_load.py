from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PLUGINS
from safetensors.numpy import save_file
from tiny_models import write_byte_bpe, write_configuration

from llmrec.config import EncoderSettings
from llmrec.encode import encoder_fingerprint, load_encoder, load_tokenizer
from llmrec.errors import AssetError, ConfigError

PLUGIN = '''
import numpy as np

class Letters:
    """Counts letters; for tests."""

    fingerprint, dimension, max_tokens = "abc123", 26, 100

    def __init__(self, settings):
        self.batch_size = settings.batch_size

    def count_tokens(self, texts):
        return [len(text) for text in texts]

    def cut(self, text, tokens):
        return text[:tokens]

    def encode(self, texts, *, kind="item"):
        counts = [[1 + text.count(chr(97 + i)) for i in range(26)] for text in texts]
        vectors = np.array(counts, dtype=np.float32).reshape(len(texts), 26)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
'''


@pytest.fixture
def letters_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letters_encoder.py").write_text(PLUGIN)
    metadata = tmp_path / "letters-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(
        "[llmrec.encoders]\nletters = letters_encoder:Letters\nbroken = letters_encoder:Missing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("letters_installed")
def test_a_plugin_is_an_encoder() -> None:
    encoder = load_encoder("plugin:letters", EncoderSettings(batch_size=3))
    assert encoder.batch_size == 3
    assert encoder.encode(["aab", "zzz"]).shape == (2, 26)
    assert encoder_fingerprint("plugin:letters", EncoderSettings()) == "abc123"
    assert load_tokenizer("plugin:letters", EncoderSettings()).cut("letters", 3) == "let"


@pytest.mark.usefixtures("letters_installed")
def test_an_unknown_plugin_lists_the_others() -> None:
    with pytest.raises(ConfigError, match=r"plugin:strange: .*\nRegistered: broken, letters, .*words"):
        load_encoder("plugin:strange", EncoderSettings())


@pytest.mark.usefixtures("letters_installed")
def test_a_plugin_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(ConfigError, match="letters_encoder:Missing cannot be imported"):
        load_encoder("plugin:broken", EncoderSettings())


def test_a_plugin_where_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(PLUGINS)])
    with pytest.raises(ConfigError, match=r"entry point group llmrec\.encoders"):
        load_encoder("plugin:letters", EncoderSettings())


def test_unknown_names_are_refused() -> None:
    for use in (load_encoder, load_tokenizer, encoder_fingerprint):
        with pytest.raises(AssetError, match="no-such-model"):
            use("no-such-model", EncoderSettings())


def test_fingerprint_is_of_what_decides_the_vectors(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_configuration(folder)
    spec = f"file:{folder}"
    first = encoder_fingerprint(spec, EncoderSettings())
    assert first == encoder_fingerprint(
        spec, EncoderSettings(engine="torch", precision="bfloat16", batch_size=99)
    )
    seen = {first, encoder_fingerprint(spec, EncoderSettings(max_tokens=32))}
    save_file({"weight": np.ones(4, np.float32)}, folder / "model.safetensors")
    seen.add(encoder_fingerprint(spec, EncoderSettings()))
    write_byte_bpe(folder)
    seen.add(encoder_fingerprint(spec, EncoderSettings()))
    assert len(seen) == 4


def test_fingerprint_and_tokenizer_import_no_model_library(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    program = f"""
import sys
from llmrec.config import EncoderSettings
from llmrec.encode import encoder_fingerprint, load_tokenizer
encoder_fingerprint("file:{tmp_path}", EncoderSettings())
print(load_tokenizer("file:{tmp_path}", EncoderSettings()).count_tokens(["unbelievable rain"]))
print(sorted({{"torch", "transformers", "sentence_transformers", "openvino"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[4]", "[]"]
