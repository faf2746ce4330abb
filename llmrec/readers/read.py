"""Catalogs, logs and user tables as streams of items, interactions and users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from llmrec.readers.audit import Audit, OnFlag
from llmrec.readers.columns import CATALOG, LOG, USERS, Binding, Kind, bind, check_columns
from llmrec.readers.formats import open_table
from llmrec.readers.records import Convert, Converter, Notes, T, interactions, items, lacking, users
from llmrec.readers.table import WHOLE_ROW
from llmrec.readers.values import RejectedError
from llmrec.schema import Interaction, Item, User


def read_items(
    source: str | Path, *, mapping: Mapping[str, str] | None = None, on_flag: OnFlag
) -> Iterator[Item]:
    """Stream a catalog.

    Args:
        source: JSON Lines, a JSON array, CSV, TSV, Parquet, RecBole ``.item``, MovieLens ``movies.csv``,
            ``movies.dat`` or ``u.item``, a ``datasets`` folder (``folder#split``), or a folder of media; text
            may be gzip.
        mapping: our column names by those of the file, for columns that are not recognised by name.
        on_flag: told of each row or value that is left out. Of items with one id the first is kept.

    Raises:
        ReaderError: the file as a whole cannot be read, or none of its rows can.
    """
    return _read(source, CATALOG, mapping or {}, on_flag, items, attrgetter("item_id"))


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
    return _read(source, LOG, mapping or {}, on_flag, interactions)


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
    return _read(source, USERS, mapping or {}, on_flag, users, attrgetter("user_id"))


def _read(
    source: str | Path,
    kind: Kind,
    mapping: Mapping[str, str],
    on_flag: OnFlag,
    converter: Converter[T],
    identity: Callable[[T], str] | None = None,
) -> Iterator[T]:
    audit = Audit(str(source), on_flag)
    seen: dict[str, int] = {}
    with open_table(Path(source), audit.reject) as table:
        check_columns(table, kind, mapping, str(source))
        prepared = _preparer(kind, mapping, converter, table.typed)
        columns = table.columns if table.fixed else None
        for line, row in table.rows:
            binding, convert = prepared(columns or tuple(row))
            notes: Notes = []
            try:
                record = convert(row, notes)
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


def _preparer(
    kind: Kind, mapping: Mapping[str, str], converter: Converter[T], typed: bool
) -> Callable[[tuple[str, ...]], tuple[Binding, Convert[T]]]:
    """Binding and conversion by column names, made once for each set of them: JSON rows may differ."""

    @lru_cache(maxsize=1000)
    def prepared(columns: tuple[str, ...]) -> tuple[Binding, Convert[T]]:
        binding = bind(columns, kind, mapping)
        return binding, lacking(binding.missing[0]) if binding.missing else converter(binding, typed)

    return prepared


def _claim(key: str, column: str, line: int, seen: dict[str, int]) -> None:
    if key in seen:
        raise RejectedError(column, f"the id is already that of line {seen[key]:,}; the first is kept")
    seen[key] = line
