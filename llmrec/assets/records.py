"""What was verified of a pulled asset, so that opening it again does not hash it again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from llmrec.assets.hashing import sha256_file, write_json
from llmrec.assets.manifest import RECORD, Asset
from llmrec.errors import CorruptFileError


class _Verified(TypedDict):
    sha256: str
    size: int
    mtime_ns: int


def write_record(folder: Path, digests: Mapping[str, str]) -> None:
    """Note that the files of ``folder`` (path → SHA-256) were verified just now."""
    record: dict[str, _Verified] = {}
    for path, digest in digests.items():
        status = (folder / path).stat()
        record[path] = {"sha256": digest, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    write_json(folder / RECORD, record)


def check(asset: Asset) -> None:
    """Compare sizes and times with the record; hash what differs.

    Raises:
        CorruptFileError: a file is missing or its content is not what was verified.
    """
    record = _read(asset)
    touched = [
        path for path, verified in record.items() if _state(asset.folder / path) != _state_of(verified)
    ]
    if not touched:
        return
    problems = _rehash(asset, {path: record[path]["sha256"] for path in touched})
    if problems:
        raise CorruptFileError("; ".join(problems), f"Download it again: {asset.command}")
    # Copied or restored with other times; where the cache is read-only it is hashed each time.
    with contextlib.suppress(OSError):
        write_record(asset.folder, {path: verified["sha256"] for path, verified in record.items()})


def problems_of(asset: Asset) -> list[str]:
    """Hash every file of a pulled asset; one line for each that is not what was declared or verified."""
    try:
        record = _read(asset)
    except CorruptFileError as error:
        return [error.message]
    return _rehash(
        asset,
        {
            path: declared or (record[path]["sha256"] if path in record else "")
            for path, declared in asset.digests.items()
        },
    )


def _read(asset: Asset) -> dict[str, _Verified]:
    path = asset.folder / RECORD
    try:
        record: dict[str, _Verified] = json.loads(path.read_text(encoding="utf-8"))
        for verified in record.values():
            _state_of(verified)
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path}: not a record of {asset.name}", f"Run: {asset.command}") from error


def _state_of(verified: _Verified) -> tuple[int, int]:
    return verified["size"], verified["mtime_ns"]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _rehash(asset: Asset, expected: Mapping[str, str]) -> list[str]:
    problems = []
    for path, digest in expected.items():
        file = asset.folder / path
        try:
            got = sha256_file(file)
        except OSError as error:
            problems.append(f"{file}: cannot be read: {error.strerror}")
            continue
        if got != digest:
            problems.append(f"{file}: content changed: expected sha256 {digest}, got {got}")
    return problems
