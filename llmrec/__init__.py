"""An LLM-centric multimodal recommender.

>>> from llmrec import Recommender                              # doctest: +SKIP
>>> Recommender.open("shop/").recommend("u42", k=10, explain=True)   # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from llmrec.recommender import Recommender as Recommender
    from llmrec.schema import Interaction as Interaction, Item as Item

_EXPORTS = {
    "Interaction": "llmrec.schema",
    "Item": "llmrec.schema",
    "Recommender": "llmrec.recommender",
}
__all__ = ["Interaction", "Item", "Recommender", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import llmrec` and `llmrec --help` must not wait for the stores and models.
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'llmrec' has no attribute {name!r}")
