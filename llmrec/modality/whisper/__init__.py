"""Speech by Whisper: two engines behind one transcriber."""

from __future__ import annotations

from llmrec.modality.whisper.load import load_transcriber, transcriber_fingerprint

__all__ = ["load_transcriber", "transcriber_fingerprint"]
