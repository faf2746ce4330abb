"""Runs: they learn, go on where they stopped to the same adapter, and end with the reason named."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_training import ITEMS, PAD, Bench, tiny_model, write_tiny_llama

from llmrec.encode.folder import read_model_folder
from llmrec.encode.torch_engine import load_sentence_transformer
from llmrec.errors import ConfigError, TrainingError
from llmrec.progress import NoProgress
from llmrec.training.curve import divergence, write_curve
from llmrec.training.judge import METRIC, encode
from llmrec.training.lora import CONFIG, WEIGHTS, add_adapter, read_adapter, write_adapter
from llmrec.training.running import Trained, last_checkpoint
from llmrec.training.settings import LoraSettings
from llmrec.training.train import train

pytestmark = pytest.mark.slow


class Interrupting(NoProgress):
    """Presses Ctrl-C in a step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.notes: list[str] = []

    @contextmanager
    def task(
        self, name: str, total: int | None = None, unit: str = "items", done: int = 0
    ) -> Iterator[Interrupting]:
        self.done = done
        yield self

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Forgetting(Interrupting):
    """Makes the adapter's weights large and random from a step on."""

    def __init__(self, step: int, model: Any) -> None:
        super().__init__(step)
        self.model = model

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done >= self.step:
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.data.normal_()


def run(
    small: Bench, model: Any, folder: Path, progress: Any = NoProgress(), resume: bool = False, **changes: Any
) -> Trained:
    settings = small.settings.model_copy(update=changes)
    return train(
        model,
        small.corpus,
        small.log,
        small.judge,
        small.judge(model),
        settings,
        small.base,
        folder,
        resume=resume,
        progress=progress,
    )


def tensors_of(model: Any, folder: Path) -> dict[str, np.ndarray]:
    write_adapter(model, folder, "tiny")
    return load_file(folder / WEIGHTS)


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_it_learns_and_the_best_state_is_the_result(small: Bench, model_folder: Path, tmp_path: Path) -> None:
    model = tiny_model(model_folder)
    state = torch.get_rng_state()
    before = small.judge(model)
    shown = Interrupting(step=-1)
    trained = run(small, model, tmp_path, shown, patience=10)
    assert torch.equal(torch.get_rng_state(), state), "the caller's randomness is left alone"
    assert trained.after[METRIC] > 2 * before[METRIC]
    vectors, topics = encode(model, small.corpus, range(ITEMS), PAD, 512), np.arange(ITEMS) % 3
    cosines, same = vectors @ vectors.T, topics[:, None] == topics
    assert cosines[same].mean() > cosines[~same].mean() + 0.3, "items that are chosen together are near"
    assert small.judge(model) == pytest.approx(trained.after)
    judged = {point["step"]: point[METRIC] for point in trained.curve if METRIC in point}
    assert judged[0] == before[METRIC]
    assert trained.after[METRIC] == judged[trained.best_step] == max([*judged.values()][1:])
    losses = [point["loss"] for point in trained.curve if "loss" in point]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert "loss" in shown.notes[-1]
    assert "tokens/s" in shown.notes[-1]
    assert f"NDCG@10 {[*judged.values()][-1]:.4f}" in shown.notes[-1]
    write_curve(trained.curve, tmp_path)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_interrupted_ends_as_an_unbroken_one(
    small: Bench, model_folder: Path, tmp_path: Path
) -> None:
    whole, stopped, resumed = (tiny_model(model_folder) for _ in range(3))
    unbroken = run(small, whole, tmp_path / "whole", max_steps=20)
    with pytest.raises(TrainingError, match=r"interrupted after step 9 of 20\n.*--resume"):
        run(small, stopped, tmp_path / "broken", Interrupting(step=9), max_steps=20)
    checkpoint = last_checkpoint(tmp_path / "broken")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-9"
    torch.manual_seed(99)
    went_on = run(small, resumed, tmp_path / "broken", resume=True, max_steps=20)
    assert_equal(tensors_of(resumed, tmp_path / "a"), tensors_of(whole, tmp_path / "b"))
    last = [tmp_path / name / "checkpoint-20" / WEIGHTS for name in ("whole", "broken")]
    assert_equal(*(load_file(path) for path in last))
    assert went_on.after == unbroken.after
    assert went_on.steps == unbroken.steps == 20


