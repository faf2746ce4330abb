"""An adapter merged into its base model: a model folder like any other."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmrec.encode.folder import LENGTH, ModelFolder
from llmrec.encode.torch_engine import load_sentence_transformer
from llmrec.errors import AdapterError, MissingExtraError
from llmrec.progress import Progress
from llmrec.runtime.folders import MANIFEST, cached_folder
from llmrec.runtime.libraries import quiet
from llmrec.training.adapter import Adapter
from llmrec.training.lora import merge_adapter

_RECIPE = "merged 2"
"""Raised whenever what is below would write another model."""
_COPIED = {".json", ".txt", ".model", ".jinja", ".safetensors"}
_MODULES = ("Transformer", "Pooling")


def merged_folder(adapter: Adapter, base: ModelFolder, folder: Path, progress: Progress) -> Path:
    """The merged model in ``folder``, made unless that holds it whole; readers see all of it or nothing.

    Raises:
        AdapterError: the adapter does not fit the base model, or the folder cannot be written.
        AssetError: the base model cannot be loaded.
        MissingExtraError: PEFT is not installed.
    """
    recipe = " ".join([_RECIPE, adapter.card.base.fingerprint, *sorted(adapter.card.sha256.values())])
    return cached_folder(folder, recipe, lambda target: write_merged(adapter, base, target, progress))


def write_merged(adapter: Adapter, base: ModelFolder, target: Path, progress: Progress) -> None:
    """Write the merged model, float32 safetensors, into an empty folder.

    All but the weights is the base model's: tokenizer, pooling, prompts, further modules. Where that leaves
    the pooling to the loader, it is written down, so that every loader takes the same. Texts are cut to the
    length that the adapter was trained on: vectors of longer ones were never validated.

    Raises:
        AdapterError: as for :func:`merged_folder`.
        AssetError: the base model cannot be loaded.
        MissingExtraError: PEFT is not installed.
    """
    import torch

    if find_spec("peft") is None:
        raise MissingExtraError("peft", "finetune")
    with progress.task(f"Merging {adapter.name}", total=1, unit="models") as task, quiet():
        model = load_sentence_transformer(base, "cpu", torch.float32)
        merge_adapter(model, adapter.folder)
        try:
            _write(model, base, target, adapter.card.settings.max_tokens)
        except Exception as error:  # safetensors and transformers report a full disk in ways of their own
            hint = "If the disk is full, free space; then try again."
            raise AdapterError(f"{target}: cannot be written: {error}", hint) from error
        task.advance()


def _write(model: Any, base: ModelFolder, target: Path, max_tokens: int) -> None:
    transformer = base.tokenizer.parent.relative_to(base.path)
    model[0].auto_model.save_pretrained(target / transformer)
    stated = base.path / transformer / LENGTH
    known = json.loads(stated.read_text(encoding="utf-8")) if stated.exists() else {}
    length = known | {"max_seq_length": min(max_tokens, base.position_tokens)}
    (target / transformer / LENGTH).write_text(json.dumps(length, indent=2), encoding="utf-8")
    written = {transformer / "config.json", transformer / LENGTH, Path(MANIFEST)}
    for file in sorted(base.path.rglob("*")):
        name = file.relative_to(base.path)
        weights = name.parent == transformer and name.name.startswith("model") and ".safetensors" in name.name
        hidden = any(part.startswith(".") for part in name.parts)
        if file.suffix in _COPIED and not (hidden or weights or name in written):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / name)
    if base.pooling:
        (target / "1_Pooling").mkdir(exist_ok=True)
        model[1].save(str(target / "1_Pooling"))
        modules = [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for at, (path, kind) in enumerate(zip(("", "1_Pooling"), _MODULES, strict=True))
        ]
        (target / "modules.json").write_text(json.dumps(modules, indent=2), encoding="utf-8")
