"""From sound to transcript: voice activity, language, decoding and the guards against invented words."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec.config import TranscriptSettings
from llmrec.errors import ConfigError, MediaError
from llmrec.media.types import Sound
from llmrec.modality.base import Segment, Transcript
from llmrec.modality.whisper.engine import Engine, Hypothesis
from llmrec.modality.whisper.guards import is_doubtful, is_silent, repeats
from llmrec.modality.whisper.voice import Window, speech_windows

_VOTERS = 8
"""Windows that decide together which language is spoken."""
_SURE = 0.9
"""Probability from which a window's own language counts, though the others speak another."""
_UNSURE = 0.6
"""Probability below which the language is asked for again, with 30 seconds of spectrogram."""
_CONFIDENT = 0.6
"""Mean probability of the tokens below which they are decoded again: 7% of 200 clips of four seconds. With
short spectrograms alone 4.7% of the words were wrong, with this 4.1%; with 30 seconds for every clip 4.2%,
in more than twice the time."""
_CAREFUL_BEAMS = 5
_TIME_STEP = 0.02
_LEFT_OFF = 1.0
"""Seconds at the end of a window that are worth another one."""


@dataclass(slots=True)
class _Batch:
    windows: Sequence[Window]
    encoded: Any
    languages: list[dict[str, float]]


