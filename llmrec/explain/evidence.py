"""From what is known of a recommendation to the numbered facts that an explanation may cite."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from llmrec.documents import is_identifier
from llmrec.explain import chinese
from llmrec.explain.injection import addresses_model, before_turn
from llmrec.explain.languages import ENGLISH, Language
from llmrec.explain.words import WORD, words
from llmrec.schema import MEDIA_KINDS, Columns, Evidence, Item, TextPiece

TITLE_LENGTH = 80
TEXT_LENGTH = 120
CATEGORY_LENGTH = 30
_READ = 10_000
"""Characters of a text that are looked at."""

HISTORY = 3
CATEGORIES = 3
ATTRIBUTES = 2
"""At most so many of each: more make the prompt slow and the answer a list."""

URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)\S*", re.IGNORECASE)
_RULE = re.compile(r"([-#])\1+")
_TAG = re.compile(r"<[^<>]{0,40}>")
# Brackets are citations and double quotes are titles in an explanation; `<`, `>` and bars make the control
# tokens of chat templates, in some models full-width.
_RESERVED = str.maketrans('[]{}"“”„«»<>|＜＞｜`', "()()''''''      '")
_CITATION = re.compile(r"['\"“”]*\s*\[\s*\d{1,3}\s*\].*", re.DOTALL)
"""What follows a citation in a title was written to be read as the rest of an explanation."""

_ABBREVIATED = (
    *("[A-Z]", "Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr"),
    *("Capt", "Col", "Gen", "Lt", "Sgt", "vs"),
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])" + "".join(rf"(?<!\b{word}\.)" for word in _ABBREVIATED) + r"\s+|(?<=[。！？])"
)
_DANGLING = re.compile(
    r"(?: (?:an?|the|and|or|but|of|in|on|at|to|for|from|with|as|when|while|where|who|which|that|is|are))+$",
    re.IGNORECASE,
)
"""Words that a cut text should not end with: they begin something that is no longer there."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one recommendation.

    Args:
        item: the recommended item.
        history: the user's items that moved the score with their influence (above 0 helps), strongest first.
        contributions: each channel's share of the score.
        query: what the user asked for, if anything.
        together: ids of items of the history that several users chose as well as this one, each with the
            channel that learnt it from them.
    """

    item: Item
    history: tuple[tuple[Item, float], ...]
    contributions: Mapping[str, float]
    query: str = ""
    together: Mapping[str, str] = field(default_factory=dict)


def gather(case: Case, language: Language = ENGLISH, *, limit: int = 8) -> tuple[Evidence, ...]:
    """Number the facts of a case: query, history, others' choices, then what is known of the item.

    Deterministic, bounded in length, never empty. Texts are one line without URLs, double quotes, square
    brackets and control tokens of chat templates; sentences that address the model are left out.

    Args:
        language: of the words around what the catalog says.
        limit: the most facts, at least 1.
    """
    liked = [item for item, influence in case.history if influence > 0][: min(HISTORY, max(1, limit // 2))]
    facts = [
        *_query(case.query),
        *(_history(item, case.item, language) for item in liked),
        *_community(case, liked, language),
        *_fields(case.item, liked, case.query),
    ] or [_fact(case.item, "field", display_title(case.item), Columns.TITLE)]
    return tuple(replace(fact, number=number) for number, fact in enumerate(facts[:limit], start=1))


def display_title(item: Item) -> str:
    """The title as explanations write it: one clean line of at most 80 characters.

    It is the id where there is no title, or one that gives orders to a language model.
    """
    title = clean(_CITATION.sub("", before_turn(item.title)))
    if addresses_model(item.title, sure=True):
        title = ""
    return _cut(title, TITLE_LENGTH) or _cut(clean(item.item_id), TITLE_LENGTH) or "untitled"


def clean(text: str) -> str:
    """One line of text without anything that a prompt or an explanation reads as its own syntax."""
    text = "".join(
        " " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char
        for char in unicodedata.normalize("NFC", text)
        if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn")
    )
    text = _RULE.sub(r"\1", _TAG.sub(" ", text).translate(_RESERVED))
    text = URL.sub(" ", text)
    return " ".join(text.split())


def _history(item: Item, recommended: Item, language: Language) -> Evidence:
    theirs = _categories(item)
    shared = [category for category in _categories(recommended) if category in theirs][:CATEGORIES]
    alike = language.shared.replace("{}", ", ".join(shared)) if shared else ""
    return _fact(item, "history", _named(language.history, item, language) + alike, "history")


def _named(phrase: str, item: Item, language: Language) -> str:
    """A phrase that names an item."""
    return phrase.replace("{}", language.quoted(display_title(item)))


def _query(query: str) -> Iterator[Evidence]:
    if text := _sentence(query):
        yield Evidence(0, "query", text, "query")


def _community(case: Case, liked: Iterable[Item], language: Language) -> Iterator[Evidence]:
    """What others chose; who they are is not told."""
    for item in liked:
        if source := case.together.get(item.item_id):
            yield _fact(item, "community", _named(language.together, item, language), source)
            break
    share = case.contributions.get("popularity", 0.0)
    if share > 0 and share >= max(case.contributions.values()):
        yield _fact(case.item, "community", language.popular, "popularity")


def _fields(item: Item, liked: Iterable[Item], query: str) -> Iterator[Evidence]:
    if categories := _categories(item):
        yield _fact(item, "field", ", ".join(categories[:CATEGORIES]), Columns.CATEGORIES)
    if sentence := _sentence(item.text, query):
        yield _fact(item, "field", sentence, Columns.TEXT)
    media = {kind: list(_media(item, kind, query)) for kind in MEDIA_KINDS}
    yield from (*media["caption"], *media["transcript"])
    yield from islice(_shared_attributes(item, liked), ATTRIBUTES)
    yield from media["ocr"]


def _media(item: Item, kind: str, query: str) -> Iterator[Evidence]:
    """The sentence that pictures or speech hold of a kind: the nearest to the query, else the first.

    Nothing that its model may have guessed. A catalog's own caption or transcript counts as one.
    """
    pieces = [piece for piece in item.pieces if piece.kind == kind and not piece.unsure]
    if isinstance(said := item.attributes.get(kind), str):
        pieces.insert(0, TextPiece(kind, said, kind))
    told = [(text, piece) for piece in pieces if (text := _sentence(piece.text, query))]
    if told:
        text, piece = max(told, key=lambda one: _nearness(one[0], query))
        yield replace(_fact(item, "field", text, piece.origin), piece=replace(piece, text=text))


def _fact(item: Item, kind: Literal["history", "field", "community"], text: str, source: str) -> Evidence:
    """Evidence about an item, before it has its number."""
    return Evidence(0, kind, text, source, item.item_id, display_title(item))


def _shared_attributes(item: Item, liked: Iterable[Item]) -> Iterator[Evidence]:
    """Attributes in words (a director, a brand) that the item shares with one of the history."""
    others = list(liked)
    for name in sorted(item.attributes):
        theirs = {value for other in others for value in _words_of(other.attributes.get(name))}
        shared = [value for value in _words_of(item.attributes[name]) if value in theirs]
        if shared and name not in MEDIA_KINDS and not is_identifier(name, item.attributes[name]):
            yield _fact(item, "field", _cut(f"{clean(name)}: {', '.join(shared)}", TEXT_LENGTH), name)


def _words_of(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for entry in values if isinstance(entry, str) and (text := _stated(entry))]


def _categories(item: Item) -> list[str]:
    names = dict.fromkeys(_cut(_stated(name, sure=True), CATEGORY_LENGTH) for name in item.categories)
    return [name for name in names if name]


def _stated(text: str, *, sure: bool = False) -> str:
    """A short text, clean; empty if it talks to a language model."""
    return "" if addresses_model(text[:_READ], sure=sure) else clean(before_turn(text[:_READ]))


def _sentence(text: str, query: str = "") -> str:
    """The sentence that shares most words with the query, else the first that states something."""
    sentences = [
        sentence
        for sentence in _SENTENCE_END.split(clean(before_turn(text[:_READ])))
        if WORD.search(sentence) and not addresses_model(sentence)
    ]
    best = max(sentences, key=lambda sentence: _nearness(sentence, query), default="")
    return _cut(best.rstrip("。. "), TEXT_LENGTH)


def _nearness(text: str, query: str) -> int:
    """How many words of a query a text has; of Chinese, characters."""
    asked, said = (
        {part for word in words(each) for part in (word if chinese.is_run(word) else (word,))}
        for each in (query, text)
    )
    return len(asked & said)


def _cut(text: str, length: int) -> str:
    """At most ``length`` characters, cut after a clause or else between words."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    clause = max(head.rfind(mark) for mark in (", ", "; ", ": ", " - ", "，", "；", "："))
    end = clause if clause > length // 2 else head.rfind(" ")
    kept = head[: end if end > 0 else length - 1].rstrip(" ,;:-")
    return _DANGLING.sub("", kept).rstrip(" ,;:-") + "…"
