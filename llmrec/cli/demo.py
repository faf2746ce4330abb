"""``llmrec demo``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmrec.cli.evaluate import print_models
from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.cli.recommend import print_explanations, print_recommendations
from llmrec.errors import MissingExtraError

if TYPE_CHECKING:
    from llmrec.demo.found import Found
    from llmrec.progress import Progress

_DATASET = "movielens-100k"
_SHOWN_HISTORY = 8
_EXPLAINED = 3
_SHOWN_WORDS = 18
_BASELINES = ("popularity", "itemknn", "ease")
_SHELF_COLUMNS = ("asked", "found", "by", "which says")


def demo(
    user: Annotated[str, typer.Option(help="A user of MovieLens-100K, 1 to 943.")] = "87",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recommend films of MovieLens-100K with explanations; find things by what they show or say; evaluate."""
    from llmrec.assets import home, resolve
    from llmrec.demo.found import ask_shelf
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
        explained = recommender.explain_each(found[:_EXPLAINED], user)
        if as_json:
            entries = [entry.to_json() for entry in (*explained, *found[_EXPLAINED:])]
            shelf = [answer.to_json() for answer in ask_shelf(_shelf(root), progress)]
            evaluation = _evaluate(root, progress)[0]["models"]
            print_json(
                {"user_id": user, "recommendations": entries, "shelf": shelf, "evaluation": evaluation}
            )
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
    try:
        _print_shelf(ask_shelf(_shelf(root), progress))
    except MissingExtraError as error:
        console.print(plain(f"The shelf of pictures, sound and video is left out. {error}"))
    document, page = _evaluate(root, progress)
    print_models(document)
    console.print()
    console.print(
        plain(_next_steps(root, user, found[0].item_id, page, time.monotonic() - began)), soft_wrap=True
    )


def _evaluate(root: Path, progress: Progress) -> tuple[dict[str, Any], Path]:
    """The evaluation of the recommender on its log, made once for a state of the workspace, and its page."""
    from llmrec.evaluate.render import HTML, JSON, write_report
    from llmrec.evaluating import Evaluation
    from llmrec.workspace import Workspace

    with closing(Workspace(root)) as workspace:
        evaluation = Evaluation(workspace, progress)
        folder = root / "reports" / f"demo-{evaluation.fingerprint}"
        if not folder.is_dir():
            write_report(evaluation.report(baselines=_BASELINES, variants=False), folder)
    return json.loads((folder / JSON).read_text(encoding="utf-8")), folder / HTML


def _shelf(root: Path) -> Path:
    return root.with_name(f"{root.name}-shelf")


def _print_shelf(answers: Iterable[Found]) -> None:
    rows = [
        (
            answer.showcase.query,
            f"{answer.item.item_id} ({answer.item.title})",
            f"{answer.piece.kind} of {answer.piece.source}",
            _around(answer.piece.text, answer.showcase.query),
        )
        for answer in answers
    ]
    print_table("Found by what a picture shows, a voice says, a video tells", _SHELF_COLUMNS, rows)


def _around(text: str, query: str) -> str:
    """Some words of a text from the first one that the query has."""
    words = text.split()
    asked = {word.casefold() for word in query.split() if len(word) > 3}
    first = next((at for at, word in enumerate(words) if word.strip(".,").casefold() in asked), 0)
    start = max(0, first - _SHOWN_WORDS // 3)
    shown = " ".join(words[start : start + _SHOWN_WORDS])
    return f"{'…' if start else ''}{shown}{'…' if start + _SHOWN_WORDS < len(words) else ''}"


def _next_steps(root: Path, user: str, item: str, report: Path, seconds: float) -> str:
    return (
        f"Report: {report}\n"
        f"Done in {seconds:.0f} s. Try next:\n"
        f'  llmrec recommend --query "a robot that learns to feel" --workspace {root}\n'
        f'  llmrec recommend {user} --where "release_year >= 1990" --explain --workspace {root}\n'
        f"  llmrec similar {item} --workspace {root}\n"
        f"  llmrec show shelf-20 --workspace {_shelf(root)}\n"
        f"  llmrec index YOUR_ITEMS.jsonl --interactions YOUR_LOG.csv --workspace shop/"
    )
