"""Stages side by side: order, bounds, errors, and being given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from llmrec.modality.flow import Buffered, ordered_map


def numbers(count: int, made: list[int]) -> Iterator[int]:
    for number in range(count):
        made.append(number)
        yield number


def test_buffered_keeps_the_order_and_stays_within_its_bound() -> None:
    made: list[int] = []
    stream = iter(Buffered(numbers(50, made), 3))
    assert next(stream) == 0
    time.sleep(0.2)
    # One was taken, three wait, and one more is made that finds no place.
    assert len(made) == 5
    assert list(stream) == list(range(1, 50))


def test_buffered_raises_the_error_of_its_source_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = iter(Buffered(source(), 5))
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_leaving_early_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    stream = iter(Buffered(source(), 1))
    assert next(stream) == 0
    stream.close()  # type: ignore[attr-defined]
    assert closed.wait(5)


def test_ordered_map_keeps_the_order_whichever_is_done_first() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        return number * number

    assert list(ordered_map(work, range(20), workers=4, ahead=6)) == [(n, n * n) for n in range(20)]


def test_ordered_map_works_at_once_but_not_too_far_ahead() -> None:
    made: list[int] = []
    barrier = threading.Barrier(2, timeout=5)
    stream = ordered_map(lambda _: barrier.wait(), numbers(40, made), workers=2, ahead=4)
    next(stream)
    assert len(made) <= 6
