"""The log as channels and splits see it: each user's events in the order of time, once for each item."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from llmrec.schema import tie

Rows = NDArray[np.intp]
"""Positions of items in a catalog."""

DAY = 86_400.0
"""Seconds."""

Event = tuple[str, str, float, float]
"""User id, item id, seconds since the epoch, weight."""


@dataclass(frozen=True, eq=False)
class Log:
    """Events by user, each user's from the oldest to the newest. Equal to itself only.

    Equal times are in the order of :func:`llmrec.schema.tie`, since the order of a file often follows item
    ids, and tells what comes next. Of several events of a user with an item the first counts.

    Args:
        users: ids.
        bounds: where each user's events begin, and the last one's end, (users + 1,).
        rows: catalog row of each event, (events,).
        times: seconds since the epoch, (events,).
        weights: strengths, (events,).
        size: rows of the catalog.
        repeated: events left out as repetitions.
        unknown: events left out since the catalog lacks their item.
        new: rows of items that came to the catalog after the log ended: that they have no events says
            nothing about them.
    """

    users: tuple[str, ...]
    bounds: NDArray[np.intp]
    rows: Rows
    times: NDArray[np.float64]
    weights: NDArray[np.float32]
    size: int
    repeated: int = 0
    unknown: int = 0
    new: Rows = field(default_factory=lambda: np.empty(0, np.intp))

    @classmethod
    def of(cls, events: Iterable[Event], row_of: Mapping[str, int], size: int) -> Log:
        """The events, in any order, whose items are in ``row_of``; ``size``: the catalog's number of rows."""
        users: dict[str, int] = {}
        found: list[tuple[int, int, float, float]] = []
        ties: list[str] = []
        unknown = 0
        for user, item, time, weight in events:
            row = row_of.get(item)
            if row is None:
                unknown += 1
                continue
            found.append((users.setdefault(user, len(users)), row, time, weight))
            ties.append(tie(user, item))
        names = sorted(users)
        place = np.empty(len(names), np.intp)
        place[[users[name] for name in names]] = np.arange(len(names))
        table = np.array(found, np.float64).reshape(len(found), 4)
        at_user, rows = place[table[:, 0].astype(np.intp)], table[:, 1].astype(np.intp)
        order = np.lexsort((np.array(ties, "S40"), table[:, 2], at_user))
        _, first = np.unique(at_user[order] * max(size, 1) + rows[order], return_index=True)
        kept = order[np.sort(first)]
        return cls(
            tuple(names),
            np.searchsorted(at_user[kept], np.arange(len(names) + 1)),
            rows[kept],
            table[kept, 2],
            table[kept, 3].astype(np.float32),
            size,
            len(order) - len(kept),
            unknown,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def span(self, user: int) -> slice:
        """Where the events of a user are; by the user's position in ``users``."""
        return slice(int(self.bounds[user]), int(self.bounds[user + 1]))

    @cached_property
    def lengths(self) -> NDArray[np.intp]:
        """Number of events of each user."""
        return np.diff(self.bounds)

    @cached_property
    def at_user(self) -> NDArray[np.intp]:
        """Position in ``users`` of each event's user, (events,)."""
        return np.repeat(np.arange(len(self.users)), self.lengths)

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """Users by rows, 1.0 where a user has an event with the item."""
        shape = (len(self.users), self.size)
        return sp.csr_matrix((np.ones(len(self), np.float32), self.rows, self.bounds), shape=shape)

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """Number of users with an event, by row."""
        return np.bincount(self.rows, minlength=self.size)

    @cached_property
    def first(self) -> NDArray[np.float64]:
        """When each row was first chosen, seconds since the epoch, infinite where never, (size,)."""
        first = np.full(self.size, np.inf)
        np.minimum.at(first, self.rows, self.times)
        return first

    @property
    def end(self) -> float:
        """The latest time; 0 without events."""
        return float(self.times.max()) if len(self) else 0.0

    def where(self, keep: NDArray[np.bool_]) -> Log:
        """The events that ``keep``, (events,), selects; all users stay, some perhaps without events."""
        bounds = np.concatenate([[0], np.cumsum(keep)])[self.bounds].astype(np.intp)
        kept = self.rows[keep], self.times[keep], self.weights[keep]
        return Log(self.users, bounds, *kept, self.size, new=self.new)

    def fingerprint(self, ids: Sequence[str]) -> str:
        """A digest of users, items and times, whatever the rows; ``ids`` are those of the rows."""
        digest = hashlib.sha256(json.dumps([self.users, self.bounds.tolist()]).encode())
        digest.update(json.dumps([ids[row] for row in self.rows.tolist()]).encode())
        digest.update(self.times.tobytes())
        return digest.hexdigest()

    def over(self, rows: Rows) -> Log:
        """The same log with the items at ``rows``, which must be all that it has, numbered from 0."""
        nothing = np.empty(0, np.intp)
        return replace(self, rows=np.searchsorted(rows, self.rows), size=len(rows), new=nothing)

    def newest(self, count: int | NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which events are among the newest ``count`` of their user, (events,); a count for all or each."""
        after = self.bounds[1:][self.at_user] - np.arange(len(self)) if len(self) else np.empty(0, np.intp)
        return after <= count
