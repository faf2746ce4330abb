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
class Scored:
    """A caption and what the model thought of it.

    Args:
        tokens: after the prefix; the end token included, where it was reached.
        places: for each token the log-probabilities ``(vocabulary,)`` of all that could stand there.
    """

    tokens: list[int] = field(default_factory=list)
    places: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def log_probabilities(self) -> tuple[float, ...]:
        """Of the tokens."""
        return tuple(float(place[token]) for token, place in zip(self.tokens, self.places, strict=True))


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

    def greedy(self, cross: Arrays) -> list[Scored]:
        """The likeliest token again and again, for each picture of ``cross``."""
        captions = [Scored() for _ in range(len(cross[0]))]
        rows, going = np.arange(len(captions)), np.full(len(captions), True)
        ids, past = np.array([self._decoding.prefix] * len(captions)), self._no_past(cross, len(captions))
        request = self._graph.create_infer_request()
        for step in range(self._decoding.max_new_tokens):
            log_probabilities, *past = infer(request, [ids, *past, *cross])
            last = log_probabilities[:, -1]
            chosen = self._allowed(last, step).argmax(axis=1)
            for line in np.flatnonzero(going):
                captions[rows[line]].tokens.append(int(chosen[line]))
                captions[rows[line]].places.append(last[line])
            going &= chosen != self._folder.end_token
            if not going.any():
                break
            if 2 * going.sum() <= len(going):  # not at each end: moving the others costs more than a step
                rows, chosen = rows[going], chosen[going]
                past, cross = [each[going] for each in past], [each[going] for each in cross]
                going = going[going]
            ids = chosen[:, None]
        return captions

    def score(self, captions: Sequence[Scored], cross: Arrays) -> list[Scored]:
        """The same tokens with ``cross``'s one or n pictures, from one pass over all places at once."""
        prefix = self._decoding.prefix
        ids = np.full(
            (len(captions), len(prefix) + max(len(caption.tokens) for caption in captions)),
            self._folder.pad_token,
        )
        for row, caption in enumerate(captions):
            ids[row, : len(prefix) + len(caption.tokens)] = [*prefix, *caption.tokens]
        inputs = [ids[:, :-1], *self._no_past(cross, len(captions)), *cross]
        places = infer(self._graph.create_infer_request(), inputs)[0][:, len(prefix) - 1 :]
        return [
            Scored(caption.tokens, list(places[row, : len(caption.tokens)]))
            for row, caption in enumerate(captions)
        ]

    def leads(self, caption: Scored) -> NDArray[np.float32]:
        """By how much each token beats every other that is allowed in its place: ``(tokens,)`` in nats.

        Negative where :meth:`greedy` would have chosen another.
        """
        leads = np.empty(len(caption.tokens), np.float32)
        for step, (token, place) in enumerate(zip(caption.tokens, caption.places, strict=True)):
            others = self._allowed(place[None], step)[0].copy()
            others[token] = -np.inf
            leads[step] = place[token] - others.max()
        return leads

    def _allowed(self, log_probabilities: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        """Without the end token where it is too early for it."""
        if step >= self._decoding.min_new_tokens:
            return log_probabilities
        allowed = log_probabilities.copy()
        allowed[:, self._folder.end_token] = -np.inf
        return allowed

    def _no_past(self, cross: Arrays, count: int) -> Arrays:
        _, heads, size, _ = cross[0].shape
        return [np.zeros((count, heads, 0, size), np.float32)] * len(cross)


def infer(request: Any, inputs: list[Any]) -> Arrays:
    """The outputs of a graph, copied."""
    return list(request.infer(inputs, share_inputs=True).values())
