"""Downloading the media that a catalog (untrusted) refers to by URL, from hosts that the user allowed."""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO

from llmrec import __version__
from llmrec.config import MediaSettings
from llmrec.errors import MediaError
from llmrec.media.deadline import Deadline
from llmrec.media.hosts import Address, Target, check_address, check_allowed, parse_url

MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_CHUNK = 1 << 16
_HEADERS = {"User-Agent": f"llmrec/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}


def download(url: str, into: BinaryIO, limits: MediaSettings) -> None:
    """Download a file over http or https; what arrives before an error is written all the same.

    No connection is made unless the host is in ``limits.allow_hosts`` and every address that it resolves to
    is public or itself allowed. The connection goes to an address that was checked, the name is not resolved
    again, and each redirect is checked anew. No cookies or credentials are sent, and proxies of the
    environment are not used: they would resolve the name themselves.

    Args:
        url: ``http:`` or ``https:``.

    Raises:
        MediaRefusedError: the URL, or one that it redirects to, is not allowed.
        MediaError: it cannot be downloaded, or not within the limits on bytes and time.
    """
    with contextlib.closing(_chunks(url, limits)) as chunks:
        for chunk in chunks:
            into.write(chunk)


def _chunks(url: str, limits: MediaSettings) -> Generator[bytes, None, None]:
    deadline = Deadline(limits.timeout)
    target = parse_url(url)
    for _ in range(MAX_REDIRECTS + 1):
        check_allowed(target, limits.allow_hosts)
        with _network(deadline):
            addresses = _resolve(target)
            for address in addresses:
                check_address(address, target, limits.allow_hosts)
            with _connect(target, addresses, deadline) as connection:
                response = _request(connection, target, deadline)
                if response.status not in _REDIRECTS:
                    yield from _body(response, limits.max_bytes)
                    return
                target = parse_url(response.headers.get("Location", ""), target.url)
    raise MediaError(f"redirected more than {MAX_REDIRECTS} times")


@contextlib.contextmanager
def _network(deadline: Deadline) -> Iterator[None]:
    """Tell what goes wrong on the way."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise MediaError(f"the server's certificate is not trusted: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        deadline.check()
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise MediaError(f"cannot be downloaded: {reason}") from error


def _resolve(target: Target) -> list[Address]:
    try:
        return [ipaddress.ip_address(target.host)]
    except ValueError:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


def _connect(target: Target, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
    """A connection to the first of these addresses that answers, encrypted for https."""
    for untried, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(deadline) / untried)
            connection.connect((str(address), target.port))
            if target.scheme == "https":
                connection.settimeout(_left(deadline))
                context = ssl.create_default_context()
                connection = context.wrap_socket(connection, server_hostname=target.host)
            return connection
        except BaseException as error:
            connection.close()
            if untried == 1 or not isinstance(error, OSError):
                raise
    raise OSError(None, "the name has no address")


def _request(connection: socket.socket, target: Target, deadline: Deadline) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection(target.host, target.port)
    client.sock = _Wire(connection, deadline)
    client.request("GET", target.path, headers={"Host": target.authority, **_HEADERS})
    return client.getresponse()


def _body(response: http.client.HTTPResponse, max_bytes: int) -> Iterator[bytes]:
    too_large = MediaError(f"larger than {max_bytes:,} bytes ([media] max_bytes)")
    if response.status != http.HTTPStatus.OK:
        phrase = http.client.responses.get(response.status, "")
        raise MediaError(f"the server answered {response.status} {phrase}".rstrip())
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MediaError("the server sent it compressed, which was not asked for")
    if (response.length or 0) > max_bytes:
        raise too_large
    received = 0
    while chunk := response.read(_CHUNK):
        received += len(chunk)
        if received > max_bytes:
            raise too_large
        yield chunk
    if response.length:
        raise MediaError(f"the connection ended {response.length:,} bytes too early")


def _left(deadline: Deadline) -> float:
    """Seconds for the next step on a socket, for which 0 would mean no limit."""
    if (seconds := deadline.left()) <= 0:
        raise TimeoutError
    return seconds


class _Wire:
    """The part of a socket that :mod:`http.client` uses, with a deadline for the whole exchange: a socket's
    own timeout starts anew with each byte, so that a slow server could hold it for ever."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._connection, self._deadline))

    def sendall(self, content: bytes) -> None:
        self._connection.settimeout(_left(self._deadline))
        self._connection.sendall(content)

    def close(self) -> None:
        """Nothing: it is called before the body is read; the socket's owner closes it."""


class _Incoming(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)
