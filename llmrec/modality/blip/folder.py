"""Reading a BLIP model folder's configuration without loading the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.errors import AssetError

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_BICUBIC = 3


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """What the vision tower takes; the defaults are those of ``BlipImageProcessor``.

    Args:
        height: pixels that a picture is resized to, whatever its shape.
        width: likewise.
        resample: Pillow's number of the filter.
        scale: factor of the 8-bit values, before ``mean`` is subtracted and divided by ``std``.
    """

    height: int
    width: int
    resample: int
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class BlipFolder:
    """What the files of a ``BlipForConditionalGeneration`` say about the model.

    Args:
        name: what errors and progress call the model.
        path: the folder.
        start_token: begins every caption.
        end_token: ends it.
        pad_token: fills a batch.
        positions: longest sequence of the decoder, in tokens.
        layers: of the decoder.
    """

    name: str
    path: Path
    pixels: PixelFormat
    start_token: int
    end_token: int
    pad_token: int
    positions: int
    layers: int

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.path / "tokenizer.json"


def read_blip_folder(path: Path, name: str) -> BlipFolder:
    """Read the configuration in ``path`` of the model that is called ``name``.

    Raises:
        AssetError: it is no BLIP captioning model, or a needed file is missing or malformed.
    """
    config = _read_json(path / "config.json")
    _check_is_captioner(path, config)
    for file in (path / "tokenizer.json", _weights(path)):
        if not file.exists():
            raise AssetError(f"{file}: not found", "A BLIP model folder needs it.")
    text = config.get("text_config") or {}
    # The defaults below are those of BlipTextConfig: a folder states only what differs from them.
    return BlipFolder(
        name=name,
        path=path,
        pixels=_pixel_format(path, config),
        start_token=text.get("bos_token_id", 30522),
        end_token=text.get("sep_token_id", 102),
        pad_token=text.get("pad_token_id", 0),
        positions=text.get("max_position_embeddings", 512),
        layers=text.get("num_hidden_layers", 12),
    )


def _check_is_captioner(path: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("model_type")
    if kind != "blip":
        raise AssetError(
            f"{path / 'config.json'}: not a BLIP model (model_type {kind!r})",
            "Set models.captioner to a BLIP captioning checkpoint, "
            "such as hf:Salesforce/blip-image-captioning-large.",
        )
    architectures = config.get("architectures") or ["BlipForConditionalGeneration"]
    if "BlipForConditionalGeneration" not in architectures:
        raise AssetError(
            f"{path / 'config.json'}: a BLIP model for another task ({', '.join(architectures)})",
            "A captioner is a BlipForConditionalGeneration.",
        )


def _weights(path: Path) -> Path:
    index = path / "model.safetensors.index.json"
    return index if index.exists() else path / "model.safetensors"


def _pixel_format(path: Path, config: Mapping[str, Any]) -> PixelFormat:
    file = path / "processor_config.json"
    stated = _read_json(file).get("image_processor") if file.exists() else None
    if stated is None:
        file = path / "preprocessor_config.json"
        stated = _read_json(file)
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if stated.get(step, True) is not True:
            raise AssetError(f"{file}: {step} is off, which no BLIP model needs; it is not supported")
    side = (config.get("vision_config") or {}).get("image_size", 384)
    size = stated.get("size") or {"height": 384, "width": 384}
    size = {"height": size, "width": size} if isinstance(size, int) else size
    if size != {"height": side, "width": side}:
        raise AssetError(f"{file}: pictures become {size}, but the model was made for {side} x {side} pixels")
    return PixelFormat(
        height=side,
        width=side,
        resample=stated.get("resample", _BICUBIC),
        scale=stated.get("rescale_factor", 1 / 255),
        mean=tuple(stated.get("image_mean") or _CLIP_MEAN),
        std=tuple(stated.get("image_std") or _CLIP_STD),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AssetError(f"{path}: not found", "A BLIP model folder needs it.") from error
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: cannot be read: {error}") from error
