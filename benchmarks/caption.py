"""Quality, trust and speed of a BLIP checkpoint's captions over labelled pictures.

    python benchmarks/caption.py file:blip --pictures items.jsonl
    python benchmarks/caption.py hf:Salesforce/blip-image-captioning-large --pictures items.jsonl --limit 200
    python benchmarks/caption.py file:blip --pictures items.jsonl --against-transformers 64

A line of ``--pictures`` is an object with ``image`` (relative to the file) and ``captions``. Printed are
BLEU-4, ROUGE-L and CIDEr-D (``llmrec.evaluate.captions`` says on which scales), seconds a picture, peak
memory, and what the "unsure" gate does: captions are labelled by the rule of ``caption_truth.py``, the
thresholds are chosen on the first half of the pictures and judged on the second.

``--against-transformers`` captions the first pictures by transformers' own loop too (``BlipProcessor`` and
``generate``, float32, batches of 8), in turns of 64 pictures, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from caption_truth import is_right
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from llmrec import assets
from llmrec.config import CaptionSettings
from llmrec.evaluate.captions import bleu4, cider_d, rouge_l, words
from llmrec.modality.base import Caption
from llmrec.modality.blip import load_captioner

Captions = Callable[[Sequence[NDArray[np.uint8]]], list[str]]

WINDOW = 32
TURN = 64


@dataclass(frozen=True)
class Labelled:
    """A picture's file and what people wrote about it."""

    path: Path
    captions: tuple[str, ...]


def main() -> None:
    """Run the benchmark and print its table."""
    arguments = parse_arguments()
    settings = CaptionSettings(
        engine=arguments.engine,
        precision=arguments.precision,
        batch_size=arguments.batch_size,
        beams=arguments.beams,
        max_new_tokens=arguments.max_new_tokens,
    )
    labelled = read_labelled(arguments.pictures, arguments.limit)
    captioner = load_captioner(arguments.model, settings)
    captioner.caption(open_pictures(labelled[:4]))
    captions, seconds = caption_all(captioner.caption, labelled)
    result: dict[str, Any] = {
        "model": arguments.model,
        "settings": settings.model_dump(include={"engine", "precision", "batch_size", "beams"}),
        "pictures": len(labelled),
        **quality(captions, labelled),
        "seconds_per_picture": round(seconds / len(labelled), 4),
        "peak_mib": peak_memory(),
        "log_probability": spread([caption.log_probability for caption in captions]),
        "margin": spread([caption.margin for caption in captions]),
        **gate(captions, labelled),
    }
    if arguments.against_transformers:
        some = labelled[: arguments.against_transformers]
        ours: Captions = lambda pictures: [caption.text for caption in captioner.caption(pictures)]  # noqa: E731
        result |= compare(ours, transformers_loop(arguments.model, settings), some)
    report(result, arguments.json)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Benchmark of captions.")
    parser.add_argument("model", help="asset name or URI of a BLIP folder")
    parser.add_argument("--pictures", type=Path, required=True, help="JSON Lines with image and captions")
    parser.add_argument("--limit", type=int, help="number of pictures; all by default")
    parser.add_argument("--engine", default="auto", choices=["auto", "torch", "openvino"])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-size", type=int, default=CaptionSettings().batch_size)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--max-new-tokens", type=int, default=CaptionSettings().max_new_tokens)
    parser.add_argument("--against-transformers", type=int, metavar="N", default=0, help="also compare on N")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def read_labelled(path: Path, limit: int | None) -> list[Labelled]:
    """The first ``limit`` pictures of a catalog."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, limit)]
    return [Labelled(path.parent / row["image"], tuple(row["captions"])) for row in rows]


def open_pictures(labelled: Sequence[Labelled]) -> list[NDArray[np.uint8]]:
    """Upright RGB pixels."""
    from PIL import Image, ImageOps

    return [np.asarray(ImageOps.exif_transpose(Image.open(each.path)).convert("RGB")) for each in labelled]


def caption_all(
    caption: Callable[[Sequence[NDArray[np.uint8]]], list[Caption]], labelled: Sequence[Labelled]
) -> tuple[list[Caption], float]:
    """Every picture's caption, and the seconds that captioning took (opening files left out)."""
    captions, seconds = [], 0.0
    for start in range(0, len(labelled), WINDOW):
        pictures = open_pictures(labelled[start : start + WINDOW])
        began = time.perf_counter()
        captions += caption(pictures)
        seconds += time.perf_counter() - began
    return captions, seconds


def quality(captions: Sequence[Caption], labelled: Sequence[Labelled]) -> dict[str, float]:
    """Scores against the references."""
    ours = [words(caption.text) for caption in captions]
    theirs = [[words(text) for text in each.captions] for each in labelled]
    scores = {"bleu4": bleu4, "rouge_l": rouge_l, "cider_d": cider_d}
    return {name: round(score(ours, theirs), 4) for name, score in scores.items()}


