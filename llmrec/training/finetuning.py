"""Fine-tuning of a workspace's encoder: from its log to a folder in ``adapters``."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from llmrec.encode.torch_engine import load_sentence_transformer
from llmrec.errors import ConfigError, LlmrecError, MissingExtraError, TrainingError
from llmrec.progress import NoProgress, Progress
from llmrec.runtime.devices import has_gpu
from llmrec.training.adapter import CARD, write_folder
from llmrec.training.corpus import Corpus
from llmrec.training.judge import judge
from llmrec.training.lora import add_adapter
from llmrec.training.material import Base, Material
from llmrec.training.settings import TrainingSettings
from llmrec.training.train import last_checkpoint, train
from llmrec.workspace import ADAPTERS, Workspace

RUNS = "training"
"""Folder of a workspace: runs that are not finished."""
_PACKAGES = ("accelerate", "datasets", "matplotlib", "peft")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RUN = "run.json"
"""File of a run that was prepared: what it depends on, and what the base model reached."""


@dataclass(frozen=True, slots=True)
class Finetuned:
    """An adapter that is ready: its folder, and its card as ``card.json`` has it."""

    folder: Path
    card: dict[str, Any]


def finetune(
    workspace: Workspace,
    settings: TrainingSettings,
    name: str | None = None,
    *,
    resume: bool = False,
    progress: Progress = NoProgress(),
) -> Finetuned:
    """Fine-tune the workspace's encoder on its log, and write the adapter; nothing uses it yet.

    Under ``accelerate launch`` every process calls it, and they train together.

    Args:
        workspace: an indexed one.
        settings: of the run.
        name: of the adapter; None for the next free one, and with ``resume`` for the only run there is.
        resume: go on with a run that was stopped.
        progress: shows texts, steps, loss, speed and validation.

    Raises:
        ConfigError: the name is taken or none, the encoder is a plug-in, or a run cannot go on since settings
            or data changed.
        TrainingError: there is too little to learn from, the loss became NaN or diverged, the run was
            interrupted, or the disk is full. What was trained before stays.
        WorkspaceError: nothing is indexed yet.
        MissingExtraError: a library of the ``finetune`` extra is not installed.
    """
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(package, "finetune")
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    processes = PartialState(cpu=not has_gpu())
    if processes.is_main_process:
        name = _resumed(workspace.root, name) if resume else _new(workspace.root, name)
    (name,) = broadcast_object_list([name])
    base = Base.of(workspace, progress)
    material = Material(workspace, base, settings)
    run = workspace.root / RUNS / name
    with _owned(run, processes.is_main_process):
        return _Run(material, run, workspace.root / ADAPTERS / name, processes, progress)(resume)


class _Run:
    """One run, in its folder."""

    def __init__(
        self, material: Material, run: Path, result: Path, processes: Any, progress: Progress
    ) -> None:
        import torch

        self.material, self.run, self.result, self.processes = material, run, result, processes
        self.settings, self.base, self.progress = material.settings, material.base, progress
        device = str(processes.device)
        self.model = load_sentence_transformer(self.base.folder, device, torch.float32)
        add_adapter(self.model, self.settings.lora, self.settings.seed)

    def __call__(self, resume: bool) -> Finetuned:
        if resume:
            self._check_same()
        corpus = self._corpus()
        ask = partial(
            judge,
            corpus=corpus,
            questions=self.material.questions,
            pad_token=self.base.folder.pad_token,
            tokens=self.settings.mini_batch_tokens,
        )
        before = self._before(ask)
        trained = train(
            self.model,
            corpus,
            self.material.log,
            ask,
            before,
            self.settings,
            self.base.folder,
            self.run,
            resume=resume,
            progress=self.progress,
        )
        card = {
            "name": self.result.name,
            "base": {
                "name": self.base.name,
                "fingerprint": self.base.fingerprint,
                "licence": self.base.licence,
            },
            "data": self.material.facts(corpus),
            "protocol": {"split": self.material.split.name, "stage": self.material.split.stage},
            "metrics": {"before": before, "after": {**trained.after}},
            "steps": trained.steps,
            "best_step": trained.best_step,
            "seed": self.settings.seed,
            "settings": self.settings.model_dump(mode="json"),
        }
        if self.processes.is_main_process:
            self._publish(card, trained.curve)
        self.processes.wait_for_everyone()
        text = (self.result / CARD).read_text(encoding="utf-8")
        return Finetuned(self.result, json.loads(text))

    def _check_same(self) -> None:
        known = self._known()
        if known and known["identity"] != self.material.identity:
            raise ConfigError(
                f"{self.run}: settings, log, items or encoder are not those that the run was begun with",
                "Put them back, or begin a new run without --resume.",
            )

    def _corpus(self) -> Corpus:
        """Written by one process, once."""
        if self.processes.is_main_process and not self._known():
            with _disk(self.run):
                shutil.rmtree(self.run / "corpus", ignore_errors=True)
                self.material.write(self.run / "corpus", self.progress)
        self.processes.wait_for_everyone()
        return Corpus.open(self.run / "corpus")

    def _before(self, ask: Any) -> dict[str, float]:
        """What the base model reaches; a run that goes on remembers it."""
        if known := self._known():
            return dict(known["before"])
        with self.progress.task("Validating the base model", total=1, unit="steps") as task:
            before = {**ask(self.model)}
            task.advance()
        self.processes.wait_for_everyone()
        if self.processes.is_main_process:
            with _disk(self.run):
                part = self.run / f".{_RUN}.part"
                text = json.dumps({"identity": self.material.identity, "before": before})
                part.write_text(text, encoding="utf-8")
                part.replace(self.run / _RUN)
        return before

    def _known(self) -> dict[str, Any]:
        path = self.run / _RUN
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return known

    def _publish(self, card: dict[str, Any], curve: list[dict[str, float]]) -> None:
        with _disk(self.result):
            write_folder(self.model, card, curve, self.base.name, self.result)
        shutil.rmtree(self.run, ignore_errors=True)


@contextmanager
def _owned(run: Path, is_main: bool) -> Iterator[None]:
    """Keep other runs out of the folder; remove it where nothing came of it that could be gone on with."""
    if not is_main:
        yield
        return
    begins = not run.exists()
    with _disk(run):
        run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(f"{run}: another process is at this run", "Wait for it to end.") from error
    try:
        yield
    except LlmrecError:
        if begins and last_checkpoint(run) is None:
            shutil.rmtree(run, ignore_errors=True)
        raise
    finally:
        lock.release()


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written: {error.strerror or error}",
            "Free space, then go on with --resume, or begin again.",
        ) from error


def _new(root: Path, name: str | None) -> str:
    """A name that no adapter and no run has."""
    taken = {path.name for folder in (ADAPTERS, RUNS) for path in (root / folder).glob("*")}
    if name is None:
        return next(free for number in range(1, len(taken) + 2) if (free := f"lora-{number}") not in taken)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r}: not a name", "Take letters, digits, dots, dashes, underscores.")
    if name in taken:
        raise ConfigError(
            f"--name {name!r}: there is an adapter or an unfinished run of this name",
            "Choose another one; an unfinished run goes on with --resume.",
        )
    return name


def _resumed(root: Path, name: str | None) -> str:
    """The name of a run that was stopped."""
    unfinished = sorted(path.name for path in (root / RUNS).glob("*") if path.is_dir())
    found = [run for run in unfinished if name in (None, run)]
    if len(found) == 1:
        return found[0]
    which = "no run" if name is None else f"no run {name!r}"
    if not found:
        raise ConfigError(f"{root}: there is {which} that could go on", "Begin one without --resume.")
    raise ConfigError(f"{root}: several runs could go on", f"Choose by --name: {', '.join(found)}.")
