"""What is trained on, as Arrow files: the tokens of every text once, and pairs that name texts by number.

Files are memory-mapped, so that neither texts nor pairs have to fit into memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.errors import TrainingError
from llmrec.rank.log import Rows
from llmrec.training.pairs import HISTORY, Pairs

_TEXTS, _PAIRS, _MAKING = "texts", "pairs", "making"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tokens and pairs on disk.

    Args:
        texts: ``datasets.Dataset`` with the column ``input_ids``: first the items by row, then histories.
        pairs: likewise with ``anchor`` and ``target`` (numbers of texts), ``negatives`` (list of them),
            ``user`` (position in the log) and ``window`` (equal for the pairs of one window, which are
            neighbours).
    """

    texts: Any
    pairs: Any

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Map the files that :func:`write_corpus` wrote.

        Raises:
            TrainingError: they are missing or damaged.
        """
        from datasets import load_from_disk

        try:
            return cls(load_from_disk(str(folder / _TEXTS)), load_from_disk(str(folder / _PAIRS)))
        except Exception as error:  # the library raises nothing narrower
            raise TrainingError(
                f"{folder}: cannot be read: {error}", "Begin anew under another --name."
            ) from error

    def sequences(self, numbers: Iterable[int]) -> list[NDArray[np.int64]]:
        """Ids of the tokens of texts."""
        rows = self.texts[[int(number) for number in numbers]]["input_ids"]
        return [np.array(row, np.int64) for row in rows]


def write_corpus(
    folder: Path, texts: Iterable[NDArray[np.int64]], size: int, pairs: Pairs, negatives: Rows
) -> None:
    """Write tokens and pairs into a new folder.

    Args:
        texts: tokens of the items by row, then those of the histories in the order of :func:`histories_of`;
            more may follow.
        size: number of items.
        pairs: to learn from.
        negatives: rows, (pairs, count).

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    from datasets import Dataset, Features, List, Value

    _, history = histories_of(pairs)
    begins = (np.diff(pairs.users, prepend=-1) != 0) | (np.diff(pairs.known, prepend=-1) != 0)
    columns = {
        "anchor": np.where(pairs.anchors == HISTORY, size + history, pairs.anchors),
        "target": pairs.targets,
        "negatives": negatives.tolist(),
        "user": pairs.users,
        "window": np.cumsum(begins),
    }
    types = {name: Value("int64") for name in columns} | {"negatives": List(Value("int64"))}
    with _without_bars():
        Dataset.from_dict(columns, features=Features(types)).save_to_disk(str(folder / _PAIRS))
        made = Dataset.from_generator(
            lambda: ({"input_ids": tokens} for tokens in texts),
            features=Features({"input_ids": List(Value("int32"))}),
            cache_dir=str(folder / _MAKING),
            fingerprint="texts",
        )
        made.save_to_disk(str(folder / _TEXTS))
    del made
    shutil.rmtree(folder / _MAKING)


def histories_of(pairs: Pairs) -> tuple[Pairs, Rows]:
    """A pair for each distinct history, and which of these each pair has, (pairs,); 0 for an item's.

    The text of a history depends on its user and how many of their events are known.
    """
    told = np.flatnonzero(pairs.anchors == HISTORY)
    keys = np.stack([pairs.users, pairs.known], axis=1)
    _, first, inverse = np.unique(keys[told], axis=0, return_index=True, return_inverse=True)
    number = np.zeros(len(pairs), np.intp)
    number[told] = inverse
    return pairs.at(told[first]), number


@contextmanager
def _without_bars() -> Iterator[None]:
    """llmrec shows its own progress."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not disabled:
            enable_progress_bars()
