"""``llmrec models compare``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class Role(StrEnum):
    """The roles of :data:`llmrec.precisions.report.PRECISIONS`."""

    ENCODER = "encoder"
    EXPLAINER = "explainer"


class PrecisionName(StrEnum):
    """The precisions of all roles; ``gguf`` is the explainer's file as it is."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    NF4 = "nf4"
    GGUF = "gguf"
    Q8_0 = "q8_0"


def compare(
    role: Annotated[Role | None, typer.Option(help="Default: both.")] = None,
    precision: Annotated[
        list[PrecisionName] | None,
        typer.Option(help="May be given again; float32 always is one. Default: all."),
    ] = None,
    items: Annotated[int, typer.Option(min=10, help="Items that are ranked, at most.")] = 1000,
    users: Annotated[int, typer.Option(min=1, help="Users that they are ranked for, at most.")] = 300,
    explanations: Annotated[int, typer.Option(min=1, help="Explanations by each, at most.")] = 20,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare size, speed and accuracy of the encoder and the explainer in several precisions.

    Accuracy is that on validation; the report is kept in the workspace's reports/.
    """
    from llmrec.precisions import Sample, report
    from llmrec.precisions.report import PRECISIONS
    from llmrec.reports import new_folder, write
    from llmrec.workspace import Workspace, find_workspace

    roles = [role.value] if role else [*PRECISIONS]
    wanted = [name.value for name in precision or ()]
    known = {name for of in roles for name in PRECISIONS[of]}
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"the {role} has no precision {unknown[0]}", param_hint="--precision")
    with closing(Workspace(find_workspace(workspace))) as opened:
        sample = Sample(items, users, explanations)
        document = report(opened, roles, wanted, sample, progress_for(as_json))
        path = write(document, new_folder(opened.root, "models"))
    if as_json:
        print_json(document | {"report": str(path)})
        return
    if encoder := document.get("encoder"):
        _print_encoder(encoder)
    if explainer := document.get("explainer"):
        _print_explainer(explainer)
    console.print(plain(f"Report: {path}"), soft_wrap=True)


def _print_encoder(found: Mapping[str, Any]) -> None:
    rows = [
        (
            *_costs(row, "texts_per_second"),
            f"{row['cosine']:.5f}",
            *(f"{row['metrics'][name]:.4f}" for name in ("ndcg@10", "recall@10")),
            change(row["difference"]),
        )
        for row in found["rows"]
    ]
    model = f"{found['model']} + {found['adapter']}" if found["adapter"] else found["model"]
    items = f"{found['candidates']:,} of {found['items']:,} items"
    title = f"{model} on validation: {found['users']:,} users, {items}"
    columns = ("cosine", "ndcg@10", "recall@10", "difference")
    print_table(title, ("precision", "engine", "MB", "texts/s", "speed", *columns), rows)
    _print_left_out(found)


def _print_explainer(found: Mapping[str, Any]) -> None:
    rows = [
        (
            *_costs(row, "tokens_per_second"),
            f"{row['perplexity']:.3f}",
            change(row["difference"]),
            "" if row["verified"] is None else f"{row['verified']:.0%}",
        )
        for row in found["rows"]
    ]
    title = f"{found['model']} on validation: {found['explanations']:,} explanations"
    columns = ("perplexity", "nats a token more", "verified")
    print_table(title, ("precision", "engine", "MB", "tokens/s", "speed", *columns), rows)
    _print_left_out(found)


def _costs(row: Mapping[str, Any], speed: str) -> Iterator[str]:
    """Cells that both tables begin with."""
    yield f"{row['precision']} ({row['format']})" if row.get("format") else row["precision"]
    yield row["engine"]
    yield f"{row['weight_bytes'] / 1e6:,.1f}"
    yield rate(row[speed])
    yield f"{row['speed']:.2f}×"


def _print_left_out(found: Mapping[str, Any]) -> None:
    for entry in found["left_out"]:
        console.print(plain(f"{entry['precision']} is left out: {entry['reason']}"), soft_wrap=True)
