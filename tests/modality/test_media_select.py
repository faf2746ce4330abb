"""Thresholds and merging: what of the models' answers reaches an item."""

from __future__ import annotations

from dataclasses import replace

from llmrec.config import Settings
from llmrec.modality.select import selected
from llmrec.schema import TextPiece

Span = tuple[float, float]


def caption(
    text: str, confidence: float, margin: float, span: tuple[float, float] | None = None
) -> TextPiece:
    start, end = span or (None, None)
    return TextPiece("caption", text, "", start, end, "m", confidence, margin)


def line(text: str, confidence: float, start: float | None = None) -> TextPiece:
    return TextPiece("ocr", text, "", start, None if start is None else start + 1, "r", confidence)


SETTINGS = Settings.model_validate(
    {"caption": {"min_log_probability": -1.0, "min_margin": 0.2}, "ocr": {"min_confidence": 0.5}}
)


def test_captions_below_a_threshold_are_marked_and_kept() -> None:
    pieces = [caption("sure", 0.9, 1.0), caption("improbable", 0.3, 1.0), caption("a habit", 0.9, 0.1)]
    pieces.append(replace(caption("doubted by its captioner", 0.9, 1.0), unsure=True))
    found = selected(pieces, "a.jpg", SETTINGS)
    assert [(piece.text, piece.unsure) for piece in found] == [
        ("sure", False),
        ("improbable", True),
        ("a habit", True),
        ("doubted by its captioner", True),
    ]
    assert {piece.source for piece in found} == {"a.jpg"}


def test_neighbouring_frames_that_look_alike_become_one_caption_over_their_spans() -> None:
    pieces = [
        caption("a man rides a horse", 0.9, 0.5, (0, 2)),
        caption("the man rides a horse", 0.9, 0.9, (2, 5)),
        caption("a city at night", 0.9, 0.5, (5, 6)),
        caption("a man rides a horse", 0.9, 0.5, (6, 8)),
    ]
    found = [(piece.text, piece.start, piece.end) for piece in selected(pieces, "v.mp4", SETTINGS)]
    assert found == [
        ("the man rides a horse", 0, 5),
        ("a city at night", 5, 6),
        ("a man rides a horse", 6, 8),
    ]


def test_a_sure_caption_is_not_merged_with_an_unsure_one() -> None:
    pieces = [caption("a dog", 0.9, 0.5, (0, 1)), caption("a dog", 0.9, 0.0, (1, 2))]
    assert [piece.unsure for piece in selected(pieces, "v.mp4", SETTINGS)] == [False, True]


def test_lines_of_a_picture_become_one_piece_without_doubtful_ones() -> None:
    found = selected([line("TOY", 0.9), line("s~r", 0.3), line("STORY", 0.7)], "p.jpg", SETTINGS)
    assert [(piece.text, piece.confidence) for piece in found] == [("TOY\nSTORY", 0.8)]


def test_text_that_stays_on_the_screen_is_said_once() -> None:
    frames = [line("LOGO", 0.9, 0.0), line("one", 0.9, 0.0), line("Logo", 0.9, 1.0), line("two", 0.9, 1.0)]
    assert [(piece.text, piece.start) for piece in selected(frames, "v.mp4", SETTINGS)] == [
        ("LOGO\none", 0.0),
        ("two", 1.0),
    ]


def test_empty_texts_are_left_out() -> None:
    assert selected([caption("  ", 1.0, 1.0), line("", 1.0)], "a.jpg", SETTINGS) == []
