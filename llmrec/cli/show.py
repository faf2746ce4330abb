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
    print_table(
        f"What is known of {item}",
        ["kind", "text", "source", "time", "model", "confidence", "margin"],
        [_row(piece) for piece in document.pieces],
    )
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


def _row(piece: TextPiece) -> tuple[str, ...]:
    text = piece.text if len(piece.text) <= _SHOWN else f"{piece.text[:_SHOWN]}…"
    time = f"{_clock(piece.start)}–{_clock(piece.end)}" if piece.start is not None else ""
    return (
        f"{piece.kind} (unsure, left out)" if piece.unsure else piece.kind,
        text,
        piece.source,
        time,
        piece.model or "",
        _number(piece.confidence),
        _number(piece.margin),
    )


def _clock(seconds: float | None) -> str:
    minutes, rest = divmod(seconds or 0.0, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
