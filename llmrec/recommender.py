"""The Python API: open a workspace, ask for recommendations."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np

from llmrec.documents import ItemDocuments
from llmrec.encode import Encoder, load_encoder, load_tokenizer
from llmrec.errors import RequestError, UnknownItemError, UnknownUserError
from llmrec.explain import Explainer, Told
from llmrec.explain.cases import Question
from llmrec.explaining import Explaining
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.diversity import diverse, pool_size
from llmrec.rank.log import Rows
from llmrec.rank.neighbors import liked, neighbors
from llmrec.rank.ranker import Ranked, Ranker
from llmrec.schema import Document, Interaction, Item, Neighbor, Recommendation
from llmrec.users import UserTexts
from llmrec.workspace import Encoding, Snapshot, Workspace

MAX_K = 1000
_KEPT_VECTORS = 10_000


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A snapshot in memory."""

    snapshot: Snapshot
    encoding: Encoding
    catalog: Catalog
    ranker: Ranker
    explaining: Explaining


class Recommender:
    """Answers for one workspace, always from its present snapshot and events.

    Not thread-safe: give each thread its own.
    """

    def __init__(self, workspace: Workspace, progress: Progress = NoProgress()) -> None:
        self.workspace = workspace
        self.progress = progress
        self._vectors: OrderedDict[tuple[str, str], Scores] = OrderedDict()
        self._encoder: Encoder | None = None
        self._texts: UserTexts | None = None
        self._loaded = self._load()

    @classmethod
    def open(cls, path: str | Path, progress: Progress = NoProgress()) -> Self:
        """Open the workspace at ``path``.

        Raises:
            WorkspaceError: there is none, it was never indexed, or its items were encoded by another model
                than its settings name.
            CorruptFileError: one of its files is damaged.
        """
        return cls(Workspace(Path(path)), progress)

    def close(self) -> None:
        """Release the stores."""
        self.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recommend(
        self,
        user_id: str | None = None,
        *,
        k: int = 10,
        query: str = "",
        likes: Sequence[str] = (),
        where: str | None = None,
        exclude: Sequence[str] = (),
        diversity: float = 0.0,
        explain: bool | Literal["evidence"] = False,
    ) -> list[Recommendation]:
        """The best items for a user, a query, liked items, or any of these together.

        Args:
            user_id: a user of the log or user table; with ``query`` or ``likes`` it may be new.
            k: how many at most, 1 to 1000.
            query: what is wanted, in words; it takes the place of the history's text, and leads.
            likes: ids of items to count as the newest of the history.
            where: SQL condition on columns and attributes, such as ``year >= 1990``.
            exclude: ids of items to leave out, beside those the user already has events with.
            diversity: 0 to 1, how much items should differ from each other; 0 is the ranker's order. Above,
                scores and contributions stay the ranker's, and the list is no longer in their order.
            explain: add an explanation to each; ``"evidence"``: only the facts that it could cite, without
                loading a language model.

        Raises:
            RequestError: nobody and nothing was named, ``k`` or ``diversity`` is out of range, a user or item
                is unknown, or ``where`` does not parse.
        """
        _check_count(k)
        if not 0 <= diversity <= 1:
            raise RequestError(f"diversity = {diversity}: out of range", "Say 0 (none) to 1.")
        loaded = self._refresh()
        catalog, ranker = loaded.catalog, loaded.ranker
        question = self._request(user_id, query, likes)
        hidden = np.concatenate([question.taste.history, self._rows_named([*exclude], "exclude")])
        allowed = None if where is None else catalog.rows(catalog.table.matching(where))
        ranked = ranker.rank(question.taste, pool_size(k, diversity), hidden, allowed)
        found = self._recommendations(diverse(catalog, ranked, diversity, k))
        if explain == "evidence":
            rows = catalog.rows([entry.item_id for entry in found])
            return [*loaded.explaining.evidence(found, rows, question)]
        return [*self._explained(found, question)] if explain else found

    def explain(
        self,
        recommendation: Recommendation,
        user_id: str | None = None,
        *,
        query: str = "",
        likes: Sequence[str] = (),
        told: Told | None = None,
    ) -> Recommendation:
        """A recommendation with its explanation, for whoever :meth:`recommend` gave it to.

        To be called with the same user, query and likes; it lets a caller show a list before its explanations
        are written. ``told`` is called with the text so far while it is written, before it is verified.

        Raises:
            RequestError: as for :meth:`recommend`.
        """
        self._refresh()
        (explained,) = self._explained([recommendation], self._request(user_id, query, likes), told)
        return explained

    def explain_each(
        self,
        recommendations: Sequence[Recommendation],
        user_id: str | None = None,
        *,
        query: str = "",
        likes: Sequence[str] = (),
    ) -> Iterator[Recommendation]:
        """Many as :meth:`explain` does one, as many at once as the explainer likes, in their order."""
        self._refresh()
        return self._explained(recommendations, self._request(user_id, query, likes))

    def similar(self, item_id: str, *, k: int = 10) -> list[Recommendation]:
        """The items whose text is nearest to an item's; scores are cosines, -1 to 1.

        Raises:
            RequestError: ``k`` is out of range, or the item is unknown.
        """
        _check_count(k)
        loaded = self._refresh()
        catalog, ranker = loaded.catalog, loaded.ranker
        row = self._rows_named([item_id], "item")
        nearest = ranker.nearest(catalog.vectors(row)[0], k, hidden=row)
        return self._recommendations(nearest)

    def neighbors(
        self, user_id: str | None = None, *, k: int = 10, likes: Sequence[str] = ()
    ) -> list[Neighbor]:
        """The users whose taste is most like a user's, most alike first, and what they liked.

        It follows the events as they are now. It tells ids and tastes of other users: mind who may see it.

        Args:
            user_id: a user of the log; with ``likes`` it may be new.
            k: how many at most, 1 to 1000.
            likes: ids of items to count as the newest of the history.

        Raises:
            RequestError: nobody and nothing was named, ``k`` is out of range, a user or item is unknown, or
                the user has no events.
        """
        _check_count(k)
        catalog = self._refresh().catalog
        self._rows_named([*likes], "likes")
        events = self._events(user_id, known=bool(likes))
        own = list(dict.fromkeys([*likes, *(event.item_id for event in events)]))
        if not own:
            raise RequestError(
                f"user {user_id!r} has no events to compare by", "Say what they like: --likes IDS."
            )
        return neighbors(self.workspace.events, catalog, own, user_id, k)

    @property
    def catalog(self) -> Catalog:
        """The items of the present snapshot, with their vectors."""
        return self._refresh().catalog

    def item(self, item_id: str) -> Item:
        """An item of the catalog.

        Raises:
            UnknownItemError: there is none of that id.
        """
        return self.catalog.items(self._rows_named([item_id], "item"))[0]

    def document(self, item_id: str) -> Document:
        """What is known of an item in words, piece by piece, and its document as the encoder reads it.

        Raises:
            UnknownItemError: there is none of that id.
        """
        settings = self.workspace.settings
        prompt = load_prompt(settings.documents.item_prompt, self.workspace.root / "prompts")
        tokenizer = load_tokenizer(self._refresh().encoding.spec, settings.encoder, self.progress)
        return ItemDocuments(prompt, settings.documents, tokenizer)([self.item(item_id)])[0]

    def history(self, user_id: str) -> list[tuple[Interaction, Item | None]]:
        """A user's events, newest first, each with its item where the catalog has it."""
        events = self.workspace.events.history(user_id)
        catalog = self.catalog
        known = {event.item_id for event in events if event.item_id in catalog.row_of}
        items = dict(zip(known, catalog.items(catalog.rows(list(known))), strict=True))
        return [(event, items.get(event.item_id)) for event in events]

    def add(self, interactions: Iterable[Interaction]) -> None:
        """Record events; the next answer knows them. Channels are trained on them by the next ``index``."""
        self.workspace.events.add(interactions)

    @property
    def encoder(self) -> Encoder:
        """The encoder of the workspace, loaded on first use."""
        if self._encoder is None:
            settings = self.workspace.settings.encoder
            self._encoder = load_encoder(self._loaded.encoding.spec, settings, self.progress)
        return self._encoder

    @property
    def explainer(self) -> Explainer:
        """The explainer of the workspace, loaded on first use."""
        return self._loaded.explaining.prepare().result()

    def prepare_explanations(self) -> None:
        """Begin to load the explainer beside other work; :meth:`explain` waits for it."""
        self._loaded.explaining.prepare()

    @property
    def _user_texts(self) -> UserTexts:
        if self._texts is None or self._texts.catalog is not self._loaded.catalog:
            self._texts = UserTexts(self.workspace, self._loaded.catalog, self.encoder)
        return self._texts

    def _refresh(self) -> _Loaded:
        """The present snapshot; loaded again when an index run has published another."""
        if self.workspace.snapshot() != self._loaded.snapshot:
            before, self._loaded = self._loaded, self._load()
            if self._loaded.encoding != before.encoding:
                self._encoder = None
                self._vectors.clear()
        return self._loaded

    def _load(self) -> _Loaded:
        settings = self.workspace.settings
        present = self.workspace.require_present()
        encoding = self.workspace.require_encoder(present.snapshot)
        catalog = Catalog(present.table, settings.rank.exact_items)
        ranker = Ranker.load(present.channels, catalog, settings.rank)
        explaining = Explaining(self.workspace, ranker, self.progress)
        return _Loaded(present.snapshot, encoding, catalog, ranker, explaining)

    def _request(self, user_id: str | None, query: str, likes: Sequence[str]) -> Question:
        catalog = self._loaded.catalog
        named = self._rows_named([*likes], "likes")
        events = self._events(user_id, known=bool(query or likes))
        history = catalog.rows([event.item_id for event in events])
        rows = np.array(list(dict.fromkeys([*named, *history])), np.intp)
        good = frozenset({*named.tolist(), *catalog.rows(liked(events)).tolist()})
        # Bound to this catalog: explanations may be written when another one is there.
        text_vector = partial(self._vector, self._user_texts, user_id, query)
        taste = Taste(rows, vector=text_vector(rows), asked=bool(query))
        return Question(taste, good, query, text_vector)

    def _events(self, user_id: str | None, known: bool) -> list[Interaction]:
        """A user's events, newest first; ``known`` says that something else is known of who asks."""
        if user_id is None:
            if not known:
                raise RequestError(
                    "nobody to recommend for", "Name a user, or say --query TEXT or --likes IDS."
                )
            return []
        events = self.workspace.events.history(user_id)
        if not events and not known and self.workspace.events.user(user_id) is None:
            raise UnknownUserError(
                f"user {user_id!r} is neither in the log nor in the user table",
                "For someone new, say what they like: --likes IDS, or --query TEXT.",
            )
        return events

    def _vector(self, texts: UserTexts, user_id: str | None, query: str, history: Rows) -> Scores | None:
        """The unit vector of a query, or else of the user's text; None where neither says anything."""
        if query:
            return self._encoded(query, "query")
        (text,) = texts.texts([(user_id, history)])
        return self._encoded(text, "user") if text else None

    def _encoded(self, text: str, kind: str) -> Scores:
        key = (kind, text)
        if key not in self._vectors:
            self._vectors[key] = self.encoder.encode([text], kind="query" if kind == "query" else "user")[0]
            if len(self._vectors) > _KEPT_VECTORS:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(key)
        return self._vectors[key]

    def _rows_named(self, ids: Sequence[str], what: str) -> Rows:
        catalog = self._loaded.catalog
        for item in ids:
            if item not in catalog.row_of:
                near = difflib.get_close_matches(item, catalog.ids, n=3) if len(catalog) <= 50_000 else []
                hint = f"Did you mean {', '.join(near)}?" if near else "Item ids are those of the catalog."
                raise UnknownItemError(f"{what}: item {item!r} is not in the catalog", hint)
        return catalog.rows(ids)

    def _recommendations(self, ranked: Sequence[Ranked]) -> list[Recommendation]:
        items = self._loaded.catalog.items(np.array([entry.row for entry in ranked], np.intp))
        return [
            Recommendation(item.item_id, item.title, entry.score, entry.contributions)
            for entry, item in zip(ranked, items, strict=True)
        ]

    def _explained(
        self, entries: Sequence[Recommendation], question: Question, told: Told | None = None
    ) -> Iterator[Recommendation]:
        rows = self._rows_named([entry.item_id for entry in entries], "item")
        return self._loaded.explaining.each(entries, rows, question, told)


def _check_count(k: int) -> None:
    if not 1 <= k <= MAX_K:
        raise RequestError(f"k = {k}: out of range", f"Ask for 1 to {MAX_K} items.")
