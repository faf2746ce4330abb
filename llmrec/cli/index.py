"""``llmrec index``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for

if TYPE_CHECKING:
    from llmrec.indexing import IndexReport

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        envvar="LLMREC_WORKSPACE",
        help="Workspace folder. Default: this folder where it holds llmrec.toml, else .llmrec in it.",
    ),
]


def index(
    catalog: Annotated[
        Path, typer.Argument(help="Items: JSON Lines, CSV, Parquet, a datasets folder, MovieLens, RecBole.")
    ],
    interactions: Annotated[
        list[Path] | None, typer.Option("--interactions", "-i", help="A log of events; may be given again.")
    ] = None,
    users: Annotated[list[Path] | None, typer.Option("--users", help="A table of users.")] = None,
    workspace: WorkspaceOption = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--map", help="THEIRS=OURS: a column of the catalog that has another name."),
    ] = None,
    event_column: Annotated[
        list[str] | None, typer.Option("--map-events", help="THEIRS=OURS: likewise for the logs.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Models of a workspace that is made now.")] = "small",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Begin anew beside the present index, and swap at the end.")
    ] = False,
    delete_missing: Annotated[
        bool, typer.Option("--delete-missing", help="Remove items that the catalog no longer has.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Index a catalog and its log into a workspace; a second run does only what changed."""
    from llmrec.indexing import ERRORS, IndexRun, Sources
    from llmrec.readers import parse_mapping
    from llmrec.workspace import Workspace, find_workspace

    began = time.monotonic()
    sources = Sources(
        catalog,
        tuple(interactions or ()),
        tuple(users or ()),
        parse_mapping(column or []),
        parse_mapping(event_column or []),
    )
    opened = Workspace.create(find_workspace(workspace), profile)
    run = IndexRun(
        opened,
        sources,
        rebuild=rebuild,
        delete_missing=delete_missing,
        progress=progress_for(as_json),
    )
    report = run()
    opened.close()
    seconds = time.monotonic() - began
    if as_json:
        print_json(report_json(report, opened.root, seconds))
    else:
        _print_report(report, opened.root, seconds)
        if report.flags:
            console.print(plain(f"Every flagged entry is in {opened.root / ERRORS}."))
    if report.flags:
        raise typer.Exit(3)


def report_json(report: IndexReport, root: Path, seconds: float) -> dict[str, Any]:
    """The ``index --json`` document."""
    return {
        "workspace": str(root),
        "items": report.items,
        "encoded": report.encoded,
        "resumed": report.resumed,
        "unchanged": report.unchanged,
        "deleted": report.deleted,
        "events": report.events,
        "new_events": report.new_events,
        "users": report.users,
        "flagged": [flag.to_json() for flag in report.flags],
        "cut": {name: {"items": items, "tokens": tokens} for name, (items, tokens) in report.cut.items()},
        "skipped_attributes": report.skipped,
        "seconds": round(seconds, 3),
    }


def _print_report(report: IndexReport, root: Path, seconds: float) -> None:
    rows: list[tuple[str, object]] = [
        ("items", f"{report.items:,}"),
        ("encoded now", f"{report.encoded:,}"),
        ("taken from an unfinished run", f"{report.resumed:,}"),
        ("unchanged", f"{report.unchanged:,}"),
        ("deleted", f"{report.deleted:,}"),
        ("events read", f"{report.events:,}"),
        ("events new or changed", f"{report.new_events:,}"),
        ("flagged", f"{len(report.flags):,}"),
    ]
    rows += [
        (f"cut to fit the encoder: {name}", f"{items:,} items, {tokens:,} tokens")
        for name, (items, tokens) in report.cut.items()
    ]
    if report.skipped:
        rows.append(("kept out of documents (identifiers)", ", ".join(report.skipped)))
    print_table(f"{root}: indexed in {seconds:.1f} s", ["what", "how many"], rows)
    for flag in report.flags[:5]:
        console.print(plain(f"flagged {flag.item_id}: {flag.field}: {flag.reason}"))
