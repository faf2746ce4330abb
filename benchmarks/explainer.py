"""What fine-tuning the explainer is worth: answers that pass the verifier, with the grammar and without.

    python benchmarks/explainer.py WORKSPACE NAME [--users 200] [--show 2]

NAME is an explainer that `llmrec finetune --role explainer` has made in the workspace. The users are ones
whom its training held out. Each gets the first recommendation of today, with its evidence as in use, and
both models write about it, first without the grammar. An answer that the verifier refuses, or that takes
longer than 2 minutes, does not count as the model's. `inventing` counts answers that passed and of which the
check of the other script, `benchmarks/explain.py`, which is not the verifier's, finds something to say.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from explain import unexplained, words_of

from llmrec import Recommender
from llmrec.explain.generator import load_generator
from llmrec.progress import NoProgress
from llmrec.schema import Recommendation
from llmrec.training.adapter import CARD
from llmrec.training.explainer.base import EXPLAINERS
from llmrec.training.explainer.finetuning import MODEL
from llmrec.training.explainer.material import held_out_ids
from llmrec.training.settings import ExplainerSettings


def measure(
    recommender: Recommender, asked: list[tuple[str, Recommendation]], titles: set[str], show: int
) -> dict[str, Any]:
    """What the explainer as it is writes about recommendations to users."""
    seconds, passed, inventing = [], 0, 0
    for user, entry in asked:
        began = time.perf_counter()
        explained = recommender.explain(entry, user)
        seconds.append(time.perf_counter() - began)
        assert explained.explanation is not None
        if explained.explanation.source == "model":
            passed += 1
            inventing += bool(unexplained(explained, titles))
            if passed <= show:
                print(f"{user}: {explained.explanation.text}")
    p50, p95 = np.percentile(seconds, [50, 95])
    return {
        "users": len(asked),
        "verified": round(passed / len(asked), 3),
        "inventing": inventing,
        "p50_s": round(float(p50), 2),
        "p95_s": round(float(p95), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("name")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--show", type=int, default=2)
    options = parser.parse_args()
    folder = options.workspace / EXPLAINERS / options.name
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    recipe = ExplainerSettings.model_validate(card["settings"])
    models = {"base": card["base"]["name"], "tuned": f"file:{folder.resolve() / MODEL}"}
    with Recommender.open(options.workspace) as recommender:
        titles = {words_of(title) for title in recommender.catalog.titles()}
        users = held_out_ids(recommender.workspace, recipe)[: options.users]
        asked = [(user, recommender.recommend(user, k=1)[0]) for user in users]
        explainer = recommender.explainer
        explainer.cache = None  # answers of before would take no time
        settings = explainer.settings.model_copy(update={"timeout": 120.0, "tries": 1})
        for grammar in (False, True):
            constraint = "auto" if grammar else "none"
            explainer.settings = settings.model_copy(update={"constraint": constraint})
            for model in ("tuned", "base"):
                explainer.generator = load_generator(models[model], NoProgress())
                found = measure(recommender, asked, titles, options.show)
                print(json.dumps({"model": model, "grammar": grammar, **found}), flush=True)


if __name__ == "__main__":
    main()
