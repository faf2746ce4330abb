"""How well the verifier tells faithful explanations from unfaithful ones, on labelled cases.

    python benchmarks/verifier.py [--part test] [--show]

The cases are `tests/explain/verifier_cases.jsonl`: texts with a label, what is wrong with them, and the
context (item, evidence, catalog, in `verifier_contexts.jsonl`) that they were written for, all by hand.
"dev" and "test" were written before the verifier was measured. It was improved on "dev" and then measured on
"test", where accepting what is faithful had precision .987 and recall .938; "blind", written after what that
showed had been mended, gave .933 and .933, and some of that was mended too. So the figures of today are of
cases that are known; those first ones say what to expect of others.

Precision and recall are given of both classes: of refusing what is unfaithful, of accepting what is faithful.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.explain.verifier import Verdict, Verifier
from llmrec.schema import Evidence, Item

PARTS = ("dev", "test", "blind")
FOLDER = Path(__file__).parents[1] / "tests" / "explain"


@dataclass(frozen=True)
class Case:
    """A labelled text with what it was written for; ``wrong`` is empty of a faithful one."""

    context: str
    part: str
    catalog: tuple[str, ...]
    item: Item
    evidence: tuple[Evidence, ...]
    text: str
    faithful: bool
    kind: str
    wrong: str


@dataclass(frozen=True)
class Judged:
    """A case and what the verifier says of it."""

    case: Case
    verdict: Verdict

    @property
    def right(self) -> bool:
        """Whether the verifier agrees with the label."""
        return self.case.faithful == self.verdict.ok


def cases(folder: Path = FOLDER) -> Iterator[Case]:
    """Every labelled case, in the order of the file."""
    contexts = {row["context"]: row for row in _rows(folder / "verifier_contexts.jsonl")}
    for row in _rows(folder / "verifier_cases.jsonl"):
        context = contexts[row["context"]]
        yield Case(
            context=row["context"],
            part=context["part"],
            catalog=tuple(context["catalog"]),
            item=Item(**context["item"]),
            evidence=tuple(Evidence(**fact) for fact in context["evidence"]),
            text=row["text"],
            faithful={"faithful": True, "unfaithful": False}[row["label"]],
            kind=row["kind"],
            wrong=row.get("wrong", ""),
        )


def judge(labelled: Iterable[Case]) -> list[Judged]:
    """Check every case."""
    return [
        Judged(case, Verifier(case.catalog).check(case.text, case.item, case.evidence)) for case in labelled
    ]


def scores(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Precision and recall, 0 to 1, of refusing the unfaithful and of accepting the faithful."""
    found = {}
    for name, faithful in (("unfaithful", False), ("faithful", True)):
        said = [one for one in judged if one.verdict.ok == faithful]
        labelled = [one for one in judged if one.case.faithful == faithful]
        right = sum(one.right for one in said)
        found[name] = {"precision": right / len(said), "recall": right / len(labelled)}
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _print_scores(name: str, judged: Sequence[Judged]) -> None:
    count = {label: sum(one.case.faithful == label for one in judged) for label in (True, False)}
    print(f"{name}: {count[False]} unfaithful, {count[True]} faithful")
    for label, score in scores(judged).items():
        print(f"  {label:<11} precision {score['precision']:.3f}  recall {score['recall']:.3f}")


def _print_kinds(judged: Sequence[Judged]) -> None:
    print(f"\n{'label':<11} {'kind':<14} right")
    for faithful in (False, True):
        for kind in sorted({one.case.kind for one in judged if one.case.faithful == faithful}):
            ours = [one for one in judged if one.case.kind == kind and one.case.faithful == faithful]
            label = "faithful" if faithful else "unfaithful"
            print(f"{label:<11} {kind:<14} {sum(one.right for one in ours)}/{len(ours)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, help="only these contexts")
    parser.add_argument("--show", action="store_true", help="print every case that is judged wrongly")
    options = parser.parse_args()
    judged = [one for one in judge(cases()) if options.part in (None, one.case.part)]
    for part in PARTS:
        if ours := [one for one in judged if one.case.part == part]:
            _print_scores(part, ours)
    if options.part is None:
        _print_scores("all", judged)
    _print_kinds(judged)
    for one in judged if options.show else ():
        if not one.right:
            case, why = one.case, "; ".join(one.verdict.reasons)
            print(f"\n{case.context} ({case.kind}): {case.text}\n  {case.wrong or why}")


if __name__ == "__main__":
    main()
