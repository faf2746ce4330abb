"""What held-out pictures say of a network: losses with the right and a wrong picture, and captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from llmrec.errors import TrainingError
from llmrec.evaluate.captions import bleu4, cider_d, words
from llmrec.modality.blip.captioner import Decoding
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.torch_engine import generate
from llmrec.modality.blip.words import CaptionTokenizer
from llmrec.training.captioner.features import Features
from llmrec.training.captioner.material import Example
from llmrec.training.captioner.network import CaptionNetwork, evaluating
from llmrec.training.captioner.trainer import IGNORED, Collator

METRIC, SHUFFLED = "held_out_loss", "shuffled_loss"
"""Mean negative logarithm of the probability of a token of a held-out caption, in nats, with its picture and
with that of another."""
_LONGEST = 24
"""Tokens of a caption that is written."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Pictures that nothing is learnt from.

    Args:
        examples: at least two.
        features: of each, (pictures, tokens, width).
        tokenizer: of the model.
        folder: of the model.
        batch_size: captions at once.
    """

    examples: Sequence[Example]
    features: Features
    tokenizer: CaptionTokenizer
    folder: BlipFolder
    batch_size: int

    def losses(self, network: CaptionNetwork) -> dict[str, float]:
        """:data:`METRIC` and :data:`SHUFFLED`, means over all tokens; each picture stands in for the next.

        Raises:
            TrainingError: one is NaN or infinite.
        """
        places = np.arange(len(self.examples))
        losses = {METRIC: self._loss(network, places), SHUFFLED: self._loss(network, np.roll(places, 1))}
        if not np.isfinite([*losses.values()]).all():
            raise TrainingError(
                f"fine-tuning: the loss on held-out pictures is {losses[METRIC]}",
                "Set a lower learning_rate; before the first step, the weights of the model are damaged.",
            )
        return losses

    def captions(self, network: CaptionNetwork, count: int) -> list[str]:
        """What the network calls the first ``count`` pictures, greedily."""
        texts: list[str] = []
        with evaluating(network):
            for start in range(0, min(count, len(self.examples)), self.batch_size):
                features = self.features[start : min(start + self.batch_size, count)]
                texts += self._greedy(network, _tensor(features, network))
        return texts

    def scores(self, network: CaptionNetwork) -> dict[str, float]:
        """BLEU-4 (0 to 1) and CIDEr-D (0 to 10) of greedy captions of all pictures."""
        made = [words(text) for text in self.captions(network, len(self.examples))]
        known = [[words(one) for one in example.pair.captions] for example in self.examples]
        return {"bleu4": bleu4(made, known), "cider_d": cider_d(made, known)}

    def _loss(self, network: CaptionNetwork, pictures: NDArray[np.intp]) -> float:
        total, count = 0.0, 0
        with evaluating(network):
            for batch in self._batches(pictures):
                batch = {name: tensor.to(_device(network)) for name, tensor in batch.items()}
                logits, _ = network(batch["features"], batch["input_ids"])
                labels = batch["labels"].flatten()
                total += float(
                    cross_entropy(logits.flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum")
                )
                count += int((labels != IGNORED).sum())
        return total / count

    def _batches(self, pictures: NDArray[np.intp]) -> Iterator[dict[str, Tensor]]:
        collate = Collator(len(self.tokenizer.prefix), self.folder.pad_token)
        rows = [
            (self.features[pictures[at]], caption, None)
            for at, example in enumerate(self.examples)
            for caption in example.captions
        ]
        for start in range(0, len(rows), self.batch_size):
            yield collate(rows[start : start + self.batch_size])

    def _greedy(self, network: CaptionNetwork, features: Tensor) -> list[str]:
        patches = network.patches(features).float()
        prefix = self.tokenizer.prefix
        longest = min(_LONGEST, self.folder.positions - len(prefix))
        with torch.autocast(patches.device.type, torch.bfloat16, enabled=network.in_bfloat16):
            made = generate(network.blip, self.folder, Decoding(prefix, 1, 0, longest), patches)
        return [
            self.tokenizer.text(_until(row, self.folder.end_token)) for row in made[:, len(prefix) :].tolist()
        ]


def _until(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens


def _tensor(features: Features, network: CaptionNetwork) -> Tensor:
    return torch.from_numpy(np.asarray(features)).float().to(_device(network))


def _device(network: CaptionNetwork) -> torch.device:
    return next(network.parameters()).device
