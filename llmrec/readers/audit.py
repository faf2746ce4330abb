"""What was left out of a file: told to the caller, and counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmrec.errors import ReaderError
from llmrec.readers.columns import Binding
from llmrec.readers.values import RejectedError, to_id
from llmrec.schema import Columns, Flag

OnFlag = Callable[[Flag], None]


class Audit:
    """Counts the rows of one file and flags what is left out of it.

    A flag's ``item_id`` is ``line N`` where the row has no item id, its ``field`` the file's own column name.
    """

    def __init__(self, source: str, on_flag: OnFlag) -> None:
        self.source = source
        self.on_flag = on_flag
        self.kept = 0
        self.rejected = 0
        self.first: Flag | None = None

    def reject(self, line: int, column: str, reason: str, item_id: str | None = None) -> None:
        """Flag a row that is left out."""
        flag = Flag(item_id or f"line {line}", column, f"{self.source}:{line}", reason)
        self.first = self.first or flag
        self.rejected += 1
        self.on_flag(flag)

    def reject_value(self, line: int, row: Mapping[str, Any], binding: Binding, error: RejectedError) -> None:
        """Flag a row that is left out for one value."""
        column = binding.column.get(error.column, error.column)
        self.reject(line, column, error.reason, _item_id(row, binding))

    def note(self, line: int, row: Mapping[str, Any], binding: Binding, notes: list[tuple[str, str]]) -> None:
        """Flag what is left out of a row that is kept."""
        for column, reason in notes:
            name = binding.column.get(column, column)
            item_id = _item_id(row, binding) or f"line {line}"
            self.on_flag(Flag(item_id, name, f"{self.source}:{line}", reason))

    def finish(self) -> None:
        """Check that the file was of use.

        Raises:
            ReaderError: no row was kept.
        """
        if self.kept:
            return
        if self.first is None:
            raise ReaderError(f"{self.source}:1: there are no rows")
        raise ReaderError(
            f"{self.first.source}: {self.first.field}: {self.first.reason}"
            f" (the first of {self.rejected:,} rows; every row was flagged)"
        )


def _item_id(row: Mapping[str, Any], binding: Binding) -> str | None:
    column = binding.column.get(Columns.ITEM)
    try:
        return None if column is None else to_id(row[column], Columns.ITEM)
    except RejectedError:
        return None
