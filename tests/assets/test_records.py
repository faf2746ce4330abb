"""What is remembered of verified files: opening is cheap, and damage is noticed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llmrec.assets import fingerprint, home, locate, pull, resolve, verify
from llmrec.errors import AssetError, CorruptFileError

from .serving import Site, add_asset


@pytest.fixture
def pulled(site: Site) -> Path:
    site.files = {"model.safetensors": b"weights", "config.json": b"{}"}
    add_asset("mine", [site.part("model.safetensors"), site.part("config.json")])
    return pull("mine")


def overwrite_unnoticed(path: Path, content: bytes) -> None:
    """Change content but neither size nor time, as a failing disk does."""
    status = path.stat()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_changed_file_is_named_when_opened(pulled: Path) -> None:
    (pulled / "model.safetensors").write_bytes(b"WEIGHTS")
    os.utime(pulled / "model.safetensors", ns=(1, 1))
    for use in (resolve, locate):
        with pytest.raises(CorruptFileError, match=r"model\.safetensors: content changed") as caught:
            use("mine")
    assert "llmrec models pull mine" in str(caught.value.hint)
    assert [problem.split(":")[0] for problem in verify("mine")] == [str(pulled / "model.safetensors")]


def test_a_missing_file_is_named_when_opened(pulled: Path) -> None:
    (pulled / "config.json").unlink()
    with pytest.raises(CorruptFileError, match=r"config\.json: cannot be read"):
        resolve("mine")


def test_a_touched_file_with_the_same_content_is_accepted_and_noted(pulled: Path) -> None:
    before = (pulled / ".record.json").read_text()
    os.utime(pulled / "model.safetensors", ns=(1, 1))
    assert resolve("mine") == pulled
    assert (pulled / ".record.json").read_text() != before


def test_opening_does_not_hash_but_verify_does(pulled: Path) -> None:
    overwrite_unnoticed(pulled / "model.safetensors", b"WEIGHTS")
    assert resolve("mine") == pulled
    assert len(verify("mine")) == 1


def test_pull_replaces_a_damaged_copy(pulled: Path) -> None:
    overwrite_unnoticed(pulled / "model.safetensors", b"WEIGHTS")
    assert pull("mine") == pulled
    assert (pulled / "model.safetensors").read_bytes() == b"weights"
    assert verify("mine") == []


@pytest.mark.parametrize("content", ["", "[]", '{"config.json": {}}', "\x00"])
def test_a_damaged_record_is_reported_and_repaired(pulled: Path, content: str) -> None:
    (pulled / ".record.json").write_text(content)
    with pytest.raises(CorruptFileError, match="not a record of mine"):
        resolve("mine")
    assert verify("mine")
    pull("mine")
    assert resolve("mine") == pulled


def test_verify_needs_a_pulled_asset(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="is not present"):
        verify("all-minilm-l6-v2")
    with pytest.raises(AssetError, match="kept outside"):
        verify(f"file:{tmp_path}")


def test_files_are_used_in_place(tmp_path: Path) -> None:
    assert locate(f"file:{tmp_path}") == resolve(f"file:{tmp_path}") == tmp_path
    assert locate(f"file:{tmp_path}/none") is None
    with pytest.raises(AssetError, match="not found"):
        resolve(f"file:{tmp_path}/none")


def test_an_asset_and_a_copy_of_it_have_one_fingerprint(pulled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(pulled, copy)
    (copy / "README.md").write_text("about")
    assert fingerprint(f"file:{copy}") == fingerprint("mine")
    (copy / "config.json").write_text("{ }")
    assert fingerprint(f"file:{copy}") != fingerprint("mine")


def test_a_fingerprint_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF one")
    first = fingerprint(f"file:{model}")
    overwrite_unnoticed(model, b"GGUF two")
    assert fingerprint(f"file:{model}") == first
    os.utime(model, ns=(1, 1))
    assert fingerprint(f"file:{model}") != first


def test_a_home_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (home() / "hashes").write_text("in the way")
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    assert fingerprint(f"file:{model}") == fingerprint(f"file:{model}")


def test_a_home_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("LLMREC_HOME", str(tmp_path / "home" / "inner"))
    with pytest.raises(AssetError, match="LLMREC_HOME"):
        pull("movielens-100k")


def test_the_fingerprint_of_something_absent_is_refused() -> None:
    with pytest.raises(AssetError, match="its content is not known"):
        fingerprint("https://localhost/model.gguf")
