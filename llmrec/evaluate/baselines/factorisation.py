"""The package ``implicit``, which trains ``ials`` and ``bpr``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmrec.errors import MissingExtraError


@contextmanager
def implicit_cpu() -> Iterator[Any]:
    """The package ``implicit.cpu`` while BLAS has one thread: with more it trains several times slower.

    Raises:
        MissingExtraError: ``implicit`` is not installed.
    """
    try:
        import implicit.cpu.als
        import implicit.cpu.bpr
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtraError("implicit", "evaluate") from error
    with threadpool_limits(1, "blas"):
        yield implicit.cpu
