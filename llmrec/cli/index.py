"""``llmrec index``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.progress import rate

if TYPE_CHECKING:
    from llmrec.indexing import IndexReport
    from llmrec.modality.pipeline import MediaReport

_SHOWN_FLAGS = 10
_MEDIA_NAMES = {
    "caption": "captioned",
    "ocr": "read for text",
    "transcript": "transcribed",
    "look": "colours",
}

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
        Path,
        typer.Argument(
            help="Items: JSON Lines, CSV, Parquet, a folder of media, datasets, MovieLens, RecBole."
        ),
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
    allow_hosts: Annotated[
        str, typer.Option(help="Hosts from which media may be downloaded, separated by commas.")
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Open again the media that could not be read before.")
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
        retry_failed=retry_failed,
        allow_hosts=[host.strip() for host in allow_hosts.split(",") if host.strip()],
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
        "media": _media_json(report.media),
        "missing": [missing.to_json() for missing in report.missing],
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
    rows += list(_media_rows(report.media))
    print_table(f"{root}: indexed in {seconds:.1f} s", ["what", "how many"], rows)
    for missing in report.missing:
        console.print(plain(f"not done: {missing.what}: {missing.why}"), soft_wrap=True)
        console.print(plain(f"  {missing.remedy}"), soft_wrap=True)
    if report.flags:
        shown = [(flag.item_id, flag.field, flag.source, flag.reason) for flag in report.flags[:_SHOWN_FLAGS]]
        more = len(report.flags) - len(shown)
        title = f"Flagged (the first {len(shown)} of {len(report.flags):,})" if more else "Flagged"
        print_table(title, ["item", "field", "source", "reason"], shown)


def _media_json(media: MediaReport) -> dict[str, Any]:
    """Files by kind of task: done now (and in how many seconds), and taken from the cache."""
    return {
        "done": dict(media.done),
        "seconds": {kind: round(seconds, 3) for kind, seconds in media.seconds.items()},
        "cached": dict(media.cached),
        "unsure_captions": media.unsure,
    }


def _media_rows(media: MediaReport) -> Iterator[tuple[str, object]]:
    for kind, name in _MEDIA_NAMES.items():
        done, cached, seconds = media.done[kind], media.cached[kind], media.seconds[kind]
        if done or cached:
            speed = f" at {rate(done / seconds)}/s" if done and seconds else ""
            yield name, f"{done:,} files{speed}, {cached:,} from the cache"
    if media.unsure:
        yield "captions kept out as unsure", f"{media.unsure:,}"
