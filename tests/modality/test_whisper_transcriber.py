"""What the transcriber makes of a model's answers; the model's part is played by a script."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from whisper_sounds import voices

from llmrec.config import TranscriptSettings
from llmrec.errors import ConfigError, MediaError
from llmrec.media.types import SAMPLE_RATE, Sound
from llmrec.modality.base import Transcript
from llmrec.modality.whisper.engine import Hypothesis
from llmrec.modality.whisper.transcriber import WhisperTranscriber

FIRST_TIME = 0x110000
"""Text tokens are the characters' code points, so time stamps begin after the last of them."""
GOOD = -0.2


def time(seconds: float) -> int:
    return FIRST_TIME + round(seconds / 0.02)


def said(*parts: str | float, log_probability: float = GOOD, no_speech: float = 0.0) -> Hypothesis:
    """Words and time stamps as the model gives them."""
    tokens: list[int] = []
    for part in parts:
        tokens += [ord(letter) for letter in part] if isinstance(part, str) else [time(part)]
    return Hypothesis(tokens, log_probability, no_speech)


class Script:
    """An engine that answers in the order it was told to, and notes what it was asked.

    Args:
        answers: one a window that is decoded.
        languages: one a window that is encoded; English after the last one.
    """

    first_time = FIRST_TIME

    def __init__(self, *answers: Hypothesis, languages: Sequence[dict[str, float]] = ()) -> None:
        self.answers, self.detected = list(answers), list(languages)
        self.encoded: list[tuple[list[float], bool]] = []
        self.decoded: list[tuple[list[str], int]] = []

    def speaks(self, language: str) -> bool:
        return language in ("en", "de")

    def frames(self, window: Sound) -> int:
        return 3000

    def encode(self, windows: Sequence[Sound], *, whole: bool = False) -> list[Sound]:
        self.encoded.append(([round(len(window) / SAMPLE_RATE, 1) for window in windows], whole))
        return list(windows)

    def languages(self, encoded: list[Sound]) -> list[dict[str, float]]:
        return [self.detected.pop(0) if self.detected else {"en": 1.0} for _ in encoded]

    def decode(self, encoded: list[Sound], languages: Sequence[str], beams: int) -> list[Hypothesis]:
        assert len(encoded) == len(languages)
        self.decoded.append((list(languages), beams))
        return [self.answers.pop(0) for _ in encoded]

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


def transcribe(script: Script, sound: Sound, **settings: object) -> Transcript:
    settings = {"beams": 1} | settings
    transcriber = WhisperTranscriber("script", "0", script, TranscriptSettings.model_validate(settings))
    heard = transcriber.transcribe(sound)
    assert script.answers == []
    return heard


def words(heard: Transcript) -> list[tuple[float, float, str]]:
    return [(segment.start, segment.end, segment.text) for segment in heard.segments]


def test_time_stamps_become_segments() -> None:
    heard = transcribe(Script(said(0.0, " One.", 2.0, 2.5, " Two.", 4.0)), voices(4))
    assert words(heard) == [(0.0, 2.0, "One."), (2.5, 4.0, "Two.")]
    assert heard.language == "en"
    assert all(segment.confidence == pytest.approx(math.exp(GOOD)) for segment in heard.segments)


def test_a_time_stamp_that_is_missing_or_too_late_is_the_windows_end() -> None:
    (_, end, text) = words(transcribe(Script(said(0.0, " One.")), voices(4)))[0]
    assert (text, end) == ("One.", pytest.approx(4.2, abs=0.3))
    assert words(transcribe(Script(said(0.0, " One.", 30.0)), voices(4)))[0][1] == end


def test_windows_are_in_order_and_at_their_place_though_they_run_by_length() -> None:
    script = Script(said(0.0, " long", 4.0), said(0.0, " short", 2.0))
    script.frames = lambda window: len(window)  # type: ignore[method-assign]
    heard = transcribe(script, voices(2, 4))
    assert script.encoded[0][0][0] > script.encoded[1][0][0]
    assert [text for _, _, text in words(heard)] == ["short", "long"]
    assert heard.segments[1].start == pytest.approx(4.6, abs=0.3)


def test_windows_of_equal_size_run_in_batches() -> None:
    script = Script(*[said(0.0, f" {number}", 2.0) for number in range(5)])
    heard = transcribe(script, voices(2, 2, 2, 2, 2), batch_size=2)
    assert [len(windows) for windows, _ in script.encoded] == [2, 2, 1]
    assert [segment.text for segment in heard.segments] == list("01234")


