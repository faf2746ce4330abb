"""Progress of long operations: what is done, at which rate, and how long it will take."""

from __future__ import annotations

import threading
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
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class Task(Protocol):
    """A running operation that counts what it has done."""

    def advance(self, amount: int = 1) -> None:
        """Count ``amount`` more units as done."""

    def note(self, text: str) -> None:
        """Show ``text`` beside the name, in the place of what was shown before."""


class Progress(Protocol):
    """Where operations announce themselves."""

    def task(
        self, name: str, total: int | None = None, unit: str = "items", done: int = 0
    ) -> AbstractContextManager[Task]:
        """Announce an operation of ``total`` units (None: unknown). ``unit`` "bytes" is shown as sizes.

        ``done`` units were done before it began, by an earlier run: they count, but not for the rate.
        """


class NoProgress:
    """Shows nothing; the default of the Python API."""

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "items", done: int = 0) -> Iterator[Task]:
        """Announce nothing."""
        yield _Silent()


class _Silent:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class ConsoleProgress:
    """Bars on a terminal; elsewhere (a log file, CI) a line every ``interval`` seconds.

    Operations may run at the same time, each with its bar. Written to standard error, so that ``--json``
    output stays clean.
    """

    def __init__(self, console: Console | None = None, interval: float = 10.0) -> None:
        self.console = console or Console(stderr=True)
        self.interval = interval
        self._lock = threading.Lock()
        self._bars: RichBars | None = None
        self._running = 0

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "items", done: int = 0) -> Iterator[Task]:
        """Announce an operation and show it until the block ends."""
        if not self.console.is_terminal:
            lines = _Lines(self.console, name, total, unit, done, self.interval)
            yield lines
            lines.close()
            return
        bars = self._show()
        try:
            bar = bars.add_task(name, total=total, completed=done, unit=unit)
            yield _Bar(bars, bar, name)
            bars.stop_task(bar)
        finally:
            self._hide()

    def _show(self) -> RichBars:
        """The display that all running operations share: a console can have only one."""
        with self._lock:
            if self._bars is None:
                self._bars = RichBars(
                    SpinnerColumn(),
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    _Done(),
                    _Rate(),
                    TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                    console=self.console,
                )
                self._bars.start()
            self._running += 1
            return self._bars

    def _hide(self) -> None:
        with self._lock:
            self._running -= 1
            if not self._running and self._bars is not None:
                self._bars.stop()
                self._bars = None


class _Done(ProgressColumn):
    """How much is done: sizes of bytes, counts of everything else."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes, self._counts = DownloadColumn(), MofNCompleteColumn()

    def render(self, task: RichTask) -> Text:
        return (self._sizes if task.fields["unit"] == "bytes" else self._counts).render(task)


class _Rate(ProgressColumn):
    def __init__(self) -> None:
        super().__init__()
        self._sizes = TransferSpeedColumn()

    def render(self, task: RichTask) -> Text:
        if task.fields["unit"] == "bytes":
            return self._sizes.render(task)
        speed = task.finished_speed or task.speed
        return Text(f"{rate(speed)} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


def rate(speed: float) -> str:
    """A speed for people: slow ones need the digits after the point."""
    return f"{speed:,.0f}" if speed >= 20 else f"{speed:.2g}"


class _Bar:
    def __init__(self, bars: RichBars, task: TaskID, name: str) -> None:
        self._bars = bars
        self._task = task
        self._name = name

    def advance(self, amount: int = 1) -> None:
        self._bars.advance(self._task, amount)

    def note(self, text: str) -> None:
        self._bars.update(self._task, description=f"{self._name} ({text})")


class _Lines:
    def __init__(
        self, console: Console, name: str, total: int | None, unit: str, done: int, interval: float
    ) -> None:
        self.console = console
        self.name, self.total, self.unit, self.interval = name, total, unit, interval
        self.before = self.done = done
        self.noted = ""
        self._lock = threading.Lock()
        self.began = self.shown = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        with self._lock:
            self.done += amount
            if time.monotonic() - self.shown >= self.interval:
                self._print()

    def note(self, text: str) -> None:
        with self._lock:
            self.noted = f" ({text})"

    def close(self) -> None:
        self._print()

    def _print(self) -> None:
        self.shown = time.monotonic()
        speed = (self.done - self.before) / max(self.shown - self.began, 1e-9)
        of = f" of {self.total:,}" if self.total is not None else ""
        left = (
            f", {(self.total - self.done) / speed:.0f} s left"
            if self.total and self.before < self.done < self.total
            else ""
        )
        line = f"{self.name}{self.noted}: {self.done:,}{of} {self.unit}, {rate(speed)}/s{left}"
        print(line, file=self.console.file, flush=True)
