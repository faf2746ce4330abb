"""What every file format gives: rows of named values, with the line that each starts on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = tuple[int, Mapping[str, Any]]
"""The line that a row starts on (Parquet and ``datasets``: its number), from 1, and its values by column."""

Reject = Callable[[int, str, str], None]
"""Called with line, column and reason for a row that cannot be read; reading goes on."""

WHOLE_ROW = "row"
"""Stands in for the column when the row as a whole is at fault."""


@dataclass(frozen=True, slots=True)
class Table:
    """An open file.

    Args:
        columns: its column names; where ``fixed`` is false, those of its first rows.
        rows: its rows, read as they are asked for.
        fixed: every row has exactly these columns.
        typed: values carry their type; otherwise they are text, and ``"1995"`` may be a number.
    """

    columns: tuple[str, ...]
    rows: Iterator[Row]
    fixed: bool = True
    typed: bool = False


class Format(Protocol):
    """A file format."""

    def __call__(self, path: Path, reject: Reject) -> AbstractContextManager[Table]:
        """Open a file; it is closed when the block ends.

        Raises:
            ReaderError: the file as a whole cannot be read. Single rows go to ``reject``.
        """
