"""Vectors by OpenVINO on the CPU: the same modules, converted once, run without importing PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.encode.batches import Batch
from llmrec.encode.folder import ModelFolder
from llmrec.progress import Progress
from llmrec.runtime.folders import cached_folder
from llmrec.runtime.libraries import quiet
from llmrec.runtime.openvino import cpu_core, cpu_precision, import_openvino

_RECIPE = "openvino 1"
"""Raised whenever the conversion below would write another model."""


class OpenVinoEngine:
    """Runs a converted model on the CPU.

    Args:
        model: the converted model's ``.xml``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8`` (of a model whose weights are); see
            :class:`~llmrec.config.EncoderSettings`.

    Raises:
        ConfigError: bfloat16 is asked for and the CPU lacks it.
    """

    def __init__(self, model: Path, precision: str) -> None:
        core = cpu_core()
        computed = cpu_precision(core, precision, "encoder.precision")
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": computed}
        compiled = core.compile_model(model, "CPU", options)
        self._requests = import_openvino().AsyncInferQueue(compiled)
        self._lock = threading.Lock()
        # The file of a model without int8 weights holds float32, which becomes bfloat16 on compilation.
        halved = computed == "bf16" and precision != "int8"
        self.weight_bytes = model.with_suffix(".bin").stat().st_size // (2 if halved else 1)
        self.dimension = int(compiled.output(0).partial_shape[1].get_length())

    def run(self, batches: Iterable[Batch], out: NDArray[np.float32]) -> None:
        """Write the vector of each sequence to its row of ``out``."""

        def collect(request: Any, rows: NDArray[np.intp]) -> None:
            out[rows] = request.get_output_tensor(0).data

        with self._lock:
            self._requests.set_callback(collect)
            for batch in batches:
                self._requests.start_async([batch.input_ids, batch.attention_mask], batch.rows)
            self._requests.wait_all()


def converted_model(folder: ModelFolder, cache: Path, progress: Progress) -> Path:
    """The model as OpenVINO's ``.xml`` (weights beside it), converted unless ``cache`` holds it whole.

    Raises:
        AssetError: the model cannot be loaded, or the cache not be written.
    """

    def build(target: Path) -> None:
        with progress.task(f"Compiling {folder.name} for CPUs", total=1, unit="models") as task:
            _convert(folder, target / "model.xml")
            task.advance()

    return cached_folder(cache, _RECIPE, build) / "model.xml"


def _convert(folder: ModelFolder, target: Path) -> None:
    import torch

    from llmrec.encode.torch_engine import load_sentence_transformer

    class Vectors(torch.nn.Module):
        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            vectors: torch.Tensor = self.model(features)["sentence_embedding"]
            return vectors

    # Traced on a padded batch of more than one sequence and token: a mask of ones, or a length or batch of 1,
    # takes shortcuts that the trace would keep for every other shape.
    example = {
        "input_ids": torch.full((2, 16), folder.blank_token),
        "attention_mask": torch.tensor([[1] * 16, [1] * 9 + [0] * 7]),
    }
    model = Vectors(load_sentence_transformer(folder, "cpu", torch.float32))
    openvino = import_openvino()
    with quiet(), torch.no_grad():
        converted = openvino.convert_model(model, example_input=example)
    openvino.save_model(converted, target, compress_to_fp16=False)
