"""``llmrec finetune``."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for
from llmrec.errors import ConfigError

if TYPE_CHECKING:
    from llmrec.training.runs import Finetuned


class Role(StrEnum):
    """What is fine-tuned."""

    encoder = "encoder"
    explainer = "explainer"
    captioner = "captioner"


def finetune(
    role: Annotated[
        Role,
        typer.Option(
            help="What learns: the encoder to rank, the explainer to phrase evidence, or the captioner to "
            "describe pictures."
        ),
    ] = Role.encoder,
    config: Annotated[Path | None, typer.Option(help="YAML of settings, such as those in finetune/.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the adapter. Default: the next free one.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Captioner: learn from the catalog's items; its folder, which pictures lie in."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help='Captioner: learn from other pictures: lines of {"image": PATH, "captions": [TEXT]}, or '
            "a folder with pairs.jsonl, or with a .txt beside each picture."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a model on the log, or on pictures with captions, and validate it beside its base model."""
    if role is Role.captioner:
        _captioner(config, name, resume, pictures, pairs, workspace, as_json)
        return
    if pictures or pairs:
        raise ConfigError("--pictures and --pairs are for --role captioner")
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


def _captioner(
    config: Path | None,
    name: str | None,
    resume: bool,
    pictures: Path | None,
    pairs: Path | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    from llmrec.training.captioner.finetuning import finetune_captioner, setting_of
    from llmrec.training.captioner.pairs import catalog_pairs, read_pairs
    from llmrec.training.settings import CaptionerSettings, load_recipe
    from llmrec.workspace import Workspace, find_workspace

    settings = load_recipe(config, CaptionerSettings) if config else CaptionerSettings()
    with closing(Workspace(find_workspace(workspace))) as opened:
        if pictures is not None and pairs is None:
            found = catalog_pairs(opened, pictures, settings.texts)
        elif pairs is not None and pictures is None:
            found = read_pairs(pairs, opened.settings.media)
        else:
            raise ConfigError(
                "--role captioner learns either from the catalog or from other pictures",
                "Give --pictures FOLDER, the catalog's, or --pairs FILE.",
            )
        done = finetune_captioner(
            opened, found, settings, name, resume=resume, progress=progress_for(as_json)
        )
    if as_json:
        print_json(done.card | {"folder": str(done.folder), "setting": setting_of(done)})
        return
    _print_metrics(done, "held-out pictures")
    if left_out := done.card["data"]["left_out"]:
        told = ", ".join(f"{count} {kind}" for kind, count in left_out.items())
        console.print(plain(f"Left out: {told} ({done.folder / 'left_out.jsonl'})"), soft_wrap=True)
    console.print(plain(f"To use it, put into llmrec.toml:\n\n[models]\n{setting_of(done)}"), soft_wrap=True)


def _print_metrics(done: Finetuned, what: str) -> None:
    metrics = done.card["metrics"]
    rows = [
        (metric, f"{before:.4f}", f"{metrics['after'][metric]:.4f}")
        for metric, before in metrics["before"].items()
    ]
    base = done.card["base"]["name"]
    print_table(f"{done.card['name']}: {what}", ["", base, "fine-tuned"], rows)
    console.print(plain(f"Written: {done.folder}"), soft_wrap=True)
