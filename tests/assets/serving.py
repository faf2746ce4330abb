"""What tests of assets download from: real wheels, and a TLS server that can be cut off."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from llmrec.assets import home


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def add_asset(name: str, parts: list[dict[str, Any]], **fields: Any) -> None:
    """Add an asset the way a user does: an entry of ``assets.toml`` in llmrec's home."""
    entry = {
        "role": "encoder",
        "kind": "folder",
        "licence": "MIT",
        "source": "a test",
        **fields,
    }
    lines = [f"[{name}]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items() if not isinstance(value, dict)]
    rows = [", ".join(f"{key} = {json.dumps(value)}" for key, value in part.items()) for part in parts]
    lines.append("parts = [" + ", ".join(f"{{ {row} }}" for row in rows) + "]")
    lines.append(
        "joined = { "
        + ", ".join(f'"{path}" = "{digest}"' for path, digest in entry.get("joined", {}).items())
        + " }"
    )
    with (home() / "assets.toml").open("a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n\n")


def build_wheel(folder: Path, package: str, files: Mapping[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write ``package`` 1.0 as a wheel with those members."""
    stem = f"{package.replace('-', '_')}-1.0"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        archive.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


class Site:
    """A TLS server on this machine: ``files`` by path, ``requests`` as they came.

    ``cut`` maps a path to the number of bytes after which its connection is held open, silent, until
    ``release`` is set, and then dropped. It happens once for each path.
    """

    def __init__(self, port: int) -> None:
        self.url = f"https://localhost:{port}"
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.cut: dict[str, int] = {}
        self.reached = threading.Event()
        self.release = threading.Event()
        self.requests: list[tuple[str, str | None]] = []

    def part(self, path: str, /, **changes: Any) -> dict[str, Any]:
        """The manifest's entry for a file of the site."""
        content = self.files[path]
        entry = {"uri": f"{self.url}/{path}", "path": path, "sha256": sha256(content), "size": len(content)}
        return entry | changes


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        path, wanted = self.path.lstrip("/"), self.headers.get("Range")
        self.site.requests.append((path, wanted))
        if path in self.site.redirects:
            self.send_response(302)
            self.send_header("Location", self.site.redirects[path])
            self.end_headers()
            return
        content = self.site.files.get(path)
        if content is None:
            self.send_error(404)
            return
        tag = self.site.etags.get(path)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if path in self.site.cut:
            self.wfile.write(content[start : self.site.cut.pop(path)])
            self.wfile.flush()
            self.site.reached.set()
            self.site.release.wait(20)
            self.connection.close()
            return
        self.wfile.write(content[start:])

    def log_message(self, format: str, *args: Any) -> None:
        pass
