"""Pictures with what people call them: from the items of a workspace, or from a file or folder of pairs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmrec.assets.hashing import sha256_file
from llmrec.config import MediaSettings
from llmrec.errors import MediaError, ReaderError
from llmrec.media.paths import check_bytes, resolve_media
from llmrec.readers.jsonl import open_json
from llmrec.schema import Columns, Item
from llmrec.workspace import Workspace

PAIRS = "pairs.jsonl"
"""What a folder of pairs lists them in; without it each picture has its captions beside it, as ``.txt``."""
_ITEMS = 1000
"""Read from the item table at once."""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that cannot be learnt from.

    Args:
        where: name of the file and line, or item.
        picture: as it is named there.
        kind: why, in words that many have in common.
        reason: why this one.
        content: of its file, where that could be read.
    """

    where: str
    picture: str
    kind: str
    reason: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture's file, the SHA-256 (hex) of its content, and its captions, at least one."""

    path: Path
    content: str
    captions: tuple[str, ...]
    where: str


@dataclass(slots=True)
class Pairs:
    """What was found, each picture once.

    Args:
        pairs: in the order of the source; files of equal content are one pair with the captions of all.
        left_out: what cannot be learnt from.
    """

    pairs: list[Pair] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def digest(self) -> str:
        """Changes with whatever there is to learn from."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            digest.update("\0".join([pair.content, *pair.captions, ""]).encode(errors="surrogatepass"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Named:
    """A picture as a source names it, relative to a folder."""

    where: str
    picture: str
    captions: Sequence[str]


def counts(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """How many were left out, by kind."""
    return dict(sorted(Counter(one.kind for one in left_out).items()))


def read_pairs(source: Path, limits: MediaSettings) -> Pairs:
    """Pairs of a JSON Lines file, or of a folder.

    A line is an object with ``image``, a path relative to the file, and ``captions``, a list of texts (or
    ``caption``, one). A folder holds such a file, :data:`PAIRS`, or pictures with a text file of the same
    name beside each, a caption a line. Nothing outside the folder is opened.

    Args:
        source: file or folder.
        limits: on the size of a picture's file.

    Raises:
        ReaderError: there is no such file or folder, or the file as a whole cannot be read.
    """
    if source.is_dir() and not (source / PAIRS).is_file():
        return _gathered(source, _beside(source), [], limits)
    file = source / PAIRS if source.is_dir() else source
    if not file.is_file():
        raise ReaderError(f"{source}: no such file or folder")
    left_out: list[LeftOut] = []
    return _gathered(file.parent, _lines(file, left_out), left_out, limits)


def catalog_pairs(workspace: Workspace, pictures: Path, texts: Sequence[str]) -> Pairs:
    """Pairs of the items of a workspace.

    Args:
        workspace: an indexed one.
        pictures: the catalog's folder, which the items' pictures are relative to.
        texts: ``title``, ``text`` or attributes; each that an item has is a caption of its pictures.

    Raises:
        WorkspaceError: nothing is indexed yet.
        ReaderError: there is no such folder.
    """
    if not pictures.is_dir():
        raise ReaderError(f"{pictures}: no such folder", "Name the folder of the catalog that was indexed.")
    table = workspace.require_present().table
    ids = [item for batch in table.scan([Columns.ITEM]) for item in batch.column(0).to_pylist()]
    limits = workspace.settings.media

    def named() -> Iterator[_Named]:
        for start in range(0, len(ids), _ITEMS):
            some = table.items(ids[start : start + _ITEMS])
            for item in (some[one] for one in ids[start : start + _ITEMS]):
                captions = [text for name in texts for text in _texts(item, name)]
                for picture in item.images[: limits.pictures]:
                    yield _Named(f"item {item.item_id}", picture, captions)

    return _gathered(pictures, named(), [], limits)


def _texts(item: Item, name: str) -> list[str]:
    known = {Columns.TITLE: item.title, Columns.TEXT: item.text}
    value = known[name] if name in known else item.attributes.get(name, "")
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _beside(folder: Path) -> Iterator[_Named]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and (text := path.with_suffix(".txt")).is_file():
            picture = path.relative_to(folder).as_posix()
            lines = text.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            yield _Named(text.relative_to(folder).as_posix(), picture, lines)


def _lines(file: Path, left_out: list[LeftOut]) -> Iterator[_Named]:
    def reject(line: int, _: str, reason: str) -> None:
        left_out.append(LeftOut(f"{file.name}:{line}", "", "line that cannot be read", reason))

    with open_json(file, reject) as table:
        for line, row in table.rows:
            picture, captions = row.get("image"), row.get("captions", row.get("caption"))
            captions = [captions] if isinstance(captions, str) else captions
            if not isinstance(picture, str) or not _are_texts(captions):
                reject(line, "", 'not {"image": PATH, "captions": [TEXT, ...]}')
                continue
            yield _Named(f"{file.name}:{line}", picture, captions)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _gathered(root: Path, found: Iterable[_Named], left_out: list[LeftOut], limits: MediaSettings) -> Pairs:
    """Each picture once, in the order of the source."""
    pairs: dict[str, Pair] = {}
    for named in found:
        captions = [_plain(caption) for caption in named.captions]
        if not any(captions):
            left_out.append(LeftOut(named.where, named.picture, "no caption", "it has no text"))
            continue
        try:
            path = resolve_media(root, named.picture)
            content = _content(path, limits)
        except MediaError as error:
            left_out.append(LeftOut(named.where, named.picture, "picture not opened", error.message))
            continue
        known = pairs.get(content, Pair(path, content, (), named.where))
        whole = tuple(dict.fromkeys([*known.captions, *filter(None, captions)]))
        pairs[content] = replace(known, captions=whole)
    return Pairs([*pairs.values()], left_out)


def _plain(caption: str) -> str:
    """On one line, and without the halves of characters that JSON may hold and no tokenizer takes."""
    return " ".join(caption.encode(errors="replace").decode().split())


def _content(path: Path, limits: MediaSettings) -> str:
    try:
        check_bytes(path.stat().st_size, limits)
        return sha256_file(path)
    except FileNotFoundError as error:
        raise MediaError(f"not found (looked for {path})") from error
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}") from error
