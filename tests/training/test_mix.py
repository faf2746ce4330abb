"""``finetune/mix.py``: a vision tower between two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from blip_folders import write_blip
from safetensors.torch import load_file, save_file
from small_captioner import tiny_blip

from llmrec.modality.blip.folder import read_blip_folder

SCRIPT = Path(__file__).parents[2] / "finetune" / "mix.py"
WEIGHTS = "model.safetensors"

pytestmark = pytest.mark.slow


def mixed(base: Path, tuned: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(base), str(tuned), str(out), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("classic", [False, True], ids=["today", "classic"])
def test_the_tower_lies_between_and_all_else_is_of_the_tuned_one(
    classic: bool, source: Path, tmp_path: Path
) -> None:
    base, tuned, out = source / "blip", tmp_path / "tuned", tmp_path / "out"
    write_blip(tuned, classic=classic, seed=3)
    weights = load_file(tuned / WEIGHTS)
    noise = torch.Generator().manual_seed(0)
    weights = {name: value + torch.randn(value.shape, generator=noise) for name, value in weights.items()}
    save_file(weights, tuned / WEIGHTS, metadata={"format": "pt"})

    done = mixed(base, tuned, out, "--share", "0.25")

    assert done.returncode == 0, done.stderr
    before, after, got = (load_file(folder / WEIGHTS) for folder in (base, tuned, out))
    assert got.keys() == after.keys()
    for name, value in got.items():
        tower = name.startswith("vision_model.")
        expected = 0.75 * before[name] + 0.25 * after[name] if tower else after[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    assert read_blip_folder(out, "out").pixels == read_blip_folder(tuned, "tuned").pixels


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan", "half"])
def test_a_share_that_is_none_is_refused(source: Path, tmp_path: Path, share: str) -> None:
    done = mixed(source / "blip", source / "blip", tmp_path / "out", f"--share={share}")
    assert done.returncode == 2
    assert "--share" in done.stderr
    assert not (tmp_path / "out").exists()


def test_towers_of_two_shapes_are_refused(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    tiny_blip(other)
    weights = load_file(other / WEIGHTS)
    name = "vision_model.post_layernorm.bias"
    weights[name] = torch.zeros(len(weights[name]) + 1)
    save_file(weights, other / WEIGHTS, metadata={"format": "pt"})
    done = mixed(source / "blip", other, tmp_path / "out")
    assert done.returncode == 1
    assert name in done.stderr
    assert not (tmp_path / "out").exists()
