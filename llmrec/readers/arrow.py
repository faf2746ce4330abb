"""Parquet files and saved ``datasets`` folders, a batch of Arrow rows at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmrec.errors import MissingExtraError, ReaderError
from llmrec.readers.table import Reject, Row, Table

_BATCH = 1024


@contextmanager
def open_parquet(path: Path, reject: Reject) -> Iterator[Table]:
    """A Parquet file. Rows are numbered from 1."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
    except FileNotFoundError as error:
        raise ReaderError(f"{path}: no such file") from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ReaderError(f"{path}: not a readable Parquet file: {error}") from error
    with file:
        batches = file.iter_batches(batch_size=_BATCH)
        yield Table(_columns(path, file.schema_arrow), _rows(path, batches), typed=True)


@contextmanager
def open_dataset(path: Path, reject: Reject) -> Iterator[Table]:
    """A folder written by ``Dataset.save_to_disk``; ``folder#split`` for one of a ``DatasetDict``."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "data") from error

    folder, split = split_of(path)
    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # its JSON is used unchecked
        raise ReaderError(f"{folder}: not a folder written by save_to_disk: {error}") from error
    if isinstance(loaded, datasets.DatasetDict):
        if split not in loaded:
            what = f"there is no split {split!r}" if split else "no split is named"
            raise ReaderError(
                f"{folder}: {what}; it has the splits {', '.join(loaded)}",
                f"Name one, for example: {folder}#{next(iter(loaded), 'train')}",
            )
        loaded = loaded[split]
    elif split:
        raise ReaderError(f"{folder}: has no splits, so #{split} names nothing")
    # In Arrow form pictures and sound are not decoded.
    batches = loaded.with_format("arrow").iter(batch_size=_BATCH)
    yield Table(tuple(loaded.column_names), _rows(path, batches), typed=True)


def split_of(path: Path) -> tuple[Path, str]:
    """The folder and the split of ``folder#split``; the split is empty where none is named."""
    folder, _, split = str(path).rpartition("#")
    # os.path answers False where a Path would raise for a parent folder that may not be read.
    if not os.path.exists(path) and os.path.isdir(folder):
        return Path(folder), split
    return path, ""


def _columns(path: Path, schema: Any) -> tuple[str, ...]:
    names: tuple[str, ...] = tuple(schema.names)
    if len(set(names)) < len(names):
        raise ReaderError(f"{path}: two columns have the same name ({', '.join(names)})")
    return names


def _rows(path: Path, batches: Iterable[Any]) -> Iterator[Row]:
    import pyarrow

    number = 0
    try:
        for batch in batches:
            batch.validate(full=True)  # a damaged offset would be followed, out of bounds
            names = batch.schema.names
            for values in zip(*map(_values, batch.columns), strict=True):
                number += 1
                yield number, dict(zip(names, values, strict=True))
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        raise ReaderError(f"{path}: unreadable after row {number:,}: {error}") from error


def _values(column: Any) -> list[Any]:
    """Python values of a column."""
    import pyarrow

    if pyarrow.types.is_timestamp(column.type):
        # Nanoseconds would need pandas, zones a zone database; without a zone an instant stays UTC.
        column = column.cast(pyarrow.timestamp("us"), safe=False)
    values: list[Any] = column.to_pylist()
    return values
