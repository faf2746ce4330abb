"""Catalogs, logs and user tables as streams of items, interactions and users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path

from llmrec.readers.audit import Audit, OnFlag
from llmrec.readers.columns import CATALOG, LOG, USERS, Kind, binder
from llmrec.readers.formats import open_table
from llmrec.readers.records import Convert, Notes, T, to_interaction, to_item, to_user
from llmrec.readers.table import WHOLE_ROW
from llmrec.readers.values import RejectedError
from llmrec.schema import Interaction, Item, User


def read_items(
    source: str | Path, *, mapping: Mapping[str, str] | None = None, on_flag: OnFlag
) -> Iterator[Item]:
    """Stream a catalog.

    Args:
        source: JSON Lines, a JSON array, CSV, TSV, Parquet, RecBole ``.item``, MovieLens ``movies.csv``,
            ``movies.dat`` or ``u.item``, or a ``datasets`` folder (``folder#split``); text may be gzip.
        mapping: our column names by those of the file, for columns that are not recognised by name.
        on_flag: told of each row or value that is left out. Of items with one id the first is kept.

    Raises:
        ReaderError: the file as a whole cannot be read, or none of its rows can.
    """
    return _read(source, CATALOG, mapping or {}, on_flag, to_item, attrgetter("item_id"))


def read_interactions(
    source: str | Path, *, mapping: Mapping[str, str] | None = None, on_flag: OnFlag
) -> Iterator[Interaction]:
    """Stream a log, in the order of the file; repeated events are not looked for.

    Args:
        source: any format of :func:`read_items`, RecBole ``.inter``, MovieLens ``ratings.csv``,
            ``ratings.dat`` or ``u.data``.
        mapping: as for :func:`read_items`.
        on_flag: told of each row that is left out.

    Raises:
        ReaderError: the file as a whole cannot be read, or none of its rows can.
    """
    return _read(source, LOG, mapping or {}, on_flag, to_interaction)


def read_users(
    source: str | Path, *, mapping: Mapping[str, str] | None = None, on_flag: OnFlag
) -> Iterator[User]:
    """Stream a user table: every column but the id is part of the profile.

    Args:
        source: any format of :func:`read_items`, RecBole ``.user``, MovieLens ``users.dat`` or ``u.user``.
        mapping: as for :func:`read_items`.
        on_flag: told of each row that is left out. Of users with one id the first is kept.

    Raises:
        ReaderError: the file as a whole cannot be read, or none of its rows can.
    """
    return _read(source, USERS, mapping or {}, on_flag, to_user, attrgetter("user_id"))


def _read(
    source: str | Path,
    kind: Kind,
    mapping: Mapping[str, str],
    on_flag: OnFlag,
    convert: Convert[T],
    identity: Callable[[T], str] | None = None,
) -> Iterator[T]:
    audit = Audit(str(source), on_flag)
    seen: dict[str, int] = {}
    notes: Notes = []
    with open_table(Path(source), audit.reject) as table:
        binding_of = binder(table, kind, mapping, str(source))
        for line, row in table.rows:
            binding = binding_of(row)
            try:
                if binding.missing:
                    raise RejectedError(binding.missing[0], "the row has no such column")
                record = convert(row, binding, table.typed, notes)
                if identity:
                    _claim(identity(record), kind.required[0], line, seen)
            except RejectedError as error:
                audit.reject_value(line, row, binding, error)
                continue
            except RecursionError:
                audit.reject(line, WHOLE_ROW, "nested too deeply")
                continue
            audit.kept += 1
            if notes:
                audit.note(line, row, binding, notes)
            yield record
    audit.finish()


def _claim(key: str, column: str, line: int, seen: dict[str, int]) -> None:
    if key in seen:
        raise RejectedError(column, f"the id is already that of line {seen[key]:,}; the first is kept")
    seen[key] = line
