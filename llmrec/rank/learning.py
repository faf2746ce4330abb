"""Training of the fusion scorer: a softmax over each user's candidates, of which one was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import TrainingError
from llmrec.progress import Progress
from llmrec.rank.channel import Scores
from llmrec.rank.features import NEW
from llmrec.rank.fusion import Gates
from llmrec.rank.scorer import standardised
from llmrec.rank.top import top

_BEST = 100
"""Best items of each channel that are among an example's candidates."""
_RANDOM = 400
"""Others among them, drawn at random; each stands for as many as were not drawn."""

_STEPS = 150
_TOLERANCE = 1e-7
"""Relative gain of a step at which the search ends; float32 tells no less."""


@dataclass(frozen=True, slots=True)
class Example:
    """One list to learn from: the target comes first.

    Args:
        values: standardised scores, (channels, candidates).
        known: which of them a channel knows, (channels, candidates); a channel that had nothing to say of the
            user knows none.
        user: features of the user, (USER,).
        items: features of the candidates, (candidates, ITEM).
        offset: logarithm of how many items each candidate stands for, (candidates,).
    """

    values: Scores
    known: NDArray[np.bool_]
    user: Scores
    items: Scores
    offset: Scores


def example(
    names: Sequence[str],
    channels: Mapping[str, Scores],
    user: Scores,
    items: Scores,
    target: int,
    rng: np.random.Generator,
) -> Example:
    """What channels say of the target and of a sample of the other candidates of its kind.

    New items compete with each other here, and all others with each other. Which new item is the best can be
    learnt from a log, but not how new items compare with the others (see :mod:`llmrec.rank.newness`).

    Args:
        names: the scorer's channels.
        channels: their scores, (candidates,); those that had nothing to say are absent.
        user: features, (USER,).
        items: features, (candidates, ITEM).
        target: position of the item that was chosen.

    Raises:
        TrainingError: a channel's scores are infinite.
    """
    chosen = np.zeros(len(items), bool)
    kind = items[:, NEW] == items[target, NEW]
    found = {}
    for name, scores in channels.items():
        if np.isinf(scores).any():
            raise TrainingError(f"channel {name}: infinite scores", "The channels in use stay.")
        found[name] = standardised(scores)
        values = np.where(kind, found[name].values, -np.inf)
        chosen[top(values, _BEST)] = True
    chosen &= kind
    chosen[target] = False
    rest = np.flatnonzero(~chosen & kind)
    rest = rest[rest != target]
    drawn = rng.choice(rest, min(_RANDOM, len(rest)), replace=False)
    at = np.concatenate([[target], np.flatnonzero(chosen), drawn])
    offset = np.zeros(len(at), np.float32)
    if len(drawn):
        offset[-len(drawn) :] = np.log(len(rest) / len(drawn))
    nothing = np.zeros(len(at), np.float32)
    return Example(
        np.stack([found[name].values[at] if name in found else nothing for name in names]),
        np.stack([found[name].known[at] if name in found else nothing > 0 for name in names]),
        user,
        items[at],
        offset,
    )


def learn(examples: Sequence[Example], gated: bool, progress: Progress) -> Gates:
    """Gates under which the targets are likely: the maximum a posteriori, found by L-BFGS.

    There are about a hundred numbers to find and about two lists a user, so that a prior is the better guard
    against learning by heart: early stopping on a part of the lists ended by chance too early or too late,
    and moved NDCG by a tenth from one seed to another.

    Args:
        examples: at least one, all with the same channels.
        gated: whether weights may depend on user and item; else they are the same for all.

    Raises:
        TrainingError: the loss became NaN or infinite; names the step.
    """
    from scipy.optimize import minimize

    from llmrec.rank.gradient import Lists, Objective
    from llmrec.runtime.threads import one_thread

    objective, steps = Objective(Lists.of(examples), gated), count(1)
    with one_thread(), progress.task("Training the fusion scorer", unit="steps") as task:

        def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            value, gradient = objective(point)
            step = next(steps)
            task.advance()
            task.note(f"loss {value:.4f}")
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                raise TrainingError(
                    f"fusion scorer: the loss became {value} in step {step}", "The scorer in use stays."
                )
            return value, gradient

        options = {"maxiter": _STEPS, "ftol": _TOLERANCE}
        found = minimize(loss, objective.origin, jac=True, method="L-BFGS-B", options=options)
    return objective.gates(found.x)
