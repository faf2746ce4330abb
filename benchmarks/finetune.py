"""How fast fine-tuning is, and how much memory it takes, beside sentence-transformers' trainer as it comes.

    python benchmarks/finetune.py WORKSPACE [--config finetune/small_cpu.yaml] [--steps 4]

Both train the same LoRA layers of the encoder, on the same pairs, with the cached loss of in-batch
negatives and batches of the same number of pairs. The plain trainer takes pairs in a random order and encodes
both texts of each; ours takes windows, encodes each text once, and in the order of length. Each runs in a
process of its own. The first step is not timed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
from transformers import TrainerCallback

from llmrec.encode.torch_engine import load_sentence_transformer
from llmrec.progress import NoProgress
from llmrec.runtime.libraries import quiet
from llmrec.training.batches import Collator
from llmrec.training.corpus import Corpus
from llmrec.training.lora import add_adapter
from llmrec.training.loss import NextItemLoss
from llmrec.training.material import Base, Material
from llmrec.training.settings import TrainingSettings, load_training_settings
from llmrec.training.train import trainable
from llmrec.training.trainer import LoraTrainer
from llmrec.workspace import Workspace

KINDS = ("plain", "llmrec")
SEQUENCES = 32
"""Texts of a mini-batch of the plain trainer, the library's default."""


class Clock(TrainerCallback):
    """Seconds of all steps but the first."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            self.began = time.monotonic()
        self.seconds = time.monotonic() - self.began


def plain(model: Any, corpus: Corpus, settings: TrainingSettings, arguments: dict[str, Any]) -> Any:
    model.max_seq_length = settings.max_tokens
    ids = corpus.texts[:]["input_ids"]
    texts = model.tokenizer.batch_decode(ids, skip_special_tokens=True)
    columns = corpus.pairs[:]
    pairs = {
        "anchor": [texts[at] for at in columns["anchor"]],
        "positive": [texts[at] for at in columns["target"]],
    }
    loss = CachedMultipleNegativesRankingLoss(
        model, scale=1 / settings.temperature, mini_batch_size=SEQUENCES
    )
    return SentenceTransformerTrainer(
        model=model, train_dataset=Dataset.from_dict(pairs), loss=loss, **arguments
    )


def ours(
    model: Any, corpus: Corpus, material: Material, settings: TrainingSettings, arguments: dict[str, Any]
) -> Any:
    collator = Collator(
        corpus, material.log, material.base.folder.pad_token, settings.batch_size, settings.correction
    )
    loss = NextItemLoss(model, settings.temperature, settings.mini_batch_tokens, settings.cached)
    return LoraTrainer(
        base="", model=model, train_dataset=corpus.pairs, loss=loss, data_collator=collator, **arguments
    )


def measure(kind: str, root: Path, settings: TrainingSettings, steps: int) -> dict[str, float]:
    with (
        closing(Workspace(root)) as workspace,
        tempfile.TemporaryDirectory() as folder,
        quiet(),
    ):
        base = Base.of(workspace, NoProgress())
        material = Material(workspace, base, settings)
        material.write(Path(folder) / "corpus", NoProgress())
        corpus = Corpus.open(Path(folder) / "corpus")
        if kind == "plain":
            model = load_sentence_transformer(base.folder, "cpu", torch.float32)
            add_adapter(model, settings.lora, settings.seed)
        else:
            model = trainable(base.folder, settings, "cpu")
        clock = Clock()
        arguments = {
            "args": SentenceTransformerTrainingArguments(
                output_dir=folder,
                max_steps=steps + 1,
                per_device_train_batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                use_cpu=True,
                bf16=settings.precision == "bfloat16",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=settings.seed,
            ),
            "callbacks": [clock],
        }
        trainer = (
            plain(model, corpus, settings, arguments)
            if kind == "plain"
            else ours(model, corpus, material, settings, arguments)
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        trainer.train()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "pairs/s": steps * settings.batch_size / clock.seconds,
        "peak MiB": peak / 1024,
        "of it training": (peak - before) / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--config", type=Path, default=Path("finetune/small_cpu.yaml"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--kind", choices=KINDS, help="Measure one, here, and print JSON.")
    arguments = parser.parse_args()
    if arguments.kind:
        settings = load_training_settings(arguments.config)
        print(json.dumps(measure(arguments.kind, arguments.workspace, settings, arguments.steps)))
        return
    found = {}
    for kind in KINDS:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--kind", kind],
            capture_output=True,
            text=True,
            check=True,
        )
        found[kind] = json.loads(done.stdout.splitlines()[-1])
        print(f"{kind:8}", "  ".join(f"{name} {value:,.1f}" for name, value in found[kind].items()))
    print(f"ratio of pairs/s: {found['llmrec']['pairs/s'] / found['plain']['pairs/s']:.2f}")


if __name__ == "__main__":
    main()
