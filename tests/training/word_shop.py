"""A shop whose items have words of the tiny model for titles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from shop import make_workspace, write_events, write_items

from llmrec.indexing import IndexRun, Sources
from llmrec.training.settings import TrainingSettings
from llmrec.workspace import Workspace

SETTINGS = TrainingSettings.model_validate(
    {
        "max_steps": 6,
        "patience": 9,
        "batch_size": 32,
        "max_tokens": 24,
        "evaluations": 3,
        "pairs": {"hard_negatives": 1},
    }
)
ITEMS = [f"i{number}" for number in range(12)]


def events(users: int = 60) -> list[dict[str, object]]:
    """Users who choose at random."""
    rng = np.random.default_rng(0)
    return [
        event(user, step, item) for user in range(users) for step, item in enumerate(rng.permutation(12)[:6])
    ]


def topical_events(users: int = 60) -> list[dict[str, object]]:
    """Users who stay with one of three topics: every third of 24 items."""
    rng = np.random.default_rng(0)
    return [
        event(user, step, 3 * place + user % 3)
        for user in range(users)
        for step, place in enumerate(rng.permutation(8)[:6])
    ]


def event(user: int, step: int, item: int) -> dict[str, object]:
    time = 1_600_000_000 + 100 * user + step
    return {"user_id": f"u{user}", "item_id": f"i{item}", "timestamp": time}


def index(
    root: Path,
    encoder: str,
    rows: list[dict[str, object]],
    items: Sequence[str] = ITEMS,
    engine: str = "torch",
) -> Path:
    """A workspace of the shop."""
    data = root.with_name(f"{root.name}-data")
    data.mkdir(parents=True)
    catalog = write_items(data / "items.jsonl", item_rows(items))
    make_workspace(root, encoder).close()
    with (root / "llmrec.toml").open("a", encoding="utf-8") as file:
        file.write(f'[encoder]\nengine = "{engine}"\n[rank]\nfusion = "weighted"\nweights.sequence = 0\n')
    workspace = Workspace(root)
    IndexRun(workspace, Sources(catalog, (write_events(data / "log.csv", rows),)))()
    workspace.close()
    return root


def item_rows(items: Sequence[str]) -> list[dict[str, object]]:
    """Items with two words each, and one without a text."""
    rows = [{"item_id": item, "title": f"w{at} w{at + len(items)}"} for at, item in enumerate(items)]
    return [*rows, {"item_id": "without a text"}]
