"""One HTTP exchange that ends in time, and the events of a streamed answer."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import ipaddress
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

CONNECT = 5.0
"""Seconds to reach the server."""
SILENCE = 30.0
"""Seconds without a byte after which a connection counts as broken."""
MAX_BYTES = 1 << 20
"""The longest answer. One that is longer is no explanation."""
_MAX_LINE = 1 << 16


@contextlib.contextmanager
def exchange(
    url: str, headers: Mapping[str, str], body: bytes | None, until: float
) -> Iterator[http.client.HTTPResponse]:
    """Send a request (POST if it has a body) to ``url``, and to nowhere else: no redirect is followed.

    Proxies of the environment are used, but not for this machine.

    Args:
        until: when, by :func:`time.monotonic`, all of it has to be over, reading of the answer included.

    Raises:
        urllib.error.HTTPError: the server answers with an error, or redirects.
        OSError: it cannot be reached, falls silent, or is not done in time (:class:`TimeoutError`).
        http.client.HTTPException: it does not speak HTTP.
    """
    proxies = [urllib.request.ProxyHandler({})] if is_local(url) else []
    opener = urllib.request.build_opener(_Http(until), _Https(until), _NoRedirect(), *proxies)
    request = urllib.request.Request(url, body, dict(headers))  # noqa: S310 - the caller checked the scheme
    with opener.open(request, timeout=min(CONNECT, _left(until))) as response:
        yield response


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of each server-sent event, until the connection ends.

    Source: the event stream of the HTML standard, without names and ids, which no endpoint uses.

    Raises:
        ValueError: it is longer than :data:`MAX_BYTES`, or not UTF-8.
    """
    received, data = 0, list[str]()
    while line := response.readline(_MAX_LINE):
        received += len(line)
        if received > MAX_BYTES or len(line) == _MAX_LINE:
            raise ValueError(f"longer than {MAX_BYTES:,} bytes")
        text = line.decode("utf-8").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text.removeprefix("data:").removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data.clear()
    if data:
        yield "\n".join(data)


def whole(response: http.client.HTTPResponse) -> bytes:
    """The body of an answer.

    Raises:
        ValueError: it is longer than :data:`MAX_BYTES`.
    """
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES:,} bytes")
    return content


def _left(until: float) -> float:
    """Seconds for the next step on a socket, for which 0 would mean no limit."""
    if (seconds := until - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    return seconds


class _Http(urllib.request.HTTPHandler):
    def __init__(self, until: float) -> None:
        super().__init__()
        self._connection: Any = functools.partial(_Connection, until=until)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, until: float) -> None:
        super().__init__(context=_trusted())
        self._connection: Any = functools.partial(_SecureConnection, until=until, context=_trusted())

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None makes the redirect an error."""


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the machine's certificates takes longer than a request to a server nearby."""
    return ssl.create_default_context()


class _Connection(http.client.HTTPConnection):
    def __init__(self, *arguments: Any, until: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._until = until

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Wire(self.sock, self._until)


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, *arguments: Any, until: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._until = until

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Wire(self.sock, self._until)


class _Wire:
    """The part of a socket that :mod:`http.client` uses, with a deadline for the whole exchange: a socket's
    own timeout starts anew with each byte, so that a slow server could hold it for ever."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until
        self._read = False

    def makefile(self, mode: str) -> io.BufferedReader:
        self._read = True
        return io.BufferedReader(_Incoming(self._connection, self._until))

    def sendall(self, content: bytes) -> None:
        self._connection.settimeout(_left(self._until))
        self._connection.sendall(content)

    def close(self) -> None:
        """Close what nobody reads. urllib calls this before the answer is read, whose reader then closes."""
        if not self._read:
            self._connection.close()


class _Incoming(io.RawIOBase):
    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._connection.settimeout(min(SILENCE, _left(self._until)))
        return self._connection.recv_into(buffer)

    def close(self) -> None:
        self._connection.close()
        super().close()
