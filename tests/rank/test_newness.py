"""New items: which are, and which places they take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from catalogs import ITEMS, World, log_of, unit_vectors, write
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Taste
from llmrec.rank.features import NEW
from llmrec.rank.log import DAY
from llmrec.rank.newness import arrived, placed
from llmrec.rank.popularity import Popularity
from llmrec.rank.practice import HELD, practice
from llmrec.rank.ranker import NEWNESS, Ranker
from llmrec.schema import Item
from llmrec.store.items import ItemStore

NOTHING = np.empty(0, np.intp)
VECTOR = unit_vectors(1, seed=9)[0]
NOW = 1e9

scores = st.floats(-50, 50, width=32)


def test_what_was_not_there_before_is_new_until_it_is_old() -> None:
    first = arrived(["a", "b"], {}, ["a", "b", "c"], NOW, 30)
    assert first == {"c": NOW}, "the first items are not new"
    later = arrived(["a", "b", "c"], first, ["b", "c", "d"], NOW + 10 * DAY, 30)
    assert later == {"c": NOW, "d": NOW + 10 * DAY}
    assert arrived(["b", "c", "d"], later, ["c", "d"], NOW + 35 * DAY, 30) == {"d": NOW + 10 * DAY}
    assert arrived(["b"], {}, ["b", "c"], NOW, 0) == {}


@given(arrays(np.float32, 40, elements=scores), arrays(bool, 40), st.floats(0.05, 20))
def test_the_order_of_both_kinds_stays(total: np.ndarray, new: np.ndarray, exposure: float) -> None:
    found = placed(total, new, exposure, 1.0)
    np.testing.assert_array_equal(found[~new], total[~new])
    assert np.isfinite(found).all()
    ours, theirs = found[new], total[new]
    for one in range(len(ours)):
        assert (ours[theirs < theirs[one]] <= ours[one]).all()
        assert (ours[theirs == theirs[one]] == ours[one]).all()


@pytest.mark.parametrize(
    ("exposure", "limit", "among"),
    [(1.0, 1.0, 10), (2.0, 1.0, 18), (0.5, 1.0, 5), (0.05, 1.0, 0), (50.0, 0.25, 25), (50.0, 0.5, 50)],
)
def test_as_many_are_on_top_as_exposure_and_limit_say(exposure: float, limit: float, among: int) -> None:
    rng = np.random.default_rng(0)
    new = np.arange(1000) >= 900  # a tenth
    total = np.where(new, -9, 0) + rng.standard_normal(1000).astype(np.float32)
    best = np.argsort(-placed(total.astype(np.float32), new, exposure, limit))[:100]
    assert abs(int(new[best].sum()) - among) <= 2


@pytest.mark.parametrize("new", [np.zeros(5, bool), np.ones(5, bool)])
def test_one_kind_alone_keeps_its_scores(new: np.ndarray) -> None:
    total = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(placed(total, new, 1.0, 1.0), total)


def later_catalog(world: World, folder: Path, count: int = 12) -> Catalog:
    """The world with ``count`` more items, the last of which is like the first film."""
    items = [*(Item(f"i{number}") for number in range(ITEMS)), *(Item(f"n{at}") for at in range(count))]
    vectors = np.concatenate([unit_vectors(ITEMS), unit_vectors(count, seed=4)])
    vectors[-1] = vectors[0]
    return Catalog(write(ItemStore(str(folder)), None, items, vectors=vectors), 1000)


def test_new_items_take_places_and_contributions_add_up(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "channels"
    folder.mkdir()
    Ranker.fit(world.exact, world.log, world.settings).save(folder)
    catalog = later_catalog(world, tmp_path / "later")
    even = world.settings.model_copy(update={"new_items": 1.0, "new_limit": 1.0})
    ranker = Ranker.load(folder, catalog, even, now=NOW)
    assert ranker.new == {f"n{at}": NOW for at in range(12)}
    history = world.log.rows[world.log.span(0)][::-1]
    taste = Taste(history, vector=VECTOR)
    ranked = ranker.rank(taste, len(catalog), history)
    names = [catalog.ids[entry.row] for entry in ranked]
    top = names[: len(names) // 2]
    assert 5 <= sum(name.startswith("n") for name in top) <= 7, "half of them in the upper half"
    for entry, name in zip(ranked, names, strict=True):
        assert sum(entry.contributions.values()) == pytest.approx(entry.score, abs=1e-5)
        assert (entry.contributions[NEWNESS] != 0) == name.startswith("n")
    asked = ranker.rank(dataclasses.replace(taste, asked=True), 5, history)
    assert all(NEWNESS not in entry.contributions for entry in asked), "a query leads"


def test_they_stay_new_when_the_channels_are_trained_again(world: World, tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    Ranker.fit(world.exact, world.log, world.settings).save(first)
    catalog = later_catalog(world, tmp_path / "later")
    pairs = [("u1", "n3", 99.0), *((f"u{user}", f"i{user}", 1.0) for user in range(9))]
    new = Ranker.arrivals(first, catalog, world.settings, NOW)
    trained = Ranker.fit(catalog, log_of(pairs, catalog), world.settings, new=new)
    trained.save(second)
    loaded = Ranker.load(second, catalog, world.settings, now=NOW + 29 * DAY)
    gate = loaded.panel.gate(Taste(), np.arange(len(catalog)))["items"][:, NEW]
    expected = [item.startswith("n") and item != "n3" for item in catalog.ids]
    np.testing.assert_array_equal(gate > 0, expected, "one was chosen, and is known")
    old = Ranker.load(second, catalog, world.settings, now=NOW + 31 * DAY)
    assert old.new == {}
    assert not old.panel.gate(Taste(), np.arange(len(catalog)))["items"][:, NEW].any()


def test_popularity_of_a_new_item_is_that_of_items_like_it(world: World) -> None:
    log = dataclasses.replace(world.log, new=np.array([ITEMS - 1]))
    vectors = world.exact.vectors(np.arange(ITEMS))
    channel = Popularity.fit(world.exact, log, world.settings)
    scores = channel.score(Taste(), np.arange(ITEMS))
    assert scores is not None
    np.testing.assert_allclose(scores[:-1], np.log1p(log.counts[:-1]), rtol=1e-6)
    others = np.arange(ITEMS - 1)
    centred = vectors[others] - vectors[others].mean(axis=0)
    counts = np.log1p(log.counts[others])
    gram = centred.T @ centred + 10 * np.eye(vectors.shape[1])
    slope = np.linalg.solve(gram, centred.T @ (counts - counts.mean()))
    expected = counts.mean() + (vectors[-1] - vectors[others].mean(axis=0)) @ slope
    assert scores[-1] == pytest.approx(max(expected, 0), rel=1e-4)


def test_practice_asks_for_new_items_too(world: World) -> None:
    held = practice(world.log, 0)
    assert held is not None
    new = np.isin(held.targets, held.log.new)
    assert 15 < new.sum() < len(held) - 15
    assert np.bincount(held.users[new]).max() <= 1 + HELD, "the newest events, and one before them"
    assert not held.log.counts[held.log.new].any()
