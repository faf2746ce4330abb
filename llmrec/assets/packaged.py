"""``package:PATH``: files in ``llmrec/weights``; weights in eight bits become float32."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from llmrec.assets import blocks
from llmrec.assets.paths import is_contained
from llmrec.assets.pieces import Piece, Receiver, chunks_of
from llmrec.errors import AssetError
from llmrec.progress import Progress


class PackagedSource:
    """Files of this installation. They go through the cache as downloads do, so that all is verified alike,
    and so that models are loaded from a folder in the format that other libraries read."""

    copies = 1
    remote = False

    def fetch(self, pieces: Sequence[Piece], scratch: Path, progress: Progress) -> None:
        """Copy each file, its weights expanded where its name ends in :data:`llmrec.assets.blocks.SUFFIX`."""
        for piece in pieces:
            content = _content(piece.location)
            with (
                Receiver(piece) as receiver,
                progress.task(f"unpack {piece.name}", len(content), "bytes") as task,
            ):
                receiver.write(chunks_of(io.BytesIO(content)), task)
                receiver.finish()


def _content(location: str) -> bytes:
    if not is_contained(location):
        raise AssetError(f"package:{location}: leaves llmrec's own files; refused")
    with as_file(files("llmrec").joinpath("weights", *location.split("/"))) as path:
        if not path.is_file():
            raise AssetError(f"package:{location}: llmrec came without it", "Install llmrec again.")
        return blocks.unpack(path) if path.name.endswith(blocks.SUFFIX) else path.read_bytes()
