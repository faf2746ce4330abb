"""Captions by OpenVINO on the CPU: greedy, from graphs converted once, without importing PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.modality.blip.captioner import Answer, Decoding
from llmrec.modality.blip.decoder import Arrays, Decoder, Found, infer
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import blank_pixels
from llmrec.runtime.openvino import cpu_precision, import_openvino

_SURE_LEAD = 0.02
"""Lead (nats) of every token from which a caption of the bfloat16 vision tower is taken as it is.

Of 1,000 photographs captioned by a small BLIP, 57 captions differ between the two precisions; 18% of all have
a token with a smaller lead, and 54 of the 57 are among these.
"""


class OpenVinoEngine:
    """Runs converted graphs on the CPU.

    ``auto`` lets the vision tower, which is most of the work, compute in bfloat16 where the CPU has it, and
    computes a picture again in float32 if a word of its caption won by so little that the precision may have
    decided. The decoder computes in float32 unless the precision is ``bfloat16``.

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

        def compiled(name: str, type_name: str) -> Any:
            options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": type_name}
            return core.compile_model(graphs / f"{name}.xml", "CPU", options)

        fast = cpu_precision(core, precision, "caption.precision")
        exact = "bf16" if precision == "bfloat16" else "f32"
        self._exact = compiled("vision", exact)
        self._fast = compiled("vision", fast) if fast != exact else self._exact
        self._decoder = Decoder(compiled("decoder", exact), folder, decoding)
        self.workers = int(self._fast.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._blank = _encode(self._exact, blank_pixels(folder.pixels)[None])

    def describe(self, pixels: NDArray[np.float32]) -> list[Answer]:
        """An answer for each picture of ``(n, 3, height, width)``."""
        found = self._decoder.greedy(_encode(self._fast, pixels))
        if self._fast is not self._exact:
            found = self._checked(pixels, found)
        blank = self._decoder.score([caption.tokens for caption in found], self._blank)
        return [
            Answer(tuple(one.tokens), float(np.mean(one.log_probabilities)), _mean_of(one.tokens, values))
            for one, values in zip(found, blank, strict=True)
        ]

    def _checked(self, pixels: NDArray[np.float32], found: list[Found]) -> list[Found]:
        """The captions, those that won by little confirmed or replaced."""
        close = [row for row, caption in enumerate(found) if caption.lead < _SURE_LEAD]
        if not close:
            return found
        cross = _encode(self._exact, pixels[close])
        values = self._decoder.score([found[row].tokens for row in close], cross)
        wrong = [
            line
            for line, row in enumerate(close)
            if not self._decoder.confirms(found[row].tokens, values[line])
        ]
        if wrong:
            for line, caption in zip(
                wrong, self._decoder.greedy([each[wrong] for each in cross]), strict=True
            ):
                found[close[line]] = caption
        return found


def _encode(vision: Any, pixels: NDArray[np.float32]) -> Arrays:
    """Keys and values of pictures for the decoder's cross-attention."""
    return infer(vision.create_infer_request(), [pixels])


def _mean_of(tokens: list[int], log_probabilities: NDArray[np.float32]) -> float:
    return float(np.mean(log_probabilities[np.arange(len(tokens)), tokens]))
