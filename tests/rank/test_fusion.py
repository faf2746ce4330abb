"""The fusion scorer: what it learns, that it adds up, and that nothing of the held-back events is known."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from catalogs import ITEMS, World

from llmrec.config import RankSettings
from llmrec.errors import TrainingError
from llmrec.progress import NoProgress
from llmrec.rank.channel import Taste
from llmrec.rank.features import ITEM, USER, Features
from llmrec.rank.fusion import PRIOR, FusionScorer, Gates
from llmrec.rank.gradient import Lists, Objective
from llmrec.rank.learning import Example, example, learn
from llmrec.rank.practice import practice
from llmrec.rank.ranker import Ranker

NAMES = ("good", "noise")
SIZE = 60


def planted(count: int = 80, seed: int = 0, cold: bool = False) -> list[Example]:
    """Lists whose target stands out in ``good``; of ``cold`` ones, which no log has, in ``noise`` instead."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        target = int(rng.integers(SIZE))
        channels = {name: rng.standard_normal(SIZE).astype(np.float32) for name in NAMES}
        items = np.zeros((SIZE, len(ITEM)), np.float32)
        items[:, 0] = rng.random(SIZE) < 0.5
        strange = cold and number % 2 == 0
        items[target, 0] = not strange
        channels["noise" if strange else "good"][target] += 4
        user = np.full(len(USER), 0.3, np.float32)
        made.append(example(NAMES, channels, user, items, target, rng))
    return made


def test_what_tells_the_target_weighs_more() -> None:
    gates = learn(planted(), gated=False, progress=NoProgress())
    assert gates.base[0] > gates.base[1] + 1
    assert not gates.user.any()
    assert not gates.item.any()


def test_the_gate_learns_where_a_channel_can_be_trusted() -> None:
    gates = learn(planted(300, cold=True), gated=True, progress=NoProgress())
    known = ITEM.index("known")
    assert gates.item[0, known] > 0.3, "of known items the first channel tells"
    assert gates.item[1, known] < -0.3, "of new ones the second"


def test_the_same_lists_give_the_same_gates() -> None:
    one, same, other = (learn(planted(seed=seed), True, NoProgress()) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.base, same.base)
    np.testing.assert_array_equal(one.item, same.item)
    assert not np.array_equal(one.item, other.item)


def test_they_are_the_likeliest_ones() -> None:
    """No point beside what was found is better: the gradient there is next to none."""
    objective = Objective(Lists.of(planted()), gated=True)
    gates = learn(planted(), gated=True, progress=NoProgress())
    found = np.concatenate([getattr(gates, field.name).ravel() for field in fields(Gates)]).astype(np.float64)
    value, gradient = objective(found)
    assert np.abs(gradient).max() < 0.01 * np.abs(objective(objective.origin)[1]).max()
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert objective(found + 0.1 * rng.standard_normal(len(found)))[0] > value


def test_the_gradient_is_the_slope() -> None:
    objective = Objective(Lists.of(planted(20)), gated=True)
    point = objective.origin + 0.1 * np.random.default_rng(0).standard_normal(len(objective.origin))
    gradient = objective(point)[1]
    for at in range(len(point)):
        step = np.zeros_like(point)
        step[at] = 0.01
        slope = (objective(point + step)[0] - objective(point - step)[0]) / 0.02
        assert slope == pytest.approx(gradient[at], abs=2e-3)


def test_a_loss_that_is_no_number_names_the_step() -> None:
    broken = planted(10)
    for each in broken:
        each.items[:] = np.nan
    with pytest.raises(TrainingError, match="fusion scorer: the loss became nan in step 1"):
        learn(broken, gated=True, progress=NoProgress())


def test_infinite_scores_name_the_channel() -> None:
    channels = {"good": np.array([1.0, np.inf], np.float32)}
    items, rng = np.zeros((2, len(ITEM)), np.float32), np.random.default_rng(0)
    with pytest.raises(TrainingError, match="channel good: infinite"):
        example(("good",), channels, np.zeros(len(USER), np.float32), items, 0, rng)


def scorer(seed: int = 0) -> FusionScorer:
    rng = np.random.default_rng(seed)
    start = Gates.start(2)
    parts = {
        name: getattr(start, name) + rng.standard_normal(getattr(start, name).shape).astype(np.float32)
        for name in ("base", "user", "item", "unknown", "prior")
    }
    return FusionScorer(NAMES, Gates(**parts))


def asked(seed: int = 1) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    channels = {name: rng.standard_normal(9).astype(np.float32) for name in NAMES}
    channels["good"][2] = np.nan
    return channels, rng.random(len(USER)).astype(np.float32), rng.random((9, len(ITEM))).astype(np.float32)


def test_contributions_add_up_and_the_unknown_has_its_own() -> None:
    channels, user, items = asked()
    scored = scorer()(channels, user, items)
    assert set(scored.contributions) == {*NAMES, PRIOR}
    np.testing.assert_allclose(sum(scored.contributions.values()), scored.total, atol=1e-6)
    assert scored.contributions["good"][2] == scorer().gates.unknown[0]
    assert np.isfinite(scored.total).all()


