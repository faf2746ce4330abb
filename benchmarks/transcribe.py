"""Transcription: word error rate and speed of the engines on the same weights, sound by sound in turn.

    python benchmarks/transcribe.py CATALOG.jsonl [--limit 60] [--engines faster-whisper original]

A line of the catalog has a sound (``audio`` or ``file``, relative to it), a ``transcript`` and, where it is
not English, its ``language``. Engines: ``faster-whisper`` and ``openai-whisper`` are llmrec's transcriber,
with its voice detector and guards; ``original`` is ``whisper.transcribe`` as openai-whisper has it, in
float32 and with its defaults. The language is detected by all of them.

Errors are summed over all sounds, after openai-whisper's EnglishTextNormalizer, or its BasicTextNormalizer
for other languages. They count words, but characters in languages that are written without spaces between
words, and in Korean. The real-time factor is seconds of computing by second of sound, without loading and
decoding.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import torch
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from llmrec import assets
from llmrec.config import MediaSettings, TranscriptSettings
from llmrec.media.sound import read_sound
from llmrec.media.types import SAMPLE_RATE, Sound
from llmrec.modality.whisper import load_transcriber
from llmrec.modality.whisper.checkpoint import converted_model
from llmrec.progress import ConsoleProgress
from llmrec.runtime.folders import engine_folder

BY_CHARACTER = {"ja", "ko", "zh", "th"}
ENGLISH, OTHER, CHARACTERS = (
    EnglishTextNormalizer(),
    BasicTextNormalizer(),
    BasicTextNormalizer(split_letters=True),
)


@dataclass
class Tally:
    """What one engine did."""

    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    units: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def rate(self, *languages: str) -> float:
        return sum(self.errors[name] for name in languages) / sum(self.units[name] for name in languages)


def engine(name: str, model: str) -> Callable[[Sound], str]:
    """What turns sound into text, loaded."""
    if name == "original":
        import whisper

        original: Any = converted_model(
            assets.resolve(model), engine_folder(model, "openai-whisper"), ConsoleProgress()
        )
        return lambda sound: str(whisper.transcribe(original, sound, fp16=False)["text"])
    transcriber = load_transcriber(model, TranscriptSettings.model_validate({"engine": name}))
    return lambda sound: " ".join(segment.text for segment in transcriber.transcribe(sound).segments)


def sounds(catalog: Path, limit: int | None) -> Iterator[tuple[str, str, str, Sound]]:
    """Name, language, transcript and sound of the lines that have both."""
    found = 0
    for line in catalog.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row.get("transcript") and found != limit:
            found += 1
            with (catalog.parent / (row.get("audio") or row["file"])).open("rb") as stream:
                sound = read_sound(stream, MediaSettings()).sound
            assert sound is not None
            text = re.sub(r"^f\d+\|", "", row["transcript"], flags=re.MULTILINE)  # ids of aeneas' fragments
            yield str(row["id"]), row.get("language") or "en", text, sound


def compare(said: str, heard: str, language: str) -> tuple[int, int]:
    """Errors, and words or characters that there are."""
    normalise = CHARACTERS if language in BY_CHARACTER else ENGLISH if language == "en" else OTHER
    reference = normalise(said)
    result = jiwer.process_words(reference, normalise(heard))
    return result.substitutions + result.deletions + result.insertions, len(reference.split())


def report(tallies: dict[str, Tally], length: float) -> None:
    first = next(iter(tallies.values()))
    in_words = [name for name in first.units if name not in BY_CHARACTER]
    for name, tally in tallies.items():
        by_language = ", ".join(f"{code} {tally.rate(code):.2%}" for code in sorted(tally.units))
        times = tally.seconds / first.seconds if first.seconds else 0.0
        speed = f"{tally.seconds / length:.4f} s/s, {times:.2f}x the time"
        words = f"WER {tally.rate(*in_words):.2%}" if in_words else ""
        print(f"{name:15} {words}  ({by_language})  {speed} of {next(iter(tallies))}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--model", default="whisper-base")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--engines", nargs="+", default=["faster-whisper", "openai-whisper", "original"])
    parser.add_argument("--show", action="store_true", help="print what each engine hears, with its errors")
    options = parser.parse_args()
    engines = {name: engine(name, options.model) for name in options.engines}
    tallies = {name: Tally() for name in engines}
    length = 0.0
    count = 0
    warm = torch.randn(SAMPLE_RATE).numpy() * 0.1
    for transcribe in engines.values():
        transcribe(warm)
    for item, language, said, sound in sounds(options.catalog, options.limit):
        count += 1
        length += len(sound) / SAMPLE_RATE
        for name, transcribe in engines.items():
            began = time.perf_counter()
            heard = transcribe(sound)
            tallies[name].seconds += time.perf_counter() - began
            errors, units = compare(said, heard, language)
            tallies[name].errors[language] += errors
            tallies[name].units[language] += units
            if options.show and errors:
                print(f"{item} {name}: {errors} of {units}: {heard}", flush=True)
    print(f"{count:,} sounds, {length:,.0f} s, {torch.get_num_threads()} threads")
    report(tallies, length)


if __name__ == "__main__":
    main()
