"""All titles of a catalog, small in memory and quick to look up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from llmrec.explain.words import words

_LONGEST = 12


class TitleIndex:
    """A set of titles as sorted 64-bit hashes of their words: 8 MB for a million titles.

    Titles of more than 12 words are found by their first 12. A false match has odds below 1e-10 a text.
    """

    def __init__(self, titles: Iterable[str]) -> None:
        hashes = (hash(found[:_LONGEST]) for title in titles if (found := words(title)))
        self._hashes = np.unique(np.fromiter(hashes, dtype=np.int64))

    def __contains__(self, title: Sequence[str]) -> bool:
        key = hash(tuple(title[:_LONGEST]))
        at = int(np.searchsorted(self._hashes, key))
        return at < len(self._hashes) and int(self._hashes[at]) == key

    def find(self, text: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Every ``(start, end)`` where the words of a text are a title; the longest at each start."""
        for start in range(len(text)):
            for end in range(min(len(text), start + _LONGEST), start, -1):
                if text[start:end] in self:
                    yield start, end
                    break
