"""``llmrec cache``: texts of media that were made once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.models import megabytes
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for

if TYPE_CHECKING:
    from llmrec.modality.cache import CacheStats, LayeredCache
    from llmrec.workspace import Workspace

app = typer.Typer(help="Captions, transcripts and texts of media, kept by content.", no_args_is_help=True)


@app.command()
def stats(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Count what is kept, in the workspace and in the cache that all workspaces share."""
    from llmrec.training.captioner import features

    with _opened(workspace) as (opened, cache):
        found = {"workspace": cache.own.stats(), "shared": cache.shared.stats()}
        kept = opened.root / features.FOLDER
        size = features.size(kept)
    if as_json:
        entries = {name: _json(entry) for name, entry in found.items()}
        print_json(entries | {"features": {"path": str(kept), "size": size}})
        return
    for name, entry in found.items():
        rows = [
            (kind, f"{entry.results.get(kind, 0):,}", f"{entry.failures.get(kind, 0):,}")
            for kind in sorted({*entry.results, *entry.failures})
        ]
        console.print(plain(f"{name}: {entry.path} ({megabytes(entry.size)})"), soft_wrap=True)
        print_table("", ["kind", "results", "failures"], rows)
    if size:
        console.print(plain(f"fine-tuning of the captioner: {kept} ({megabytes(size)})"), soft_wrap=True)


@app.command()
def prune(
    workspace: WorkspaceOption = None,
    older_than: Annotated[
        float,
        typer.Option(min=0, help="Days without use after which shared results, and features, are dropped."),
    ] = 90,
    as_json: JsonOption = False,
) -> None:
    """Drop from the workspace what its settings no longer make, or whose file is gone or changed.

    What a model made that cannot be had now is kept.

    The shared cache drops what no workspace used for `--older-than` days. So do the features of pictures that
    fine-tuning of the captioner left in the workspace: each set was made by another vision tower.
    """
    from llmrec.modality.load import Modalities
    from llmrec.prompts import caption_prompt
    from llmrec.training.captioner import features

    with _opened(workspace) as (opened, cache), opened.lock():
        prompt = caption_prompt(opened.settings.caption.prompt, opened.root / "prompts")
        keys, unavailable = Modalities(opened.settings, prompt, progress_for(as_json)).keys()
        dropped = {
            "workspace": cache.own.prune_tasks(keys, unavailable),
            "shared": cache.shared.prune_older(older_than),
            "features": features.prune(opened.root / features.FOLDER, older_than),
        }
    if as_json:
        print_json({"dropped": dropped})
        return
    for name, count in dropped.items():
        console.print(plain(f"{name}: {count:,} {'sets' if name == 'features' else 'results'} dropped"))


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[Workspace, LayeredCache]]:
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(path))) as opened, closing(opened.media_cache()) as cache:
        yield opened, cache


def _json(entry: CacheStats) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "results": entry.results,
        "failures": entry.failures,
        "files": entry.files,
        "size": entry.size,
    }
