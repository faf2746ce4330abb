"""``llmrec show``."""

from __future__ import annotations

from typing import Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.schema import Document, TextPiece

_SHOWN = 200


def show(
    item: Annotated[str, typer.Argument(help="An item id of the workspace.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what is known of an item in words: each piece with its source and model, and its document.

    A caption that is wrong is overridden by a column `caption` in the catalog, a transcript by `transcript`.
    """
    from llmrec.recommender import Recommender
    from llmrec.workspace import find_workspace

    with Recommender.open(find_workspace(workspace), progress_for(as_json)) as recommender:
        document = recommender.document(item)
    if as_json:
        pieces = [piece.to_json() for piece in document.pieces]
        print_json({"item_id": item, "pieces": pieces, **document_json(document)})
        return
    rows = [(_kind(piece), _shortened(piece.text), _origin(piece)) for piece in document.pieces]
    print_table(f"What is known of {item}", ["kind", "text", "from"], rows)
    console.print(plain("Document, as the encoder reads it:"), style="dim")
    print_document(document)


def document_json(document: Document) -> dict[str, object]:
    """A document in the ``--json`` contracts, with the tokens of each field that were cut."""
    return {"document": document.text, "cut": dict(document.cut)}


def print_document(document: Document) -> None:
    """Print a document's text, and what of it was cut."""
    console.print(plain(document.text))
    for field, tokens in document.cut.items():
        console.print(plain(f"cut to fit the encoder: {tokens} tokens of {field}"), style="dim")


def _kind(piece: TextPiece) -> str:
    return f"{piece.kind} (unsure, left out)" if piece.unsure else piece.kind


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _origin(piece: TextPiece) -> str:
    """Where a piece comes from: column or file, time, model, and how sure the model was."""
    told = [piece.source]
    if piece.start is not None:
        told.append(f"{_clock(piece.start)}–{_clock(piece.end)}")
    if piece.model:
        told.append(piece.model)
    if piece.confidence is not None:
        told.append(f"confidence {piece.confidence:.2f}")
    if piece.margin is not None:
        told.append(f"margin {piece.margin:.2f}")
    return ", ".join(told)


def _clock(seconds: float | None) -> str:
    minutes, rest = divmod(seconds or 0.0, 60)
    return f"{int(minutes)}:{rest:04.1f}"
