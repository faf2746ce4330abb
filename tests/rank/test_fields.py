"""The channels of single modalities: late similarity, and nothing where there is no modality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from catalogs import ITEMS, World, log_of, unit_vectors, write

from llmrec.config import RankSettings
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Channel, Taste
from llmrec.rank.fields import FIELDS
from llmrec.schema import MODALITIES, Item
from llmrec.store.items import ItemStore

EVERYTHING = np.arange(ITEMS)
PICTURED = np.flatnonzero(EVERYTHING % 3 == 0)
HEARD = np.array([5, 6])
PICTURES = unit_vectors(ITEMS, seed=1)
TASTES = {
    "nothing": Taste(),
    "a query": Taste(vector=unit_vectors(1, seed=5)[0], asked=True),
    "history": Taste(np.array([90, 4, 51], np.intp)),
    "no picture": Taste(np.array([1, 2], np.intp), vector=unit_vectors(1, seed=5)[0]),
    "one picture among many": Taste(np.array([1, 2, 3, 4], np.intp)),
    "everything": Taste(EVERYTHING[::-1].copy()),
}


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, Catalog]:
    """Every third item has a picture, two have sound; whole and by the table."""
    text = unit_vectors(ITEMS, seed=2)
    made = [Item(f"i{number}", f"Film {number}") for number in range(ITEMS)]
    by_modality = [
        ({"text": text[row]} if row % 3 == 0 or row in HEARD else {})
        | ({"picture": PICTURES[row]} if row % 3 == 0 else {})
        | ({"sound": PICTURES[row]} if row in HEARD else {})
        for row in range(ITEMS)
    ]
    table = write(ItemStore(str(tmp_path_factory.mktemp("fields"))), None, made, by_modality=by_modality)
    return Catalog(table, exact_items=1000), Catalog(table, exact_items=0)


@pytest.fixture(params=FIELDS)
def channel(request: pytest.FixtureRequest, catalogs: tuple[Catalog, Catalog]) -> Channel:
    return FIELDS[request.param].fit(catalogs[0], log_of([], catalogs[0]), RankSettings())


@pytest.fixture(params=TASTES)
def taste(request: pytest.FixtureRequest) -> Taste:
    return TASTES[request.param]


@pytest.fixture
def picture(catalogs: tuple[Catalog, Catalog]) -> Channel:
    return FIELDS["fields.picture"].fit(catalogs[0], log_of([], catalogs[0]), RankSettings())


def test_there_is_a_channel_for_each_modality(catalogs: tuple[Catalog, Catalog]) -> None:
    names = [kind.restore(catalogs[0], {}, RankSettings()).name for kind in FIELDS.values()]
    assert names == list(FIELDS) == [f"fields.{modality}" for modality in MODALITIES]


def test_scores_are_cosines_or_nan_of_the_rows_asked_for(channel: Channel, taste: Taste) -> None:
    full = channel.score(taste, EVERYTHING)
    if full is None:
        return
    assert (full.shape, full.dtype) == ((ITEMS,), np.float32)
    assert np.nanmax(np.abs(full)) <= 1 + 1e-6
    unknown = {"fields.text": 0, "fields.picture": ITEMS - len(PICTURED), "fields.sound": ITEMS - 2}
    assert np.isnan(full).sum() == unknown[channel.name]
    for rows in ([7], [60, 2, 119], []):
        np.testing.assert_allclose(channel.score(taste, np.array(rows, np.intp)), full[rows], atol=1e-6)


def test_something_is_said_where_the_history_has_the_modality(catalogs: tuple[Catalog, Catalog]) -> None:
    for catalog in catalogs:
        said = {
            name: {
                what
                for what, taste in TASTES.items()
                if kind.fit(catalog, log_of([], catalog), RankSettings()).score(taste, EVERYTHING) is not None
            }
            for name, kind in FIELDS.items()
        }
        assert said == {
            "fields.text": set(TASTES) - {"nothing", "a query"},
            "fields.picture": {"history", "one picture among many", "everything"},
            "fields.sound": set(),
        }


def test_newer_items_count_more_and_only_the_newest(picture: Channel) -> None:
    mean = PICTURES[90] + PICTURES[51] / 3  # the second has no picture and keeps its place
    expected = PICTURES[PICTURED] @ (mean / np.linalg.norm(mean))
    scores = picture.score(TASTES["history"], PICTURED)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    first = Taste(EVERYTHING[:20].copy())
    np.testing.assert_array_equal(
        picture.score(Taste(EVERYTHING[:60].copy()), PICTURED), picture.score(first, PICTURED)
    )
    assert picture.score(Taste(np.array([1] * 20 + [3], np.intp)), PICTURED) is None


def test_one_item_is_most_like_itself(picture: Channel) -> None:
    scores = picture.score(Taste(np.array([9], np.intp)), EVERYTHING)
    assert scores is not None
    assert np.nanargmax(scores) == 9
    assert scores[9] == pytest.approx(1.0, abs=1e-6)


def test_pictures_that_cancel_say_nothing(tmp_path: Path) -> None:
    vector = unit_vectors(1)[0]
    # By their places 1 = 1/2 + 1/3 + 1/6; the fourth and fifth have no picture.
    signs = [1, -1, -1, 0, 0, -1]
    by_modality = [{"picture": sign * vector} if sign else {} for sign in signs]
    made = [Item(f"i{number}") for number in range(6)]
    table = write(ItemStore(str(tmp_path)), None, made, by_modality=by_modality)
    catalog = Catalog(table, exact_items=10)
    channel = FIELDS["fields.picture"].restore(catalog, {}, RankSettings())
    rows = np.arange(6)
    assert channel.score(Taste(rows[:5]), rows) is not None
    cancelled = Taste(rows)
    assert channel.score(cancelled, rows) is None
    assert channel.influence(cancelled, 0) is None
    assert len(channel.propose(cancelled, 3)) == 0


def test_proposals_are_distinct_rows_with_the_best_scores(channel: Channel, taste: Taste) -> None:
    proposed = channel.propose(taste, 15)
    assert proposed.dtype == np.intp
    scores = channel.score(taste, EVERYTHING)
    if scores is None:
        assert len(proposed) == 0
        return
    assert len(proposed) == len(set(proposed.tolist())) == min(15, int(np.isfinite(scores).sum()))
    np.testing.assert_allclose(scores[proposed], -np.sort(-scores)[: len(proposed)], atol=1e-6)
    assert len(channel.propose(taste, 10 * ITEMS)) == np.isfinite(scores).sum()


def test_of_a_large_catalog_proposals_have_the_modality(
    catalogs: tuple[Catalog, Catalog], channel: Channel, taste: Taste
) -> None:
    sparse = FIELDS[channel.name].restore(catalogs[1], {}, RankSettings())
    one, other = channel.score(taste, EVERYTHING), sparse.score(taste, EVERYTHING)
    assert (one is None) == (other is None)
    proposed = sparse.propose(taste, 40)
    if one is None or other is None:
        assert len(proposed) == 0
        return
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert 0 < len(proposed) <= 40
    assert np.isfinite(one[proposed]).all()
    assert (np.diff(one[proposed]) <= 1e-6).all(), "best first"


def test_influences_add_up_to_the_cosine(channel: Channel, taste: Taste) -> None:
    for row in (3, 6, 60, ITEMS - 1):
        influence = channel.influence(taste, row)
        score = channel.score(taste, np.array([row], np.intp))
        if score is None or np.isnan(score[0]):
            assert influence is None
            continue
        assert influence is not None
        assert (influence.shape, influence.dtype) == (taste.history.shape, np.float32)
        assert influence.sum() == pytest.approx(score[0], abs=1e-5)


def test_nothing_is_trained(channel: Channel, taste: Taste, catalogs: tuple[Catalog, Catalog]) -> None:
    assert channel.state() == {}
    restored = FIELDS[channel.name].restore(catalogs[0], {}, RankSettings())
    one, other = channel.score(taste, EVERYTHING), restored.score(taste, EVERYTHING)
    np.testing.assert_array_equal(one, other) if one is not None else None
    assert (one is None) == (other is None)


def test_a_catalog_of_text_alone(world: World) -> None:
    said = {
        name: kind.fit(world.exact, world.log, world.settings).score(TASTES["history"], EVERYTHING)
        for name, kind in FIELDS.items()
    }
    assert {name for name, scores in said.items() if scores is not None} == {"fields.text"}
    assert np.isfinite(said["fields.text"]).all()
