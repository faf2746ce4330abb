"""``llmrec demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.cli.recommend import print_explanations, print_recommendations

_DATASET = "movielens-100k"
_SHOWN_HISTORY = 8
_EXPLAINED = 3


def demo(
    user: Annotated[str, typer.Option(help="A user of MovieLens-100K, 1 to 943.")] = "87",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index MovieLens-100K and recommend films to one of its users, with explanations."""
    from llmrec.assets import home, resolve
    from llmrec.indexing import IndexRun, Sources
    from llmrec.recommender import Recommender
    from llmrec.workspace import Workspace

    began = time.monotonic()
    progress = progress_for(as_json)
    films = resolve(_DATASET, progress)
    root = workspace or home() / "demo"
    opened = Workspace.create(root)
    sources = Sources(films / "ml-100k.item", (films / "ml-100k.inter",), (films / "ml-100k.user",))
    report = IndexRun(opened, sources, progress=progress)()
    opened.close()
    with Recommender.open(root, progress) as recommender:
        found = recommender.recommend(user, k=10)
        explained = (recommender.explain(entry, user) for entry in found[:_EXPLAINED])
        if as_json:
            entries = [*explained, *found[_EXPLAINED:]]
            print_json({"user_id": user, "recommendations": [entry.to_json() for entry in entries]})
            return
        read = f"MovieLens-100K: {report.items:,} films, {report.events:,} ratings, in {root}"
        console.print(plain(read), style="dim")
        rows = [
            (event.item_id, item.title if item else "", f"{event.weight:g}")
            for event, item in recommender.history(user)[:_SHOWN_HISTORY]
        ]
        print_table(f"What user {user} rated last", ["item", "title", "rating"], rows)
        print_recommendations(f"Recommended to user {user}", found)
        print_explanations(explained)
    console.print()
    console.print(plain(_next_steps(root, user, found[0].item_id, time.monotonic() - began)))


def _next_steps(root: Path, user: str, item: str, seconds: float) -> str:
    return (
        f"Done in {seconds:.0f} s. Try next:\n"
        f'  llmrec recommend --query "a robot that learns to feel" --workspace {root}\n'
        f'  llmrec recommend {user} --where "release_year >= 1990" --explain --workspace {root}\n'
        f"  llmrec similar {item} --workspace {root}\n"
        f"  llmrec index YOUR_ITEMS.jsonl --interactions YOUR_LOG.csv --workspace shop/"
    )
