"""A small gallery for tests: items known by pictures and sound, described by test models."""

from __future__ import annotations

import struct
import wave
import zlib
from pathlib import Path

from shop import write_items

from llmrec.config import FORMAT
from llmrec.indexing import Sources
from llmrec.workspace import Workspace

COLOURS = {"red": (220, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 220), "grey": (128, 128, 128)}
UNLUCKY = (13, 13, 13)
"""A colour at which the test captioner fails."""


def write_png(path: Path, colour: tuple[int, int, int], side: int = 24) -> Path:
    """A square of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (b"\0" + bytes(colour) * side) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def write_wav(path: Path, seconds: float) -> Path:
    """A tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = [8000 if (number // 40) % 2 else -8000 for number in range(int(16_000 * seconds))]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return path


def write_gallery(folder: Path, items: int = 0) -> Sources:
    """Four items with a picture each, one with two, one with sound, one without media; and ``items`` more."""
    for name, colour in COLOURS.items():
        write_png(folder / "pictures" / f"{name}.png", colour)
    write_wav(folder / "two seconds.wav", 2.0)
    rows: list[dict[str, object]] = [
        {"item_id": name, "title": f"Number {number}", "images": [f"pictures/{name}.png"]}
        for number, name in enumerate(COLOURS)
    ]
    rows += [
        {"item_id": "pair", "title": "A pair", "images": ["pictures/red.png", "pictures/blue.png"]},
        {"item_id": "sound", "title": "A sound", "audio": ["two seconds.wav"]},
        {"item_id": "plain", "title": "Nothing but words"},
    ]
    for number in range(items):
        name = f"pictures/{number}.png"
        write_png(folder / name, (200, number % 64, number // 64))
        rows.append({"item_id": f"more-{number}", "title": f"More {number}", "images": [name]})
    return Sources(write_items(folder / "items.jsonl", rows))


def make_gallery_workspace(root: Path, more: str = "", captioner: str = "plugin:colours") -> Workspace:
    """An empty workspace whose models are test plug-ins, without OCR."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "llmrec.toml").write_text(
        f'format = {FORMAT}\n[models]\nencoder = "plugin:words"\nexplainer = "plugin:liar"\n'
        f'captioner = "{captioner}"\ntranscriber = "plugin:counter"\n[ocr]\nenabled = false\n{more}',
        encoding="utf-8",
    )
    return Workspace(root)
