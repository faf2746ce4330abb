"""Text is put in the order in which people read it."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llmrec.modality.reading_order import Span, lines_in_order


def span(
    text: str, left: float, top: float, width: float = 50, height: float = 20, confidence: float = 1.0
) -> Span:
    return Span(text, confidence, left, top, left + width, top + height)


def texts(*spans: Span) -> list[str]:
    return [line.text for line in lines_in_order(spans)]


def test_nothing() -> None:
    assert texts() == []


def test_lines_run_from_top_to_bottom() -> None:
    assert texts(span("three", 0, 50), span("one", 0, 0), span("two", 30, 25)) == ["one", "two", "three"]


def test_boxes_that_overlap_are_still_in_order() -> None:
    assert texts(span("two", 0, 17), span("three", 5, 34), span("one", 5, 0)) == ["one", "two", "three"]


def test_words_on_a_baseline_are_joined() -> None:
    (line,) = lines_in_order([span("world", 60, 2, confidence=0.9), span("Hello", 0, 0, confidence=1.0)])
    assert line.text == "Hello world"
    assert line.confidence == 0.95
    assert (line.left, line.top, line.right, line.bottom) == (0, 0, 110, 22)


def test_words_far_apart_or_of_other_sizes_are_not_joined() -> None:
    assert texts(span("left", 0, 0), span("right", 200, 0)) == ["left", "right"]
    assert texts(span("BIG", 0, 0, height=60), span("small", 55, 20, height=20)) == ["BIG", "small"]


def test_doubtful_words_are_not_joined_to_certain_ones() -> None:
    assert texts(span("TITLE", 0, 0, confidence=0.99), span("ïI", 55, 0, confidence=0.5)) == ["TITLE", "ïI"]


def test_columns_are_read_one_after_the_other_below_their_heading() -> None:
    heading = span("heading", 0, 0, width=300, height=40)
    left = [span(f"left {row}", 0, 80 + 25 * row, width=120) for row in range(3)]
    right = [span(f"right {row}", 180, 80 + 25 * row, width=120) for row in range(3)]
    mixed = [span for pair in zip(right, left, strict=True) for span in pair]
    assert texts(*mixed, heading) == [
        "heading", "left 0", "left 1", "left 2", "right 0", "right 1", "right 2",
    ]  # fmt: skip


def test_names_over_two_lines_stay_together() -> None:
    names = [
        span("RICK", 28, 10),
        span("TOM", 194, 10),
        span("MORANIS", 3, 40, 90),
        span("ARNOLD", 166, 38, 80),
    ]
    assert texts(*names) == ["RICK", "MORANIS", "TOM", "ARNOLD"]


def test_many_lines_do_not_exhaust_the_stack() -> None:
    assert texts(*[span(str(row), 0, 30 * row) for row in range(1200)]) == [str(row) for row in range(1200)]


coordinate = st.floats(0, 1000)
side = st.floats(1, 300)


@given(
    st.lists(st.builds(span, st.just("w"), coordinate, coordinate, side, side, st.floats(0, 1)), max_size=30)
)
def test_no_word_is_lost(spans: list[Span]) -> None:
    lines = lines_in_order(spans)
    assert sum(len(line.text.split()) for line in lines) == len(spans)
    assert all(0 <= line.confidence <= 1.0000001 for line in lines)
    assert lines == lines_in_order(reversed(spans)) or len({(s.left, s.top) for s in spans}) < len(spans)
