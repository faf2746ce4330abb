"""The adapters that a workspace keeps: listed, found, merged into folders, removed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from llmrec.errors import AdapterError, LlmrecError
from llmrec.progress import NoProgress, Progress
from llmrec.training.adapter import Adapter, Card
from llmrec.training.material import Base
from llmrec.training.merging import merged_folder, write_merged
from llmrec.workspace import ADAPTERS, Workspace


@dataclass(frozen=True, slots=True)
class Kept:
    """An adapter of a workspace.

    Args:
        name: of its folder.
        in_use: whether the items are encoded by it.
        card: None where it cannot be used.
        problem: why not; empty where it can.
    """

    name: str
    in_use: bool
    card: Card | None
    problem: str = ""


def kept(workspace: Workspace) -> list[Kept]:
    """Every adapter by name, damaged ones too."""
    used = _used(workspace)
    found = []
    for name in names(workspace):
        try:
            found.append(Kept(name, name == used, Adapter.open(workspace.root / ADAPTERS / name).card))
        except LlmrecError as error:
            found.append(Kept(name, name == used, None, error.message))
    return found


def _used(workspace: Workspace) -> str | None:
    snapshot = workspace.snapshot()
    return snapshot.adapter if snapshot is not None else None


def names(workspace: Workspace) -> list[str]:
    """Names of the adapters, whole or not."""
    folders = (workspace.root / ADAPTERS).glob("*")
    return sorted(path.name for path in folders if path.is_dir() and not path.name.startswith("."))


def find(workspace: Workspace, name: str) -> Path:
    """The folder of an adapter.

    Raises:
        AdapterError: there is none of that name; names those that there are.
    """
    if name not in (known := names(workspace)):
        there_are = f"There are: {', '.join(known)}." if known else "Make one with `llmrec finetune`."
        raise AdapterError(f"{workspace.root}: there is no adapter {name!r}", there_are)
    return workspace.root / ADAPTERS / name


def open_adapter(workspace: Workspace, name: str, progress: Progress) -> tuple[Adapter, Base]:
    """A whole adapter and its base model, the encoder that the settings name.

    Raises:
        AdapterError: there is none of that name, it is damaged, or of another model.
        UnsafeFileError: it holds a pickle or code.
        ConfigError: the encoder is a plug-in.
        AssetError: the encoder cannot be found, pulled or read.
    """
    adapter = Adapter.open(find(workspace, name))
    base, made_for = Base.of(workspace, progress), adapter.card.base
    if made_for.fingerprint != base.fingerprint:
        raise AdapterError(
            f"{adapter.folder}: made for {made_for.name} ({made_for.fingerprint[:12]}), and the workspace's "
            f"encoder is {base.name} ({base.fingerprint[:12]})",
            "Fine-tune this encoder with `llmrec finetune`.",
        )
    return adapter, base


def prepare(workspace: Workspace, name: str, progress: Progress) -> Adapter:
    """An adapter whose merged model is in its place, made where it is missing or damaged.

    Raises:
        LlmrecError: as for :func:`open_adapter`, or the model cannot be merged or written.
    """
    adapter, base = open_adapter(workspace, name, progress)
    merged_folder(adapter, base.folder, workspace.merged_model(name), progress)
    return adapter


def merge(workspace: Workspace, name: str, out: Path, progress: Progress = NoProgress()) -> None:
    """Write the encoder with an adapter merged into it to a new folder, for use elsewhere.

    Raises:
        LlmrecError: as for :func:`open_adapter`, or the folder is there already or cannot be written.
    """
    if out.exists():
        raise AdapterError(f"{out}: there is something already", "Name a new folder.")
    adapter, base = open_adapter(workspace, name, progress)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write_merged(adapter, base.folder, part, progress)
        part.rename(out)
    except OSError as error:
        raise AdapterError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove(workspace: Workspace, name: str) -> None:
    """Remove an adapter with its merged model.

    Raises:
        AdapterError: there is none of that name, or it is in use.
        WorkspaceError: another run is writing to the workspace.
    """
    folder = find(workspace, name)
    with workspace.lock():
        if _used(workspace) == name:
            raise AdapterError(
                f"{name} is in use: the items are encoded by it",
                "Go back to the encoder without it first: `llmrec adapters use --none`.",
            )
        shutil.rmtree(workspace.merged_model(name), ignore_errors=True)
        going = folder.with_name(f".{name}.removed")
        shutil.rmtree(going, ignore_errors=True)
        try:
            folder.rename(going)  # a kill in the middle leaves nothing that looks like an adapter
        except OSError as error:
            raise AdapterError(f"{folder}: cannot be removed: {error.strerror or error}") from error
        shutil.rmtree(going, ignore_errors=True)
