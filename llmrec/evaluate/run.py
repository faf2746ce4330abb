"""The runner: settings are chosen on validation, models trained again for the test, the test read once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import EvaluationError, LlmrecError
from llmrec.evaluate.metrics import CUTOFFS, Shown, accuracy, by_user, places
from llmrec.evaluate.model import Fitted, Model, Result, Setting
from llmrec.evaluate.split import Case, Split
from llmrec.evaluate.splits import Stages
from llmrec.progress import NoProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste

TasteOf = Callable[[Split, Case], Taste]
"""What is known at a case; adds a vector made of nothing but the known history."""

CHOSEN_BY = "ndcg@10"
"""The metric that decides, on validation and in the report."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One trained model on the cases of one split: accuracy by case, (cases,) each, and what it showed."""

    cases: Mapping[str, NDArray[np.float64]]
    shown: Mapping[str, float]
    answered: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _Stage:
    """A split with the tastes of its cases, which all models share."""

    split: Split
    tastes: Sequence[Taste]
    users: NDArray[np.intp]

    @classmethod
    def of(cls, split: Split, taste_of: TasteOf, progress: Progress) -> _Stage:
        if not split.cases:
            raise EvaluationError(
                f"{split.name}, {split.stage}: the log leaves no cases to ask about",
                "; ".join(f"{reason}: {count}" for reason, count in split.left_out.items() if count) or None,
            )
        tastes = []
        with progress.task(f"histories of {split.stage}", len(split.cases), "cases") as task:
            for case in split.cases:
                tastes.append(taste_of(split, case))
                task.advance()
        return cls(split, tastes, np.array([case.user for case in split.cases], np.intp))


def evaluate(
    models: Sequence[Model],
    stages: Stages,
    catalog: Catalog,
    *,
    seeds: Sequence[int] = (0,),
    cutoffs: Sequence[int] = CUTOFFS,
    taste_of: TasteOf = Split.taste,
    progress: Progress = NoProgress(),
) -> list[Result]:
    """What each model reaches on the test cases, in the order of the models.

    Of a model's grid the setting with the highest NDCG@10 on validation is taken, the first of equals, all
    trained with the first seed. It is trained again for the test with every seed; values are means of these.

    Raises:
        EvaluationError: a stage has no cases, or a model fails or gives scores that are not finite; names it.
    """
    choosing = any(len(model.grid) > 1 for model in models)
    test = _Stage.of(stages[1], taste_of, progress)
    validation = _Stage.of(stages[0], taste_of, progress) if choosing else test
    cutoffs = tuple(dict.fromkeys((10, *cutoffs)))
    results = []
    total = sum(len(seeds) + len(model.grid) * (len(model.grid) > 1) for model in models)
    with progress.task("models trained and asked", total, "models") as task:

        def measure(model: Model, setting: Setting, stage: _Stage, seed: int) -> tuple[_Measured, float]:
            with _named(model, setting, stage.split):
                began = time.perf_counter()
                fitted = model.fit(catalog, stage.split.train, setting, seed, progress)
                trained = time.perf_counter() - began
                measured = _measure(model.name, fitted, stage, cutoffs, progress)
            task.advance()
            return measured, trained

        for model in models:
            setting = model.grid[0]
            if len(model.grid) > 1:
                tried = [measure(model, each, validation, seeds[0])[0] for each in model.grid]
                reached = [by_user(validation.users, each.cases[CHOSEN_BY]).mean() for each in tried]
                setting = model.grid[int(np.argmax(reached))]
            results.append(
                _result(model, setting, test, [measure(model, setting, test, seed) for seed in seeds])
            )
    return results


def _measure(
    name: str, fitted: Fitted, stage: _Stage, cutoffs: Sequence[int], progress: Progress
) -> _Measured:
    split, shown = stage.split, Shown(stage.split.train, cutoffs)
    rows: list[dict[str, float]] = []
    seconds, answered = 0.0, 0
    with progress.task(f"{name} on {split.stage}", len(split.cases), "cases") as task:
        for case, taste in zip(split.cases, stage.tastes, strict=True):
            began = time.perf_counter()
            scores = fitted.score(taste)
            seconds += time.perf_counter() - began
            found = np.full(len(case.targets), np.inf)
            if scores is not None:
                masked = _masked(scores, taste, split.train.size)
                found = places(masked, case.targets)
                shown.add(case.user, masked, taste.history)
                answered += 1
            rows.append(accuracy(found, cutoffs))
            task.advance()
    cases = {metric: np.array([row[metric] for row in rows]) for metric in rows[0]}
    return _Measured(cases, shown.values(), answered / len(rows), seconds / len(rows))


def _masked(scores: Scores, taste: Taste, size: int) -> Scores:
    """A copy of the scores with -inf for what is known."""
    if scores.shape != (size,):
        raise ValueError(f"scores of shape {scores.shape} for {size} items")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {size} scores are NaN or infinite")
    masked = scores.copy()
    masked[taste.history] = -np.inf
    return masked


def _result(model: Model, setting: Setting, test: _Stage, runs: Sequence[tuple[_Measured, float]]) -> Result:
    """The mean over runs with different seeds."""
    measured = [run for run, _ in runs]
    first = measured[0]
    cases = {name: np.mean([run.cases[name] for run in measured], axis=0) for name in first.cases}
    return Result(
        model=model.name,
        setting=setting,
        users=np.unique(test.users),
        values={name: by_user(test.users, values) for name, values in cases.items()},
        cases=cases[CHOSEN_BY],
        catalog={name: float(np.mean([run.shown[name] for run in measured])) for name in first.shown},
        answered=float(np.mean([run.answered for run in measured])),
        fit_seconds=float(np.mean([trained for _, trained in runs])),
        rank_seconds=float(np.mean([run.seconds for run in measured])),
    )


@contextmanager
def _named(model: Model, setting: Setting, split: Split) -> Iterator[None]:
    """Whatever fails within is said of the model, its setting and the split."""
    chosen = ", ".join(f"{name} = {value}" for name, value in setting.items())
    where = f"{model.name}{f' ({chosen})' if chosen else ''} on {split.name}, {split.stage}"
    try:
        yield
    except LlmrecError as error:
        raise EvaluationError(f"{where}: {error.message}", error.hint) from error
    except Exception as error:
        raise EvaluationError(f"{where}: {type(error).__name__}: {error}") from error
