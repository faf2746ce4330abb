"""A BLIP model as two OpenVINO graphs, traced from transformers' modules.

``vision.xml`` takes pixels ``(n, 3, height, width)`` and gives what the cross-attention of each decoder layer
needs of a picture: keys ``(n, heads, head size, patches)``, already transposed and divided by the square root
of the head size, and values ``(n, heads, patches, head size)``. They depend on the picture alone, so they are
computed once for a picture and not for each token.

``decoder.xml`` takes token ids ``(n, t)``, keys and values ``(n, heads, past, head size)`` of the tokens
before them (past may be 0) and the keys and values of n pictures or one. It gives log-probabilities ``(n, t,
vocabulary)`` and the keys and values of all tokens so far. Keys and values are in the order key, value of the
first layer, key, value of the second, and so on.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.torch_engine import load_blip
from llmrec.progress import Progress
from llmrec.runtime.folders import cached_folder
from llmrec.runtime.libraries import quiet
from llmrec.runtime.openvino import import_openvino

_RECIPE = "openvino caption 2"
"""Raised whenever the conversion below would write other graphs."""


def converted_model(folder: BlipFolder, cache: Path, progress: Progress) -> Path:
    """The folder of the two graphs, converted unless ``cache`` holds them whole.

    Raises:
        AssetError: the model cannot be loaded, or the cache not be written.
    """

    def build(target: Path) -> None:
        with progress.task(f"Compiling {folder.name} for CPUs", total=1, unit="models") as task:
            _convert(folder, target)
            task.advance()

    return cached_folder(cache, _RECIPE, build)


def _convert(folder: BlipFolder, target: Path) -> None:
    import torch

    openvino = import_openvino()
    model = load_blip(folder, "cpu", "float32")
    vision, decoder = _modules(model)
    # Traced on more than one picture and token: a size of 1 would be kept for every other shape.
    pixels = torch.zeros(2, 3, *folder.pixels.shape)
    ids = torch.full((2, 3), folder.start_token)
    with quiet(), torch.no_grad():
        cross = vision(pixels)
        past = [values[:, :, :2] for values in cross[1::2] for _ in range(2)]
        for name, module, example in (
            ("vision", vision, (pixels,)),
            ("decoder", decoder, (ids, *past, *cross)),
        ):
            graph = openvino.convert_model(module, example_input=example)
            openvino.save_model(graph, target / f"{name}.xml", compress_to_fp16=False)


def _modules(model: Any) -> tuple[Any, Any]:
    """The two graphs as modules: of the vision tower, and of the decoder."""
    import torch
    from torch.nn.functional import log_softmax, scaled_dot_product_attention

    decoder = model.text_decoder
    embeddings, layers = decoder.bert.embeddings, decoder.bert.encoder.layer

    def heads(attention: Any, states: torch.Tensor) -> torch.Tensor:
        return states.view(*states.shape[:2], -1, attention.attention_head_size).transpose(1, 2)

    class Vision(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vision, self.layers = model.vision_model, layers

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            patches = self.vision(pixel_values=pixels).last_hidden_state
            cross = []
            for layer in self.layers:
                block = layer.crossattention.self
                keys = heads(block, block.key(patches)) / math.sqrt(block.attention_head_size)
                cross += [keys.transpose(2, 3), heads(block, block.value(patches))]
            return tuple(cross)

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, ids: torch.Tensor, *memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
            past, cross = memory[: 2 * len(layers)], memory[2 * len(layers) :]
            length, before = ids.shape[1], past[0].shape[2]
            positions = torch.arange(before, before + length)[None]
            mask = torch.arange(before + length)[None] <= positions.transpose(0, 1)
            states, present = embeddings(input_ids=ids, position_ids=positions), []
            for number, layer in enumerate(layers):
                own, other = layer.attention.self, layer.crossattention.self
                for each, project in enumerate((own.key, own.value)):
                    new = heads(own, project(states))
                    present.append(torch.cat([past[2 * number + each], new], dim=2))
                query = heads(own, own.query(states))
                context = scaled_dot_product_attention(query, present[-2], present[-1], attn_mask=mask)
                states = layer.attention.output(context.transpose(1, 2).flatten(2), states)
                weights = (heads(other, other.query(states)) @ cross[2 * number]).softmax(-1)
                context = weights @ cross[2 * number + 1]
                states = layer.crossattention.output(context.transpose(1, 2).flatten(2), states)
                states = layer.feed_forward_chunk(states)
            return (log_softmax(decoder.cls(states), dim=-1), *present)

    return Vision().eval(), Decoder().eval()
