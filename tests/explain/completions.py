"""A local server of chat completions that answers as a script tells it to."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]
"""Answers one request, of which it is given the body."""


def event(text: str | None, finish: str | None = None) -> bytes:
    """A part of a streamed answer."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def stream(*pieces: str, pause: float = 0.0, cut: bool = False) -> Reply:
    """Server-sent events; ``cut`` drops the connection before the end."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        start(handler, 200, "text/event-stream")
        handler.wfile.write(b": a comment, which keeps the connection alive\n\n")
        for piece in pieces:
            handler.wfile.write(event(piece))
            handler.wfile.flush()
            time.sleep(pause)
        if not cut:
            handler.wfile.write(event(None, "stop") + b"data: [DONE]\n\n")

    return reply


def status(code: int, told: str = "", headers: dict[str, str] | None = None) -> Reply:
    """An error in the form of OpenAI's."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        start(handler, code, "application/json", headers or {})
        handler.wfile.write(json.dumps({"error": {"message": told, "type": "invalid"}}).encode())

    return reply


def raw(content: bytes, kind: str = "text/event-stream", code: int = 200) -> Reply:
    """A body as it is."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        start(handler, code, kind)
        handler.wfile.write(content)

    return reply


def start(
    handler: BaseHTTPRequestHandler, code: int, kind: str, headers: dict[str, str] | None = None
) -> None:
    """The status line and the headers; the end of the connection is the end of the body."""
    handler.send_response(code)
    for name, value in {"Content-Type": kind, "Connection": "close", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()


@dataclass
class Script:
    """What a server answers, and what it was asked.

    Args:
        replies: for one request after the other; the last one stays.
        refuses: fields for which a request is refused, in place of the next reply.
        grammars: whether an answer follows a grammar that is nothing but a literal.
        models: that it lists.
    """

    replies: list[Reply]
    refuses: tuple[str, ...] = ()
    grammars: bool = False
    models: tuple[str, ...] = ("small",)
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: int = 0
    busiest: int = 0

    @property
    def answered(self) -> list[dict[str, Any]]:
        """What was asked but for the question about grammars."""
        return [body for body in self.asked if not _is_probe(body)]

    def reply_to(self, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.asked.append(body)
            for name in self.refuses:
                if name in body:
                    return status(400, f"Unsupported parameter: '{name}'")
            if _is_probe(body):
                return stream("llmrec" if self.grammars else "Hello!")
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def _is_probe(body: dict[str, Any]) -> bool:
    return body.get("grammar") == 'root ::= "llmrec"'


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Script]:
    """The script behind a URL of this machine, over https with ``tls``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            script.keys.append(self.headers.get("Authorization"))
            if self.path != "/v1/models":
                status(404, "no such page")(self, {})
                return
            start(self, 200, "application/json")
            listed = [{"id": name, "object": "model"} for name in script.models]
            self.wfile.write(json.dumps({"object": "list", "data": listed}).encode())

        def do_POST(self) -> None:
            script.keys.append(self.headers.get("Authorization"))
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.close_connection = True
            with script.lock:
                script.busy += 1
                script.busiest = max(script.busiest, script.busy)
            try:
                known = self.path == "/v1/chat/completions"
                (script.reply_to(body) if known else status(404, "no such page"))(self, body)
            except OSError:
                pass  # whoever asked is gone
            finally:
                with script.lock:
                    script.busy -= 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    host = "https://localhost" if tls else "http://127.0.0.1"
    script.url = f"{host}:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
