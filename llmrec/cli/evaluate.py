"""``llmrec evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.errors import ConfigError, EvaluationError, RequestError, WorkspaceError

if TYPE_CHECKING:
    from llmrec.evaluate.model import Model
    from llmrec.evaluate.split import Case
    from llmrec.progress import Progress
    from llmrec.rank.catalog import Catalog
    from llmrec.rank.channel import Taste
    from llmrec.rank.log import Log
    from llmrec.workspace import Workspace

MIN_USERS = 10
"""Users with enough events to be asked about below which no figure means anything."""
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
    from llmrec.evaluate.render import check_folder, write_report
    from llmrec.workspace import Workspace, find_workspace

    numbers = _seeds(seeds)
    with closing(Workspace(find_workspace(workspace))) as opened:
        name = f"{split.value}-{datetime.now():%Y%m%d-%H%M%S}"
        folder = report or opened.root / "reports" / name
        check_folder(folder)
        document = _document(opened, split, baselines, numbers, ablate, progress_for(as_json))
        write_report(document, folder)
    if as_json:
        print_json(document | {"report": str(folder)})
    else:
        _print(document, folder)
    if document["protocol"]["leakage"]:
        raise typer.Exit(3)


def _document(
    workspace: Workspace, split: SplitName, baselines: str, seeds: list[int], ablate: bool, progress: Progress
) -> dict[str, Any]:
    from llmrec.encode import load_encoder
    from llmrec.evaluate.fusion import fusion_models
    from llmrec.evaluate.leakage import find_leaks
    from llmrec.evaluate.report import Report
    from llmrec.evaluate.run import evaluate as run
    from llmrec.evaluate.split import Split
    from llmrec.evaluate.splits import SPLITS
    from llmrec.rank.catalog import Catalog
    from llmrec.users import UserTexts

    present = workspace.present()
    if present is None:
        raise WorkspaceError(f"{workspace.root}: nothing is indexed yet", "Run `llmrec index CATALOG` first.")
    settings = workspace.settings
    catalog = Catalog(present.table, settings.rank.exact_items)
    log = _log(workspace, catalog)
    others = _baselines(baselines)
    encoder = load_encoder(settings.models.encoder, settings.encoder, progress)
    users = UserTexts(workspace, catalog, encoder)
    compared, removed = fusion_models(settings.rank, users)
    stages = SPLITS[split](log)

    def taste(split: Split, case: Case) -> Taste:
        known = split.taste(case)
        (vector,) = users([(split.log.users[case.user], known.history)])
        return replace(known, vector=vector if vector.any() else None)

    models: list[Model] = [*others, *compared, *(removed if ablate else ())]
    results = run(models, stages, catalog, seeds=seeds, taste_of=taste, progress=progress)
    asked = len(others) + len(compared)
    leaks = find_leaks(stages, log, rows_used=Split.history)
    named = {"name": present.snapshot.encoder, "fingerprint": present.snapshot.encoder_fingerprint}
    return Report(log, stages, results[:asked], leaks, seeds, named, results[asked:]).to_json()


def _baselines(baselines: str) -> list[Model]:
    """What the scorer is compared with."""
    from llmrec.evaluate.baselines import BASELINES

    names = [*BASELINES] if baselines == "all" else [name.strip() for name in baselines.split(",")]
    if unknown := [name for name in names if name not in BASELINES]:
        raise RequestError(
            f"--baselines: there is no {unknown[0]!r}", f"Baselines: all, {', '.join(BASELINES)}."
        )
    return [BASELINES[name] for name in dict.fromkeys(names)]


def _log(workspace: Workspace, catalog: Catalog) -> Log:
    from llmrec.evaluate.splits import MIN_EVENTS
    from llmrec.rank.log import Log

    log = Log.of(workspace.events.log(), catalog.row_of, len(catalog))
    enough = int((log.lengths >= MIN_EVENTS).sum())
    if enough < MIN_USERS:
        raise EvaluationError(
            f"{workspace.root}: {enough} users have {MIN_EVENTS} events or more with items of the catalog; "
            f"an evaluation takes {MIN_USERS}",
            "Add a log with `llmrec index CATALOG --interactions LOG`.",
        )
    return log


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise ConfigError(f"--seeds {text!r}: not whole numbers from 0 on", "Such as --seeds 0,1,2.")
    return [*dict.fromkeys(seeds)]


def _print(document: dict[str, Any], folder: Path) -> None:
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
    for leak in document["protocol"]["leakage"]:
        told = f"leak, {leak['stage']}: {leak['what']} ({leak['count']}, such as {leak['example']})"
        console.print(plain(told), style="bold red")
    console.print(plain(f"Report: {folder / 'report.html'}"), soft_wrap=True)


def _span(of: Mapping[str, float], form: str) -> str:
    return f"{of['mean']:{form}} [{of['low']:{form}}, {of['high']:{form}}]"
