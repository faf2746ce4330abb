"""Evidence → prompt → generator → verifier, with a template where any of them falls short."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Literal, Protocol

from llmrec.config import ExplainSettings
from llmrec.errors import AssetError, PromptError
from llmrec.explain import grammar, template
from llmrec.explain.evidence import Case, display_title, gather
from llmrec.explain.generator import GenerationError, Generator, Question, Told, load_generator, many
from llmrec.explain.languages import LANGUAGES
from llmrec.explain.verifier import Verdict, Verifier
from llmrec.progress import NoProgress, Progress
from llmrec.schema import Evidence, Explanation, Item

USER_PART = "\n--- user ---\n"
"""The line of the prompt between the system message and the user's."""

_WARNINGS = 5
"""Failures of a generator that are warned of; more of them would say no more."""

_log = logging.getLogger(__name__)


class Prompt(Protocol):
    """A template with a name and a version, such as :func:`llmrec.prompts.load_prompt` returns."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def version(self) -> int:
        """Raised by whoever changes the text."""

    def render(self, *, title: str, evidence: Sequence[Evidence]) -> str:
        """The text for a title and its evidence."""


def messages(prompt: Prompt, item: Item, evidence: Sequence[Evidence]) -> tuple[str, str]:
    """The system message and the user's, for an item and its evidence.

    Raises:
        PromptError: the prompt cannot be rendered, or lacks the line ``--- user ---``.
    """
    system, line, user = prompt.render(title=display_title(item), evidence=evidence).partition(USER_PART)
    if not line:
        raise PromptError(f"prompt {prompt.name!r} has no line {USER_PART.strip()!r}")
    return system, user


class Explainer:
    """Explains recommendations; safe to call from many threads if the generator and the cache are.

    Args:
        generator: None writes every explanation by template.
        verifier: of the catalog that the items are of.
        prompt: renders ``title`` and ``evidence`` into a system and a user message.
        settings: the language and length of an answer, how many tries there are, and the seconds to wait for
            them.
        cache: the generator's answers as JSON, by a key of everything that shaped them: the messages that the
            prompt made of the user's state and the item, the evidence, the item's id, the prompt's name and
            version, what holds the answer to the evidence, its length, and the model. An answer is verified
            whenever it is used, also from the cache. None keeps nothing.
    """

    def __init__(
        self,
        generator: Generator | None,
        verifier: Verifier,
        prompt: Prompt,
        settings: ExplainSettings,
        cache: MutableMapping[str, str] | None = None,
    ) -> None:
        self.generator = generator
        self.verifier = verifier
        self.prompt = prompt
        self.settings = settings
        self.language = LANGUAGES[settings.language]
        self.cache = cache
        self._warned: set[str] = set()

    def explain(self, case: Case, told: Told | None = None) -> Explanation:
        """Why ``case.item`` was recommended, in a few sentences that cite their evidence.

        An answer that the verifier refuses is asked for once more (``settings.tries``). One that is refused
        again, late, or fails is replaced by the template. The reasons are logged: what the generator fails
        for once as a warning, everything at level INFO.

        Args:
            told: hears the answer while the generator writes it, unverified; a second try begins anew. What
                is returned counts.

        Raises:
            PromptError: the prompt cannot be rendered, or lacks the line ``--- user ---``.
        """
        (explanation,) = self._explain([case], told)
        return explanation

    def explain_each(self, cases: Iterable[Case], told: Told | None = None) -> Iterator[Explanation]:
        """Explain cases as :meth:`explain` does, in their order, as many at once as the generator likes.

        One that fails does not touch the others. ``settings.timeout`` is for those that are written at once.

        Args:
            told: as for :meth:`explain`, of each case that is explained alone.
        """
        waiting = iter(cases)
        size = 1 if self.generator is None else many(self.generator).batch_size
        while batch := [*islice(waiting, size)]:
            yield from self._explain(batch, told if len(batch) == 1 else None)

    def _explain(self, cases: Sequence[Case], told: Told | None = None) -> list[Explanation]:
        drafts = [_Draft(case.item, gather(case, self.language)) for case in cases]
        if self.generator is not None:
            left, began, asked = self.settings.timeout, time.monotonic(), drafts
            for attempt in range(self.settings.tries):
                for draft, answer in zip(asked, self._answers(asked, attempt, left, told), strict=True):
                    self._judge(draft, answer)
                asked = [draft for draft in asked if draft.refused]
                left = self.settings.timeout - (time.monotonic() - began)
                if not asked:
                    break
        return [draft.accepted or self._from_template(draft) for draft in drafts]

    def _judge(self, draft: _Draft, answer: str | GenerationError) -> None:
        """Accept an answer, or log what is wrong with it."""
        draft.refused = False
        if isinstance(answer, GenerationError):
            if answer.message not in self._warned and len(self._warned) < _WARNINGS:
                self._warned.add(answer.message)
                _log.warning("an explanation comes from the template: %s", answer)
            _log.info("%s: template used: %s", draft.item.item_id, answer.message)
            return
        verdict = self.verifier.check(answer, draft.item, draft.evidence)
        if verdict.ok:
            draft.accepted = _explanation(answer, "model", verdict, draft.evidence)
            return
        draft.refused = True
        _log.info("%s: refused: %s; %s", draft.item.item_id, answer, "; ".join(verdict.reasons))

    def _from_template(self, draft: _Draft) -> Explanation:
        text = template.write(draft.item, draft.evidence, self.language)
        verdict = self.verifier.check(text, draft.item, draft.evidence)
        return _explanation(text, "template", verdict, draft.evidence)

    def _answers(
        self, drafts: Sequence[_Draft], attempt: int, left: float, told: Told | None
    ) -> list[str | GenerationError]:
        """An answer for each draft, from the cache or else from the generator."""
        assert self.generator is not None
        generator = many(self.generator)
        questions = [self._question(draft, attempt) for draft in drafts]
        keys = [
            _digest(
                asdict(question),
                attempt,
                [fact.to_json() for fact in draft.evidence],
                draft.item.item_id,
                self.prompt.name,
                self.prompt.version,
                generator.fingerprint,
            )
            for draft, question in zip(drafts, questions, strict=True)
        ]
        cache = {} if self.cache is None else self.cache
        answers: dict[str, str | GenerationError] = {
            key: text for key in keys if (text := _cached(cache.get(key))) is not None
        }
        missing = {key: question for key, question in zip(keys, questions, strict=True) if key not in answers}
        if missing and left <= 0:
            late = GenerationError(f"no verified answer within {self.settings.timeout:g} s")
            answers |= dict.fromkeys(missing, late)
        elif missing:
            written = generator.generate_all([*missing.values()], timeout=left, told=told)
            for key, answer in zip(missing, written, strict=True):
                answers[key] = answer if isinstance(answer, GenerationError) else " ".join(answer.split())
                if not isinstance(answer, GenerationError):
                    cache[key] = json.dumps({"text": answers[key]})
        return [answers[key] for key in keys]

    def _question(self, draft: _Draft, attempt: int) -> Question:
        system, user = messages(self.prompt, draft.item, draft.evidence)
        constraint = self.settings.constraint
        rules = constraint in ("auto", "grammar")
        return Question(
            system,
            f"{user}{self.language.again}" if attempt else user,
            self.settings.max_tokens,
            grammar.build(draft.item, draft.evidence, self.language) if rules else None,
            tuple(fact.number for fact in draft.evidence) if constraint in ("auto", "schema") else (),
            again=attempt > 0,
        )


@dataclass(slots=True)
class _Draft:
    """An explanation that is being written. ``refused``: its newest answer was, by the verifier."""

    item: Item
    evidence: tuple[Evidence, ...]
    accepted: Explanation | None = None
    refused: bool = False


def load_explainer(
    spec: str,
    prompt: Prompt,
    settings: ExplainSettings,
    titles: Iterable[str],
    cache: MutableMapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Explainer:
    """The explainer of a workspace.

    A model that cannot be had is no reason to explain nothing: a warning is logged, and the template writes.

    Args:
        spec: see :func:`llmrec.explain.generator.load_generator`.
        prompt: see :class:`Explainer`.
        settings: see :class:`Explainer`.
        titles: every title of the catalog, so that the verifier knows one when it reads it.
        cache: see :class:`Explainer`.
        progress: where a download shows itself.

    Raises:
        UnsafeFileError: a file of the model is not what it should be.
        ConfigError: there is no such plug-in, the endpoint is not named as it should be, or llama.cpp cannot
            load the model.
        MissingExtraError: the precision needs bitsandbytes and that is not installed.
    """
    generator: Generator | None = None
    try:
        generator = load_generator(spec, progress or NoProgress(), settings)
    except AssetError as error:
        _log.warning("explanations come from the template: %s", error)
    return Explainer(generator, Verifier(titles), prompt, settings, cache)


def _explanation(
    text: str, source: Literal["model", "template"], verdict: Verdict, evidence: Sequence[Evidence]
) -> Explanation:
    citations = tuple(fact for fact in evidence if fact.number in verdict.cited)
    return Explanation(text, source, verdict.ok, citations)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _cached(value: str | None) -> str | None:
    """The text of a cache entry; None if there is none, or it is not one of ours."""
    try:
        entry = json.loads(value) if value is not None else None
    except ValueError:
        return None
    text = entry.get("text") if isinstance(entry, dict) else None
    return text if isinstance(text, str) else None
