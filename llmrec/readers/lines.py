"""Text files as lines: plain or gzip, UTF-8 with or without a byte order mark, bounded in memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator
from io import TextIOWrapper
from pathlib import Path
from typing import IO, cast

from llmrec.errors import ReaderError

LONGEST = 1 << 26
"""Characters of the longest line (or JSON value) that is read: far above any row, far below memory."""

_BROKEN = (OSError, EOFError, zlib.error)
"""What reading raises where the disk or a compressed file is damaged."""


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed when its name ends in ``.gz``."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def read_lines(
    path: Path, encoding: str = "utf-8-sig", chunk: int | None = None
) -> Generator[str, None, None]:
    """Lines with their ends as they are in the file; or pieces of ``chunk`` characters.

    Raises:
        ReaderError: the file is missing or unreadable, not in ``encoding``, or has a line above ``LONGEST``.
    """
    number = 0
    try:
        with open_binary(path) as stream, TextIOWrapper(stream, encoding, newline="") as text:
            take, size = (text.read, chunk) if chunk else (text.readline, LONGEST)
            while piece := take(size):
                number += 1
                if len(piece) == LONGEST:
                    raise ReaderError(f"{path}:{number}: a line of more than {LONGEST:,} characters")
                yield piece
    except UnicodeDecodeError as error:
        raise _undecodable(path) from error
    except FileNotFoundError as error:
        raise ReaderError(f"{path}: no such file") from error
    except _BROKEN as error:
        raise _unreadable(path, number + 1, error) from error


def empty_file(path: Path) -> ReaderError:
    """The error for a file that holds nothing but white space."""
    return ReaderError(f"{path}:1: the file is empty")


def _unreadable(path: Path, line: int, error: Exception) -> ReaderError:
    return ReaderError(f"{path}:{line}: cannot be read: {error}")


def _undecodable(path: Path) -> ReaderError:
    """Where the first byte is that is not UTF-8: the decoder only knows its place within a buffer."""
    hint = "Save the file as UTF-8 (for example: iconv -f latin1 -t utf-8)."
    number = 0
    try:
        with open_binary(path) as stream:
            while line := stream.readline(LONGEST):
                number += 1
                line.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"{path}:{number}:{error.start + 1}"
        return ReaderError(f"{place}: byte 0x{error.object[error.start]:02x} is not UTF-8", hint)
    except _BROKEN as error:  # a damaged archive
        return _unreadable(path, number + 1, error)
    return ReaderError(f"{path}:{number}: the file is not UTF-8", hint)
