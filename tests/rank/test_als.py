"""ALS: what ``implicit`` trains is answered for any history, and when it takes EASE's place."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from catalogs import World

from llmrec.config import RankSettings
from llmrec.rank.als import ALPHA, FACTORS, LAMBDA, Als, implicit_cpu
from llmrec.rank.channel import Taste
from llmrec.rank.ease import Ease
from llmrec.rank.linear import Linear
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
def channel(log: Log) -> Als:
    return Als.fit(SimpleNamespace(), log, RankSettings())  # type: ignore[arg-type]


def taste(*rows: int) -> Taste:
    return Taste(np.array(rows, np.intp))


def test_a_history_is_folded_in_as_implicit_does(channel: Als, log: Log) -> None:
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


def test_what_a_group_chooses_ranks_first(channel: Als) -> None:
    best = channel.propose(taste(2, 5), 10)
    assert (best < SIZE // 2).sum() >= 9
    scores = channel.score(taste(2, 5), np.arange(SIZE))
    assert scores is not None
    assert np.isnan(scores[SIZE - 1])
    assert channel.score(taste(SIZE - 1), np.arange(SIZE)) is None
    assert len(channel.propose(taste(SIZE - 1), 5)) == 0


def test_influences_add_up_to_the_score(channel: Als) -> None:
    asked = taste(2, SIZE - 1, 5, 31)
    influence, score = channel.influence(asked, 7), channel.score(asked, np.array([7]))
    assert influence is not None
    assert score is not None
    assert influence.sum() == pytest.approx(float(score[0]), abs=1e-5)
    assert influence[1] == 0
    assert channel.influence(asked, SIZE - 1) is None
    assert channel.influence(taste(SIZE - 1), 7) is None


def test_it_takes_over_where_both_sides_of_the_log_are_large(world: World) -> None:
    users = int((world.log.lengths > 0).sum())
    for side, kind in ((users - 1, Als), (users, Ease)):
        settings = world.settings.model_copy(update={"ease_side": side})
        channel = Linear.fit(world.exact, world.log, settings)
        assert type(channel) is kind
        restored = Linear.restore(world.exact, channel.state(), settings)
        assert type(restored) is kind
        history = Taste(world.log.rows[world.log.span(0)])
        rows = np.arange(world.log.size)
        np.testing.assert_array_equal(channel.score(history, rows), restored.score(history, rows))  # type: ignore[arg-type]
