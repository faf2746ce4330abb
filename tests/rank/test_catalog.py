"""The catalog: items by row, in memory or from the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from catalogs import ITEMS, World, log_of, unit_vectors, write

from llmrec.rank import catalog as catalog_module
from llmrec.rank.catalog import Catalog
from llmrec.schema import MODALITIES, Item
from llmrec.store.items import ItemStore


def test_rows_and_ids(world: World) -> None:
    for catalog in (world.exact, world.sparse):
        assert len(catalog) == ITEMS
        assert catalog.ids == [f"i{number}" for number in range(ITEMS)]
        assert catalog.rows(["i5", "unknown", "i0"]).tolist() == [5, 0]
        assert catalog.rows([]).dtype == np.intp


def test_both_modes_give_the_same_vectors(world: World) -> None:
    vectors = unit_vectors(ITEMS)
    for rows in ([3], [9, 2, 77], list(range(ITEMS)), []):
        for catalog in (world.exact, world.sparse):
            assert catalog.exact == (catalog is world.exact)
            np.testing.assert_array_equal(catalog.vectors(np.array(rows, np.intp)), vectors[rows])


def test_as_many_rows_as_items_in_another_order(world: World) -> None:
    vectors = unit_vectors(ITEMS)
    for rows in (np.arange(ITEMS)[::-1], np.zeros(ITEMS, np.intp)):
        np.testing.assert_array_equal(world.exact.vectors(rows), vectors[rows])


def test_all_vectors_in_order_are_not_copied(world: World) -> None:
    everything = np.arange(ITEMS)
    assert np.shares_memory(world.exact.vectors(everything), world.exact.vectors(everything))


def test_the_last_large_reads_of_a_table_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "_LARGE", 10)
    catalog, everything = Catalog(world.table, exact_items=0), np.arange(ITEMS)
    first = catalog.vectors(everything)
    assert catalog.vectors(everything.copy()) is first
    for size in (20, 30, 40):
        assert catalog.field_vectors("text", np.arange(size))[0] is not first
    assert catalog.vectors(everything) is first
    catalog.field_vectors("text", np.arange(50))
    assert catalog.vectors(everything) is not first, "only the last four"
    assert catalog.vectors(everything[:9]) is not catalog.vectors(everything[:9])


def test_both_modes_give_the_same_vectors_of_modalities(tmp_path: Path) -> None:
    extra = unit_vectors(3, seed=1)
    by_modality = [{}, {"text": extra[0], "picture": extra[1]}, {"sound": extra[2]}]
    table = write(ItemStore(str(tmp_path)), None, [Item("a"), Item("b"), Item("c")], by_modality=by_modality)
    exact, sparse = Catalog(table, exact_items=10), Catalog(table, exact_items=0)
    for rows in ([0, 1, 2], [2, 0], [1], []):
        for modality in MODALITIES:
            (one, known), (other, same) = (
                catalog.field_vectors(modality, np.array(rows, np.intp)) for catalog in (exact, sparse)
            )
            np.testing.assert_array_equal(known, same)
            np.testing.assert_array_equal(one[known], other[known])
    assert [exact.field(modality)[1].tolist() for modality in MODALITIES] == [
        [True, True, False],
        [False, True, False],
        [False, False, True],
    ]


def test_the_text_of_a_catalog_of_text_is_the_whole_and_not_a_copy(world: World) -> None:
    everything = np.arange(ITEMS)
    vectors, known = world.exact.field("text")
    assert known.all()
    assert np.shares_memory(vectors, world.exact.vectors(everything))
    assert np.shares_memory(vectors, world.exact.field_vectors("text", everything)[0])
    assert not world.exact.field("picture")[1].any()
    np.testing.assert_array_equal(world.sparse.field_vectors("text", everything)[0], vectors)


def test_items_in_the_order_asked_for(world: World) -> None:
    found = world.exact.items(np.array([4, 2, 4, 9], np.intp))
    assert [item.item_id for item in found] == ["i4", "i2", "i4", "i9"]
    assert found[0].attributes == {"year": 4}
    assert world.exact.items(np.array([], np.intp)) == []


def test_more_items_than_are_kept_in_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "_KEPT_ITEMS", 5)
    catalog = Catalog(world.table, exact_items=1000)
    for rows in ([1, 2, 3], list(range(20)), [3, 19, 1]):
        assert [item.item_id for item in catalog.items(np.array(rows, np.intp))] == [
            f"i{row}" for row in rows
        ]


def test_recent_items_are_not_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, read = Catalog(world.table, exact_items=1000), []
    items = world.table.items
    monkeypatch.setattr(world.table, "items", lambda ids: read.append(ids) or items(ids))
    for rows in ([1, 2], [2, 1], [2, 3]):
        catalog.items(np.array(rows, np.intp))
    assert read == [["i1", "i2"], ["i3"]]


def test_titles(world: World) -> None:
    assert list(world.exact.titles()) == [f"Film {number}" for number in range(ITEMS)]


def test_a_log_as_a_matrix(world: World) -> None:
    pairs = [("u", "i3", 1.0), ("u", "i3", 2.0), ("v", "i3", 1.0), ("w", "unknown", 1.0), ("v", "i7", 1.0)]
    log = log_of(pairs, world.exact)
    assert log.users == ("u", "v")
    assert log.matrix.shape == (2, ITEMS)
    assert {(int(user), int(item)) for user, item in zip(*log.matrix.nonzero(), strict=True)} == {
        (0, 3),
        (1, 3),
        (1, 7),
    }
    assert log.matrix.data.tolist() == [1.0, 1.0, 1.0], "an event twice counts once"


def test_a_log_of_nothing(world: World) -> None:
    log = log_of([], world.exact)
    assert (log.users, log.matrix.shape) == ((), (0, ITEMS))
