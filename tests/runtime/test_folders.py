from __future__ import annotations

import threading
from pathlib import Path

import pytest

from llmrec.errors import AssetError
from llmrec.runtime.folders import cached_folder


class Builder:
    def __init__(self) -> None:
        self.built = 0

    def __call__(self, target: Path) -> None:
        self.built += 1
        (target / "part").mkdir()
        (target / "part" / "weights.bin").write_bytes(b"weights" * 1000)
        (target / "model.xml").write_text("<net/>")


def test_a_whole_folder_is_not_built_again(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(3):
        folder = cached_folder(tmp_path / "a" / "engine", "one", build)
    assert build.built == 1
    assert (folder / "part" / "weights.bin").stat().st_size == 7000


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "part" / "weights.bin").write_bytes(b"weights" * 999 + b"weighty"),
        lambda folder: (folder / "model.xml").write_text(""),
        lambda folder: (folder / "part" / "weights.bin").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"recipe": "one"'),
        lambda folder: (folder / "manifest.json").unlink(),
    ],
)
def test_a_damaged_folder_is_built_again(tmp_path: Path, damage: object) -> None:
    build = Builder()
    folder = cached_folder(tmp_path / "engine", "one", build)
    damage(folder)
    cached_folder(tmp_path / "engine", "one", build)
    assert build.built == 2
    assert (folder / "part" / "weights.bin").read_bytes() == b"weights" * 1000


def test_another_recipe_replaces_the_folder(tmp_path: Path) -> None:
    build = Builder()
    for recipe in ("one", "two", "two"):
        cached_folder(tmp_path / "engine", recipe, build)
    assert build.built == 2


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("written")
        raise RuntimeError("no space")

    with pytest.raises(AssetError, match="engine: cannot be made: no space"):
        cached_folder(tmp_path / "engine", "one", fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    (tmp_path / "engine.partial").mkdir()
    (tmp_path / "engine.partial" / "left by a killed process").write_text("half")
    folder = cached_folder(tmp_path / "engine", "one", Builder())
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.xml", "part"]


def test_two_at_once_build_once(tmp_path: Path) -> None:
    build = Builder()
    threads = [
        threading.Thread(target=cached_folder, args=(tmp_path / "engine", "one", build)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.built == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AssetError, match=r"file/engine: cannot be made"):
        cached_folder(tmp_path / "file" / "engine", "one", Builder())
