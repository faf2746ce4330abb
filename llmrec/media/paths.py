"""From a media reference in a catalog (untrusted) to a file inside the catalog's folder."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, MediaRefusedError

_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_url(reference: str) -> bool:
    """Whether a reference names a scheme (``https://``, also ``file://``) rather than a path."""
    return _URL.match(reference) is not None


def check_bytes(size: int, limits: MediaSettings) -> None:
    """Check the size of a file, in bytes.

    Raises:
        MediaError: it is above the limit.
    """
    if size > limits.max_bytes:
        raise MediaError(f"{size:,} bytes, more than the limit of {limits.max_bytes:,} ([media] max_bytes)")


def resolve_media(root: Path, reference: str) -> Path:
    """The absolute path of the file that a reference names.

    Args:
        root: the catalog's folder; nothing outside it is ever returned.
        reference: a path relative to it, as written in the catalog.

    Returns:
        A path without symlinks below ``root``; the file itself may be missing.

    Raises:
        MediaRefusedError: the reference is a URL, is absolute, holds ``..`` or control characters, leads out
            of ``root`` through a symlink, or names a folder or device.
    """
    if reason := _refusal(reference):
        raise _refused(reference, reason)
    folder = root.resolve()
    try:
        path = (folder / reference).resolve()
        special = path.exists() and not path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a symlink loop, or a name too long for the system
        raise _refused(reference, f"it cannot be resolved ({type(error).__name__})") from error
    if not path.is_relative_to(folder):
        raise _refused(reference, f"a symlink leads out of {root}")
    if special:
        raise _refused(reference, "it is not a plain file")
    return path


def _refusal(reference: str) -> str | None:
    """Why a reference is refused by its spelling alone. Windows forms are refused on every system."""
    windows = PureWindowsPath(reference)
    if not reference.strip():
        return "it is empty"
    if _CONTROL.search(reference):
        return "it holds control characters"
    if is_url(reference):
        return "it is a URL, not a path"
    if windows.drive or windows.root:
        return "it is absolute; paths are relative to the catalog's folder"
    if ".." in windows.parts:
        return "it holds '..'"
    return None


def _refused(reference: str, reason: str) -> MediaRefusedError:
    shown = reference if len(reference) <= 80 else reference[:80] + "…"
    return MediaRefusedError(f"media reference {shown!r} was refused: {reason}")
