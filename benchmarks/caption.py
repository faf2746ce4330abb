"""Quality, trust and speed of a BLIP checkpoint's captions over labelled pictures.

    python benchmarks/caption.py file:blip --pictures items.jsonl
    python benchmarks/caption.py hf:Salesforce/blip-image-captioning-large --pictures items.jsonl --limit 200
    python benchmarks/caption.py file:blip --pictures items.jsonl --against-transformers 64

A line of ``--pictures`` is an object with ``image`` (relative to the file) and ``captions``. Printed are
BLEU-4, ROUGE-L and CIDEr-D of whole captions (``llmrec.evaluate.captions`` says on which scales), the loss of
captions that people wrote with their picture and with another, seconds a picture, peak memory, and how far
captions can be trusted: for each of some ``min_word_probability``, the share of pictures of which anything is
said, and the share of that which is right by the rule of ``caption_truth.py``.

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
from llmrec.config import CaptionSettings, MediaSettings
from llmrec.evaluate.captions import bleu4, cider_d, rouge_l, words
from llmrec.modality.base import Caption
from llmrec.modality.blip import load_captioner
from llmrec.modality.blip.captioner import Answer, BlipCaptioner
from llmrec.modality.blip.load import open_blip_folder
from llmrec.modality.blip.torch_engine import load_blip
from llmrec.modality.blip.words import CaptionTokenizer
from llmrec.progress import NoProgress
from llmrec.training.captioner.material import Example
from llmrec.training.captioner.measuring import METRIC, SHUFFLED, HeldOut
from llmrec.training.captioner.network import CaptionNetwork
from llmrec.training.captioner.pairs import Pair
from llmrec.training.captioner.tower import Tower

Captions = Callable[[Sequence[NDArray[np.uint8]]], list[str]]

WINDOW = 32
TURN = 64
LEAST = (0.0, 0.2, 0.3, 0.37, 0.41, 0.45, 0.5)


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
    assert isinstance(captioner, BlipCaptioner)
    captioner.describe(open_pictures(labelled[:4]))
    answers, seconds = describe_all(captioner, labelled)
    peak = peak_memory()
    captions = [captioner.sure_part(answer, 0) for answer in answers]
    result: dict[str, Any] = {
        "model": arguments.model,
        "settings": settings.model_dump(include={"engine", "precision", "batch_size", "beams"}),
        "pictures": len(labelled),
        **quality(captions, labelled),
        "seconds_per_picture": round(seconds / len(labelled), 4),
        "peak_mib": peak,
        **grounding(arguments.model, labelled),
        "log_probability": spread([caption.log_probability for caption in captions]),
        "margin": spread([caption.margin for caption in captions]),
        "right": share(captions, labelled, len(labelled)),
        "trust": trust(captioner, answers, labelled),
    }
    if arguments.against_transformers:
        some = labelled[: arguments.against_transformers]

        def ours(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
            return [captioner.sure_part(answer, 0).text for answer in captioner.describe(pictures)]

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


def describe_all(captioner: BlipCaptioner, labelled: Sequence[Labelled]) -> tuple[list[Answer], float]:
    """What is said of every picture, and the seconds that took (opening files left out)."""
    answers, seconds = [], 0.0
    for start in range(0, len(labelled), WINDOW):
        pictures = open_pictures(labelled[start : start + WINDOW])
        began = time.perf_counter()
        answers += captioner.describe(pictures)
        seconds += time.perf_counter() - began
    return answers, seconds


def grounding(model: str, labelled: Sequence[Labelled]) -> dict[str, float]:
    """The loss of people's first captions with their picture and with the one before: means over tokens."""
    folder = open_blip_folder(model, NoProgress())
    blip, tokenizer = load_blip(folder, "cpu", "float32"), CaptionTokenizer(folder, "")
    layers = len(blip.vision_model.encoder.layers)
    tower = Tower(blip, folder, layers, MediaSettings(), WINDOW, bfloat16=False)
    features = [
        tower.features(np.stack([tower.pixels(picture) for picture in open_pictures(window)]))
        for window in (labelled[start : start + WINDOW] for start in range(0, len(labelled), WINDOW))
    ]
    examples = [
        Example(
            Pair(each.path, "", each.captions, str(each.path)),
            ((folder.start_token, *tokenizer.tokens(each.captions[0]), folder.end_token),),
        )
        for each in labelled
    ]
    held_out = HeldOut(examples, np.concatenate(features), tokenizer, folder, WINDOW)
    losses = held_out.losses(CaptionNetwork(blip, in_bfloat16=False))
    return {
        "loss": round(losses[METRIC], 3),
        "loss_with_another_picture": round(losses[SHUFFLED], 3),
    }


def quality(captions: Sequence[Caption], labelled: Sequence[Labelled]) -> dict[str, float]:
    """Scores against the references."""
    ours = [words(caption.text) for caption in captions]
    theirs = [[words(text) for text in each.captions] for each in labelled]
    scores = {"bleu4": bleu4, "rouge_l": rouge_l, "cider_d": cider_d}
    return {name: round(score(ours, theirs), 4) for name, score in scores.items()}


def trust(
    captioner: BlipCaptioner, answers: Sequence[Answer], labelled: Sequence[Labelled]
) -> dict[str, dict[str, float | None]]:
    """By ``min_word_probability``: of how many pictures anything is said, what share is right, its words."""
    found = {}
    for least in LEAST:
        said = [
            (caption, each)
            for answer, each in zip(answers, labelled, strict=True)
            if not (caption := captioner.sure_part(answer, least)).unsure
        ]
        captions, those = [caption for caption, _ in said], [each for _, each in said]
        found[f"{least:g}"] = {
            "said": round(len(said) / len(labelled), 3),
            "right": share(captions, those, len(said)),
            "words": round(statistics.fmean(len(caption.text.split()) for caption in captions), 1)
            if said
            else None,
        }
    return found


def share(captions: Sequence[Caption], labelled: Sequence[Labelled], count: int) -> float | None:
    """Of ``count`` the captions that are right; None of nothing."""
    right = sum(is_right(one.text, each.captions) for one, each in zip(captions, labelled, strict=True))
    return round(right / count, 3) if count else None


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
