"""Prompts for explanations: what the workspace's explainer writes by each of them, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmrec.config import ExplainSettings
from llmrec.evaluate.statistics import Difference, difference, interval
from llmrec.experiments.measures import distinct, held
from llmrec.explain import LANGUAGES, Case, gather
from llmrec.explain.generator import Generator
from llmrec.explain.verifier import Verifier
from llmrec.explain.words import words
from llmrec.progress import Progress, Task
from llmrec.prompts import Prompt
from llmrec.schema import Evidence, Item
from llmrec.training.explainer.checking import check

_TURN = 5
"""Cases of a turn: a model reads what all prompts of a turn begin with once, as it does in use."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote for a case.

    Args:
        text: its answer; empty where it gave none.
        verified: whether it passed the verifier, so that a user would read it.
        seconds: until it was there.
    """

    text: str
    verified: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class ExplanationRow:
    """What a prompt for explanations reaches and costs.

    Args:
        prompt: the prompt.
        verified: by case, whether a user would read what the model wrote, and not the template.
        difference: of their share to the first prompt's, by case; None for that prompt.
        words: mean length of the verified answers; None where there are none, as for the next three.
        distinct_1: of the verified answers, see :func:`llmrec.experiments.measures.distinct`.
        distinct_2: likewise.
        cited: mean share of the evidence that a verified answer cites.
        held: of all claims of all answers, refused ones too, the share that hold; None without claims.
        seconds: for one explanation, median.
    """

    prompt: Prompt
    verified: tuple[bool, ...]
    difference: Difference | None
    words: float | None
    distinct_1: float | None
    distinct_2: float | None
    cited: float | None
    held: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As ``llmrec prompts compare --json`` prints it."""
        return {
            "prompt": self.prompt.spec,
            "identity": self.prompt.identity,
            "verified": asdict(interval(np.array(self.verified, np.float64))),
            "difference": None if self.difference is None else asdict(self.difference),
            "words": self.words,
            "distinct_1": self.distinct_1,
            "distinct_2": self.distinct_2,
            "faithfulness": {"cited": self.cited, "held": self.held},
            "seconds": self.seconds,
        }


def compare_explanation_prompts(
    prompts: Sequence[Prompt],
    cases: Sequence[Case],
    generator: Generator,
    verifier: Verifier,
    settings: ExplainSettings,
    kept: MutableMapping[str, bytes],
    progress: Progress,
    *,
    grammar: bool = True,
) -> list[ExplanationRow]:
    """Let the explainer explain the same cases by each prompt.

    Args:
        prompts: the others are compared with the first.
        cases: at least one.
        generator: the explainer.
        verifier: of the cases' catalog.
        settings: of explanations; answers have more time than these say.
        kept: what a run that was stopped has written.
        progress: shows answers.
        grammar: whether answers are held to the grammar, as they are in use; without it the prompt alone
            decides what is written.

    Raises:
        PromptError: a prompt cannot be rendered, or lacks the line ``--- user ---``.
    """
    writer = _Recording(generator)
    answers: dict[str, list[Answer]] = {prompt.spec: [] for prompt in prompts}

    def ask(prompt: Prompt, number: int, task: Task) -> Answer:
        if (known := kept.get(f"{prompt.spec}-{number}")) is not None:
            task.advance()
            return Answer(**json.loads(known))
        writer.said = ""
        checked = check(writer, [cases[number]], verifier, prompt, settings, task, grammar=grammar)
        text = " ".join(writer.said.split())
        answer = Answer(text, checked.texts[0] is not None, checked.seconds[0])
        kept[f"{prompt.spec}-{number}"] = json.dumps(asdict(answer)).encode()
        return answer

    with progress.task("Explaining in turns", total=len(cases) * len(prompts), unit="explanations") as task:
        for start in range(0, len(cases), _TURN):
            for prompt in prompts:
                task.note(prompt.spec)
                for number in range(start, min(start + _TURN, len(cases))):
                    answers[prompt.spec].append(ask(prompt, number, task))
    given = [(case.item, gather(case, LANGUAGES[settings.language])) for case in cases]
    rows: list[ExplanationRow] = []
    for prompt in prompts:
        first = rows[0].verified if rows else None
        rows.append(_row(prompt, answers[prompt.spec], given, verifier, first))
    return rows


def _row(
    prompt: Prompt,
    answers: Sequence[Answer],
    given: Sequence[tuple[Item, Sequence[Evidence]]],
    verifier: Verifier,
    first: Sequence[bool] | None,
) -> ExplanationRow:
    texts = [answer.text for answer in answers if answer.verified]
    cited = [
        len(verifier.check(answer.text, item, evidence).cited) / len(evidence)
        for answer, (item, evidence) in zip(answers, given, strict=True)
        if answer.verified
    ]
    counts = [held(answer.text, *about, verifier) for answer, about in zip(answers, given, strict=True)]
    claims = sum(count for _, count in counts)
    verified = tuple(answer.verified for answer in answers)
    return ExplanationRow(
        prompt,
        verified,
        None if first is None else difference(np.array(verified, float), np.array(first, float)),
        float(np.mean([len(words(text)) for text in texts])) if texts else None,
        distinct(texts, 1) if texts else None,
        distinct(texts, 2) if texts else None,
        float(np.mean(cited)) if cited else None,
        sum(good for good, _ in counts) / claims if claims else None,
        float(np.median([answer.seconds for answer in answers])),
    )


class _Recording:
    """A generator that remembers what it said last, refused or not."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.said = ""

    @property
    def fingerprint(self) -> str:
        """That of the generator."""
        return self.generator.fingerprint

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        """See :class:`llmrec.explain.generator.Generator`."""
        self.said = self.generator.generate(
            system, user, max_tokens=max_tokens, timeout=timeout, grammar=grammar
        )
        return self.said
