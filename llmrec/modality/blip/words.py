"""Captions as tokens and as text, with a BLIP folder's ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Sequence

from llmrec.errors import AssetError
from llmrec.modality.blip.folder import BlipFolder


class CaptionTokenizer:
    """The tokenizer of a BLIP folder.

    Args:
        folder: the model folder.
        prompt: text that begins every caption; may be empty.

    Raises:
        AssetError: ``tokenizer.json`` is malformed.
    """

    def __init__(self, folder: BlipFolder, prompt: str) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(folder.tokenizer))
        except Exception as error:  # the library raises nothing narrower
            raise AssetError(f"{folder.tokenizer}: cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        words = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        self.prefix = (folder.start_token, *words)
        """Tokens that begin every caption: the start token and those of the prompt."""

    def tokens(self, text: str) -> list[int]:
        """The ids of a text's words, without special tokens; what the vocabulary lacks is left out."""
        unknown = self._tokenizer.token_to_id(getattr(self._tokenizer.model, "unk_token", None) or "")
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [token for token in ids if token != unknown]

    def text(self, tokens: Sequence[int]) -> str:
        """The prompt and ``tokens`` as a caption without special tokens; empty if they add nothing."""
        return self._decoded([*self.prefix, *tokens]) if self._decoded(tokens) else ""

    def _decoded(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()
