"""Channels ``itemknn``, ``recent`` and ``recency`` against their formulas, and items that are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from catalogs import ITEMS, World, unit_vectors, write
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.rank import itemknn
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Channel, Scores, Taste
from llmrec.rank.itemknn import HISTORY, ItemKnn
from llmrec.rank.log import Log
from llmrec.rank.panel import CHANNELS
from llmrec.rank.recent import Recency, Recent
from llmrec.schema import Item
from llmrec.store.items import ItemStore

SIZE = 30
DAY = 86_400.0
SETTINGS = RankSettings(recent_days=10)
NO_CATALOG: Any = None
"""These channels are trained on the log alone."""


def log_of(histories: Sequence[Sequence[int]], size: int = SIZE) -> Log:
    """One user for each history, the oldest item first."""
    rows = {str(row): row for row in range(size)}
    events = (
        (f"u{user:03}", str(row), float(at), 1.0)
        for user, own in enumerate(histories)
        for at, row in enumerate(own)
    )
    return Log.of(events, rows, size)


def random_histories(users: int = 20, size: int = SIZE) -> list[list[int]]:
    """Of 1 to 20 items; the last two items have no events."""
    rng = np.random.default_rng(1)
    return [rng.permutation(size - 2)[: 1 + rng.integers(20)].tolist() for _ in range(users)]


def fit(histories: Sequence[Sequence[int]], size: int = SIZE) -> ItemKnn:
    return ItemKnn.fit(NO_CATALOG, log_of(histories, size), SETTINGS)


def taste(*history: int, now: float | None = None) -> Taste:
    return Taste(np.array(history, np.intp), now=now)


def similarity(histories: Sequence[Sequence[int]], size: int = SIZE) -> NDArray[np.float64]:
    """The formula, pair by pair."""
    near, users = np.zeros((size, size)), np.zeros(size)
    for own in histories:
        for at, row in enumerate(own):
            users[row] += 1
            for place, other in enumerate(own):
                if 0 < abs(at - place) <= 20:
                    near[row, other] += 1 / abs(at - place)
    return near / np.outer((users + 1) ** 0.5, (users + 1) ** 0.2)


def scored(channel: Channel, asked: Taste, size: int = SIZE) -> Scores:
    scores = channel.score(asked, np.arange(size))
    assert scores is not None
    return scores


@pytest.mark.parametrize("history", [[3], [3, 9, 1], [28, 5, 29, 7], list(range(28))])
def test_itemknn_follows_its_formula(history: list[int]) -> None:
    histories = random_histories()
    weights = similarity(histories)
    expected = sum(weights[row] / (1 + place) for place, row in enumerate(history))
    scores = scored(fit(histories), taste(*history))
    assert np.isnan(scores[28:]).all(), "nobody chose them"
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[:28], expected[:28], rtol=1e-4)


def test_pairs_are_counted_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = random_histories()
    whole = scored(fit(histories), taste(3, 9))
    monkeypatch.setattr(itemknn, "_EVENTS", 7)
    np.testing.assert_allclose(scored(fit(histories), taste(3, 9)), whole, rtol=1e-5)


def test_the_window_ends_at_twenty_events() -> None:
    scores = scored(fit([list(range(22))]), taste(0))
    assert (scores[1:21] > 0).all()
    assert scores[21] == 0
    assert (np.diff(scores[1:22]) < 0).all()


def over_years(knn_days: float) -> ItemKnn:
    """Item 0 was chosen beside 1 on day 0, beside 2 on day 1600, and beside 3 on day 3200."""
    pairs = {1: 0.0, 2: 1600.0, 3: 3200.0}
    events = [
        (f"u{other}", str(row), (day + at / 1000) * DAY, 1.0)
        for other, day in pairs.items()
        for at, row in enumerate((0, other))
    ]
    log = Log.of(events, {str(row): row for row in range(SIZE)}, SIZE)
    return ItemKnn.fit(NO_CATALOG, log, RankSettings(knn_days=knn_days))


def test_what_was_chosen_together_near_the_question_counts_most() -> None:
    channel = over_years(400)
    by_day = {
        day: scored(channel, taste(0, now=None if day is None else day * DAY))[1:4]
        for day in (None, 0.0, 1600.0, 3200.0, 9000.0)
    }
    # Eight half-lives of 400 days are 32 eras of 100 days, whose middles are up to 50 days off.
    off = 2 ** (100 / 400)
    for day, (first, second, third) in by_day.items():
        now = min(3200.0 if day is None else day, 3200.0)
        ages = np.abs(now - np.array([0.0, 1600.0, 3200.0])) / 400
        expected = np.exp2(-ages) / np.exp2(-ages[2])
        np.testing.assert_allclose(np.array([first, second, third]) / third, expected, rtol=off - 1)
    np.testing.assert_array_equal(by_day[None], by_day[9000.0])


def test_without_fading_the_time_of_the_question_changes_nothing() -> None:
    channel = over_years(1e9)
    now, then = scored(channel, taste(0)), scored(channel, taste(0, now=0.0))
    np.testing.assert_array_equal(now, then)
    assert now[1] == now[2] == now[3] > 0


def test_what_is_very_old_is_still_a_number() -> None:
    scores = scored(over_years(0.01), taste(0, now=0.0))
    assert np.isfinite(scores[:4]).all()
    assert scores[1] > scores[2] > 0


def test_the_largest_neighbours_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = random_histories()
    weights = similarity(histories)
    monkeypatch.setattr(itemknn, "NEIGHBOURS", 4)
    channel = fit(histories)
    for row in range(28):
        scores = scored(channel, taste(row))[:28]
        kept = np.flatnonzero(scores)
        assert len(kept) == min(4, np.count_nonzero(weights[row]))
        np.testing.assert_allclose(np.sort(scores[kept]), np.sort(weights[row])[-len(kept) :], rtol=1e-4)
        np.testing.assert_allclose(scores[kept], weights[row, kept], rtol=1e-4)


def test_itemknn_of_items_without_events() -> None:
    channel = fit(random_histories())
    assert channel.score(taste(28, 29), np.arange(SIZE)) is None
    assert channel.influence(taste(1, 2), 28) is None
    assert channel.propose(taste(28), 5).tolist() == []
    influence = channel.influence(taste(28, 2), 5)
    assert influence is not None
    assert influence[0] == 0


@pytest.mark.parametrize("history", [[3], [3, 28, 9, 1], list(range(28))])
def test_influence_adds_up_to_the_score(history: list[int]) -> None:
    channel = fit(random_histories())
    scores = scored(channel, taste(*history))
    for row in range(28):
        influence = channel.influence(taste(*history), row)
        assert influence is not None
        assert influence.shape == (len(history),)
        assert influence.sum() == pytest.approx(scores[row], abs=1e-5)


def test_only_the_newest_items_of_a_long_history_are_read() -> None:
    histories = [list(range(start, start + 20)) for start in range(0, 140, 5)]
    channel = fit(histories, 160)
    history = list(range(150, 0, -1))
    scores = scored(channel, taste(*history), 160)
    np.testing.assert_array_equal(scored(channel, taste(*history[:HISTORY]), 160), scores)
    influence = channel.influence(taste(*history), 51)
    assert influence is not None
    assert not influence[HISTORY:].any()
    assert influence.sum() == pytest.approx(scores[51], abs=1e-5)


def recent(times: dict[int, list[float]]) -> Recent:
    """Trained on items chosen at times in days, each by another user."""
    events = [
        (f"u{row}-{number}", str(row), day * DAY, 1.0)
        for row, days in times.items()
        for number, day in enumerate(days)
    ]
    log = Log.of(events, {str(row): row for row in range(5)}, 5)
    return Recent.fit(NO_CATALOG, log, SETTINGS)


def test_recent_events_halve_in_a_half_life() -> None:
    channel = recent({0: [100.0], 1: [90.0], 2: [80.0, 80.0], 3: [90.0, 100.0], 4: [150.0]})
    counts = np.expm1(scored(channel, taste(now=110 * DAY), 5))
    np.testing.assert_allclose(counts, [1 / 2, 1 / 4, 2 / 8, 3 / 4, 0], rtol=1e-5)


def test_nothing_after_the_question_is_recent() -> None:
    channel = recent({0: [10.0], 1: [20.0], 2: [30.0]})
    assert (scored(channel, taste(now=20.5 * DAY), 5) > 0).tolist() == [True, True, False, False, False]
    assert (scored(channel, taste(now=20 * DAY), 5) > 0).tolist() == [True, True, False, False, False]
    assert (scored(channel, taste(now=19.9 * DAY), 5) > 0).tolist() == [True, False, False, False, False]
    assert channel.score(taste(now=9.9 * DAY), np.arange(5)) is None
    assert channel.propose(taste(now=20.5 * DAY), 5).tolist() == [1, 0]
    assert channel.propose(taste(now=9 * DAY), 5).tolist() == []


def test_what_is_recent_does_not_depend_on_the_history() -> None:
    channel = recent({0: [10.0], 1: [20.0], 2: [30.0]})
    np.testing.assert_array_equal(
        scored(channel, taste(4, 3, now=25 * DAY), 5), scored(channel, taste(now=25 * DAY), 5)
    )
    assert channel.influence(taste(4, 3), 0) is None


def recency() -> Recency:
    """Rows 0, 1 and 2 were first chosen on days 10, 20 and 30; the log ends on day 40."""
    days = [("u", 0, 10.0), ("v", 1, 20.0), ("w", 1, 25.0), ("u", 2, 30.0), ("w", 0, 40.0)]
    events = [(user, str(row), day * DAY, 1.0) for user, row, day in days]
    log = Log.of(events, {str(row): row for row in range(4)}, 4)
    return Recency.fit(NO_CATALOG, log, SETTINGS)


def test_recency_is_the_age_since_the_first_event() -> None:
    channel = recency()
    np.testing.assert_allclose(scored(channel, taste(), 4), -np.log1p([30, 20, 10, 0]), rtol=1e-6)
    later = scored(channel, taste(now=100 * DAY), 4)
    np.testing.assert_allclose(later, -np.log1p([90, 80, 70, 0]), rtol=1e-6)
    assert channel.propose(taste(), 3).tolist() == [3, 2, 1]
    assert channel.influence(taste(0), 1) is None


def test_an_item_whose_first_event_is_yet_to_come_is_new() -> None:
    np.testing.assert_allclose(scored(recency(), taste(now=20 * DAY), 4), -np.log1p([10, 0, 0, 0]), rtol=1e-6)


GONE = [0, 7, 50, 99, 119]
"""Rows of the world whose items are not in the other catalog: popular ones, and one without events."""


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The world's catalog without the items that are gone, and in another order."""
    kept = [row for row in reversed(range(ITEMS)) if row not in GONE]
    vectors = unit_vectors(ITEMS)[kept]
    store = ItemStore(str(tmp_path_factory.mktemp("smaller")))
    return Catalog(
        write(store, None, [Item(f"i{row}", f"Film {row}") for row in kept], vectors=vectors), 10_000
    )


