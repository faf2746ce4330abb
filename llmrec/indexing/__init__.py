"""Catalogs and logs become snapshots of a workspace."""

from __future__ import annotations

from llmrec.indexing.report import ERRORS, IndexReport, Sources
from llmrec.indexing.run import IndexRun

__all__ = ["ERRORS", "IndexReport", "IndexRun", "Sources"]
