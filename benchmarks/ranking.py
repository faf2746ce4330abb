"""How well a workspace's log is ranked, by every protocol, beside the baselines and what libraries reach.

    python benchmarks/ranking.py WORKSPACE [--splits leave-last-out,global-time,cold-items,cold-users]
        [--seeds 0,1,2] [--baselines all] [--ablate] [--out reports/]

A report is written for each protocol; one that is there already is printed and not made again. The figures of
the libraries hold for MovieLens latest-small only (610 users, leave-last-out).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from llmrec.evaluate.baselines import BASELINES
from llmrec.evaluate.render import JSON, write_report
from llmrec.evaluate.splits import COLD_ITEMS, LEAVE_LAST_OUT, SPLITS
from llmrec.evaluating import Evaluation
from llmrec.progress import ConsoleProgress
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

NDCG, RECALL = "ndcg@10", "recall@10"


def show(document: dict[str, Any]) -> None:
    split = document["protocol"]["split"]
    leaks = document["protocol"]["leakage"]
    print(f"\n{split}; seeds {document['protocol']['seeds']}; leaks: {leaks or 'none'}")
    print(f"{'model':26} {'NDCG@10':27} {'Recall@10':9}  against the reference, 95% interval, p")
    for entry in [*document["models"], *document["ablations"]]:
        line = f"{entry['model']:26} {span(entry['metrics'][NDCG])} {entry['metrics'][RECALL]['mean']:9.4f}"
        if split == LEAVE_LAST_OUT and entry["model"] in LIBRARIES:
            ndcg, recall = LIBRARIES[entry["model"]]
            line += f"  libraries: {ndcg:.4f} {recall:.4f}"
        if "difference" in entry:
            of = entry["difference"][NDCG]
            recall = entry["difference"][RECALL]
            line += (
                f"  {entry['difference']['to']}: {of['mean']:+.4f} [{of['low']:+.4f}, {of['high']:+.4f}]"
                f" p {of['p']:.4f}; ratios {ratio(of)}, {ratio(recall)}"
            )
        print(line, f" fit {entry['fit_seconds']:.0f} s", json.dumps(entry["setting"]))
    means = {entry["model"]: entry["metrics"][NDCG]["mean"] for entry in document["models"]}
    if split == COLD_ITEMS and means.get("text"):
        print(f"fusion / text: {means['fusion'] / means['text']:.2f}")


def span(of: dict[str, float]) -> str:
    return f"{of['mean']:.4f} [{of['low']:.4f}, {of['high']:.4f}]"


def ratio(of: dict[str, float | None]) -> str:
    return "–" if of["ratio"] is None else f"{of['ratio']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--splits", default=",".join(SPLITS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--baselines", default="all")
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    options = parser.parse_args()
    names = tuple(BASELINES) if options.baselines == "all" else options.baselines.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    workspace = Workspace(options.workspace)
    evaluation = Evaluation(workspace, ConsoleProgress(interval=60))
    for split in options.splits.split(","):
        folder = options.out / f"{split}-{evaluation.fingerprint}"
        if not folder.is_dir():
            write_report(evaluation.report(split, names, seeds, options.ablate), folder)
        show(json.loads((folder / JSON).read_text(encoding="utf-8")))
    workspace.close()


if __name__ == "__main__":
    main()
