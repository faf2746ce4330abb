"""Items per second of llmrec's encoder against plain ``SentenceTransformer.encode(batch_size=32)``.

    python benchmarks/encode.py                                  # generated documents
    python benchmarks/encode.py --texts items.jsonl --fields title categories description

A line of ``--texts`` is an object; the strings and lists of strings in its fields are joined into one text.
All contenders run in this process on the same texts, in turns, so that a busy machine slows all of them; the
rate is that of the fastest turn and the ratio the median over the turns. Peak memory is that of a process of
its own for each contender, which encodes the first 256 texts and holds only the libraries that it imports.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from llmrec import assets
from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder

Encode = Callable[[Sequence[str]], NDArray[np.float32]]

BASELINE = "sentence-transformers, batch 32"
CONTENDERS: dict[str, EncoderSettings] = {
    "torch float32": EncoderSettings(engine="torch", precision="float32"),
    "openvino float32": EncoderSettings(engine="openvino", precision="float32"),
    "openvino auto": EncoderSettings(engine="openvino", precision="auto"),
}
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
WORDS = """
    warm waterproof jacket for long walks in the rain a quiet film about two brothers who cook and sing old
    songs by sea steel pan light robot story of war love space dog cat music children night city red silver
""".split()  # noqa: SIM905


def main() -> None:
    """Run the benchmark and print its table."""
    arguments = parse_arguments()
    texts = read_texts(arguments)
    contenders = {name: load(name, arguments.model) for name in (BASELINE, *CONTENDERS)}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    vectors: dict[str, NDArray[np.float32]] = {}
    for encode in contenders.values():
        encode(texts[:64])
    for _ in range(arguments.repeats):
        for name, encode in contenders.items():
            began = time.perf_counter()
            vectors[name] = encode(texts)
            seconds[name].append(time.perf_counter() - began)
    results = [
        {
            "encoder": name,
            "items_per_second": round(len(texts) / min(seconds[name]), 1),
            "ratio": round(statistics.median(map(ratio, seconds[BASELINE], seconds[name])), 2),
            **cosines(vectors[name], vectors[BASELINE]),
            "peak_mib": peak_memory(name, arguments.model, texts[:256]),
        }
        for name in contenders
    ]
    report(results, describe(arguments, texts), arguments.json)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Benchmark of text encoding.")
    parser.add_argument("--model", default="all-minilm-l6-v2", help="asset name or URI of a model folder")
    parser.add_argument("--texts", type=Path, help="JSON Lines; without it documents are generated")
    parser.add_argument("--fields", nargs="+", help="fields of a line that make its document; all by default")
    parser.add_argument("--limit", type=int, default=1000, help="number of texts")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each contender")
    parser.add_argument("--seed", type=int, default=0, help="of the generated documents")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def read_texts(arguments: argparse.Namespace) -> list[str]:
    """Documents of a file, or generated ones of 3 to 300 words, short ones more often."""
    if arguments.texts is None:
        rng = random.Random(arguments.seed)
        lengths = [int(3 * 100 ** rng.random()) for _ in range(arguments.limit)]
        return [" ".join(rng.choices(WORDS, k=length)) for length in lengths]
    with arguments.texts.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, arguments.limit)]
    return [document(row, arguments.fields or list(row)) for row in rows]


def document(row: dict[str, Any], fields: Sequence[str]) -> str:
    """The strings and lists of strings of a row's fields as one text."""
    values = [row.get(field) for field in fields]
    parts = [", ".join(map(str, value)) if isinstance(value, list) else value for value in values]
    return ". ".join(part for part in parts if isinstance(part, str) and part)


def load(name: str, model: str) -> Encode:
    """A contender, ready to encode."""
    if name != BASELINE:
        return load_encoder(model, CONTENDERS[name]).encode
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(assets.resolve(model)), device="cpu", local_files_only=True)
    return lambda texts: reference.encode(list(texts), batch_size=32, normalize_embeddings=True)


def ratio(baseline: float, other: float) -> float:
    """How many times faster the other is."""
    return baseline / other


def cosines(vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> dict[str, float]:
    """Agreement with the reference, text by text."""
    values = np.sum(vectors * reference, axis=1, dtype=np.float64)
    return {"mean_cosine": round(float(values.mean()), 6), "min_cosine": round(float(values.min()), 6)}


def peak_memory(name: str, model: str, texts: Sequence[str]) -> int:
    """Peak resident MiB of a fresh process that loads a contender and encodes the texts once."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_encode_once, (name, model, texts))


def _encode_once(name: str, model: str, texts: Sequence[str]) -> int:
    load(name, model)(texts)
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) >> 10
    return int(psutil.Process().memory_info().rss) >> 20


def describe(arguments: argparse.Namespace, texts: Sequence[str]) -> dict[str, Any]:
    """Where and on what this ran."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return {
        "model": arguments.model,
        "texts": len(texts),
        "distinct": len(set(texts)),
        "mean_characters": round(statistics.mean(map(len, texts))),
        "repeats": arguments.repeats,
        "cpu": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(logical=False),
        "flags": [flag for flag in FLAGS if flag in flags],
    }


def report(results: list[dict[str, Any]], setup: dict[str, Any], path: Path | None) -> None:
    """Print the table and the JSON, and write the latter to ``path``."""
    table = Table(*results[0], title=f"{setup['texts']} texts, {setup['cores']} cores {setup['flags']}")
    for result in results:
        table.add_row(*map(str, result.values()))
    Console(stderr=True).print(table)
    text = json.dumps({"setup": setup, "results": results}, indent=2)
    print(text)
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
