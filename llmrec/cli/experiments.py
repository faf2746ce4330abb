"""``llmrec prompts compare`` and ``llmrec prompts results``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from enum import StrEnum
from typing import Annotated, Any

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import (
    JsonOption,
    change,
    console,
    plain,
    print_json,
    print_table,
    progress_for,
)
from llmrec.progress import rate


class RoleName(StrEnum):
    """The roles of :data:`llmrec.experiments.roles.ROLES`."""

    ITEM = "item"
    USER = "user"
    EXPLAIN = "explain"


def compare(
    prompts: Annotated[
        list[str], typer.Argument(help="Two or more, such as item@1 item@2; the first is compared with.")
    ],
    items: Annotated[int, typer.Option(min=10, help="Items that are ranked, at most.")] = 1000,
    users: Annotated[int, typer.Option(min=1, help="Users that they are ranked for, at most.")] = 300,
    explanations: Annotated[int, typer.Option(min=1, help="Explanations by each, at most.")] = 20,
    grammar: Annotated[
        bool, typer.Option(help="Hold explanations to the grammar, as they are in use.")
    ] = True,
    role: Annotated[
        RoleName | None, typer.Option(help="Of prompts with names of their own. Default: by their name.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare versions of a prompt for items, users or explanations on validation.

    Items or users are encoded by each: NDCG@10 by the user's text alone, length, what was cut, cost.
    Explanations are written by each: how many are verified, length, variety, whether claims hold. A
    comparison that was stopped goes on when it is started again. The report is kept in the workspace's
    reports/.
    """
    from llmrec.experiments import Sample, compare as run
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(workspace))) as opened:
        document = run(
            opened,
            prompts,
            Sample(items, users, explanations),
            role=None if role is None else role.value,
            grammar=grammar,
            progress=progress_for(as_json),
        )
    if as_json:
        print_json(document)
        return
    _print(document)
    console.print(plain(f"Report: {document['report']}"), soft_wrap=True)


def results(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the comparisons of prompts that the workspace keeps, the oldest first."""
    from llmrec.experiments import results as kept
    from llmrec.workspace import find_workspace

    documents = kept(find_workspace(workspace))
    if as_json:
        print_json({"results": documents})
        return
    if not documents:
        console.print(plain("No comparison yet. Make one: llmrec prompts compare item@1 item@2"))
    for document in documents:
        _print(document)
        console.print(plain(f"{document['made']}  {document['report']}"), soft_wrap=True, style="dim")


def _print(document: Mapping[str, Any]) -> None:
    if document["role"] == "explain":
        _print_explanations(document)
    else:
        _print_texts(document)


def _print_texts(document: Mapping[str, Any]) -> None:
    rows = [
        (
            row["prompt"],
            *(_span(row["metrics"][name]) for name in ("ndcg@10", "recall@10")),
            change(row["difference"]),
            f"{row['tokens']:.1f}",
            f"{row['cut']:.1%}",
            rate(row["tokens_per_second"]),
            f"{row['seconds']:.1f}",
        )
        for row in document["rows"]
    ]
    items = f"{document['candidates']:,} of {document['items']:,} items"
    title = f"{document['model']} on validation: {document['users']:,} users, {items}"
    columns = ("ndcg@10", "recall@10", "difference", "tokens", "cut", "tokens/s", "seconds")
    print_table(title, ("prompt", *columns), rows)


def _print_explanations(document: Mapping[str, Any]) -> None:
    rows = [
        (
            row["prompt"],
            _span(row["verified"], ".0%"),
            change(row["difference"]),
            *(_number(row[name], form) for name, form in _WRITTEN),
            *(_number(row["faithfulness"][name], ".0%") for name in ("cited", "held")),
            f"{row['seconds']:.2f}",
        )
        for row in document["rows"]
    ]
    held = "" if document["grammar"] else ", without the grammar"
    title = f"{document['model']} on validation: {document['explanations']:,} explanations by each{held}"
    columns = ("verified", "difference", "words", "distinct-1", "distinct-2")
    print_table(title, ("prompt", *columns, "evidence cited", "claims that hold", "seconds each"), rows)


_WRITTEN = (("words", ".1f"), ("distinct_1", ".2f"), ("distinct_2", ".2f"))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def _span(of: Mapping[str, float], form: str = ".4f") -> str:
    return f"{of['mean']:{form}} [{of['low']:{form}}, {of['high']:{form}}]"
