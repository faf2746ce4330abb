"""``llmrec tune``."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from llmrec.cli.evaluate import SplitName
from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, console, plain, print_json, print_table, progress_for

_SHOWN = 5


def tune(
    split: Annotated[
        SplitName, typer.Option(help="What is asked; of it the validation only.")
    ] = SplitName.LEAVE_LAST_OUT,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try, earlier runs' included.")] = 20,
    write: Annotated[bool, typer.Option("--apply", help="Write the best into llmrec.toml.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the settings of ranking on the validation part of the log. A search that stopped goes on."""
    from llmrec.evaluating import Evaluation
    from llmrec.tuning import Tuning, apply
    from llmrec.workspace import Workspace, find_workspace

    with closing(Workspace(find_workspace(workspace))) as opened:
        tuned = Tuning(Evaluation(opened, progress_for(as_json)), split.value)(trials)
        if write and tuned.changes:
            apply(opened, tuned.changes)
        root = opened.root
    if as_json:
        print_json(tuned.to_json() | {"applied": write and bool(tuned.changes)})
        return
    ordered = sorted(enumerate(tuned.tried), key=lambda entry: -entry[1].mean)
    shown = [*ordered[:_SHOWN], *(entry for entry in ordered[_SHOWN:] if entry[0] == 0)]
    rows = [
        (
            "present" if number == 0 else number,
            f"{tried.mean:.4f}",
            ", ".join(f"{name} {_short(value)}" for name, value in tried.setting.items()),
        )
        for number, tried in shown
    ]
    print_table(f"{split.value}, validation: NDCG@10", ["setting", "ndcg@10", ""], rows)
    if not tuned.changes:
        console.print("None is better than the present settings.")
        return
    gain = tuned.difference
    told = (
        f"The best is {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] against the present settings. "
        f"As the best of {len(tuned.tried)} it is flattered: `llmrec evaluate` asks the test."
    )
    console.print(plain(told), soft_wrap=True)
    if write:
        console.print(plain(f"Written to {root / 'llmrec.toml'}; the next `llmrec index` trains by it."))
        return
    lines = "\n".join(f"{name} = {_toml(value)}" for name, value in tuned.changes.items())
    console.print(plain(f"For {root / 'llmrec.toml'}, or again with --apply:\n[rank]\n{lines}"))


def _short(value: float | int | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _toml(value: float | int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
