"""Pulling an asset: one process at a time, resumable, verified, and in place in one step."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from llmrec.assets.hashing import sha256_file
from llmrec.assets.manifest import Asset
from llmrec.assets.paths import home, offline
from llmrec.assets.pieces import DISK_FULL, ChecksumError, Piece, Receiver, Source, chunks_of
from llmrec.assets.records import problems_of, write_record
from llmrec.assets.schemes import source_of
from llmrec.errors import AssetError
from llmrec.progress import Progress


def pull_asset(asset: Asset, progress: Progress) -> Path:
    """Bring an asset into the cache unless an intact copy is there; see :func:`llmrec.assets.pull`."""
    try:
        asset.folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(asset, progress):
            if not asset.pulled or problems_of(asset):
                _download(asset, progress)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise AssetError(
                f"{asset.name}: the disk is full; what was downloaded of it was removed",
                f"Free some space in {home()}, or set LLMREC_HOME to another disk.",
            ) from error
        raise AssetError(
            f"{asset.name}: cannot be stored: {error}", "LLMREC_HOME sets where assets are kept."
        ) from error
    return asset.path


@contextlib.contextmanager
def _lock(asset: Asset, progress: Progress) -> Iterator[None]:
    lock = FileLock(asset.folder.parent / ".lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        with progress.task(f"{asset.name}: waiting for another process that pulls it", None, "bytes"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(asset: Asset, progress: Progress) -> None:
    partial = asset.folder.with_name(f"{asset.folder.name}.partial")
    content, scratch = partial / "content", partial / "scratch"
    content.mkdir(parents=True, exist_ok=True)
    for leftover in scratch.glob("pip-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch.mkdir(exist_ok=True)
    pieces = _pieces(asset, content, scratch)
    waiting = [
        (source, piece)
        for path, group in pieces.items()
        if not (content / path).exists()
        for source, piece in group
        if not piece.target.exists()
    ]
    if offline() and any(source.remote for source, _ in waiting):
        raise AssetError(
            f"{asset.name} is not present, and LLMREC_OFFLINE is set",
            f"When online: LLMREC_OFFLINE=0 {asset.command}",
        )
    try:
        _check_space(asset, waiting)
        for source in dict.fromkeys(source for source, _ in waiting):
            source.fetch([piece for other, piece in waiting if other is source], scratch, progress)
        for path, digest in asset.joined.items():
            if not (content / path).exists():
                _join(asset, path, digest, [piece for _, piece in pieces[path]], content / path, progress)
        write_record(
            content, {path: digest or sha256_file(content / path) for path, digest in asset.digests.items()}
        )
    except OSError as error:
        if error.errno in DISK_FULL:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    except ChecksumError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(asset.folder, ignore_errors=True)
    os.replace(content, asset.folder)
    shutil.rmtree(partial, ignore_errors=True)


def _pieces(asset: Asset, content: Path, scratch: Path) -> dict[str, list[tuple[Source, Piece]]]:
    """Path inside the asset → what is downloaded for it: the file itself, or pieces to be joined."""
    pieces: dict[str, list[tuple[Source, Piece]]] = {}
    for path, parts in asset.files.items():
        for number, part in enumerate(parts, start=1):
            source, location = source_of(part.uri)
            name, target = f"{asset.name}/{path}", content / path
            if len(parts) > 1:
                name, target = f"{name} ({number} of {len(parts)})", scratch / f"{path}.{number}"
            pieces.setdefault(path, []).append(
                (source, Piece(name, location, target, part.sha256, part.size))
            )
    return pieces


def _check_space(asset: Asset, waiting: list[tuple[Source, Piece]]) -> None:
    needed = sum((piece.size or 0) * source.copies for source, piece in waiting)
    needed += sum(sum(part.size or 0 for part in asset.files[path]) for path in asset.joined)
    free = shutil.disk_usage(asset.folder.parent).free
    if needed > free:
        raise AssetError(
            f"{asset.name}: the disk is too full: {needed:,} bytes are needed, {free:,} are free",
            f"Free some space in {home()}, or set LLMREC_HOME to another disk.",
        )


def _join(
    asset: Asset, path: str, digest: str, pieces: list[Piece], target: Path, progress: Progress
) -> None:
    size = sum(piece.target.stat().st_size for piece in pieces)
    whole = Piece(f"{asset.name}/{path}", path, target, digest, size)
    with Receiver(whole) as receiver, progress.task(f"join {whole.name}", size, "bytes") as task:
        for piece in pieces:
            with piece.target.open("rb") as stream:
                receiver.write(chunks_of(stream), task)
        receiver.finish()
    for piece in pieces:
        piece.target.unlink()
