"""Adapters of a workspace: which there are, what they reach, and which one is in use."""

from __future__ import annotations

from llmrec.adapters.comparing import Compared, compare
from llmrec.adapters.keeping import Kept, kept, merge, remove
from llmrec.adapters.using import Used, use

__all__ = ["Compared", "Kept", "Used", "compare", "kept", "merge", "remove", "use"]
