"""Downloads on their way to disk: hashed while written, kept when interrupted, in place when verified."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from llmrec.errors import AssetError
from llmrec.progress import Progress, Task

CHUNK = 1 << 20
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MAX_BYTES = 20 << 30
"""Largest download whose size is not declared."""


class ByteStream(Protocol):
    """What can be read in chunks: a file, a zip member, an HTTP response."""

    def read(self, amount: int, /) -> bytes:
        """The next bytes, at most ``amount``; none at the end."""


class ChecksumError(AssetError):
    """A download that is not what the catalogue declares; nothing of it is kept."""

    def __init__(self, name: str, expected: str, got: str) -> None:
        super().__init__(
            f"{name}: wrong checksum: expected sha256 {expected}, got {got}",
            "It was changed where it comes from, or damaged on the way; nothing was kept. Try again.",
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to download.

    Args:
        name: what it is called in errors and on progress bars.
        location: its URI without the scheme.
        target: the file it becomes once verified.
        sha256: its digest, when known.
        size: its bytes, when known.
    """

    name: str
    location: str
    target: Path
    sha256: str | None = None
    size: int | None = None

    @property
    def part(self) -> Path:
        """The file it is written to until it is verified."""
        return self.target.with_name(f"{self.target.name}.part")


class Source(Protocol):
    """Where pieces of one URI scheme are downloaded from."""

    copies: int
    """How many times the declared size is on disk at the peak of a fetch."""
    remote: bool
    """Whether it takes the network."""

    def fetch(self, pieces: Sequence[Piece], scratch: Path, progress: Progress) -> None:
        """Bring every piece to its target, verified. ``scratch`` is a folder that lasts until the pull ends.

        Raises:
            AssetError: one cannot be had, or is not what was declared.
        """


class Receiver:
    """Writes one piece to its ``.part`` file. Use as a context manager; ``finish`` puts it in place.

    With ``resume``, what an interrupted download left is kept: ``done`` tells how many bytes that is.
    """

    def __init__(self, piece: Piece, resume: bool = False) -> None:
        self.piece = piece
        self.limit = MAX_BYTES if piece.size is None else piece.size
        self.done = 0
        self._resume = resume
        self._hasher = hashlib.sha256()
        piece.part.parent.mkdir(parents=True, exist_ok=True)
        self._stream: BinaryIO = piece.part.open("ab+" if resume else "wb")
        if resume:
            self._stream.seek(0)
            while chunk := self._stream.read(CHUNK):
                self._hasher.update(chunk)
                self.done += len(chunk)
            if self.done > self.limit:
                self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if error is not None and not self._resume:
            self.piece.part.unlink(missing_ok=True)

    def restart(self) -> None:
        """Forget what was received."""
        self._stream.truncate(0)
        self._stream.seek(0)
        self._hasher = hashlib.sha256()
        self.done = 0

    def write(self, chunks: Iterable[bytes], task: Task) -> None:
        """Append, counting bytes on ``task``.

        Raises:
            AssetError: it is larger than declared, or than :data:`MAX_BYTES`.
        """
        for chunk in chunks:
            if self.done + len(chunk) > self.limit:
                self.restart()
                raise AssetError(f"{self.piece.name}: larger than {self.limit:,} bytes; nothing was kept")
            self._stream.write(chunk)
            self._hasher.update(chunk)
            self.done += len(chunk)
            task.advance(len(chunk))

    def finish(self) -> None:
        """Verify, flush to disk and put in place.

        Raises:
            ChecksumError: the content is not what was declared.
        """
        digest = self._hasher.hexdigest()
        if self.piece.sha256 not in (None, digest):
            self._stream.close()
            self.piece.part.unlink()
            raise ChecksumError(self.piece.name, str(self.piece.sha256), digest)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        os.replace(self.piece.part, self.piece.target)


def chunks_of(stream: ByteStream) -> Iterable[bytes]:
    """The content of a stream in chunks of :data:`CHUNK` bytes."""
    while chunk := stream.read(CHUNK):
        yield chunk
