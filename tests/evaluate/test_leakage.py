"""The leakage check: each planted leak is found, and clean splits give none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from small_logs import busy_log

from llmrec.evaluate.leakage import find_leaks
from llmrec.evaluate.split import Case, Split
from llmrec.evaluate.splits import SPLITS, Stages
from llmrec.rank.log import Log, Rows

LOG = busy_log(60)


def known(split: Split, case: Case) -> Rows:
    return split.history(case)[:5]


def counts(split: Split) -> NDArray[np.intp]:
    return split.train.counts


@pytest.mark.parametrize("name", SPLITS)
def test_clean_splits_have_no_leak(name: str) -> None:
    assert find_leaks(SPLITS[name](LOG), LOG, rows_used=known, counts_used=counts) == []


def trained_on_the_test(stages: Stages) -> Stages:
    validation, test = stages
    return validation, replace(test, train=LOG, boundary=np.inf)


def trained_after_the_boundary(stages: Stages) -> Stages:
    validation, test = stages
    return validation, replace(test, boundary=test.boundary - 20)


def withheld_items_trained_on(stages: Stages) -> Stages:
    validation, test = stages
    return replace(validation, cold=np.flatnonzero(validation.train.counts)[:2]), test


def histories_with_the_target(stages: Stages) -> Stages:
    validation, test = stages
    cases = [replace(case, known=case.known + 1) for case in test.cases]
    return validation, replace(test, log=LOG, cases=tuple(cases))


def validation_with_the_test(stages: Stages) -> Stages:
    validation, test = stages
    return replace(validation, log=LOG), test


@pytest.mark.parametrize(
    ("name", "plant", "stage", "what"),
    [
        *((name, trained_on_the_test, "test", "targets are trained on") for name in SPLITS),
        ("global-time", trained_after_the_boundary, "test", "not before the boundary"),
        ("cold-users", trained_after_the_boundary, "test", "not before the boundary"),
        ("cold-items", withheld_items_trained_on, "validation", "withheld items"),
        *(
            (name, histories_with_the_target, "test", "histories reach to the targets")
            for name in ("leave-last-out", "global-time", "cold-users")
        ),
        *((name, validation_with_the_test, "validation", "test targets are among") for name in SPLITS),
    ],
)
def test_a_planted_leak_is_found(name: str, plant: Callable[[Stages], Stages], stage: str, what: str) -> None:
    leaks = find_leaks(plant(SPLITS[name](LOG)), LOG)
    found = [leak for leak in leaks if what in leak.what]
    assert [leak.stage for leak in found] == [stage]
    assert found[0].count >= 1
    assert found[0].example.startswith("user 'u")


def test_texts_made_of_the_target_or_of_strangers_are_found() -> None:
    stages = SPLITS["leave-last-out"](LOG)

    def with_target(split: Split, case: Case) -> Rows:
        return np.append(split.history(case), case.targets)

    def with_another(split: Split, case: Case) -> Rows:
        unknown = np.setdiff1d(np.arange(LOG.size), [*split.history(case), *case.targets])
        return np.append(split.history(case), unknown[:1])

    for rows_used in (with_target, with_another):
        leaks = find_leaks(stages, LOG, rows_used=rows_used)
        assert [(leak.stage, leak.count) for leak in leaks] == [
            (split.stage, len(split.cases)) for split in stages
        ]
        assert "texts of users" in leaks[0].what


def test_popularity_of_the_future_is_found() -> None:
    stages = SPLITS["global-time"](LOG)
    leaks = find_leaks(stages, LOG, counts_used=lambda split: LOG.counts)
    assert [leak.stage for leak in leaks] == ["validation", "test"]
    assert leaks[1].count == (stages[1].train.counts != LOG.counts).sum()
    assert "popularity" in leaks[0].what


def test_an_encoder_that_was_tuned_on_the_targets_is_found() -> None:
    learnt = SPLITS["leave-last-out"](LOG)[0].train
    assert find_leaks(SPLITS["leave-last-out"](LOG), LOG, tuned_on=learnt) == []
    stages = SPLITS["global-time"](LOG)
    leaks = find_leaks(stages, LOG, tuned_on=learnt)
    assert "the encoder's adapter" in leaks[0].what
    assert {leak.stage for leak in leaks} <= {"validation", "test"}
    (known,) = (leak for leak in find_leaks(stages, LOG, tuned_on=LOG) if leak.stage == "test")
    assert known.count == stages[1].counts["targets"]


def test_events_that_the_log_does_not_have_are_found() -> None:
    stages = SPLITS["leave-last-out"](LOG)
    whole = Log(LOG.users, LOG.bounds, LOG.rows, LOG.times, LOG.weights, LOG.size)
    without = whole.where(LOG.rows != stages[1].history(stages[1].cases[0])[0])
    assert any("histories reach" in leak.what for leak in find_leaks(stages, without))
