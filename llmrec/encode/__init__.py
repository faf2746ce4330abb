"""Text to vectors."""

from __future__ import annotations

from llmrec.encode.base import Encoder, Kind, Tokenizer
from llmrec.encode.load import encoder_fingerprint, load_encoder, load_tokenizer

__all__ = ["Encoder", "Kind", "Tokenizer", "encoder_fingerprint", "load_encoder", "load_tokenizer"]
