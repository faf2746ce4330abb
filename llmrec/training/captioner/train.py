"""Training of a captioner in stages, each from the best state of the one before."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.modality.blip.torch_engine import load_blip
from llmrec.progress import Progress
from llmrec.training.captioner.base import Base
from llmrec.training.captioner.features import FeatureStore
from llmrec.training.captioner.material import Material
from llmrec.training.curve import curve_of, write_curve
from llmrec.training.lora import add_adapter
from llmrec.training.running import Goal, Trained, arguments, in_bfloat16, run
from llmrec.training.settings import CaptionerSettings

if TYPE_CHECKING:
    from llmrec.training.captioner.measuring import HeldOut
    from llmrec.training.captioner.network import CaptionNetwork
    from llmrec.training.captioner.teacher import Lesson

SAMPLES = "samples.json"
Point = Mapping[str, float]


def trainable(base: Base, settings: CaptionerSettings, device: str) -> CaptionNetwork:
    """The base model, its decoder to be trained as the settings say, on ``device``.

    Raises:
        AssetError: the weights cannot be loaded.
        ConfigError: the decoder has none of the layers that the settings name.
    """
    import torch

    from llmrec.training.captioner.network import CaptionNetwork

    blip = load_blip(base.folder, device, "float32")
    if settings.fresh:
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            blip.text_decoder = type(blip.text_decoder)(blip.config.text_config).to(device)
        blip.tie_weights()
    network = CaptionNetwork(blip, in_bfloat16=in_bfloat16(settings))
    network.train_vision(0)
    if settings.method == "lora":
        add_adapter(blip.text_decoder, settings.lora, settings.seed)
    return network


def trained_layers(network: CaptionNetwork, settings: CaptionerSettings) -> int:
    """How many of the vision tower's layers a stage trains."""
    layers = len(network.blip.vision_model.encoder.layers)
    return layers if settings.vision_layers == "all" else min(settings.vision_layers, layers)


@dataclass(slots=True)
class Diary:
    """What a run writes down as it goes, in its folder: curve, its picture, captions of samples.

    Args:
        folder: of the run.
        curve: of the stages that ended.
    """

    folder: Path
    curve: list[dict[str, float]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Of the stages that ended."""
        return int(self.curve[-1]["step"]) if self.curve else 0

    def with_stage(self, curve: Sequence[Point]) -> list[dict[str, float]]:
        """The curve so far, with that of a stage after it."""
        if not self.curve:
            return [{**point} for point in curve]
        last = self.curve[-1]
        epochs = last.get("epoch", 0.0)
        return self.curve + [
            {**point, "step": point["step"] + last["step"], "epoch": point.get("epoch", 0.0) + epochs}
            for point in curve[1:]
        ]

    def write(self, curve: Sequence[Point], metric: str, samples: Sequence[Mapping[str, Any]]) -> None:
        """Write the curve, and samples of its last step.

        Raises:
            OSError: the disk is full.
        """
        whole = self.with_stage(curve)
        write_curve(whole, self.folder, metric)
        path, step = self.folder / SAMPLES, int(whole[-1]["step"])
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        known = [entry for entry in known if entry["step"] < step] + [{"step": step, "captions": [*samples]}]
        part = path.with_name(f".{SAMPLES}.part")
        part.write_text(json.dumps(known, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        part.replace(path)


def train_stage(
    network: CaptionNetwork,
    material: Material,
    store: FeatureStore,
    lesson: Lesson | None,
    held_out: HeldOut,
    before: Mapping[str, float],
    settings: CaptionerSettings,
    checkpoints: Path,
    diary: Diary,
    *,
    resume: bool,
    progress: Progress,
) -> Trained:
    """Train what of a network is to be trained, to the state with the least held-out loss.

    A stage that goes on from its checkpoint gives the same weights as one that was never stopped, on the same
    machine and libraries. Ctrl-C ends it after the present step, with a checkpoint.

    Args:
        network: which ends in its best state.
        material: to learn from.
        store: has the features of its pictures.
        lesson: of a teacher.
        held_out: what the state is chosen by.
        before: metrics of the network as it is.
        settings: of the stage.
        checkpoints: folder of the stage.
        diary: is told of each validation.
        resume: go on from the last checkpoint, where there is one.
        progress: shows steps, loss, speed and held-out loss.

    Raises:
        TrainingError: the loss became NaN or diverged, the run was interrupted, or the disk is full.
    """
    from transformers import TrainingArguments

    from llmrec.training.captioner.measuring import METRIC
    from llmrec.training.captioner.network import TrainedWeights
    from llmrec.training.captioner.trainer import Batches, CaptionTrainer, Collator, Draws

    goal = Goal(METRIC, "held-out loss", greater=False)
    count = len(material.learnt)
    epoch = math.ceil(math.ceil(count / settings.batch_size) / settings.accumulation)
    steps = settings.steps(epoch)
    features, rows = store.open([example.pair.content for example in material.learnt])
    tokens = features.shape[1] if settings.tokens == "all" else settings.tokens
    whole_from = math.ceil(steps * (1 - settings.full_tokens))

    def told(history: Sequence[Point]) -> None:
        diary.write(curve_of(history, before), METRIC, samples_of(network, held_out, settings.samples))

    def make(callbacks: list[Any]) -> Any:
        return CaptionTrainer(
            settings=settings,
            batches=Batches(count, settings.batch_size, settings.accumulation, whole_from, settings.seed),
            judge=held_out.losses,
            told=told,
            kept=kept,
            model=network,
            args=TrainingArguments(
                per_device_train_batch_size=settings.batch_size,
                remove_unused_columns=False,
                **arguments(settings, goal, checkpoints, steps, epoch),
            ),
            train_dataset=Draws(
                features,
                rows,
                [example.captions for example in material.learnt],
                tokens,
                settings.seed,
                lesson,
            ),
            eval_dataset=[],
            data_collator=Collator(len(material.prefix), material.base.folder.pad_token),
            callbacks=callbacks,
        )

    kept = TrainedWeights()
    return run(
        network, make, kept, settings, goal, before, steps, checkpoints, resume=resume, progress=progress
    )


def samples_of(network: CaptionNetwork, held_out: HeldOut, count: int) -> list[dict[str, Any]]:
    """What a network calls the first held-out pictures, beside what people do."""
    return [
        {"picture": example.pair.path.name, "caption": caption, "references": [*example.pair.captions]}
        for example, caption in zip(held_out.examples, held_out.captions(network, count), strict=False)
    ]
