"""Prompts side by side: versions of a prompt on the same questions of the validation."""

from __future__ import annotations

from llmrec.experiments.comparing import compare
from llmrec.experiments.results import results
from llmrec.training.validation import Sample

__all__ = ["Sample", "compare", "results"]
