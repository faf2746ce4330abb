"""EASE against its formula."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.errors import ConfigError
from llmrec.rank.channel import Taste
from llmrec.rank.linear import Linear
from llmrec.rank.log import Log

LAMBDA = 7.0


def ease(matrix: NDArray[np.float64], regularisation: float = LAMBDA) -> NDArray[np.float64]:
    """B of Steck (2019), equation 8, as it stands there."""
    gram = matrix.T @ matrix + regularisation * np.eye(matrix.shape[1])
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def log(users: int, items: int, seed: int = 0) -> NDArray[np.float64]:
    """A binary log with popular items, an item that nobody chose (0), and a user of one event (0)."""
    rng = np.random.default_rng(seed)
    matrix = (rng.random((users, items)) < rng.power(0.4, items) * 0.6).astype(float)
    matrix[:, 0] = 0
    matrix[0] = 0
    matrix[0, 1] = 1
    return matrix


def fit(matrix: NDArray[np.float64], **settings: float) -> Linear:
    catalog = SimpleNamespace(__len__=lambda: matrix.shape[1])
    events = [(f"u{user:03d}", str(row), 0.0, 1.0) for user, row in zip(*matrix.nonzero(), strict=True)]
    rows = {str(row): row for row in range(matrix.shape[1])}
    return Linear.fit(
        catalog,
        Log.of(events, rows, matrix.shape[1]),
        RankSettings(**{"ease_lambda": LAMBDA, "ease_forgetting": 0, **settings}),
    )  # type: ignore[arg-type]


def taste(*rows: int) -> Taste:
    return Taste(np.array(rows, np.intp))


# Fewer users than items is solved on the users' side, the other on the items'.
SHAPES = [(20, 50), (50, 20), (30, 30), (2, 40), (200, 5)]


@pytest.mark.parametrize(("users", "items"), SHAPES)
def test_scores_follow_the_formula(users: int, items: int) -> None:
    matrix = log(users, items)
    channel, weights = fit(matrix), ease(matrix)
    assert channel.dual == (users < np.count_nonzero(matrix.any(axis=0)))
    everything = np.arange(items)
    for history in ([1], [2, 3], list(range(1, items, 3)), list(range(items))):
        known = [row for row in history if matrix[:, row].any()]
        scores = channel.score(taste(*history), everything)
        if not known:
            assert scores is None
            continue
        assert scores is not None
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(scores), ~matrix.any(axis=0))
        np.testing.assert_allclose(np.nan_to_num(scores), weights[known].sum(axis=0), atol=1e-4)


def test_both_sides_give_the_same_scores() -> None:
    matrix = log(30, 60)
    dual = fit(matrix)
    assert dual.dual
    part = matrix[:, dual.places.rows]
    inverse = np.linalg.inv(part.T @ part + LAMBDA * np.eye(len(dual.places.rows))).astype(np.float32)
    primal = Linear(
        60, dual.matrix, inverse, np.diagonal(inverse).copy(), dual.places.rows, LAMBDA, dual=False
    )
    for history in ([1], [1, 2, 3], list(range(0, 60, 7))):
        one, other = (channel.score(taste(*history), np.arange(60)) for channel in (dual, primal))
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, atol=1e-4)
        for row in dual.places.rows[:5]:
            one, other = (channel.influence(taste(*history), int(row)) for channel in (dual, primal))
            assert one is not None
            assert other is not None
            np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(("users", "items"), SHAPES)
def test_influence_is_what_leaving_the_item_out_takes_from_the_score(users: int, items: int) -> None:
    matrix = log(users, items)
    channel = fit(matrix)
    history = list(dict.fromkeys([0, 1, 2, 3, items - 1]))  # 0 has no events
    for row in (1, 2, items - 2):
        influence = channel.influence(taste(*history), row)
        if not matrix[:, row].any():
            assert influence is None
            continue
        assert influence is not None
        assert influence.dtype == np.float32
        for position, left_out in enumerate(history):
            without = [other for other in history if other != left_out]
            full = channel.score(taste(*history), np.array([row]))
            rest = channel.score(taste(*without), np.array([row]))
            expected = float(full[0]) - (0.0 if rest is None else float(rest[0])) if full is not None else 0.0
            assert influence[position] == pytest.approx(expected, abs=1e-4)


def test_of_items_without_events_nothing_is_known() -> None:
    channel = fit(log(20, 30))
    scores = channel.score(taste(1, 2), np.arange(30))
    assert scores is not None
    assert np.isnan(scores[0])
    assert channel.score(taste(0), np.arange(30)) is None
    assert channel.influence(taste(1, 2), 0) is None
    influence = channel.influence(taste(0, 2), 5)
    assert influence is not None
    assert influence[0] == 0
    assert 0 not in channel.propose(taste(1, 2), 30)


def test_an_item_of_the_history_does_not_speak_for_itself() -> None:
    influence = fit(log(20, 30)).influence(taste(3, 4), 3)
    assert influence is not None
    assert influence[0] == 0


def test_scores_come_in_the_order_of_the_rows_asked_for() -> None:
    channel = fit(log(20, 30))
    everything = channel.score(taste(1, 2), np.arange(30))
    some = np.array([7, 0, 29, 7])
    assert everything is not None
    np.testing.assert_array_equal(channel.score(taste(1, 2), some), everything[some])


def test_proposals_are_the_best_scores() -> None:
    channel = fit(log(20, 30))
    scores = channel.score(taste(1, 2), np.arange(30))
    assert scores is not None
    best = [row for row in np.argsort(-scores, kind="stable") if row in channel.places.rows][:5]
    assert channel.propose(taste(1, 2), 5).tolist() == best
    assert channel.propose(taste(), 5).tolist() == []


def test_the_order_and_repetition_of_a_history_do_not_matter() -> None:
    channel = fit(log(20, 30))
    once = channel.score(taste(3, 7), np.arange(30))
    assert once is not None
    np.testing.assert_allclose(channel.score(taste(7, 3, 7), np.arange(30)), once, atol=1e-6)


def test_of_a_log_too_large_for_either_side_nothing_is_learnt() -> None:
    matrix = log(40, 50)
    side = min(np.count_nonzero(matrix.any(axis=0)), np.count_nonzero(matrix.any(axis=1)))
    assert fit(matrix, ease_side=side).score(taste(2, 3), np.arange(50)) is not None
    large = fit(matrix, ease_side=side - 1)
    assert large.score(taste(2, 3), np.arange(50)) is None
    assert large.influence(taste(2, 3), 4) is None
    assert large.propose(taste(2, 3), 5).tolist() == []


def test_a_log_without_events() -> None:
    channel = fit(np.zeros((0, 5)))
    assert channel.score(taste(1), np.arange(5)) is None
    assert channel.influence(taste(1), 2) is None
    assert channel.propose(taste(1), 3).tolist() == []


def test_a_regularisation_too_small_for_the_log_is_named() -> None:
    twins = np.tile(np.ones((300, 1)), (1, 40))
    with pytest.raises(ConfigError, match=r"\[rank\] ease_lambda = 1e-07"):
        fit(twins, ease_lambda=1e-7)
