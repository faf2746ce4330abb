"""What a run reads: pictures with the tokens of their captions, to learn from and held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmrec import assets
from llmrec.errors import TrainingError
from llmrec.modality.blip.words import CaptionTokenizer
from llmrec.training.captioner.base import Base
from llmrec.training.captioner.pairs import LeftOut, Pair, Pairs, counts
from llmrec.training.settings import CaptionerSettings

LEAST = 20
"""Pictures below which nothing can be learnt."""
_LEAST_HELD_OUT = 2
"""So many it takes to show each caption with a wrong picture."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture and the tokens of each of its captions, from the start token on."""

    pair: Pair
    captions: tuple[tuple[int, ...], ...]

    @property
    def place(self) -> float:
        """Where the picture falls between 0 and 1, by the SHA-256 of its content."""
        return int(self.pair.content[:13], 16) / 16.0**13


class Material:
    """The examples of a run.

    Whether a picture is held out depends on its content alone, so that it still is when others have joined,
    and when the next run goes on from the result of this one.

    Args:
        pairs: what the source gives.
        base: the model.
        settings: of the run.
        prompt: words that begin every caption.

    Raises:
        TrainingError: too few pictures are left, or none is held out.
        AssetError: the tokenizer is malformed.
    """

    def __init__(self, pairs: Pairs, base: Base, settings: CaptionerSettings, prompt: str) -> None:
        self.pairs, self.base, self.settings = pairs, base, settings
        self.tokenizer = CaptionTokenizer(base.folder, prompt)
        self.left_out = [*pairs.left_out]
        self.cut = 0
        examples = [example for pair in pairs.pairs if (example := self._example(pair)) is not None]
        held_out = [example for example in examples if example.place < settings.held_out]
        self.held_out = sorted(held_out, key=lambda example: example.place)[: settings.validated]
        self.learnt = [example for example in examples if example.place >= settings.held_out]
        self.spared = len(held_out) - len(self.held_out)
        self._check_enough()

    @property
    def prefix(self) -> tuple[int, ...]:
        """Tokens that begin every caption and are not learnt."""
        return self.tokenizer.prefix

    @property
    def identity(self) -> str:
        """Changes with whatever the data of a run depend on."""
        known = [
            self.settings.model_dump(mode="json"),
            self.pairs.digest(),
            self.base.fingerprint,
            assets.fingerprint(self.settings.teacher) if self.settings.teacher else None,
            self.prefix,
            np.__version__,  # decides what is drawn at random
        ]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @property
    def wanted(self) -> list[Pair]:
        """Pictures whose features are needed."""
        return [example.pair for example in (*self.held_out, *self.learnt)]

    def without(self, left_out: Sequence[LeftOut]) -> None:
        """Leave out pictures that turned out not to be readable.

        Raises:
            TrainingError: too few are left.
        """
        gone = {one.content for one in left_out}
        self.left_out += left_out
        self.learnt = [example for example in self.learnt if example.pair.content not in gone]
        self.held_out = [example for example in self.held_out if example.pair.content not in gone]
        self._check_enough()

    def facts(self) -> dict[str, Any]:
        """Counts and terms of the data, for the card."""
        return {
            "pairs": self.pairs.digest(),
            "pictures": len(self.learnt),
            "captions": sum(len(example.captions) for example in self.learnt),
            "held_out_pictures": len(self.held_out),
            "held_out_not_measured": self.spared,
            "left_out": counts(self.left_out),
            "captions_cut": self.cut,
            "terms": self.settings.terms or None,
        }

    def _example(self, pair: Pair) -> Example | None:
        longest = min(self.settings.max_tokens, self.base.folder.positions - len(self.prefix) - 1)
        captions = []
        for caption in pair.captions:
            if not (words := self.tokenizer.tokens(caption)):
                continue
            # One that was cut does not end there: the model must not learn to stop in a sentence.
            end = () if len(words) > longest else (self.base.folder.end_token,)
            self.cut += not end
            captions.append((*self.prefix, *words[:longest], *end))
        if not captions:
            reason = "the vocabulary of the model has none of its words"
            self.left_out.append(LeftOut(pair.where, pair.path.name, "no known words", reason))
            return None
        return Example(pair, tuple(dict.fromkeys(captions)))

    def _check_enough(self) -> None:
        gone = ", ".join(f"{count} with {kind}" for kind, count in counts(self.left_out).items())
        gone = f" (left out: {gone})" if gone else ""
        if len(self.learnt) < LEAST:
            raise TrainingError(
                f"{len(self.learnt)} pictures with captions can be learnt from, and it takes {LEAST}{gone}",
                "Add pictures with captions, or name other columns as `texts` of the recipe.",
            )
        if len(self.held_out) < _LEAST_HELD_OUT:
            raise TrainingError(
                f"{len(self.held_out)} pictures are held out, and it takes {_LEAST_HELD_OUT}{gone}",
                "Raise `held_out` of the recipe.",
            )
