"""What fewer bits cost and save: the models of a workspace in several precisions, side by side."""

from __future__ import annotations

from llmrec.precisions.report import report
from llmrec.training.validation import Sample

__all__ = ["Sample", "report"]
