"""What an encoder's adapter is worth: the semantic channel, and the fusion scorer, with it and without it.

    cp -r WORKSPACE ADAPTED && llmrec adapters use NAME --workspace ADAPTED
    python benchmarks/adapter.py WORKSPACE ADAPTED [--seeds 0,1,2] [--channel]

Both workspaces have the same items and log. Leave-last-out: each user's last event is asked, all before
it is known, and the adapter has learnt from all but the last five. Differences are paired by user, with 95%
bootstrap intervals. `--channel` leaves the fusion scorer out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.evaluate.baselines import BASELINES
from llmrec.evaluate.fusion import fusion_models
from llmrec.evaluate.model import Fitted, Model, Result, Setting
from llmrec.evaluate.run import evaluate
from llmrec.evaluate.splits import LEAVE_LAST_OUT, SPLITS
from llmrec.evaluate.statistics import difference
from llmrec.evaluating import Evaluation
from llmrec.progress import ConsoleProgress, Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log
from llmrec.rank.semantic import Semantic
from llmrec.workspace import Workspace

NDCG, RECALL = "ndcg@10", "recall@10"


@dataclass(frozen=True, slots=True)
class Alone:
    """The semantic channel on its own."""

    semantic: Semantic

    def score(self, taste: Taste) -> Scores | None:
        return self.semantic.score(taste, np.arange(len(self.semantic.catalog)))


class SemanticModel:
    """The same, as a model to be evaluated."""

    name = "semantic"
    grid: Sequence[Setting] = ({},)

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Fitted:
        return Alone(Semantic(catalog))


def measure(root: Path, seeds: Sequence[int], fusion: bool, progress: Progress) -> dict[str, Result]:
    """Semantic channel, EASE and, where asked for, the fusion scorer of a workspace."""
    with closing(Workspace(root)) as workspace:
        evaluation = Evaluation(workspace, progress)
        stages = SPLITS[LEAVE_LAST_OUT](evaluation.log)
        models: list[Model] = [SemanticModel(), BASELINES["ease"]]
        if fusion:
            compared, _ = fusion_models(evaluation.settings, evaluation.users, evaluation.catalog, len(seeds))
            models.append(compared[0])
        found = evaluate(
            models,
            stages,
            evaluation.catalog,
            seeds=seeds,
            taste_of=evaluation.taste,
            progress=progress,
        )
        print(f"{root.name}: {evaluation.snapshot.encoder_name}")
        return {result.model: result for result in found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("adapted", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--channel", action="store_true")
    arguments = parser.parse_args()
    seeds, progress = [int(seed) for seed in arguments.seeds.split(",")], ConsoleProgress()
    without, adapted = (
        measure(root, seeds, not arguments.channel, progress)
        for root in (arguments.workspace, arguments.adapted)
    )
    print(f"{'model':10} {'NDCG@10 without, with':24} {'Recall@10':16} ratio  difference [95% interval], p")
    for name in without:
        of: list[NDArray[np.float64]] = [found[name].values[NDCG] for found in (without, adapted)]
        recalls = [found[name].values[RECALL].mean() for found in (without, adapted)]
        found = difference(of[1], of[0])
        print(
            f"{name:10} {of[0].mean():.4f}  {of[1].mean():.4f}{'':10} {recalls[0]:.4f}  {recalls[1]:.4f}"
            f"   {of[1].mean() / of[0].mean():.2f}  {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
            f" p {found.p:.4f}"
        )
    channel, ease = (adapted[name].values[NDCG].mean() for name in ("semantic", "ease"))
    print(f"semantic with the adapter / EASE: {channel / ease:.2f}")


if __name__ == "__main__":
    main()
