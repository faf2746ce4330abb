"""The ranker: what is hidden stays hidden, and what was saved ranks the same."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from catalogs import ITEMS, World, log_of, unit_vectors, write

from llmrec.config import WEIGHTS
from llmrec.errors import CorruptFileError
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Taste
from llmrec.rank.ranker import CARD, ITEMS as ITEMS_FILE, TENSORS, Ranked, Ranker
from llmrec.schema import Item
from llmrec.store.items import ItemStore

NOTHING = np.empty(0, np.intp)
HISTORY = np.array([90, 3, 50], np.intp)
VECTOR = unit_vectors(1, seed=5)[0]
TASTES = [Taste(), Taste(HISTORY), Taste(vector=VECTOR), Taste(HISTORY, vector=VECTOR)]


@pytest.fixture(scope="module")
def ranker(world: World) -> Ranker:
    return Ranker.fit(world.exact, world.log, world.settings)


@pytest.fixture(scope="module")
def folder(ranker: Ranker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("channels")
    ranker.save(made)
    return made


def rows(ranked: list[Ranked]) -> list[int]:
    return [entry.row for entry in ranked]


@pytest.mark.parametrize("taste", TASTES)
def test_the_best_come_first_with_contributions_that_add_up(ranker: Ranker, taste: Taste) -> None:
    ranked = ranker.rank(taste, 20, NOTHING)
    assert len(ranked) == 20
    scores = [entry.score for entry in ranked]
    assert scores == sorted(scores, reverse=True)
    for entry in ranked:
        assert sum(entry.contributions.values()) == pytest.approx(entry.score, abs=1e-5)
    expected = {"popularity"}
    expected |= {"linear"} if len(taste.history) else set()
    expected |= {"semantic"} if taste.vector is not None else set()
    assert set(ranked[0].contributions) == expected


def test_the_ranking_is_the_sum_of_the_standardised_channels(ranker: Ranker, world: World) -> None:
    taste, everything = TASTES[3], np.arange(ITEMS)
    total = np.zeros(ITEMS)
    for name, channel in ranker.panel.channels.items():
        scores = channel.score(taste, everything)
        assert scores is not None
        apart = (scores - np.nanmean(scores)) / np.nanstd(scores)
        total += world.settings.weights[name] * np.nan_to_num(np.sign(apart) * np.log1p(np.abs(apart)))
    ranked = ranker.rank(taste, ITEMS, NOTHING)
    np.testing.assert_allclose([entry.score for entry in ranked], total[rows(ranked)], atol=1e-4)


def test_a_taste_moves_the_ranking(ranker: Ranker) -> None:
    rankings = [tuple(rows(ranker.rank(taste, 10, NOTHING))) for taste in TASTES]
    assert len(set(rankings)) == len(TASTES)


@pytest.mark.parametrize("taste", TASTES)
def test_hidden_rows_never_show_and_nothing_else_is_lost(ranker: Ranker, taste: Taste) -> None:
    full = rows(ranker.rank(taste, ITEMS, NOTHING))
    assert sorted(full) == list(range(ITEMS))
    hidden = np.array(full[:30:2], np.intp)
    # What is hidden does not count in standardising, so the others' order may change a little.
    shown = rows(ranker.rank(taste, ITEMS, hidden))
    assert sorted(shown) == [row for row in range(ITEMS) if row not in hidden]
    assert ranker.rank(taste, 5, np.arange(ITEMS)) == []


@pytest.mark.parametrize("taste", TASTES)
def test_only_allowed_rows_show_in_the_same_order(ranker: Ranker, taste: Taste) -> None:
    full = rows(ranker.rank(taste, ITEMS, NOTHING))
    allowed = np.array([100, 7, 2, 119, 50], np.intp)
    expected = [row for row in full if row in allowed]
    assert rows(ranker.rank(taste, 10, NOTHING, allowed)) == expected
    without = rows(ranker.rank(taste, 10, np.array([7]), allowed))
    assert sorted(without) == sorted(row for row in expected if row != 7)


@pytest.mark.parametrize("exact", [True, False])
def test_nothing_allowed_is_an_empty_answer_without_a_warning(world: World, exact: bool) -> None:
    ranker = Ranker.fit(world.exact if exact else world.sparse, world.log, world.settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for taste in TASTES:
            assert ranker.rank(taste, 5, NOTHING, NOTHING) == []


def test_equal_scores_go_by_row(world: World) -> None:
    # The last 20 items have no events: popularity scores them alike.
    settings = world.settings.model_copy(update={"weights": {"popularity": 1.0}})
    ranker = Ranker.fit(world.exact, world.log, settings)
    full = ranker.rank(Taste(), ITEMS, NOTHING)
    assert rows(full)[-20:] == list(range(ITEMS - 20, ITEMS))
    for k in (1, 50, ITEMS - 5):
        assert rows(ranker.rank(Taste(), k, NOTHING)) == rows(full)[:k]


def test_nothing_known_gives_the_catalog_in_its_order(world: World) -> None:
    ranker = Ranker.fit(world.exact, log_of([], world.exact), world.settings)
    assert ranker.rank(Taste(), 3, np.array([1])) == [Ranked(row, 0.0, {}) for row in (0, 2, 3)]


def test_a_weight_of_zero_switches_a_channel_off(world: World) -> None:
    settings = world.settings.model_copy(
        update={"weights": WEIGHTS | dict.fromkeys(WEIGHTS, 0.0) | {"linear": 1.0}}
    )
    ranker = Ranker.fit(world.exact, world.log, settings)
    assert set(ranker.rank(TASTES[3], 1, NOTHING)[0].contributions) == {"linear"}


# Large catalogs


@pytest.mark.parametrize("taste", TASTES)
def test_enough_candidates_give_the_ranking_of_the_whole_catalog(
    world: World, ranker: Ranker, taste: Taste
) -> None:
    settings = world.settings.model_copy(update={"candidates": ITEMS})
    sparse = Ranker.fit(world.sparse, world.log, settings)
    hidden, allowed = HISTORY, np.arange(5, ITEMS, 2)
    for limits in ((NOTHING, None), (hidden, None), (hidden, allowed)):
        one, other = ranker.rank(taste, 25, *limits), sparse.rank(taste, 25, *limits)
        assert rows(one) == rows(other)
        np.testing.assert_allclose([e.score for e in one], [e.score for e in other], atol=1e-4)


@pytest.mark.parametrize("taste", TASTES)
def test_few_candidates_find_most_of_the_best(world: World, ranker: Ranker, taste: Taste) -> None:
    settings = world.settings.model_copy(update={"candidates": 20})
    sparse = Ranker.fit(world.sparse, world.log, settings)
    found, best = rows(sparse.rank(taste, 5, HISTORY)), rows(ranker.rank(taste, 5, HISTORY))
    assert len(found) == 5
    assert not set(found) & set(HISTORY)
    assert best[0] in found
    assert len(set(found) & set(best)) >= 3


def test_a_narrow_filter_is_answered_in_full_from_few_candidates(world: World) -> None:
    settings = world.settings.model_copy(update={"candidates": 10})
    sparse = Ranker.fit(world.sparse, world.log, settings)
    allowed = np.arange(100, 109)  # none of them proposed by popularity or linear
    assert sorted(rows(sparse.rank(TASTES[3], 20, NOTHING, allowed))) == list(range(100, 109))


def test_a_channel_that_is_off_proposes_nothing(world: World) -> None:
    weights = {"semantic": 1.0}
    settings = world.settings.model_copy(update={"candidates": 10, "weights": weights})
    sparse = Ranker.fit(world.sparse, world.log, settings)
    nearest = np.argsort(-(unit_vectors(ITEMS) @ VECTOR), kind="stable")
    ranked = sparse.rank(Taste(vector=VECTOR), 5, NOTHING)
    assert rows(ranked) == nearest[:5].tolist()
    # Standardised over the ten that semantic proposes, not over the popular items too.
    cosines = (unit_vectors(ITEMS) @ VECTOR)[nearest[:10]]
    assert ranked[0].score == pytest.approx(np.log1p((cosines[0] - cosines.mean()) / cosines.std()), abs=1e-3)


# Nearest and influence


@pytest.mark.parametrize("exact", [True, False])
def test_nearest_gives_cosines(world: World, exact: bool) -> None:
    ranker = Ranker.fit(world.exact if exact else world.sparse, world.log, world.settings)
    vectors = unit_vectors(ITEMS)
    hidden = np.array([7], np.intp)
    found = ranker.nearest(vectors[7], 6, hidden)
    expected = [row for row in np.argsort(-(vectors @ vectors[7]), kind="stable") if row != 7][:6]
    assert rows(found) == expected
    for entry in found:
        cosine = float(vectors[entry.row] @ vectors[7])
        assert entry.score == pytest.approx(cosine, abs=1e-5)
        assert entry.contributions == {"semantic": entry.score}


def test_influence_is_in_units_of_the_score(world: World) -> None:
    settings = world.settings.model_copy(update={"weights": {"linear": 0.8, "popularity": 0.1}})
    ranker = Ranker.fit(world.exact, world.log, settings)
    linear = ranker.panel.channels["linear"]
    shown = np.setdiff1d(np.arange(ITEMS), HISTORY)
    scores = linear.score(Taste(HISTORY), shown)
    raw = linear.influence(Taste(HISTORY), 40)
    assert scores is not None
    assert raw is not None
    found = ranker.influences(Taste(HISTORY), 40)
    apart = (scores - np.nanmean(scores)) / np.nanstd(scores)
    slope = 1 / (1 + np.abs(apart[shown == 40])) / np.nanstd(scores)
    assert found.keys() == {"linear"}, "popularity owes nothing to the history"
    np.testing.assert_allclose(found["linear"], 0.8 * raw * slope, rtol=1e-4)
    assert all(shares.shape == (0,) for shares in ranker.influences(Taste(), 40).values())


def test_influence_of_a_cold_item_comes_from_its_text(ranker: Ranker) -> None:
    influences = ranker.influences(TASTES[3], ITEMS - 1)
    assert influences.keys() == {"semantic"}
    assert influences["semantic"].shape == HISTORY.shape
    assert influences["semantic"].any()


# Saving


@pytest.mark.parametrize("taste", TASTES)
def test_what_was_saved_ranks_the_same(ranker: Ranker, folder: Path, world: World, taste: Taste) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted([CARD, ITEMS_FILE, TENSORS])
    loaded = Ranker.load(folder, Catalog(world.table, exact_items=1000), world.settings)
    assert loaded.rank(taste, ITEMS, NOTHING) == ranker.rank(taste, ITEMS, NOTHING)
    before, after = (each.influences(taste, 5) for each in (ranker, loaded))
    assert before.keys() == after.keys()
    for name, shares in before.items():
        np.testing.assert_array_equal(after[name], shares)


def test_a_ranker_without_a_log_is_saved_too(world: World, tmp_path: Path) -> None:
    Ranker.fit(world.exact, log_of([], world.exact), world.settings).save(tmp_path)
    loaded = Ranker.load(tmp_path, world.exact, world.settings)
    assert set(loaded.rank(TASTES[3], 1, NOTHING)[0].contributions) == {"semantic"}


def damage_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (CARD, Path.unlink),
        (TENSORS, Path.unlink),
        (CARD, lambda path: path.write_text("{", encoding="utf-8")),
        (CARD, lambda path: path.write_text("[]", encoding="utf-8")),
        (CARD, lambda path: path.write_bytes(b"\xff\xfe")),
        (CARD, lambda path: damage_json(path, channels=["linear", "telepathy"])),
        (CARD, lambda path: damage_json(path, channels=7)),
        (ITEMS_FILE, Path.unlink),
        (ITEMS_FILE, lambda path: path.write_text("[1, ", encoding="utf-8")),
        (TENSORS, lambda path: path.write_bytes(b"")),
        (TENSORS, lambda path: path.write_bytes(path.read_bytes()[:-9])),
        (TENSORS, lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])),
        (TENSORS, lambda path: path.write_bytes(path.read_bytes().replace(b"linear/rows", b"linear/sowr"))),
    ],
)
def test_damage_is_named(folder: Path, world: World, tmp_path: Path, name: str, damage: object) -> None:
    shutil.copytree(folder, tmp_path / "channels")
    damage(tmp_path / "channels" / name)  # type: ignore[operator]
    with pytest.raises(CorruptFileError, match=rf"channels/{name}: "):
        Ranker.load(tmp_path / "channels", world.exact, world.settings)


def test_channels_follow_the_items_into_a_later_catalog(
    world: World, ranker: Ranker, folder: Path, tmp_path: Path
) -> None:
    names = [f"i{number}" for number in range(ITEMS) if number != 17]
    order = [*reversed(names), "new"]
    vectors = unit_vectors(ITEMS)
    kept = np.stack([vectors[int(name[1:])] if name != "new" else -vectors[0] for name in order])
    table = write(ItemStore(str(tmp_path)), None, [Item(name) for name in order], vectors=kept)
    catalog = Catalog(table, exact_items=1000)
    loaded = Ranker.load(folder, catalog, world.settings)
    history = catalog.rows([f"i{row}" for row in HISTORY])
    for name in ("linear", "semantic", "popularity"):
        before = ranker.panel.channels[name].score(TASTES[3], np.arange(ITEMS))
        after = loaded.panel.channels[name].score(Taste(history, vector=VECTOR), np.arange(len(catalog)))
        assert before is not None
        assert after is not None
        for row, item in enumerate(catalog.ids):
            if item != "new":
                np.testing.assert_allclose(after[row], before[int(item[1:])], rtol=1e-5)
    ranked = loaded.rank(Taste(history, vector=VECTOR), len(catalog), history)
    assert len(ranked) == len(catalog) - len(HISTORY), "the new item is ranked too"
    assert all(np.isfinite(entry.score) for entry in ranked)
