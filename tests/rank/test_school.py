"""What rankers that differ a little have in common is trained once, and ends as if trained apart."""

from __future__ import annotations

import numpy as np
import pytest
from catalogs import World

from llmrec.config import RankSettings
from llmrec.rank.linear import Linear
from llmrec.rank.ranker import Ranker
from llmrec.rank.school import School
from llmrec.rank.sequence import Sequence

pytestmark = pytest.mark.slow

SETTINGS = RankSettings(ease_lambda=5.0, sequence_epochs=1)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the channels that were trained, one for each time."""
    names: list[str] = []
    for kind in (Linear, Sequence):
        original = kind.fit.__func__  # type: ignore[attr-defined]

        def fit(cls, *arguments, original=original, **named):  # type: ignore[no-untyped-def]
            names.append(cls.name)
            return original(cls, *arguments, **named)

        monkeypatch.setattr(kind, "fit", classmethod(fit))
    return names


def test_variants_share_channels_and_lessons(world: World, trained: list[str]) -> None:
    school = School()
    whole, scorer = school(world.exact, world.log, SETTINGS)
    assert sorted(trained) == ["linear", "linear", "sequence", "sequence"], (
        "on practice, and on the whole log"
    )
    assert scorer is not None
    part, other = school(world.exact, world.log, SETTINGS, without=("linear",), gated=False)
    assert len(trained) == 4
    assert other is not None
    assert set(scorer.channels) - set(other.channels) == {"linear"}
    assert not other.gates.item.any()
    assert part.channels == whole.channels
    assert school(world.exact, world.log, SETTINGS)[1] is scorer


def test_only_what_a_setting_changes_is_trained_again(world: World, trained: list[str]) -> None:
    school = School()
    school(world.exact, world.log, SETTINGS)
    del trained[:]
    school(world.exact, world.log, SETTINGS.model_copy(update={"ease_lambda": 9.0}))
    assert trained == ["linear", "linear"]


def test_a_shared_one_is_as_one_trained_apart(world: World) -> None:
    school = School()
    school(world.exact, world.log, SETTINGS.model_copy(update={"ease_lambda": 9.0}))
    _, shared = school(world.exact, world.log, SETTINGS)
    apart = Ranker.fit(world.exact, world.log, SETTINGS).fusion
    assert shared is not None
    assert apart is not None
    for name, gate in apart.state().items():
        np.testing.assert_array_equal(shared.state()[name], gate)


def test_no_more_lessons_are_kept_than_asked_for(world: World, trained: list[str]) -> None:
    school, others = School(remembered=1), [SETTINGS.model_copy(update={"seed": seed}) for seed in (0, 1)]
    first = [school(world.exact, world.log, settings)[1] for settings in others]
    again = [school(world.exact, world.log, settings)[1] for settings in others]
    assert len(school._lessons) == 1
    assert again[0] is first[0], "scorers are small, and stay"
    del trained[:]
    school(world.exact, world.log, others[0], without=("linear",))
    assert trained == [], "its channels stay too: only the questions are asked again"


def test_there_is_no_scorer_where_none_is_wanted_or_can_be_learnt(world: World) -> None:
    weighted = SETTINGS.model_copy(update={"fusion": "weighted"})
    assert School()(world.exact, world.log, weighted)[1] is None
    few = world.log.where(world.log.at_user < 40)
    panel, scorer = School()(world.exact, few, SETTINGS)
    assert scorer is None
    assert set(panel.channels) == set(SETTINGS.channels)
