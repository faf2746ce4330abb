"""Captions by OpenVINO on the CPU: greedy, from graphs converted once, without importing PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.modality.blip.captioner import Answer, Decoding
from llmrec.modality.blip.decoder import Arrays, Decoder, Scored, infer
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.pixels import blank_pixels
from llmrec.runtime.openvino import cpu_core, cpu_precision


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
        core = cpu_core()

        def compiled(name: str, type_name: str) -> Any:
            options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": type_name}
            return core.compile_model(graphs / f"{name}.xml", "CPU", options)

        fast = cpu_precision(core, precision, "caption.precision")
        exact = "bf16" if precision == "bfloat16" else "f32"
        self._exact = compiled("vision", exact)
        self._fast = compiled("vision", fast) if fast != exact else None
        self._decoder = Decoder(compiled("decoder", exact), folder, decoding)
        self.workers = int(self._exact.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._blank = _encode(self._exact, blank_pixels(folder.pixels)[None])
        self._sure_lead = self._difference(folder.pixels.shape)

    def describe(self, pixels: NDArray[np.float32]) -> list[Answer]:
        """An answer for each picture of ``(n, 3, height, width)``."""
        captions = self._decoder.greedy(_encode(self._fast or self._exact, pixels))
        if self._fast is not None:
            self._decide_close_calls(captions, pixels)
        blank = self._decoder.score(captions, self._blank)
        return [
            Answer(tuple(caption.tokens), caption.log_probabilities, same.log_probabilities)
            for caption, same in zip(captions, blank, strict=True)
        ]

    def _decide_close_calls(self, captions: list[Scored], pixels: NDArray[np.float32]) -> None:
        """Confirm or replace, by the exact tower, the captions with a token of a small lead."""
        leads = np.array([self._decoder.leads(caption).min() for caption in captions])
        close = np.flatnonzero(~(leads >= self._sure_lead))
        if not len(close):
            return
        cross = _encode(self._exact, pixels[close])
        confirmed = self._decoder.score([captions[row] for row in close], cross)
        wrong = [line for line, one in enumerate(confirmed) if self._decoder.leads(one).min() < 0]
        if wrong:
            # From the start and few at once, but seldom: confirming costs a tenth of decoding.
            for line, caption in zip(
                wrong, self._decoder.greedy([each[wrong] for each in cross]), strict=True
            ):
                confirmed[line] = caption
        for row, caption in zip(close, confirmed, strict=True):
            captions[row] = caption

    def _difference(self, shape: tuple[int, int]) -> float:
        """Root mean square, in nats, of what the fast tower does to a token's lead.

        Measured on pictures of noise, where it is 1.4 times or more of that on photographs: so few of the
        choices that lead by more are changed (3 of 1,000 captions of a small BLIP, of 57 without this).
        """
        if self._fast is None:
            return 0.0
        noise = np.random.default_rng(0).standard_normal((4, 3, *shape)).astype(np.float32)
        exact = self._decoder.greedy(_encode(self._exact, noise))
        fast = self._decoder.score(exact, _encode(self._fast, noise))
        leads = zip(map(self._decoder.leads, exact), map(self._decoder.leads, fast), strict=True)
        return float(np.sqrt(np.mean(np.concatenate([one - other for one, other in leads]) ** 2)))


def _encode(vision: Any, pixels: NDArray[np.float32]) -> Arrays:
    """What the decoder's cross-attention needs of the pictures."""
    return infer(vision.create_infer_request(), [pixels])
