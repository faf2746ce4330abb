"""The Python API: open a workspace, ask for recommendations."""

from __future__ import annotations

import difflib
import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from llmrec.documents import ItemDocuments, UserDocuments
from llmrec.encode import Encoder, encoder_fingerprint, load_encoder, load_tokenizer
from llmrec.errors import RequestError, UnknownItemError, UnknownUserError, WorkspaceError
from llmrec.explain import Case, Explainer, load_explainer
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranked, Ranker
from llmrec.schema import Document, Interaction, Item, Recommendation, User
from llmrec.workspace import Snapshot, Workspace

MAX_K = 1000
_KEPT_VECTORS = 10_000
_CITED_HISTORY = 5


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A snapshot in memory."""

    snapshot: Snapshot
    catalog: Catalog
    ranker: Ranker


@dataclass(frozen=True, slots=True)
class _Request:
    """Who asks: their taste, the rows of it that they may be said to like, and their words."""

    taste: Taste
    liked: frozenset[int]
    query: str


class Recommender:
    """Answers for one workspace, always from its present snapshot and events.

    Not thread-safe: give each thread its own.
    """

    def __init__(self, workspace: Workspace, progress: Progress = NoProgress()) -> None:
        self.workspace = workspace
        self.progress = progress
        self._vectors: OrderedDict[tuple[str, str], Scores] = OrderedDict()
        self._loaded = self._load()
        self._explainer: Future[Explainer] | None = None

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
        explain: bool = False,
    ) -> list[Recommendation]:
        """The best items for a user, a query, liked items, or any of these together.

        Args:
            user_id: a user of the log or user table; with ``query`` or ``likes`` it may be new.
            k: how many at most, 1 to 1000.
            query: what is wanted, in words; it takes the place of the history's text, and leads.
            likes: ids of items to count as the newest of the history.
            where: SQL condition on columns and attributes, such as ``year >= 1990``.
            exclude: ids of items to leave out, beside those the user already has events with.
            explain: add an explanation to each.

        Raises:
            RequestError: nobody and nothing was named, ``k`` is out of range, a user or item is unknown, or
                ``where`` does not parse.
        """
        _check_count(k)
        loaded = self._refresh()
        catalog, ranker = loaded.catalog, loaded.ranker
        request = self._request(user_id, query, likes)
        hidden = np.concatenate([request.taste.history, self._rows_named([*exclude], "exclude")])
        allowed = None if where is None else catalog.rows(catalog.table.matching(where))
        found = self._recommendations(ranker.rank(request.taste, k, hidden, allowed))
        return [self._explained(entry, request) for entry in found] if explain else found

    def explain(
        self,
        recommendation: Recommendation,
        user_id: str | None = None,
        *,
        query: str = "",
        likes: Sequence[str] = (),
    ) -> Recommendation:
        """A recommendation with its explanation, for whoever :meth:`recommend` gave it to.

        To be called with the same user, query and likes; it lets a caller show a list before its explanations
        are written.

        Raises:
            RequestError: as for :meth:`recommend`.
        """
        self._refresh()
        return self._explained(recommendation, self._request(user_id, query, likes))

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
        tokenizer = load_tokenizer(settings.models.encoder, settings.encoder, self.progress)
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

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of the workspace, loaded on first use."""
        settings = self.workspace.settings
        return load_encoder(settings.models.encoder, settings.encoder, self.progress)

    @property
    def explainer(self) -> Explainer:
        """The explainer of the workspace, loaded on first use."""
        self.prepare_explanations()
        assert self._explainer is not None
        return self._explainer.result()

    def prepare_explanations(self) -> None:
        """Begin to load the explainer beside other work; :meth:`explain` waits for it."""
        if self._explainer is None:
            loader = ThreadPoolExecutor(max_workers=1)
            self._explainer = loader.submit(self._load_explainer)
            loader.shutdown(wait=False)

    def _load_explainer(self) -> Explainer:
        settings = self.workspace.settings
        return load_explainer(
            settings.models.explainer,
            load_prompt(settings.explain.prompt, self.workspace.root / "prompts"),
            settings.explain,
            self._loaded.catalog.titles(),
            self.workspace.events.explanations(),
            self.progress,
        )

    @cached_property
    def _user_documents(self) -> UserDocuments:
        settings = self.workspace.settings.documents
        prompt = load_prompt(settings.user_prompt, self.workspace.root / "prompts")
        return UserDocuments(prompt, settings, self.encoder)

    def _refresh(self) -> _Loaded:
        """The present snapshot; loaded again when an index run has published another."""
        if self.workspace.snapshot() != self._loaded.snapshot:
            self._loaded = self._load()
            self._explainer = None
        return self._loaded

    def _load(self) -> _Loaded:
        settings = self.workspace.settings
        self.workspace.require_encoder(encoder_fingerprint(settings.models.encoder, settings.encoder))
        present = self.workspace.present()
        if present is None:
            raise WorkspaceError(
                f"{self.workspace.root}: nothing is indexed yet", "Run `llmrec index CATALOG` first."
            )
        catalog = Catalog(present.table, settings.rank.exact_items)
        return _Loaded(present.snapshot, catalog, Ranker.load(present.channels, catalog, settings.rank))

    def _request(self, user_id: str | None, query: str, likes: Sequence[str]) -> _Request:
        catalog = self._loaded.catalog
        named = self._rows_named([*likes], "likes")
        events = self._events(user_id, known=bool(query or likes))
        times = dict.fromkeys(named.tolist(), time.time())
        for event in events:  # newest first: of an item with several events the newest counts
            if (row := catalog.row_of.get(event.item_id)) is not None:
                times.setdefault(row, event.timestamp)
        rows = np.fromiter(times, np.intp)
        liked = frozenset({*named.tolist(), *catalog.rows(_liked(events)).tolist()})
        vector = self._vector(user_id, query, rows)
        taste = Taste(rows, np.fromiter(times.values(), np.float64), vector, asked=bool(query))
        return _Request(taste, liked, query)

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

    def _vector(self, user_id: str | None, query: str, history: Rows) -> Scores | None:
        """The unit vector of a query, or else of the user's text; None where neither says anything."""
        if query:
            return self._encoded(query, "query")
        catalog, settings = self._loaded.catalog, self.workspace.settings.documents
        user = (self.workspace.events.user(user_id) if user_id is not None else None) or User(user_id or "")
        if not len(history) and not user.profile:
            return None
        items = catalog.items(history[: settings.history])
        return self._encoded(self._user_documents([(user, items)])[0].text, "user")

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

    def _explained(self, entry: Recommendation, request: _Request) -> Recommendation:
        """Explained by what moved the score: liked items with the largest positive influence come first."""
        (row,) = self._rows_named([entry.item_id], "item")
        history, catalog = request.taste.history, self._loaded.catalog
        influence = self._loaded.ranker.influence(request.taste, int(row))
        strongest = [
            at
            for at in np.argsort(-influence, kind="stable").tolist()
            if influence[at] > 0 and int(history[at]) in request.liked
        ][:_CITED_HISTORY]
        cited = catalog.items(history[strongest])
        case = Case(
            catalog.items(np.array([row]))[0],
            tuple((item, float(influence[at])) for item, at in zip(cited, strongest, strict=True)),
            entry.contributions,
            request.query,
        )
        return replace(entry, explanation=self.explainer.explain(case))


def _check_count(k: int) -> None:
    if not 1 <= k <= MAX_K:
        raise RequestError(f"k = {k}: out of range", f"Ask for 1 to {MAX_K} items.")


def _liked(events: Sequence[Interaction]) -> list[str]:
    """Items that a user gave at least their own mean weight: the ones that may be called liked."""
    if not events:
        return []
    mean = math.fsum(event.weight for event in events) / len(events)
    return [event.item_id for event in events if event.weight >= mean or math.isclose(event.weight, mean)]
