"""``llmrec adapters``: what fine-tuning has made, compared, used, merged and removed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, change, console, plain, print_json, print_table, progress_for

if TYPE_CHECKING:
    from llmrec.adapters import Kept

app = typer.Typer(help="List, use, compare, merge and remove adapters.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of an adapter.")]


@app.command("list")
def list_adapters(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the adapters of a workspace; NDCG@10 is that of their own training run."""
    from llmrec.adapters import kept
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(workspace))) as opened:
        found = [_describe(adapter) for adapter in kept(opened)]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            adapter["name"],
            adapter["base"] or "",
            (adapter["data_until"] or "")[:10],
            "" if adapter["pairs"] is None else f"{adapter['pairs']:,}",
            "" if adapter["before"] is None else f"{adapter['before']:.4f} → {adapter['after']:.4f}",
            adapter["problem"] or ("in use" if adapter["in_use"] else ""),
        )
        for adapter in found
    ]
    print_table("Adapters", ("name", "base", "data until", "pairs", "ndcg@10", ""), rows)


@app.command()
def use(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of an adapter.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Go back to the encoder without an adapter.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Whatever validation would say.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode all items by an adapter beside the old vectors, and swap, if it is better on validation."""
    from llmrec.adapters import use as run
    from llmrec.workspace import Workspace, find_workspace

    if (name is None) != none:
        raise typer.BadParameter("name an adapter, or say --none")
    with closing(Workspace(find_workspace(workspace))) as opened:
        used = run(opened, name, force=force, progress=progress_for(as_json))
        encoder = opened.settings.models.encoder
    if as_json:
        print_json(asdict(used))
        return
    told = f"In use: {encoder} + {name}" if name else f"In use: {encoder}, without an adapter"
    console.print(plain(told), soft_wrap=True)
    console.print(f"{used.encoded:,} items encoded, {used.resumed:,} taken from a run that was stopped.")
    if gain := used.gain:
        figures = f"{gain.before:.4f} before, {gain.after:.4f} now, {change(asdict(gain.difference))}"
        console.print(plain(f"NDCG@10 on validation: {figures}"), soft_wrap=True)


@app.command()
def compare(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all that can be used.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate the encoder and its adapters on the log as it is now."""
    from llmrec.adapters import compare as run
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(workspace))) as opened:
        compared = run(opened, names or (), progress_for(as_json))
    if as_json:
        print_json(compared.to_json())
        return
    rows = [
        (
            row.adapter or compared.encoder,
            *(f"{value:.4f}" for value in row.metrics.values()),
            change(asdict(row.difference) if row.difference else None),
            "in use" if row.in_use else "",
        )
        for row in compared.rows
    ]
    title = f"The text of users on validation, {compared.users:,} users"
    print_table(title, ("", *compared.rows[0].metrics, "difference of ndcg@10", ""), rows)


@app.command()
def merge(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="New folder for the model.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the encoder with an adapter merged into it, for sentence-transformers and others."""
    from llmrec.adapters import merge as run
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(workspace))) as opened:
        run(opened, name, out, progress_for(as_json))
    if as_json:
        print_json({"adapter": name, "folder": str(out)})
    else:
        console.print(plain(f"Model: {out}"), soft_wrap=True)


@app.command()
def remove(name: NameArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Remove an adapter that is not in use."""
    from llmrec.adapters import remove as run
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(workspace))) as opened:
        run(opened, name)
    if as_json:
        print_json({"removed": name})
    else:
        console.print(plain(f"Removed: {name}"))


def _describe(adapter: Kept) -> dict[str, Any]:
    """One adapter of ``list --json``; all but the first two are null where it is damaged."""
    card = adapter.card
    return {
        "name": adapter.name,
        "in_use": adapter.in_use,
        "base": card and card.base.name,
        "data_until": card and datetime.fromtimestamp(card.data.end, UTC).isoformat(timespec="seconds"),
        "pairs": card and card.data.pairs,
        "before": card and card.metrics.before.get("ndcg@10"),
        "after": card and card.metrics.after.get("ndcg@10"),
        "problem": adapter.problem or None,
    }
