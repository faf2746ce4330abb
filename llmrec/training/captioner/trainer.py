"""transformers' trainer on features of pictures and their captions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, Dataset

from llmrec.training.adapting import GuardedTrainer
from llmrec.training.captioner.features import Features
from llmrec.training.captioner.network import trained
from llmrec.training.captioner.teacher import Lesson
from llmrec.training.settings import CaptionerSettings

IGNORED = -100
Captions = Sequence[Sequence[int]]
Drawn = tuple[NDArray[np.float16], Sequence[int], NDArray[np.float32] | None]
"""Features, (tokens, width), the tokens of a caption, and what a teacher sees, (tokens, channels)."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a step asks for: an example, in which pass over all, and whether all tokens of its picture."""

    epoch: int
    example: int
    whole: bool


class Draws(Dataset[Drawn]):
    """Examples as they are drawn: of each picture some tokens, and one of its captions.

    Args:
        features: (rows, tokens, width).
        rows: of each example.
        captions: tokens of those of each example.
        tokens: of a picture that are drawn.
        seed: the same draws for the same seed.
        lesson: of a teacher, where there is one.
    """

    def __init__(
        self,
        features: Features,
        rows: NDArray[np.intp],
        captions: Sequence[Captions],
        tokens: int,
        seed: int,
        lesson: Lesson | None,
    ) -> None:
        self.features, self.rows, self.captions = features, rows, captions
        self.tokens, self.seed, self.lesson = tokens, seed, lesson

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Drawn:
        """See :data:`Drawn`."""
        rng = np.random.default_rng([self.seed, draw.epoch, draw.example])
        captions = self.captions[draw.example]
        caption = captions[int(rng.integers(len(captions)))]
        picture = self.features[self.rows[draw.example]]
        tokens = np.arange(len(picture))
        if not draw.whole and self.tokens < len(picture):
            others = 1 + rng.permutation(len(picture) - 1)[: self.tokens - 1]
            tokens = np.concatenate([[0], np.sort(others)])
        taught = None if self.lesson is None else self.lesson(draw.example, tokens)
        return picture[tokens], caption, taught


class Batches:
    """Batches of draws in an order that depends on seed and epoch.

    Args:
        examples: how many there are.
        size: of a batch.
        accumulation: batches of a step.
        whole_from: step from which all tokens of pictures are read.
        seed: of the order.
    """

    drop_last = False

    def __init__(self, examples: int, size: int, accumulation: int, whole_from: int, seed: int) -> None:
        self.examples, self.batch_size, self.accumulation = examples, size, accumulation
        self.whole_from, self.seed, self.epoch = whole_from, seed, 0

    def __len__(self) -> int:
        return math.ceil(self.examples / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Which pass over the examples comes next; the trainer says so."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.examples)
        steps = math.ceil(len(self) / self.accumulation)
        for batch in range(len(self)):
            whole = epoch * steps + batch // self.accumulation >= self.whole_from
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [Draw(epoch, int(example), whole) for example in chosen]


class Collator:
    """Makes pictures and captions into tensors.

    Args:
        prefix: number of tokens that begin every caption and are not learnt.
        pad_token: id that fills up short ones.
    """

    def __init__(self, prefix: int, pad_token: int) -> None:
        self.prefix, self.pad_token = prefix, pad_token

    def __call__(self, drawn: Sequence[Drawn]) -> dict[str, Tensor]:
        """Tensors of a batch.

        ``features``: (captions, tokens of a picture, width). ``input_ids``, ``labels``: (captions, tokens).
        The label of a place is the token that follows it, -100 where that is not learnt. With a teacher,
        ``taught``: (captions, tokens of a picture, channels).
        """
        width = max(len(caption) for _, caption, _ in drawn) - 1
        ids = torch.full((len(drawn), width), self.pad_token)
        labels = torch.full((len(drawn), width), IGNORED)
        for row, (_, caption, _) in enumerate(drawn):
            ids[row, : len(caption) - 1] = torch.tensor(caption[:-1])
            labels[row, self.prefix - 1 : len(caption) - 1] = torch.tensor(caption[self.prefix :])
        features = torch.from_numpy(np.stack([picture for picture, _, _ in drawn])).float()
        batch = {"features": features, "input_ids": ids, "labels": labels}
        if taught := [told for _, _, told in drawn if told is not None]:
            batch["taught"] = torch.from_numpy(np.stack(taught))
        return batch


class CaptionTrainer(GuardedTrainer):
    """Trains what of a :class:`~llmrec.training.captioner.network.CaptionNetwork` is to be trained.

    Args:
        settings: of the stage.
        batches: of a pass over the examples.
        judge: metrics of the network as it is, on held-out pictures.
        told: called after each validation with what was logged so far.
    """

    control: Any
    optimizer: Any

    def __init__(
        self,
        *,
        settings: CaptionerSettings,
        batches: Batches,
        judge: Callable[[Any], Mapping[str, float]],
        told: Callable[[Sequence[Mapping[str, float]]], None],
        **arguments: Any,
    ) -> None:
        self.settings, self.batches, self.judge, self.told = settings, batches, judge, told
        self.errors: list[float] = []
        super().__init__(**arguments)
        # The library would leave it to us to divide by the tokens of all batches of a step.
        self.model_accepts_loss_kwargs = False

    def get_train_dataloader(self) -> Any:
        """Our batches."""
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW; the vision tower learns at its own rate, and only matrices decay."""
        if self.optimizer is None:
            groups: dict[tuple[bool, bool], list[Tensor]] = {}
            for name, weights in trained(self.model).items():
                groups.setdefault((".vision_model." in name, weights.ndim > 1), []).append(weights)
            rate, vision_rate = self.settings.learning_rate, self.settings.vision_rate
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": weights,
                        "lr": rate * vision_rate if vision else rate,
                        "weight_decay": self.settings.weight_decay if decays else 0.0,
                    }
                    for (vision, decays), weights in groups.items()
                ],
                fused=True,
            )
        return self.optimizer

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], **_: Any) -> Tensor:
        """Mean over the tokens of captions, with smoothed labels, and the error in telling a teacher's view.

        Raises:
            TrainingError: it is NaN or infinite; names the step.
        """
        labels = inputs["labels"]
        logits, told = model(inputs["features"], inputs["input_ids"])
        loss = cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.settings.label_smoothing,
        )
        if "taught" in inputs:
            error = mse_loss(told, inputs["taught"])
            self.errors.append(error.item())
            loss = loss + self.settings.teacher_weight * error
        guarded: Tensor = self.guarded(loss, int((labels != IGNORED).sum()))
        return guarded

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the error in telling a teacher's view since the last time, which is a part of the loss."""
        if "loss" in logs and self.errors:
            logs["teacher_error"] = sum(self.errors) / len(self.errors)
            self.errors.clear()
        super().log(logs, start_time)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """What held-out pictures give, which is also logged."""
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.judge(self.model).items()}
        self.log(metrics)
        self.told(self.state.log_history)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
