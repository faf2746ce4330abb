"""``https://...``: single files over TLS, resumed after an interruption."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import IO, cast

from llmrec import __version__
from llmrec.assets.pieces import DISK_FULL, Piece, Receiver, chunks_of
from llmrec.errors import AssetError
from llmrec.progress import Progress, Task

_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class HttpsSource:
    """Files served over https.

    Args:
        attempts: tries in a row that bring no byte, before giving up.
        timeout: seconds without a byte after which a connection counts as broken.
        pause: seconds before the second try; doubled for each further one.
    """

    copies = 1
    remote = True

    def __init__(self, attempts: int = 4, timeout: float = 30.0, pause: float = 0.5) -> None:
        self.attempts, self.timeout, self.pause = attempts, timeout, pause

    def fetch(self, pieces: Sequence[Piece], scratch: Path, progress: Progress) -> None:
        """Download each piece, continuing where an earlier try or an earlier process stopped."""
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=ssl.create_default_context()), _OnlyHttps()
        )
        for piece in pieces:
            with Receiver(piece, resume=True) as receiver:
                self._receive(opener, receiver, progress)
                _validator(piece).unlink(missing_ok=True)
                receiver.finish()

    def _receive(self, opener: urllib.request.OpenerDirector, receiver: Receiver, progress: Progress) -> None:
        piece = receiver.piece
        task: Task | None = None
        counted = failures = 0
        with contextlib.ExitStack() as shown:
            while True:
                before = receiver.done
                try:
                    with _open(opener, receiver, self.timeout) as response:
                        length = response.headers.get("Content-Length")
                        total = receiver.done + int(length) if length else None
                        if task is None:
                            task = shown.enter_context(
                                progress.task(
                                    f"download {piece.name}", total or piece.size, "bytes", receiver.done
                                )
                            )
                        else:
                            task.advance(receiver.done - counted)
                        try:
                            receiver.write(chunks_of(response), task)
                        finally:
                            counted = receiver.done
                    if total is None or receiver.done >= total:
                        return
                    raise ConnectionError(f"the connection ended after {receiver.done:,} of {total:,} bytes")
                except (OSError, http.client.HTTPException) as error:
                    failures = 0 if receiver.done > before else failures + 1
                    _give_up_on(error, piece, last=failures >= self.attempts)
                if failures:
                    time.sleep(self.pause * 2 ** (failures - 1))


def _open(
    opener: urllib.request.OpenerDirector, receiver: Receiver, timeout: float
) -> http.client.HTTPResponse:
    piece, validator = receiver.piece, _validator(receiver.piece)
    headers = {"User-Agent": f"llmrec/{__version__}", "Accept-Encoding": "identity"}
    known = validator.read_text(encoding="ascii") if validator.exists() else None
    if receiver.done and (known or piece.sha256):
        headers["Range"] = f"bytes={receiver.done}-"
        if known:
            headers["If-Range"] = known
    request = urllib.request.Request(f"https:{piece.location}", headers=headers)  # noqa: S310 - https only
    try:
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            receiver.restart()
        raise
    if response.status != 206:
        receiver.restart()
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {receiver.done}-"):
        response.close()
        receiver.restart()
        raise ConnectionError("the server answered with another range than the one asked for")
    _remember_validator(response.headers, validator)
    return cast(http.client.HTTPResponse, response)


def _validator(piece: Piece) -> Path:
    return piece.part.with_name(f"{piece.part.name}.validator")


def _remember_validator(headers: Message, path: Path) -> None:
    tag = headers.get("ETag", "")
    value = tag if tag.startswith('"') else headers.get("Last-Modified", "")
    if value.isascii() and value:
        path.write_text(value, encoding="ascii")
    else:
        path.unlink(missing_ok=True)


def _give_up_on(error: Exception, piece: Piece, last: bool) -> None:
    """Raise what the user can act on, unless trying again makes sense."""
    url = f"https:{piece.location}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        raise error
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code not in _RETRIED | {416} or last:
            raise AssetError(f"{url}: the server answered {error.code} {error.reason}") from error
    elif isinstance(reason, ssl.SSLCertVerificationError):
        raise AssetError(f"{url}: the server's certificate is not trusted: {reason}") from error
    elif isinstance(reason, socket.gaierror | ConnectionRefusedError):
        raise AssetError(f"{url}: no network: {reason}", "Check the connection and try again.") from error
    elif last:
        raise AssetError(
            f"{url}: no network: {reason}", "What arrived is kept: run the same command to continue."
        ) from error


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise AssetError(f"{req.full_url}: redirects to {newurl}, which is not https; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
