"""RecBole's atomic files: tab-separated, with a ``name:type`` header and sequences separated by spaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

from llmrec.errors import ReaderError
from llmrec.readers.delimited import refuse_repeated, sized_rows, split_lines
from llmrec.readers.lines import empty_file, read_lines
from llmrec.readers.table import Reject, Row, Table

SUFFIXES = (".inter", ".item", ".user")
_TYPES = ("token", "token_seq", "float", "float_seq")


@contextmanager
def open_recbole(path: Path, reject: Reject) -> Iterator[Table]:
    """An ``.inter``, ``.item`` or ``.user`` file. A ``_seq`` column gives a list of texts."""
    with closing(read_lines(path)) as lines:
        header = next(lines, "").rstrip("\r\n")
        if not header:
            raise empty_file(path)
        named = [tuple(cell.strip().rpartition(":")[::2]) for cell in header.split("\t")]
        for place, (name, kind) in enumerate(named, start=1):
            if not name or ":" in name or kind not in _TYPES:
                raise ReaderError(
                    f"{path}:1: column {place} of the header is not name:type ({', '.join(_TYPES)})",
                    "RecBole's atomic files are tab-separated; give other files the suffix .csv or .tsv.",
                )
        columns = tuple(name for name, _ in named)
        refuse_repeated(path, 1, columns)
        sequences = [name for name, kind in named if kind.endswith("_seq")]
        rows = split_lines(chain(["\n"], lines), "\t")
        yield Table(columns, _split_sequences(sized_rows(rows, columns, reject), sequences))


def _split_sequences(rows: Iterator[Row], sequences: Sequence[str]) -> Iterator[Row]:
    if not sequences:
        return rows
    return ((line, {**row, **{name: row[name].split(" ") for name in sequences}}) for line, row in rows)
