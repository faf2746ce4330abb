"""Progress of long operations: what is done, at which rate, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress as RichBars,
    ProgressColumn,
    SpinnerColumn,
    Task as RichTask,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class Task(Protocol):
    """A running operation that counts what it has done."""

    def advance(self, amount: int = 1) -> None:
        """Count ``amount`` more units as done."""


class Progress(Protocol):
    """Where operations announce themselves."""

    def task(self, name: str, total: int | None = None, unit: str = "items") -> AbstractContextManager[Task]:
        """Announce an operation of ``total`` units (None: unknown). ``unit`` "bytes" is shown as sizes."""


class NoProgress:
    """Shows nothing; the default of the Python API."""

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "items") -> Iterator[Task]:
        """Announce nothing."""
        yield _Silent()


class _Silent:
    def advance(self, amount: int = 1) -> None:
        pass


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {self.unit}/s" if speed else "", style="progress.data.speed")


class ConsoleProgress:
    """Bars on a terminal; elsewhere (a log file, CI) a line every ``interval`` seconds.

    Written to standard error, so that ``--json`` output stays clean.
    """

    def __init__(self, console: Console | None = None, interval: float = 10.0) -> None:
        self.console = console or Console(stderr=True)
        self.interval = interval

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "items") -> Iterator[Task]:
        """Announce an operation and show it until the block ends."""
        if not self.console.is_terminal:
            lines = _Lines(self.console, name, total, unit, self.interval)
            yield lines
            lines.close()
            return
        rate: tuple[ProgressColumn, ...] = (
            (DownloadColumn(), TransferSpeedColumn())
            if unit == "bytes"
            else (MofNCompleteColumn(), _Rate(unit))
        )
        bars = RichBars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *rate,
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self.console,
        )
        with bars:
            yield _Bar(bars, bars.add_task(name, total=total))


class _Bar:
    def __init__(self, bars: RichBars, task: object) -> None:
        self._bars = bars
        self._task = task

    def advance(self, amount: int = 1) -> None:
        self._bars.advance(self._task, amount)  # type: ignore[arg-type]


class _Lines:
    def __init__(self, console: Console, name: str, total: int | None, unit: str, interval: float) -> None:
        self.console = console
        self.name, self.total, self.unit, self.interval = name, total, unit, interval
        self.done = 0
        self.began = self.shown = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if time.monotonic() - self.shown >= self.interval:
            self._print()

    def close(self) -> None:
        self._print()

    def _print(self) -> None:
        self.shown = time.monotonic()
        rate = self.done / max(self.shown - self.began, 1e-9)
        of = f" of {self.total:,}" if self.total is not None else ""
        left = (
            f", {(self.total - self.done) / rate:.0f} s left"
            if self.total and 0 < self.done < self.total
            else ""
        )
        line = f"{self.name}: {self.done:,}{of} {self.unit}, {rate:,.0f}/s{left}"
        print(line, file=self.console.file, flush=True)
