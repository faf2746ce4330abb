"""Reading a BLIP model folder's configuration without loading the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from llmrec.config import problems
from llmrec.errors import AssetError

_Model = TypeVar("_Model", bound=BaseModel)


# A folder states only what differs from the defaults of transformers' classes, which are repeated here.


class _Text(BaseModel):
    bos_token_id: int = 30522
    sep_token_id: int = 102
    pad_token_id: int = 0
    max_position_embeddings: int = 512


class _Vision(BaseModel):
    image_size: int = 384


class _Config(BaseModel):
    model_type: str = ""
    architectures: tuple[str, ...] = ("BlipForConditionalGeneration",)
    text_config: _Text = _Text()
    vision_config: _Vision = _Vision()


class _Size(BaseModel):
    height: int = 384
    width: int = 384


class PixelFormat(BaseModel):
    """What the vision tower takes: the settings of a ``BlipImageProcessor``.

    Args:
        size: pixels that a picture is resized to, whatever its shape.
        resample: Pillow's number of the filter.
        rescale_factor: of the 8-bit values, before ``image_mean`` is subtracted and divided by ``image_std``.
    """

    do_resize: bool = True
    do_rescale: bool = True
    do_normalize: bool = True
    size: int | _Size = _Size()
    resample: int = Field(default=3, ge=0, le=5)
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else (self.size.height, self.size.width)


class _Processor(BaseModel):
    image_processor: PixelFormat | None = None


@dataclass(frozen=True, slots=True)
class BlipFolder:
    """What the files of a ``BlipForConditionalGeneration`` say about the model.

    Args:
        name: what errors and progress call the model.
        path: the folder.
        tokenizer: its ``tokenizer.json``.
        start_token: begins every caption.
        end_token: ends it.
        pad_token: fills a batch.
        positions: longest sequence of the decoder, in tokens.
    """

    name: str
    path: Path
    tokenizer: Path
    pixels: PixelFormat
    start_token: int
    end_token: int
    pad_token: int
    positions: int


def read_blip_folder(path: Path, name: str) -> BlipFolder:
    """Read the configuration in ``path`` of the model that is called ``name``.

    Raises:
        AssetError: it is no BLIP captioning model, or a needed file is missing or malformed.
    """
    config = _read(path / "config.json", _Config)
    _check_is_captioner(path / "config.json", config)
    index = path / "model.safetensors.index.json"
    for file in (path / "tokenizer.json", index if index.exists() else path / "model.safetensors"):
        if not file.exists():
            raise AssetError(f"{file}: not found", "A BLIP model folder needs it.")
    return BlipFolder(
        name=name,
        path=path,
        tokenizer=path / "tokenizer.json",
        pixels=_pixel_format(path, config.vision_config.image_size),
        start_token=config.text_config.bos_token_id,
        end_token=config.text_config.sep_token_id,
        pad_token=config.text_config.pad_token_id,
        positions=config.text_config.max_position_embeddings,
    )


def _check_is_captioner(file: Path, config: _Config) -> None:
    if config.model_type != "blip":
        raise AssetError(
            f"{file}: not a BLIP model (model_type {config.model_type!r})",
            "Set models.captioner to a BLIP checkpoint, as hf:Salesforce/blip-image-captioning-large.",
        )
    if "BlipForConditionalGeneration" not in config.architectures:
        raise AssetError(
            f"{file}: a BLIP model for another task ({', '.join(config.architectures)})",
            "A captioner is a BlipForConditionalGeneration.",
        )


def _pixel_format(path: Path, side: int) -> PixelFormat:
    file = path / "processor_config.json"  # of transformers 5; before, there was only the other
    pixels = _read(file, _Processor).image_processor if file.exists() else None
    if pixels is None:
        file = path / "preprocessor_config.json"
        pixels = _read(file, PixelFormat)
    if not (pixels.do_resize and pixels.do_rescale and pixels.do_normalize):
        raise AssetError(f"{file}: leaves out a step (do_resize, do_rescale, do_normalize) that BLIP needs")
    if pixels.shape != (side, side):
        raise AssetError(
            f"{file}: pictures become {pixels.shape[0]} x {pixels.shape[1]} pixels, "
            f"but the model was made for {side} x {side}"
        )
    return pixels


def _read(path: Path, kind: type[_Model]) -> _Model:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise AssetError(f"{path}: not found", "A BLIP model folder needs it.") from error
    except OSError as error:
        raise AssetError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        raise AssetError(f"{path}: {problems(error)}") from error
