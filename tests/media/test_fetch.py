"""URLs of a catalog: only allowed hosts are connected to, at an address that was checked, within limits."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmrec.config import MediaSettings
from llmrec.errors import MediaError, MediaRefusedError
from llmrec.media.fetch import download
from llmrec.media.hosts import check_address, check_allowed, parse_url

CONTENT = bytes(range(256)) * 1000


class Server:
    """A server on this machine; ``answers`` maps a path to what writes its answer."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stopped = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(
                    (self.path, {name.lower(): text for name, text in self.headers.items()})
                )
                self.close_connection = True
                with contextlib.suppress(OSError):  # the client has left, as it should
                    outer.answers[self.path](self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def redirect(self, path: str, location: str) -> None:
        self.answers[path] = lambda request: answer(request, b"", status=302, location=location)


def answer(request: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    for name, text in ({"content-length": str(len(body))} | headers).items():
        request.send_header(name, text)
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.answers["/a"] = lambda request: answer(request, CONTENT)
    yield running
    running.stop()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a connection was tried to."""
    tried: list[Any] = []
    connect = socket.socket.connect

    def record(self: socket.socket, address: Any) -> None:
        tried.append(address)
        if not ipaddress.ip_address(address[0]).is_loopback:
            raise ConnectionRefusedError(111, "Connection refused")  # a test does not leave this machine
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", record)
    return tried


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to the first of these answers, then the second, ...; returns the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def fetch(url: str, *allow_hosts: str, **limits: Any) -> bytes:
    into = io.BytesIO()
    download(url, into, MediaSettings(allow_hosts=allow_hosts, **limits))
    return into.getvalue()


def test_an_allowed_host_is_downloaded_from_without_telling_it_more_than_needed(
    server: Server, watched: list[Any]
) -> None:
    host = f"127.0.0.1:{server.port}"
    assert fetch(f"http://{host}/a#part", host) == CONTENT
    assert watched == [("127.0.0.1", server.port)]
    [(path, headers)] = server.requests
    assert path == "/a"
    assert headers.pop("user-agent").startswith("llmrec/")
    assert headers == {"host": host, "accept-encoding": "identity", "connection": "close"}


def test_localhost_may_be_allowed_by_name(server: Server) -> None:
    assert fetch(f"http://localhost:{server.port}/a", f"LocalHost:{server.port}") == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:PORT/a",
        "http://localhost:PORT/a",
        "http://[::1]:PORT/a",
        "http://[::ffff:127.0.0.1]:PORT/a",
        "http://2130706433:PORT/a",
        "http://0x7f000001:PORT/a",
        "http://0x7f.1:PORT/a",
        "http://0177.0.0.1:PORT/a",
        "http://127.1:PORT/a",
        "http://１２７.0.0.1:PORT/a",
        "http://example.org@127.0.0.1:PORT/a",
        "http://127.0.0.1:PORT\\@example.org/a",
        "http://example.org:PORT@127.0.0.1/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://example.org.evil.example/a",
        "http://notexample.org/a",
        "http://example.org:PORT/a",
        "http://example.org/a b",
        "http://example.org/a\r\nHost: x",
        "http:///a",
        "http://[::1",
        "file:///etc/passwd",
        "ftp://example.org/a",
        "gopher://example.org/a",
        "//example.org/a",
        "example.org/a",
        "",
    ],
)
def test_no_connection_is_made_to_what_was_not_allowed(
    url: str, server: Server, watched: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_to(monkeypatch, ["127.0.0.1"])
    with pytest.raises(MediaRefusedError):
        fetch(url.replace("PORT", str(server.port)), "example.org", "0x7f.1", "[::1]")
    assert (asked, watched, server.requests) == ([], [], [])


def test_the_refusal_says_how_to_allow_the_host() -> None:
    with pytest.raises(
        MediaRefusedError, match=r"'example.org:8080' is not allowed; add --allow-hosts example.o"
    ):
        fetch("http://Example.ORG.:8080/a.png", "example.org")


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.5"], ["93.184.215.14", "10.0.0.5"], ["::1"], ["::ffff:a00:5"], ["fd00::1"]],
    ids=str,
)
def test_a_public_name_that_leads_to_a_private_address(
    addresses: list[str], server: Server, watched: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, addresses)
    with pytest.raises(MediaRefusedError, match=f"private address .{addresses[-1]}."):
        fetch(f"http://media.example:{server.port}/a", f"media.example:{server.port}")
    assert watched == []


def test_the_owner_of_a_private_address_may_allow_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["127.0.0.1"])
    url = f"http://media.example:{server.port}/a"
    assert fetch(url, f"media.example:{server.port}", "127.0.0.1") == CONTENT


def test_a_name_is_resolved_once_so_that_it_cannot_be_rebound(
    server: Server, watched: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_to(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    with pytest.raises(MediaError, match="Connection refused"):
        fetch(f"http://media.example:{server.port}/a", f"media.example:{server.port}")
    assert (asked, watched) == (["media.example"], [("93.184.215.14", server.port)])


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:OTHER/a",
        "http://localhost:PORT/a",
        "//[::1]:OTHER/a",
        "file:///etc/passwd",
        "http://0x7f.1/",
    ],
)
def test_a_redirect_is_checked_like_any_url(location: str, server: Server, watched: list[Any]) -> None:
    other = Server()
    server.redirect("/r", location.replace("OTHER", str(other.port)).replace("PORT", str(server.port)))
    with pytest.raises(MediaRefusedError):
        fetch(f"http://127.0.0.1:{server.port}/r", f"127.0.0.1:{server.port}")
    other.stop()
    assert watched == [("127.0.0.1", server.port)]
    assert other.requests == []


def test_redirects_are_followed_up_to_five_times(server: Server) -> None:
    for hop in range(6):
        server.redirect(f"/{hop}", f"/{hop + 1}")
    server.answers["/6"] = lambda request: answer(request, CONTENT)
    host = f"127.0.0.1:{server.port}"
    assert fetch(f"http://{host}/1", host) == CONTENT
    with pytest.raises(MediaError, match="redirected more than 5 times"):
        fetch(f"http://{host}/0", host)


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(CONTENT)


def endless_chunks(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    while True:
        request.wfile.write(f"{len(CONTENT):x}\r\n".encode() + CONTENT + b"\r\n")


@pytest.mark.parametrize("body", [endless, endless_chunks])
def test_an_endless_body_is_cut_at_the_limit(
    body: Callable[[BaseHTTPRequestHandler], None], server: Server
) -> None:
    server.answers["/endless"] = body
    into = io.BytesIO()
    host = f"127.0.0.1:{server.port}"
    with pytest.raises(MediaError, match=r"larger than 1,000,000 bytes \(\[media\] max_bytes\)"):
        download(f"http://{host}/endless", into, MediaSettings(allow_hosts=(host,), max_bytes=1_000_000))
    assert len(into.getvalue()) <= 1_000_000


def test_a_length_beyond_the_limit_is_enough(server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    assert len(fetch(f"http://{host}/a", host, max_bytes=len(CONTENT))) == len(CONTENT)
    with pytest.raises(MediaError, match="larger than"):
        fetch(f"http://{host}/a", host, max_bytes=len(CONTENT) - 1)


@pytest.mark.parametrize("kind", ["silent", "headers", "body"])
def test_a_slow_server_is_left_at_the_deadline(kind: str, server: Server) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        if kind == "body":
            request.send_response(200)
            request.send_header("Content-Length", "1000000")
            request.end_headers()
        if kind == "headers":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not server.stopped.wait(0.02):
            if kind != "silent":
                request.wfile.write(b"x")

    server.answers["/slow"] = drip
    host, began = f"127.0.0.1:{server.port}", time.monotonic()
    with pytest.raises(MediaError, match=r"longer than 0.3 s \(\[media\] timeout\)"):
        fetch(f"http://{host}/slow", host, timeout=0.3)
    assert time.monotonic() - began < 2


def test_what_else_goes_wrong_is_told(server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    server.answers["/gone"] = lambda request: answer(request, b"no", status=404)
    server.answers["/cut"] = lambda request: answer(request, b"half", **{"content-length": "10"})
    server.answers["/gzip"] = lambda request: answer(request, b"x", **{"content-encoding": "gzip"})
    server.answers["/noise"] = lambda request: request.wfile.write(b"\0\1\2" * 30)
    for path, reason in [
        ("gone", "the server answered 404 Not Found"),
        ("cut", "the connection ended 6 bytes too early"),
        ("gzip", "compressed"),
        ("noise", "cannot be downloaded: BadStatusLine"),
    ]:
        with pytest.raises(MediaError, match=reason):
            fetch(f"http://{host}/{path}", host)
    server.stop()
    with pytest.raises(MediaError, match="cannot be downloaded: Connection refused"):
        fetch(f"http://{host}/a", host)


def test_a_full_disk_is_not_taken_for_a_bad_network(server: Server) -> None:
    class Full(io.BytesIO):
        def write(self, content: Any) -> int:
            raise OSError(28, "No space left on device")

    host = f"127.0.0.1:{server.port}"
    with pytest.raises(OSError, match="No space left"):
        download(f"http://{host}/a", Full(), MediaSettings(allow_hosts=(host,)))


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Server()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    host = f"127.0.0.1:{server.port}"
    assert fetch(f"http://{host}/a", host) == CONTENT
    proxy.stop()
    assert proxy.requests == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=media.example", "-addext", "subjectAltName=DNS:media.example"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return key, cert


def test_tls_is_checked_for_the_name_though_the_address_was_chosen_before(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    secure = Server(context)
    secure.answers["/a"] = lambda request: answer(request, CONTENT)
    resolve_to(monkeypatch, ["127.0.0.1"])
    allow = f"media.example:{secure.port}", f"other.example:{secure.port}", "127.0.0.1"
    url = f"https://media.example:{secure.port}/a"
    with pytest.raises(MediaError, match="certificate is not trusted: self-signed"):
        fetch(url, *allow)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert fetch(url, *allow) == CONTENT
    with pytest.raises(MediaError, match="certificate is not trusted: Hostname mismatch"):
        fetch(url.replace("media", "other"), *allow)
    secure.stop()
    assert len(secure.requests) == 1


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://example.org/a", "EXAMPLE.org"),
        ("https://bücher.example/ä?q=ö", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/", "bücher.example"),
        ("https://cdn.example.org/a", "*.example.org"),
        ("https://example.org:444/a", "example.org:444"),
        ("https://[2001:4860::0:8888]/a", "2001:4860::8888"),
        ("https://[2001:4860::8888]:8/a", "[2001:4860::8888]:8"),
    ],
)
def test_ways_to_allow_a_host(url: str, entry: str) -> None:
    check_allowed(parse_url(url), [entry])
    parse_url(url).path.encode("ascii")


@pytest.mark.parametrize(
    "entry", ["*.example.org", "example.org:444", "https://example.org", "org", "", "[", "*"]
)
def test_what_does_not_allow_a_host(entry: str) -> None:
    with pytest.raises(MediaRefusedError):
        check_allowed(parse_url("https://example.org/a"), [entry])


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "100.64.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.1", "255.255.255.255", "::"),
        *("::1", "fe80::1", "fec0::1", "fd00::1", "ff02::1", "::7f00:1", "::ffff:0:7f00:1", "2001::1"),
        *("2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "::ffff:169.254.169.254"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    target = parse_url("https://example.org/a")
    with pytest.raises(MediaRefusedError, match="private address"):
        check_address(ipaddress.ip_address(address), target, ["example.org"])


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    check_address(ipaddress.ip_address(address), parse_url("https://example.org/a"), ["example.org"])
