"""Captions by OpenVINO on the CPU: greedy, from graphs converted once, without importing PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.modality.blip.captioner import Answer, Decoding
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import blank_pixels
from llmrec.runtime.openvino import cpu_precision, import_openvino

Arrays = list[NDArray[np.float32]]


class OpenVinoEngine:
    """Runs converted graphs on the CPU.

    ``auto`` is float32: in bfloat16 near-equal words change places (11% of the captions of a small BLIP).

    Args:
        graphs: the folder of :func:`~llmrec.modality.blip.graph.converted_model`.
        folder: the model.
        decoding: how tokens are found; one beam.
        precision: ``auto``, ``float32`` or ``bfloat16``.

    Raises:
        ConfigError: bfloat16 is asked for and the CPU lacks it.
    """

    def __init__(self, graphs: Path, folder: BlipFolder, decoding: Decoding, precision: str) -> None:
        core = import_openvino().Core()
        precision = "float32" if precision == "auto" else precision
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": cpu_precision(core, precision, "caption.precision"),
        }
        self._vision = core.compile_model(graphs / "vision.xml", "CPU", options)
        self._decoder = core.compile_model(graphs / "decoder.xml", "CPU", options)
        self.workers = int(self._vision.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._folder = folder
        self._decoding = decoding
        self._blank = self._encode(blank_pixels(folder.pixels)[None])

    def describe(self, pixels: NDArray[np.float32]) -> list[Answer]:
        """An answer for each picture of ``(n, 3, height, width)``."""
        cross = self._encode(pixels)
        captions, seen = self._greedy(cross)
        blank = self._score(captions, self._blank)
        return [
            Answer(tuple(tokens), float(np.mean(values)), mean)
            for tokens, values, mean in zip(captions, seen, blank, strict=True)
        ]

    def _encode(self, pixels: NDArray[np.float32]) -> Arrays:
        """Keys and values of the pictures for the decoder's cross-attention."""
        return _run(self._vision.create_infer_request(), [pixels])

    def _greedy(self, cross: Arrays) -> tuple[list[list[int]], list[list[float]]]:
        """The tokens of each picture and their log-probabilities."""
        count = len(cross[0])
        captions: list[list[int]] = [[] for _ in range(count)]
        values: list[list[float]] = [[] for _ in range(count)]
        request = self._decoder.create_infer_request()
        ids, past = np.array([self._decoding.prefix] * count), self._no_past(cross)
        rows = np.arange(count)  # pictures whose captions have not ended
        for step in range(self._decoding.max_new_tokens):
            log_probabilities, *past = _run(request, [ids, *past, *cross])
            last = log_probabilities[:, -1]
            allowed = last
            if step < self._decoding.min_new_tokens:
                allowed = last.copy()
                allowed[:, self._folder.end_token] = -np.inf
            chosen = allowed.argmax(axis=1)
            for line, row in enumerate(rows):
                captions[row].append(int(chosen[line]))
                values[row].append(float(last[line, chosen[line]]))
            going = chosen != self._folder.end_token
            if not going.all():
                rows, chosen = rows[going], chosen[going]
                past, cross = [array[going] for array in past], [array[going] for array in cross]
            if not len(rows):
                break
            ids = chosen[:, None]
        return captions, values

    def _score(self, captions: list[list[int]], cross: Arrays) -> list[float]:
        """Mean log-probability of the captions of one picture, all tokens at once."""
        prefix = self._decoding.prefix
        longest = max(map(len, captions))
        ids = np.full((len(captions), len(prefix) + longest), self._folder.pad_token)
        for row, tokens in enumerate(captions):
            ids[row, : len(prefix) + len(tokens)] = [*prefix, *tokens]
        inputs = [ids[:, :-1], *self._no_past(cross, len(captions)), *cross]
        log_probabilities = _run(self._decoder.create_infer_request(), inputs)[0][:, len(prefix) - 1 :]
        return [
            float(np.mean(log_probabilities[row, np.arange(len(tokens)), tokens]))
            for row, tokens in enumerate(captions)
        ]

    def _no_past(self, cross: Arrays, count: int | None = None) -> Arrays:
        _, heads, _, size = cross[0].shape
        return [np.zeros((len(cross[0]) if count is None else count, heads, 0, size), np.float32)] * len(
            cross
        )


def _run(request: Any, inputs: list[Any]) -> Arrays:
    return list(request.infer(inputs, share_inputs=True).values())
