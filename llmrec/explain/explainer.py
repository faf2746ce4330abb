"""Evidence → prompt → generator → verifier, with a template where any of them falls short."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Literal, Protocol

from llmrec.config import ExplainSettings
from llmrec.errors import AssetError, PromptError
from llmrec.explain import grammar, template
from llmrec.explain.evidence import Case, display_title, gather
from llmrec.explain.generator import GenerationError, Generator, load_generator
from llmrec.explain.languages import LANGUAGES
from llmrec.explain.verifier import Verdict, Verifier
from llmrec.progress import NoProgress, Progress
from llmrec.schema import Evidence, Explanation, Item

USER_PART = "\n--- user ---\n"
"""The line of the prompt between the system message and the user's."""

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
        settings: the language and length of an answer, and the seconds to wait for it.
        cache: the generator's answers as JSON, by a key of everything that shaped them. An answer is verified
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

    def explain(self, case: Case) -> Explanation:
        """Why ``case.item`` was recommended, in a few sentences that cite their evidence.

        A failed, late or refused answer of the generator is replaced by the template; the reasons are logged
        at level INFO.

        Raises:
            PromptError: the prompt cannot be rendered, or lacks the line ``--- user ---``.
        """
        item, evidence = case.item, gather(case, self.language)
        if self.generator is not None:
            try:
                text = self._answer(self.generator, item, evidence)
            except GenerationError as error:
                _log.info("%s: template used: %s", item.item_id, error.message)
            else:
                verdict = self.verifier.check(text, item, evidence)
                if verdict.ok:
                    return _explanation(text, "model", verdict, evidence)
                _log.info(
                    "%s: template used: %s; refused: %s", item.item_id, "; ".join(verdict.reasons), text
                )
        text = template.write(item, evidence, self.language)
        return _explanation(text, "template", self.verifier.check(text, item, evidence), evidence)

    def _answer(self, generator: Generator, item: Item, evidence: Sequence[Evidence]) -> str:
        system, user = messages(self.prompt, item, evidence)
        key = _digest(
            f"{system}{USER_PART}{user}",
            [fact.to_json() for fact in evidence],
            item.item_id,
            self.prompt.name,
            self.prompt.version,
            generator.fingerprint,
            self.settings.max_tokens,
        )
        if self.cache is not None and (known := _cached(self.cache.get(key))) is not None:
            return known
        answer = generator.generate(
            system,
            user,
            max_tokens=self.settings.max_tokens,
            timeout=self.settings.timeout,
            grammar=grammar.build(item, evidence, self.language),
        )
        text = " ".join(answer.split())
        if self.cache is not None:
            self.cache[key] = json.dumps({"text": text})
        return text


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
        spec: an asset's name or URI (a GGUF file), or ``plugin:NAME``.
        prompt: see :class:`Explainer`.
        settings: see :class:`Explainer`.
        titles: every title of the catalog, so that the verifier knows one when it reads it.
        cache: see :class:`Explainer`.
        progress: where a download shows itself.

    Raises:
        UnsafeFileError: the model's file is not what it should be.
        ConfigError: there is no such plug-in, or llama.cpp cannot load the model.
    """
    generator: Generator | None = None
    try:
        generator = load_generator(spec, progress or NoProgress())
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
