"""ALS: what ``implicit`` trains is answered for any history."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from llmrec.config import RankSettings
from llmrec.rank.channel import Taste
from llmrec.rank.factors import ALPHA, FACTORS, LAMBDA, Factors, implicit_cpu
from llmrec.rank.log import Log

USERS, SIZE = 80, 60


@pytest.fixture(scope="module")
def log() -> Log:
    """Two groups of users who choose from two halves of the items, the last of which nobody chose."""
    rng = np.random.default_rng(0)
    events = [
        (f"u{user:02}", f"i{row}", 0.0, 1.0)
        for user in range(USERS)
        for row in np.unique(rng.integers(0, SIZE // 2 - 1, 8)) + (SIZE // 2) * (user % 2)
    ]
    return Log.of(events, {f"i{row}": row for row in range(SIZE)}, SIZE)


@pytest.fixture(scope="module")
def channel(log: Log) -> Factors:
    return Factors.fit(SimpleNamespace(), log, RankSettings())  # type: ignore[arg-type]


def taste(*rows: int) -> Taste:
    return Taste(np.array(rows, np.intp))


def test_a_history_is_folded_in_as_implicit_does(channel: Factors, log: Log) -> None:
    rows = channel.places.rows
    with implicit_cpu() as implicit:
        model = implicit.als.AlternatingLeastSquares(
            factors=FACTORS, regularization=LAMBDA, alpha=1 + ALPHA, random_state=0
        )
        model.fit(log.over(rows).matrix, show_progress=False)
    np.testing.assert_allclose(model.item_factors, channel.factors, atol=1e-5)
    history = np.sort(log.rows[log.span(3)])
    at = np.searchsorted(rows, history)
    chosen = sp.csr_matrix((np.ones(len(at), np.float32), at, [0, len(at)]), shape=(1, len(rows)))
    expected = model.item_factors @ model.recalculate_user(0, chosen)
    found = channel.score(Taste(history), rows)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_a_group_chooses_ranks_first(channel: Factors) -> None:
    best = channel.propose(taste(2, 5), 10)
    assert (best < SIZE // 2).sum() >= 9
    scores = channel.score(taste(2, 5), np.arange(SIZE))
    assert scores is not None
    assert np.isnan(scores[SIZE - 1])
    assert channel.score(taste(SIZE - 1), np.arange(SIZE)) is None
    assert len(channel.propose(taste(SIZE - 1), 5)) == 0


def test_influences_add_up_to_the_score(channel: Factors) -> None:
    asked = taste(2, SIZE - 1, 5, 31)
    influence, score = channel.influence(asked, 7), channel.score(asked, np.array([7]))
    assert influence is not None
    assert score is not None
    assert influence.sum() == pytest.approx(float(score[0]), abs=1e-5)
    assert influence[1] == 0
    assert channel.influence(asked, SIZE - 1) is None
    assert channel.influence(taste(SIZE - 1), 7) is None
