"""Plots for notebooks, as matplotlib figures: what moved a score, where items lie, how sure a metric is.

They need the ``notebooks`` extra. A figure that is a cell's last value is shown; ``figure.savefig`` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import MissingExtraError
from llmrec.evaluate.plots import COLORS, Spans, draw_spans
from llmrec.schema import Recommendation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXTRA = "notebooks"
_NEIGHBORS = 12
"""Perplexity of the map: about how many neighbours of an item keep their place beside it."""
_LONGEST = 40


def contribution_bars(recommendations: Sequence[Recommendation]) -> Figure:
    """A bar for each recommendation, split into the channels of its score; what lowers it is left of zero.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for entry in recommendations for name in entry.contributions))
    places = np.arange(len(recommendations))
    with _axes(1.2 + 0.4 * len(recommendations)) as (figure, axes):
        ends = {True: np.zeros(len(places)), False: np.zeros(len(places))}
        for number, name in enumerate(names):
            values = np.array([entry.contributions.get(name, 0.0) for entry in recommendations])
            helps = values >= 0
            left = np.where(helps, ends[True], ends[False])
            hatch = "//" if number >= len(COLORS) else ""
            color = COLORS[number % len(COLORS)]
            axes.barh(places, values, left=left, color=color, hatch=hatch, edgecolor="white", label=name)
            ends[True] += np.where(helps, values, 0)
            ends[False] += np.where(helps, 0, values)
        axes.set_yticks(places, [(entry.title or entry.item_id)[:_LONGEST] for entry in recommendations])
        axes.invert_yaxis()
        axes.axvline(0, color="#999999", linewidth=1)
        axes.set_xlabel("contribution to the score")
        axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, fontsize=8)
    return figure


def embedding_map(
    vectors: NDArray[np.float32], groups: Sequence[str], labels: Sequence[str] = (), seed: int = 0
) -> Figure:
    """Vectors on a plane by t-SNE: near ones stay near; far distances mean nothing.

    Args:
        vectors: unit vectors, (points, dimension), three or more.
        groups: what each point is coloured by.
        labels: written beside the points; none where empty, as is a label.
        seed: of the layout; the same one gives the same map.

    Raises:
        MissingExtraError: matplotlib or scikit-learn is not installed.
        ValueError: there are less than three points, or other numbers of groups or labels than of points.
    """
    if len(vectors) < 3 or len(groups) != len(vectors) or len(labels) not in (0, len(vectors)):
        raise ValueError(f"{len(vectors)} vectors with {len(groups)} groups and {len(labels)} labels")
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtraError("scikit-learn", _EXTRA) from error
    perplexity = min(_NEIGHBORS, (len(vectors) - 1) / 3)
    plane = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed)
    places = plane.fit_transform(np.asarray(vectors, np.float32))
    with _axes(6.0) as (figure, axes):
        for number, group in enumerate(dict.fromkeys(groups)):
            here = places[[at for at, name in enumerate(groups) if name == group]]
            marker = "os^D"[number // len(COLORS) % 4]
            color = COLORS[number % len(COLORS)]
            axes.scatter(here[:, 0], here[:, 1], s=30, color=color, marker=marker, label=group)
        for (x, y), label in zip(places.tolist(), labels, strict=False):
            axes.annotate(label[:_LONGEST], (x, y), (4, 3), textcoords="offset points", fontsize=7)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, fontsize=8)
    return figure


def metric_intervals(spans: Spans, label: str) -> Figure:
    """A mean with its interval for each name, from top to bottom; a line at 0 where intervals reach below.

    Args:
        spans: name to ``mean``, ``low`` and ``high``, as in reports.
        label: of the axis.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with _axes(1.0 + 0.4 * len(spans)) as (figure, axes):
        draw_spans(axes, spans, label)
    return figure


@contextmanager
def _axes(height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure to draw on, that is shown only where it is asked for; ``height`` in inches."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtraError("matplotlib", _EXTRA) from error
    figure, axes = pyplot.subplots(figsize=(7.5, height), layout="constrained")
    try:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        yield figure, axes
    finally:
        pyplot.close(figure)
