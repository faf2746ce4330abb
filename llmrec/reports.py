"""Reports of comparisons: what machine they were made on, and how they are written."""

from __future__ import annotations

import json
import platform
import shutil
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from llmrec import __version__
from llmrec.errors import EvaluationError
from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.runtime.devices import cores, device_name

REPORT = "report.json"
_PACKAGES = ("openvino", "torch", "transformers", "bitsandbytes", "xllamacpp")


def header(sample: dict[str, Any]) -> dict[str, Any]:
    """What a report on the validation of a workspace begins with: when, by which protocol, on what.

    Args:
        sample: what was asked at most.
    """
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol": {"split": LEAVE_LAST_OUT, "stage": "validation", "sample": sample},
        "machine": {"device": device_name(), "cores": cores(), "versions": _versions()},
    }


def new_folder(root: Path, kind: str) -> Path:
    """A free name for a report in the workspace at ``root``: what it is on, and when; it sorts by time."""
    name = f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"
    taken = {path.name for path in (root / "reports").glob(f"{name}*")}
    later = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return root / "reports" / next(free for free in (name, *later) if free not in taken)


def write(document: dict[str, Any], folder: Path) -> Path:
    """Write ``report.json`` into a new folder, whole or not at all; returns its path.

    Raises:
        EvaluationError: the folder is there already, or cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        part.mkdir(parents=True)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
        (part / REPORT).write_text(f"{text}\n", encoding="utf-8")
        part.rename(folder)
    except OSError as error:
        raise EvaluationError(f"{folder}: the report cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / REPORT


def _versions() -> dict[str, str]:
    found = {"llmrec": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # an extra's; its rows are left out, with that reason
            continue
    return found