def gate(captions: Sequence[Caption], labelled: Sequence[Labelled]) -> dict[str, Any]:
    """Thresholds from the first half of the pictures, and what they do to the second.

    Of all pairs of thresholds on the first half's values, the pair with the highest F0.5 of keeping right
    captions is taken: precision counts twice, since a wrong caption misleads and a missing one does not.
    """
    right = np.array(
        [is_right(one.text, each.captions) for one, each in zip(captions, labelled, strict=True)]
    )
    values = np.array([(caption.log_probability, caption.margin) for caption in captions])
    half = len(values) // 2
    candidates = [np.quantile(values[:half, column], np.linspace(0, 0.95, 39)) for column in (0, 1)]
    pairs = [np.array(pair) for pair in itertools.product(*candidates)]
    best = max(pairs, key=lambda pair: f_half(right[:half], kept(values[:half], pair)))
    judged, decided = right[half:], kept(values[half:], best)
    return {
        "right": round(float(right.mean()), 3),
        "area_under_roc": {
            name: round(area_under_roc(right, column), 3)
            for name, column in zip(("log_probability", "margin"), values.T, strict=True)
        },
        "min_log_probability": round(float(best[0]), 2),
        "min_margin": round(float(best[1]), 2),
        "second_half": {
            "right": round(float(judged.mean()), 3),
            "kept": round(float(decided.mean()), 3),
            "kept_precision": ratio(judged & decided, decided),
            "kept_recall": ratio(judged & decided, judged),
            "unsure_precision": ratio(~judged & ~decided, ~decided),
            "unsure_recall": ratio(~judged & ~decided, ~judged),
        },
    }


def area_under_roc(right: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """The chance that a right caption has a higher value than a wrong one; NaN without one of both."""
    pairs = values[right][:, None] - values[~right][None]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean()) if pairs.size else float("nan")


def kept(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Captions whose both values reach the thresholds."""
    passed: NDArray[np.bool_] = (values >= thresholds).all(axis=1)
    return passed


def f_half(right: NDArray[np.bool_], decided: NDArray[np.bool_]) -> float:
    """F0.5 of keeping right captions."""
    both = (right & decided).sum()
    return 1.25 * float(both) / max(1.0, float(decided.sum() + 0.25 * right.sum()))


def ratio(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float | None:
    """The share of ``whole`` that is ``part``; None of nothing."""
    return round(float(part.sum() / whole.sum()), 3) if whole.any() else None


def spread(values: Sequence[float]) -> dict[str, float]:
    """Quantiles."""
    return {f"p{percent}": round(float(np.percentile(values, percent)), 3) for percent in (5, 25, 50, 75, 95)}


def transformers_loop(model: str, settings: CaptionSettings) -> Captions:
    """What the pipelines of transformers do: processor and ``generate``, batches of 8."""
    import torch
    from PIL import Image
    from transformers import BlipForConditionalGeneration, BlipProcessor

    folder = assets.resolve(model)
    processor = BlipProcessor.from_pretrained(folder)
    reference = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    def captions(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(pictures), 8):
            batch = [Image.fromarray(picture) for picture in pictures[start : start + 8]]
            inputs = processor(images=batch, return_tensors="pt")
            with torch.inference_mode():
                ids = reference.generate(
                    **inputs, max_new_tokens=settings.max_new_tokens, num_beams=settings.beams
                )
            texts += processor.batch_decode(ids, skip_special_tokens=True)
        return texts

    return captions


def compare(ours: Captions, theirs: Captions, labelled: Sequence[Labelled]) -> dict[str, Any]:
    """Both over the same pictures, in turns."""
    seconds: dict[str, list[float]] = {"ours": [], "transformers": []}
    equal = 0
    theirs(open_pictures(labelled[:8]))
    for start in range(0, len(labelled), TURN):
        pictures = open_pictures(labelled[start : start + TURN])
        texts = {}
        for name, captions in (("ours", ours), ("transformers", theirs)):
            began = time.perf_counter()
            texts[name] = captions(pictures)
            seconds[name].append((time.perf_counter() - began) / len(pictures))
        equal += sum(map(str.__eq__, texts["ours"], texts["transformers"]))
    ratios = [slow / fast for fast, slow in zip(*seconds.values(), strict=True)]
    return {
        "against_transformers": {
            "pictures": len(labelled),
            "equal_captions": round(equal / len(labelled), 4),
            "fastest_turn": {name: round(min(values), 4) for name, values in seconds.items()},
            "ratio": round(statistics.median(ratios), 2),
            "ratio_of_fastest_turns": round(min(seconds["transformers"]) / min(seconds["ours"]), 2),
        }
    }


def peak_memory() -> int:
    """Peak resident MiB of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) >> 10
    return int(psutil.Process().memory_info().rss) >> 20


def report(result: dict[str, Any], path: Path | None) -> None:
    """Print the table and the JSON, and write the latter to ``path``."""
    table = Table("figure", "value", title=f"{result['model']}, {result['pictures']} pictures")
    for name, value in result.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for part, figure in inner:
            table.add_row(f"{name} {part}".strip(), str(figure))
    Console(stderr=True).print(table)
    text = json.dumps(result, indent=2)
    print(text)
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