def test_a_weight_is_never_negative_nor_without_bounds() -> None:
    wild = Gates.start(2)
    wild.item[:] = 1e6
    weights = FusionScorer(NAMES, wild).weights(
        np.ones(len(USER), np.float32), np.ones((3, len(ITEM)), np.float32)
    )
    for values in weights.values():
        assert (values > 0).all()
        assert (values < 60).all()


def test_a_channel_that_is_switched_off_leaves_the_others_as_they_are() -> None:
    channels, user, items = asked()
    whole, part = scorer()(channels, user, items), scorer().only(["noise"])(channels, user, items)
    assert set(part.contributions) == {"noise", PRIOR}
    np.testing.assert_array_equal(part.contributions["noise"], whole.contributions["noise"])


def test_it_comes_back_from_its_state() -> None:
    restored = FusionScorer.restore(NAMES, scorer().state())
    np.testing.assert_array_equal(restored(*asked()).total, scorer()(*asked()).total)


def test_practice_knows_nothing_of_what_it_asks(world: World) -> None:
    held = practice(world.log, 0)
    assert held is not None
    assert len(np.unique(held.users)) >= 50
    gone = np.setdiff1d(np.flatnonzero(world.log.counts), np.flatnonzero(held.heard.counts))
    assert len(gone) >= 0.1 * np.count_nonzero(world.log.counts) - 1, "items that are as if new"
    for at, user in enumerate(held.users.tolist()):
        span = world.log.span(user)
        events, times = world.log.rows[span], world.log.times[span]
        (asked,) = np.flatnonzero(events == held.targets[at])
        learnt = held.log.rows[held.log.span(user)]
        if len(learnt):
            newest = min(3, max(len(events) // 4, 1))
            assert asked >= len(events) - newest or events[asked] in gone
            assert not np.isin(events[-newest:], learnt).any()
        assert held.history(at).tolist() == [row for row in events[:asked][::-1] if row not in gone]
        assert held.taste(at).now == max(times[:asked][~np.isin(events[:asked], gone)])


def test_practice_holds_newcomers_back(world: World) -> None:
    """Nothing is learnt from them; they are asked what they chose after their first few events."""
    held = practice(world.log, 0)
    assert held is not None
    newcomers = np.flatnonzero((held.log.lengths == 0) & (held.heard.lengths > 0))
    assert len(newcomers) == round(0.1 * np.count_nonzero(world.log.lengths >= 3))
    asked = np.isin(held.users, newcomers)
    assert asked.sum() > len(newcomers)
    assert held.known[asked].max() <= 10
    others = np.setdiff1d(np.flatnonzero(held.heard.lengths), newcomers)
    missing = (held.heard.lengths - held.log.lengths)[others]
    assert ((missing >= 0) & (missing <= 3)).all()
    assert missing.any()


def test_too_few_users_teach_nothing(world: World) -> None:
    few = world.log.where(world.log.at_user < 40)
    assert practice(few, 0) is None


@pytest.fixture(scope="module")
def learned(world: World) -> Ranker:
    settings = RankSettings(ease_lambda=5.0, sequence_epochs=2)
    return Ranker.fit(
        world.exact, world.log, settings, lambda users: np.eye(8, dtype=np.float32)[[0] * len(users)]
    )


@pytest.mark.parametrize(
    "taste",
    [Taste(), Taste(np.array([90, 3, 50], np.intp)), Taste(np.array([ITEMS - 1], np.intp), now=0.0)],
    ids=["nobody", "history", "cold item"],
)
def test_every_item_gets_a_finite_score_that_adds_up(learned: Ranker, taste: Taste) -> None:
    assert learned.fusion is not None
    ranked = learned.rank(taste, ITEMS, taste.history)
    assert len(ranked) == ITEMS - len(taste.history)
    for entry in ranked:
        assert np.isfinite(entry.score)
        assert sum(entry.contributions.values()) == pytest.approx(entry.score, abs=1e-4)
    assert all(np.isfinite(shares).all() for shares in learned.influences(taste, 7).values())
    scores = learned.score(taste)
    assert scores is not None
    assert scores[ranked[0].row] == pytest.approx(ranked[0].score, abs=1e-4)


def test_the_trained_ranker_is_kept_whole(learned: Ranker, world: World, tmp_path: Path) -> None:
    learned.save(tmp_path)
    loaded = Ranker.load(tmp_path, world.exact, learned.settings)
    taste = Taste(np.array([90, 3, 50], np.intp))
    assert loaded.rank(taste, 20, taste.history) == learned.rank(taste, 20, taste.history)
    fingerprint = world.log.fingerprint(world.exact.ids)
    assert Ranker.serves(tmp_path, fingerprint, learned.settings)
    assert not Ranker.serves(tmp_path, "other log", learned.settings)
    assert not Ranker.serves(tmp_path, fingerprint, learned.settings.model_copy(update={"seed": 5}))


def test_what_is_not_yet_there_at_the_time_has_no_age(world: World) -> None:
    features = Features.fit(world.exact, world.log)
    age = ITEM.index("age")
    rows = np.arange(ITEMS)
    assert not features.items(Taste(now=-1.0), rows)[:, age].any()
    late = features.items(Taste(now=86_400.0 * 1000), rows)
    assert (late[world.log.counts > 0, age] > 0.6).all()
    assert not late[world.log.counts == 0, age].any()
