"""``finetune/pack.py``: a captioner as files of the wheel, and their entry of ``assets.toml``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from blip_folders import write_blip
from safetensors.numpy import load, load_file

from llmrec.assets import blocks

SCRIPT = Path(__file__).parents[2] / "finetune" / "pack.py"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("classic", [False, True], ids=["today", "classic"])
def test_what_is_packed_is_the_captioner_by_its_digests(classic: bool, tmp_path: Path) -> None:
    captioner, out = tmp_path / "captioner", tmp_path / "packed"
    write_blip(captioner, classic=classic)
    (captioner / "card.json").write_text("{}")
    command = [sys.executable, str(SCRIPT), str(captioner), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    parts = {part["path"]: part for part in tomllib.loads(done.stdout)["parts"]}
    weights = blocks.unpack(out / "model.int8.safetensors")
    for name, part in parts.items():
        content = weights if name == "model.safetensors" else (captioner / name).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["size"] == len(content)
        assert part["uri"] == f"package:packed/{'model.int8.safetensors' if content is weights else name}"
    needed = {"card.json", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"}
    assert needed | {"preprocessor_config.json" if classic else "processor_config.json"} <= parts.keys()
    before, after = load_file(captioner / "model.safetensors"), load(weights)
    assert before.keys() == after.keys()
    assert max(np.abs(before[name] - after[name]).max() for name in before) < 0.1


def test_what_is_no_captioner_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captioner").mkdir()
    command = [sys.executable, str(SCRIPT), str(tmp_path / "captioner"), str(tmp_path / "packed")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "config.json" in done.stderr
    assert not (tmp_path / "packed").exists()
