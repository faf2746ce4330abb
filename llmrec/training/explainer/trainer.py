"""transformers' trainer on answers: what all prompts begin with is read once for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from llmrec.training.adapting import GuardedTrainer
from llmrec.training.explainer.examples import Example
from llmrec.training.explainer.train import METRIC

_IGNORED = -100


class Collator:
    """Makes examples into tensors: the start that all share, and the rest of each, which ends where all end.

    Args:
        shared: tokens that all prompts begin with.
        pad_token: id that fills up short ones, on the left.
    """

    def __init__(self, shared: int, pad_token: int) -> None:
        self.shared, self.pad_token = shared, pad_token

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Tensors of a batch.

        ``start``: (1, shared). ``input_ids``: (examples, tokens). ``attention_mask``: (examples, shared +
        tokens). ``position_ids``: (examples, tokens). ``labels``: (examples, longest answer), -100 where an
        answer is shorter.
        """
        rests = [[*example.prompt[self.shared :], *example.answer] for example in examples]
        width, longest = max(map(len, rests)), max(len(example.answer) for example in examples)
        size = len(examples)
        ids = torch.full((size, width), self.pad_token)
        mask = torch.ones(size, self.shared + width, dtype=torch.long)
        positions = torch.zeros(size, width, dtype=torch.long)
        labels = torch.full((size, longest), _IGNORED)
        for row, (example, rest) in enumerate(zip(examples, rests, strict=True)):
            blank = width - len(rest)
            ids[row, blank:] = torch.tensor(rest)
            mask[row, self.shared : self.shared + blank] = 0
            positions[row, blank:] = torch.arange(self.shared, self.shared + len(rest))
            labels[row, longest - len(example.answer) :] = torch.tensor(example.answer)
        return {
            "start": torch.tensor([examples[0].prompt[: self.shared]], dtype=torch.long),
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "labels": labels,
        }


def answer_loss(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Sum of the negative logarithms of the probabilities of the answers' tokens.

    The shared start is read once and gradients flow back into it from every example, so that the result is
    that of reading it with each of them, in two thirds of the time.

    Args:
        model: a causal language model.
        batch: of :class:`Collator`.
    """
    cache = None
    if batch["start"].shape[1]:
        cache = model(input_ids=batch["start"], use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(batch["input_ids"]))
    labels = batch["labels"]
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=labels.shape[1] + 1,
    ).logits[:, :-1]
    return cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=_IGNORED, reduction="sum"
    )


def answer_tokens(batch: dict[str, Tensor]) -> int:
    """Number of tokens that a batch is asked for."""
    return int((batch["labels"] != _IGNORED).sum())


class ExplainerTrainer(GuardedTrainer):
    """Trains the adapter that is on a causal language model, on examples of :class:`Example`."""

    control: Any

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # The library would leave it to us to divide by the tokens of all batches of a step.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], **_: Any) -> Tensor:
        """Mean over the tokens of the answers.

        Raises:
            TrainingError: it is NaN or infinite; names the step.
        """
        loss: Tensor = self.guarded(
            answer_loss(model, inputs) / answer_tokens(inputs), int(inputs["attention_mask"].sum())
        )
        return loss

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """The loss on the held-out examples, which is also logged."""
        metrics = {f"{metric_key_prefix}_{METRIC}": self.held_out_loss()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def held_out_loss(self) -> float:
        """Mean over the tokens of all held-out answers, of the model as it is."""
        total, count = 0.0, 0
        training = self.model.training
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self.get_eval_dataloader():
                inputs = self._prepare_inputs(batch)
                total += float(answer_loss(self.model, inputs))
                count += answer_tokens(inputs)
        self.model.train(training)
        return total / count
