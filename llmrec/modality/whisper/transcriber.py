"""From sound to transcript: voice activity, language, decoding and the guards against invented words."""

from __future__ import annotations

import math
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.config import TranscriptSettings
from llmrec.errors import MediaError
from llmrec.media.types import Sound
from llmrec.modality.base import Segment, Transcript
from llmrec.modality.whisper.engine import Engine, Hypothesis
from llmrec.modality.whisper.voice import Window, speech_windows

_VOTES = 8
"""Windows that decide the language of a sound together."""
_MAX_COMPRESSION = 2.4
_MIN_LOG_PROBABILITY = -1.0
_CAREFUL_BEAMS = 5
_TIME_STEP = 0.02


@dataclass(slots=True)
class _Batch:
    windows: Sequence[Window]
    encoded: Any = None


class WhisperTranscriber:
    """Whisper behind the :class:`~llmrec.modality.base.Transcriber` protocol.

    Args:
        name: what the model is called.
        fingerprint: identity of its answers.
        engine: runs the model.
        settings: language, beams, batch size and thresholds.
    """

    def __init__(self, name: str, fingerprint: str, engine: Engine, settings: TranscriptSettings) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()

    def transcribe(self, sound: Sound) -> Transcript:
        """What is said in a sound, with its times.

        Raises:
            MediaError: a sample is not a finite number.
        """
        if not np.isfinite(sound).all():
            raise MediaError("the sound has samples that are not finite numbers")
        windows = list(speech_windows(sound))
        if not windows:
            return Transcript(())
        with self._lock:
            batches = self._batches(windows)
            language = self._settings.language or self._detect(batches)
            segments = [segment for batch in batches for segment in self._segments(batch, language)]
        segments.sort(key=lambda segment: (segment.start, segment.end))
        return Transcript(tuple(segments), language if segments else None)

    def _batches(self, windows: Sequence[Window]) -> list[_Batch]:
        """Windows that the engine runs together, the longest first."""
        groups: dict[int, list[Window]] = defaultdict(list)
        for window in windows:
            groups[self._engine.frames(window.samples)].append(window)
        size = self._settings.batch_size
        return [
            _Batch(group[first : first + size])
            for _, group in sorted(groups.items(), reverse=True)
            for first in range(0, len(group), size)
        ]

    def _detect(self, batches: Sequence[_Batch]) -> str:
        """The language that the longest windows have in common."""
        votes: list[dict[str, float]] = []
        for batch in batches:
            if len(votes) >= _VOTES:
                break
            batch.encoded = self._engine.encode([window.samples for window in batch.windows])
            votes += self._engine.languages(batch.encoded)
        total: dict[str, float] = defaultdict(float)
        for vote in votes[:_VOTES]:
            for language, probability in vote.items():
                total[language] += probability
        return max(total, key=lambda language: total[language])

    def _segments(self, batch: _Batch, language: str) -> Iterator[Segment]:
        engine, windows = self._engine, batch.windows
        encoded = batch.encoded or engine.encode([window.samples for window in windows])
        batch.encoded = None
        languages = [language] * len(windows)
        hypotheses = engine.decode(encoded, languages, self._settings.beams)
        if doubtful := [place for place, found in enumerate(hypotheses) if self._is_doubtful(found)]:
            encoded = engine.encode([windows[place].samples for place in doubtful], whole=True)
            again = engine.decode(encoded, languages[: len(doubtful)], _CAREFUL_BEAMS)
            for place, found in zip(doubtful, again, strict=True):
                hypotheses[place] = found
        for window, found in zip(windows, hypotheses, strict=True):
            if self._is_speech(found):
                yield from self._split(window, found)

    def _is_doubtful(self, found: Hypothesis) -> bool:
        return found.log_probability < _MIN_LOG_PROBABILITY or self._repeats(found)

    def _is_speech(self, found: Hypothesis) -> bool:
        silent = found.no_speech > self._settings.max_no_speech
        if silent and found.log_probability < _MIN_LOG_PROBABILITY:
            return False
        return math.exp(found.log_probability) >= self._settings.min_confidence and not self._repeats(found)

    def _repeats(self, found: Hypothesis) -> bool:
        """Whether the text compresses as only a loop does."""
        text = self._engine.text([token for token in found.tokens if token < self._engine.first_time])
        data = text.encode()
        return len(data) / len(zlib.compress(data)) > _MAX_COMPRESSION

    def _split(self, window: Window, found: Hypothesis) -> Iterator[Segment]:
        """The parts that time stamps delimit."""
        start, words = 0.0, list[int]()
        for token in [*found.tokens, None]:
            if token is not None and token < self._engine.first_time:
                words.append(token)
                continue
            end = window.seconds if token is None else (token - self._engine.first_time) * _TIME_STEP
            text = self._engine.text(words).strip()
            if text and end > start:
                yield Segment(
                    text,
                    round(window.start + start, 2),
                    round(window.start + min(end, window.seconds), 2),
                    math.exp(found.log_probability),
                )
            start, words = end, []
