"""The command line's verbs for Python: each opens a workspace, does one thing, and closes it.

    >>> from llmrec import Recommender, api                               # doctest: +SKIP
    >>> api.index("items.jsonl", "log.csv", workspace="shop/")            # doctest: +SKIP
    >>> api.compare_prompts("shop/", "item@1", "item@2")                  # doctest: +SKIP

All take ``progress``; ``llmrec.progress.ConsoleProgress()`` shows bars. Errors are those of
:mod:`llmrec.errors`, and say what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from llmrec import adapters
from llmrec.config import problems
from llmrec.errors import ConfigError
from llmrec.evaluate.baselines import BASELINES
from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.evaluating import Evaluation
from llmrec.experiments import Sample, compare, results
from llmrec.experiments.roles import Role
from llmrec.indexing import IndexReport, IndexRun, Sources
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import Prompt, copy_prompt as copy
from llmrec.recommender import Recommender
from llmrec.schema import Modality
from llmrec.training.finetuning import finetune as train
from llmrec.training.runs import Finetuned
from llmrec.training.settings import TrainingSettings
from llmrec.workspace import Workspace

Folder = str | Path

__all__ = [
    "compare_adapters",
    "compare_prompts",
    "copy_prompt",
    "evaluate",
    "finetune",
    "index",
    "prompt_results",
    "use_adapter",
    "vectors",
]


def index(
    catalog: Folder,
    *logs: Folder,
    workspace: Folder,
    users: Sequence[Folder] = (),
    progress: Progress = NoProgress(),
) -> IndexReport:
    """Index a catalog and its logs into a workspace, made where there is none; see ``llmrec index``.

    Args:
        catalog: JSON Lines, CSV, Parquet, a folder of media, ...
        logs: of events.
        workspace: its folder.
        users: tables of users.
        progress: shows what is done.

    Raises:
        ReaderError: a source cannot be read at all.
        WorkspaceError: another run is writing, the disk is full, or another model encoded the items.
    """
    sources = Sources(Path(catalog), tuple(map(Path, logs)), tuple(map(Path, users)))
    with closing(Workspace.create(Path(workspace))) as opened:
        return IndexRun(opened, sources, progress=progress)()


def evaluate(
    workspace: Folder,
    *,
    split: str = LEAVE_LAST_OUT,
    baselines: Sequence[str] = tuple(BASELINES),
    seeds: Sequence[int] = (0,),
    ablate: bool = False,
    progress: Progress = NoProgress(),
) -> dict[str, Any]:
    """What the recommender and baselines reach on the log, as ``llmrec evaluate --json`` prints it.

    It trains all models anew and reads the test: compare prompts and adapters on validation instead.

    Args:
        workspace: its folder.
        split: ``leave-last-out``, ``global-time``, ``cold-items`` or ``cold-users``.
        baselines: names of models to compare with.
        seeds: of training.
        ablate: also remove each channel in turn.
        progress: shows what is trained and asked.

    Raises:
        RequestError: a name is none.
        EvaluationError: the log cannot be split so, or has too few users.
    """
    with _opened(workspace) as opened:
        return Evaluation(opened, progress).report(split, baselines, seeds, ablate)


def finetune(
    workspace: Folder,
    settings: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    resume: bool = False,
    progress: Progress = NoProgress(),
) -> Finetuned:
    """Fine-tune the encoder on the log; see ``llmrec finetune``. Returns the adapter's folder and its card.

    Args:
        workspace: its folder.
        settings: as in a recipe of ``finetune/``; defaults where they are not given.
        name: of the adapter; None for the next free one.
        resume: go on with a run that was stopped.
        progress: shows steps, loss and validation.

    Raises:
        ConfigError: a setting is unknown or out of range.
        TrainingError: the log has too little to learn from, or training went wrong.
        MissingExtraError: a library of the ``finetune`` extra is not installed.
    """
    try:
        checked = TrainingSettings.model_validate(settings or {})
    except ValidationError as error:
        raise ConfigError(f"settings of the run: {problems(error)}") from error
    with _opened(workspace) as opened:
        return train(opened, checked, name, resume=resume, progress=progress)


def compare_adapters(workspace: Folder, *names: str, progress: Progress = NoProgress()) -> adapters.Compared:
    """The encoder and its adapters on validation; see ``llmrec adapters compare``.

    Raises:
        AdapterError: one that was named cannot be used.
    """
    with _opened(workspace) as opened:
        return adapters.compare(opened, names, progress)


def use_adapter(
    workspace: Folder, name: str | None, *, force: bool = False, progress: Progress = NoProgress()
) -> adapters.Used:
    """Encode all items by an adapter, None for none, and swap; see ``llmrec adapters use``.

    Raises:
        AdapterError: it is missing or damaged, or no better on validation and ``force`` was not said.
    """
    with _opened(workspace) as opened:
        return adapters.use(opened, name, force=force, progress=progress)


def copy_prompt(workspace: Folder, spec: str) -> Prompt:
    """Copy a prompt into a workspace as its next version, to edit the file at its ``path``.

    Raises:
        PromptError: there is no such prompt, or the copy cannot be written.
    """
    return copy(spec, Path(workspace) / "prompts")


def compare_prompts(
    workspace: Folder,
    *specs: str,
    items: int = 1000,
    users: int = 300,
    explanations: int = 20,
    role: Role | None = None,
    grammar: bool = True,
    progress: Progress = NoProgress(),
) -> dict[str, Any]:
    """Versions of a prompt on validation; see ``llmrec prompts compare``. The report is kept.

    Args:
        workspace: its folder.
        specs: ``NAME`` or ``NAME@VERSION``, two or more; the others are compared with the first.
        items: that are ranked, at most, but for those that were chosen.
        users: that they are ranked for, at most.
        explanations: by each prompt, at most.
        role: ``item``, ``user`` or ``explain``, of prompts with names of their own.
        grammar: hold explanations to the grammar, as they are in use.
        progress: shows encoding and writing.

    Raises:
        PromptError: a prompt is missing or malformed, or they cannot be compared.
        TrainingError: the log has nobody to ask.
    """
    with _opened(workspace) as opened:
        sample = Sample(items, users, explanations)
        return compare(opened, specs, sample, role=role, grammar=grammar, progress=progress)


def prompt_results(workspace: Folder) -> list[dict[str, Any]]:
    """Every comparison of prompts that a workspace keeps, the oldest first."""
    return results(Path(workspace))


def vectors(
    recommender: Recommender, modality: Modality | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """Ids and unit vectors, (items, dimension), of the items of a workspace.

    Args:
        recommender: an open one.
        modality: ``text``, ``picture`` or ``sound`` for the vectors of that alone, of the items that have it;
            None for the vectors of the whole documents.
    """
    catalog = recommender.catalog
    rows = np.arange(len(catalog))
    if modality is None:
        return list(catalog.ids), catalog.vectors(rows)
    found, known = catalog.field_vectors(modality, rows)
    return [catalog.ids[row] for row in np.flatnonzero(known)], found[known]


@contextmanager
def _opened(workspace: Folder) -> Iterator[Workspace]:
    with closing(Workspace(Path(workspace))) as opened:
        yield opened
