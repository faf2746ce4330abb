"""Explanations over many users: who wrote them, how long they took, and whether they invent.

    python benchmarks/explain.py WORKSPACE [--users 100] [--show 5]

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
from pathlib import Path

import numpy as np

from llmrec import Recommender
from llmrec.schema import Recommendation

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--show", type=int, default=5)
    options = parser.parse_args()
    sources: Counter[str] = Counter()
    seconds, bad = [], []
    with Recommender.open(options.workspace) as recommender:
        recommender.workspace.events.explanations().clear()
        titles = {words_of(title) for title in recommender.catalog.titles()}
        recommender.explainer  # noqa: B018  loaded before the clock starts
        for place, user in enumerate(recommender.workspace.events.user_ids(options.users)):
            recommender.recommend(user, k=1)
            began = time.perf_counter()
            (entry,) = recommender.recommend(user, k=1, explain=True)
            seconds.append(time.perf_counter() - began)
            assert entry.explanation is not None
            sources[entry.explanation.source] += 1
            if found := unexplained(entry, titles):
                bad.append({"user": user, "found": found, "text": entry.explanation.text})
            if place < options.show:
                print(f"{user}: ({entry.explanation.source}) {entry.explanation.text}")
    p50, p95 = np.percentile(seconds, [50, 95])
    report = {
        "explanations": len(seconds),
        "written_by": dict(sources),
        "model_share": round(sources["model"] / len(seconds), 3),
        "p50_s": round(float(p50), 2),
        "p95_s": round(float(p95), 2),
        "naming_what_the_evidence_lacks": bad,
    }
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
