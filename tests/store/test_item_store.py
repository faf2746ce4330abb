"""The item table: versions that readers can trust, filters, and nearest neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from catalogs import DIMENSION, encoded, ids_of, unit_vectors, write

from llmrec.errors import CorruptFileError, FilterError
from llmrec.schema import AttributeValue, Item
from llmrec.store import items as items_module
from llmrec.store.items import ItemStore, ItemTable

ODD_IDS = [
    "o'neil",
    "it''s",
    '"q"',
    "a;b",
    "x\\y",
    "日本",
    "a`b",
    "%",
    "_",
    " sp ",
    "new\nline",
    "-1",
    "NULL",
]


@pytest.fixture
def store(tmp_path: Path) -> ItemStore:
    return ItemStore(str(tmp_path / "items"))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> ItemTable:
    """3,000 items with attributes of every type under ordinary and odd names."""
    made = [
        Item(
            f"i{number}",
            title=f"Film {number}",
            categories=("Drama", "Odd") if number % 2 else ("Drama",),
            attributes={
                "Year": number,
                "rating": number / 2,
                "director": "O'Neil" if number == 7 else "Björk",
                "seen": number % 2 == 1,
                "tags": ["common", f"tag {number}"],
                "with space": number,
                'quo"te': number,
                "back`tick": number,
                "dotted.name": number,
                "größe": number,
                "select": number,
                "_vector": number,
                "_distance": number,
                "_rowid": number,
            },
        )
        for number in range(3000)
    ]
    return write(ItemStore(str(tmp_path_factory.mktemp("films"))), None, made)


# Versions


def test_what_was_written_is_read_back(store: ItemStore) -> None:
    item = Item(
        "i1",
        "Title",
        "Text",
        ("A", "B"),
        ("a.jpg", "b.jpg"),
        ("a.mp3",),
        ("a.mp4",),
        {"year": 1995, "ok": True, "rate": 0.5, "tags": ["x"], "größe.in cm": "größer"},
    )
    table = write(store, None, [item, Item("i2")])
    assert table.items(["i1", "i2", "i3"]) == {"i1": item, "i2": Item("i2")}
    assert table.keys() == {"i1": "k1", "i2": "k1"}
    assert (len(table), table.dimension) == (2, DIMENSION)
    np.testing.assert_array_equal(table.vectors(["i2", "i1"]), unit_vectors(2)[::-1])


def test_update_insert_and_delete_change_only_what_they_name(store: ItemStore) -> None:
    old = write(store, None, [Item(f"i{number}", "old") for number in range(6)])
    new = write(store, old, [Item("i1", "new"), Item("i9", "new")], ["i2", "i3", "unknown"], key="k2")
    assert {item: row.title for item, row in new.items([f"i{n}" for n in range(10)]).items()} == {
        "i0": "old",
        "i1": "new",
        "i4": "old",
        "i5": "old",
        "i9": "new",
    }
    assert new.keys() == {"i0": "k1", "i1": "k2", "i4": "k1", "i5": "k1", "i9": "k2"}
    assert new.name == old.name
    assert new.version > old.version


def test_ids_of_every_kind(store: ItemStore) -> None:
    table = write(store, None, [Item(item, "old") for item in ODD_IDS])
    assert set(table.items(ODD_IDS)) == set(ODD_IDS)
    table = write(store, table, [Item("o'neil", "new")], ["it''s", '"q"', "a;b"])
    assert set(table.keys()) == set(ODD_IDS) - {"it''s", '"q"', "a;b"}
    assert table.items(["o'neil"])["o'neil"].title == "new"
    np.testing.assert_array_equal(table.vectors(["日本"])[0], unit_vectors(len(ODD_IDS))[5])


def test_readers_keep_seeing_their_version(store: ItemStore) -> None:
    old = write(store, None, [Item("i1", "old"), Item("i2", "old")])
    reader = ItemStore(store.uri).open(old.name, old.version)
    scan = reader.scan(["title"])
    new = write(store, old, [Item("i1", "new"), Item("i3", "new")], ["i2"])
    for table in (old, reader, ItemStore(store.uri).open(old.name, old.version)):
        assert {item: row.title for item, row in table.items(["i1", "i2", "i3"]).items()} == {
            "i1": "old",
            "i2": "old",
        }
        assert sorted(table.matching("title = 'old'")) == ["i1", "i2"]
        assert len(table) == 2
    assert [title for batch in scan for title in batch.column(0).to_pylist()] == ["old", "old"]
    assert sorted(ids_of(new)) == ["i1", "i3"]


def test_leftovers_of_an_unfinished_run_vanish_at_the_next_write(store: ItemStore) -> None:
    base = write(store, None, [Item("i1", "old"), Item("i2", "old")])
    write(store, base, [Item("i1", "abandoned"), Item("i3", "abandoned")], ["i2"])  # never published
    new = write(store, base, [Item("i4", "new")])
    assert {item: row.title for item, row in new.items(["i1", "i2", "i3", "i4"]).items()} == {
        "i1": "old",
        "i2": "old",
        "i4": "new",
    }
    assert sorted(ids_of(base)) == ["i1", "i2"]


def test_the_order_of_rows_is_the_same_for_every_reader(store: ItemStore) -> None:
    # Trained channels number the items by it.
    table = write(store, None, [Item(f"i{number}") for number in range(500)])
    for start in range(0, 300, 60):
        changed = [Item(f"i{number}", "new") for number in range(start, start + 90)]
        table = write(store, table, changed, [f"i{start + 450 - 2 * start}"])
    first = ids_of(table)
    assert sorted(first) != first
    for _ in range(5):
        reader = ItemStore(store.uri).open(table.name, table.version)
        with_vectors = [
            i for batch in reader.scan(["item_id", "_vector"]) for i in batch.column(0).to_pylist()
        ]
        assert ids_of(reader) == with_vectors == first


def test_a_table_of_many_versions_is_written_anew(store: ItemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items_module, "_VERSIONS", 6)
    table = first = write(store, None, [Item("i0", "old"), Item("gone", "old")])
    names = []
    for number in range(1, 6):
        table = write(store, table, [Item(f"i{number}", "new")], ["gone"])
        names.append(table.name)
    assert names[0] == first.name
    assert names[-1] != first.name
    assert sorted(ids_of(table)) == [f"i{number}" for number in range(6)]
    assert table.items(["i0"])["i0"].title == "old"
    assert sorted(ids_of(first)) == ["gone", "i0"]


def test_a_write_without_a_base_begins_beside_the_present_table(store: ItemStore) -> None:
    old = write(store, None, [Item("i1", "old")])
    new = write(store, None, [Item("i2", "new")])
    assert (ids_of(old), ids_of(new)) == (["i1"], ["i2"])
    assert old.name != new.name


def test_an_empty_table_and_a_table_emptied(store: ItemStore) -> None:
    assert ids_of(write(store, None)) == []
    full = write(store, None, [Item("i1"), Item("i2")])
    empty = write(store, full, [], ["i1", "i2"])
    assert (len(empty), ids_of(empty), empty.items(["i1"])) == (0, [], {})
    assert empty.nearest(unit_vectors(1)[0], 3)[0] == []
    assert ids_of(write(store, empty, [Item("i3")])) == ["i3"]


def test_many_deletions_take_several_statements(store: ItemStore) -> None:
    base = write(store, None, [Item(f"i{number}") for number in range(2500)])
    table = write(store, base, [], [f"i{number}" for number in range(2499)])
    assert ids_of(table) == ["i2499"]


def test_collect_keeps_the_named_tables(store: ItemStore) -> None:
    kept, dropped, also = (write(store, None, [Item(f"i{number}")]) for number in range(3))
    store.collect({kept.name, also.name})
    assert ids_of(ItemStore(store.uri).open(kept.name, kept.version)) == ["i0"]
    with pytest.raises(CorruptFileError, match=rf"{dropped.name}\.lance: version 1 cannot be opened"):
        store.open(dropped.name, 1)
    assert write(store, None, [Item("i9")]).name not in (kept.name, also.name)


def test_a_version_that_is_gone_is_named(store: ItemStore) -> None:
    table = write(store, None, [Item("i1")])
    with pytest.raises(CorruptFileError, match=rf"{table.name}\.lance: version 9 cannot be opened"):
        store.open(table.name, 9)


# Vectors of modalities


def test_vectors_of_modalities_are_null_where_an_item_lacks_them(store: ItemStore) -> None:
    whole, extra = unit_vectors(4), unit_vectors(6, seed=1)
    by_modality = [
        {},
        {"text": extra[0], "picture": extra[1]},
        {"picture": extra[2]},
        {"text": extra[3], "picture": extra[4], "sound": extra[5]},
    ]
    made = [Item(f"i{number}") for number in range(4)]
    table = write(store, None, made, by_modality=by_modality)
    ids = ["i3", "i0", "i2", "i1"]
    nothing = np.zeros(DIMENSION, np.float32)
    for modality, expected, present in (
        ("text", [extra[3], whole[0], nothing, extra[0]], [True, True, False, True]),
        ("picture", [extra[4], nothing, extra[2], extra[1]], [True, False, True, True]),
        ("sound", [extra[5], nothing, nothing, nothing], [True, False, False, False]),
    ):
        vectors, known = table.field_vectors(ids, modality)
        np.testing.assert_array_equal(vectors, expected)
        assert known.tolist() == present
    assert table.field_vectors([], "text")[0].shape == (0, DIMENSION)


@pytest.mark.parametrize("dimension", [DIMENSION, 16])
def test_vectors_of_modalities_stay_with_unchanged_items(store: ItemStore, dimension: int) -> None:
    # LanceDB treats a list of ten floats and more as a vector, a shorter one not.
    vectors, extra = unit_vectors(3, dimension), unit_vectors(3, dimension, seed=1)
    by_modality = [{"text": row, "sound": row} for row in extra]
    table = write(store, None, [Item("a"), Item("b"), Item("c")], vectors=vectors, by_modality=by_modality)
    table = write(store, table, [Item("b"), Item("d")], ["c"], vectors=vectors[:2])
    rewritten = write(store, table, [Item("e", attributes={"new": 1})], vectors=vectors[:1])
    assert rewritten.name != table.name
    for present in (table, rewritten):
        sound, known = present.field_vectors(["a", "b", "d"], "sound")
        assert known.tolist() == [True, False, False]
        np.testing.assert_array_equal(sound[0], extra[0])
        text, known = present.field_vectors(["a", "b", "d"], "text")
        assert known.tolist() == [True, True, True]
        np.testing.assert_array_equal(text, [extra[0], vectors[0], vectors[1]])


def test_a_catalog_of_text_alone_takes_no_more_room(store: ItemStore) -> None:
    def size(name: str) -> int:
        return sum(
            path.stat().st_size for path in Path(store.uri, f"{name}.lance").rglob("*") if path.is_file()
        )

    made, vectors = [Item(f"i{number}") for number in range(2000)], unit_vectors(2000, 64)
    plain = write(store, None, made, vectors=vectors)
    assert size(plain.name) < 1.25 * vectors.nbytes


# Attribute types


def attributes(*values: AttributeValue) -> list[Item]:
    return [Item(f"i{number}", attributes={"x": value}) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "kind", "where", "found"),
    [
        ([1, 2], pa.int64(), "x = 2", ["i1"]),
        ([1, 2.5], pa.float64(), "x < 2", ["i0"]),
        ([2.5, 1], pa.float64(), "x > 2", ["i0"]),
        ([True, False], pa.bool_(), "x", ["i0"]),
        ([True, 1], pa.string(), "x = 'true'", ["i0"]),
        ([1, "one"], pa.string(), "x = '1'", ["i0"]),
        ([1.5, "one"], pa.string(), "x = '1.5'", ["i0"]),
        ([["a"], ["a", "b"]], pa.list_(pa.string()), "array_has(x, 'b')", ["i1"]),
        ([["a", "ü"], "a"], pa.string(), 'x = \'["a", "ü"]\'', ["i0"]),
        ([2**63, 1], pa.string(), "x = '9223372036854775808'", ["i0"]),
        ([2**63 - 1, -(2**63)], pa.int64(), "x < 0", ["i1"]),
    ],
)
def test_types_hold_every_value(
    store: ItemStore, values: list[AttributeValue], kind: pa.DataType, where: str, found: list[str]
) -> None:
    table = write(store, None, attributes(*values))
    assert table.attribute_types == {"x": kind}
    assert table.matching(where) == found
    assert [row.attributes["x"] for row in table.items(["i0", "i1"]).values()] == values


@pytest.mark.parametrize(
    ("later", "kind", "where", "found"),
    [
        (2.5, pa.float64(), "x > 1.5", ["i1"]),
        ("two", pa.string(), "x = '1'", ["i0"]),
        (["a"], pa.string(), "x = '1'", ["i0"]),
    ],
)
def test_a_later_value_widens_the_column_and_keeps_the_old_rows(
    store: ItemStore, later: AttributeValue, kind: pa.DataType, where: str, found: list[str]
) -> None:
    old = write(store, None, attributes(1))
    new = write(store, old, [Item("i1", attributes={"x": later})])
    assert new.attribute_types == {"x": kind}
    assert new.matching(where) == found
    assert new.items(["i0", "i1"])["i0"].attributes == {"x": 1}
    assert old.attribute_types == {"x": pa.int64()}
    assert old.matching("x = 1") == ["i0"]
    np.testing.assert_array_equal(new.vectors(["i0"]), old.vectors(["i0"]))


def test_a_new_attribute_is_null_for_the_old_rows(store: ItemStore) -> None:
    old = write(store, None, attributes(1))
    new = write(store, old, [Item("i1", attributes={"colour": "red"})])
    assert new.matching("colour = 'red'") == ["i1"]
    assert new.matching("colour IS NULL") == ["i0"]
    assert new.matching("x IS NULL") == ["i1"]


# Filters


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Year >= 2990", range(2990, 3000)),
        ("year = 5", [5]),
        ("Year BETWEEN 3 AND 5 AND rating > 1.5", [4, 5]),
        ("rating = 2.5", [5]),
        ("director = 'O''Neil'", [7]),
        ("director != 'Björk'", [7]),
        ("seen AND Year < 4", [1, 3]),
        ("NOT seen AND Year < 4", [0, 2]),
        ("array_has(tags, 'tag 12')", [12]),
        ("array_has(categories, 'Odd') AND Year < 6", [1, 3, 5]),
        ("title LIKE 'Film 299_'", range(2990, 3000)),
        ("item_id IN ('i1', 'i2', 'nope')", [1, 2]),
        ("`with space` = 3", [3]),
        ('"with space" = 3', [3]),
        ('`quo"te` = 3', [3]),
        ("back_tick = 3", [3]),
        ("dotted_name = 3", [3]),
        ("größe = 3", [3]),
        ("`select` = 3", [3]),
        ("Year > 5000", []),
    ],
)
def test_filters(films: ItemTable, where: str, expected: range | list[int]) -> None:
    assert films.matching(where) == [f"i{number}" for number in expected]


def test_a_filter_gives_every_match_however_many(films: ItemTable) -> None:
    assert len(films.matching("array_has(tags, 'common')")) == 3000


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("yeer > 1990", "No field named yeer"),
        ("Year >", "Expected: an expression, found: EOF"),
        ("", "Expected: an expression"),
        ("Year", "does not return a boolean"),
        ("Year = 'abc'", "could not convert"),
        ("Year / 0 = 1", "Divide by zero"),
        ("no_such_function(Year)", "no_such_function"),
        ("(SELECT 1) = 1", "not supported"),
    ],
)
def test_a_filter_that_cannot_be_used_says_why_and_lists_the_columns(
    films: ItemTable, where: str, reason: str
) -> None:
    with pytest.raises(FilterError) as caught:
        films.matching(where)
    message, hint = caught.value.message, caught.value.hint
    assert message.startswith(f"--where {where!r}: ")
    assert reason in message
    assert len(message.splitlines()) == 1
    assert ".rs" not in message
    assert "_key" not in str(caught.value), "names of columns that are llmrec's own"
    assert hint is not None
    assert hint.startswith("Columns: item_id, title, ")
    assert "with space" in hint


def test_attributes_named_like_columns_of_the_store_are_kept_but_not_filterable(films: ItemTable) -> None:
    assert films.items(["i3"])["i3"].attributes.items() >= {"_vector": 3, "_distance": 3, "_rowid": 3}.items()
    assert not {"_vector", "_distance", "_rowid"} & set(films.attribute_types)
    np.testing.assert_array_equal(films.vectors(["i2"])[0], unit_vectors(3000)[2])


# Nearest neighbours


def exact(vectors: np.ndarray, query: np.ndarray, k: int) -> list[str]:
    return [f"i{row}" for row in np.argsort(-(vectors @ query), kind="stable")[:k]]


def test_nearest_without_an_index_is_exact(films: ItemTable) -> None:
    vectors, query = unit_vectors(3000), unit_vectors(1, seed=9)[0]
    ids, cosines = films.nearest(query, 10)
    assert ids == exact(vectors, query, 10)
    np.testing.assert_allclose(cosines, np.sort(vectors @ query)[::-1][:10], atol=1e-5)


def test_nearest_with_an_index(store: ItemStore) -> None:
    vectors = unit_vectors(1000, 16)
    table = write(store, None, [Item(f"i{n}") for n in range(900)], vectors=vectors[:900], index_rows=256)
    table = write(
        store, table, [Item(f"i{n}") for n in range(900, 1000)], vectors=vectors[900:], index_rows=256
    )
    reader = ItemStore(store.uri).open(table.name, table.version)
    found = {index.index_type for index in reader._table.list_indices()}
    assert any("Hnsw" in kind for kind in found), found
    queries = unit_vectors(50, 16, seed=9)
    hits = [len(set(reader.nearest(query, 10)[0]) & set(exact(vectors, query, 10))) for query in queries]
    assert np.mean(hits) / 10 >= 0.95
    ids, cosines = reader.nearest(queries[0], 10)
    np.testing.assert_allclose(cosines, reader.vectors(ids) @ queries[0], atol=1e-5)
    newest = reader.nearest(vectors[950], 1)[0]
    assert newest == ["i950"], "rows added after the index was built are found too"


def test_nearest_of_an_indexed_table_after_deletions(store: ItemStore) -> None:
    vectors = unit_vectors(400)
    table = write(store, None, [Item(f"i{n}") for n in range(400)], vectors=vectors, index_rows=256)
    table = write(store, table, [], [f"i{n}" for n in range(300)], index_rows=256)
    ids, _ = table.nearest(vectors[0], 20)
    assert len(ids) == 20
    assert all(int(item[1:]) >= 300 for item in ids)
    assert len(table.nearest(vectors[0], 500)[0]) == 100


def test_batches_are_read_more_than_once(store: ItemStore) -> None:
    # Attribute types are found in a first pass; the rows are written in a second.
    passes = []

    def batches() -> object:
        passes.append(1)
        return iter(
            [encoded([Item("i1", attributes={"x": 1})]), encoded([Item("i2", attributes={"x": 0.5})])]
        )

    table = store.write(None, batches, ["i1", "i2"], [], DIMENSION, 50_000)  # type: ignore[arg-type]
    assert table.attribute_types == {"x": pa.float64()}
    assert sorted(ids_of(table)) == ["i1", "i2"]
    assert len(passes) == 2
