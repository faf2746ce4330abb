"""The demo's shelf: a small catalog whose items are known by words, pictures, speech and video.

The pictures are scikit-image's sample data (asset ``skimage-photographs``), under the terms that its
documentation states for each:

- CC0: camera (Lav Varshney), chelsea (Stefan van der Walt), coffee (Rachel Michetti), horse (Andreas
  Preuss), retina (Mikael Häggström), cell (Paul Müller and others), brick and gravel (CC0Textures), grass
  (linolafett).
- Public domain: astronaut and hubble_deep_field (NASA), rocket (SpaceX), clock_motion (Stefan van der Walt).
- No known copyright restrictions: coins (Brooklyn Museum), ihc (Center for Microscopy and Molecular Imaging).
- BSD-3-Clause, the licence of every file that scikit-image does not list apart: page, which shows its own
  documentation in print.

The words, the spoken introductions and the film are llmrec's own.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from llmrec.assets import fingerprint, resolve
from llmrec.assets.hashing import combine, sha256_file
from llmrec.demo.film import compose
from llmrec.errors import AssetError
from llmrec.progress import Progress
from llmrec.runtime.folders import cached_folder
from llmrec.schema import Columns

PHOTOGRAPHS = "skimage-photographs"
"""The asset that holds the pictures."""

FILM = "caravan.webm"

_HERE = Path(__file__).parent
_CATALOG = _HERE / "items.jsonl"
_SPEECH = _HERE / "speech"
_SHOTS = ("gravel.png", "horse.png", "coins.png", "hubble_deep_field.jpg")


@dataclass(frozen=True, slots=True)
class Showcase:
    """A query whose words only one of an item's media holds.

    Args:
        query: what a user asks for.
        item_id: the item that answers it.
        field: the column by which it is found.
        needs_captioner: whether it is found only where pictures are captioned.
    """

    query: str
    item_id: str
    field: str
    needs_captioner: bool = False


SHOWCASES = (
    Showcase("how to separate objects from the background with a histogram", "shelf-13", Columns.IMAGES),
    Showcase("honey from bees in the city", "shelf-17", Columns.AUDIO),
    Showcase("merchants who crossed the desert with silk", "shelf-20", Columns.VIDEO),
    Showcase("a man in a black coat", "shelf-14", Columns.IMAGES, needs_captioner=True),
)


def make_shelf(folder: Path, progress: Progress | None = None) -> Path:
    """Lay out the shelf, unless it is there whole, and return its catalog, ``items.jsonl``.

    It appears in one step with everything in it; a damaged one, or that of another release, is made again.

    Args:
        folder: where it belongs; a folder of its own.
        progress: shows the download of the pictures.

    Raises:
        AssetError: the pictures cannot be had, ``folder`` cannot be written, or holds something else.
        MissingExtraError: PyAV or Pillow is not installed.
    """

    def build(empty: Path) -> None:
        _check_replaceable(folder)
        photographs = resolve(PHOTOGRAPHS, progress)
        shutil.copytree(photographs, empty / "images", ignore=shutil.ignore_patterns(".*"))
        shutil.copytree(_SPEECH, empty / "speech")
        shutil.copyfile(_CATALOG, empty / _CATALOG.name)
        compose([photographs / name for name in _SHOTS], _SPEECH / "caravan.opus", empty / FILM)

    return cached_folder(folder, _recipe(), build) / _CATALOG.name


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / FILM).is_file():
        raise AssetError(f"{folder}: holds something else than the demo's shelf", "Choose another folder.")


def _recipe() -> str:
    sources = [_CATALOG, Path(__file__), _HERE / "film.py", *_SPEECH.glob("*.opus")]
    return combine(
        {path.name: sha256_file(path) for path in sources} | {PHOTOGRAPHS: fingerprint(PHOTOGRAPHS)}
    )
