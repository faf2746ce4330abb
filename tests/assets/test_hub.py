"""``hf:`` specs against a hub cache on disk; the hub client reads its environment once, so in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from llmrec.assets import fingerprint

CODE = """
import json, sys
from llmrec.assets import fingerprint, locate, resolve
from llmrec.errors import AssetError

def attempt(action, spec):
    try:
        return str(action(spec))
    except AssetError as error:
        return error.message

print(json.dumps([attempt(globals()[action], spec) for action, spec in json.loads(sys.argv[1])]))
"""


def attempt(calls: list[tuple[str, str]], hub: Path, **variables: str) -> list[str]:
    environment = os.environ | {"HF_HOME": str(hub), "HF_ENDPOINT": "http://127.0.0.1:9"} | variables
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(calls)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results: list[str] = json.loads(done.stdout)
    return results


def snapshot(hub: Path, name: str, files: dict[str, str]) -> Path:
    """A model in the hub's cache, as the hub's client lays it out."""
    folder = hub / "hub" / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "blobs").mkdir()
    (folder / "snapshots" / commit).mkdir(parents=True)
    for number, (path, content) in enumerate(files.items()):
        (folder / "blobs" / str(number)).write_text(content)
        (folder / "snapshots" / commit / path).symlink_to(f"../../blobs/{number}")
    return folder / "snapshots" / commit


def test_what_is_in_the_hubs_cache_is_used_and_the_rest_explained(tmp_path: Path) -> None:
    folder = snapshot(tmp_path, "org/sound", {"model.safetensors": "weights", "config.json": "{}"})
    snapshot(tmp_path, "org/pickled", {"pytorch_model.bin": "weights", "config.json": "{}"})
    calls = [
        ("resolve", "hf:org/sound"),
        ("locate", "hf:org/sound@main"),
        ("locate", "hf:org/other"),
        ("resolve", "hf:org/other"),
        ("resolve", "hf:org/pickled"),
        ("fingerprint", "hf:org/sound"),
    ]
    results = attempt(calls, tmp_path, HF_HUB_OFFLINE="1")
    assert results[:3] == [str(folder), str(folder), "None"]
    assert "not in the hub's cache, and offline mode is set" in results[3]
    assert "holds no safetensors, GGUF or CTranslate2 weights" in results[4]
    assert results[5] == fingerprint(f"file:{folder}")


def test_no_network_is_told_apart_from_offline_mode(tmp_path: Path) -> None:
    (message,) = attempt([("resolve", "hf:org/other")], tmp_path, HF_HUB_OFFLINE="0")
    assert "hf:org/other: no network" in message
