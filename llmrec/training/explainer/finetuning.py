"""Fine-tuning of a workspace's explainer: from its log and catalog to a GGUF file in ``explainers``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.explain.generator import load_generator
from llmrec.explain.torch_model import load_causal
from llmrec.progress import NoProgress, Progress
from llmrec.runtime.devices import has_gpu
from llmrec.training.adapter import CARD, write_folder
from llmrec.training.explainer.base import EXPLAINERS, Base
from llmrec.training.explainer.checking import check
from llmrec.training.explainer.export import check_exportable, export
from llmrec.training.explainer.material import Examples, Material
from llmrec.training.explainer.train import METRIC, held_out_loss, train
from llmrec.training.lora import adapted_layers, add_adapter, write_adapter
from llmrec.training.running import Trained
from llmrec.training.runs import Finetuned, Record, Shelf, disk, owned, require
from llmrec.training.settings import ExplainerSettings
from llmrec.workspace import Workspace

RUNS = "explainer-training"
"""Folder of a workspace: runs that are not finished."""
MODEL = "explainer.gguf"
"""File of an explainer's folder: the base model with the adapter merged in."""
_EXAMPLES = "examples.json"
VERIFIED = "verified"
"""The metric: share of explanations, written without the grammar, that pass the verifier."""


def finetune_explainer(
    workspace: Workspace,
    settings: ExplainerSettings,
    name: str | None = None,
    *,
    resume: bool = False,
    progress: Progress = NoProgress(),
) -> Finetuned:
    """Fine-tune the workspace's explainer to phrase evidence; nothing uses the result yet.

    Its folder holds the adapter, its card, the curve of the run, and the model for llama.cpp.

    Args:
        workspace: an indexed one.
        settings: of the run.
        name: of the adapter; None for the next free one, and with ``resume`` for the only run there is.
        resume: go on with a run that was stopped.
        progress: shows examples, steps, loss, speed and answers that are checked.

    Raises:
        ConfigError: the name is taken or none, the explainer is a plug-in or of an architecture that cannot
            be exported, or a run cannot go on since settings or data changed.
        TrainingError: there is too little to learn from, the loss became NaN or diverged, the run was
            interrupted, or the disk is full. What was trained before stays.
        WorkspaceError: nothing is indexed yet.
        AssetError: the explainer cannot be found, pulled or read.
        MissingExtraError: a library of the ``finetune`` extra is not installed.
    """
    require(("accelerate", "matplotlib", "peft"), "finetune")
    shelf = Shelf(workspace.root / EXPLAINERS, workspace.root / RUNS, "explainer")
    name = shelf.unfinished(name) if resume else shelf.new(name)
    base = Base.of(workspace, progress)
    material = Material(workspace, base, settings)
    with owned(shelf.runs / name):
        return _Run(material, shelf.runs / name, shelf.results / name, progress)(resume)


def setting_of(done: Finetuned) -> str:
    """The line of ``llmrec.toml``, in its section ``[models]``, that makes the workspace use the result."""
    return f"explainer = {json.dumps(f'file:{(done.folder / MODEL).resolve()}', ensure_ascii=False)}"


class _Run:
    """One run, in its folder."""

    def __init__(self, material: Material, run: Path, result: Path, progress: Progress) -> None:
        self.material, self.run, self.result, self.progress = material, run, result, progress
        self.settings, self.base = material.settings, material.base
        self.record = Record(run, material.identity)

    def __call__(self, resume: bool) -> Finetuned:
        import torch

        before = self.record.before() if resume else None
        examples = self._examples(before is not None)
        device = "cuda" if has_gpu() else "cpu"
        model = load_causal(self.base.folder.path, device, torch.float32, self.settings.quantization)
        add_adapter(model, self.settings.lora, self.settings.seed)
        check_exportable(self.base.gguf, adapted_layers(model))
        if before is None:
            with self.progress.task("Validating the base model", total=1, unit="steps") as task:
                before = {METRIC: held_out_loss(model, examples, self.settings, self.base, self.run)}
                task.advance()
            with disk(self.run):
                self.record.write(before)
        trained = train(
            model,
            examples,
            before,
            self.settings,
            self.base,
            self.run,
            resume=resume,
            progress=self.progress,
        )
        with disk(self.result):
            self._publish(model, examples, before, trained)
        text = (self.result / CARD).read_text(encoding="utf-8")
        return Finetuned(self.result, json.loads(text))

    def _examples(self, known: bool) -> Examples:
        """The examples; ``known`` says that the run has written them, and its record after them."""
        if known:
            return Examples.read(self.run / _EXAMPLES)
        examples = self.material.examples(self.progress)
        with disk(self.run):
            examples.write(self.run / _EXAMPLES)
        return examples

    def _publish(self, model: Any, examples: Examples, before: Mapping[str, float], trained: Trained) -> None:
        metrics = {"before": {**before}, "after": {**trained.after}}

        def write(folder: Path) -> Mapping[str, Any]:
            write_adapter(model, folder, self.base.name)
            name = f"{self.base.name} + {self.result.name}"
            export(self.base.gguf, folder, folder / MODEL, self.settings.weights, name)
            return self._checked(folder / MODEL, metrics)

        card = {
            "name": self.result.name,
            "role": "explainer",
            "base": {
                "name": self.base.name,
                "fingerprint": self.base.fingerprint,
                "licence": self.base.licence,
            },
            "licence": self.base.licence,
            "data": self.material.facts(examples),
            "protocol": {"split": self.material.split.name, "stage": self.material.split.stage},
            "metrics": metrics,
            "steps": trained.steps,
            "best_step": trained.best_step,
            "seed": self.settings.seed,
            "settings": self.settings.model_dump(mode="json"),
        }
        write_folder(card, trained.curve, self.result, write, METRIC)
        shutil.rmtree(self.run, ignore_errors=True)

    def _checked(self, tuned: Path, metrics: Mapping[str, dict[str, float]]) -> Mapping[str, Any]:
        """The metrics with the share of verified answers of held-out users, of base and result."""
        cases = self.material.held_out_cases(self.settings.checked)
        if not cases:
            return {}
        found, seconds = {}, {}
        with self.progress.task("Checking answers", total=2 * len(cases), unit="answers") as task:
            for stage, gguf in (("before", self.base.gguf), ("after", tuned)):
                checked = check(
                    load_generator(f"file:{gguf}", self.progress),
                    cases,
                    self.material.verifier,
                    self.material.prompt,
                    self.material.workspace.settings.explain,
                    task,
                    grammar=False,
                )
                found[stage] = metrics[stage] | {VERIFIED: checked.share}
                seconds[stage] = float(np.median(checked.seconds))
                task.note(f"verified {checked.share:.0%}")
        return {
            "metrics": found,
            "checked": {"users": len(cases), "grammar": False, "median_seconds": seconds},
        }
