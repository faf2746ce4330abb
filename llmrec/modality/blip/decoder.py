"""Greedy decoding and scoring with the OpenVINO graph of a BLIP decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.modality.blip.captioner import Decoding
from llmrec.modality.blip.folder import BlipFolder

Arrays = list[NDArray[np.float32]]


@dataclass(slots=True)
class Found:
    """A caption as it grows.

    Args:
        tokens: after the prefix.
        log_probabilities: of the tokens.
        lead: the smallest distance of a token's log-probability to that of the runner-up.
    """

    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    lead: float = np.inf


class Decoder:
    """A compiled decoder. Safe to call from several threads.

    Args:
        graph: ``decoder.xml`` of :mod:`~llmrec.modality.blip.graph`, compiled.
        folder: the model.
        decoding: how tokens are found; one beam.
    """

    def __init__(self, graph: Any, folder: BlipFolder, decoding: Decoding) -> None:
        self._graph = graph
        self._folder = folder
        self._decoding = decoding

    def greedy(self, cross: Arrays) -> list[Found]:
        """The likeliest token again and again, for each picture of ``cross``."""
        found = [Found() for _ in range(len(cross[0]))]
        rows, going = np.arange(len(found)), np.full(len(found), True)
        ids, past = np.array([self._decoding.prefix] * len(found)), self._no_past(cross, len(found))
        request = self._graph.create_infer_request()
        for step in range(self._decoding.max_new_tokens):
            log_probabilities, *past = infer(request, [ids, *past, *cross])
            last = log_probabilities[:, -1]
            chosen, leads = self._choose(last, step)
            for line in np.flatnonzero(going):
                caption = found[rows[line]]
                caption.tokens.append(int(chosen[line]))
                caption.log_probabilities.append(float(last[line, chosen[line]]))
                caption.lead = min(caption.lead, float(leads[line]))
            going &= chosen != self._folder.end_token
            if not going.any():
                break
            if 2 * going.sum() <= len(going):  # not at each end: moving the others costs more than a step
                rows, chosen = rows[going], chosen[going]
                past, cross = [each[going] for each in past], [each[going] for each in cross]
                going = going[going]
            ids = chosen[:, None]
        return found

    def score(self, captions: Sequence[Sequence[int]], cross: Arrays) -> list[NDArray[np.float32]]:
        """Log-probabilities of every token at each place of captions of ``cross``'s one or n pictures.

        Returns:
            For each caption ``(tokens, vocabulary)``, from one pass over all places at once.
        """
        prefix = self._decoding.prefix
        ids = np.full((len(captions), len(prefix) + max(map(len, captions))), self._folder.pad_token)
        for row, tokens in enumerate(captions):
            ids[row, : len(prefix) + len(tokens)] = [*prefix, *tokens]
        inputs = [ids[:, :-1], *self._no_past(cross, len(captions)), *cross]
        places = infer(self._graph.create_infer_request(), inputs)[0][:, len(prefix) - 1 :]
        return [places[row, : len(tokens)] for row, tokens in enumerate(captions)]

    def confirms(self, tokens: Sequence[int], log_probabilities: NDArray[np.float32]) -> bool:
        """Whether :meth:`greedy` would choose ``tokens`` where :meth:`score` gives these values."""
        steps = [self._choose(one[None], step)[0][0] for step, one in enumerate(log_probabilities)]
        return list(tokens) == steps

    def _choose(
        self, log_probabilities: NDArray[np.float32], step: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The likeliest token of each row that is allowed at this step, and its lead."""
        allowed = log_probabilities.copy()
        if step < self._decoding.min_new_tokens:
            allowed[:, self._folder.end_token] = -np.inf
        rows, chosen = np.arange(len(allowed)), allowed.argmax(axis=1)
        best = allowed[rows, chosen]
        allowed[rows, chosen] = -np.inf
        return chosen, best - allowed.max(axis=1)

    def _no_past(self, cross: Arrays, count: int) -> Arrays:
        _, heads, size, _ = cross[0].shape
        return [np.zeros((count, heads, 0, size), np.float32)] * len(cross)


def infer(request: Any, inputs: list[Any]) -> Arrays:
    """The outputs of a graph, copied."""
    return list(request.infer(inputs, share_inputs=True).values())
