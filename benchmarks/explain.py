"""Explanations over many users: who wrote them, how long they took, and whether they invent.

    python benchmarks/explain.py WORKSPACE [--users 100] [--each 1] [--show 5] [--against-transformers 0]

Each user gets the first `--each` recommendations explained, one after the other. `--against-transformers N`
also lets llama.cpp (as in use, see `llmrec.explain.requantize.for_cpu`) and transformers (float32, greedy)
write 64 tokens for N of these prompts in turns, from the same GGUF file, and gives the median ratio of their
tokens a second.

The check here is independent of llmrec's verifier: what an explanation's evidence and the recommended title
account for is blanked out of its text, and what remains may hold no title of the catalog (of two or more
words in any case, or one capitalised word inside a sentence), no quotation and no number.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmrec import Recommender
from llmrec.encode.gguf import model_folder_of
from llmrec.explain.explainer import messages
from llmrec.explain.generator import gguf_file, served_file
from llmrec.explain.torch_model import ChatTokenizer, TorchModel
from llmrec.explain.weighing import WeighedLlama
from llmrec.progress import ConsoleProgress
from llmrec.runtime.folders import engine_folder
from llmrec.schema import Recommendation

TOKENS = 64
"""That both engines write."""

WORD = re.compile(r"\w+")


def words_of(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))


def unexplained(entry: Recommendation, titles: set[str]) -> list[str]:
    """What the text names beyond its evidence."""
    explanation = entry.explanation
    assert explanation is not None
    text = re.sub(r"\[\d+\]", " ", explanation.text)
    known = [entry.title, *(cited.title or "" for cited in explanation.citations)]
    known += [cited.text for cited in explanation.citations]
    for quotation in re.findall(r'"([^"]*)"', text):
        if any(words_of(quotation) in words_of(fact) for fact in known):
            text = text.replace(f'"{quotation}"', " . ")
    for fact in sorted(known, key=len, reverse=True):
        text = text.replace(fact, " . ") if fact else text
    facts = set(words_of(" ".join(known)).split())
    found = re.findall(r'"[^"]*"', text) + [
        number for number in re.findall(r"\d+", text) if number not in facts
    ]
    words = WORD.findall(text)
    for start in range(len(words)):
        for end in range(start + 2, min(start + 12, len(words)) + 1):
            phrase = " ".join(words[start:end]).casefold()
            if phrase in titles and not set(phrase.split()) <= facts:
                found.append(phrase)
    inside = re.findall(r"(?<=[a-z,;] )([A-Z]\w+)", text)
    return found + [word for word in inside if word.casefold() in titles and word.casefold() not in facts]


def paces(recommender: Recommender, explained: Sequence[Recommendation]) -> dict[str, Any]:
    """Tokens a second of both engines on the prompts of ``explained``, which take turns."""
    workspace, progress = recommender.workspace, ConsoleProgress()
    spec = workspace.settings.models.explainer
    file = gguf_file(spec, progress)
    folder = model_folder_of(file, engine_folder(spec, "gguf"), progress)
    tokenizer = ChatTokenizer(folder)
    engines = {
        "llama.cpp": WeighedLlama(served_file(spec, file, progress), tokenizer),
        "transformers": TorchModel(folder, tokenizer, "float32"),
    }
    found: dict[str, list[float]] = {name: [] for name in engines}
    for entry in explained:
        assert entry.explanation is not None
        (item,) = recommender.catalog.items(recommender.catalog.rows([entry.item_id]))
        prompt = messages(recommender.explainer.prompt, item, entry.explanation.citations)
        for name, engine in engines.items():
            found[name].append(engine.pace(*prompt, TOKENS))
    speed = np.divide(found["llama.cpp"], found["transformers"])
    return {
        **{f"tokens_per_second_{name}": round(float(np.median(of)), 1) for name, of in found.items()},
        "times_transformers": round(float(np.median(speed)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--each", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    parser.add_argument("--against-transformers", type=int, default=0)
    options = parser.parse_args()
    sources: Counter[str] = Counter()
    seconds, bad, explained = [], [], []
    with Recommender.open(options.workspace) as recommender:
        recommender.workspace.events.explanations().clear()
        titles = {words_of(title) for title in recommender.catalog.titles()}
        recommender.explainer  # noqa: B018  loaded before the clock starts
        for place, user in enumerate(recommender.workspace.events.user_ids(options.users)):
            for recommended in recommender.recommend(user, k=options.each):
                began = time.perf_counter()
                entry = recommender.explain(recommended, user)
                seconds.append(time.perf_counter() - began)
                assert entry.explanation is not None
                explained.append(entry)
                sources[entry.explanation.source] += 1
                if found := unexplained(entry, titles):
                    bad.append({"user": user, "found": found, "text": entry.explanation.text})
                if place < options.show:
                    print(f"{user}: ({entry.explanation.source}) {entry.explanation.text}", flush=True)
        pace = (
            paces(recommender, explained[: options.against_transformers])
            if options.against_transformers
            else {}
        )
    p50, p95 = np.percentile(seconds, [50, 95])
    report = {
        "explanations": len(seconds),
        "written_by": dict(sources),
        "model_share": round(sources["model"] / len(seconds), 3),
        "p50_s": round(float(p50), 2),
        "p95_s": round(float(p95), 2),
        **pace,
        "naming_what_the_evidence_lacks": bad,
    }
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
