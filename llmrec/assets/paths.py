"""Where assets are kept, and whether the network may be used."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import platformdirs


def home() -> Path:
    """The folder of everything downloaded or remembered: ``LLMREC_HOME``, else the user's cache folder."""
    chosen = os.environ.get("LLMREC_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("llmrec", False))


def offline(*variables: str) -> bool:
    """Whether ``LLMREC_OFFLINE``, or one of ``variables``, is set to something true."""
    return any(
        os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}
        for name in ("LLMREC_OFFLINE", *variables)
    )


def is_contained(path: str) -> bool:
    """Whether a relative path, written with ``/``, stays inside the folder that it is joined to."""
    pure = PurePosixPath(path)
    return not (
        pure.is_absolute() or not pure.parts or ".." in pure.parts or any(char in path for char in "\\:\0")
    )
