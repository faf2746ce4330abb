"""Fine-tuning of a workspace's captioner: from pictures and captions to a BLIP folder in ``captioners``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.progress import NoProgress, Progress
from llmrec.prompts import caption_prompt
from llmrec.runtime.devices import has_gpu
from llmrec.training.adapter import CARD, write_folder
from llmrec.training.captioner.base import Base
from llmrec.training.captioner.export import write_blip
from llmrec.training.captioner.features import FOLDER, FeatureStore
from llmrec.training.captioner.material import Material
from llmrec.training.captioner.pairs import Pairs
from llmrec.training.captioner.tower import Tower
from llmrec.training.captioner.train import (
    SAMPLES,
    Diary,
    samples_of,
    train_stage,
    trainable,
    trained_layers,
)
from llmrec.training.running import Trained
from llmrec.training.runs import Finetuned, Record, Shelf, disk, owned, require
from llmrec.training.settings import CaptionerSettings
from llmrec.workspace import Workspace

if TYPE_CHECKING:
    from llmrec.training.captioner.measuring import HeldOut
    from llmrec.training.captioner.network import CaptionNetwork
    from llmrec.training.captioner.teacher import Lesson

CAPTIONERS = "captioners"
"""Folder of a workspace: captioners that were fine-tuned."""
RUNS = "captioner-training"
"""Likewise: runs that are not finished."""
LEFT_OUT = "left_out.jsonl"


def finetune_captioner(
    workspace: Workspace,
    pairs: Pairs,
    settings: CaptionerSettings,
    name: str | None = None,
    *,
    resume: bool = False,
    progress: Progress = NoProgress(),
) -> Finetuned:
    """Fine-tune the workspace's captioner on pictures with captions; nothing uses the result yet.

    Its folder is a ``BlipForConditionalGeneration`` as transformers writes it, with its card, the curve of
    the run, captions of samples, and what was left out.

    Args:
        workspace: whose settings name a captioner.
        pairs: see :func:`~llmrec.training.captioner.pairs.read_pairs` and ``catalog_pairs``.
        settings: of the run.
        name: of the result; None for the next free one, and with ``resume`` for the only run there is.
        resume: go on with a run that was stopped.
        progress: shows pictures, steps, loss, speed and held-out loss.

    Raises:
        ConfigError: the name is taken or none, there is no captioner, it is a plug-in, or a run cannot go on
            since settings or data changed.
        TrainingError: there is too little to learn from, the loss became NaN or diverged, the run was
            interrupted, or the disk is full. What was trained before stays.
        AssetError: the captioner cannot be found, pulled or read.
        MissingExtraError: a library of the ``finetune`` or ``vision`` extra is not installed.
    """
    require(("accelerate", "matplotlib", "peft"), "finetune")
    require(("PIL",), "vision")
    shelf = Shelf(workspace.root / CAPTIONERS, workspace.root / RUNS, "captioner")
    name = shelf.unfinished(name) if resume else shelf.new(name)
    base = Base.of(workspace, progress)
    prompt = caption_prompt(workspace.settings.caption.prompt, workspace.root / "prompts")
    material = Material(pairs, base, settings, prompt)
    with owned(shelf.runs / name):
        return _Run(workspace, material, shelf.runs / name, shelf.results / name, progress)(resume)


def setting_of(done: Finetuned) -> str:
    """The line of ``llmrec.toml``, in its section ``[models]``, that makes the workspace use the result."""
    return f"captioner = {json.dumps(f'file:{done.folder.resolve()}', ensure_ascii=False)}"


class _Run:
    """One run, in its folder."""

    def __init__(
        self, workspace: Workspace, material: Material, run: Path, result: Path, progress: Progress
    ) -> None:
        self.workspace, self.material, self.progress = workspace, material, progress
        self.run, self.result = run, result
        self.settings, self.base = material.settings, material.base
        self.record = Record(run, material.identity)
        self.diary = Diary(run)

    def __call__(self, resume: bool) -> Finetuned:
        from llmrec.training.captioner.measuring import METRIC, SHUFFLED
        from llmrec.training.captioner.network import restore, trained

        before = self.record.before() if resume else None
        network = trainable(self.base, self.settings, "cuda" if has_gpu() else "cpu")
        stages: list[dict[str, Any]] = []
        best: dict[str, float] = {}
        taught = self._taught(network) if self.settings.teacher else None
        for number, settings in enumerate(self.settings.by_stage(), start=1):
            network.train_vision(trained_layers(network, settings))
            store, held_out = self._looked_at(network, settings)
            if number == 1:
                before = before or self._before(network, held_out)
                best = {name: before[name] for name in (METRIC, SHUFFLED)}
            start = {name: weights.detach().clone() for name, weights in trained(network).items()}
            done = train_stage(
                network,
                self.material,
                store,
                taught() if taught else None,
                held_out,
                best,
                settings,
                self.run / f"stage-{number}",
                self.diary,
                resume=resume,
                progress=self.progress,
            )
            stages.append(self._stage(done, settings))
            if done.after[METRIC] < best[METRIC]:
                best = {**done.after}
            else:
                restore(network, start)
            self.diary.curve = self.diary.with_stage(done.curve)
        metrics = {"before": before or {}, "after": best | self._scores(network, held_out)}
        with disk(self.result):
            self._publish(network, stages, metrics)
        text = (self.result / CARD).read_text(encoding="utf-8")
        return Finetuned(self.result, json.loads(text))

    def _taught(self, network: CaptionNetwork) -> Callable[[], Lesson]:
        """Look at all pictures by the teacher, and give the network what it takes to tell what it sees.

        Returns:
            Makes the lesson of the pictures that are then learnt from.
        """
        from llmrec.training.captioner.teacher import Teacher, lesson

        limits, root = self.workspace.settings.media, self.workspace.root / FOLDER
        teacher = Teacher(self.settings.teacher, limits, self.settings.picture_batch, self.progress)
        with disk(root):
            store = teacher.store(root)
        if left_out := teacher.fill(store, self.material.wanted, self.progress):
            self.material.without(left_out)
        network.be_taught(teacher.channels, self.settings.seed)
        vision = network.blip.config.vision_config

        def present() -> Lesson:
            maps, rows = store.open([example.pair.content for example in self.material.learnt])
            return lesson(teacher, maps, rows, vision.image_size // vision.patch_size)

        return present

    def _looked_at(
        self, network: CaptionNetwork, settings: CaptionerSettings
    ) -> tuple[FeatureStore, HeldOut]:
        """Features of all pictures by the layers that a stage does not train, and those that are held out."""
        from llmrec.training.captioner.measuring import HeldOut

        tower = Tower(
            network.blip,
            self.base.folder,
            network.computed,
            self.workspace.settings.media,
            settings.picture_batch,
            bfloat16=network.in_bfloat16,
        )
        with disk(self.workspace.root / FOLDER):
            store = tower.store(self.workspace.root / FOLDER)
        if left_out := tower.fill(store, self.material.wanted, self.progress):
            self.material.without(left_out)
        examples = self.material.held_out
        features, rows = store.open([example.pair.content for example in examples])
        tokenizer, folder = self.material.tokenizer, self.base.folder
        return store, HeldOut(examples, features[rows], tokenizer, folder, settings.batch_size)

    def _before(self, network: CaptionNetwork, held_out: HeldOut) -> dict[str, float]:
        """What the network reaches before it is trained, for a run that goes on to remember."""
        from llmrec.training.captioner.measuring import METRIC

        with self.progress.task("Validating the base model", total=1, unit="steps") as task:
            losses = held_out.losses(network)
            before = losses | held_out.scores(network)
            task.advance()
        with disk(self.run):
            samples = samples_of(network, held_out, self.settings.samples)
            self.diary.write([{"step": 0, "epoch": 0.0, **losses}], METRIC, samples)
            self.record.write(before)
        return before

    def _scores(self, network: CaptionNetwork, held_out: HeldOut) -> dict[str, float]:
        with self.progress.task("Captioning held-out pictures", total=1, unit="steps") as task:
            scores = held_out.scores(network)
            task.advance()
        return scores

    def _stage(self, done: Trained, settings: CaptionerSettings) -> dict[str, Any]:
        """A stage, for the card."""
        return {
            "vision_layers": settings.vision_layers,
            "steps": done.steps,
            "best_step": done.best_step,
            "after": {**done.after},
        }

    def _publish(
        self,
        network: CaptionNetwork,
        stages: list[dict[str, Any]],
        metrics: Mapping[str, Mapping[str, float]],
    ) -> None:
        from llmrec.training.captioner.measuring import METRIC

        def write(folder: Path) -> None:
            write_blip(network, self.base.folder.path, folder)
            shutil.copyfile(self.run / SAMPLES, folder / SAMPLES)
            lines = [json.dumps(asdict(one)) for one in self.material.left_out]
            (folder / LEFT_OUT).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

        card = {
            "name": self.result.name,
            "role": self.settings.role,
            "base": self.base.facts(),
            "licence": self.base.licence,
            "data": self.material.facts(),
            "metrics": metrics,
            "steps": sum(stage["steps"] for stage in stages),
            "stages": stages,
            "seed": self.settings.seed,
            "settings": self.settings.model_dump(mode="json"),
        }
        write_folder(card, self.diary.curve, self.result, write, METRIC)
        shutil.rmtree(self.run, ignore_errors=True)
