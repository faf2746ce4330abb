"""JSON Lines, and one JSON array of objects, both read a row at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from llmrec.errors import ReaderError
from llmrec.readers.lines import LONGEST, empty_file, read_lines
from llmrec.readers.table import WHOLE_ROW, Reject, Row, Table

_PEEKED = 100
"""Rows whose keys tell which columns the file has."""

_CHUNK = 1 << 16
_BETWEEN = re.compile(r"[ \t\r\n,]*")


@contextmanager
def open_json(path: Path, reject: Reject) -> Iterator[Table]:
    """JSON objects, one a line; or one array of them, when the first character is ``[``."""
    array = _starts_array(path)
    with closing(read_lines(path, chunk=_CHUNK if array else None)) as pieces:
        values = _array(path, pieces) if array else _lines(pieces, reject)
        rows = _objects(values, reject)
        head = list(islice(rows, _PEEKED))
        columns = tuple(dict.fromkeys(name for _, row in head for name in row))
        yield Table(columns, chain(head, rows), fixed=False, typed=True)


def _starts_array(path: Path) -> bool:
    with closing(read_lines(path, chunk=_CHUNK)) as pieces:
        for piece in pieces:
            if text := piece.lstrip():
                return text.startswith("[")
    raise empty_file(path)


def _lines(lines: Iterator[str], reject: Reject) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            if not line.isspace():
                reject(number, WHOLE_ROW, f"not valid JSON: {error.msg} (column {error.colno})")
        except (ValueError, RecursionError) as error:  # a number of 4,300 digits, or brackets without end
            reject(number, WHOLE_ROW, f"not readable JSON: {error}")


def _objects(values: Iterator[tuple[int, Any]], reject: Reject) -> Iterator[Row]:
    for line, value in values:
        if isinstance(value, dict):
            yield line, value
        else:
            reject(line, WHOLE_ROW, f"a JSON {type(value).__name__} where an object is expected")


def _array(path: Path, pieces: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """The elements of an array and the lines that they start on; only what is at hand is in memory."""
    decode = json.JSONDecoder().raw_decode
    buffer = next(pieces)
    place = buffer.index("[") + 1
    line = 1 + buffer.count("\n", 0, place)
    more = True
    while True:
        start, place = place, _BETWEEN.match(buffer, place).end()  # type: ignore[union-attr]
        line += buffer.count("\n", start, place)
        if buffer.startswith("]", place):
            return
        try:
            value, end = decode(buffer, place)
            problem = ""
        except (ValueError, RecursionError) as error:
            end, problem = len(buffer), str(error)
        if not problem and (end < len(buffer) or not more):  # a number may go on in the next piece
            yield line, value
            line += buffer.count("\n", place, end)
            place = end
        elif more and len(buffer) - place < LONGEST:
            # Twice as much each time, so that parsing a long element again and again stays linear.
            grown = _at_least(pieces, len(buffer) - place)
            buffer, place, more = buffer[place:] + grown, 0, bool(grown)
        else:
            raise ReaderError(f"{path}:{line}: the array is not valid JSON from here on: {problem}")


def _at_least(pieces: Iterator[str], size: int) -> str:
    taken: list[str] = []
    while size >= 0 and (piece := next(pieces, "")):
        taken.append(piece)
        size -= len(piece)
    return "".join(taken)
