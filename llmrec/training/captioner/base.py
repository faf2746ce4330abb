"""The model that is fine-tuned: the captioner of a workspace, a BLIP folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from llmrec import assets
from llmrec.errors import ConfigError
from llmrec.modality.blip.folder import BlipFolder
from llmrec.modality.blip.load import open_blip_folder
from llmrec.progress import Progress
from llmrec.runtime.plugins import is_plugin
from llmrec.training.adapter import CARD
from llmrec.workspace import Workspace

_OTHER = 'Write captioner = "hf:NAME" or "file:FOLDER", a BLIP checkpoint, under [models] in llmrec.toml.'


@dataclass(frozen=True, slots=True)
class Base:
    """The model that is fine-tuned.

    Args:
        name: as the workspace's settings have it.
        folder: its files.
        fingerprint: digest of their content.
        licence: None where it is not known.
        data: what its own card says that it has learnt from, where this project made it; else None.
    """

    name: str
    folder: BlipFolder
    fingerprint: str
    licence: str | None
    data: dict[str, Any] | None

    @classmethod
    def of(cls, workspace: Workspace, progress: Progress) -> Self:
        """The captioner that a workspace's settings name.

        Raises:
            ConfigError: there is none, or it is a plug-in.
            AssetError: it cannot be found, pulled or read, or is no BLIP captioning model.
            UnsafeFileError: its files could run code or exhaust memory; they were not loaded.
        """
        spec = workspace.settings.models.captioner
        if not spec:
            raise ConfigError(f"{workspace.root}: no captioner is set that could be fine-tuned", _OTHER)
        if is_plugin(spec):
            raise ConfigError(f"{spec}: a plug-in has no weights that could be fine-tuned", _OTHER)
        folder = open_blip_folder(spec, progress)
        return cls(spec, folder, assets.fingerprint(spec), assets.licence(spec), _data_of(folder.path / CARD))

    def facts(self) -> dict[str, Any]:
        """The base, for the card."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "licence": self.licence,
            "data": self.data,
        }


def _data_of(card: Path) -> dict[str, Any] | None:
    if not card.is_file():
        return None
    try:
        data = json.loads(card.read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{card}: cannot be read, so that what the captioner has learnt from is not known: {error}",
            "Copy the folder again, or remove the card.",
        ) from error
    return dict(data)
