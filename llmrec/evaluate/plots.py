"""The report's plots, as SVG. They need matplotlib (extra ``evaluate``); a report without has tables only."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from llmrec.evaluate.run import CHOSEN_BY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Spans = Mapping[str, Mapping[str, float]]
"""Label to ``mean``, ``low`` and ``high``."""

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b", "#7f7f7f")
"""Okabe and Ito's colours, which the colour-blind tell apart, and two more."""
_STYLE = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "axes.axisbelow": True}


def plots(document: Mapping[str, Any]) -> dict[str, str]:
    """Caption to SVG element, for what the document of a report holds; empty without matplotlib."""
    if find_spec("matplotlib") is None:
        return {}
    models = document["models"]
    drawn = {
        f"{metric}, mean and 95% interval over users": _spans(
            {entry["model"]: entry["metrics"][metric] for entry in models}, metric
        )
        for metric in (CHOSEN_BY, "recall@10")
    }
    drawn["NDCG@10 by the number of events known of the user"] = _lines(document["by_history"])
    drawn["NDCG@10 by the age of the item"] = _lines(document["by_item_age"])
    if document["weights"]:
        drawn["What each channel weighs in the scorer"] = _cells(document["weights"])
    removed = {entry["model"]: entry["difference"][CHOSEN_BY] for entry in document["ablations"]}
    if removed:
        drawn["NDCG@10 against the whole scorer, with a part removed"] = _spans(removed, "difference")
    return drawn


def draw_spans(axes: Axes, spans: Spans, label: str) -> None:
    """A point with its interval for each label, from top to bottom; ``label`` names the axis of values."""
    for place, span in enumerate(spans.values()):
        axes.plot([span["low"], span["high"]], [place, place], color=COLORS[0], linewidth=2)
        axes.plot(span["mean"], place, "o", color=COLORS[0])
    axes.set_yticks(range(len(spans)), [*spans])
    axes.set_ylim(len(spans) - 0.5, -0.5)
    axes.set_xlabel(label)
    if all(span["low"] >= 0 for span in spans.values()):
        axes.set_xlim(left=0)
    else:
        axes.axvline(0, color="#999999", linewidth=1)


def _spans(spans: Spans, label: str) -> str:
    return _svg(lambda axes: draw_spans(axes, spans, label), 1.0 + 0.3 * len(spans), label)


def _lines(buckets: Sequence[Mapping[str, Any]]) -> str:
    """NDCG@10 of each model over the buckets, intervals beside each other."""

    def draw(axes: Axes) -> None:
        names = [*buckets[0]["models"]]
        for place, name in enumerate(names):
            spans = [bucket["models"][name] for bucket in buckets]
            across = [at + 0.6 * ((place + 0.5) / len(names) - 0.5) for at in range(len(buckets))]
            color, marker = COLORS[place % len(COLORS)], "os^"[place // len(COLORS) % 3]
            means = [span["mean"] for span in spans]
            axes.plot(across, means, marker, markersize=4, color=color, label=name)
            axes.vlines(across, [span["low"] for span in spans], [span["high"] for span in spans], color)
        ticks = [f"{textwrap.fill(bucket['bucket'], 14)}\n{bucket['users']} users" for bucket in buckets]
        axes.set_xticks(range(len(buckets)), ticks)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(CHOSEN_BY)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)

    return _svg(draw, 3.2, "".join(bucket["bucket"] for bucket in buckets))


def _cells(weights: Mapping[str, Mapping[str, float]]) -> str:
    """Weights of the channels (across) in each circumstance (down), the heavier the darker."""

    def draw(axes: Axes) -> None:
        channels = [*dict.fromkeys(name for of in weights.values() for name in of)]
        cells = [[of.get(channel, 0.0) for channel in channels] for of in weights.values()]
        middle = max(map(max, cells)) / 2
        axes.pcolormesh(cells, cmap="Blues", vmin=0)
        for down, row in enumerate(cells):
            for across, value in enumerate(row):
                color = "white" if value > middle else "black"
                axes.text(
                    across + 0.5,
                    down + 0.5,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=8,
                )
        axes.set_xticks(np.arange(len(channels)) + 0.5, [textwrap.fill(name, 10) for name in channels])
        axes.set_yticks(np.arange(len(weights)) + 0.5, [*weights])
        axes.invert_yaxis()
        axes.grid(visible=False)

    return _svg(draw, 1.0 + 0.3 * len(weights), "weights")


def _svg(draw: Callable[[Axes], None], height: float, salt: str) -> str:
    """An ``<svg>`` element; ``salt`` keeps the ids of plots on one page apart."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE | {"svg.hashsalt": salt}):
        figure = Figure(figsize=(8, height), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
