"""``llmrec prompts``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmrec.cli import experiments
from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.cli.show import document_json, print_document

app = typer.Typer(help="Templates by which items, users and explanations become text.", no_args_is_help=True)
app.command()(experiments.compare)
app.command()(experiments.results)


@app.command("list")
def list_prompts(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the templates and their versions; those in the workspace's prompts folder win."""
    from llmrec.prompts import load_prompt, prompt_files, versions
    from llmrec.workspace import find_workspace

    folder = find_workspace(workspace) / "prompts"
    names = {path.stem.partition("@")[0] for path in prompt_files(folder).values()}
    used = {load_prompt(name, folder).path for name in _used(workspace)}
    prompts = [prompt for name in sorted(names) for prompt in versions(name, folder)]
    if as_json:
        rows = [
            {
                "name": prompt.name,
                "version": prompt.version,
                "identity": prompt.identity,
                "in_use": prompt.path in used,
                "description": prompt.description,
                "variables": list(prompt.variables),
                "path": str(prompt.path),
            }
            for prompt in prompts
        ]
        print_json({"prompts": rows})
        return
    print_table(
        "Prompts",
        ["prompt", "in use", "of", "variables", "what it is"],
        [
            (
                prompt.spec,
                "yes" if prompt.path in used else "",
                "workspace" if prompt.path.parent == folder else "llmrec",
                ", ".join(prompt.variables),
                prompt.description,
            )
            for prompt in prompts
        ],
    )


def _used(workspace: Path | None) -> list[str]:
    """The prompts that a workspace's settings name; those of a new one, where there is none."""
    from llmrec.config import Settings, load_settings
    from llmrec.workspace import SETTINGS, find_workspace

    path = find_workspace(workspace) / SETTINGS
    settings = load_settings(path) if path.is_file() else Settings()
    documents = settings.documents
    named = (documents.item_prompt, documents.user_prompt, settings.explain.prompt, settings.caption.prompt)
    return [*filter(None, named)]


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a template."""
    from llmrec.prompts import load_prompt
    from llmrec.workspace import find_workspace

    prompt = load_prompt(name, find_workspace(workspace) / "prompts")
    if as_json:
        print_json({"name": prompt.name, "version": prompt.version, "body": prompt.body})
    else:
        typer.echo(prompt.path.read_text(encoding="utf-8"))


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION of a template.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a template into the workspace's prompts as its next version, to edit and compare."""
    from llmrec.prompts import copy_prompt, load_prompt
    from llmrec.workspace import find_workspace

    folder = find_workspace(workspace) / "prompts"
    source, made = load_prompt(name, folder), copy_prompt(name, folder)
    if as_json:
        print_json({"name": made.name, "version": made.version, "path": str(made.path)})
        return
    told = f"{made.path}: {source.spec} as {made.spec}. Edit it, then:\n"
    console.print(plain(f"{told}  llmrec prompts compare {source.spec} {made.spec}"), soft_wrap=True)


@app.command()
def render(
    item: Annotated[str, typer.Argument(help="An item id of the workspace.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print an item's document as the encoder reads it, with what was cut."""
    from llmrec.recommender import Recommender
    from llmrec.workspace import find_workspace

    with Recommender.open(find_workspace(workspace), progress_for(as_json)) as recommender:
        document = recommender.document(item)
    if as_json:
        print_json({"item_id": item, **document_json(document)})
    else:
        print_document(document)
