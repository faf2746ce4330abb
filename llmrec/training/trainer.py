"""sentence-transformers' trainer with our batches, and checkpoints that hold the adapter only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llmrec.errors import TrainingError
from llmrec.progress import Task, rate
from llmrec.training.batches import WindowSampler
from llmrec.training.curve import divergence
from llmrec.training.judge import METRIC
from llmrec.training.lora import read_adapter, write_adapter


class LoraTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """Trains the adapter that is on the model.

    Args:
        base: name of the base model, for the adapter's configuration.
        arguments: as for ``SentenceTransformerTrainer``.
    """

    def __init__(self, *, base: str, **arguments: Any) -> None:
        self.base = base
        self.tokens = 0
        self.counted = (0, time.monotonic())
        super().__init__(**arguments)

    def get_batch_sampler(self, dataset: Any, batch_size: int, **_: Any) -> WindowSampler:
        """Ours, whatever the arguments say."""
        return WindowSampler(dataset, batch_size, self.args.seed)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: it would read texts that our data do not hold."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], **options: Any) -> Any:
        """As the library does.

        Raises:
            TrainingError: the loss is NaN or infinite; names the step.
        """
        self.tokens += int(inputs["text_attention_mask"].sum())
        loss = super().compute_loss(model, inputs, **options)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"fine-tuning: the loss became {loss.item()} in step {self.state.global_step + 1}",
                "Set a lower learning_rate. The checkpoint before stays, and adapters in use do too.",
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
                    "Set a lower learning_rate. The checkpoint before stays, and adapters in use do too.",
                )
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        write_adapter(self.model, Path(output_dir or self.args.output_dir), self.base)

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        read_adapter(self.model, Path(checkpoint_path))

    def _load_best_model(self) -> None:
        read_adapter(self.model, best_checkpoint(Path(self.args.output_dir), self.state))


def best_checkpoint(folder: Path, state: TrainerState) -> Path:
    """The checkpoint that ranked best; the state has its path, and the folder may have been moved."""
    return folder / Path(state.best_model_checkpoint or "").name


class Validation(BaseEvaluator):  # type: ignore[misc]
    """Calls ``judge``, which gives metrics of the model as it is."""

    def __init__(self, judge: Callable[[Any], Mapping[str, float]]) -> None:
        super().__init__()
        self.judge = judge
        self.primary_metric = METRIC

    def __call__(self, model: Any, *_: object, **__: object) -> dict[str, float]:
        """The metrics."""
        return {**self.judge(model)}


class Watch(TrainerCallback):  # type: ignore[misc]
    """Shows progress, and ends training after the present step when ``stop`` was asked for."""

    def __init__(self, task: Task) -> None:
        self.task = task
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
        if f"eval_{METRIC}" in logs:
            self.told[METRIC] = f"NDCG@10 {logs[f'eval_{METRIC}']:.4f}"
        self.task.note(", ".join(self.told.values()))
