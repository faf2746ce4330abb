"""What a user of the Python API sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import index_shop, item_rows, write_items

from llmrec import Interaction, Recommender
from llmrec.errors import FilterError, RequestError, UnknownItemError, UnknownUserError
from llmrec.indexing import IndexRun, Sources
from llmrec.workspace import Workspace


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Workspace, Sources]:
    workspace, sources, _ = index_shop(tmp_path)
    return workspace, sources


@pytest.fixture
def recommender(shop: tuple[Workspace, Sources]) -> Iterator[Recommender]:
    with Recommender.open(shop[0].root) as opened:
        yield opened


def test_a_user_gets_unseen_items_of_their_taste_first(recommender: Recommender) -> None:
    found = recommender.recommend("u0", k=9)
    assert found[0].item_id == "coffee-3"
    assert {entry.item_id for entry in found}.isdisjoint({"coffee-0", "coffee-1", "coffee-2"})
    assert len(found) == 9
    scores = [entry.score for entry in found]
    assert scores == sorted(scores, reverse=True)


def test_contributions_add_up_to_the_score(recommender: Recommender) -> None:
    for entry in recommender.recommend("u1", k=9):
        assert set(entry.contributions) == {
            "itemknn",
            "linear",
            "factors",
            "semantic",
            "fields.text",
            "popularity",
            "recent",
            "recency",
        }
        assert sum(entry.contributions.values()) == pytest.approx(entry.score, abs=1e-5)


def test_a_query_alone_finds_items_by_their_text(recommender: Recommender) -> None:
    found = recommender.recommend(query="violin bow", k=3)
    assert found[0].item_id == "music-3"


def test_a_query_leads_although_the_history_says_otherwise(recommender: Recommender) -> None:
    best = recommender.recommend("u0", query="violin bow", k=1, explain=True)[0]
    assert best.item_id == "music-3"
    assert best.contributions["semantic"] > best.contributions["linear"]
    assert best.explanation is not None
    assert best.explanation.citations[0].kind == "query"


def test_likes_alone_stand_for_a_history(recommender: Recommender) -> None:
    found = recommender.recommend(likes=["garden-0", "garden-1"], k=2)
    assert {entry.item_id for entry in found} == {"garden-2", "garden-3"}


def test_a_new_user_with_likes_is_answered(recommender: Recommender) -> None:
    assert recommender.recommend("nobody", likes=["music-0"], k=1)[0].item_id.startswith("music")


def test_filter_and_exclusion(recommender: Recommender) -> None:
    found = recommender.recommend("u0", k=12, where="year >= 1992 AND price < 40", exclude=["garden-2"])
    assert {entry.item_id for entry in found} == {"music-2"}
    assert recommender.recommend("u0", k=12, where="year > 3000") == []


def test_a_semicolon_inside_quotes_is_part_of_a_value(recommender: Recommender) -> None:
    assert recommender.recommend("u0", k=12, where="title = 'a; b'") == []


def test_listed_categories_can_be_filtered(recommender: Recommender) -> None:
    found = recommender.recommend("u0", k=12, where="array_has(categories, 'garden')")
    assert {entry.item_id for entry in found} == {f"garden-{number}" for number in range(4)}


def test_a_diverse_list_goes_over_more_topics_with_the_scores_of_the_ranker(recommender: Recommender) -> None:
    plain = recommender.recommend("u0", k=3)
    assert recommender.recommend("u0", k=3, diversity=0.0) == plain
    found = recommender.recommend("u0", k=3, diversity=0.9)
    assert found[0] == plain[0]
    assert len({entry.item_id.partition("-")[0] for entry in found}) == 3
    scores = {entry.item_id: entry.score for entry in recommender.recommend("u0", k=12)}
    assert {entry.item_id: entry.score for entry in found}.items() <= scores.items()


def test_a_diverse_list_keeps_to_filters(recommender: Recommender) -> None:
    found = recommender.recommend("u0", k=12, where="year >= 1992", exclude=["garden-2"], diversity=1.0)
    assert {entry.item_id for entry in found} == {"coffee-3", "garden-3", "music-2", "music-3"}


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_a_diversity_out_of_range_is_refused(recommender: Recommender, diversity: float) -> None:
    with pytest.raises(RequestError, match=r"diversity = .*: out of range"):
        recommender.recommend("u0", diversity=diversity)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user_id": "nobody"}, UnknownUserError, "'nobody'"),
        ({}, RequestError, "--query"),
        ({"likes": ["coffee-9"]}, UnknownItemError, "coffee-"),
        ({"user_id": "u0", "exclude": ["x"]}, UnknownItemError, "exclude: item 'x'"),
        ({"user_id": "u0", "where": "color = 'red'"}, FilterError, "year"),
        ({"user_id": "u0", "where": "year >="}, FilterError, "--where"),
        ({"user_id": "u0", "where": "year > 1; DROP TABLE items"}, FilterError, "more than one"),
        ({"user_id": "u0", "where": "year >= 'many'"}, FilterError, "--where"),
        ({"user_id": "u0", "k": 0}, RequestError, "out of range"),
        ({"user_id": "u0", "k": 10**9}, RequestError, "out of range"),
    ],
)
def test_what_cannot_be_answered_is_said_by_name(
    recommender: Recommender, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        recommender.recommend(**arguments)  # type: ignore[arg-type]


def test_an_event_changes_the_next_answer(recommender: Recommender) -> None:
    before = [entry.item_id for entry in recommender.recommend("u0", k=9)]
    recommender.add([Interaction("u0", "music-1", 1_800_000_000.0)])
    after = [entry.item_id for entry in recommender.recommend("u0", k=9)]
    assert "music-1" not in after
    assert [item for item in before if item != "music-1"] != after


def test_an_open_recommender_sees_a_new_index(
    shop: tuple[Workspace, Sources], recommender: Recommender
) -> None:
    workspace, sources = shop
    with pytest.raises(UnknownItemError):
        recommender.item("new")
    write_items(sources.catalog, [*item_rows(), {"item_id": "new", "title": "Tea", "price": "cheap"}])
    IndexRun(workspace, sources)()
    assert recommender.item("new").title == "Tea"
    assert recommender.recommend(likes=["new"], k=3)


def test_similar_items_are_those_with_like_texts(recommender: Recommender) -> None:
    found = recommender.similar("coffee-0", k=3)
    assert "coffee-0" not in {entry.item_id for entry in found}
    assert found[0].item_id.startswith("coffee")
    assert all(-1 <= entry.score <= 1 for entry in found)


def test_a_lying_model_is_replaced_by_the_template(recommender: Recommender) -> None:
    (entry,) = recommender.recommend("u0", k=1, explain=True)
    explanation = entry.explanation
    assert explanation is not None
    assert explanation.source == "template"
    assert explanation.verified
    assert "Film That Does Not Exist" not in explanation.text
    assert {cited.item_id for cited in explanation.citations} <= {
        "coffee-0",
        "coffee-1",
        "coffee-2",
        "coffee-3",
    }


def test_only_what_a_user_rated_well_is_said_to_be_liked(shop: tuple[Workspace, Sources]) -> None:
    with Recommender.open(shop[0].root) as recommender:
        recommender.add([Interaction("u0", "coffee-0", 1_600_000_000.0, weight=1.0)])
        (entry,) = recommender.recommend("u0", k=1, explain=True)
    assert entry.explanation is not None
    cited = {fact.item_id for fact in entry.explanation.citations if fact.kind == "history"}
    assert cited
    assert "coffee-0" not in cited


def test_a_catalog_larger_than_memory_allows_is_ranked_from_candidates(tmp_path: Path) -> None:
    workspace, _, _ = index_shop(tmp_path)
    with Recommender(workspace) as whole:
        expected = [entry.item_id for entry in whole.recommend("u0", k=5)]
    settings = workspace.root / "llmrec.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + "[rank]\nexact_items = 0\n", encoding="utf-8")
    with Recommender.open(workspace.root) as part:
        assert [entry.item_id for entry in part.recommend("u0", k=5)] == expected
