"""A vision tower between what it was and what training made of it.

``python finetune/mix.py BASE TUNED OUT --share 0.5``

``OUT`` is ``TUNED`` but for its vision tower, whose weights are ``SHARE`` of the way from those of ``BASE``
to its own. Training on a few ten thousand pictures makes a tower better at pictures like them and worse at
others; in between it keeps most of the one and of the other (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models"). The decoder has learnt from the tower as it was: train it anew, by a recipe with
``fresh: true`` and ``vision_layers: 0``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from llmrec.errors import LlmrecError, TrainingError
from llmrec.modality.blip.folder import read_blip_folder
from llmrec.training.captioner.export import copy_companions

WEIGHTS = "model.safetensors"
TOWER = "vision_model."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path, help="the BLIP folder that training began with")
    parser.add_argument("tuned", type=Path, help="the BLIP folder that training made of it")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--share", type=share, default=0.5, help="0: the tower of BASE, 1: that of TUNED; %(default)s"
    )
    arguments = parser.parse_args()
    try:
        mix(arguments.base, arguments.tuned, arguments.out, arguments.share)
    except (LlmrecError, OSError) as error:
        sys.exit(f"error: {error}")


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def mix(base: Path, tuned: Path, out: Path, share: float) -> None:
    """Write ``out``."""
    for folder in (base, tuned):
        read_blip_folder(folder, str(folder))  # what is no BLIP captioning model is refused
    before, after = load_file(base / WEIGHTS), load_file(tuned / WEIGHTS)
    tower = [name for name in after if name.startswith(TOWER)]
    for name in tower:
        if name not in before or before[name].shape != after[name].shape:
            raise TrainingError(f"{base} and {tuned}: their vision towers differ in {name}")
        after[name] = torch.lerp(before[name], after[name], share)
    out.mkdir(parents=True, exist_ok=True)
    copy_companions(tuned, out, "config.json", "generation_config.json")
    save_file(after, out / WEIGHTS, metadata={"format": "pt"})
    print(f"{out}: {len(tower)} tensors of the vision tower, {share:g} of the way to {tuned}")


if __name__ == "__main__":
    main()
