"""Any endpoint of OpenAI's chat completions: a hosted model, vLLM, llama.cpp's server, and others."""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import threading
import time
import urllib.error
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from llmrec import __version__
from llmrec.errors import ConfigError
from llmrec.explain import completions, sentences, wire
from llmrec.explain.completions import ExchangeError
from llmrec.explain.generator import ENDPOINT, GenerationError, Question, Told

KEY = "OPENAI_API_KEY"
"""The environment variable with the key. It is never in a message, a log or a fingerprint."""

_RETRIES = 3
_PAUSE = 0.25
"""Seconds before the second try; doubled for each further one."""
_REFUSED = {400, 422}
"""Statuses of a request that the endpoint does not take."""
_OPTIONAL = ("response_format", "temperature", "seed", "max_tokens")
"""Fields that some endpoints refuse. An answer without them is worth more than none."""
_PROBE = "llmrec"
_OVERHEAD = 64
"""Tokens of what is JSON in an answer."""
_SHOWN = 200

_log = logging.getLogger(__name__)


class Endpoint:
    """A model behind a URL; safe to call from many threads.

    What is asked goes to that URL and nowhere else. Requests are streamed, tried again where that may help,
    and over in time. What the endpoint does not take (grammars, JSON schemas, a temperature) is found out
    and remembered. Errors are raised without the exceptions that they come from, whose text is the server's.

    Args:
        url: the base, up to where ``/chat/completions`` follows.
        model: as the endpoint calls it.
        key: None where it needs none.
        batch_size: how many requests are under way at most.
    """

    def __init__(self, url: str, model: str, key: str | None = None, batch_size: int = 8) -> None:
        self.url, self.model, self.batch_size = url.rstrip("/"), model, batch_size
        # A key is a secret from whoever listens on the way.
        self._key = key if urlsplit(url).scheme == "https" or wire.is_local(url) else None
        if key and not self._key:
            _log.warning("%s: %s is not sent, since http to another machine is not encrypted", url, KEY)
        self._slots = threading.BoundedSemaphore(batch_size)
        self._probing = threading.Lock()
        self._grammars: bool | None = None
        self._without: frozenset[str] = frozenset()

    @classmethod
    def named(cls, spec: str, batch_size: int = 8) -> Self:
        """The endpoint of ``openai:URL#MODEL``, with the key of the environment.

        Raises:
            ConfigError: it is not named as it should be, or the key cannot be one.
        """
        url, _, model = spec.removeprefix(ENDPOINT).partition("#")
        try:
            parts = urlsplit(url)
            well_formed = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            well_formed = False
        if not (well_formed and model):
            raise ConfigError(
                "models.explainer: an endpoint is named openai:URL#MODEL",
                "Such as openai:http://localhost:8080/v1#qwen3-4b.",
            )
        if parts.username or parts.password or parts.query:
            raise ConfigError(
                f"models.explainer: the URL of {parts.hostname} holds a user name, a password or a query",
                f"Secrets do not belong into llmrec.toml. Put the key into the environment: {KEY}.",
            )
        return cls(url, model, _key(), batch_size)

    @property
    def fingerprint(self) -> str:
        """The URL and the model. What the model is behind them, nobody can tell from here."""
        return f"{ENDPOINT}{self.url}#{self.model}"

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        """See :class:`llmrec.explain.generator.Generator`."""
        question = Question(system, user, max_tokens, grammar)
        return self._answer(question, _Time(timeout), None)

    def generate_all(
        self, questions: Sequence[Question], *, timeout: float, told: Told | None = None
    ) -> list[str | GenerationError]:
        """See :class:`llmrec.explain.generator.ManyAtOnce`. The requests are under way together.

        What comes as JSON is told when it is whole.
        """
        at = _Time(timeout)
        if len(questions) == 1:
            return [self._outcome(questions[0], at, told)]
        outcomes: dict[int, str | GenerationError | Exception] = {}

        def ask(place: int) -> None:
            try:
                outcomes[place] = self._outcome(questions[place], at, None)
            except Exception as error:  # a defect of ours, which would be lost with its thread
                outcomes[place] = error

        # Daemons: Ctrl-C does not wait for answers that nobody wants any more.
        threads = [
            threading.Thread(target=ask, args=(place,), daemon=True) for place in range(len(questions))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers: list[str | GenerationError] = []
        for place in range(len(questions)):
            outcome = outcomes[place]
            if isinstance(outcome, Exception) and not isinstance(outcome, GenerationError):
                raise outcome
            answers.append(outcome)
        return answers

    def check(self, timeout: float = 5.0) -> tuple[bool, str]:
        """Ask for the list of models.

        Returns:
            Whether the model is among them, and in a line what the endpoint answers.

        Raises:
            GenerationError: it does not answer, or refuses the key.
        """
        at = _Time(timeout)
        try:
            with wire.exchange(f"{self.url}/models", self._headers(), None, at.until) as response:
                found = json.loads(wire.whole(response))
            names = [str(entry["id"]) for entry in found["data"]]
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (404, 405):
                    return False, f"{self.url} answers; it does not list its models"
                raise self._failure(completions.of_status(error), at) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(completions.of_connection(error), at) from None
        except (ValueError, KeyError, TypeError):
            raise GenerationError(f"{self.url}/models: the answer is not a list of models") from None
        if self.model in names:
            return True, f"{self.url} answers and has {self.model}"
        listed = self._shown(", ".join(names[:5])) or "none"
        return False, f"{self.url} answers; {self.model} is not among the models that it lists ({listed})"

    def _outcome(self, question: Question, at: _Time, told: Told | None) -> str | GenerationError:
        try:
            return self._answer(question, at, told)
        except GenerationError as error:
            return error

    def _answer(self, question: Question, at: _Time, told: Told | None) -> str:
        if not self._slots.acquire(timeout=at.left()):
            raise GenerationError(f"{self.url}: no answer within {at.seconds:.3g} s: all requests wait")
        try:
            grammar = question.grammar if question.grammar and self._follows_grammars(at) else None
            return self._accepted(question, grammar, at, told)
        finally:
            self._slots.release()

    def _accepted(self, question: Question, grammar: str | None, at: _Time, told: Told | None) -> str:
        """The answer to a request that the endpoint takes, with as much in it as it takes."""
        without = self._without
        while True:
            json_wanted = bool(question.facts) and grammar is None and "response_format" not in without
            body = self._body(question, grammar, json_wanted, without)
            try:
                text = self._patiently(body, at, None if json_wanted else told)
            except ExchangeError as failure:
                refused = self._refused_field(failure, body)
                if refused is None:
                    raise self._failure(failure, at) from None
                grammar = None if refused == "grammar" else grammar
                without |= {refused}
                continue
            # One grammar that is refused says nothing of the next.
            self._without |= without - {"grammar"}
            if not json_wanted:
                return text
            return self._read(text, told)

    def _read(self, answer: str, told: Told | None) -> str:
        """The text of an answer that should be JSON; whatever it is from an endpoint that ignores schemas."""
        start, end = answer.find("{"), answer.rfind("}") + 1
        try:
            text = sentences.read(answer[start:end]) if start >= 0 else answer
        except ValueError as error:
            raise GenerationError(f"{self.url}: the answer is not JSON of the schema: {error}") from None
        if told is not None:
            told(text)
        return text

    def _follows_grammars(self, at: _Time) -> bool:
        """Whether the endpoint holds an answer to a grammar, asked once: some ignore the field."""
        if not self._probing.acquire(timeout=at.left()):
            raise GenerationError(f"{self.url}: no answer within {at.seconds:.3g} s")
        try:
            if self._grammars is None:
                question = Question("Be brief.", "Say hello.", 16)
                body = self._body(question, f'root ::= "{_PROBE}"', False, self._without)
                try:
                    self._grammars = self._patiently(body, at, None).strip() == _PROBE
                except ExchangeError as failure:
                    if failure.status not in _REFUSED:
                        raise self._failure(failure, at) from None
                    self._grammars = False
            return self._grammars
        finally:
            self._probing.release()

    def _body(
        self, question: Question, grammar: str | None, json_wanted: bool, without: frozenset[str]
    ) -> dict[str, Any]:
        system = question.system + sentences.INSTRUCTION if json_wanted else question.system
        length = question.max_tokens + _OVERHEAD if json_wanted else question.max_tokens
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question.user}],
            "stream": True,
            "max_tokens": length,
            "temperature": 0.7 if question.again else 0,
            "seed": int(question.again),
        }
        if grammar is not None:
            body["grammar"] = grammar
        if json_wanted:
            form = {"name": "explanation", "strict": True, "schema": sentences.schema(question.facts)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if "max_tokens" in without:  # models that think know it by this name only
            body["max_completion_tokens"] = length
        return {name: value for name, value in body.items() if name not in without}

    def _refused_field(self, failure: ExchangeError, body: Mapping[str, Any]) -> str | None:
        """The field for which a request was refused; None where it is refused for something else."""
        if failure.status not in _REFUSED:
            return None
        if "grammar" in body:
            return "grammar"
        named = [name for name in _OPTIONAL if name in body and name in failure.told]
        return named[0] if named else "response_format" if "response_format" in body else None

    def _patiently(self, body: Mapping[str, Any], at: _Time, told: Told | None) -> str:
        """The answer to a request, which is sent again after what may pass."""
        content = json.dumps(body).encode()
        for retry in range(_RETRIES + 1):
            try:
                return self._stream(content, at, told)
            except ExchangeError as failure:
                # Spread, so that requests which failed together do not come back together.
                pause = _PAUSE * 2**retry * random.uniform(0.75, 1.25)  # noqa: S311
                pause = pause if failure.wait is None else failure.wait
                if not failure.passing or retry == _RETRIES or pause >= at.left():
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _stream(self, content: bytes, at: _Time, told: Told | None) -> str:
        """Send a request once.

        Raises:
            ExchangeError: there is no whole answer.
        """
        text, ended = "", False
        try:
            with wire.exchange(
                f"{self.url}/chat/completions", self._headers(), content, at.until
            ) as response:
                for chunk in completions.chunks(response):
                    piece, last = completions.piece(chunk)
                    text, ended = text + piece, ended or last
                    if piece and told is not None:
                        told(text.strip())
        except urllib.error.HTTPError as error:
            with error:
                raise completions.of_status(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise completions.of_connection(error) from None
        except ValueError as error:
            raise ExchangeError(f"the answer cannot be read: {error}") from None
        if not ended:
            raise ExchangeError("the connection ended in the middle of the answer", passing=True)
        return text.strip()

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": f"llmrec/{__version__}"}
        return headers | ({"Authorization": f"Bearer {self._key}"} if self._key else {})

    def _failure(self, failure: ExchangeError, at: _Time) -> GenerationError:
        """What a user can act on."""
        if at.left() <= 0:
            return GenerationError(f"{self.url}: no answer within {at.seconds:.3g} s")
        hint = None
        if failure.status in (401, 403):
            known = "was sent" if self._key else "was not sent" if os.environ.get(KEY) else "is not set"
            hint = f"The key of the environment, {KEY}, {known}."
        elif failure.status == 404:
            hint = "Is the model's name right, and the URL, which often ends in /v1?"
        reason = self._shown(f"{failure.reason}: {failure.told}" if failure.told else failure.reason)
        return GenerationError(f"{self.url}: {reason}", hint)

    def _shown(self, text: str) -> str:
        """What the endpoint says, as a short line that does not hold the key."""
        hidden = text.replace(self._key, "***") if self._key else text
        line = " ".join("".join(char if char.isprintable() else " " for char in hidden).split())
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


class _Time:
    """A time limit, in seconds, that runs from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.until = seconds, time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that remain, 0 or more."""
        return max(0.0, self.until - time.monotonic())


def _key() -> str | None:
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and (key.isprintable() and " " not in key)):
        raise ConfigError(f"{KEY} holds what no key has: spaces, line ends or letters beyond ASCII")
    return key or None
