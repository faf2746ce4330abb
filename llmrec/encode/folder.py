"""Reading a model folder's configuration without loading the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.encode.base import Kind
from llmrec.errors import AssetError

_PROMPT_NAMES: dict[Kind, tuple[str, ...]] = {
    "item": ("document", "passage", "corpus"),
    "user": ("query",),
    "query": ("query",),
}
_MODULES = {"Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout"}
_UNSTATED_LENGTH = 512
LENGTH = "sentence_bert_config.json"
"""Where sentence-transformers keeps the length that texts are cut to."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the files of a sentence-transformers or plain transformers folder say about the model.

    Args:
        name: what errors and progress call the model.
        path: the folder.
        tokenizer: its ``tokenizer.json``.
        pooling: how token vectors become one where the folder does not say: ``lasttoken`` for a causal LM,
            ``mean`` for others; None where ``modules.json`` says.
        trained_tokens: sequence length that the model was trained with, special tokens included.
        position_tokens: sequence length that the model can take.
        prompts: text put before that of each kind; kinds without one are absent.
        pad_token: id that fills a batch.
        blank_token: id that stands for a text without tokens.
        lower_case: whether text is lower-cased before the tokenizer's own normalisation.
    """

    name: str
    path: Path
    tokenizer: Path
    pooling: str | None
    trained_tokens: int
    position_tokens: int
    prompts: Mapping[Kind, str]
    pad_token: int
    blank_token: int
    lower_case: bool


def read_model_folder(path: Path, name: str) -> ModelFolder:
    """Read the configuration in ``path`` of the model that is called ``name``.

    Raises:
        AssetError: a needed file is missing or malformed, or the folder holds no text encoder.
    """
    modules = _read_modules(path)
    transformer = path / modules[0]["path"] if modules else path
    config = _read_json(transformer / "config.json")
    sentence = _read_json(transformer / LENGTH, optional=True)
    for file in (transformer / "tokenizer.json", _weights(transformer)):
        if not file.exists():
            raise AssetError(f"{file}: not found", "A model folder needs it.")
    positions = _position_tokens(config, _read_json(transformer / "tokenizer_config.json", optional=True))
    pad, blank = _token_ids(config)
    return ModelFolder(
        name=name,
        path=path,
        tokenizer=transformer / "tokenizer.json",
        pooling=None if modules else _default_pooling(config),
        trained_tokens=sentence.get("max_seq_length") or positions,
        position_tokens=positions,
        prompts=_prompts(path, modules),
        pad_token=pad,
        blank_token=blank,
        lower_case=bool(sentence.get("do_lower_case")),
    )


def _read_json(path: Path, *, optional: bool = False) -> Any:
    if optional and not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AssetError(f"{path}: not found", "A model folder needs it.") from error
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: cannot be read: {error}") from error


def _read_modules(path: Path) -> list[dict[str, str]]:
    modules: list[dict[str, str]] = _read_json(path / "modules.json", optional=True) or []
    for module in modules:
        if module["type"].rpartition(".")[2] not in _MODULES:
            raise AssetError(
                f"{path / 'modules.json'}: module {module['type']} is not supported",
                f"Supported: {', '.join(sorted(_MODULES))}.",
            )
    return modules


def _weights(transformer: Path) -> Path:
    index = transformer / "model.safetensors.index.json"
    return index if index.exists() else transformer / "model.safetensors"


def _position_tokens(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    # An unlimited tokenizer states 1e30.
    stated = (config.get("max_position_embeddings"), tokenizer.get("model_max_length"))
    return min((int(value) for value in stated if value and 0 < value < 1e9), default=_UNSTATED_LENGTH)


def _token_ids(config: Mapping[str, Any]) -> tuple[int, int]:
    """The padding token, and the one for a text without tokens."""

    def stated(name: str) -> int | None:
        value = config.get(f"{name}_token_id")
        return value[0] if isinstance(value, list) else value

    ends = [token for token in (stated("bos"), stated("eos")) if token is not None]
    pad = stated("pad")
    pad = pad if pad is not None else next(iter(ends), 0)
    # Not the padding token where there is another: its embedding is a zero vector in many models.
    return pad, next(iter(ends), pad)


def _default_pooling(config: Mapping[str, Any]) -> str:
    architectures = config.get("architectures") or [""]
    return "lasttoken" if architectures[0].endswith("ForCausalLM") else "mean"


def _prompts(path: Path, modules: list[dict[str, str]]) -> dict[Kind, str]:
    named = _read_json(path / "config_sentence_transformers.json", optional=True).get("prompts") or {}
    prompts: dict[Kind, str] = {}
    for kind, names in _PROMPT_NAMES.items():
        prompt = next((named[name] for name in names if named.get(name)), "")
        if prompt:
            prompts[kind] = prompt
    pooling = [
        path / module["path"] / "config.json" for module in modules if module["type"].endswith("Pooling")
    ]
    if prompts and any(_read_json(file).get("include_prompt") is False for file in pooling):
        raise AssetError(f"{path}: pooling without the prompt's tokens is not supported")
    return prompts
