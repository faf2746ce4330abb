"""From an item's media references to files: which may be opened, and what each of them holds."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, MediaRefusedError
from llmrec.media.hosts import check_allowed, parse_url
from llmrec.media.paths import check_bytes, is_url, resolve_media
from llmrec.modality.cache import MediaCache
from llmrec.schema import Columns, Item

FIELDS = (Columns.IMAGES, Columns.AUDIO, Columns.VIDEO)
_REMEMBERED = 256
"""Hashed files between two writes of their contents to the cache."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A media reference of an item.

    Args:
        field: ``images``, ``audio`` or ``video``.
        name: as written in the catalog.
        content: identity of what it names: a hash of the file, or of the URL; empty where it cannot be
            opened.
        problem: why it cannot be.
        refused: whether it must not be opened, rather than that it is missing.
        path: the file, None for a URL.
        stamp: size and time of the file when it was hashed.
    """

    field: str
    name: str
    content: str = ""
    problem: str = ""
    refused: bool = False
    path: Path | None = None
    stamp: tuple[int, int] = (0, 0)


class MediaFiles:
    """The media that a catalog may refer to.

    Args:
        root: the folder that references are relative to; nothing outside it is opened.
        settings: limits, and the hosts that may be asked.
        cache: remembers contents of files, so that an unchanged file is not read again.
    """

    def __init__(self, root: Path, settings: MediaSettings, cache: MediaCache) -> None:
        self.root = root
        self.settings = settings
        self.cache = cache
        self._new: list[tuple[str, int, int, str]] = []

    def of(self, item: Item) -> list[Reference]:
        """The references of an item: its first pictures, all sound and video, and whatever is refused."""
        found = []
        for field in FIELDS:
            names = getattr(item, field)
            opened = self.settings.pictures if field == Columns.IMAGES else len(names)
            for place, name in enumerate(names):
                try:
                    if place < opened:
                        found.append(self._identify(field, name))
                    elif not is_url(name):
                        resolve_media(self.root, name)
                except MediaError as error:
                    refused = isinstance(error, MediaRefusedError) and not is_url(name)
                    found.append(Reference(field, name, problem=error.message, refused=refused))
        return found

    @contextmanager
    def open(self, reference: Reference) -> Iterator[BinaryIO]:
        """The bytes of a reference, from their beginning; a URL is downloaded to a temporary file.

        Raises:
            MediaError: it cannot be opened or downloaded, or changed since it was identified.
        """
        if reference.path is None:
            from llmrec.media.fetch import download

            with tempfile.TemporaryFile() as received:
                download(reference.name, received, self.settings)
                received.seek(0)
                yield received
            return
        try:
            file = reference.path.open("rb")
        except OSError as error:
            raise MediaError(f"cannot be opened: {error.strerror}") from error
        with file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != reference.stamp:
                raise MediaError("it changed while the catalog was indexed", "Run the same command again.")
            yield file

    def flush(self) -> None:
        """Write what was learnt of files to the cache."""
        self.cache.remember(self._new)
        self._new = []

    def _identify(self, field: str, name: str) -> Reference:
        if is_url(name):
            check_allowed(parse_url(name), self.settings.allow_hosts)  # early, without asking the network
            return Reference(field, name, f"url:{hashlib.sha256(name.encode()).hexdigest()}")
        path = resolve_media(self.root, name)
        try:
            status = path.stat()
        except OSError as error:
            raise MediaError(f"not found (looked in {self.root})") from error
        check_bytes(status.st_size, self.settings)
        stamp = (status.st_size, status.st_mtime_ns)
        return Reference(field, name, self._content(path, *stamp), path=path, stamp=stamp)

    def _content(self, path: Path, size: int, mtime: int) -> str:
        known = self.cache.content_of(str(path), size, mtime)
        if known is not None:
            return known
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise MediaError(f"cannot be read: {error.strerror}") from error
        self._new.append((str(path), size, mtime, content))
        if len(self._new) >= _REMEMBERED:
            self.flush()
        return content


def without_refused(item: Item, references: Sequence[Reference]) -> Item:
    """The item without references that must not be opened; what is merely missing or broken stays named."""
    refused = {(reference.field, reference.name) for reference in references if reference.refused}
    if not refused:
        return item
    images, audio, video = (
        tuple(name for name in getattr(item, field) if (field, name) not in refused) for field in FIELDS
    )
    return replace(item, images=images, audio=audio, video=video)
