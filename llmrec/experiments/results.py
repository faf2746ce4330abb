"""Reports on prompts that a workspace keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmrec.errors import CorruptFileError
from llmrec.reports import REPORT

KIND = "prompts"
"""What their folders' names begin with."""


def results(root: Path) -> list[dict[str, Any]]:
    """Every report on prompts of the workspace at ``root``, the oldest first, as its comparison returned it.

    Raises:
        CorruptFileError: one cannot be read; names it.
    """
    paths = sorted((root / "reports").glob(f"{KIND}-*/{REPORT}"), key=lambda path: path.parent.name)
    return [_read(path) for path in paths]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptFileError(f"{path}: cannot be read: {error}", "Remove its folder.") from error
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise CorruptFileError(f"{path}: not a report on prompts", "Remove its folder.")
    return document | {"report": str(path)}
