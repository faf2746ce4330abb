"""The model that is fine-tuned: a workspace's explainer, as a GGUF file and as a folder to train."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from llmrec import assets
from llmrec.encode.folder import ModelFolder
from llmrec.encode.load import model_folder
from llmrec.errors import ConfigError
from llmrec.explain.generator import gguf_file
from llmrec.progress import Progress
from llmrec.runtime.plugins import is_plugin
from llmrec.training.adapter import CARD
from llmrec.training.explainer.export import check_exportable
from llmrec.workspace import Workspace

EXPLAINERS = "explainers"
"""Folder of a workspace: explainers that were fine-tuned."""
_OTHER = "Set models.explainer to a GGUF file of a chat model, such as smollm2-135m-instruct."


@dataclass(frozen=True, slots=True)
class Base:
    """The model that is fine-tuned.

    Args:
        name: as the workspace's settings have it.
        gguf: its file.
        folder: the same in float32, converted once.
        fingerprint: digest of the file's content.
        licence: None where it is not known.
    """

    name: str
    gguf: Path
    folder: ModelFolder
    fingerprint: str
    licence: str | None

    @classmethod
    def of(cls, workspace: Workspace, progress: Progress) -> Self:
        """The explainer that a workspace's settings name; of one that was fine-tuned here, its base.

        Raises:
            ConfigError: it is a plug-in, or of an architecture that cannot be exported.
            AssetError: it cannot be found, pulled, read or converted.
            MissingExtraError: a package that reads GGUF is not installed.
        """
        spec = workspace.settings.models.explainer
        if is_plugin(spec):
            raise ConfigError(f"{spec}: a plug-in has no weights that could be fine-tuned", _OTHER)
        gguf = gguf_file(spec, progress)
        if workspace.root.resolve() / EXPLAINERS in gguf.resolve().parents:
            spec = _base_of(gguf.parent / CARD)
            gguf = gguf_file(spec, progress)
        if gguf.suffix != ".gguf":
            raise ConfigError(f"{gguf}: not a GGUF file, and only those can be fine-tuned", _OTHER)
        check_exportable(gguf)
        folder = model_folder(spec if ":" not in spec else f"file:{gguf}", progress)
        return cls(spec, gguf, folder, assets.fingerprint(spec), assets.licence(spec))


def _base_of(card: Path) -> str:
    """The name of the base in the card of an explainer that was fine-tuned."""
    try:
        name: str = json.loads(card.read_text(encoding="utf-8"))["base"]["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{card}: cannot be read: {error}", _OTHER) from error
    return name
