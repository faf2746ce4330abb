"""Column names: known, aliased and mapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrec.errors import ConfigError, ReaderError
from llmrec.readers import parse_mapping, read_interactions, read_items, read_users
from llmrec.readers.columns import CATALOG, LOG, USERS, Kind
from llmrec.schema import Columns, Flag, Interaction, Item, User


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("kind", "ours", "alias"),
    [
        (kind, ours, a)
        for kind in (CATALOG, LOG, USERS)
        for ours, names in kind.aliases.items()
        for a in names
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else value,
)
def test_each_alias_is_read(kind: Kind, ours: str, alias: str, tmp_path: Path, flags: list[Flag]) -> None:
    plain = {
        Columns.USER: "1",
        Columns.ITEM: "2",
        Columns.TIMESTAMP: "3",
        Columns.WEIGHT: "4",
        Columns.TITLE: "5",
    }
    cells = {name: plain[name] for name in kind.required} | {ours: plain.get(ours, "6")}
    rows = [",".join(cells), ",".join(cells.values())]
    aliased = [rows[0].replace(ours, alias.upper()), rows[1]]
    read = {CATALOG.name: read_items, LOG.name: read_interactions, USERS.name: read_users}[kind.name]
    expected = list(read(write(tmp_path / "a.csv", "\n".join(rows)), on_flag=flags.append))
    assert list(read(write(tmp_path / "b.csv", "\n".join(aliased)), on_flag=flags.append)) == expected
    assert cells[ours] in str(expected[0])
    assert flags == []


def test_known_name_wins_and_the_alias_is_an_attribute(tmp_path: Path, flags: list[Flag]) -> None:
    path = write(tmp_path / "a.csv", ",id,item_id,name,Title,title\n0,x,1,n,T,t\n")
    assert list(read_items(path, on_flag=flags.append)) == [
        Item("1", title="t", attributes={"id": "x", "name": "n", "Title": "T"})
    ]


def test_mapping_wins_and_renames(tmp_path: Path, flags: list[Flag]) -> None:
    path = write(tmp_path / "a.csv", "item_id,sku,name,maker\n1,s1,n,m\n")
    mapping = {"sku": "item_id", "name": "text", "maker": "brand", "reviewer": "user_id"}
    assert list(read_items(path, mapping=mapping, on_flag=flags.append)) == [
        Item("s1", text="n", attributes={"item_id": 1, "brand": "m"})
    ]


def test_one_mapping_serves_catalog_and_log(tmp_path: Path, flags: list[Flag]) -> None:
    mapping = parse_mapping(["sku=item_id", "who=user_id", "stars=weight", "when=timestamp", "label=title"])
    log = write(tmp_path / "log.csv", "who,sku,when,stars\nu,s,5,2\n")
    items = write(tmp_path / "items.csv", "sku,label\ns,L\n")
    users = write(tmp_path / "users.csv", "who\nu\n")
    assert list(read_interactions(log, mapping=mapping, on_flag=flags.append)) == [
        Interaction("u", "s", 5.0, 2.0)
    ]
    assert list(read_items(items, mapping=mapping, on_flag=flags.append)) == [Item("s", title="L")]
    assert list(read_users(users, mapping=mapping, on_flag=flags.append)) == [User("u")]


def test_mapping_that_names_no_column_is_refused(tmp_path: Path, flags: list[Flag]) -> None:
    path = write(tmp_path / "log.csv", "user_id,item_id,timestamp,stars\nu,i,1,5\n")
    with pytest.raises(ReaderError, match=r"log.csv:1: --map star=weight names a column that the log lacks"):
        list(read_interactions(path, mapping={"star": "weight"}, on_flag=flags.append))


def test_parse_mapping() -> None:
    assert parse_mapping([]) == {}
    assert parse_mapping(["movieId=item_id", " a=b = title"]) == {"movieId": "item_id", "a=b": "title"}
    assert parse_mapping(["a=item_id", "a=item_id", "b=item_id"]) == {"a": "item_id", "b": "item_id"}


@pytest.mark.parametrize("pairs", [["movieId"], ["=item_id"], ["movieId="], [""], ["a=title", "a=text"]])
def test_nonsense_mapping_is_refused(pairs: list[str]) -> None:
    with pytest.raises(ConfigError, match="--map"):
        parse_mapping(pairs)
