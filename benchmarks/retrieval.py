"""From speech to a picture: descriptions are transcribed, pictures captioned, and each is sought among all.

    python benchmarks/retrieval.py items.jsonl --captioner file:BLIP_FOLDER [--limit N]

The catalog names a picture and a spoken description of each item (columns ``image`` and ``audio``). Items are
known by nothing but their picture: what captioner, OCR and colours say of it is the document; the transcript
of the speech is the query. Printed: recall@1, @5 and @10 among all pictures, and what chance would give.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from llmrec.config import Settings
from llmrec.documents import ItemDocuments
from llmrec.encode import load_encoder
from llmrec.modality.cache import LayeredCache, MediaCache
from llmrec.modality.files import MediaFiles
from llmrec.modality.load import Modalities
from llmrec.modality.pipeline import MediaText
from llmrec.progress import ConsoleProgress
from llmrec.prompts import load_prompt
from llmrec.readers import read_items
from llmrec.schema import Item


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--captioner", required=True, help="asset name or URI of a BLIP checkpoint")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--cache", type=Path, help="folder to keep captions and transcripts in")
    given = parser.parse_args()
    rows = read_items(given.catalog, on_flag=lambda flag: print(f"left out: {flag.item_id}: {flag.reason}"))
    items = [item for item in itertools.islice(rows, given.limit) if item.images and item.audio]
    root = given.catalog.parent
    pictures = [Item(item.item_id, images=item.images[:1]) for item in items]
    speech = [Item(item.item_id, audio=item.audio[:1]) for item in items]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        cache = given.cache or Path(scratch)
        gated, open_gate = (settings_of(given.captioner, gate) for gate in (True, False))
        said = described(speech, root, gated, cache)
        print(f"{len(items)} pictures, {time.monotonic() - began:.0f} s to transcribe")
        for name, settings in (("unsure captions left out", gated), ("all captions", open_gate)):
            report(name, described(pictures, root, settings, cache), said, settings)


def settings_of(captioner: str, gate: bool) -> Settings:
    """Those of a workspace with that captioner; without the gate every caption counts as sure."""
    whole = {"min_word_probability": 0.0, "min_log_probability": -1000.0, "min_margin": -1000.0}
    opened = {} if gate else whole
    return Settings.model_validate({"models": {"captioner": captioner}, "caption": opened})


def report(name: str, shown: list[Item], said: list[Item], settings: Settings) -> None:
    """Print how well the spoken words find the pictures."""
    encoder = load_encoder(settings.models.encoder, settings.encoder)
    documents = ItemDocuments(load_prompt("item"), settings.documents, encoder)(shown)
    wanted = encoder.encode([document.text for document in documents], kind="item")
    queries = [" ".join(piece.text for piece in item.pieces) for item in said]
    scores = encoder.encode(queries, kind="query") @ wanted.T
    # Ties count against us: pictures without a caption have much in common.
    ranks = (scores >= np.diag(scores)[:, None]).sum(axis=1)
    sure = np.array([any(p.kind == "caption" and not p.unsure for p in item.pieces) for item in shown])
    print(f"{name}: {sure.mean():.1%} of the pictures have one")
    for k in (1, 5, 10):
        captioned = (ranks[sure] <= k).mean() if sure.any() else float("nan")
        found, chance = (ranks <= k).mean(), k / len(shown)
        print(f"  recall@{k}: {found:.3f}; of those with a caption {captioned:.3f}; chance {chance:.3f}")


def described(items: list[Item], root: Path, settings: Settings, cache: Path) -> list[Item]:
    """The items with the pieces of their media."""
    progress = ConsoleProgress()
    own, shared = (MediaCache(cache / name) for name in ("own.db", "shared.db"))
    with closing(LayeredCache(own, shared)) as layered:
        files = MediaFiles(root, settings.media, layered.own)
        text = MediaText(files, Modalities(settings, progress=progress), layered, settings, progress)
        totals = sum((text.count(item, files.of(item)) for item in items), start=text.count(Item("none"), []))
        found = []
        for item, flags in text(items, totals):
            found.append(item)
            for flag in flags:
                print(f"{flag.item_id}: {flag.reason}")
    return found


if __name__ == "__main__":
    main()
