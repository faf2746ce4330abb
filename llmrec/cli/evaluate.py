"""``llmrec evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.errors import ConfigError

_SHOWN = ("ndcg@10", "recall@10", "mrr")


class SplitName(StrEnum):
    """The protocols of :data:`llmrec.evaluate.splits.SPLITS`."""

    LEAVE_LAST_OUT = "leave-last-out"
    GLOBAL_TIME = "global-time"
    COLD_ITEMS = "cold-items"
    COLD_USERS = "cold-users"


def evaluate(
    split: Annotated[SplitName, typer.Option(help="What is asked.")] = SplitName.LEAVE_LAST_OUT,
    baselines: Annotated[str, typer.Option(help="Models to compare with: all, or names.")] = "all",
    seeds: Annotated[str, typer.Option(help="Seeds of training, comma-separated.")] = "0",
    ablate: Annotated[bool, typer.Option("--ablate", help="Also remove each channel in turn.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="New folder for the report. Default: in the workspace's reports.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how good recommendations are on the workspace's log, with strong baselines beside."""
    from llmrec.evaluate.baselines import BASELINES
    from llmrec.evaluate.render import check_folder, write_report
    from llmrec.evaluating import Evaluation
    from llmrec.workspace import Workspace, find_workspace

    numbers = _seeds(seeds)
    with closing(Workspace(find_workspace(workspace))) as opened:
        name = f"{split.value}-{datetime.now():%Y%m%d-%H%M%S}"
        folder = report or opened.root / "reports" / name
        check_folder(folder)
        names = [*BASELINES] if baselines == "all" else [name.strip() for name in baselines.split(",")]
        document = Evaluation(opened, progress_for(as_json)).report(split.value, names, numbers, ablate)
        write_report(document, folder)
    if as_json:
        print_json(document | {"report": str(folder)})
    else:
        _print(document, folder)
    if document["protocol"]["leakage"]:
        raise typer.Exit(3)


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise ConfigError(f"--seeds {text!r}: not whole numbers from 0 on", "Such as --seeds 0,1,2.")
    return [*dict.fromkeys(seeds)]


def _print(document: dict[str, Any], folder: Path) -> None:
    print_models(document)
    for leak in document["protocol"]["leakage"]:
        told = f"leak, {leak['stage']}: {leak['what']} ({leak['count']}, such as {leak['example']})"
        console.print(plain(told), style="bold red")
    console.print(plain(f"Report: {folder / 'report.html'}"), soft_wrap=True)


def print_models(document: dict[str, Any]) -> None:
    """The main table of a report."""
    entries = document["models"]
    compared = next((entry["difference"]["to"] for entry in entries if "difference" in entry), None)
    rows = [
        (
            entry["model"],
            *(_span(entry["metrics"][metric], ".4f") for metric in _SHOWN),
            _span(entry["difference"]["ndcg@10"], "+.4f") if "difference" in entry else "",
        )
        for entry in entries
    ]
    title = f"{document['protocol']['split']}: mean and 95% interval over users"
    print_table(title, ["model", *_SHOWN, f"ndcg@10 against {compared}" if compared else ""], rows)


def _span(of: Mapping[str, float], form: str) -> str:
    return f"{of['mean']:{form}} [{of['low']:{form}}, {of['high']:{form}}]"
