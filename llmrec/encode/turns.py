"""Texts that are encoded in turns, and what each turn took: a busy machine slows all contenders alike."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from llmrec.encode.base import Encoder, Kind
from llmrec.progress import Task

_AT_ONCE = 128
"""Texts of a turn: enough for full batches, few enough that turns come often."""
_WARM_UP = 32
"""Texts that each encodes before the clock starts."""


class Turns:
    """Contenders that take their turns, and the seconds of each turn.

    Args:
        encoders: by name of the contender; several may have the same one, and other texts.
        kept: turns that are known, by kind and number, where a run goes on; new ones are added.
    """

    def __init__(
        self, encoders: Mapping[str, Encoder], kept: MutableMapping[str, bytes] | None = None
    ) -> None:
        self.encoders = encoders
        self.kept = {} if kept is None else kept
        self.seconds: dict[str, list[float]] = {name: [] for name in encoders}
        self.texts = dict.fromkeys(encoders, 0)

    def encode(
        self, texts: Mapping[str, Sequence[str]], kind: Kind, task: Task
    ) -> dict[str, NDArray[np.float32]]:
        """Vectors by each, (texts, dimension); zeros for a user's empty text, of whom nothing is known.

        Args:
            texts: of each contender, equally many.
            kind: of all of them.
            task: counts texts.
        """
        vectors = {
            name: np.zeros((len(texts[name]), encoder.dimension), np.float32)
            for name, encoder in self.encoders.items()
        }
        said = {
            name: [at for at, text in enumerate(of) if text or kind == "item"] for name, of in texts.items()
        }
        warm = False
        for start in range(0, max(map(len, said.values())), _AT_ONCE):
            rows = {name: at[start : start + _AT_ONCE] for name, at in said.items()}
            known = self.kept.get(f"{kind}-{start}")
            if known is None:
                if not warm:
                    self._warm_up(texts, said, kind)
                    warm = True
                known = self.kept[f"{kind}-{start}"] = save(self._turn(texts, rows, kind, task))
            turn = load(known)
            for name in self.encoders:
                if rows[name]:
                    vectors[name][rows[name]] = turn[name]
                    self.seconds[name].append(float(turn[f"seconds {name}"][0]))
                    self.texts[name] += len(rows[name])
                    task.advance(len(rows[name]))
        return vectors

    def _warm_up(
        self, texts: Mapping[str, Sequence[str]], said: Mapping[str, Sequence[int]], kind: Kind
    ) -> None:
        for name, encoder in self.encoders.items():
            encoder.encode([texts[name][at] for at in said[name][:_WARM_UP]], kind=kind)

    def _turn(
        self, texts: Mapping[str, Sequence[str]], rows: Mapping[str, Sequence[int]], kind: Kind, task: Task
    ) -> dict[str, NDArray[np.floating]]:
        """Vectors of the texts at some rows by each, and the seconds that they took."""
        turn: dict[str, NDArray[np.floating]] = {}
        for name, encoder in self.encoders.items():
            if some := [texts[name][at] for at in rows[name]]:
                task.note(name)
                began = time.perf_counter()
                turn[name] = np.ascontiguousarray(encoder.encode(some, kind=kind), np.float32)
                turn[f"seconds {name}"] = np.array([time.perf_counter() - began])
        return turn
