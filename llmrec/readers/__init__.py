"""Catalogs, logs and user tables, streamed into items, interactions and users."""

from __future__ import annotations

from llmrec.readers.columns import parse_mapping
from llmrec.readers.digest import source_digest
from llmrec.readers.read import read_interactions, read_items, read_users

__all__ = ["parse_mapping", "read_interactions", "read_items", "read_users", "source_digest"]
