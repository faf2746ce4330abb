"""What comes back from an endpoint of chat completions: parts of an answer, or an error and its meaning."""

from __future__ import annotations

import email.utils
import http.client
import json
import ssl
import time
import urllib.error
from collections.abc import Iterator, Mapping
from typing import Any

from llmrec.explain import wire

_PASSING = {408, 409, 425, 429, 500, 502, 503, 504}
"""Statuses after which the same request may succeed."""


class ExchangeError(Exception):
    """An exchange that gave no answer. Its text is untrusted, and may hold the key.

    Args:
        reason: in words.
        told: what the endpoint says about it.
        status: of HTTP, if it came to that.
        passing: whether the same request may succeed later.
        wait: seconds that the endpoint asks to wait.
    """

    def __init__(
        self,
        reason: str,
        told: str = "",
        status: int | None = None,
        passing: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.told, self.status, self.passing, self.wait = reason, told, status, passing, wait


def chunks(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The parts of an answer, or the whole where the endpoint does not stream.

    Raises:
        ValueError: it is malformed.
    """
    if response.headers.get_content_type() != "text/event-stream":
        yield _object(wire.whole(response).decode("utf-8"))
        return
    for data in wire.events(response):
        if data == "[DONE]":
            yield {"choices": [{"finish_reason": "stop"}]}
            return
        yield _object(data)


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def piece(chunk: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of a part of an answer, and whether the answer ends with it."""
    if "error" in chunk:
        raise ExchangeError("failed while it answered", _message(chunk))
    choices = chunk.get("choices")
    if not choices:  # such as the last one, which counts tokens
        return "", False
    try:
        choice = choices[0]
        part = choice.get("delta") or choice.get("message") or {}
        return str(part.get("content") or ""), choice.get("finish_reason") is not None
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("not a completion") from error


def of_status(error: urllib.error.HTTPError) -> ExchangeError:
    """What an error status means, and what the endpoint says about it."""
    try:
        told = _told(error.read(wire.MAX_BYTES).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException):
        told = ""
    phrase = http.client.responses.get(error.code, "")
    reason = f"answered {error.code} {phrase}".rstrip()
    return ExchangeError(
        reason, told, error.code, error.code in _PASSING, _wait(error.headers.get("Retry-After"))
    )


def _told(body: str) -> str:
    """The message of an error's body."""
    try:
        found = json.loads(body)
    except ValueError:
        return body
    return _message(found) if isinstance(found, dict) else body


def _message(found: Mapping[str, Any]) -> str:
    """The message of an error: OpenAI's, llama.cpp's and vLLM's are under ``error``, FastAPI's ``detail``."""
    error = found.get("error", found.get("detail", found.get("message", "")))
    if not isinstance(error, dict):
        return str(error)
    # OpenAI names the field that it refuses apart from the words.
    return " ".join(str(error[name]) for name in ("message", "param") if error.get(name))


def _wait(header: str | None) -> float | None:
    """Seconds of a ``Retry-After``, which holds seconds or a date; None where it holds neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def of_connection(error: OSError | http.client.HTTPException) -> ExchangeError:
    """What it means that there was no answer."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ExchangeError(f"its certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return ExchangeError("no answer: the connection is silent", passing=True)
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return ExchangeError(f"cannot be reached: {words}", passing=True)
