"""A folder of media as a catalog: files whose names differ in the suffix alone are one item."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmrec.errors import ReaderError
from llmrec.readers.table import Reject, Row, Table
from llmrec.schema import Columns

_SUFFIXES = {
    Columns.IMAGES: "jpg jpeg png webp gif bmp tif tiff avif",
    Columns.AUDIO: "mp3 wav flac ogg oga opus m4a aac wma aiff aif",
    Columns.VIDEO: "mp4 m4v mov mkv webm avi mpg mpeg ts 3gp flv wmv",
}
_FIELD = {f".{suffix}": field for field, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_DATASET = ("dataset_info.json", "dataset_dict.json", "state.json")
_BETWEEN_WORDS = re.compile(r"[\s_.\-]+")


def is_dataset(folder: Path) -> bool:
    """Whether a folder was written by ``save_to_disk`` rather than holds media."""
    return any((folder / name).exists() for name in _DATASET)


@contextmanager
def open_folder(path: Path, reject: Reject) -> Iterator[Table]:
    """A folder with pictures, sound and video, also in folders below it, by name.

    The item's id is the path without its suffix, the title that file's name in words. Hidden files are passed
    over.
    """
    items: dict[str, dict[str, list[str]]] = {}
    for name in sorted(_files(path)):
        stem, suffix = os.path.splitext(name)
        if (field := _FIELD.get(suffix.lower())) is not None:
            items.setdefault(stem, {}).setdefault(field, []).append(name)
    if not items:
        raise ReaderError(
            f"{path}: holds no pictures, sound or video, and is not a folder written by save_to_disk",
            f"Names end in one of: {' '.join(_FIELD)}.",
        )
    columns = (Columns.ITEM, Columns.TITLE, *_SUFFIXES)
    yield Table(columns, _rows(items), typed=True)


def _rows(items: dict[str, dict[str, list[str]]]) -> Iterator[Row]:
    for number, (stem, media) in enumerate(items.items(), 1):
        title = _BETWEEN_WORDS.sub(" ", stem.rpartition("/")[2]).strip()
        files = {field: media.get(field, []) for field in _SUFFIXES}
        yield number, {Columns.ITEM: stem, Columns.TITLE: title, **files}


def _files(root: Path) -> Iterator[str]:
    """Paths relative to ``root``, with forward slashes; links to folders are not followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()
