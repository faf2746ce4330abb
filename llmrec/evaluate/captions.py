"""BLEU-4, ROUGE-L and CIDEr-D of captions against several references each, as the COCO toolkit defines them.

Scales: BLEU-4 and ROUGE-L lie in 0 to 1; CIDEr-D has the factor 10 of its authors, so that its range is 0 to
10 and a good captioner of photographs reaches about 1. Papers print all of them times 100.

Words are lower-cased and punctuation is dropped, as the toolkit does after its PTB tokenizer; contractions
are split at the apostrophe.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

Words = Sequence[str]
Counts = Counter[tuple[str, ...]]

_WORD = re.compile(r"'?[^\W_]+(?:-[^\W_]+)*")
_ORDERS = range(1, 5)
_BETA = 1.2
_SIGMA = 6.0


def words(text: str) -> list[str]:
    """The words of a caption."""
    return _WORD.findall(text.lower())


def bleu4(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """BLEU-4 of a corpus (Papineni et al., 2002): the closest reference's length, no smoothing.

    Args:
        captions: one a picture.
        references: those of each picture, at least one.
    """
    matched, made, length, wanted = Counter[int](), Counter[int](), 0, 0
    for caption, those in zip(captions, references, strict=True):
        length += len(caption)
        wanted += min((abs(len(one) - len(caption)), len(one)) for one in those)[1]
        for order in _ORDERS:
            allowed: Counts = Counter()
            for one in those:
                allowed |= ngrams(one, order)
            found = ngrams(caption, order)
            matched[order] += (found & allowed).total()
            made[order] += found.total()
    if not all(matched[order] for order in _ORDERS):
        return 0.0
    precision = math.exp(sum(math.log(matched[order] / made[order]) for order in _ORDERS) / len(_ORDERS))
    return precision * min(1.0, math.exp(1 - wanted / length))


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """ROUGE-L (Lin, 2004), mean over pictures: F with beta 1.2 of the best precision and the best recall."""
    scores = []
    for caption, those in zip(captions, references, strict=True):
        common = [longest_common_subsequence(caption, one) for one in those]
        precision = max(common) / max(1, len(caption))
        recall = max(each / max(1, len(one)) for each, one in zip(common, those, strict=True))
        total = recall + _BETA**2 * precision
        scores.append((1 + _BETA**2) * precision * recall / total if total else 0.0)
    return sum(scores) / len(scores)


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D (Vedantam et al., 2015), mean over pictures: document frequencies of these references."""
    frequency: Counts = Counter()
    for those in references:
        frequency.update({gram for one in those for order in _ORDERS for gram in ngrams(one, order)})
    pictures = math.log(len(references))

    def weigh(sentence: Words, order: int) -> dict[tuple[str, ...], float]:
        grams = ngrams(sentence, order).items()
        return {gram: count * (pictures - math.log(max(1, frequency[gram]))) for gram, count in grams}

    def similarity(caption: Words, one: Words, order: int) -> float:
        ours, theirs = weigh(caption, order), weigh(one, order)
        lengths = math.hypot(*ours.values()) * math.hypot(*theirs.values())
        dot = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in ours.items() if gram in theirs)
        penalty = math.exp(-((len(caption) - len(one)) ** 2) / (2 * _SIGMA**2))
        return penalty * dot / lengths if lengths else 0.0

    scores = [
        sum(similarity(caption, one, order) for one in those for order in _ORDERS)
        / (len(those) * len(_ORDERS))
        for caption, those in zip(captions, references, strict=True)
    ]
    return 10 * sum(scores) / len(scores)


def ngrams(sentence: Words, order: int) -> Counts:
    """How often each run of ``order`` words occurs."""
    return Counter(tuple(sentence[start : start + order]) for start in range(len(sentence) - order + 1))


def longest_common_subsequence(one: Words, other: Words) -> int:
    """Words of the longest sequence that both hold in this order, gaps allowed."""
    best = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, candidate in enumerate(other, start=1):
            kept = best[place]
            best[place] = before + 1 if word == candidate else max(kept, best[place - 1])
            before = kept
    return best[-1]
