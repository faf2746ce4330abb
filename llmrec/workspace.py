"""A workspace: the folder that holds settings, items, events, channels and reports of one catalog."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from llmrec.assets import home
from llmrec.config import FORMAT, PROFILES, Settings, check_format, load_settings, problems
from llmrec.encode import encoder_fingerprint
from llmrec.errors import ConfigError, CorruptFileError, WorkspaceError
from llmrec.modality.cache import LayeredCache, MediaCache
from llmrec.store.events import EventStore, sqlite_url
from llmrec.store.items import ItemStore, ItemTable
from llmrec.store.journal import Journal

SETTINGS = "llmrec.toml"
ADAPTERS, MERGED = "adapters", "models"
"""Folders of what fine-tuning has made, and of encoders with an adapter (of the same name) merged in."""
_DEFAULT = ".llmrec"
_READ = 1 << 20


class Snapshot(BaseModel):
    """One state of a workspace: a version of the items and the channels trained on it.

    ``encoder`` is what the settings name, ``adapter`` the one that was merged into it. ``files`` maps each
    file of items and channels, by its path in the workspace, to its SHA-256. ``logs`` maps each log that was
    read, by a digest of its content and column names, to its number of events.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    table: str
    version: int
    items: int
    encoder: str
    adapter: str | None = None
    encoder_fingerprint: str
    dimension: int
    prompt: str
    channels: str
    files: dict[str, str]
    logs: dict[str, int] = {}

    @property
    def encoder_name(self) -> str:
        """What a person would call the encoder of the items."""
        return f"{self.encoder} + {self.adapter}" if self.adapter else self.encoder


@dataclass(frozen=True, slots=True)
class Encoding:
    """What makes vectors.

    Args:
        spec: name or URI to load it by.
        adapter: the one that is merged into the settings' encoder; None for that encoder as it is.
        fingerprint: see :func:`llmrec.encode.encoder_fingerprint`.
    """

    spec: str
    adapter: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Present:
    """The present snapshot, opened and verified."""

    snapshot: Snapshot
    table: ItemTable
    channels: Path