def test_a_run_that_ended_is_not_trained_again(small: Bench, model_folder: Path, tmp_path: Path) -> None:
    first, again = tiny_model(model_folder), tiny_model(model_folder)
    ended = run(small, first, tmp_path / "here", max_steps=8)
    (tmp_path / "here").rename(tmp_path / "there")
    assert run(small, again, tmp_path / "there", resume=True, max_steps=8) == ended
    assert_equal(tensors_of(again, tmp_path / "a"), tensors_of(first, tmp_path / "b"))


def test_a_full_disk_is_told_and_the_checkpoints_stay(
    small: Bench, model_folder: Path, tmp_path: Path
) -> None:
    every = len(small.pairs) // 32 // 2
    (tmp_path / f"checkpoint-{2 * every}").write_text("in the place of the folder", encoding="utf-8")
    with pytest.raises(TrainingError, match="a checkpoint cannot be written"):
        run(small, tiny_model(model_folder), tmp_path)
    assert last_checkpoint(tmp_path) == tmp_path / f"checkpoint-{every}"


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{}", encoding="utf-8")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def judged_as(small: Bench, values: list[float]) -> Any:
    """Validation that gives these values, the first of them of the base model."""
    given = iter(values)
    return SimpleNamespace(**vars(small), judge=lambda model: {METRIC: next(given)})


def test_it_stops_when_validation_no_longer_gains(small: Bench, model_folder: Path, tmp_path: Path) -> None:
    every = len(small.pairs) // 32 // 2
    told = judged_as(small, [0.1, 0.5, 0.4, 0.3, 0.2])
    trained = run(told, tiny_model(model_folder), tmp_path / "whole", patience=2)
    assert trained.steps == 3 * every, "the best came first, and two more did not gain"
    assert trained.best_step == every
    assert trained.after == {METRIC: 0.5}
    told = judged_as(small, [0.1, 0.5, 0.4])
    with pytest.raises(TrainingError, match="interrupted"):
        run(told, tiny_model(model_folder), tmp_path / "broken", Interrupting(2 * every + 1), patience=2)
    told = judged_as(small, [0.1, 0.3, 0.2])
    resumed = run(told, tiny_model(model_folder), tmp_path / "broken", resume=True, patience=2)
    assert resumed.steps == 3 * every, "it remembers how long it has waited"
    assert resumed.after == {METRIC: 0.5}


def test_nan_stops_it_and_names_the_step(small: Bench, model_folder: Path, tmp_path: Path) -> None:
    model = tiny_model(model_folder)
    with torch.no_grad():
        next(part for part in model.parameters() if part.requires_grad).fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan in step 1"):
        run(small, model, tmp_path)


def test_divergence_is_told_from_noise() -> None:
    assert divergence([3.0, 0.1, 3.0, 2.9, 5.0, 2.5, 4.0, 2.0]) is None
    assert divergence([0.1, 0.1, 0.1, 0.2, 0.4, 0.5]) is None, "little is little, twice of it too"
    assert divergence([8.0, 5.0, 3.0, 2.0, 2.0, 2.0, 3.0, 5.0]) is None
    assert divergence([8.0, 5.0, 3.0, 2.0, 2.0, 2.0, 3.0, 5.0, 6.0]) == pytest.approx((2.0, 14 / 3))
    assert divergence([1.0, 9.0, 9.0, 9.0]) is None, "it takes some losses to tell"


def test_divergence_stops_it(small: Bench, model_folder: Path, tmp_path: Path) -> None:
    model = tiny_model(model_folder)
    with pytest.raises(TrainingError, match=r"the loss grew from .* by step \d+"):
        run(small, model, tmp_path, Forgetting(25, model), temperature=0.01, patience=10)


