"""``llmrec doctor``."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import typer
from rich.text import Text

from llmrec import __version__
from llmrec.cli.index import WorkspaceOption
from llmrec.cli.output import JsonOption, plain, print_json, print_table
from llmrec.errors import ConfigError, LlmrecError
from llmrec.runtime.devices import device_name

_PACKAGES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "openvino",
    "lancedb",
    "sqlalchemy",
    "xllamacpp",
)
_OPTIONAL = {
    "pillow": "vision",
    "rapidocr": "vision",
    "av": "audio",
    "faster-whisper": "audio",
    "openai-whisper": "whisper",
    "datasets": "data",
    "bitsandbytes": "quantize",
}
"""Packages of extras, with the extra that brings each."""
_LOW_DISK = 2 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``status``: ``ok``, ``note`` (works, worth knowing) or ``problem``."""

    what: str
    status: str
    found: str


def doctor(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Check versions, device, models, the workspace's stores, its explainer if that is an endpoint, and free
    disk; exit 1 on a problem."""
    from llmrec.workspace import find_workspace

    checks = [*_machine(), *_models(), *_workspace(find_workspace(workspace))]
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        styles = {"ok": "green", "note": "yellow", "problem": "bold red"}
        rows = [
            (check.what, Text(check.status, style=styles[check.status]), plain(check.found))
            for check in checks
        ]
        print_table("llmrec doctor", ["what", "status", "found"], rows)
    if any(check.status == "problem" for check in checks):
        raise typer.Exit(1)


def _machine() -> Iterator[Check]:
    yield Check("llmrec", "ok", __version__)
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        try:
            yield Check(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check(package, "problem", "not installed; run `pip install llmrec` again")
    for package, extra in _OPTIONAL.items():
        try:
            yield Check(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check(package, "note", f"not installed; pip install 'llmrec[{extra}]'")
    yield Check("device", "ok", device_name())


def _models() -> Iterator[Check]:
    from llmrec.assets import catalogue, home, verify

    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    yield Check("disk", "problem" if free < _LOW_DISK else "ok", f"{free / 1e9:.1f} GB free under {folder}")
    for asset in catalogue():
        if not asset.pulled:
            yield Check(asset.name, "note", f"not pulled yet ({asset.role}, {asset.size / 1e6:.0f} MB)")
        elif problems := verify(asset.name):
            yield Check(asset.name, "problem", "; ".join(problems))
        else:
            yield Check(asset.name, "ok", f"verified ({asset.role})")


def _explainer(spec: str) -> Iterator[Check]:
    """Whether an endpoint that the workspace's settings name answers."""
    from llmrec.explain.generator import GenerationError, is_endpoint

    if not is_endpoint(spec):
        return
    from llmrec.explain.endpoint import Endpoint

    try:
        endpoint = Endpoint.named(spec)
        known, found = endpoint.check()
        yield Check("explainer", "ok" if known else "note", found)
    except (ConfigError, GenerationError) as error:
        way_out = f" {error.hint}" if error.hint else ""
        yield Check("explainer", "problem", f"{error.message}; explanations come from the template.{way_out}")


def _workspace(root: Path) -> Iterator[Check]:
    from llmrec.workspace import SETTINGS, Workspace

    if not (root / SETTINGS).exists():
        yield Check("workspace", "note", f"none at {root}")
        return
    try:
        opened = Workspace(root)
        damage, counts = opened.events.check(), opened.events.counts()
        held = f"{counts['events']:,} events of {counts['users']:,} users"
        yield Check("events", "problem" if damage else "ok", "; ".join(damage) or held)
        present = opened.present()
        found = (
            f"{present.snapshot.items:,} items, {len(present.snapshot.files)} files verified"
            if present
            else ""
        )
        yield Check("items", "ok" if present else "note", found or "nothing is indexed yet")
        opened.close()
        yield from _explainer(opened.settings.models.explainer)
    except LlmrecError as error:
        yield Check("workspace", "problem", str(error))
