"""Coloured pictures with captions, and a tiny BLIP of random weights that can learn them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from blip_folders import write_blip
from PIL import Image

from llmrec.config import FORMAT
from llmrec.training.settings import CaptionerSettings
from llmrec.workspace import Workspace

KINDS = {
    "a red ball on the beach": (220, 30, 20),
    "the blue hat": (20, 40, 220),
    "two dogs in the street": (40, 200, 40),
}
SETTINGS = CaptionerSettings.model_validate(
    {
        "method": "full",
        "epochs": 6,
        "batch_size": 4,
        "picture_batch": 8,
        "learning_rate": 3e-3,
        "tokens": 6,
        "held_out": 0.25,
        "samples": 3,
        "stages": [{}, {"vision_layers": 1, "epochs": 1, "learning_rate": 1e-3}],
        "lora": {"rank": 4, "dropout": 0.0},
    }
)


def write_picture(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """A picture of about one colour."""
    noise = np.random.default_rng(seed).normal(0, 12, (24, 24, 3))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)


def rows(folder: Path, count: int = 60) -> list[dict[str, Any]]:
    """Lines of a file of pairs, whose pictures are written; each has two captions."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        caption, colour = [*KINDS.items()][number % len(KINDS)]
        write_picture(folder / f"{number}.png", colour, number)
        found.append({"image": f"{number}.png", "captions": [caption, f"a picture of {caption}"]})
    return found


def write_pairs(folder: Path, lines: list[dict[str, Any]] | None = None) -> Path:
    """A file of pairs beside its pictures."""
    lines = rows(folder) if lines is None else lines
    path = folder / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def workspace_at(root: Path, captioner: str, more: str = "") -> Workspace:
    """A workspace without items, of a captioner."""
    root.mkdir(parents=True, exist_ok=True)
    models = f'[models]\nencoder = "plugin:words"\ncaptioner = "{captioner}"\n'
    (root / "llmrec.toml").write_text(f'format = {FORMAT}\nprofile = "small"\n{models}{more}', "utf-8")
    return Workspace(root)


def tiny_blip(folder: Path) -> str:
    """A whole BLIP of random weights, as a setting names it."""
    return f"file:{write_blip(folder, classic=False, seed=3)}"
