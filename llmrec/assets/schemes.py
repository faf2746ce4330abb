"""The URI schemes that assets come from."""

from __future__ import annotations

from llmrec.assets.https import HttpsSource
from llmrec.assets.packaged import PackagedSource
from llmrec.assets.pieces import Source
from llmrec.assets.pypi import PypiSource
from llmrec.assets.stores import FileStore, HubStore, Store
from llmrec.errors import AssetError

SOURCES: dict[str, Source] = {"pypi": PypiSource(), "https": HttpsSource(), "package": PackagedSource()}
"""Schemes that are brought into llmrec's cache."""

STORES: dict[str, Store] = {"file": FileStore(), "hf": HubStore()}
"""Schemes that keep their files themselves."""


def split(uri: str) -> tuple[str, str]:
    """Scheme and location of a URI.

    Raises:
        AssetError: the scheme is not one of llmrec's; the choices are listed.
    """
    scheme, _, location = uri.partition(":")
    if scheme == "http":
        raise AssetError(f"{uri}: http is refused, since anyone on the way could change it", "Use https.")
    if scheme not in SOURCES and scheme not in STORES:
        choices = ", ".join(f"{name}:" for name in sorted([*SOURCES, *STORES]))
        raise AssetError(f"{uri}: unknown scheme {scheme}:", f"Schemes: {choices}.")
    return scheme, location


def source_of(uri: str) -> tuple[Source, str]:
    """What downloads a part, and the part's location there.

    Raises:
        AssetError: the scheme is unknown, or keeps its files itself.
    """
    scheme, location = split(uri)
    if scheme not in SOURCES:
        raise AssetError(f"{uri}: a part of an asset comes from {' or '.join(f'{s}:' for s in SOURCES)}")
    return SOURCES[scheme], location
