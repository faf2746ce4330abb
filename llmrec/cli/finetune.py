"""``llmrec finetune``."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for

if TYPE_CHECKING:
    from llmrec.training.runs import Finetuned


class Role(StrEnum):
    """What is fine-tuned."""

    encoder = "encoder"
    explainer = "explainer"


def finetune(
    role: Annotated[
        Role, typer.Option(help="What learns: the encoder to rank, or the explainer to phrase evidence.")
    ] = Role.encoder,
    config: Annotated[Path | None, typer.Option(help="YAML of settings, such as those in finetune/.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the adapter. Default: the next free one.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a model on the workspace's log: a LoRA adapter, validated beside its base model."""
    if role is Role.explainer:
        _explainer(config, name, resume, workspace, as_json)
        return
    from llmrec.training.finetuning import finetune as run
    from llmrec.training.settings import TrainingSettings, load_training_settings
    from llmrec.workspace import Workspace, find_workspace

    settings = load_training_settings(config) if config else TrainingSettings()
    with closing(Workspace(find_workspace(workspace))) as opened:
        done = run(opened, settings, name, resume=resume, progress=progress_for(as_json))
    if as_json:
        print_json(done.card | {"folder": str(done.folder)})
        return
    _print_metrics(done, "the text of users on validation")


def _explainer(
    config: Path | None, name: str | None, resume: bool, workspace: Path | None, as_json: bool
) -> None:
    from llmrec.training.explainer.finetuning import finetune_explainer, setting_of
    from llmrec.training.settings import ExplainerSettings, load_recipe
    from llmrec.workspace import Workspace, find_workspace

    settings = load_recipe(config, ExplainerSettings) if config else ExplainerSettings()
    with closing(Workspace(find_workspace(workspace))) as opened:
        done = finetune_explainer(opened, settings, name, resume=resume, progress=progress_for(as_json))
    if as_json:
        print_json(done.card | {"folder": str(done.folder), "setting": setting_of(done)})
        return
    _print_metrics(done, "explanations for held-out users, without the grammar")
    console.print(plain(f"To use it, put into llmrec.toml:\n\n[models]\n{setting_of(done)}"), soft_wrap=True)


def _print_metrics(done: Finetuned, what: str) -> None:
    metrics = done.card["metrics"]
    rows = [
        (metric, f"{before:.4f}", f"{metrics['after'][metric]:.4f}")
        for metric, before in metrics["before"].items()
    ]
    base = done.card["base"]["name"]
    print_table(f"{done.card['name']}: {what}", ["", base, "fine-tuned"], rows)
    console.print(plain(f"Adapter: {done.folder}"), soft_wrap=True)
