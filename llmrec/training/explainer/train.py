"""Training of an explainer's adapter: from a model and examples to the state with the least held-out loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmrec.progress import Progress
from llmrec.runtime.libraries import quiet
from llmrec.training.explainer.base import Base
from llmrec.training.explainer.examples import shared_start
from llmrec.training.explainer.material import Examples
from llmrec.training.lora import AdapterState
from llmrec.training.running import Goal, Trained, arguments, own_randomness, run
from llmrec.training.settings import ExplainerSettings

METRIC = "held_out_loss"
"""Mean negative logarithm of the probability of a token of a held-out answer, in nats."""
_GOAL = Goal(METRIC, "held-out loss", greater=False)


def train(
    model: Any,
    examples: Examples,
    before: Mapping[str, float],
    settings: ExplainerSettings,
    base: Base,
    checkpoints: Path,
    *,
    resume: bool,
    progress: Progress,
) -> Trained:
    """Train the adapter that is on a model; the loss is that of the answers only.

    A run that goes on from its checkpoint gives the same adapter as one that was never stopped, on the same
    machine and libraries. Ctrl-C ends it after the present step, with a checkpoint.

    Args:
        model: a causal language model with an adapter.
        examples: to learn from, and held out.
        before: metrics of the base model.
        settings: of the run.
        base: of the model.
        checkpoints: folder of the run.
        resume: go on from the last checkpoint, where there is one.
        progress: shows steps, loss, speed and held-out loss.

    Raises:
        TrainingError: the loss became NaN or diverged, the run was interrupted, or the disk is full.
    """
    epoch = math.ceil(math.ceil(len(examples.learnt) / settings.batch_size) / settings.accumulation)
    steps = settings.steps(epoch)

    def make(callbacks: list[Any]) -> Any:
        return _trainer(model, examples, settings, base, checkpoints, steps, epoch, callbacks)

    kept = AdapterState(base.name)
    return run(
        model, make, kept, settings, _GOAL, before, steps, checkpoints, resume=resume, progress=progress
    )


def held_out_loss(
    model: Any, examples: Examples, settings: ExplainerSettings, base: Base, run: Path
) -> float:
    """Mean negative logarithm of the probability of a token of the held-out answers, in nats."""
    with quiet(), own_randomness():
        loss: float = _trainer(model, examples, settings, base, run, 1, 1, []).held_out_loss()
    return loss


def _trainer(
    model: Any,
    examples: Examples,
    settings: ExplainerSettings,
    base: Base,
    folder: Path,
    steps: int,
    epoch: int,
    callbacks: list[Any],
) -> Any:
    """The trainer; ``steps`` in all, ``epoch`` in one pass over the examples."""
    from transformers import TrainingArguments

    from llmrec.training.explainer.trainer import Collator, ExplainerTrainer

    shared = shared_start([*examples.learnt, *examples.held_out])
    return ExplainerTrainer(
        kept=AdapterState(base.name),
        model=model,
        args=TrainingArguments(
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=settings.batch_size,
            remove_unused_columns=False,
            **arguments(settings, _GOAL, folder, steps, epoch),
        ),
        train_dataset=examples.learnt,
        eval_dataset=examples.held_out,
        data_collator=Collator(shared, base.folder.pad_token),
        callbacks=callbacks,
    )
