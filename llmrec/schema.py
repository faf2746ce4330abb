"""The vocabulary of llmrec: items, users, interactions, and what is said about them.

Everything here is a plain value that knows nothing of files, models or stores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

AttributeValue = bool | int | float | str | list[str]
"""What an attribute may hold: a scalar, or a list of strings."""

Modality = Literal["text", "picture", "sound"]
"""What an item's words come from: its catalog, its pictures and the frames of its videos, or speech."""

MODALITIES: tuple[Modality, ...] = get_args(Modality)


class Columns:
    """Names of the known columns, used everywhere instead of bare strings."""

    ITEM = "item_id"
    USER = "user_id"
    TIMESTAMP = "timestamp"
    WEIGHT = "weight"
    TEXT = "text"
    TITLE = "title"
    CATEGORIES = "categories"
    IMAGES = "images"
    AUDIO = "audio"
    VIDEO = "video"
    CAPTION = "caption"
    """An attribute that takes the place of captions by a model."""
    TRANSCRIPT = "transcript"
    """Likewise, of transcripts."""

    KNOWN_ITEM = (ITEM, TITLE, TEXT, CATEGORIES, IMAGES, AUDIO, VIDEO)
    KNOWN_EVENT = (USER, ITEM, TIMESTAMP, WEIGHT, TEXT)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of an item's text with where it came from.

    Args:
        kind: ``title``, ``text``, ``category``, ``attribute``, ``caption``, ``ocr``, ``transcript`` or
            ``look`` (size and colours of a picture).
        source: the column or media file that it came from.
        start: seconds from the start of the media, when it has time.
        end: likewise.
        model: the model that made it, when one did.
        confidence: 0 to 1, when the model states one.
        margin: of a caption, nats a token by which it is likelier with its picture than with a blank one.
        unsure: whether it was kept out of the document, since its model may have guessed.
    """

    kind: str
    text: str
    source: str
    start: float | None = None
    end: float | None = None
    model: str | None = None
    confidence: float | None = None
    margin: float | None = None
    unsure: bool = False

    @property
    def origin(self) -> str:
        """Where it came from, in words: "caption of a.jpg", "transcript of a.mp3 0:12–0:20"."""
        told = self.kind if self.source == self.kind else f"{self.kind} of {self.source}"
        if self.start is None:
            return told
        end = "" if self.end in (None, self.start) else f"–{_clock(self.end or 0.0)}"
        return f"{told} {_clock(self.start)}{end}"

    def to_json(self) -> dict[str, Any]:
        """A piece of the ``show --json`` contract."""
        return asdict(self)


def _clock(seconds: float) -> str:
    """A time in media, to the second: "0:12", "1:02:03"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


MEDIA_KINDS = ("caption", "transcript", "ocr")
"""Kinds of pieces that models find in media and that say something of an item."""


def pieces_json(pieces: Iterable[TextPiece]) -> str:
    """Pieces as one JSON array; :func:`parse_pieces` reads it back."""
    return json.dumps([asdict(piece) for piece in pieces], ensure_ascii=False)


def parse_pieces(text: str) -> tuple[TextPiece, ...]:
    """Pieces from the array that :func:`pieces_json` wrote."""
    return tuple(TextPiece(**piece) for piece in json.loads(text))


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a catalog.

    ``images``, ``audio`` and ``video`` are paths relative to the catalog, or URLs, as written there.
    ``attributes`` holds every other column whose value is not empty. ``pieces`` is what models said of its
    media; a catalog's reader leaves it empty.
    """

    item_id: str
    title: str = ""
    text: str = ""
    categories: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    video: tuple[str, ...] = ()
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    pieces: tuple[TextPiece, ...] = ()

    def content_hash(self) -> str:
        """SHA-256 (hex) of what the catalog says, but for the id: two items with equal content share it."""
        content = [
            self.title,
            self.text,
            self.categories,
            self.images,
            self.audio,
            self.video,
            sorted(self.attributes.items()),
        ]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class User:
    """A user and what is known of them beside their events."""

    user_id: str
    profile: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interaction:
    """A user did something with an item.

    ``timestamp`` is in seconds since the epoch, UTC. ``weight`` is the strength (a rating, a count; 1.0 when
    the log has none) and ``text`` what the user wrote with it.
    """

    user_id: str
    item_id: str
    timestamp: float
    weight: float = 1.0
    text: str = ""


def tie(user_id: str, item_id: str) -> str:
    """The order of a user's events at the same time: a hash that follows neither items nor files."""
    text = f"{user_id}|{item_id}".encode(errors="surrogatepass")
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Flag:
    """Something of an item or event that was left out of a run, and why."""

    item_id: str
    field: str
    source: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """The line of ``errors.jsonl``."""
        return {"item_id": self.item_id, "field": self.field, "source": self.source, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Document:
    """An item or user as the encoder reads it.

    ``cut`` maps the field to the number of tokens of it that did not fit the encoder.
    """

    text: str
    pieces: tuple[TextPiece, ...] = ()
    cut: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One numbered fact that an explanation may cite.

    Args:
        number: the citation, from 1.
        kind: ``history`` (an item of the user's), ``query``, ``field`` (of the recommended item), or
            ``community`` (what others chose).
        text: the fact in words; untrusted, since it holds catalog text.
        source: the column or channel that it came from, or in words the place in a media file; untrusted.
        item_id: the item that it is about.
        title: that item's title.
        piece: the sentence as it came from the media: kind, file, time, model.
    """

    number: int
    kind: Literal["history", "query", "field", "community"]
    text: str
    source: str
    item_id: str | None = None
    title: str | None = None
    piece: TextPiece | None = None

    def to_json(self) -> dict[str, Any]:
        """A citation of the ``recommend --json`` contract."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item was recommended.

    ``source`` says who wrote it; ``verified`` that every title and number in it was found in its evidence;
    ``citations`` is the evidence that the text cites.
    """

    text: str
    source: Literal["model", "template"]
    verified: bool
    citations: tuple[Evidence, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The ``explanation`` object of the ``recommend --json`` contract."""
        return {
            "text": self.text,
            "source": self.source,
            "verified": self.verified,
            "citations": [citation.to_json() for citation in self.citations],
        }


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A user with the same taste as whoever asks.

    ``similarity`` is 0 to 1; ``shared`` the most telling items that both have, ``liked`` items that this user
    liked and the other has not seen.
    """

    user_id: str
    similarity: float
    shared: tuple[Item, ...]
    liked: tuple[Item, ...]

    def to_json(self) -> dict[str, Any]:
        """One entry of the ``neighbors --json`` contract."""
        return {
            "user_id": self.user_id,
            "similarity": self.similarity,
            "shared": [{"item_id": item.item_id, "title": item.title} for item in self.shared],
            "liked": [{"item_id": item.item_id, "title": item.title} for item in self.liked],
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One ranked item.

    ``contributions`` maps each channel to its share; they add up to ``score``. An ``explanation``,
    or ``evidence`` alone, is there where it was asked for.
    """

    item_id: str
    title: str
    score: float
    contributions: Mapping[str, float]
    explanation: Explanation | None = None
    evidence: tuple[Evidence, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """One entry of the ``recommend --json`` contract; what was not asked for is left out."""
        entry: dict[str, Any] = {
            "item_id": self.item_id,
            "title": self.title,
            "score": self.score,
            "contributions": dict(self.contributions),
        }
        if self.explanation is not None:
            entry["explanation"] = self.explanation.to_json()
        if self.evidence is not None:
            entry["evidence"] = [fact.to_json() for fact in self.evidence]
        return entry
