"""An adapter's folder in a workspace: weights, configuration, the curve of its run, and a card."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llmrec import __version__
from llmrec.training.curve import write_curve
from llmrec.training.lora import WEIGHTS, write_adapter

CARD = "card.json"
FORMAT = 1
"""Version of the card."""
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "peft")


def write_folder(
    model: Any, card: dict[str, Any], curve: list[dict[str, float]], base: str, folder: Path
) -> None:
    """Write the adapter that is on a model into a new folder: all of it or nothing.

    Args:
        model: a ``SentenceTransformer``.
        card: what is known of the run; the format, versions and the weights' SHA-256 are added.
        curve: of the run.
        base: name of the base model.
        folder: which must not be there yet.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write_adapter(model, part, base)
        write_curve(curve, part)
        digest = hashlib.sha256((part / WEIGHTS).read_bytes()).hexdigest()
        versions = {"llmrec": __version__} | {name: version(name) for name in _LIBRARIES}
        whole = {"format": FORMAT, **card, "versions": versions, "sha256": {WEIGHTS: digest}}
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=2)
        (part / CARD).write_text(f"{text}\n", encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