def test_peft_reads_what_was_written(small: Bench, model_folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModel

    model = tiny_model(model_folder)
    run(small, model, tmp_path / "run", max_steps=3)
    write_adapter(model, tmp_path / "adapter", "tiny")
    assert str(model_folder) not in (tmp_path / "adapter" / CONFIG).read_text(encoding="utf-8")
    ids = torch.tensor([small.corpus.sequences([40])[0].tolist()])
    base = AutoModel.from_pretrained(model_folder)
    plain = base(ids).last_hidden_state.mean(dim=1)
    found = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))(ids).last_hidden_state.mean(dim=1)
    found = torch.nn.functional.normalize(found)[0].detach().numpy()
    expected = encode(model, small.corpus, range(40, 41), PAD, 512)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(torch.nn.functional.normalize(plain)[0].detach().numpy() - expected).max() > 1e-3


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_only_the_adapter_drops_out(small: Bench, model_folder: Path, tmp_path: Path, dropout: float) -> None:
    model = tiny_model(model_folder, LoraSettings(dropout=dropout))
    run(small, model, tmp_path, max_steps=3)
    texts = {"input_ids": torch.from_numpy(np.stack(small.corpus.sequences(range(20))))}
    texts["attention_mask"] = torch.ones_like(texts["input_ids"])
    model.train()
    with torch.no_grad():
        one, other = (model({**texts})["sentence_embedding"] for _ in range(2))
    assert torch.equal(one, other) == (dropout == 0.0)


def test_an_adapter_of_another_shape_is_refused(model_folder: Path, tmp_path: Path) -> None:
    write_adapter(tiny_model(model_folder, LoraSettings(rank=4)), tmp_path, "tiny")
    with pytest.raises(TrainingError, match="is of another adapter"):
        read_adapter(tiny_model(model_folder), tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"half")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_adapter(tiny_model(model_folder), tmp_path)


def test_layers_that_the_model_lacks_are_named(model_folder: Path) -> None:
    model = load_sentence_transformer(read_model_folder(model_folder, "tiny"), "cpu", torch.float32)
    with pytest.raises(ConfigError, match=r"no linear layer of these names: q_proj\n.*query"):
        add_adapter(model, LoraSettings(target_modules=("q_proj",)), 0)
    add_adapter(model, LoraSettings(target_modules=("query",)), 0)
    adapted = {name.split(".lora_")[0] for name, part in model.named_parameters() if part.requires_grad}
    assert {name.rpartition(".")[2] for name in adapted} == {"query"}


@pytest.mark.parametrize(
    "changes",
    [
        {"cached": False},
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "cached": False},
        {"precision": "bfloat16"},
        {"accumulation": 2},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_every_way_to_save_memory_learns(
    small: Bench, model_folder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = tiny_model(model_folder)
    trained = run(small, model, tmp_path, epochs=2, **changes)
    losses = [point["loss"] for point in trained.curve if "loss" in point]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])
    assert trained.steps == 2 * math.ceil(len(small.pairs) // 32 / changes.get("accumulation", 1))


def test_four_bit_weights_learn_on_a_cpu(tmp_path: Path, small: Bench) -> None:
    folder = read_model_folder(write_tiny_llama(tmp_path / "llama"), "tiny")
    model = load_sentence_transformer(folder, "cpu", torch.float32, "nf4")
    add_adapter(model, LoraSettings(), 0)
    packed = [part.clone() for part in packed_of(model)]
    assert {part.dtype for part in packed} == {torch.uint8}
    states = [part.quant_state for part in packed_of(model)]
    assert all(state.quant_type == "nf4" and state.nested for state in states)
    # One validation comes before and one in between: without gradients bitsandbytes likes to pack weights.
    changes = {"quantization": "nf4", "learning_rate": 1e-2, "max_steps": 5, "evaluations": 10}
    trained = run(small, model, tmp_path / "run", **changes)
    losses = [point["loss"] for point in trained.curve if "loss" in point]
    assert len(losses) == 5
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(one, other) for one, other in zip(packed, packed_of(model), strict=True))


def packed_of(model: Any) -> list[Any]:
    """The four-bit weights of a model."""
    return [part for name, part in model.named_parameters() if "base_layer" in name]


def test_a_causal_model_is_adapted_in_attention_and_mlp(tmp_path: Path, small: Bench) -> None:
    model = tiny_model(write_tiny_llama(tmp_path / "llama"))
    adapted = {name.split(".lora_")[0] for name, part in model.named_parameters() if part.requires_grad}
    assert {name.rpartition(".")[2] for name in adapted} == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    }
    trained = run(small, model, tmp_path / "run", epochs=2, learning_rate=1e-2)
    losses = [point["loss"] for point in trained.curve if "loss" in point]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])
