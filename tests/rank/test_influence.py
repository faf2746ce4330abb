"""What a score owes to a history is what leaving its items out takes from it."""

from __future__ import annotations

import numpy as np
import pytest
from catalogs import ITEMS, World, unit_vectors

from llmrec.config import RankSettings
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.influence import LeavingOut
from llmrec.rank.log import Rows
from llmrec.rank.ranker import Ranker

pytestmark = pytest.mark.slow

VECTORS = unit_vectors(ITEMS)


def text_vector(history: Rows) -> Scores | None:
    """The direction of the newest three items, as the user's text is made of few."""
    total = VECTORS[history[:3]].sum(axis=0)
    return total / np.linalg.norm(total) if len(history) else None


@pytest.fixture(scope="module", params=["learned", "weighted"])
def ranker(request: pytest.FixtureRequest, world: World) -> Ranker:
    return Ranker.fit(world.exact, world.log, RankSettings(fusion=request.param, sequence_epochs=1))


def taste_of(history: Rows) -> Taste:
    return Taste(history, vector=text_vector(history))


def score(ranker: Ranker, history: Rows, whole: Rows, row: int) -> float:
    """The score of a row for a history, by the list that is recommended, of which ``whole`` is left out."""
    ranked = ranker.rank(taste_of(history), ITEMS, whole)
    return next(entry.score for entry in ranked if entry.row == row)


def histories(world: World, count: int) -> list[Rows]:
    return [world.log.rows[world.log.span(user)][::-1] for user in range(count)]


def test_influence_is_what_leaving_an_item_out_takes_from_the_score(ranker: Ranker, world: World) -> None:
    for history in histories(world, 5):
        leaving_out = LeavingOut(ranker, taste_of(history), text_vector)
        for entry in ranker.rank(taste_of(history), 3, history):
            taken = [
                entry.score - score(ranker, np.delete(history, place), history, entry.row)
                for place in range(len(history))
            ]
            found = leaving_out.strongest(entry.row, range(len(history)), len(history))
            assert [place for place, _ in found] == sorted(
                (place for place, value in enumerate(taken) if value > 0), key=lambda place: -taken[place]
            )
            for place, value in found:
                assert value == pytest.approx(taken[place], abs=1e-4)


def test_cited_items_take_more_from_the_score_than_others(ranker: Ranker, world: World) -> None:
    rng = np.random.default_rng(0)
    won = []
    for history in histories(world, 40):
        leaving_out = LeavingOut(ranker, taste_of(history), text_vector)
        for entry in ranker.rank(taste_of(history), 2, history):
            cited = [place for place, _ in leaving_out.strongest(entry.row, range(len(history)), 2)]
            if not 0 < len(cited) < len(history) - 1:
                continue
            others = np.setdiff1d(np.arange(len(history)), cited)
            drawn = rng.choice(others, min(len(cited), len(others)), replace=False)
            ours, theirs = (
                score(ranker, np.delete(history, places), history, entry.row) for places in (cited, drawn)
            )
            won.append(ours < theirs)
    assert len(won) >= 60
    assert np.mean(won) >= 0.9


def test_only_what_may_be_named_is_named(ranker: Ranker, world: World) -> None:
    (history,) = histories(world, 1)
    row = ranker.rank(taste_of(history), 1, history)[0].row
    leaving_out = LeavingOut(ranker, taste_of(history), text_vector)
    assert {place for place, _ in leaving_out.strongest(row, [1, 4], 5)} <= {1, 4}
    assert leaving_out.strongest(row, [], 5) == []
    assert len(leaving_out.strongest(row, range(len(history)), 1)) == 1


def test_a_query_stays_what_it_was(ranker: Ranker) -> None:
    history = np.array([3, 50], np.intp)
    taste = Taste(history, vector=VECTORS[7], asked=True)

    def never(history: Rows) -> Scores | None:
        raise AssertionError("the query is not made of the history")

    row = ranker.rank(taste, 1, history)[0].row
    assert len(LeavingOut(ranker, taste, never).strongest(row, [0, 1], 2)) <= 2


def test_nothing_is_owed_to_no_history(ranker: Ranker) -> None:
    assert LeavingOut(ranker, Taste(), text_vector).strongest(4, [], 3) == []


def test_a_large_catalog_is_asked_about_what_it_recommended(world: World) -> None:
    ranker = Ranker.fit(world.sparse, world.log, world.settings.model_copy(update={"candidates": 10}))
    for history in histories(world, 3):
        leaving_out = LeavingOut(ranker, taste_of(history), text_vector)
        outside = np.setdiff1d(np.arange(ITEMS), [*history, *ranker.panel.candidates(taste_of(history))])
        assert len(outside)
        for row in (ranker.rank(taste_of(history), 1, history)[0].row, int(outside[0])):
            found = leaving_out.strongest(row, range(len(history)), 3)
            assert all(value > 0 for _, value in found)
