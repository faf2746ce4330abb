"""How sure a mean over users is, and whether two models differ.

Users are drawn anew, not cases, since a user's cases are alike. Draws are kept as how often each user came,
so that thousands of them cost one matrix product, whatever the number of metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 5_000
_LEVEL = 0.95
_BLOCK = 4_000_000
"""Numbers drawn at a time: 32 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference(Interval):
    """Mean difference of two models over the same users; ``p``: two-sided, of no difference."""

    p: float


def interval(values: Values, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Percentile bootstrap of the mean of ``values``, (users,)."""
    return intervals(values[:, None], seed, resamples)[0]


def intervals(values: Values, seed: int = 0, resamples: int = RESAMPLES) -> list[Interval]:
    """Likewise of each column of ``values``, (users, metrics), by the same draws.

    Raises:
        ValueError: there are no users.
    """
    count = len(values)
    if not count:
        raise ValueError("no users to draw from")
    rng = np.random.default_rng(seed)
    means = np.concatenate([_drawn(rng, size, count) @ values / count for size in _blocks(resamples, count)])
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return [
        Interval(float(mean), float(least), float(most))
        for mean, least, most in zip(values.mean(axis=0), low, high, strict=True)
    ]


def difference(ours: Values, theirs: Values, seed: int = 0, resamples: int = RESAMPLES) -> Difference:
    """Paired comparison of two models, both (users,) in the same order.

    The interval is a bootstrap of the differences; ``p`` is from a randomisation test that flips their signs
    (Smucker et al., CIKM 2007), at least 1/(resamples + 1).
    """
    gained = ours - theirs
    found = interval(gained, seed, resamples)
    rng = np.random.default_rng(seed)
    # Sums that differ by rounding only count as equal.
    extreme = abs(gained.sum()) * (1 - 1e-9)
    beyond = sum(
        int((abs((2 * rng.integers(0, 2, (size, len(gained)), np.int8) - 1) @ gained) >= extreme).sum())
        for size in _blocks(resamples, len(gained))
    )
    return Difference(found.mean, found.low, found.high, (beyond + 1) / (resamples + 1))


def _drawn(rng: np.random.Generator, size: int, users: int) -> NDArray[np.intp]:
    """How often each user came in ``size`` draws with replacement, (size, users)."""
    drawn = rng.integers(0, users, (size, users)) + users * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)


def _blocks(resamples: int, users: int) -> list[int]:
    """Sizes of blocks of draws that fit the memory set aside for them."""
    size = max(1, _BLOCK // users)
    full, rest = divmod(resamples, size)
    return [size] * full + [rest] * (rest > 0)
