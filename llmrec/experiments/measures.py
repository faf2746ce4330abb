"""What can be said of explanations without asking a person: their variety, and whether each claim holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from llmrec.explain.tokens import claims, tokenize
from llmrec.explain.verifier import Verifier
from llmrec.explain.words import words
from llmrec.schema import Evidence, Item


def distinct(texts: Iterable[str], n: int) -> float:
    """Distinct-n (Li et al., NAACL 2016): of all runs of ``n`` words of all texts, the share that differ.

    0 to 1; 0 of texts without such a run. More texts have a smaller one, so it is compared over equally many.
    """
    runs = [
        tuple(said[at : at + n]) for text in texts if (said := words(text)) for at in range(len(said) - n + 1)
    ]
    return len(set(runs)) / len(runs) if runs else 0.0


def held(text: str, item: Item, evidence: Sequence[Evidence], verifier: Verifier) -> tuple[int, int]:
    """How many claims of an explanation hold against what they cite, and how many there are.

    A claim is what stands before a citation, with it. Words after the last citation may draw on all that is
    cited. Each claim is checked as if it were the whole explanation.
    """
    count = good = 0
    found = [claim for claim in claims(tokenize(text)) if claim.tokens]
    cited = "".join(f"[{number}]" for number in sorted({n for claim in found for n in claim.numbers}))
    nothing = f"You may {cited}. " if cited else ""
    starts = [claim.tokens[0].start for claim in found]
    for claim, (start, end) in zip(found, pairwise([*starts, len(text)]), strict=True):
        said = text[start:end].strip(" .,;:!?")
        if not words(said):
            continue
        count += 1
        # A citation right behind a title has to be of that title, so what is cited stands before the rest.
        good += verifier.check(f"{'' if claim.numbers else nothing}{said}.", item, evidence).ok
    return good, count
