"""``llmrec datasets``: public data sets to try llmrec on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from llmrec import assets
from llmrec.assets.hashing import sha256_file
from llmrec.cli.models import describe, megabytes, show_licence
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.errors import AssetError

app = typer.Typer(help="List and fetch data sets.", no_args_is_help=True)


def _datasets() -> dict[str, assets.Asset]:
    return {asset.name: asset for asset in assets.catalogue() if asset.role == "dataset"}


@app.command("list")
def list_datasets(json_output: JsonOption = False) -> None:
    """List the data sets and which are present."""
    found = _datasets().values()
    if json_output:
        print_json([describe(asset) for asset in found])
        return
    print_table(
        "Data sets",
        ("name", "size", "licence", "present"),
        [
            (asset.name, megabytes(asset.size), asset.licence, "yes" if asset.pulled else "no")
            for asset in found
        ],
    )


@app.command()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Copy the files there as well.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Download a data set, verify it, and say where it is."""
    known = _datasets()
    if name not in known:
        raise AssetError(f"unknown data set {name!r}", f"Data sets: {', '.join(known)}.")
    asset = known[name]
    show_licence(asset, json_output)
    assets.pull(name, progress_for(json_output))
    folder = asset.folder
    if to is not None:
        _copy(asset, to)
        folder = to
    files = [str(folder / file) for file in asset.files]
    if json_output:
        print_json({"name": name, "path": str(folder), "files": files})
    else:
        console.print(plain("\n".join(files)), soft_wrap=True)


def _copy(asset: assets.Asset, folder: Path) -> None:
    """Copy a data set's files; a file there with other content is never overwritten."""
    for file in asset.files:
        source, target = asset.folder / file, folder / file
        try:
            if target.exists():
                if sha256_file(target) != sha256_file(source):
                    raise AssetError(f"{target}: exists with other content", "Choose another folder.")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.part")
            shutil.copyfile(source, partial)
            os.replace(partial, target)
        except OSError as error:
            raise AssetError(f"{target}: cannot be written: {error.strerror}") from error
