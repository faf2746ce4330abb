"""A small shop for tests: three topics of items, users who stay with their topic."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from llmrec.config import FORMAT
from llmrec.indexing import IndexReport, IndexRun, Sources
from llmrec.workspace import Workspace

TOPICS = {
    "coffee": ["espresso grinder steel", "moka pot aluminium", "paper filter coffee", "milk frother steel"],
    "garden": ["garden hose green", "pruning shears steel", "tomato seeds garden", "watering can green"],
    "music": ["guitar strings nickel", "drum sticks maple", "piano stool velvet", "violin bow maple"],
}


def item_rows() -> list[dict[str, object]]:
    """Twelve items: ``coffee-0`` to ``music-3``."""
    return [
        {
            "item_id": f"{topic}-{number}",
            "title": words.title(),
            "description": f"A {words} for everyone who loves {topic}.",
            "categories": [topic],
            "year": 1990 + number,
            "price": 10.5 * (number + 1),
        }
        for topic, titles in TOPICS.items()
        for number, words in enumerate(titles)
    ]


def event_rows() -> list[dict[str, object]]:
    """Nine users with three items of one topic each; user ``u0`` has coffee-0, -1 and -2."""
    rows = []
    for number in range(9):
        topic = list(TOPICS)[number % 3]
        for step in range(3):
            item = f"{topic}-{(number // 3 + step) % 4}"
            time = 1_600_000_000 + 100 * number + step
            rows.append({"user_id": f"u{number}", "item_id": item, "timestamp": time, "rating": 4})
    return rows


def write_items(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_events(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_shop(folder: Path) -> Sources:
    """Catalog and log of the shop."""
    folder.mkdir(parents=True, exist_ok=True)
    items = write_items(folder / "items.jsonl", item_rows())
    return Sources(items, (write_events(folder / "log.csv", event_rows()),))


def make_workspace(root: Path, encoder: str = "plugin:words") -> Workspace:
    """An empty workspace whose models are test plug-ins."""
    root.mkdir(parents=True, exist_ok=True)
    models = f'[models]\nencoder = "{encoder}"\nexplainer = "plugin:liar"\n'
    (root / "llmrec.toml").write_text(f'format = {FORMAT}\nprofile = "small"\n{models}', encoding="utf-8")
    return Workspace(root)


def index_shop(tmp_path: Path) -> tuple[Workspace, Sources, IndexReport]:
    """The shop, indexed into ``tmp_path / "w"``."""
    sources = write_shop(tmp_path / "data")
    workspace = make_workspace(tmp_path / "w")
    return workspace, sources, IndexRun(workspace, sources)()
