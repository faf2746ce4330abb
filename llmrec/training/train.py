"""Training of an adapter: from a model and a corpus to the state that ranks best, by way of checkpoints."""

from __future__ import annotations

import math
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.encode.folder import ModelFolder
from llmrec.errors import TrainingError
from llmrec.progress import Progress
from llmrec.rank.log import Log
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.libraries import quiet
from llmrec.training.corpus import Corpus
from llmrec.training.curve import curve_of
from llmrec.training.judge import METRIC
from llmrec.training.lora import read_adapter
from llmrec.training.settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import TrainerState

    from llmrec.training.trainer import Watch

_STATE = "trainer_state.json"
"""The last file of a checkpoint: one without it is not whole."""
_CHECKPOINTING = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
_LOGGED = 50
"""Points of the curve of the loss, about."""

Judge = Callable[[Any], Mapping[str, float]]
"""Metrics of a ``SentenceTransformer`` as it is, among them :data:`METRIC`."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that ended; the model has its best state.

    Args:
        after: metrics of that state on validation.
        curve: what was logged, by step.
        steps: that were made.
        best_step: of the state.
    """

    after: Mapping[str, float]
    curve: list[dict[str, float]]
    steps: int
    best_step: int


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
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerState

    from llmrec.training.batches import Collator
    from llmrec.training.loss import NextItemLoss
    from llmrec.training.trainer import LoraTrainer, Validation, Watch, best_checkpoint

    begun = last_checkpoint(checkpoints) if resume else None
    state = TrainerState.load_from_json(str(begun / _STATE)) if begun else TrainerState()
    epoch = steps_of_epoch(len(corpus.pairs), settings)
    steps = min(settings.epochs * epoch, settings.max_steps or settings.epochs * epoch)
    if _ended(state, steps, settings.patience):
        read_adapter(model, best_checkpoint(checkpoints, state))
        return _trained(state, before)
    with (
        quiet(),
        _own_randomness(),
        progress.task("Fine-tuning", total=steps, unit="steps") as task,
    ):
        watch = Watch(task)
        trainer = LoraTrainer(
            base=base.name,
            model=model,
            args=_arguments(settings, checkpoints, steps, epoch),
            train_dataset=corpus.pairs,
            loss=NextItemLoss(model, settings.temperature, settings.mini_batch_tokens, settings.cached),
            data_collator=Collator(corpus, log, base.pad_token, settings.batch_size, settings.correction),
            evaluator=Validation(judge),
            callbacks=[watch, EarlyStoppingCallback(settings.patience)],
        )
        for printing in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printing)
        task.advance(state.global_step)
        with _interruptible(watch), _disk(checkpoints):
            trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    if watch.stop:
        raise TrainingError(
            f"fine-tuning: interrupted after step {trainer.state.global_step} of {steps}",
            "Go on with --resume.",
        )
    return _trained(trainer.state, before)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; one that was cut off while it was written is passed over."""
    found = [path for path in folder.glob("checkpoint-*") if (path / _STATE).is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def steps_of_epoch(pairs: int, settings: TrainingSettings) -> int:
    """Steps of a pass over the pairs; of several processes each takes a batch of its own."""
    from accelerate import PartialState

    batches = pairs // min(settings.batch_size, pairs) // PartialState().num_processes
    steps: int = max(1, math.ceil(batches / settings.accumulation))
    return steps


def _arguments(settings: TrainingSettings, folder: Path, steps: int, epoch: int) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments

    every = min(steps, max(1, epoch // settings.evaluations))
    bfloat16 = settings.precision == "bfloat16" or (settings.precision == "auto" and has_gpu())
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        warmup_steps=int(settings.warm_up * steps),
        bf16=bfloat16,
        use_cpu=not has_gpu(),
        **(_CHECKPOINTING if settings.gradient_checkpointing else {}),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{METRIC}",
        greater_is_better=True,
        logging_steps=max(1, steps // _LOGGED),
        logging_nan_inf_filter=False,
        seed=settings.seed,
        report_to="none",
        disable_tqdm=True,
    )


def _ended(state: TrainerState, steps: int, patience: int) -> bool:
    """Whether a run had made all its steps, or waited long enough for a gain, when it was stopped."""
    stopping = state.stateful_callbacks.get("EarlyStoppingCallback", {})
    waited: int = stopping.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return state.global_step >= steps or waited >= patience


def _trained(state: TrainerState, before: Mapping[str, float]) -> Trained:
    curve = curve_of(state.log_history, before)
    best = max((point for point in curve[1:] if METRIC in point), key=lambda point: point[METRIC])
    return Trained({name: best[name] for name in before}, curve, state.global_step, int(best["step"]))


@contextmanager
def _interruptible(watch: Watch) -> Iterator[None]:
    """The first Ctrl-C asks for an end after the present step; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        watch.stop = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _own_randomness() -> Iterator[None]:
    """The trainer seeds every generator there is; leave them as they were."""
    import torch

    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A full disk in words; torch reports it in an error of its own."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        raise TrainingError(
            f"{folder}: a checkpoint cannot be written: {error}", "Free space, then go on with --resume."
        ) from error
