"""``llmrec finetune``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for


def finetune(
    config: Annotated[Path | None, typer.Option(help="YAML of settings, such as those in finetune/.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the adapter. Default: the next free one.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune the encoder on the workspace's log: a LoRA adapter, validated beside its base model."""
    from llmrec.training.finetuning import finetune as run
    from llmrec.training.settings import TrainingSettings, load_training_settings
    from llmrec.workspace import Workspace, find_workspace

    settings = load_training_settings(config) if config else TrainingSettings()
    with closing(Workspace(find_workspace(workspace))) as opened:
        done = run(opened, settings, name, resume=resume, progress=progress_for(as_json))
    if as_json:
        print_json(done.card | {"folder": str(done.folder)})
        return
    metrics = done.card["metrics"]
    rows = [
        (metric, f"{before:.4f}", f"{metrics['after'][metric]:.4f}")
        for metric, before in metrics["before"].items()
    ]
    base = done.card["base"]["name"]
    print_table(f"{done.card['name']}: the text of users on validation", ["", base, "fine-tuned"], rows)
    console.print(plain(f"Adapter: {done.folder}"), soft_wrap=True)
