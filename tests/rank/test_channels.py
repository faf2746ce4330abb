"""What every channel must do."""

from __future__ import annotations

import numpy as np
import pytest
from catalogs import ITEMS, World, log_of, unit_vectors

from llmrec.config import WEIGHTS
from llmrec.rank.channel import Channel, Taste
from llmrec.rank.panel import CHANNELS

TASTES = {
    "nothing": Taste(),
    "history": Taste(np.array([90, 3, 50], np.intp)),
    "text": Taste(vector=unit_vectors(1, seed=5)[0]),
    "both": Taste(np.array([90, 3, 50], np.intp), vector=unit_vectors(1, seed=5)[0]),
    "cold item": Taste(np.array([ITEMS - 1], np.intp), vector=unit_vectors(1, seed=6)[0]),
    "everything": Taste(np.arange(ITEMS)[::-1].copy(), vector=unit_vectors(1, seed=7)[0]),
}
EVERYTHING = np.arange(ITEMS)


@pytest.fixture(scope="module")
def channels(world: World) -> dict[str, Channel]:
    return {name: kind.fit(world.exact, world.log, world.settings) for name, kind in CHANNELS.items()}


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest, channels: dict[str, Channel]) -> Channel:
    return channels[request.param]


@pytest.fixture(params=TASTES)
def taste(request: pytest.FixtureRequest) -> Taste:
    return TASTES[request.param]


def test_every_channel_is_listed_under_its_name(channels: dict[str, Channel]) -> None:
    assert len(channels) == 11
    assert {name: channel.name for name, channel in channels.items()} == {name: name for name in CHANNELS}
    assert set(WEIGHTS) == set(CHANNELS)


def test_scores_are_float32_of_the_rows_asked_for_and_nan_only_for_what_is_unknown(
    channel: Channel, taste: Taste, world: World
) -> None:
    full = channel.score(taste, EVERYTHING)
    if full is None:
        return
    assert (full.shape, full.dtype) == ((ITEMS,), np.float32)
    unknown = (world.log.counts == 0) & (channel.name in ("itemknn", "linear", "factors"))
    np.testing.assert_array_equal(np.isnan(full), unknown)
    assert not np.isinf(full).any()
    for rows in ([7], [60, 2, 119], []):
        part = channel.score(taste, np.array(rows, np.intp))
        assert part is not None
        assert part.dtype == np.float32
        np.testing.assert_allclose(part, full[rows], atol=1e-6)


def test_something_is_said_of_a_taste_that_is_known(channels: dict[str, Channel]) -> None:
    said = {
        name: {what for what, taste in TASTES.items() if channel.score(taste, EVERYTHING) is not None}
        for name, channel in channels.items()
    }
    assert said == {
        "sequence": {"history", "both", "cold item", "everything"},
        "itemknn": {"history", "both", "everything"},
        "linear": {"history", "both", "everything"},
        "factors": {"history", "both", "everything"},
        "semantic": {"text", "both", "cold item", "everything"},
        "fields.text": {"history", "both", "cold item", "everything"},
        "fields.picture": set(),
        "fields.sound": set(),
        "popularity": set(TASTES),
        "recent": set(TASTES),
        "recency": set(TASTES),
    }


def test_proposals_are_distinct_rows_with_the_best_scores(channel: Channel, taste: Taste) -> None:
    proposed = channel.propose(taste, 15)
    assert proposed.dtype == np.intp
    assert len(set(proposed.tolist())) == len(proposed)
    scores = channel.score(taste, EVERYTHING)
    if scores is None:
        assert len(proposed) == 0
        return
    assert ((proposed >= 0) & (proposed < ITEMS)).all()
    assert (np.diff(scores[proposed]) <= 1e-5).all(), "best first"
    known = np.sort(scores[~np.isnan(scores)])
    if channel.name == "itemknn":  # it proposes only what is near something of the history
        known = known[known > 0]
    wanted = min(15, len(known))
    assert len(proposed) == wanted
    if channel.name != "sequence":  # it looks among those that fit by text, or by their own embedding
        assert scores[proposed].min() >= known[-wanted] - 1e-5
    assert len(channel.propose(taste, 10 * ITEMS)) <= ITEMS


def test_influence_is_finite_and_one_number_for_each_history_item(channel: Channel, taste: Taste) -> None:
    for row in (2, 60, ITEMS - 1):
        influence = channel.influence(taste, row)
        if influence is None:
            continue
        assert len(taste.history) > 0
        assert (influence.shape, influence.dtype) == (taste.history.shape, np.float32)
        assert np.isfinite(influence).all()


def test_a_channel_comes_back_from_its_state(channel: Channel, taste: Taste, world: World) -> None:
    state = {name: np.array(array, copy=True) for name, array in channel.state().items()}
    restored = CHANNELS[channel.name].restore(world.exact, state, world.settings)
    for rows in (EVERYTHING, np.array([5, 1], np.intp)):
        one, other = channel.score(taste, rows), restored.score(taste, rows)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(channel.propose(taste, 9), restored.propose(taste, 9))
    assert set(restored.state()) == set(state)


def test_a_catalog_without_a_log(world: World) -> None:
    nothing = log_of([], world.exact)
    for name, kind in CHANNELS.items():
        fitted = kind.fit(world.exact, nothing, world.settings)
        restored = kind.restore(world.exact, fitted.state(), world.settings)
        for channel in (fitted, restored):
            scores = channel.score(TASTES["both"], EVERYTHING)
            assert (scores is not None) == (name in ("semantic", "fields.text"))


def test_semantic_scores_are_cosines(channels: dict[str, Channel]) -> None:
    taste = TASTES["both"]
    np.testing.assert_allclose(
        channels["semantic"].score(taste, EVERYTHING), unit_vectors(ITEMS) @ taste.vector, atol=1e-6
    )


@pytest.mark.parametrize("what", ["both", "everything"])
def test_semantic_influence_is_the_likeness_to_each_history_item(
    channels: dict[str, Channel], what: str
) -> None:
    vectors, taste = unit_vectors(ITEMS), TASTES[what]
    np.testing.assert_allclose(
        channels["semantic"].influence(taste, 7),
        vectors[taste.history] @ vectors[7] / len(taste.history),
        atol=1e-6,
    )


def test_popularity_counts_users_not_events(world: World) -> None:
    pairs = [("u", "i3", 1.0), ("u", "i3", 2.0), ("v", "i3", 1.0), ("u", "i4", 1.0)]
    channel = CHANNELS["popularity"].fit(world.exact, log_of(pairs, world.exact), world.settings)
    scores = channel.score(Taste(), np.array([3, 4, 5], np.intp))
    assert scores is not None
    np.testing.assert_allclose(scores, np.log1p([2, 1, 0]), rtol=1e-6)
