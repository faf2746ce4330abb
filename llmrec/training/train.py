"""Training of an encoder's adapter: from a model and a corpus to the state that ranks best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmrec.encode.folder import ModelFolder
from llmrec.encode.torch_engine import load_sentence_transformer
from llmrec.progress import Progress
from llmrec.rank.log import Log
from llmrec.training.corpus import Corpus
from llmrec.training.judge import METRIC
from llmrec.training.lora import AdapterState, add_adapter, network_of
from llmrec.training.running import Goal, Trained, arguments, run
from llmrec.training.settings import TrainingSettings

_GOAL = Goal(METRIC, "NDCG@10", greater=True)
_CHECKPOINTING = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}

Judge = Callable[[Any], Mapping[str, float]]
"""Metrics of a ``SentenceTransformer`` as it is, among them :data:`METRIC`."""


def trainable(base: ModelFolder, settings: TrainingSettings, device: str) -> Any:
    """The base model as a ``SentenceTransformer`` with a new adapter on it, on ``device``.

    Raises:
        AssetError: the weights cannot be loaded.
        ConfigError: the model has none of the layers that the settings name.
    """
    import torch

    model = load_sentence_transformer(base, device, torch.float32, settings.quantization)
    add_adapter(model, settings.lora, settings.seed)
    if device == "cpu":
        # Of short texts, the fused attention's backward pass took a third of all time on CPUs.
        network_of(model).set_attn_implementation("eager")
    return model


def train(
    model: Any,
    corpus: Corpus,
    log: Log,
    judge: Judge,
    before: Mapping[str, float],
    settings: TrainingSettings,
    base: ModelFolder,
    checkpoints: Path,
    *,
    resume: bool,
    progress: Progress,
) -> Trained:
    """Train the adapter that is on a model.

    A run that goes on from its checkpoint gives the same adapter as one that was never stopped, on the same
    machine and libraries. Ctrl-C ends it after the present step, with a checkpoint.

    Args:
        model: a ``SentenceTransformer`` with an adapter.
        corpus: to learn from.
        log: the training period.
        judge: validation.
        before: metrics of the base model.
        settings: of the run.
        base: of the model.
        checkpoints: folder of the run.
        resume: go on from the last checkpoint, where there is one.
        progress: shows steps, loss, speed and validation.

    Raises:
        TrainingError: the loss became NaN or diverged, the run was interrupted, or the disk is full.
    """
    epoch = steps_of_epoch(len(corpus.pairs), settings)
    steps = settings.steps(epoch)

    kept = AdapterState(base.name)

    def make(callbacks: list[Any]) -> Any:
        from sentence_transformers import SentenceTransformerTrainingArguments

        from llmrec.training.batches import Collator
        from llmrec.training.loss import NextItemLoss
        from llmrec.training.trainer import LoraTrainer, Validation

        return LoraTrainer(
            kept=kept,
            model=model,
            args=SentenceTransformerTrainingArguments(
                per_device_train_batch_size=settings.batch_size,
                **(_CHECKPOINTING if settings.gradient_checkpointing else {}),
                **arguments(settings, _GOAL, checkpoints, steps, epoch),
            ),
            train_dataset=corpus.pairs,
            loss=NextItemLoss(model, settings.temperature, settings.mini_batch_tokens, settings.cached),
            data_collator=Collator(corpus, log, base.pad_token, settings.batch_size, settings.correction),
            evaluator=Validation(judge),
            callbacks=callbacks,
        )

    return run(
        model, make, kept, settings, _GOAL, before, steps, checkpoints, resume=resume, progress=progress
    )


def steps_of_epoch(pairs: int, settings: TrainingSettings) -> int:
    """Steps of a pass over the pairs; of several processes each takes a batch of its own."""
    from accelerate import PartialState

    batches = pairs // min(settings.batch_size, pairs) // PartialState().num_processes
    steps: int = max(1, math.ceil(batches / settings.accumulation))
    return steps
