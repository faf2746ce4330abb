"""``Recommender.neighbors``: people with the same taste, from the events as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import index_shop
from typer.testing import CliRunner

from llmrec import Interaction, Recommender
from llmrec.cli.main import app
from llmrec.errors import RequestError, UnknownItemError, UnknownUserError
from llmrec.schema import User


@pytest.fixture
def recommender(tmp_path: Path) -> Iterator[Recommender]:
    workspace, _, _ = index_shop(tmp_path)
    workspace.events.put_users([User("profile only", {"age": 30})])
    with Recommender.open(workspace.root) as opened:
        yield opened


def test_neighbours_share_items_and_liked_others(recommender: Recommender) -> None:
    # Of coffee-0 to coffee-3 u0 has the first three, u3 the last three, u6 all but coffee-1.
    found = recommender.neighbors("u0")
    assert [entry.user_id for entry in found] == ["u3", "u6"]
    assert all(0 < entry.similarity < 1 for entry in found)
    assert {item.item_id for item in found[0].shared} == {"coffee-1", "coffee-2"}
    assert [item.item_id for item in found[0].liked] == ["coffee-3"]
    assert found[0].liked[0].title == "Milk Frother Steel"
    assert recommender.neighbors("u0", k=1) == found[:1]


def test_new_events_count_at_once(recommender: Recommender) -> None:
    same = [Interaction("twin", f"coffee-{number}", 1.7e9 + number) for number in range(3)]
    recommender.add(
        [*same, Interaction("twin", "music-1", 1.8e9), Interaction("twin", "garden-1", 1.8e9, 0.1)]
    )
    best = recommender.neighbors("u0")[0]
    assert best.user_id == "twin"
    assert len(best.shared) == 3
    assert [item.item_id for item in best.liked] == ["music-1"], "not what they rated below their mean"


def test_items_that_the_catalog_lacks_are_compared_but_not_shown(recommender: Recommender) -> None:
    recommender.add([Interaction(user, "gone", 1.8e9) for user in ("u0", "u1")])
    best = {entry.user_id: entry for entry in recommender.neighbors("u0")}
    assert best["u1"].similarity > 0
    assert best["u1"].shared == ()
    assert all(item.item_id.startswith("garden") for item in best["u1"].liked)


def test_a_new_person_is_compared_by_likes(recommender: Recommender) -> None:
    found = recommender.neighbors(likes=["garden-0", "garden-1"])
    assert {entry.user_id for entry in found} == {"u1", "u4", "u7"}
    assert {entry.user_id for entry in recommender.neighbors("new", likes=["music-0"])} <= {"u2", "u5", "u8"}
    assert recommender.neighbors("u0", likes=["music-0"])[0].user_id in {"u3", "u6"}


def test_who_shares_nothing_with_anybody(recommender: Recommender) -> None:
    recommender.add([Interaction("lonely", "gone", 1.8e9)])
    assert recommender.neighbors("lonely") == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user_id": "nobody"}, UnknownUserError, "'nobody'"),
        ({"user_id": "profile only"}, RequestError, "'profile only' has no events"),
        ({}, RequestError, "--likes"),
        ({"likes": ["coffee-9"]}, UnknownItemError, "coffee-"),
        ({"user_id": "u0", "k": 0}, RequestError, "out of range"),
    ],
)
def test_what_cannot_be_answered_is_said(
    recommender: Recommender, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        recommender.neighbors(**arguments)  # type: ignore[arg-type]


def test_the_command_keeps_its_contract(recommender: Recommender) -> None:
    root = str(recommender.workspace.root)
    answer = json.loads(CliRunner().invoke(app, ["neighbors", "u0", "-k", "1", "-w", root, "--json"]).stdout)
    assert answer["user_id"] == "u0"
    (entry,) = answer["neighbors"]
    assert set(entry) == {"user_id", "similarity", "shared", "liked"}
    assert entry["liked"] == [{"item_id": "coffee-3", "title": "Milk Frother Steel"}]
    table = CliRunner().invoke(app, ["neighbors", "--likes", "coffee-0", "-w", root])
    assert (table.exit_code, "u0" in table.stdout) == (0, True)
    assert "other users" in CliRunner().invoke(app, ["neighbors", "--help"]).stdout
