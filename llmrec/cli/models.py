"""``llmrec models``: the models that llmrec knows, pulled, verified and compared."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmrec import assets
from llmrec.cli.output import JsonOption, console, errors, plain, print_json, print_table, progress_for
from llmrec.cli.precisions import compare
from llmrec.errors import AssetError

app = typer.Typer(help="List, pull, verify and compare models.", no_args_is_help=True)
app.command()(compare)


def describe(asset: assets.Asset) -> dict[str, Any]:
    """One asset of the ``--json`` listings; ``size`` in bytes, ``path`` None until it is pulled."""
    return {
        "name": asset.name,
        "role": asset.role,
        "size": asset.size,
        "licence": asset.licence,
        "source": asset.source,
        "present": asset.pulled,
        "path": str(asset.path) if asset.pulled else None,
    }


def megabytes(size: int) -> str:
    """A size for tables."""
    return f"{size / 1e6:,.1f} MB"


def show_licence(asset: assets.Asset, json_output: bool) -> None:
    """Say what is about to be downloaded and under which terms, on standard error."""
    if not json_output:
        errors.print(plain(f"{asset.name}: {asset.source}; licence: {asset.licence}"), soft_wrap=True)


def _models() -> list[assets.Asset]:
    return [asset for asset in assets.catalogue() if asset.role != "dataset"]


@app.command("list")
def list_models(json_output: JsonOption = False) -> None:
    """List the models and which are present."""
    models = _models()
    if json_output:
        print_json([describe(asset) for asset in models])
        return
    print_table(
        "Models",
        ("name", "role", "size", "licence", "present"),
        [
            (asset.name, asset.role, megabytes(asset.size), asset.licence, "yes" if asset.pulled else "no")
            for asset in models
        ],
    )


@app.command()
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names, or URIs such as hf:ORG/NAME.")
    ],
    json_output: JsonOption = False,
) -> None:
    """Download models and verify them; what is intact already is left alone."""
    known = {asset.name: asset for asset in assets.catalogue()}
    for name in names:
        if ":" not in name and (name not in known or known[name].role == "dataset"):
            raise _not_a_model(name, known)
    pulled = []
    for name in names:
        if name in known:
            show_licence(known[name], json_output)
        path = assets.pull(name, progress_for(json_output))
        pulled.append({"name": name, "path": str(path)})
        if not json_output:
            console.print(plain(f"{name}: {path}"), soft_wrap=True)
    if json_output:
        print_json(pulled)


def _not_a_model(name: str, known: dict[str, assets.Asset]) -> AssetError:
    if name in known:
        return AssetError(f"{name} is a data set", f"Run: {known[name].command}")
    return AssetError(f"unknown model {name!r}", f"Models: {', '.join(asset.name for asset in _models())}.")


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: every asset that is present.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Hash pulled models again and compare with what was declared; exits with 1 if one is damaged."""
    chosen = names or [asset.name for asset in assets.catalogue() if asset.pulled]
    problems = {name: assets.verify(name) for name in chosen}
    if json_output:
        print_json([{"name": name, "problems": found} for name, found in problems.items()])
    else:
        rows = [(name, "; ".join(found) or "intact") for name, found in problems.items()]
        print_table("Verified", ("name", "result"), rows)
    if any(problems.values()):
        raise typer.Exit(1)
