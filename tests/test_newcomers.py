"""Whoever and whatever is new is answered at once: users with little, items without events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from shop import item_rows, make_workspace, write_events, write_items, write_shop

from llmrec import Interaction, Recommender
from llmrec.indexing import IndexRun, Sources
from llmrec.schema import Recommendation
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Workspace, Sources]:
    """The shop with a user table, one of whose users has no event."""
    written = write_shop(tmp_path / "data")
    users = write_events(
        tmp_path / "users.csv", [{"user_id": "fresh", "hobby": "violin maple bow", "age": 30}]
    )
    sources = Sources(written.catalog, written.interactions, (users,))
    workspace = make_workspace(tmp_path / "w")
    IndexRun(workspace, sources)()
    return workspace, sources


def check(found: Sequence[Recommendation], count: int) -> list[str]:
    """Ids of an answer of ``count`` items whose numbers are all finite."""
    assert len(found) == count
    for entry in found:
        assert math.isfinite(entry.score)
        assert all(math.isfinite(value) for value in entry.contributions.values())
        assert sum(entry.contributions.values()) == pytest.approx(entry.score, abs=1e-5)
        assert entry.explanation is None or entry.explanation.verified
    return [entry.item_id for entry in found]


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_users_of_whom_little_is_known(shop: tuple[Workspace, Sources], diversity: float) -> None:
    with Recommender(shop[0]) as recommender:
        recommender.add([Interaction("beginner", "garden-1", 1.7e9)])
        # (what is asked, how many can be answered, the topic of the first)
        for arguments, count, topic in (
            ({"user_id": "fresh"}, 12, "music"),
            ({"user_id": "beginner"}, 11, "garden"),
            ({"likes": ["coffee-1"]}, 11, "coffee"),
            ({"user_id": "unheard of", "likes": ["coffee-1"]}, 11, "coffee"),
            ({"user_id": "unheard of", "query": "violin bow"}, 12, "music"),
            ({"query": "violin bow"}, 12, "music"),
            ({"query": "qwertyuiop"}, 12, ""),
            ({"user_id": "fresh", "query": "garden hose", "likes": ["garden-1"]}, 11, "garden"),
        ):
            found = recommender.recommend(**arguments, k=12, explain=True, diversity=diversity)  # type: ignore[arg-type]
            assert check(found, count)[0].startswith(topic), arguments


def test_a_user_of_the_table_of_whom_nothing_is_told(shop: tuple[Workspace, Sources], tmp_path: Path) -> None:
    workspace, sources = shop
    users = write_events(tmp_path / "more.csv", [{"user_id": "blank", "hobby": ""}])
    IndexRun(workspace, Sources(sources.catalog, sources.interactions, (users,)))()
    with Recommender(workspace) as recommender:
        check(recommender.recommend("blank", k=12), 12)


def test_an_item_is_recommended_as_soon_as_it_is_indexed(shop: tuple[Workspace, Sources]) -> None:
    workspace, sources = shop
    new: dict[str, object] = {
        "item_id": "new",
        "title": "Milk Frother Steel Two",
        "description": "A milk frother steel for everyone who loves coffee.",
        "categories": ["coffee"],
    }
    write_items(sources.catalog, [*item_rows(), new])
    assert IndexRun(workspace, sources)().encoded == 1
    with Recommender(workspace) as recommender:
        found = recommender.recommend("u0", k=12)
        assert "new" in check(found, 10)
        placed = {entry.item_id for entry in found if entry.contributions["new"]}
        assert placed == {"new"}, "of the first items none is new"
        assert "new" in check(recommender.recommend(query="milk frother", k=2), 2)
        assert check(recommender.recommend(likes=["new"], k=12), 12)[0].startswith("coffee")
        recommender.add([Interaction("first", "new", 1.8e9)])
        assert "new" not in check(recommender.recommend("first", k=12), 12)


def test_a_user_who_only_chose_what_is_gone(shop: tuple[Workspace, Sources]) -> None:
    with Recommender(shop[0]) as recommender:
        recommender.add([Interaction("late", "gone", 1.8e9)])
        check(recommender.recommend("late", k=12, explain=True), 12)


def test_a_catalog_without_any_event(tmp_path: Path) -> None:
    catalog = write_items(tmp_path / "items.jsonl", item_rows())
    workspace = make_workspace(tmp_path / "w")
    IndexRun(workspace, Sources(catalog))()
    with Recommender(workspace) as recommender:
        check(recommender.recommend(likes=["coffee-0"], k=12), 11)
        check(recommender.recommend(query="violin", k=12, diversity=1.0), 12)
