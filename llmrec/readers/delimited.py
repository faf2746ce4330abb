"""CSV and TSV with a header line; and plain separated lines, for formats without quotes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from llmrec.errors import ReaderError
from llmrec.readers.columns import is_known_name
from llmrec.readers.lines import LONGEST, empty_file, read_lines
from llmrec.readers.table import WHOLE_ROW, Reject, Table

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}


@contextmanager
def open_delimited(path: Path, reject: Reject) -> Iterator[Table]:
    """CSV, TSV and kin: a header line, quotes as in RFC 4180, the separator told from the header."""
    # csv keeps this limit per process, and its default refuses the long descriptions of real catalogs.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    with closing(read_lines(path)) as lines:
        blank = []
        for header in lines:
            if header.strip():
                break
            blank.append(header)
        else:
            raise empty_file(path)
        reader = csv.reader(chain(blank, [header], lines), delimiter=_separator(header), strict=True)
        line, cells = next(_rows(path, reader, partial(_refuse, path)))
        columns = tuple(cell.strip() for cell in cells)
        refuse_repeated(path, line, columns)
        yield Table(columns, sized_rows(_rows(path, reader, reject), columns, reject))


def refuse_repeated(path: Path, line: int, columns: Sequence[str]) -> None:
    """Refuse a header that names a column twice.

    Raises:
        ReaderError: it does.
    """
    for place, name in enumerate(columns, start=1):
        if name and name in columns[: place - 1]:
            raise ReaderError(f"{path}:{line}: column {place} repeats the name {name!r}")


def split_lines(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of lines that have neither quotes nor escapes."""
    for number, line in enumerate(lines, start=1):
        yield number, line.rstrip("\r\n").split(separator) if not line.isspace() else []


def sized_rows(
    rows: Iterable[tuple[int, list[str]]], columns: Sequence[str], reject: Reject
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows by column name. Blank lines are passed over, those with another number of cells rejected."""
    width = len(columns)
    for line, cells in rows:
        if len(cells) == width:
            yield line, dict(zip(columns, cells, strict=True))
        elif cells:
            reject(line, WHOLE_ROW, f"{len(cells)} fields where the header has {width}")


def _separator(header: str) -> str:
    """The separator under which the header has a known column, then the most columns."""

    def score(separator: str) -> tuple[bool, int]:
        cells = next(csv.reader([header], delimiter=separator))
        return any(is_known_name(cell.strip()) for cell in cells), len(cells)

    return max(SEPARATORS, key=score)


def _refuse(path: Path, line: int, _column: str, reason: str) -> None:
    raise ReaderError(f"{path}:{line}: the header cannot be read: {reason}")


def _rows(path: Path, reader: Any, reject: Reject) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = reader.line_num + 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
            return
        except csv.Error as error:
            if "expected after" not in str(error):
                raise ReaderError(
                    f"{path}:{line}: a quote opened in the row that starts here is not closed ({error})",
                    'Inside a quoted field, write a quote as two: "".',
                ) from error
            reject(line, WHOLE_ROW, f"text between a closing quote and the separator ({error})")
