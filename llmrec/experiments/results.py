"""Reports on prompts that a workspace keeps."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from llmrec.errors import CorruptFileError
from llmrec.reports import REPORT

_PREFIX = "prompts-"


def folder_for(root: Path) -> Path:
    """A new folder's name for a report on prompts, that sorts by time."""
    name = f"{_PREFIX}{datetime.now():%Y%m%d-%H%M%S}"
    taken = {path.name for path in (root / "reports").glob(f"{name}*")}
    later = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return root / "reports" / next(free for free in (name, *later) if free not in taken)


def results(root: Path) -> list[dict[str, Any]]:
    """Every report on prompts of the workspace at ``root``, the oldest first, as its comparison returned it.

    Raises:
        CorruptFileError: one cannot be read; names it.
    """
    paths = sorted((root / "reports").glob(f"{_PREFIX}*/{REPORT}"), key=lambda path: path.parent.name)
    return [_read(path) for path in paths]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptFileError(f"{path}: cannot be read: {error}", "Remove its folder.") from error
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise CorruptFileError(f"{path}: not a report on prompts", "Remove its folder.")
    return document | {"report": str(path)}
