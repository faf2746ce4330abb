"""What ``llmrec demo`` and the notebooks show beside MovieLens: two small catalogs, made on the spot."""

from __future__ import annotations

from llmrec.demo.bazaar import Bazaar, make_bazaar
from llmrec.demo.shelf import make_shelf

__all__ = ["Bazaar", "make_bazaar", "make_shelf"]
