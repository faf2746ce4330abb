"""Folders that are expensive to make, made once and checked whenever they are used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from llmrec import assets
from llmrec.errors import AssetError, LlmrecError

MANIFEST = "manifest.json"
"""File of a folder that :func:`cached_folder` has made."""


def engine_folder(spec: str, engine: str) -> Path:
    """Where the form of a model is kept that an engine runs: by the content of the model."""
    return assets.home() / "engines" / assets.fingerprint(spec)[:32] / engine


def cached_folder(folder: Path, recipe: str, build: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``build`` unless what is there is whole.

    The folder appears with one rename after everything was written, with the SHA-256 of each file beside it.
    One that is damaged, or was made by another recipe, is made again. Of several processes one builds and
    the others wait.

    Args:
        folder: where it belongs.
        recipe: what made it; to be changed when ``build`` would make something else.
        build: fills the empty folder that it is given.

    Raises:
        AssetError: ``build`` failed, or the folder cannot be written.
    """
    if _whole(folder, recipe):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if not _whole(folder, recipe):
                _build(folder, recipe, build)
    except LlmrecError:
        raise
    except Exception as error:  # the libraries that convert and save report a full disk in ways of their own
        raise AssetError(
            f"{folder}: cannot be made: {error}",
            "If the disk is full, free space or set LLMREC_HOME to another folder.",
        ) from error
    return folder


def _build(folder: Path, recipe: str, build: Callable[[Path], None]) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        files = {
            str(path.relative_to(partial)): _sha256(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        (partial / MANIFEST).write_text(json.dumps({"recipe": recipe, "sha256": files}), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _whole(folder: Path, recipe: str) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["recipe"] == recipe and all(
            _sha256(folder / name) == digest for name, digest in manifest["sha256"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
