"""Whisper by CTranslate2, with the spectrograms and the tokenizer of faster-whisper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.errors import AssetError, ConfigError
from llmrec.media.types import Sound
from llmrec.modality.whisper.engine import Hypothesis
from llmrec.runtime.devices import cores, has_gpu

_HOP = 160
"""Samples between two columns of the spectrogram."""
_WHOLE = 3000
"""Columns of the 30 seconds that Whisper was trained on."""
_MARGIN = 300
"""Silence after a window. With less than two seconds the decoder does not find the end and starts again."""
_STEP = 200
_MAX_THREADS = 8
"""Decoding is bound by memory; more threads make it slower."""
_MAX_TOKENS = 224
"""Tokens of a window at most, as in the original implementation."""
_MAX_START = 50
"""The first time stamp at most, in steps of 0.02 s, likewise."""


class FasterWhisper:
    """A Whisper model in CTranslate2 form.

    Args:
        folder: ``model.bin``, ``config.json``, a vocabulary and ``tokenizer.json``.
        precision: ``auto``, ``int8``, ``float16`` or ``float32``; see
            :class:`~llmrec.config.TranscriptSettings`.

    Raises:
        AssetError: the folder cannot be loaded.
        ConfigError: the device does not compute in that precision.
    """

    def __init__(self, folder: Path, precision: str) -> None:
        from faster_whisper import WhisperModel
        from faster_whisper.feature_extractor import FeatureExtractor

        device = "cuda" if has_gpu() else "cpu"
        if not (folder / "tokenizer.json").is_file():  # faster-whisper would fetch one from a model hub
            raise AssetError(f"{folder}: no tokenizer.json", "Copy the one of the model that was converted.")
        try:
            loaded = WhisperModel(
                str(folder),
                device=device,
                compute_type=_compute_type(device, precision),
                cpu_threads=min(_MAX_THREADS, cores()),
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise AssetError(f"{folder}: not a Whisper model that CTranslate2 can load: {error}") from error
        self._model = loaded.model
        self._vocabulary = loaded.hf_tokenizer
        self._spectrogram = FeatureExtractor(feature_size=self._model.n_mels)
        self._tokenizers: dict[str, Any] = {}
        self.first_time = int(self._tokenizer("en").timestamp_begin)

    def speaks(self, language: str) -> bool:
        """Whether it knows a language."""
        if not self._model.is_multilingual:
            return language == "en"
        return self._vocabulary.token_to_id(f"<|{language}|>") is not None

    def frames(self, window: Sound) -> int:
        """The window and some silence, not 30 seconds: the encoder's cost grows with it."""
        columns = len(window) // _HOP + _MARGIN
        return min(_WHOLE, -(-columns // _STEP) * _STEP)

    def encode(self, windows: Sequence[Sound], *, whole: bool = False) -> Any:
        """The encoder's output, kept where CTranslate2 computed it."""
        import ctranslate2

        columns = _WHOLE if whole else self.frames(windows[0])
        batch = np.zeros((len(windows), self._model.n_mels, columns), dtype=np.float32)
        for row, window in zip(batch, windows, strict=True):
            spectrogram = self._spectrogram(window)[:, :columns]
            row[:, : spectrogram.shape[1]] = spectrogram
        return self._model.encode(ctranslate2.StorageView.from_array(batch))

    def languages(self, encoded: Any) -> list[dict[str, float]]:
        """By the decoder's first step."""
        if not self._model.is_multilingual:
            return [{"en": 1.0}] * encoded.shape[0]
        return [
            {token.strip("<|>"): probability for token, probability in window}
            for window in self._model.detect_language(encoded)
        ]

    def decode(self, encoded: Any, languages: Sequence[str], beams: int) -> list[Hypothesis]:
        """Greedy for one beam."""
        from faster_whisper.transcribe import get_suppressed_tokens

        prompts = [self._tokenizer(language).sot_sequence for language in languages]
        results = self._model.generate(
            encoded,
            prompts,
            beam_size=beams,
            max_length=len(prompts[0]) + _MAX_TOKENS,
            suppress_tokens=get_suppressed_tokens(self._tokenizer(languages[0]), [-1]),
            max_initial_timestamp_index=_MAX_START,
            return_scores=True,
            return_no_speech_prob=True,
        )
        hypotheses = []
        for result in results:
            tokens = result.sequences_ids[0]
            # The score is divided by the number of tokens without the end, which has a probability too.
            mean = result.scores[0] * len(tokens) / (len(tokens) + 1)
            hypotheses.append(Hypothesis(tokens, mean, result.no_speech_prob))
        return hypotheses

    def text(self, tokens: Sequence[int]) -> str:
        """What text tokens stand for."""
        return str(self._vocabulary.decode(list(tokens)))

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._vocabulary, self._model.is_multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]


def _compute_type(device: str, precision: str) -> str:
    import ctranslate2

    if precision == "auto":
        precision = "float16" if device == "cuda" else "int8"
    supported = ctranslate2.get_supported_compute_types(device)
    if precision not in supported:
        raise ConfigError(
            f"transcript.precision is {precision}, in which this machine ({device}) does not compute",
            'Set it to "auto".',
        )
    return precision
