"""What trainers share: a guard on the loss, checkpoints that hold only what is trained, progress."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llmrec.errors import TrainingError
from llmrec.progress import Task, rate
from llmrec.training.curve import divergence
from llmrec.training.running import Kept

_LOWER = "Set a lower learning_rate. The checkpoint before stays, and adapters in use do too."


class GuardedTrainer(Trainer):  # type: ignore[misc]
    """Trains what of the model is to be trained.

    Args:
        kept: what a checkpoint holds of the model.
        arguments: as for the library's trainer.
    """

    def __init__(self, *, kept: Kept, **arguments: Any) -> None:
        self.kept = kept
        self.tokens = 0
        self.counted = (0, time.monotonic())
        super().__init__(**arguments)

    def guarded(self, loss: Any, tokens: int) -> Any:
        """The loss of a batch of ``tokens``.

        Raises:
            TrainingError: it is NaN or infinite; names the step.
        """
        self.tokens += tokens
        if not torch.isfinite(loss):
            raise TrainingError(
                f"fine-tuning: the loss became {loss.item()} in step {self.state.global_step + 1}", _LOWER
            )
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the speed.

        Raises:
            TrainingError: the loss has grown far beyond what it was; names the step.
        """
        if "loss" in logs:
            now, (tokens, then) = time.monotonic(), self.counted
            logs["tokens_per_second"] = (self.tokens - tokens) / max(now - then, 1e-9)
            self.counted = (self.tokens, now)
            losses = [entry["loss"] for entry in self.state.log_history if "loss" in entry] + [logs["loss"]]
            if (grown := divergence(losses)) is not None:
                raise TrainingError(
                    f"fine-tuning: the loss grew from {grown[0]:.3f} to {grown[1]:.3f} by step "
                    f"{self.state.global_step}",
                    _LOWER,
                )
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        self.kept.write(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        self.kept.read(self.model, Path(checkpoint_path))

    def _load_best_model(self) -> None:
        self.kept.read(self.model, best_checkpoint(Path(self.args.output_dir), self.state))


def best_checkpoint(folder: Path, state: TrainerState) -> Path:
    """The checkpoint that validated best; the state has its path, and the folder may have been moved."""
    return folder / Path(state.best_model_checkpoint or "").name


class Watch(TrainerCallback):  # type: ignore[misc]
    """Shows progress, and ends training after the present step when ``stop`` was asked for.

    Args:
        task: where to show it.
        metric: of the validation.
        label: its name for people.
    """

    def __init__(self, task: Task, metric: str, label: str) -> None:
        self.task, self.metric, self.label = task, metric, label
        self.stop = False
        self.told: dict[str, str] = {}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the step."""
        self.task.advance()
        if self.stop:
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Say what is known of the loss, the speed and the validation."""
        logs = logs or {}
        if "loss" in logs:
            self.told["loss"] = f"loss {logs['loss']:.3f}"
            self.told["speed"] = f"{rate(logs['tokens_per_second'])} tokens/s"
        if (value := logs.get(f"eval_{self.metric}")) is not None:
            self.told["metric"] = f"{self.label} {value:.4f}"
        self.task.note(", ".join(self.told.values()))
