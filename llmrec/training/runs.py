"""Folders of runs: names, who is at which, what a run was begun with, and disks that are full."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from llmrec.errors import ConfigError, LlmrecError, MissingExtraError, TrainingError
from llmrec.training.running import has_checkpoint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RECORD = "run.json"


@dataclass(frozen=True, slots=True)
class Finetuned:
    """An adapter that is ready: its folder, and its card as ``card.json`` has it."""

    folder: Path
    card: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a workspace keeps what fine-tuning of one role has made.

    Args:
        results: folder with a folder for each adapter.
        runs: likewise for each run that is not finished.
        prefix: what names that nobody chose begin with.
    """

    results: Path
    runs: Path
    prefix: str

    def new(self, name: str | None) -> str:
        """A name that no adapter and no run has; ``name`` where that was chosen.

        Raises:
            ConfigError: it is none, or taken.
        """
        taken = {path.name for folder in (self.results, self.runs) for path in folder.glob("*")}
        if name is None:
            numbered = (f"{self.prefix}-{number}" for number in range(1, len(taken) + 2))
            return next(free for free in numbered if free not in taken)
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"--name {name!r}: not a name", "Take letters, digits, dots, dashes, underscores."
            )
        if name in taken:
            raise ConfigError(
                f"--name {name!r}: there is an adapter or an unfinished run of this name",
                "Choose another one; an unfinished run goes on with --resume.",
            )
        return name

    def unfinished(self, name: str | None) -> str:
        """The name of a run that was stopped: the only one, or the one of that name.

        Raises:
            ConfigError: there is none, or are several.
        """
        runs = sorted(path.name for path in self.runs.glob("*") if path.is_dir())
        found = [run for run in runs if name in (None, run)]
        if len(found) == 1:
            return found[0]
        which = "no run" if name is None else f"no run {name!r}"
        if not found:
            raise ConfigError(
                f"{self.runs.parent}: there is {which} that could go on", "Begin one without --resume."
            )
        raise ConfigError(
            f"{self.runs.parent}: several runs could go on", f"Choose by --name: {', '.join(found)}."
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What a run depends on, and what the base model reached, as a file in the run's folder.

    Args:
        run: the folder.
        identity: changes with whatever the data of a run depend on.
    """

    run: Path
    identity: str

    def before(self) -> dict[str, float] | None:
        """What the base model reached; None where the run has not come so far.

        Raises:
            ConfigError: the run was begun with other settings or data.
        """
        path = self.run / _RECORD
        if not path.is_file():
            return None
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["identity"] != self.identity:
            raise ConfigError(
                f"{self.run}: settings, data or the model are not those that the run was begun with",
                "Put them back, or begin a new run without --resume.",
            )
        return dict(known["before"])

    def write(self, before: dict[str, float]) -> None:
        """Remember what the base model reached.

        Raises:
            OSError: the file cannot be written.
        """
        part = self.run / f".{_RECORD}.part"
        part.write_text(json.dumps({"identity": self.identity, "before": before}), encoding="utf-8")
        part.replace(self.run / _RECORD)


def require(packages: Iterable[str], extra: str) -> None:
    """Check that packages are installed.

    Raises:
        MissingExtraError: one is not; names the extra.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)


@contextmanager
def owned(run: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; remove it where nothing came of it to go on with.

    Raises:
        TrainingError: another process is at it, or it cannot be made.
    """
    begins = not run.exists()
    with disk(run):
        run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(f"{run}: another process is at this run", "Wait for it to end.") from error
    try:
        yield
    except LlmrecError:
        if begins and not has_checkpoint(run):
            shutil.rmtree(run, ignore_errors=True)
        raise
    finally:
        lock.release()


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """What the disk refuses, in words.

    Raises:
        TrainingError: it is full, or ``path`` cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written: {error.strerror or error}",
            "Free space, then go on with --resume, or begin again.",
        ) from error
