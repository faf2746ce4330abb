"""Speech by Whisper: two engines behind one transcriber."""

from __future__ import annotations

from llmrec.modality.whisper.load import asset_uri, load_transcriber, transcriber_fingerprint

__all__ = ["asset_uri", "load_transcriber", "transcriber_fingerprint"]
