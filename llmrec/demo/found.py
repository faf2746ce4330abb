"""Asking the demo's shelf: which item answers a query, and which piece of its media says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.demo.shelf import SHOWCASES, Showcase, make_shelf
from llmrec.indexing import IndexRun, Sources
from llmrec.progress import NoProgress, Progress
from llmrec.recommender import Recommender
from llmrec.schema import Item, TextPiece
from llmrec.workspace import Workspace

_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a showcase's query, and the piece of its media that has most of the query's words."""

    showcase: Showcase
    item: Item
    piece: TextPiece

    def to_json(self) -> dict[str, Any]:
        """An entry of ``demo --json``."""
        return {
            "query": self.showcase.query,
            "item_id": self.item.item_id,
            "title": self.item.title,
            "piece": self.piece.to_json(),
        }


def ask_shelf(root: Path, progress: Progress = NoProgress()) -> Iterator[Found]:
    """Index the shelf into the workspace ``root`` (its catalog beside it) and ask what it was made to show.

    Raises:
        AssetError: the pictures or a model cannot be had.
        MissingExtraError: PyAV or Pillow is not installed.
    """
    catalog = make_shelf(root.with_name(f"{root.name}-files"), progress)
    workspace = Workspace.create(root)
    IndexRun(workspace, Sources(catalog), progress=progress)()
    captioned = bool(workspace.settings.models.captioner)
    workspace.close()
    with Recommender.open(root, progress) as recommender:
        for showcase in SHOWCASES:
            if showcase.needs_captioner and not captioned:
                continue
            (best,) = recommender.recommend(query=showcase.query, k=1)
            item = recommender.item(best.item_id)
            if item.pieces:
                yield Found(showcase, item, _best_piece(showcase.query, item))


def _best_piece(query: str, item: Item) -> TextPiece:
    wanted = set(_WORD.findall(query.casefold()))
    return max(item.pieces, key=lambda piece: len(wanted & set(_WORD.findall(piece.text.casefold()))))
