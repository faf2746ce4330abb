"""``finetune/tower.py``: the vision tower of a package on PyPI becomes a BLIP folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llmrec.modality.blip.folder import read_blip_folder
from llmrec.modality.blip.torch_engine import load_blip
from llmrec.modality.blip.words import CaptionTokenizer

SCRIPT = Path(__file__).parents[2] / "finetune" / "tower.py"
CAPTION = "a black dog runs on the beach"


@pytest.mark.slow
def test_a_folder_to_begin_with(model_home: Path, tmp_path: Path) -> None:
    from PIL import Image

    lines = []
    for number in range(4):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "captions": [CAPTION]}))
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "blip"), "--pairs", str(tmp_path / "pairs.jsonl")]
    done = subprocess.run([*command, "--side", "56"], check=True, capture_output=True, text=True)
    (off,) = re.findall(r"the tower is (\S+) off the package's graph", done.stdout)
    assert float(off) <= 1e-4
    folder = read_blip_folder(tmp_path / "blip", "blip")
    assert folder.pixels.shape == (56, 56)
    tokenizer = CaptionTokenizer(folder, "")
    assert tokenizer.text(tokenizer.tokens(CAPTION)) == CAPTION
    model = load_blip(folder, "cpu", "float32")
    assert model.vision_model.embeddings.num_positions == 1 + 4 * 4
    assert model.text_decoder.config.vocab_size == len((tmp_path / "blip" / "vocab.txt").read_text().split())
    refused = subprocess.run([*command, "--side", "50"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "multiple of 14" in refused.stderr
