"""The demo's bazaar: a catalog of things in several materials, and people who return to what they like.

Everyone has a department and a material that they prefer. A text tells both, so that people can be understood
by what their things are called; the material takes some learning, since it is one word among many.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrec.schema import Columns

_DEPARTMENTS = {
    "coffee": {
        "kettle": "Pours a thin, steady stream over the grounds.",
        "grinder": "Turns beans into an even powder, from espresso to filter.",
        "tamper": "Presses the grounds flat before a shot.",
        "canister": "Keeps roasted beans dry and dark for weeks.",
    },
    "garden": {
        "watering can": "Its long spout reaches the roots of pots at the back.",
        "trowel": "Digs, plants and measures the depth of bulbs.",
        "seed tray": "Twelve cells in which seedlings wait for the last frost.",
        "plant stand": "Lifts herbs and ferns into the light of a window.",
    },
    "music": {
        "ukulele": "Four strings and a bright tone, easy for a beginner.",
        "music stand": "Holds a score at the height of the eyes.",
        "drum": "A round, warm beat for hands or soft sticks.",
        "metronome": "Counts the time, slow or fast, while you practise.",
    },
    "camping": {
        "lantern": "Lights a tent all night and hangs from a branch.",
        "stove": "Boils a litre of water in four minutes, even in wind.",
        "folding chair": "Opens beside the fire and packs flat for the trail.",
        "mug": "Keeps soup hot at the summit and clips to a rucksack.",
    },
    "cycling": {
        "bicycle bell": "A clear ring that walkers hear from afar.",
        "bottle cage": "Holds a drink on the frame over cobbles.",
        "saddle bag": "Room for a tube, two levers and a pump.",
        "bicycle basket": "Carries groceries or a small dog on the handlebar.",
    },
    "baking": {
        "rolling pin": "Rolls pastry thin without sticking.",
        "bread tin": "Bakes a square loaf with an even crust.",
        "cake stand": "Shows a tart in the middle of the table.",
        "mixing bowl": "Deep enough to knead dough for two loaves.",
    },
    "writing": {
        "fountain pen": "Writes a soft line on letters and diaries.",
        "desk lamp": "A warm cone of light for late pages.",
        "pencil case": "Keeps twelve pencils and a rubber in order.",
        "bookend": "Keeps a row of novels upright on a desk.",
    },
    "photography": {
        "tripod": "Holds a camera still through a long exposure.",
        "photo frame": "Shows a portrait of the family on the wall.",
        "camera case": "Guards a camera and a lens from rain and knocks.",
        "film box": "Stores negatives away from light and dust.",
    },
}
_MATERIALS = {
    "copper": "Hammered by hand; the metal darkens with every year.",
    "oak": "Turned from one piece of a felled tree, then oiled.",
    "steel": "Brushed, cool and plain; it does not rust.",
    "linen": "Covered in woven flax that may be washed.",
    "bamboo": "Light and quick to grow, split and pressed.",
    "enamel": "Coated in bright glass, in white or sky blue.",
}
_OF_EACH = 4
_USERS, _EVENTS = 200, 14
_BEGIN, _DAY = 1_700_000_000, 86_400


@dataclass(frozen=True, slots=True)
class Bazaar:
    """Files of the bazaar: the catalog (JSON Lines) and the log (CSV)."""

    items: Path
    log: Path


def make_bazaar(folder: str | Path) -> Bazaar:
    """Write the catalog, 128 items in eight departments, and the log of 200 users; the same each time.

    Args:
        folder: made where it is missing; files of an earlier call are written over.

    Raises:
        OSError: it cannot be written.
    """
    bazaar = Bazaar(Path(folder) / "items.jsonl", Path(folder) / "log.csv")
    rows = list(_items())
    bazaar.items.parent.mkdir(parents=True, exist_ok=True)
    bazaar.items.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([Columns.USER, Columns.ITEM, Columns.TIMESTAMP])
    writer.writerows(_events(rows))
    bazaar.log.write_text(text.getvalue(), encoding="utf-8")
    return bazaar


def _items() -> Iterator[dict[str, object]]:
    """Each thing in some of the materials."""
    rng = np.random.default_rng(0)
    materials = list(_MATERIALS)
    for department, things in _DEPARTMENTS.items():
        for thing, use in things.items():
            for material in rng.permutation(materials)[:_OF_EACH].tolist():
                yield {
                    Columns.ITEM: f"{department}-{thing}-{material}".replace(" ", "-"),
                    Columns.TITLE: f"{material.title()} {thing}",
                    Columns.CATEGORIES: [department],
                    Columns.TEXT: f"{use} {_MATERIALS[material]}",
                    "material": material,
                    "price": int(rng.integers(8, 90)),
                }


def _events(items: list[dict[str, object]]) -> Iterator[tuple[str, object, int]]:
    """What each user took, one after the other: often of their department, of their material, and popular."""
    rng = np.random.default_rng(1)
    departments = np.array([row[Columns.CATEGORIES][0] for row in items])  # type: ignore[index]
    materials = np.array([row["material"] for row in items])
    popularity = rng.pareto(3.0, len(items)) + 0.5
    for user in range(_USERS):
        likes = departments == rng.choice([*_DEPARTMENTS]), materials == rng.choice([*_MATERIALS])
        weights = popularity * np.where(likes[0], 8.0, 1.0) * np.where(likes[1], 8.0, 1.0)
        chosen = rng.choice(len(items), _EVENTS, replace=False, p=weights / weights.sum())
        times = _BEGIN + np.sort(rng.integers(0, 365 * _DAY, _EVENTS))
        for place, time in zip(chosen, times.tolist(), strict=True):
            yield f"u{user}", items[place][Columns.ITEM], time
