"""Channel ``sequence``: a causal transformer over the items of a history."""

from __future__ import annotations

from llmrec.rank.sequence.channel import Sequence

__all__ = ["Sequence"]
