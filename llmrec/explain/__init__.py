"""Explanations: numbered evidence, a small language model that cites it, and a verifier that checks it."""

from __future__ import annotations

from llmrec.explain.evidence import Case, gather
from llmrec.explain.explainer import Explainer, load_explainer
from llmrec.explain.generator import Told
from llmrec.explain.languages import LANGUAGES

__all__ = ["LANGUAGES", "Case", "Explainer", "Told", "gather", "load_explainer"]
