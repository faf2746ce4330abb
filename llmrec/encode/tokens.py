"""Counting, cutting and numbering tokens with a model folder's ``tokenizer.json``; needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrec.encode.base import Kind
from llmrec.encode.folder import ModelFolder
from llmrec.errors import AssetError, ConfigError

# A tokenizer's result is some 50 times larger than the ids taken from it; this many are held at once.
_WINDOW = 1024


class FolderTokenizer:
    """The tokenizer of a model folder; a :class:`~llmrec.encode.base.Tokenizer`.

    Args:
        folder: the model folder.
        max_tokens: length that sequences are cut to, special tokens included; None for what the model was
            trained with.

    Raises:
        AssetError: ``tokenizer.json`` is malformed.
        ConfigError: ``max_tokens`` is more than the model has positions for, or leaves no room for text.
    """

    def __init__(self, folder: ModelFolder, max_tokens: int | None) -> None:
        length = max_tokens or folder.trained_tokens
        if length > folder.position_tokens:
            raise ConfigError(
                f"encoder.max_tokens is {length}, but {folder.name} takes at most {folder.position_tokens}"
            )
        self._tokenizer = _load(folder)
        self._folder = folder
        self._room = length - self._tokenizer.num_special_tokens_to_add(False)
        self.max_tokens = self._room - max(self.count_tokens(list(folder.prompts.values())), default=0)
        """Content tokens that fit beside the special ones and the longest prompt."""
        if self.max_tokens < 1:
            raise ConfigError(
                f"encoder.max_tokens is {length}: no room is left for text beside prompt and special tokens"
            )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Content tokens of each text, without special ones."""
        return [len(encoding) for encoding in self._encodings(texts)]

    def cut(self, text: str, tokens: int) -> str:
        """The longest prefix of ``text`` that ends between two tokens and has at most ``tokens`` of them."""
        spans = self._tokenizer.encode(_encodable(text), add_special_tokens=False).offsets
        if len(spans) <= tokens:
            return text
        for last in range(min(tokens, len(spans) - 1), 0, -1):
            end, following = spans[last - 1][1], spans[last][0]
            # Tokens of one character (an emoji's bytes) share its span; and a prefix may split differently.
            if following >= end and self.count_tokens([text[:end]])[0] <= tokens:
                return text[:end]
        return ""

    def sequences(self, texts: Sequence[str], kind: Kind) -> list[NDArray[np.int64]]:
        """Ids of each text as the model reads it: prompt before, special tokens added, cut to its length."""
        prompt = self._folder.prompts.get(kind, "")
        return [
            self._as_sequence(encoding) for encoding in self._encodings([prompt + text for text in texts])
        ]

    def _as_sequence(self, encoding: Any) -> NDArray[np.int64]:
        encoding.truncate(self._room)
        ids = self._tokenizer.post_process(encoding).ids or [self._folder.blank_token]
        return np.array(ids, dtype=np.int64)

    def _encodings(self, texts: Sequence[str]) -> Iterator[Any]:
        for start in range(0, len(texts), _WINDOW):
            window = [_encodable(text) for text in texts[start : start + _WINDOW]]
            yield from self._tokenizer.encode_batch_fast(window, add_special_tokens=False)


def _encodable(text: str) -> str:
    # A lone surrogate (an undecodable byte of a command line) has no UTF-8; "?" keeps the offsets.
    return text.encode("utf-8", "replace").decode()


def _load(folder: ModelFolder) -> Any:
    from tokenizers import Tokenizer, normalizers

    try:
        tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    except Exception as error:  # the library raises nothing narrower
        raise AssetError(f"{folder.tokenizer}: cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if folder.lower_case:
        own = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer
