"""From pieces of text scattered over a picture to lines in the order in which people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text where it was found, in pixels of the picture."""

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


_ALIKE = 0.2
"""Words are joined where their confidences differ by no more: a threshold then drops the bad ones alone."""

_TRIM = 0.25
"""Share of its height by which a box is narrowed at top and bottom: detectors draw boxes that overlap."""


def lines_in_order(spans: Iterable[Span]) -> list[Span]:
    """Words on one baseline joined; lines from top to bottom, columns one after the other.

    The order is a recursive X-Y cut (Nagy and Seth, 1984) that always cuts at the widest gap: a heading is
    cut from the columns below it, columns from each other, and only then lines.
    """
    ordered: list[Span] = []
    lines = _joined(sorted(spans, key=lambda span: (span.left, span.top)))
    groups = [lines] if lines else []
    while groups:
        group = groups.pop()
        first, second = _cut(group)
        if second:
            groups += [second, first]
        else:
            ordered += sorted(first, key=lambda span: (span.top + span.bottom, span.left))
    return ordered


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Each span appended to the line that it continues; ``spans`` from left to right."""
    lines: list[Span] = []
    for span in spans:
        for index, line in enumerate(lines):
            if _continues(line, span):
                lines[index] = _merged(line, span)
                break
        else:
            lines.append(span)
    return lines


def _continues(line: Span, span: Span) -> bool:
    low, high = sorted((line.height, span.height))
    shared = min(line.bottom, span.bottom) - max(line.top, span.top)
    gap = span.left - line.right
    return (
        shared > 0.6 * low
        and high < 1.6 * low
        and -0.5 * low < gap < low
        and abs(line.confidence - span.confidence) <= _ALIKE
    )


def _merged(line: Span, span: Span) -> Span:
    letters = len(line.text) + len(span.text)
    confidence = line.confidence * len(line.text) + span.confidence * len(span.text)
    return Span(
        f"{line.text} {span.text}",
        confidence / letters,
        line.left,
        min(line.top, span.top),
        max(line.right, span.right),
        max(line.bottom, span.bottom),
    )


def _cut(spans: list[Span]) -> tuple[list[Span], list[Span]]:
    """The spans before and after the widest gap, across or down; nothing after where there is none."""
    across, left = _widest_gap([(span.left, span.right) for span in spans])
    trimmed = [(span.top + _TRIM * span.height, span.bottom - _TRIM * span.height, span) for span in spans]
    down, top = _widest_gap([(low, high) for low, high, _ in trimmed])
    if max(across, down) <= 0:
        return spans, []
    if across > down:
        return [span for span in spans if span.left < left], [span for span in spans if span.left >= left]
    return [span for low, _, span in trimmed if low < top], [span for low, _, span in trimmed if low >= top]


def _widest_gap(intervals: list[tuple[float, float]]) -> tuple[float, float]:
    """Width and end of the widest gap that no interval covers; width 0 where there is none."""
    intervals.sort()
    widest, end, covered = 0.0, 0.0, intervals[0][1]
    for low, high in intervals[1:]:
        if low - covered > widest:
            widest, end = low - covered, low
        covered = max(covered, high)
    return widest, end
