"""``llmrec prompts``."""

from __future__ import annotations

from typing import Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, print_json, print_table, progress_for
from llmrec.cli.show import document_json, print_document

app = typer.Typer(help="Templates by which items, users and explanations become text.", no_args_is_help=True)


@app.command("list")
def list_prompts(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the templates; those in the workspace's prompts folder win over the shipped ones."""
    from llmrec.prompts import load_prompt, prompt_files
    from llmrec.workspace import find_workspace

    folder = find_workspace(workspace) / "prompts"
    prompts = [load_prompt(name, folder) for name in sorted(prompt_files(folder))]
    if as_json:
        rows = [
            {
                "name": prompt.name,
                "version": prompt.version,
                "identity": prompt.identity,
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
        ["name", "version", "variables", "what it is"],
        [(p.name, p.version, ", ".join(p.variables), p.description) for p in prompts],
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A template's name.")],
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
