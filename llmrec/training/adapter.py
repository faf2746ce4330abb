"""An adapter's folder in a workspace: weights, configuration, the curve of its run, and a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrec import __version__
from llmrec.assets import safety
from llmrec.assets.hashing import sha256_file
from llmrec.config import problems
from llmrec.errors import AdapterError
from llmrec.training.curve import write_curve
from llmrec.training.judge import METRIC
from llmrec.training.lora import CONFIG, WEIGHTS

CARD = "card.json"
FORMAT = 1
"""Version of the card."""
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "peft")
_HASHED = (WEIGHTS, CONFIG)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class CardBase(_Part):
    """The model that was fine-tuned: its name, the digest of its content, its licence where it is known."""

    name: str
    fingerprint: str
    licence: str | None


class CardData(_Part):
    """What was learnt from: pairs, and the time of the newest event, seconds since the epoch."""

    pairs: int
    end: float


class CardProtocol(_Part):
    """What the metrics were measured by."""

    split: str
    stage: str


class CardSettings(_Part):
    """What of the run's settings matters for use: the length that texts were cut to, in tokens."""

    max_tokens: int = Field(ge=8)


class CardMetrics(_Part):
    """Validation of the base model, and of it with the adapter, when that was trained."""

    before: dict[str, float]
    after: dict[str, float]


class Card(_Part):
    """What of ``card.json`` matters for the use of an adapter. ``sha256``: of files of the folder."""

    format: int
    base: CardBase
    data: CardData
    protocol: CardProtocol
    metrics: CardMetrics
    settings: CardSettings
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that is whole."""

    folder: Path
    card: Card

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.name

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the card and check the files against it.

        Raises:
            AdapterError: the folder is half written, its card cannot be used, or a file differs.
            UnsafeFileError: it holds a pickle, code, or a file that is not what its name says.
        """
        for name in (CARD, *_HASHED):
            if not (folder / name).is_file():
                raise _unusable(folder, f"half written: it has no {name}")
        card = _read_card(folder)
        for name, expected in card.sha256.items():
            if not (folder / name).is_file() or sha256_file(folder / name) != expected:
                raise _unusable(folder, f"{name} is not what its card says")
        safety.check_model_folder(folder)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            safety.check_file(file)  # a pickle that the loaders would pass over has no place here either
        return cls(folder, card)


def write_folder(
    card: dict[str, Any],
    curve: list[dict[str, float]],
    folder: Path,
    write: Callable[[Path], Mapping[str, Any] | None],
    metric: str = METRIC,
) -> None:
    """Write what a run has made into a new folder: all of it or nothing.

    Args:
        card: what is known of the run; the format, versions and SHA-256 are added.
        curve: of the run.
        folder: which must not be there yet.
        write: writes the files of the model, and returns what the card says of them.
        metric: that the picture of the curve shows.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        card = {**card, **(write(part) or {})}
        digests = {path.name: sha256_file(path) for path in sorted(part.iterdir())}
        write_curve(curve, part, metric)
        versions = {"llmrec": __version__} | {name: version(name) for name in _LIBRARIES}
        whole = {"format": FORMAT, **card, "versions": versions, "sha256": digests}
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=2)
        (part / CARD).write_text(f"{text}\n", encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _read_card(folder: Path) -> Card:
    try:
        card = Card.model_validate_json((folder / CARD).read_bytes())
    except ValidationError as error:
        raise _unusable(folder, f"{CARD} cannot be read: {problems(error)}") from error
    if card.format != FORMAT:
        raise AdapterError(
            f"{folder / CARD}: of format {card.format}, and this llmrec reads {FORMAT}",
            "Use it by the llmrec that made it.",
        )
    if WEIGHTS not in card.sha256:
        raise _unusable(folder, f"{CARD} has no SHA-256 of {WEIGHTS}")
    return card


def _unusable(folder: Path, what: str) -> AdapterError:
    return AdapterError(
        f"{folder}: {what}", f"Copy it again, or `llmrec adapters remove {folder.name}` and fine-tune anew."
    )