class WhisperTranscriber:
    """Whisper behind the :class:`~llmrec.modality.base.Transcriber` protocol.

    Each stretch of speech is decoded by itself, so that an error does not spread. One whose words are
    not probable or go in circles is decoded again with 30 seconds of spectrogram, and left out if it is still
    doubtful.

    Args:
        name: what the model is called.
        fingerprint: identity of its answers.
        engine: runs the model.
        settings: language, beams, batch size and thresholds.

    Raises:
        ConfigError: the model does not know the language that the settings name.
    """

    def __init__(self, name: str, fingerprint: str, engine: Engine, settings: TranscriptSettings) -> None:
        if settings.language and not engine.speaks(settings.language):
            raise ConfigError(
                f"transcript.language is {settings.language!r}, which {name} does not know",
                "Write an ISO 639-1 code such as en, or leave it out: then it is detected.",
            )
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
            language, segments = self._transcribe(windows)
        segments.sort(key=lambda segment: (segment.start, segment.end))
        return Transcript(tuple(segments), language if segments else None)

    def _transcribe(self, windows: Sequence[Window]) -> tuple[str, list[Segment]]:
        batches = self._batches(windows)
        lead: list[_Batch] = []
        while sum(len(batch.windows) for batch in lead) < min(_VOTERS, len(windows)):
            lead.append(next(batches))
        language = self._settings.language or self._vote(lead)
        segments: list[Segment] = []
        rest: list[Window] = []
        while lead:  # their encodings are let go of one by one
            self._write(lead.pop(0), language, segments, rest)
        for batch in batches:
            self._write(batch, language, segments, rest)
        while rest:
            batches, rest = self._batches(rest), []
            for batch in batches:
                self._write(batch, language, segments, rest)
        return language, segments

    def _batches(self, windows: Sequence[Window]) -> Iterator[_Batch]:
        """Windows that run together, encoded; the longest first."""
        groups: dict[int, list[Window]] = defaultdict(list)
        for window in windows:
            groups[self._engine.frames(window.samples)].append(window)
        size = self._settings.batch_size
        for _, group in sorted(groups.items(), reverse=True):
            for first in range(0, len(group), size):
                batch = group[first : first + size]
                encoded = self._engine.encode([window.samples for window in batch])
                detected = [] if self._settings.language else self._engine.languages(encoded)
                yield _Batch(batch, encoded, detected)

    def _vote(self, lead: Sequence[_Batch]) -> str:
        """The language that the longest windows agree on."""
        language, share = _elect([vote for batch in lead for vote in batch.languages])
        if share >= _UNSURE:
            return language
        for batch in lead:
            encoded = self._engine.encode([window.samples for window in batch.windows], whole=True)
            batch.languages = self._engine.languages(encoded)
        return _elect([vote for batch in lead for vote in batch.languages])[0]

    def _write(self, batch: _Batch, language: str, segments: list[Segment], rest: list[Window]) -> None:
        """Add what is said in a batch to ``segments``, and what the model left off to ``rest``."""
        settings = self._settings
        for window, found in zip(batch.windows, self._decode(batch, language), strict=True):
            if is_silent(found, settings) or is_doubtful(found, self._text(found.tokens), settings):
                continue
            tokens, heard = self._finished(found.tokens, window)
            segments += self._split(tokens, window, math.exp(found.log_probability))
            if heard < window.seconds:
                rest.append(window.after(heard))

    def _decode(self, batch: _Batch, language: str) -> list[Hypothesis]:
        engine, settings, windows = self._engine, self._settings, batch.windows
        spoken = [_own_language(vote, language) for vote in batch.languages] or [language] * len(windows)
        hypotheses = engine.decode(batch.encoded, spoken, settings.beams)
        unsure = [place for place, found in enumerate(hypotheses) if self._is_unsure(found)]
        if unsure:
            encoded = engine.encode([windows[place].samples for place in unsure], whole=True)
            again = engine.decode(encoded, [spoken[place] for place in unsure], _CAREFUL_BEAMS)
            for place, found in zip(unsure, again, strict=True):
                hypotheses[place] = found
        return hypotheses

    def _is_unsure(self, found: Hypothesis) -> bool:
        """Whether a window is worth a second, more careful look."""
        if is_silent(found, self._settings):
            return False
        likely = math.exp(found.log_probability) >= _CONFIDENT
        return not likely or is_doubtful(found, self._text(found.tokens), self._settings)

    def _text(self, tokens: Sequence[int]) -> str:
        return self._engine.text([token for token in tokens if token < self._engine.first_time])

    def _time(self, token: int) -> float:
        return (token - self._engine.first_time) * _TIME_STEP

    def _finished(self, tokens: Sequence[int], window: Window) -> tuple[Sequence[int], float]:
        """The tokens of finished segments, and up to which second of the window they reach.

        Two time stamps in a row end one segment and begin the next. Where the last such pair is followed by
        nothing, or by words without a time stamp, the model left off: it has more to hear from there on.
        """
        times = [token >= self._engine.first_time for token in tokens]
        pairs = [place for place in range(1, len(tokens)) if times[place - 1] and times[place]]
        ends_in_time = bool(times) and times[-1] and pairs[-1:] != [len(tokens) - 1]
        if not pairs or ends_in_time:
            return tokens, window.seconds
        heard = self._time(tokens[pairs[-1]])
        if heard <= 0 or window.seconds - heard < _LEFT_OFF:
            return tokens, window.seconds
        return tokens[: pairs[-1]], heard

    def _split(self, tokens: Sequence[int], window: Window, confidence: float) -> Iterator[Segment]:
        """What stands between two time stamps each. The last one may be missing."""
        start, words = 0.0, list[int]()
        for token in (*tokens, None):
            if token is not None and token < self._engine.first_time:
                words.append(token)
                continue
            end = window.seconds if token is None else min(self._time(token), window.seconds)
            text = self._engine.text(words).strip()
            if text and end > start and not repeats(text):
                yield Segment(text, round(window.start + start, 2), round(window.start + end, 2), confidence)
            start, words = end, []


def _elect(votes: Sequence[dict[str, float]]) -> tuple[str, float]:
    """The likeliest language of several windows, and its mean probability."""
    votes = votes[:_VOTERS]
    total: dict[str, float] = defaultdict(float)
    for vote in votes:
        for language, probability in vote.items():
            total[language] += probability / len(votes)
    winner = max(total, key=lambda language: total[language])
    return winner, total[winner]


def _own_language(vote: dict[str, float], language: str) -> str:
    likeliest = max(vote, key=lambda candidate: vote[candidate])
    return likeliest if vote[likeliest] >= _SURE else language
