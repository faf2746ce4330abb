"""The curve of a run: loss and validation by step, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.training.judge import METRIC

JSON, PNG = "curve.json", "curve.png"
_SMOOTHED = 3
_DIVERGED = 2.0
_KEPT = ("step", "epoch", "loss", "teacher_error", "learning_rate", "tokens_per_second")


def curve_of(history: Iterable[Mapping[str, float]], before: Mapping[str, float]) -> list[dict[str, float]]:
    """What the trainer logged of loss and validation, after what the base model reached.

    Args:
        history: entries of ``TrainerState.log_history``.
        before: metrics of the base model.
    """
    curve: list[dict[str, float]] = [{"step": 0, "epoch": 0.0, **before}]
    for entry in history:
        point = {name: entry[name] for name in _KEPT if name in entry}
        point |= {name: entry[f"eval_{name}"] for name in before if f"eval_{name}" in entry}
        if "loss" in point or before.keys() & point.keys():
            curve.append(point)
    return curve


def divergence(losses: Sequence[float]) -> tuple[float, float] | None:
    """The least loss and the present one, where the present one is far beyond it; else None.

    Both are means of a few neighbouring ``losses``, since a single one says little.
    """
    if len(losses) < 2 * _SMOOTHED:
        return None
    means = np.convolve(losses, np.full(_SMOOTHED, 1 / _SMOOTHED), mode="valid")
    least, present = float(means.min()), float(means[-1])
    return (least, present) if present > max(_DIVERGED * least, least + 1) else None


def write_curve(curve: Iterable[Mapping[str, float]], folder: Path, metric: str = METRIC) -> None:
    """Write ``curve.json`` and ``curve.png``, which shows the loss and a metric.

    Raises:
        OSError: the files cannot be written.
    """
    from matplotlib.figure import Figure

    curve = [*curve]
    text = json.dumps(curve, allow_nan=False, indent=2)
    (folder / JSON).write_text(f"{text}\n", encoding="utf-8")
    figure = Figure(figsize=(8, 4), layout="constrained")
    losses = figure.add_subplot()
    metrics = losses.twinx()
    _line(losses, curve, "loss", "#0072b2")
    _line(metrics, curve, metric, "#d55e00")
    losses.set_xlabel("step")
    metrics.set_ylim(bottom=0)
    figure.savefig(folder / PNG, dpi=120, metadata={"Software": None})


def _line(axes: Any, curve: Iterable[Mapping[str, float]], name: str, color: str) -> None:
    points = [(point["step"], point[name]) for point in curve if name in point]
    axes.plot(*zip(*points, strict=True), "o-", markersize=3, color=color) if points else None
    axes.set_ylabel(name, color=color)
