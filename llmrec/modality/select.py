"""From what models said of an item's media to what its document says: thresholds, merging, names of files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import log

from llmrec.config import Settings
from llmrec.schema import TextPiece

_ALIKE = 0.6
"""Share of common words (Jaccard) from which two captions say the same."""

_WORD = re.compile(r"\w+")


def selected(pieces: Iterable[TextPiece], source: str, settings: Settings) -> list[TextPiece]:
    """The pieces of one file: uncertain lines left out, uncertain captions marked, repetitions merged.

    Args:
        pieces: of one task or of several.
        source: the file's name in the catalog, which the pieces get.
        settings: ``[caption]`` and ``[ocr]`` hold the thresholds.
    """
    named = [replace(piece, source=source) for piece in pieces if piece.text.strip()]
    captions = [_judged(piece, settings) for piece in named if piece.kind == "caption"]
    lines = [piece for piece in named if piece.kind == "ocr"]
    sure = [line for line in lines if (line.confidence or 0.0) >= settings.ocr.min_confidence]
    rest = [piece for piece in named if piece.kind not in ("caption", "ocr")]
    return [*_merged_captions(captions), *_merged_lines(sure), *rest]


def _judged(caption: TextPiece, settings: Settings) -> TextPiece:
    """A caption marked unsure where its model may have guessed; see ``CaptionSettings``."""
    confidence, margin = caption.confidence, caption.margin
    gate = settings.caption
    guessed = (confidence is not None and log(max(confidence, 1e-9)) < gate.min_log_probability) or (
        margin is not None and margin < gate.min_margin
    )
    return replace(caption, unsure=caption.unsure or guessed)


def _merged_captions(captions: Sequence[TextPiece]) -> list[TextPiece]:
    """Captions of neighbouring frames that say the same become one, the best grounded, over both spans."""
    merged: list[TextPiece] = []
    for caption in captions:
        before = merged[-1] if merged else None
        if before is None or before.unsure != caption.unsure or not _say_the_same(before.text, caption.text):
            merged.append(caption)
            continue
        best = max(before, caption, key=lambda piece: piece.margin or 0.0)
        merged[-1] = replace(best, start=before.start, end=caption.end)
    return merged


def _merged_lines(lines: Sequence[TextPiece]) -> Iterator[TextPiece]:
    """The lines of each frame as one piece; text that stays on the screen is said once."""
    shown: set[str] = set()
    for start, end in dict.fromkeys((line.start, line.end) for line in lines):
        frame = [line for line in lines if (line.start, line.end) == (start, end)]
        new = [line for line in frame if line.text.casefold() not in shown]
        shown.update(line.text.casefold() for line in new)
        if new:
            confidence = sum(line.confidence or 0.0 for line in new) / len(new)
            text = "\n".join(line.text for line in new)
            yield replace(new[0], text=text, confidence=round(confidence, 4))


def _say_the_same(one: str, other: str) -> bool:
    words, others = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(words & others) >= _ALIKE * len(words | others)
