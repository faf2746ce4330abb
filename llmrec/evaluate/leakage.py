"""The leakage check: does anything that a model learns from, or is told, come from after the question?

It trusts neither the splits nor the models' set-up: it compares both with the whole log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.evaluate.split import Case, Split
from llmrec.evaluate.splits import Stages
from llmrec.rank.log import Log, Rows

RowsUsed = Callable[[Split, Case], Rows]
"""Rows that the user's text, profile or vector of a case is made of."""
CountsUsed = Callable[[Split], NDArray[np.intp]]
"""Users by row, as models that learn from the split's training count popularity, (items,)."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something from the future.

    Args:
        stage: ``validation`` or ``test``.
        what: in words.
        count: how many events, cases or items.
        example: the first of them.
    """

    stage: str
    what: str
    count: int
    example: str


def find_leaks(
    stages: Stages,
    log: Log,
    *,
    rows_used: RowsUsed | None = None,
    counts_used: CountsUsed | None = None,
    tuned_on: Log | None = None,
) -> list[Leak]:
    """Everything that is found; empty where nothing leaks.

    Args:
        stages: validation and test, over the same users as the log.
        log: all events, from which the stages were made.
        rows_used: what texts of users are made of, where models read them.
        counts_used: what models count popularity by.
        tuned_on: what the encoder was fine-tuned on, over the same users.
    """
    events = _Events(log)
    validation, test = stages
    leaks = [*_of_stage(validation, events, rows_used), *_of_stage(test, events, rows_used)]
    asked = events.keys_of_targets(test)
    leaks += _leak(
        validation.stage,
        "test targets are among the events of validation",
        np.union1d(events.keys(validation.train), events.keys(validation.log)),
        asked,
        events,
    )
    for split in stages:
        counts = split.train.counts if counts_used is None else counts_used(split)
        wrong = np.flatnonzero(counts != split.train.counts)
        if len(wrong):
            what = "popularity is not counted from the training events"
            leaks.append(Leak(split.stage, what, len(wrong), f"row {wrong[0]}"))
        if tuned_on is not None:
            what = "targets are among the events that the encoder's adapter was trained on"
            leaks += _leak(split.stage, what, events.keys(tuned_on), events.keys_of_targets(split), events)
    return leaks


class _Events:
    """The log as keys (user and row in one number) with the order of each user's events."""

    def __init__(self, log: Log) -> None:
        self.log = log
        keys = self.keys(log)
        self.order = np.argsort(keys)
        self.sorted = keys[self.order]

    def keys(self, log: Log) -> NDArray[np.intp]:
        return log.at_user * self.log.size + log.rows

    def keys_of(self, case: Case, rows: Rows) -> NDArray[np.intp]:
        return case.user * self.log.size + np.asarray(rows, np.intp)

    def keys_of_targets(self, split: Split) -> NDArray[np.intp]:
        none = np.empty(0, np.intp)
        return np.concatenate([none, *(self.keys_of(case, case.targets) for case in split.cases)])

    def positions(self, case: Case, rows: Rows) -> NDArray[np.intp]:
        """Where in the log the user's events with ``rows`` are; after its end where it has none."""
        keys = self.keys_of(case, rows)
        at = np.minimum(np.searchsorted(self.sorted, keys), max(len(self.sorted) - 1, 0))
        return np.where(self.sorted[at] == keys, self.order[at], len(self.log))

    def name(self, key: int) -> str:
        user, row = divmod(int(key), self.log.size)
        return f"user {self.log.users[user]!r}, row {row}"


def _of_stage(split: Split, events: _Events, rows_used: RowsUsed | None) -> Iterator[Leak]:
    learnt = events.keys(split.train)
    yield from _leak(split.stage, "targets are trained on", learnt, events.keys_of_targets(split), events)
    if np.isfinite(split.boundary):
        late = np.flatnonzero(split.train.times >= split.boundary)
        yield from _first(split, "training events are not before the boundary", learnt[late], events)
    cold = np.flatnonzero(np.isin(split.train.rows, split.cold))
    yield from _first(split, "withheld items are trained on", learnt[cold], events)
    unordered, told = [], []
    for case in split.cases:
        history = split.history(case)
        first = events.positions(case, case.targets).min()
        if (events.positions(case, history) >= first).any():
            unordered.append(case)
        if rows_used is not None and not np.isin(rows_used(split, case), history).all():
            told.append(case)
    yield from _cases(split, "histories reach to the targets or beyond", unordered)
    yield from _cases(split, "texts of users are made of more than the known items", told)


def _leak(
    stage: str, what: str, known: NDArray[np.intp], asked: NDArray[np.intp], events: _Events
) -> Iterator[Leak]:
    found = np.intersect1d(known, asked)
    if len(found):
        yield Leak(stage, what, len(found), events.name(found[0]))


def _first(split: Split, what: str, keys: NDArray[np.intp], events: _Events) -> Iterator[Leak]:
    if len(keys):
        yield Leak(split.stage, what, len(keys), events.name(keys[0]))


def _cases(split: Split, what: str, cases: list[Case]) -> Iterator[Leak]:
    if cases:
        yield Leak(split.stage, what, len(cases), f"user {split.log.users[cases[0].user]!r}")
