"""Progress: bars on a terminal, lines elsewhere, nothing where nothing was asked for."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from llmrec.progress import ConsoleProgress, NoProgress


def log_of(total: int | None, done: list[int], interval: float = 0.0, unit: str = "items") -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=False)
    with ConsoleProgress(console, interval).task("Encoding", total, unit) as task:
        for amount in done:
            task.advance(amount)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_no_progress_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with NoProgress().task("Encoding", 3) as task:
        task.advance(3)
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_lines_with_count_total_and_rate() -> None:
    lines = log_of(4000, [1000, 3000])
    assert len(lines) == 3
    assert lines[0].startswith("Encoding: 1,000 of 4,000 items, ")
    assert lines[0].endswith(" s left")
    assert lines[-1].startswith("Encoding: 4,000 of 4,000 items, ")
    assert lines[-1].endswith("/s")


def test_an_unknown_total_and_nothing_done_are_shown_as_they_are() -> None:
    assert log_of(None, [5])[-1].startswith("Encoding: 5 items, ")
    assert log_of(0, [])[-1].startswith("Encoding: 0 of 0 items, ")


def test_what_an_earlier_run_did_is_counted_but_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(100.0, 10.0)  # each look at the clock is ten seconds later
    monkeypatch.setattr("llmrec.progress.time.monotonic", lambda: next(now))
    console = Console(file=io.StringIO(), force_terminal=False)
    with ConsoleProgress(console, 0).task("Fine-tuning", 3000, "steps", done=1000) as task:
        task.advance(0)
        task.advance(500)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "Fine-tuning: 1,000 of 3,000 steps, 0/s"
    assert lines[1] == "Fine-tuning: 1,500 of 3,000 steps, 12/s, 120 s left"


def test_what_an_earlier_run_did_is_part_of_the_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ConsoleProgress(console).task("Fine-tuning", 3000, "steps", done=1000) as task:
        task.advance(500)
    assert "1500/3000" in console.file.getvalue()  # type: ignore[attr-defined]


def test_lines_come_no_faster_than_the_interval() -> None:
    assert len(log_of(100, [1] * 100, interval=60.0)) == 1


def test_names_with_brackets_are_no_markup() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ConsoleProgress(console).task("download [/model] [red]x.bin", 10, "bytes") as task:
        task.advance(10)
    assert "download [/model] [red]x.bin" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("unit", ["items", "bytes"])
def test_a_terminal_gets_a_bar(unit: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ConsoleProgress(console).task("Encoding", 2000, unit) as task:
        task.advance(2000)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Encoding" in shown
    assert ("2000/2000" if unit == "items" else "kB") in shown


def test_the_default_console_is_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with ConsoleProgress(interval=0).task("Encoding", 1) as task:
        task.advance()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("Encoding: 1 of 1 items") == 2


def test_an_operation_that_fails_is_not_shown_as_ended() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with pytest.raises(KeyError), ConsoleProgress(console).task("Encoding", 2):
        raise KeyError
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize("terminal", [True, False], ids=["bar", "lines"])
def test_what_is_noted_is_shown_beside_the_name(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with ConsoleProgress(console, interval=0.0).task("Fine-tuning", 2, "steps") as task:
        task.note("loss 3.1")
        task.advance()
        task.note("loss [2.9]")
        task.advance()
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Fine-tuning (loss [2.9])" in shown
    assert "loss 3.1), loss" not in shown