class Workspace:
    """An open workspace.

    Args:
        root: its folder, which must hold ``llmrec.toml``.

    Raises:
        WorkspaceError: there is no workspace, or another llmrec wrote it.
        ConfigError: its settings cannot be used.
    """

    def __init__(self, root: Path) -> None:
        if not (root / SETTINGS).is_file():
            raise WorkspaceError(
                f"{root}: no workspace here (no {SETTINGS})",
                f"Make one with `llmrec index CATALOG --workspace {root}`.",
            )
        self.root = root
        self.settings: Settings = load_settings(root / SETTINGS)
        self.events = EventStore(self.settings.store.events or sqlite_url(self._database()))
        self.items = ItemStore(str(root / "items"))

    @classmethod
    def create(cls, root: Path, profile: str = "small") -> Workspace:
        """The workspace at ``root``, made with a profile's settings where there is none yet."""
        if profile not in PROFILES:
            raise ConfigError(f"unknown profile {profile!r}", f"Profiles: {', '.join(sorted(PROFILES))}.")
        settings = root / SETTINGS
        if not settings.exists():
            try:
                root.mkdir(parents=True, exist_ok=True)
                part = root / f".{SETTINGS}.part"
                part.write_text(f'format = {FORMAT}\nprofile = "{profile}"\n', encoding="utf-8")
                part.replace(settings)
            except OSError as error:
                raise WorkspaceError(f"{root}: a workspace cannot be made here: {error.strerror}") from error
        return cls(root)

    def close(self) -> None:
        """Close the stores."""
        self.events.close()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out; readers are not kept out.

        Raises:
            WorkspaceError: another run is writing.
        """
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise WorkspaceError(
                f"{self.root}: another llmrec run is writing to this workspace", "Wait for it to end."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def media_cache(self) -> LayeredCache:
        """What is known of media, here and in the cache that workspaces share."""
        return LayeredCache(MediaCache(self.root / "media.db"), MediaCache(home() / "media.db"))

    def journal(self, name: str) -> Journal:
        """The journal of a run of that kind (``update``, ``rebuild`` or ``adapter``)."""
        return Journal(self.root / "staging" / name)

    def snapshot(self) -> Snapshot | None:
        """The present snapshot, None before the first index run.

        Raises:
            WorkspaceError: another llmrec wrote it.
        """
        content = self.events.snapshot()
        return None if content is None else self._parse(content)

    def merged_model(self, adapter: str) -> Path:
        """Where the encoder is kept with an adapter merged into it."""
        return self.root / MERGED / adapter

    def encoding(self, adapter: str | None) -> Encoding:
        """The settings' encoder with an adapter, whatever the items were encoded by.

        Raises:
            CorruptFileError: the merged model is missing.
            AssetError: the encoder is unknown, or a URI whose content was not pulled yet.
        """
        spec = self.settings.models.encoder
        if adapter is not None:
            folder = self.merged_model(adapter)
            if not folder.is_dir():
                raise CorruptFileError(f"{folder}: missing", self._made_again(adapter))
            spec = f"file:{folder.resolve()}"
        return Encoding(spec, adapter, encoder_fingerprint(spec, self.settings.encoder))

    def adapter_of(self, snapshot: Snapshot | None) -> str | None:
        """The adapter of a snapshot, while it is one of the encoder that the settings name."""
        if snapshot is None or snapshot.encoder != self.settings.models.encoder:
            return None
        return snapshot.adapter

    def require_encoder(self, snapshot: Snapshot | None) -> Encoding:
        """What encoded the items of a snapshot and encodes all else; vectors of two encoders are not mixed.

        Raises:
            WorkspaceError: the settings name another one.
            CorruptFileError: the model that an adapter was merged into is missing or differs.
        """
        found = self.encoding(self.adapter_of(snapshot))
        if snapshot is None or snapshot.encoder_fingerprint == found.fingerprint:
            return found
        if found.adapter is not None:
            raise CorruptFileError(
                f"{self.merged_model(found.adapter)}: not what the items were encoded by, or not with this "
                "encoder.max_tokens and encoder.precision",
                self._made_again(found.adapter),
            )
        raise WorkspaceError(
            f"{self.root}: its items were encoded by {snapshot.encoder_name} "
            f"({snapshot.encoder_fingerprint[:12]}), its settings name {self.settings.models.encoder} "
            f"({found.fingerprint[:12]})",
            f"Encode it anew with `llmrec index CATALOG --workspace {self.root} --rebuild`, "
            "or put the settings back.",
        )

    @staticmethod
    def _made_again(adapter: str) -> str:
        return f"Run `llmrec adapters use {adapter}` to make it again, or `llmrec adapters use --none`."

    def present(self) -> Present | None:
        """Open the present snapshot, its files checked against their recorded hashes.

        Raises:
            CorruptFileError: a file is missing or differs; names it.
        """
        snapshot = self.snapshot()
        while snapshot is not None:
            try:
                self._verify(snapshot)
                table = self.items.open(snapshot.table, snapshot.version)
                return Present(snapshot, table, self.root / "channels" / snapshot.channels)
            except CorruptFileError:
                # A writer that published meanwhile may have dropped the files of the snapshot before it.
                newer = self.snapshot()
                if newer == snapshot:
                    raise
                snapshot = newer
        return None

    def require_present(self) -> Present:
        """The present snapshot.

        Raises:
            WorkspaceError: nothing is indexed yet.
            CorruptFileError: a file is missing or differs; names it.
        """
        present = self.present()
        if present is None:
            raise WorkspaceError(f"{self.root}: nothing is indexed yet", "Run `llmrec index CATALOG` first.")
        return present

    def channels_folder(self) -> Path:
        """A new, empty folder for the channels of the next snapshot."""
        parent = self.root / "channels"
        taken = [int(path.name) for path in parent.glob("[0-9]*")] if parent.is_dir() else []
        folder = parent / f"{max(taken, default=0) + 1:04d}"
        folder.mkdir(parents=True)
        return folder

    def checksums(self, table: ItemTable, channels: Path, known: dict[str, str]) -> dict[str, str]:
        """SHA-256 of every file of a snapshot; files of a table never change, so ``known`` ones are kept."""
        files = [path for path in (self.root / "items" / f"{table.name}.lance").rglob("*") if path.is_file()]
        names = [str(path.relative_to(self.root)) for path in sorted([*files, *channels.iterdir()])]
        stable = {name: known[name] for name in names if name in known and not name.endswith("_hint.json")}
        hashed = [name for name in names if name not in stable and not name.endswith("_hint.json")]
        return stable | {name: _sha256(self.root / name) for name in hashed}

    def collect(self) -> None:
        """Drop what neither the present snapshot nor the one before needs (readers may still use that)."""
        kept = [self._parse(content) for content in self.events.snapshots(2)]
        self.items.collect({snapshot.table for snapshot in kept})
        folders = {snapshot.channels for snapshot in kept}
        for folder in (self.root / "channels").glob("[0-9]*"):
            if folder.name not in folders:
                shutil.rmtree(folder)

    def _database(self) -> Path:
        """The SQLite file. SQLite would begin a new one; channels tell that there was one before."""
        path = self.root / "events.db"
        if (self.root / "channels").is_dir() and not (path.is_file() and path.stat().st_size):
            raise CorruptFileError(
                f"{path}: missing or empty", "Restore it from a backup, or index into a new workspace."
            )
        return path

    def _verify(self, snapshot: Snapshot) -> None:
        for name, expected in snapshot.files.items():
            path = self.root / name
            try:
                found = _sha256(path)
            except OSError as error:  # so too where a writer drops it at this moment
                raise self._damaged(path, f"cannot be read: {error.strerror}") from error
            if found != expected:
                raise self._damaged(path, "its content is not what was written")

    def _damaged(self, path: Path, what: str) -> CorruptFileError:
        return CorruptFileError(
            f"{path}: {what}",
            f"Restore it from a backup, or run `llmrec index CATALOG --workspace {self.root} --rebuild`.",
        )

    def _parse(self, content: dict[str, Any]) -> Snapshot:
        if isinstance(found := content.get("format", 0), int):
            check_format(str(self.root), found)
        try:
            return Snapshot.model_validate(content)
        except ValidationError as error:
            raise CorruptFileError(
                f"{self.root}: the snapshot record cannot be read: {problems(error)}"
            ) from error


def find_workspace(given: Path | None) -> Path:
    """The workspace a command means: the one given, else ``LLMREC_WORKSPACE``, else the current folder's.

    The current folder's workspace is the folder itself where it holds ``llmrec.toml``, else its ``.llmrec``.
    """
    named = given or (Path(value) if (value := os.environ.get("LLMREC_WORKSPACE")) else None)
    if named is not None:
        # A path has no "//": "s3://bucket" became "s3:/bucket". One letter would be a drive.
        if re.match(r"[a-z][a-z0-9+.-]+:/", str(named), re.IGNORECASE):
            raise WorkspaceError(f"{named}: a workspace is a folder on this machine")
        return named
    return Path() if Path(SETTINGS).is_file() else Path(_DEFAULT)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            digest.update(block)
    return digest.hexdigest()
