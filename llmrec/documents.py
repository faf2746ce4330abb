"""Items and users become text: which pieces, in which order, and what is cut when they do not fit.

The important pieces come first and are the last to be cut: title and categories, short attributes, captions
of pictures, the item's text, long attributes, speech, words in pictures; for a user the profile, then items
from the newest to the oldest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llmrec.config import DocumentSettings
from llmrec.prompts import Prompt
from llmrec.schema import MODALITIES, AttributeValue, Columns, Document, Item, Modality, TextPiece, User

_SHORT = 80
"""Characters up to which an attribute counts as short and goes before the item's text."""

_WORTH_KEEPING = 8
"""Tokens that must be left of a field for it to be shortened and not dropped."""

_MEDIA_NAMES = {
    "caption": "picture",
    "transcript": "speech",
    "ocr": "words in the picture",
    "look": "colours",
}
"""What each kind of piece is called in a document."""

_MODALITIES: dict[str, Modality] = {
    "caption": "picture",
    "transcript": "sound",
    "ocr": "picture",
    "look": "picture",
}
"""The modality of each kind of piece; of everything else it is text."""

_WRITTEN_KINDS = {Columns.TEXT: "text", Columns.CAPTION: "caption", Columns.TRANSCRIPT: "transcript"}

_ID_NAME = re.compile(r"(^|[\W_])(id|uuid|url|uri|href|path|source)s?$", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://\S+$", re.IGNORECASE)


class Tokenizer(Protocol):
    """The part of an encoder that documents need."""

    @property
    def max_tokens(self) -> int:
        """Tokens of content that the encoder reads; what is beyond is lost."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Content tokens of each text."""

    def cut(self, text: str, tokens: int) -> str:
        """The longest prefix of at most ``tokens`` tokens."""


@dataclass(slots=True)
class Field:
    """A named piece of text inside a template; mutable, since cutting shortens it.

    ``source`` is the column that it came from, of media the kind of piece; ``name`` how a reader would call
    it.
    """

    name: str
    text: str
    source: str
    modality: Modality = "text"


@dataclass(frozen=True, slots=True)
class _Draft:
    head: str
    render: Mapping[str, object]
    fields: list[Field]
    pieces: tuple[TextPiece, ...]


class ItemDocuments:
    """Turns items into documents that fit the encoder.

    ``skipped`` names the attributes that were kept out since they look like identifiers or URLs, which say
    nothing to a language model; ``DocumentSettings.include`` brings one back.
    """

    def __init__(self, prompt: Prompt, settings: DocumentSettings, tokenizer: Tokenizer) -> None:
        self.prompt = prompt
        self.settings = settings
        self.tokenizer = tokenizer
        self.skipped: set[str] = set()

    def __call__(self, items: Sequence[Item]) -> list[Document]:
        """Documents of ``items``, in their order."""
        return _fit(self.prompt, [self._draft(item) for item in items], self.tokenizer)

    def by_modality(self, items: Sequence[Item]) -> list[dict[Modality, str]]:
        """For each item the text of each modality that it has, rendered by the same prompt.

        Only the catalog's text has the title and the categories. Empty where an item has nothing but that
        text: its document is the text of the modality.
        """
        parts = [self._parts(item) for item in items]
        drafts = [draft for part in parts for draft in part.values()]
        documents = iter(_fit(self.prompt, drafts, self.tokenizer))
        found = [{modality: text for modality in part if (text := next(documents).text)} for part in parts]
        return [each if each.keys() - {"text"} else {} for each in found]

    def _parts(self, item: Item) -> dict[Modality, _Draft]:
        """A draft for each modality of an item that may have another one than text."""
        if not item.pieces and not item.attributes.keys() & {Columns.CAPTION, Columns.TRANSCRIPT}:
            return {}
        draft = self._draft(item)
        parts: dict[Modality, _Draft] = {}
        for modality in MODALITIES:
            fields = [field for field in draft.fields if field.modality == modality]
            head = draft.render if modality == "text" else {"title": "", "categories": ()}
            if fields or any(head.values()):
                parts[modality] = _Draft(draft.head, head, fields, ())
        return parts

    def _draft(self, item: Item) -> _Draft:
        short: list[Field] = []
        long: list[Field] = []
        for name, value in item.attributes.items():
            if self._says_nothing(name, value):
                self.skipped.add(name)
                continue
            text = attribute_text(value)
            (short if len(text) <= _SHORT else long).append(_attribute(name, text))
        about = [Field("about", item.text, Columns.TEXT)] if item.text else []
        media = media_fields(item.pieces)
        after = [field for kind in ("transcript", "ocr", "look") for field in media[kind]]
        head = {"title": item.title, "categories": item.categories}
        pieces = (*self._written(item, [*short, *about, *long]), *item.pieces)
        return _Draft(Columns.TITLE, head, [*short, *media["caption"], *about, *long, *after], pieces)

    def _written(self, item: Item, fields: Iterable[Field]) -> Iterator[TextPiece]:
        """The pieces that the catalog itself says."""
        if item.title:
            yield TextPiece("title", item.title, Columns.TITLE)
        for name in item.categories:
            yield TextPiece("category", name, Columns.CATEGORIES)
        for field in fields:
            yield TextPiece(_WRITTEN_KINDS.get(field.source, "attribute"), field.text, field.source)

    def _says_nothing(self, name: str, value: AttributeValue) -> bool:
        if name in self.settings.include:
            return False
        return name in self.settings.exclude or is_identifier(name, value)


class UserDocuments:
    """Turns users and the newest items of their history into documents that fit the encoder."""

    def __init__(self, prompt: Prompt, settings: DocumentSettings, tokenizer: Tokenizer) -> None:
        self.prompt = prompt
        self.settings = settings
        self.tokenizer = tokenizer

    def __call__(self, users: Sequence[tuple[User, Sequence[Item]]]) -> list[Document]:
        """Documents of (user, history) pairs; histories are newest first and cut to the configured length."""
        drafts = []
        for user, history in users:
            profile = [_attribute(name, attribute_text(value)) for name, value in user.profile.items()]
            fields = [Field("item", item_line(item), "history") for item in history[: self.settings.history]]
            pieces = tuple(TextPiece("item", field.text, field.source) for field in fields)
            drafts.append(_Draft("profile", {"profile": profile}, fields, pieces))
        return _fit(self.prompt, drafts, self.tokenizer)


def item_line(item: Item) -> str:
    """An item in one line, as it stands in a user's document."""
    title = item.title or item.item_id
    return f"{title} ({', '.join(item.categories)})" if item.categories else title


def is_identifier(name: str, value: AttributeValue) -> bool:
    """Whether an attribute identifies or locates rather than describes: ids, links, sources."""
    if _ID_NAME.search(_CAMEL.sub("_", name)):
        return True
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return bool(values) and all(_URL.match(text) for text in values)


def attribute_text(value: AttributeValue) -> str:
    """An attribute's value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    return str(value)


def media_fields(pieces: Sequence[TextPiece]) -> dict[str, list[Field]]:
    """What models said of an item's media, a field for each file.

    Colours are told only of pictures that have no caption, which says more.
    """
    told = [piece for piece in pieces if not piece.unsure]
    captioned = {piece.source for piece in told if piece.kind == "caption"}
    fields: dict[str, list[Field]] = {kind: [] for kind in _MEDIA_NAMES}
    for kind, name in _MEDIA_NAMES.items():
        texts: dict[str, list[str]] = {}
        for piece in told:
            if piece.kind == kind and not (kind == "look" and piece.source in captioned):
                texts.setdefault(piece.source, []).append(" ".join(piece.text.split()))
        join = " " if kind == "transcript" else ". "
        fields[kind] = [Field(name, join.join(said), kind, _MODALITIES[kind]) for said in texts.values()]
    return fields


def _attribute(name: str, text: str) -> Field:
    modality = _MODALITIES[name] if name in (Columns.CAPTION, Columns.TRANSCRIPT) else "text"
    return Field(name.replace("_", " "), text, name, modality)


def _fit(prompt: Prompt, drafts: Iterable[_Draft], tokenizer: Tokenizer) -> list[Document]:
    drafts = list(drafts)
    texts = [prompt.render(**draft.render, fields=draft.fields) for draft in drafts]
    counts = tokenizer.count_tokens(texts)
    return [
        Document(text, draft.pieces)
        if count <= tokenizer.max_tokens
        else _cut(prompt, draft, text, count, tokenizer)
        for draft, text, count in zip(drafts, texts, counts, strict=True)
    ]


def _cut(prompt: Prompt, draft: _Draft, text: str, count: int, tokenizer: Tokenizer) -> Document:
    """Shorten the last field until the text fits; a head that alone is too long is cut as a whole."""
    fields, limit = draft.fields, tokenizer.max_tokens
    lengths = tokenizer.count_tokens([field.text for field in fields])
    lost: Counter[str] = Counter()
    while fields and count > limit:
        field, length = fields[-1], lengths.pop()
        kept = length - (count - limit)
        # A field cut to its first few words says nothing: it goes as a whole, with its label.
        field.text = tokenizer.cut(field.text, kept) if kept >= _WORTH_KEEPING else ""
        if field.text:
            lengths += tokenizer.count_tokens([field.text])
            lost[field.source] += length - lengths[-1]
        else:
            fields.pop()
            lost[field.source] += length
        text = prompt.render(**draft.render, fields=fields)
        count = tokenizer.count_tokens([text])[0]
    if count > limit:
        text = tokenizer.cut(text, limit)
        lost[draft.head] += count - tokenizer.count_tokens([text])[0]
    return Document(text, draft.pieces, dict(lost))
