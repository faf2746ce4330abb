"""The comparison of prompts of a workspace, from their names to a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from llmrec.encode import load_encoder
from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.experiments.explanations import compare_explanation_prompts
from llmrec.experiments.kept import Kept, kept
from llmrec.experiments.results import KIND
from llmrec.experiments.roles import Role, contenders
from llmrec.experiments.texts import compare_item_prompts, compare_user_prompts
from llmrec.explain.generator import Generator, load_generator
from llmrec.explain.verifier import Verifier
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import Prompt, load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.reports import header, new_folder, write
from llmrec.training.validation import Sample, Validation
from llmrec.workspace import Snapshot, Workspace


def compare(
    workspace: Workspace,
    specs: Sequence[str],
    sample: Sample = Sample(),
    *,
    role: Role | None = None,
    grammar: bool = True,
    progress: Progress = NoProgress(),
) -> dict[str, Any]:
    """Compare versions of a prompt on the validation stage of leave-last-out, and keep the report.

    The newest event of a user, the test, is no part of it, and nothing of the workspace changes but that the
    report is in its ``reports``. A comparison that was stopped goes on where it was, if it is the next one.

    Items or users are ranked by the text of the user alone. With fewer items than the catalog has, metrics
    are higher than in an evaluation.

    Args:
        workspace: an indexed one.
        specs: ``NAME`` or ``NAME@VERSION``, two or more of one role; the others are compared with the first.
        sample: how much is asked.
        role: of prompts with names of their own.
        grammar: whether explanations are held to the grammar, as in use.
        progress: shows loading, encoding and writing.

    Returns:
        The document that ``llmrec prompts compare --json`` prints.

    Raises:
        PromptError: a prompt is missing or malformed, or they cannot be compared.
        WorkspaceError: nothing is indexed yet, the items were encoded by another model, or another
            comparison is running.
        TrainingError: the log has nobody to ask.
        AssetError: the encoder or the explainer cannot be had.
    """
    role, prompts = contenders(workspace, specs, role)
    present = workspace.require_present()
    catalog = Catalog(present.table, workspace.settings.rank.exact_items)
    asked = sample.explanations if role == "explain" else sample.users
    validation = Validation(workspace, catalog, LEAVE_LAST_OUT, asked)
    explainer = load_generator(workspace.settings.models.explainer, progress) if role == "explain" else None
    asked_by: list[Any] = [role, asdict(sample)]
    if explainer:
        ranking = [present.snapshot.channels, workspace.settings.rank.model_dump(mode="json")]
        asked_by += [explainer.fingerprint, grammar, ranking]
    identity = _identity(workspace, present.snapshot, prompts, validation, asked_by)
    document = header(asdict(sample)) | {"role": role}
    with kept(workspace.root / "staging" / "prompts", identity) as done:
        if explainer:
            document |= _explanations(prompts, validation, explainer, done, progress, grammar)
        else:
            document |= _texts(workspace, present.snapshot, prompts, validation, sample, role, done, progress)
        path = write(document, new_folder(workspace.root, KIND))
    return document | {"report": str(path)}


def _texts(
    workspace: Workspace,
    snapshot: Snapshot,
    prompts: Sequence[Prompt],
    validation: Validation,
    sample: Sample,
    role: Role,
    done: Kept,
    progress: Progress,
) -> dict[str, Any]:
    spec = workspace.require_encoder(snapshot).spec
    encoder = load_encoder(spec, workspace.settings.encoder, progress)
    candidates = validation.questions.candidates(sample.items)
    run = compare_item_prompts if role == "item" else compare_user_prompts
    rows = run(prompts, validation, candidates, encoder, done, progress)
    return {
        "model": snapshot.encoder_name,
        "items": len(validation.catalog),
        "candidates": len(candidates),
        "users": len(validation.questions.cases),
        "rows": [row.to_json() for row in rows],
    }


def _explanations(
    prompts: Sequence[Prompt],
    validation: Validation,
    explainer: Generator,
    done: Kept,
    progress: Progress,
    grammar: bool,
) -> dict[str, Any]:
    settings = validation.workspace.settings
    cases = validation.explanations()
    rows = compare_explanation_prompts(
        prompts,
        cases,
        explainer,
        Verifier(validation.catalog.titles()),
        settings.explain,
        done,
        progress,
        grammar=grammar,
    )
    return {
        "model": settings.models.explainer,
        "explanations": len(cases),
        "grammar": grammar,
        "rows": [row.to_json() for row in rows],
    }


def _identity(
    workspace: Workspace,
    snapshot: Snapshot,
    prompts: Sequence[Prompt],
    validation: Validation,
    asked_by: Sequence[Any],
) -> str:
    """Changes with whatever a figure depends on."""
    settings, catalog = workspace.settings, validation.catalog
    used = load_prompt(settings.documents.user_prompt, workspace.root / "prompts")
    known = [
        [prompt.identity for prompt in (*prompts, used)],
        [snapshot.table, snapshot.version, snapshot.encoder_fingerprint],
        validation.questions.split.log.fingerprint(catalog.ids),
        [settings.documents.model_dump(mode="json"), settings.encoder.model_dump(mode="json")],
        settings.explain.model_dump(mode="json"),
        asked_by,
    ]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]
