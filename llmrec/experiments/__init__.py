"""Prompts side by side: versions of a prompt on the same questions of the validation."""

from __future__ import annotations

from llmrec.experiments.comparing import Sample, compare
from llmrec.experiments.results import results

__all__ = ["Sample", "compare", "results"]
