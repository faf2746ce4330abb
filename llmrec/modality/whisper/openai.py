"""Whisper by openai-whisper, the original implementation in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmrec.errors import ConfigError
from llmrec.media.types import Sound
from llmrec.modality.whisper.engine import Hypothesis
from llmrec.runtime.devices import has_gpu

_WHOLE = 3000
"""Columns of the spectrogram of 30 seconds: this implementation takes nothing shorter."""


class OpenAIWhisper:
    """A model of openai-whisper.

    Args:
        model: a ``whisper.model.Whisper``.
        precision: ``auto``, ``float16`` or ``float32``; see :class:`~llmrec.config.TranscriptSettings`.

    Raises:
        ConfigError: the device does not compute in that precision.
    """

    def __init__(self, model: Any, precision: str) -> None:
        from whisper.tokenizer import get_tokenizer

        gpu = has_gpu()
        if precision == "auto":
            precision = "float16" if gpu else "float32"
        if precision not in ("float16", "float32") or (precision == "float16" and not gpu):
            raise ConfigError(
                f"transcript.precision is {precision}, in which openai-whisper does not compute here",
                'Set it to "auto".',
            )
        self._half = precision == "float16"
        self._model = model.to("cuda" if gpu else "cpu")
        self._tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
        self.first_time = int(self._tokenizer.timestamp_begin)

    def speaks(self, language: str) -> bool:
        """Whether it knows a language."""
        known = self._tokenizer.all_language_codes if self._model.is_multilingual else ("en",)
        return language in known

    def frames(self, window: Sound) -> int:
        """Always 30 seconds."""
        return _WHOLE

    def encode(self, windows: Sequence[Sound], *, whole: bool = False) -> Any:
        """A tensor: ``(windows, 1500, width)``."""
        import torch
        from whisper.audio import log_mel_spectrogram, pad_or_trim

        device, mels = self._model.device, self._model.dims.n_mels
        with torch.inference_mode():
            spectrograms = [
                pad_or_trim(log_mel_spectrogram(torch.from_numpy(window).to(device), mels), _WHOLE)
                for window in windows
            ]
            batch = torch.stack(spectrograms)
            return self._model.encoder(batch.half() if self._half else batch)

    def languages(self, encoded: Any) -> list[dict[str, float]]:
        """By the decoder's first step."""
        if not self._model.is_multilingual:
            return [{"en": 1.0}] * len(encoded)
        _, probabilities = self._model.detect_language(encoded, self._tokenizer)
        return list(probabilities)

    def decode(self, encoded: Any, languages: Sequence[str], beams: int) -> list[Hypothesis]:
        """Greedy for one beam. Window by window: with beams, openai-whisper decodes no batch."""
        import torch
        from whisper.decoding import DecodingOptions, decode

        hypotheses = []
        for window, language in zip(encoded, languages, strict=True):
            options = DecodingOptions(
                language=language, beam_size=beams if beams > 1 else None, fp16=self._half
            )
            with torch.inference_mode():
                found = decode(self._model, window, options)
            hypotheses.append(Hypothesis(found.tokens, found.avg_logprob, found.no_speech_prob))
        return hypotheses

    def text(self, tokens: Sequence[int]) -> str:
        """What text tokens stand for."""
        return str(self._tokenizer.decode(list(tokens)))
