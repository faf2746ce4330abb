"""Seconds of one recommendation in a warm process, without explanations.

    python benchmarks/recommend.py WORKSPACE [--users 200] [--rounds 5]

Measured for users whose text vector is kept for their present state, and right after a new event of theirs
(the text changes, so the encoder runs). Beside them stands the bare matrix product over the same vectors, the
least that an exact scan can cost. The workspace is copied first, since events are added.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from llmrec import Interaction, Recommender


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def summary(seconds: list[float]) -> dict[str, float]:
    milliseconds = np.array(seconds) * 1000
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {"calls": len(seconds), "p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "workspace"
        shutil.copytree(options.workspace, copy)
        began = time.perf_counter()
        with Recommender.open(copy) as recommender:
            opened = time.perf_counter() - began
            users = recommender.workspace.events.user_ids(options.users)
            first = timed(lambda: recommender.recommend(users[0], k=10))
            for user in users:
                recommender.recommend(user, k=10)
            kept = [
                timed(lambda user=user: recommender.recommend(user, k=10))  # type: ignore[misc]
                for _ in range(options.rounds)
                for user in users
            ]
            changed = []
            for at, user in enumerate(users):
                item = recommender.recommend(user, k=1)[0].item_id
                recommender.add([Interaction(user, item, 2e9 + at)])
                changed.append(timed(lambda user=user: recommender.recommend(user, k=10)))  # type: ignore[misc]
            catalog = recommender.catalog
            vectors = catalog.vectors(np.arange(len(catalog)))
            product = statistics.median(timed(lambda: vectors @ vectors[0]) for _ in range(100)) * 1000
    report = {
        "items": len(vectors),
        "open_s": round(opened, 2),
        "first_answer_s": round(first, 2),
        "vector_kept": summary(kept),
        "after_an_event": summary(changed),
        "bare_product_ms": round(product, 2),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
