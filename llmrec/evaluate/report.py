"""The report: what was compared, how, and what came out, as one JSON document."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np

from llmrec import __version__
from llmrec.evaluate.buckets import Bucket, by_history, by_item_age
from llmrec.evaluate.leakage import Leak
from llmrec.evaluate.model import Result
from llmrec.evaluate.run import CHOSEN_BY
from llmrec.evaluate.splits import DESCRIPTIONS, Stages
from llmrec.evaluate.statistics import difference, intervals
from llmrec.rank.log import Log

SCORER = "fusion"
"""The model whose lead over the best of the others is stated."""

_COMPARED = (CHOSEN_BY, "recall@10")
_PACKAGES = ("numpy", "scipy", "torch", "transformers", "lancedb")

Document = dict[str, Any]
"""The JSON contract of ``llmrec evaluate``."""


@dataclass(frozen=True)
class Report:
    """Results on one split with what it takes to trust them. It does not know how models are made.

    Args:
        log: all events.
        stages: validation and test.
        results: one for each model, over the test stage's users.
        leaks: what the leakage check found.
        seeds: of training.
        encoder: name and fingerprint of the encoder that made the catalog's vectors.
        ablations: the scorer with something removed, named for what.
        weights: circumstance (``all``, ``history 1–4``) to channel to what it weighs there.
        created: when, ISO 8601.
    """

    log: Log
    stages: Stages
    results: Sequence[Result]
    leaks: Sequence[Leak]
    seeds: Sequence[int]
    encoder: Mapping[str, str] = field(default_factory=dict)
    ablations: Sequence[Result] = ()
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def to_json(self) -> Document:
        """The document. Each difference is to the best of the baselines, an ablation's to the scorer."""
        test = self.stages[1]
        by_name = {result.model: result for result in self.results}
        baseline = self.best_baseline
        return {
            "protocol": self._protocol(),
            "models": [_entry(result, baseline) for result in self.results],
            "by_history": [self._bucket(bucket) for bucket in by_history(test)],
            "by_item_age": [self._bucket(bucket) for bucket in by_item_age(test)],
            "weights": {name: dict(weights) for name, weights in self.weights.items()},
            "ablations": [_entry(result, by_name.get(SCORER)) for result in self.ablations],
        }

    @property
    def best_baseline(self) -> Result | None:
        """The model with the highest mean NDCG@10 but for the scorer and its variants; None without any."""
        others = [result for result in self.results if not result.model.startswith(SCORER)]
        return max(others, key=lambda result: float(result.values[CHOSEN_BY].mean()), default=None)

    def _protocol(self) -> Document:
        test = self.stages[1]
        return {
            "split": test.name,
            "description": DESCRIPTIONS[test.name],
            "created": self.created,
            "seeds": list(self.seeds),
            "log": {
                "events": len(self.log),
                "users": len(self.log.users),
                "repeated events left out": self.log.repeated,
                "events with unknown items left out": self.log.unknown,
            },
            "stages": {
                split.stage: {
                    "counts": split.counts,
                    "left_out": dict(split.left_out),
                    "boundary": split.boundary if np.isfinite(split.boundary) else None,
                }
                for split in self.stages
            },
            "leakage": [asdict(leak) for leak in self.leaks],
            "encoder": dict(self.encoder),
            "versions": _versions(),
        }

    def _bucket(self, bucket: Bucket) -> Document:
        test = self.stages[1]
        return {
            "bucket": bucket.name,
            "cases": len(bucket.cases),
            "users": len({test.cases[case].user for case in bucket.cases}),
            "models": {result.model: asdict(bucket.measure(test, result)) for result in self.results},
        }


def _entry(result: Result, reference: Result | None) -> Document:
    found = intervals(np.stack([*result.values.values()], axis=1))
    entry: Document = {
        "model": result.model,
        "setting": dict(result.setting),
        "metrics": {name: asdict(of) for name, of in zip(result.values, found, strict=True)},
        "lists": dict(result.catalog),
        "answered": result.answered,
        "fit_seconds": result.fit_seconds,
        "rank_seconds": result.rank_seconds,
    }
    if reference is not None and reference.model != result.model:
        entry["difference"] = {
            "to": reference.model,
            **{name: _compared(result, reference, name) for name in _COMPARED},
        }
    return entry


def _compared(result: Result, reference: Result, metric: str) -> Document:
    ours, theirs = result.values[metric], reference.values[metric]
    ratio = float(ours.mean() / theirs.mean()) if theirs.any() else None
    return asdict(difference(ours, theirs)) | {"ratio": ratio}


def _versions() -> dict[str, str]:
    found = {"llmrec": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        found[package] = metadata.version(package)
    return found
