"""Whether an explanation says only what its evidence holds.

Every claim is checked against the evidence that it cites: each word is either in that evidence or one of the
general words of :mod:`llmrec.explain.words`, each quotation stands there as it is, each title is that of an
item it may name and is cited with a number of that item. The check is of words, not of meaning: true words in
an untrue order pass unless they are a title or a quotation.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmrec.explain.claim import ClaimCheck
from llmrec.explain.evidence import URL
from llmrec.explain.mentions import Subjects
from llmrec.explain.sources import Sources
from llmrec.explain.titles import TitleIndex
from llmrec.explain.tokens import Token, claims, tokenize
from llmrec.explain.words import plain_quotes, words
from llmrec.schema import Evidence, Item

LONGEST = 1500
"""Characters: the template writes so many where every fact is as long as evidence may be."""

_REPEATED = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_MARKUP = re.compile(r"[<>|`{}]|(?<!\w)#{2,}|---")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a check: ``reasons`` says what is wrong and where; ``cited`` the numbers, ascending."""

    ok: bool
    reasons: tuple[str, ...]
    cited: tuple[int, ...]


class Verifier:
    """Checks explanations of items of one catalog.

    Args:
        catalog_titles: every title of the catalog, to notice those that an explanation must not name.
    """

    def __init__(self, catalog_titles: Iterable[str]) -> None:
        self._titles = TitleIndex(catalog_titles)

    def check(self, text: str, item: Item, evidence: Sequence[Evidence]) -> Verdict:
        """Check an explanation of ``item`` against its numbered evidence."""
        text = unicodedata.normalize("NFC", plain_quotes(text))
        if reasons := tuple(_form(text)):
            return Verdict(False, reasons, ())
        tokens = tokenize(text)
        sources = Sources(item, evidence, cited=frozenset(n for token in tokens for n in token.numbers))
        reasons = (
            *_citations(tokens, sources),
            *self._claims(tokens, sources),
            *_repetitions(tokens, evidence),
        )
        return Verdict(not reasons, reasons, tuple(sorted(sources.cited & sources.facts.keys())))

    def _claims(self, tokens: Sequence[Token], sources: Sources) -> Iterator[str]:
        subjects = Subjects(sources.item_title)
        for claim in claims(tokens):
            check = ClaimCheck(claim, sources, self._titles)
            yield from check.reasons(subjects(claim, check.named))


def _form(text: str) -> Iterator[str]:
    """What is wrong with the text whatever its evidence."""
    if not text.strip():
        yield "the text is empty"
        return
    if len(text) > LONGEST:
        yield f"the text has {len(text)} characters, more than {LONGEST}"
    for name, pattern in (("control character", _CONTROL), ("markup", _MARKUP), ("URL", URL)):
        if found := pattern.search(text):
            yield f"{name} {found.group()!r} at character {found.start()}"
    if text.count('"') % 2:
        last = text.rfind('"')
        yield f"quotation mark without its pair at character {last}"
    if text.rstrip()[-1] not in '.!?"。！？':
        yield "the text ends in the middle of a sentence"


def _citations(tokens: Iterable[Token], sources: Sources) -> Iterator[str]:
    if not sources.cited:
        yield "nothing is cited"
    for token in tokens:
        if token.kind == "cite" and not token.numbers:
            yield f"{token.text} at character {token.start} is not a citation"
        for number in sorted(token.numbers - sources.facts.keys()):
            yield f"[{number}] at character {token.start} is not among the evidence"


def _repetitions(tokens: Iterable[Token], evidence: Iterable[Evidence]) -> Iterator[str]:
    """Runs of words that come again more often than in the evidence."""
    said = _runs(tuple(token.folded for token in tokens if token.kind == "word"))
    held = sum((_runs(words(fact.text)) for fact in evidence), Counter[tuple[str, ...]]())
    for run, count in said.items():
        if count > 1 and count > held[run]:
            yield f'"{" ".join(run)}" is repeated'


def _runs(text: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[at : at + _REPEATED]) for at in range(len(text) - _REPEATED + 1))
