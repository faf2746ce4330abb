"""The report on precisions: both roles, how it was measured, on what machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.precisions.encoders import PRECISIONS as OF_ENCODERS, compare_encoders
from llmrec.precisions.explainers import PRECISIONS as OF_EXPLAINERS, compare_explainers
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.reports import header
from llmrec.training.validation import Sample, Validation
from llmrec.workspace import Workspace

PRECISIONS = {"encoder": OF_ENCODERS, "explainer": OF_EXPLAINERS}
"""By role, float32 first."""


def report(
    workspace: Workspace,
    roles: Sequence[str] = tuple(PRECISIONS),
    precisions: Sequence[str] = (),
    sample: Sample = Sample(),
    progress: Progress = NoProgress(),
) -> dict[str, Any]:
    """The models of a workspace in several precisions, as ``llmrec models compare --json`` prints it.

    Asked is the validation stage of leave-last-out; the newest event of a user, the test, is no part of it.

    Args:
        workspace: an indexed one.
        roles: keys of :data:`PRECISIONS`.
        precisions: those of them that are compared; none for all. float32 always is.
        sample: how much is asked.
        progress: shows what is loaded and asked.

    Raises:
        WorkspaceError: nothing is indexed yet, or the items were encoded by another model.
        TrainingError: the log has nobody to ask.
    """
    present = workspace.require_present()
    encoding = workspace.require_encoder(present.snapshot)
    catalog = Catalog(present.table, workspace.settings.rank.exact_items)
    document = header(asdict(sample))
    if "encoder" in roles:
        validation = Validation(workspace, catalog, LEAVE_LAST_OUT, sample.users)
        document["encoder"] = compare_encoders(
            workspace,
            validation,
            encoding,
            precisions or OF_ENCODERS,
            items=sample.items,
            progress=progress,
        ).to_json()
    if "explainer" in roles:
        validation = Validation(workspace, catalog, LEAVE_LAST_OUT, sample.explanations)
        document["explainer"] = compare_explainers(
            workspace,
            validation,
            precisions or OF_EXPLAINERS,
            progress=progress,
        ).to_json()
    return document
