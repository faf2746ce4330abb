"""What the baselines reach on a workspace's log, beside what public libraries reach.

    python benchmarks/baselines.py WORKSPACE [--models itemknn,sasrec] [--seeds 0,1,2]

Leave-last-out, every item ranked; settings are chosen on validation, the test is read once. The figures of
the libraries hold for MovieLens latest-small only (610 users).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from llmrec.evaluate.baselines import BASELINES
from llmrec.evaluate.model import Result
from llmrec.evaluate.run import evaluate
from llmrec.evaluate.splits import leave_last_out
from llmrec.evaluate.statistics import interval
from llmrec.progress import ConsoleProgress
from llmrec.rank.catalog import Catalog
from llmrec.rank.log import Log
from llmrec.workspace import Workspace

LIBRARIES = {
    "popularity": (0.0186, 0.0393),
    "itemknn": (0.0652, 0.1000),
    "ease": (0.0426, 0.0803),
    "ials": (0.0313, 0.0656),
    "bpr": (0.0330, 0.0639),
    "sasrec": (0.0336, 0.0705),
    "text": (0.0045, 0.0098),
}
"""NDCG@10 and Recall@10 of ItemKNN, EASE, implicit and RecTools, each tuned on validation."""


def line(result: Result) -> str:
    found = interval(result.values["ndcg@10"])
    ndcg, recall = LIBRARIES[result.model]
    return (
        f"{result.model:11} {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]  "
        f"{result.values['recall@10'].mean():.4f}  {ndcg:.4f}  {recall:.4f}  "
        f"{result.fit_seconds:6.1f}  {1000 * result.rank_seconds:6.1f}  {json.dumps(dict(result.setting))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default=",".join(BASELINES))
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    present = workspace.present()
    if present is None:
        parser.error(f"{options.workspace}: nothing is indexed yet")
    catalog = Catalog(present.table, workspace.settings.rank.exact_items)
    log = Log.of(workspace.events.log(), catalog.row_of, len(catalog))
    workspace.close()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    print(f"{len(log.users)} users, {len(catalog)} items, {len(log)} events; seeds {options.seeds}")
    print("model       NDCG@10 [95% interval]   R@10    library: NDCG, R  fit s  rank ms  setting")
    for name in options.models.split(","):
        began = time.perf_counter()
        (result,) = evaluate(
            [BASELINES[name]],
            leave_last_out(log),
            catalog,
            seeds=seeds,
            progress=ConsoleProgress(interval=60),
        )
        print(line(result), f"tuned in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
