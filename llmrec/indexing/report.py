"""What an index run is given, and what it says afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmrec.modality.load import Missing
from llmrec.modality.pipeline import MediaReport
from llmrec.schema import Flag

ERRORS = "errors.jsonl"


@dataclass(frozen=True, slots=True)
class Sources:
    """What to index.

    ``item_columns`` and ``event_columns`` map a source's column name to llmrec's, where they differ.
    """

    catalog: Path
    interactions: tuple[Path, ...] = ()
    users: tuple[Path, ...] = ()
    item_columns: Mapping[str, str] = field(default_factory=dict)
    event_columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class IndexReport:
    """What an index run did.

    ``cut`` maps a field to (items in which it was cut, tokens lost); ``skipped`` names the attributes kept
    out of documents because they look like identifiers; ``missing`` is what media could have given, had
    models or packages been there.
    """

    items: int = 0
    encoded: int = 0
    resumed: int = 0
    unchanged: int = 0
    deleted: int = 0
    events: int = 0
    new_events: int = 0
    users: int = 0
    flags: list[Flag] = field(default_factory=list)
    cut: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    media: MediaReport = field(default_factory=MediaReport)
    missing: list[Missing] = field(default_factory=list)


def write_errors(flags: Sequence[Flag], folder: Path) -> None:
    """Write what was flagged to ``errors.jsonl``, in the place of what the last run wrote."""
    path = folder / ERRORS
    part = path.with_suffix(".part")
    lines = (json.dumps(flag.to_json(), ensure_ascii=False) + "\n" for flag in flags)
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(path)
