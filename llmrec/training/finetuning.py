"""Fine-tuning of a workspace's encoder: from its log to a folder in ``adapters``."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from llmrec.progress import NoProgress, Progress
from llmrec.runtime.devices import has_gpu
from llmrec.training.adapter import CARD, write_folder
from llmrec.training.corpus import Corpus
from llmrec.training.judge import judge
from llmrec.training.lora import AdapterState
from llmrec.training.material import Base, Material
from llmrec.training.running import in_bfloat16
from llmrec.training.runs import Finetuned, Record, Shelf, disk, owned, require
from llmrec.training.settings import TrainingSettings
from llmrec.training.train import train, trainable
from llmrec.workspace import ADAPTERS, Workspace

RUNS = "training"
"""Folder of a workspace: runs that are not finished."""
_PACKAGES = ("accelerate", "datasets", "matplotlib", "peft")


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
    require(_PACKAGES, "finetune")
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    processes = PartialState(cpu=not has_gpu())
    shelf = Shelf(workspace.root / ADAPTERS, workspace.root / RUNS, "lora")
    if processes.is_main_process:
        name = shelf.unfinished(name) if resume else shelf.new(name)
    (name,) = broadcast_object_list([name])
    base = Base.of(workspace, progress)
    material = Material(workspace, base, settings)
    run = shelf.runs / name
    with owned(run) if processes.is_main_process else nullcontext():
        return _Run(material, run, shelf.results / name, processes, progress)(resume)


class _Run:
    """One run, in its folder."""

    def __init__(
        self, material: Material, run: Path, result: Path, processes: Any, progress: Progress
    ) -> None:
        self.material, self.run, self.result, self.processes = material, run, result, processes
        self.settings, self.base, self.progress = material.settings, material.base, progress
        self.record = Record(run, material.identity)
        self.model = trainable(self.base.folder, self.settings, str(processes.device))

    def __call__(self, resume: bool) -> Finetuned:
        known = self.record.before() if resume else None
        corpus = self._corpus(known is None)
        ask = partial(
            judge,
            corpus=corpus,
            questions=self.material.questions,
            pad_token=self.base.folder.pad_token,
            tokens=self.settings.mini_batch_tokens,
            bfloat16=in_bfloat16(self.settings),
        )
        before = self._before(ask) if known is None else known
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

    def _corpus(self, missing: bool) -> Corpus:
        """Written by one process, once."""
        if self.processes.is_main_process and missing:
            with disk(self.run):
                shutil.rmtree(self.run / "corpus", ignore_errors=True)
                self.material.write(self.run / "corpus", self.progress)
        self.processes.wait_for_everyone()
        return Corpus.open(self.run / "corpus")

    def _before(self, ask: Any) -> dict[str, float]:
        """What the base model reaches, for a run that goes on to remember."""
        with self.progress.task("Validating the base model", total=1, unit="steps") as task:
            before = {**ask(self.model)}
            task.advance()
        self.processes.wait_for_everyone()
        if self.processes.is_main_process:
            with disk(self.run):
                self.record.write(before)
        return before

    def _publish(self, card: dict[str, Any], curve: list[dict[str, float]]) -> None:
        with disk(self.result):
            write_folder(card, curve, self.result, partial(AdapterState(self.base.name).write, self.model))
        shutil.rmtree(self.run, ignore_errors=True)
