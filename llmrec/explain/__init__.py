"""Evidence, the text written from it, and the check of that text."""

from __future__ import annotations

from llmrec.explain.evidence import Case
from llmrec.explain.explainer import Explainer, load_explainer
from llmrec.explain.generator import Told

__all__ = ["Case", "Explainer", "Told", "load_explainer"]
