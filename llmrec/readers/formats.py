"""Which format a file is in: by its name, else by how it begins."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from llmrec.errors import ReaderError
from llmrec.readers import movielens, recbole
from llmrec.readers.arrow import open_dataset, open_parquet, split_of
from llmrec.readers.delimited import open_delimited
from llmrec.readers.folder import is_dataset, open_folder
from llmrec.readers.jsonl import open_json
from llmrec.readers.lines import open_binary
from llmrec.readers.table import Format, Reject, Table

_SUFFIXES: dict[str, Format] = {
    ".jsonl": open_json,
    ".ndjson": open_json,
    ".json": open_json,
    ".csv": open_delimited,
    ".tsv": open_delimited,
    ".parquet": open_parquet,
    **dict.fromkeys(recbole.SUFFIXES, recbole.open_recbole),
}


def open_table(path: Path, reject: Reject) -> AbstractContextManager[Table]:
    """Open a file of any format, a saved ``datasets`` folder, or a folder of media.

    Text formats may be compressed: ``items.csv.gz``.

    Raises:
        ReaderError: it is missing, or cannot be read as what its name and content say.
    """
    return _format_of(path)(path, reject)


def _format_of(path: Path) -> Format:
    folder, split = split_of(path)
    if os.path.isdir(folder):
        return open_dataset if split or is_dataset(folder) else open_folder
    name = path.name.removesuffix(".gz")
    if name in movielens.NAMES:
        return movielens.open_movielens
    return _SUFFIXES.get(Path(name).suffix.lower()) or _guess(path)


def _guess(path: Path) -> Format:
    try:
        with open_binary(path) as stream:
            start = stream.read(1024)
    except FileNotFoundError as error:
        raise ReaderError(f"{path}: no such file") from error
    except (OSError, EOFError) as error:
        raise ReaderError(f"{path}: cannot be read: {error}") from error
    if start.startswith(b"PAR1"):
        return open_parquet
    return open_json if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else open_delimited