def translated(state: Arrays, old: Catalog, new: Catalog) -> Arrays:
    """The state for another catalog: rows by their items, -1 where the item is gone."""
    rows = [new.row_of.get(old.ids[row], -1) for row in state["rows"]]
    return {**state, "rows": np.array(rows, np.int64)}


@pytest.mark.parametrize("name", ["sequence", "itemknn", "linear", "popularity", "recent", "recency"])
def test_items_that_are_gone_are_ignored_and_the_others_stay_as_they_were(
    name: str, world: World, smaller: Catalog
) -> None:
    settings = world.settings.model_copy(update={"sequence_epochs": 1})
    channel = CHANNELS[name].fit(world.exact, world.log, settings)
    state = translated(channel.state(), world.exact, smaller)
    assert (state["rows"] == -1).sum() >= 3
    restored = CHANNELS[name].restore(smaller, state, settings)
    kept = np.array([world.exact.row_of[item] for item in smaller.ids])
    history = ["i90", "i3", "i60"]
    old, new = (taste(*map(int, catalog.rows(history)), now=6.5) for catalog in (world.exact, smaller))
    before, after = channel.score(old, kept), restored.score(new, np.arange(len(smaller)))
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after, before, atol=1e-5)
    proposed = restored.propose(new, len(smaller))
    assert len(proposed) == len(set(proposed.tolist())) > 10
    assert ((proposed >= 0) & (proposed < len(smaller))).all()
    for item in ("i5", "i80"):
        one = channel.influence(old, world.exact.row_of[item])
        other = restored.influence(new, smaller.row_of[item])
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_allclose(other, one, atol=1e-5)
