"""A captioner named by its hub id, from the hub's own cache, through the whole command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blip_folders import write_blip
from gallery import make_gallery_workspace, write_gallery

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from llmrec.cli.main import run; run()"]


def test_pictures_are_captioned_by_a_checkpoint_of_the_hub(tmp_path: Path) -> None:
    folder = write_blip(tmp_path / "blip")
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "hub" / "models--shop--tiny-blip"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    sources = write_gallery(tmp_path / "data")
    # A random model is sure of nothing; every caption is wanted here.
    gate = "[caption]\nmin_margin = -100\nmin_log_probability = -100\n"
    workspace = make_gallery_workspace(tmp_path / "w", gate, captioner="hf:shop/tiny-blip")
    environment = os.environ | {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": "http://127.0.0.1:9"}

    def llmrec(*arguments: object) -> dict[str, object]:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments), "--workspace", str(workspace.root), "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    first = llmrec("index", sources.catalog)
    assert first["missing"] == []
    assert first["media"]["done"]["caption"] == 4  # type: ignore[index]
    (caption,) = (piece for piece in llmrec("show", "red")["pieces"] if piece["kind"] == "caption")  # type: ignore[attr-defined]
    assert caption["model"] == "hf:shop/tiny-blip"
    assert caption["text"]
    assert caption["margin"] is not None
    again = llmrec("index", sources.catalog)
    assert (again["encoded"], again["media"]["done"]) == (0, {})  # type: ignore[index]
