"""Every format gives the same records for the same content."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from llmrec.errors import ReaderError
from llmrec.readers import read_interactions, read_items, read_users
from llmrec.schema import Flag, Interaction, Item, User

Rows = list[dict[str, Any]]
Write = Callable[[Path, Rows], str]

ITEMS = [
    Item(
        "1",
        title="Café “Noir”, a film",
        text='He said "no"; she left, then came back',
        categories=("Film-Noir", "Drama"),
        images=("img/1.jpg", "https://example.org/1b.jpg"),
        attributes={"year": 1995, "price": 9.5, "sold": True, "code": "007"},
    ),
    Item(
        "b-2", title="Plain", categories=("Drama",), attributes={"year": 2001, "price": 0.25, "sold": False}
    ),
]
EVENTS = [
    Interaction("u1", "1", 881250949.0, 3.0, "great; really"),
    Interaction("7", "b-2", 881250950.5, 0.5, "no, thanks"),
]


def item_rows() -> Rows:
    return [
        {
            "item_id": item.item_id,
            "title": item.title,
            "text": item.text or None,
            "categories": list(item.categories),
            "images": list(item.images) or None,
            "year": item.attributes["year"],
            "price": item.attributes["price"],
            "sold": item.attributes["sold"],
            "code": item.attributes.get("code"),
        }
        for item in ITEMS
    ]


def event_rows() -> Rows:
    return [
        {
            "user_id": event.user_id,
            "item_id": event.item_id,
            "timestamp": event.timestamp,
            "weight": event.weight,
            "text": event.text,
        }
        for event in EVENTS
    ]


def as_cells(rows: Rows) -> list[list[str]]:
    def cell(value: Any) -> str:
        return "|".join(value) if isinstance(value, list) else "" if value is None else str(value)

    return [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]


def write_json_lines(folder: Path, rows: Rows) -> str:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def write_json_array(folder: Path, rows: Rows) -> str:
    path = folder / "data.json"
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return str(path)


def write_delimited(separator: str, name: str, encoding: str = "utf-8", **options: Any) -> Write:
    def write(folder: Path, rows: Rows) -> str:
        path = folder / name
        with path.open("w", newline="", encoding=encoding) as stream:
            csv.writer(stream, delimiter=separator, **options).writerows(as_cells(rows))
        return str(path)

    return write


def write_gzip(folder: Path, rows: Rows) -> str:
    path = folder / "data.jsonl.gz"
    path.write_bytes(gzip.compress(Path(write_json_lines(folder, rows)).read_bytes()))
    return str(path)


def write_parquet(folder: Path, rows: Rows) -> str:
    parquet.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    return str(folder / "data.parquet")


def write_dataset(folder: Path, rows: Rows) -> str:
    datasets.Dataset.from_list(rows).save_to_disk(folder / "saved")
    return str(folder / "saved")


def write_splits(folder: Path, rows: Rows) -> str:
    saved = datasets.Dataset.from_list(rows)
    datasets.DatasetDict({"train": saved, "test": saved.select([0])}).save_to_disk(folder / "saved")
    return f"{folder / 'saved'}#train"


def write_recbole(folder: Path, rows: Rows) -> str:
    kinds = {"categories": "token_seq", "images": "token_seq", "title": "token_seq", "price": "float"}
    cells = as_cells(
        [{key: " ".join(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows]
    )
    cells[0] = [f"{name}:{kinds.get(name, 'token')}" for name in cells[0]]
    path = folder / "data.item"
    path.write_text("".join("\t".join(row) + "\n" for row in cells), encoding="utf-8")
    return str(path)


FORMATS: dict[str, Write] = {
    "json lines": write_json_lines,
    "json array": write_json_array,
    "gzip": write_gzip,
    "csv": write_delimited(",", "data.csv"),
    "csv with BOM": write_delimited(",", "data.csv", encoding="utf-8-sig"),
    "csv with LF": write_delimited(",", "data.csv", lineterminator="\n"),
    "csv all quoted": write_delimited(",", "data.csv", quoting=csv.QUOTE_ALL),
    "csv with semicolons": write_delimited(";", "data.csv"),
    "csv with bars": write_delimited("|", "data.csv"),
    "tsv": write_delimited("\t", "data.tsv"),
    "no suffix": write_delimited("\t", "data"),
    "parquet": write_parquet,
    "dataset": write_dataset,
    "dataset split": write_splits,
    "recbole": write_recbole,
}


@pytest.fixture(params=FORMATS)
def write(request: pytest.FixtureRequest) -> Write:
    return FORMATS[request.param]


def test_every_format_gives_the_same_items(write: Write, tmp_path: Path, flags: list[Flag]) -> None:
    assert list(read_items(write(tmp_path, item_rows()), on_flag=flags.append)) == ITEMS
    assert flags == []


def test_every_format_gives_the_same_events(write: Write, tmp_path: Path, flags: list[Flag]) -> None:
    assert list(read_interactions(write(tmp_path, event_rows()), on_flag=flags.append)) == EVENTS
    assert flags == []


def test_every_format_gives_the_same_users(write: Write, tmp_path: Path, flags: list[Flag]) -> None:
    rows = [{"user_id": "u1", "age": 24, "job": "writer"}, {"user_id": "u2", "age": 53, "job": None}]
    users = [User("u1", {"age": 24, "job": "writer"}), User("u2", {"age": 53})]
    assert list(read_users(write(tmp_path, rows), on_flag=flags.append)) == users
    assert flags == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ratings.csv", b"userId,movieId,rating,timestamp\n196,242,3.0,881250949\n"),
        ("u.data", b"196\t242\t3\t881250949\n"),
        ("ratings.dat", b"196::242::3::881250949\n"),
        (
            "ml-100k.inter",
            b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n",
        ),
    ],
)
def test_movielens_events(name: str, content: bytes, tmp_path: Path, flags: list[Flag]) -> None:
    (tmp_path / name).write_bytes(content)
    events = list(read_interactions(tmp_path / name, on_flag=flags.append))
    assert events == [Interaction("196", "242", 881250949.0, 3.0)]


GENRE_FLAGS = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"


@pytest.mark.parametrize(
    ("name", "content", "attributes"),
    [
        (
            "movies.csv",
            'movieId,title,genres\n1,"Léon, Toy (1995)",Animation|Children\'s|Comedy\n'.encode(),
            {},
        ),
        ("movies.dat", "1::Léon, Toy (1995)::Animation|Children's|Comedy\n".encode("latin-1"), {}),
        (
            "u.item",
            f"1|Léon, Toy (1995)|01-Jan-1995||http://example.org/?a&b|{GENRE_FLAGS}\n".encode("latin-1"),
            {"release_date": "01-Jan-1995", "imdb_url": "http://example.org/?a&b"},
        ),
        (
            "ml.item",
            "item_id:token\tmovie_title:token_seq\tclass:token_seq\n"
            "1\tLéon, Toy (1995)\tAnimation Children's Comedy\n".encode(),
            {},
        ),
    ],
)
def test_movielens_items(
    name: str, content: bytes, attributes: dict[str, str], tmp_path: Path, flags: list[Flag]
) -> None:
    (tmp_path / name).write_bytes(content)
    (item,) = read_items(tmp_path / name, on_flag=flags.append)
    assert item == Item(
        "1",
        title="Léon, Toy (1995)",
        categories=("Animation", "Children's", "Comedy"),
        attributes=attributes,
    )


@pytest.mark.parametrize(
    ("name", "content"), [("u.user", "1|24|M|writer|85711\n"), ("users.dat", "1::M::24::writer::85711\n")]
)
def test_movielens_users(name: str, content: str, tmp_path: Path, flags: list[Flag]) -> None:
    (tmp_path / name).write_text(content)
    profile = {"age": 24, "gender": "M", "occupation": "writer", "zip_code": 85711}
    assert list(read_users(tmp_path / name, on_flag=flags.append)) == [User("1", profile)]


def test_split_must_be_named(tmp_path: Path, flags: list[Flag]) -> None:
    folder = write_splits(tmp_path, item_rows()).removesuffix("#train")
    assert len(list(read_items(f"{folder}#test", on_flag=flags.append))) == 1
    with pytest.raises(ReaderError, match="splits train, test"):
        list(read_items(folder, on_flag=flags.append))
    with pytest.raises(ReaderError, match="'dev'"):
        list(read_items(f"{folder}#dev", on_flag=flags.append))


def test_parquet_types(tmp_path: Path, flags: list[Flag]) -> None:
    table = pa.table(
        {
            "user_id": pa.array([12.0, None]),
            "item_id": pa.array([7, 8]),
            "timestamp": pa.array([881250949123456789, 0], pa.timestamp("ns", "Europe/Paris")),
        }
    )
    parquet.write_table(table, tmp_path / "log.parquet")
    (event,) = read_interactions(tmp_path / "log.parquet", on_flag=flags.append)
    assert event == Interaction("12", "7", 881250949.123456)
    assert flags == [Flag("8", "user_id", f"{tmp_path}/log.parquet:2", "the id is empty")]


def test_embedded_pictures_are_flagged_and_paths_read(tmp_path: Path, flags: list[Flag]) -> None:
    rows = [
        {"id": "a", "image": {"bytes": b"\x89PNG", "path": "a.png"}, "raw": b"x"},
        {"id": "b", "image": {"bytes": None, "path": "b.png"}, "raw": None},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    items = list(read_items(tmp_path / "items.parquet", on_flag=flags.append))
    assert items == [Item("a"), Item("b", images=("b.png",))]
    assert [(flag.item_id, flag.field) for flag in flags] == [("a", "image")]


def test_array_longer_than_a_piece_keeps_its_lines(tmp_path: Path, flags: list[Flag]) -> None:
    rows = [{"id": f"i{n}", "text": "x" * 50_000, "tags": [1, [2]]} for n in range(8)]
    lines = ",\n".join(json.dumps(row) for row in [*rows[:7], {"id": ""}, rows[7]])
    (tmp_path / "items.json").write_text(f"\n [{lines}]\n")
    items = list(read_items(tmp_path / "items.json", on_flag=flags.append))
    assert [item.item_id for item in items] == [f"i{n}" for n in range(8)]
    assert items[0].attributes == {"tags": ["1", "2"]}
    assert [flag.source for flag in flags] == [f"{tmp_path}/items.json:9"]


def test_json_rows_may_differ_in_their_columns(tmp_path: Path, flags: list[Flag]) -> None:
    (tmp_path / "items.jsonl").write_text(
        '{"id": 1, "name": "A"}\n{"item_id": 2, "a": {"b": 3}}\n{"title": "C"}\n'
    )
    items = list(read_items(tmp_path / "items.jsonl", on_flag=flags.append))
    assert items == [Item("1", title="A"), Item("2", attributes={"a.b": 3})]
    assert flags == [Flag("line 3", "item_id", f"{tmp_path}/items.jsonl:3", "the row has no such column")]