def test_what_the_model_left_off_is_heard_again() -> None:
    script = Script(said(0.0, " One.", 3.0, 3.0), said(0.0, " Two.", 4.0))
    assert words(transcribe(script, voices(8))) == [(0.0, 3.0, "One."), (3.0, 7.0, "Two.")]
    assert script.encoded[1][0][0] == pytest.approx(script.encoded[0][0][0] - 3, abs=0.11)


def test_words_without_an_end_are_heard_again_from_the_last_time_stamp() -> None:
    script = Script(said(0.0, " One.", 3.0, 3.0, " Tw"), said(0.0, " Two.", 4.0))
    assert words(transcribe(script, voices(8))) == [(0.0, 3.0, "One."), (3.0, 7.0, "Two.")]


def test_a_model_that_always_leaves_off_comes_to_an_end() -> None:
    script = Script(*[said(0.0, f" {number}", 1.0, 1.0) for number in range(7)])
    heard = transcribe(script, voices(7.5))
    assert [segment.text for segment in heard.segments] == list("0123456")


LOOP = said(0.0, " I'm sorry." * 30, 4.0)


@pytest.mark.parametrize("doubtful", [LOOP, said(0.0, " mumble", 4.0, log_probability=-1.2)])
def test_doubtful_words_are_decoded_again_with_care(doubtful: Hypothesis) -> None:
    script = Script(said(0.0, " first", 4.0), doubtful, said(0.0, " better", 4.0))
    assert [text for _, _, text in words(transcribe(script, voices(4, 4)))] == ["first", "better"]
    assert script.encoded[1][1]
    assert script.decoded[1] == (["en"], 5)


@pytest.mark.parametrize("doubtful", [LOOP, said(0.0, " mumble", 4.0, log_probability=-1.2)])
def test_words_that_stay_doubtful_are_left_out(doubtful: Hypothesis) -> None:
    assert transcribe(Script(doubtful, doubtful), voices(4)) == Transcript(())


def test_a_loop_at_the_end_of_good_words_is_left_out() -> None:
    speech = " Where a sound is long, a loop at its end does not make the whole of it compress that well."
    heard = transcribe(Script(said(0.0, speech, 3.0, 3.0, " bye bye" * 12, 4.0)), voices(4))
    assert [text for _, _, text in words(heard)] == [speech.strip()]


def test_silence_is_left_out_without_a_second_look() -> None:
    assert transcribe(Script(said(0.0, " Thanks.", 4.0, no_speech=0.7)), voices(4)) == Transcript(())
    assert transcribe(
        Script(said(0.0, " Thanks.", 4.0, no_speech=0.7)), voices(4), max_no_speech=0.8
    ).segments


def test_confidence_decides_by_the_settings() -> None:
    unsure = said(0.0, " One.", 4.0, log_probability=math.log(0.6))
    assert transcribe(Script(unsure), voices(4), min_confidence=0.59).segments
    assert not transcribe(Script(unsure, unsure), voices(4), min_confidence=0.61).segments


def test_the_windows_vote_on_the_language_and_one_that_is_sure_keeps_its_own() -> None:
    votes = [{"en": 0.7, "cy": 0.3}, {"en": 0.3, "cy": 0.7}, {"de": 0.95, "en": 0.05}, {"en": 0.9, "de": 0.1}]
    script = Script(*[said(0.0, " a", 2.0)] * 4, languages=[*votes, *votes])
    heard = transcribe(script, voices(2, 2, 2, 2))
    assert script.decoded == [(["en", "en", "de", "en"], 1)]
    assert heard.language == "en"


def test_a_language_that_is_in_doubt_is_asked_for_with_30_seconds() -> None:
    script = Script(said(0.0, " a", 2.0), languages=[{"zh": 0.5, "en": 0.4}, {"en": 0.8}])
    assert transcribe(script, voices(2)).language == "en"
    assert [whole for _, whole in script.encoded] == [False, True]


def test_a_given_language_is_not_detected() -> None:
    script = Script(said(0.0, " a", 2.0), languages=[{"en": 1.0}])
    assert transcribe(script, voices(2), language="de").language == "de"
    assert script.detected
    with pytest.raises(ConfigError, match="'xx', which script does not know"):
        transcribe(Script(), voices(2), language="xx")


def test_no_sound_and_silence_give_nothing_without_the_model() -> None:
    for samples in (0, 1, 5 * SAMPLE_RATE):
        script = Script()
        assert transcribe(script, np.zeros(samples, np.float32)) == Transcript(())
        assert script.encoded == []


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(sample: float) -> None:
    sound = np.zeros(SAMPLE_RATE, np.float32)
    sound[7] = sample
    with pytest.raises(MediaError, match="not finite"):
        transcribe(Script(), sound)
