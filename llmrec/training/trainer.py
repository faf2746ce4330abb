"""sentence-transformers' trainer with our batches and our guard on the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator

from llmrec.training.adapting import GuardedTrainer
from llmrec.training.batches import WindowSampler
from llmrec.training.judge import METRIC


class LoraTrainer(GuardedTrainer, SentenceTransformerTrainer):  # type: ignore[misc]
    """Trains the adapter that is on a ``SentenceTransformer``; arguments as for :class:`GuardedTrainer`."""

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
        tokens = int(inputs["text_attention_mask"].sum())
        return self.guarded(super().compute_loss(model, inputs, **options), tokens)


class Validation(BaseEvaluator):  # type: ignore[misc]
    """Calls ``judge``, which gives metrics of the model as it is."""

    def __init__(self, judge: Callable[[Any], Mapping[str, float]]) -> None:
        super().__init__()
        self.judge = judge
        self.primary_metric = METRIC

    def __call__(self, model: Any, *_: object, **__: object) -> dict[str, float]:
        """The metrics."""
        return {**self.judge(model)}
