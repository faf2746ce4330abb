"""``llmrec neighbors``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, print_json, print_table, progress_for
from llmrec.cli.recommend import ids
from llmrec.schema import Item


def neighbors(
    user: Annotated[str | None, typer.Argument(help="A user of the log.")] = None,
    likes: Annotated[str, typer.Option(help="Ids of liked items, comma-separated.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many users.")] = 10,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the users with the same taste, and what they liked that USER has not seen.

    It shows the ids and the tastes of other users: share its output only with who may see them.
    """
    from llmrec.recommender import Recommender
    from llmrec.workspace import find_workspace

    with Recommender.open(find_workspace(workspace), progress_for(as_json)) as recommender:
        found = recommender.neighbors(user, k=k, likes=ids(likes))
    if as_json:
        print_json({"user_id": user, "neighbors": [entry.to_json() for entry in found]})
        return
    rows = [
        (str(place), entry.user_id, f"{entry.similarity:.3f}", _titles(entry.shared), _titles(entry.liked))
        for place, entry in enumerate(found, 1)
    ]
    print_table(f"Like {user}" if user else "Like you", ["#", "user", "alike", "in common", "liked"], rows)
    if not found:
        console.print("Nobody else has an event with any of these items.")


def _titles(items: Iterable[Item]) -> str:
    return "; ".join(item.title or item.item_id for item in items)
