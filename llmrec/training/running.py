"""A run of a trainer, whatever it trains: by checkpoints to its best state, or to the reason why not."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmrec.errors import TrainingError
from llmrec.progress import Progress
from llmrec.runtime.devices import has_gpu
from llmrec.runtime.libraries import quiet
from llmrec.training.curve import curve_of
from llmrec.training.settings import RunSettings

if TYPE_CHECKING:
    from transformers import TrainerState

    from llmrec.training.adapting import Watch

_STATE = "trainer_state.json"
"""The last file of a checkpoint: one without it is not whole."""
_LOGGED = 50
"""Points of the curve of the loss, about."""


class Kept(Protocol):
    """What a checkpoint holds of a model: the weights that are trained."""

    def write(self, model: Any, folder: Path) -> None:
        """Write them into a folder, which is made.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """

    def read(self, model: Any, folder: Path) -> None:
        """Put them back into the model.

        Raises:
            TrainingError: they are missing, damaged, or of another run.
        """


@dataclass(frozen=True, slots=True)
class Goal:
    """What the best state of a run is chosen by.

    Args:
        metric: of the validation.
        label: its name for people.
        greater: whether more of it is better.
    """

    metric: str
    label: str
    greater: bool


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


def run(
    model: Any,
    make: Callable[[list[Any]], Any],
    kept: Kept,
    settings: RunSettings,
    goal: Goal,
    before: Mapping[str, float],
    steps: int,
    checkpoints: Path,
    *,
    resume: bool,
    progress: Progress,
) -> Trained:
    """Train a model.

    Args:
        model: which ends in its best state.
        make: builds the trainer, whose arguments :func:`arguments` has made, with these callbacks.
        kept: what a checkpoint holds of the model.
        settings: of the run.
        goal: what the best state is chosen by.
        before: metrics of the base model.
        steps: to make at most.
        checkpoints: folder of the run.
        resume: go on from the last checkpoint, where there is one.
        progress: shows steps, loss, speed and validation.

    Raises:
        TrainingError: the loss became NaN or diverged, the run was interrupted, or the disk is full.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerState

    from llmrec.training.adapting import Watch, best_checkpoint

    begun = last_checkpoint(checkpoints) if resume else None
    state = TrainerState.load_from_json(str(begun / _STATE)) if begun else TrainerState()
    if _ended(state, steps, settings.patience):
        kept.read(model, best_checkpoint(checkpoints, state))
        return _trained(state, before, goal)
    before_this = state.global_step
    with quiet(), own_randomness(), progress.task("Fine-tuning", steps, "steps", before_this) as task:
        watch = Watch(task, goal.metric, goal.label)
        trainer = make([watch, EarlyStoppingCallback(settings.patience)])
        for printing in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printing)
        with _interruptible(watch), _disk(checkpoints):
            trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    if watch.stop:
        raise TrainingError(
            f"fine-tuning: interrupted after step {trainer.state.global_step} of {steps}",
            "Go on with --resume.",
        )
    return _trained(trainer.state, before, goal)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; one that was cut off while it was written is passed over."""
    found = [path for path in folder.glob("checkpoint-*") if (path / _STATE).is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def has_checkpoint(run: Path) -> bool:
    """Whether a run has come to a whole checkpoint, here or in the folder of one of its stages."""
    return any(run.rglob(f"checkpoint-*/{_STATE}"))


def arguments(settings: RunSettings, goal: Goal, folder: Path, steps: int, epoch: int) -> dict[str, Any]:
    """Arguments of the trainer that do not depend on what is trained; ``epoch``: steps of one."""
    every = min(steps, max(1, epoch // settings.evaluations))
    gpu = has_gpu()
    # Four-bit weights leave the state of the optimizer as the largest part. Only CUDA can page it out.
    paged = {"optim": "paged_adamw_32bit"} if gpu and settings.quantization == "nf4" else {}
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "gradient_accumulation_steps": settings.accumulation,
        "learning_rate": settings.learning_rate,
        "warmup_steps": int(settings.warm_up * steps),
        "bf16": in_bfloat16(settings),
        "use_cpu": not gpu,
        **paged,
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "restore_callback_states_from_checkpoint": True,
        "load_best_model_at_end": True,
        "metric_for_best_model": f"eval_{goal.metric}",
        "greater_is_better": goal.greater,
        "logging_steps": max(1, steps // _LOGGED),
        "logging_nan_inf_filter": False,
        "seed": settings.seed,
        "report_to": "none",
        "disable_tqdm": True,
    }


def in_bfloat16(settings: RunSettings) -> bool:
    """Whether a run computes in bfloat16; the weights that are trained stay in float32."""
    return settings.precision == "bfloat16" or (settings.precision == "auto" and has_gpu())


def _ended(state: TrainerState, steps: int, patience: int) -> bool:
    """Whether a run had made all its steps, or waited long enough for a gain, when it was stopped."""
    stopping = state.stateful_callbacks.get("EarlyStoppingCallback", {})
    waited: int = stopping.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return state.global_step >= steps or waited >= patience


def _trained(state: TrainerState, before: Mapping[str, float], goal: Goal) -> Trained:
    curve = curve_of(state.log_history, before)
    choose = max if goal.greater else min
    best = choose(
        (point for point in curve[1:] if goal.metric in point), key=lambda point: point[goal.metric]
    )
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
def own_randomness() -> Iterator[None]:
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
