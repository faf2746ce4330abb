"""Captions of pictures by BLIP models."""

from __future__ import annotations

from llmrec.modality.blip.load import captioner_fingerprint, load_captioner

__all__ = ["captioner_fingerprint", "load_captioner"]
