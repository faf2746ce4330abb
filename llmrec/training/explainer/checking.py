"""How many of a model's explanations pass the verifier, with and without the grammar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from llmrec.config import ExplainSettings
from llmrec.explain.evidence import Case
from llmrec.explain.explainer import Explainer, Prompt
from llmrec.explain.generator import Generator
from llmrec.explain.verifier import Verifier
from llmrec.progress import Task

_PATIENCE = 120.0
"""Seconds for an answer: here the question is what is written, not how soon."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a model wrote: texts that passed and their share, None for others; seconds of each answer."""

    texts: tuple[str | None, ...]
    seconds: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the answers that passed, 0 to 1."""
        return sum(text is not None for text in self.texts) / len(self.texts)


def check(
    generator: Generator,
    cases: Sequence[Case],
    verifier: Verifier,
    prompt: Prompt,
    settings: ExplainSettings,
    task: Task,
    *,
    grammar: bool,
) -> Checked:
    """Let a model explain cases.

    Args:
        generator: the model.
        cases: at least one.
        verifier: of their catalog.
        prompt: see :class:`llmrec.explain.explainer.Explainer`.
        settings: of explanations; their timeout is not kept, and there is one try.
        task: counts answers.
        grammar: whether the answers are held to the grammar, as they are in use.
    """
    held = {} if grammar else {"constraint": "none"}
    patient = settings.model_copy(update={"timeout": _PATIENCE, "tries": 1, **held})
    explainer = Explainer(generator, verifier, prompt, patient)
    texts, seconds = [], []
    for case in cases:
        began = time.monotonic()
        written = explainer.explain(case)
        seconds.append(time.monotonic() - began)
        texts.append(written.text if written.source == "model" else None)
        task.advance()
    return Checked(tuple(texts), tuple(seconds))
