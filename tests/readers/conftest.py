"""What the reader tests share."""

from __future__ import annotations

import pytest

from llmrec.schema import Flag


@pytest.fixture
def flags() -> list[Flag]:
    """Where a test collects what was flagged."""
    return []
