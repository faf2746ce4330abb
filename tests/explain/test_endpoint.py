"""An endpoint over a real socket: whole, slow, broken and refused answers, and the key that nobody sees."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from llmrec.config import ExplainSettings
from llmrec.errors import ConfigError
from llmrec.explain import endpoint as module, sentences, wire
from llmrec.explain.endpoint import KEY, Endpoint
from llmrec.explain.explainer import Explainer
from llmrec.explain.generator import GenerationError, Question, gguf_file, load_generator
from llmrec.explain.verifier import Verifier
from llmrec.progress import NoProgress
from llmrec.prompts import load_prompt
from tests.explain.catalog import CASE, TITLES, TOYS
from tests.explain.completions import Reply, Script, event, raw, serving, start, status, stream

SECRET = "sk-a-secret-of-the-user-0123456789"
ASKED = Question("Explain.", "Why?", 40)
GOOD = 'You may like "Toy Story" because you liked "Antz" [3].'

Serve = Callable[..., tuple[Script, Endpoint]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts servers, and gives each with the endpoint that asks it."""
    monkeypatch.setenv(KEY, SECRET)
    with ExitStack() as stack:

        def begin(*replies: Reply, batch_size: int = 8, **options: Any) -> tuple[Script, Endpoint]:
            script = stack.enter_context(serving(Script([*replies], **options)))
            return script, Endpoint.named(f"openai:{script.url}#small", batch_size)

        yield begin


def answer(endpoint: Endpoint, question: Question = ASKED, timeout: float = 10.0) -> str:
    (found,) = endpoint.generate_all([question], timeout=timeout)
    if isinstance(found, GenerationError):
        raise found
    return found


@contextmanager
def answering_as_it_likes(serve_one: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server below HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(1 << 16)
                    serve_one(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_streamed_answer_is_read_and_told_while_it_comes(serve: Serve) -> None:
    script, endpoint = serve(stream(" You", ' liked "Amélie"', " [1]."))
    told: list[str] = []
    found = endpoint.generate_all([ASKED], timeout=10, told=told.append)
    assert found == ['You liked "Amélie" [1].']
    assert told == ["You", 'You liked "Amélie"', 'You liked "Amélie" [1].']
    (body,) = script.asked
    assert body == {
        "model": "small",
        "messages": [{"role": "system", "content": "Explain."}, {"role": "user", "content": "Why?"}],
        "stream": True,
        "max_tokens": 40,
        "temperature": 0,
        "seed": 0,
    }
    assert script.keys == [f"Bearer {SECRET}"]


def test_an_answer_that_is_not_streamed_is_read_too(serve: Serve) -> None:
    whole = {"choices": [{"message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}
    _, endpoint = serve(raw(json.dumps(whole).encode(), "application/json"))
    assert answer(endpoint) == "Hello."


def test_the_plain_protocol_works(serve: Serve) -> None:
    _, endpoint = serve(stream("Hello."))
    assert endpoint.generate("Explain.", "Why?", max_tokens=8, timeout=10) == "Hello."


def test_what_is_asked_again_is_sampled_anew(serve: Serve) -> None:
    script, endpoint = serve(stream("Hello."))
    answer(endpoint, replace(ASKED, again=True))
    assert (script.asked[0]["temperature"], script.asked[0]["seed"]) == (0.7, 1)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(serve: Serve, code: int) -> None:
    script, endpoint = serve(status(code, "busy"), stream("Hello."))
    assert answer(endpoint) == "Hello."
    assert script.asked[0] == script.asked[1]


@pytest.mark.parametrize("header", ["1", lambda: formatdate(time.time() + 2, usegmt=True)], ids=["s", "date"])
def test_the_endpoint_says_how_long_to_wait(serve: Serve, header: str | Callable[[], str]) -> None:
    wait = header if isinstance(header, str) else header()
    _, endpoint = serve(status(429, "slow down", {"Retry-After": wait}), stream("Hello."))
    began = time.monotonic()
    assert answer(endpoint) == "Hello."
    assert 0.9 <= time.monotonic() - began < 6


def test_a_wait_that_is_longer_than_there_is_time_is_not_waited_for(serve: Serve) -> None:
    script, endpoint = serve(status(429, "slow down", {"Retry-After": "60"}))
    began = time.monotonic()
    with pytest.raises(GenerationError, match="answered 429 Too Many Requests: slow down"):
        answer(endpoint)
    assert time.monotonic() - began < 3
    assert len(script.asked) == 1


def test_it_gives_up_after_some_tries(serve: Serve) -> None:
    script, endpoint = serve(status(500, "it broke"))
    with pytest.raises(GenerationError, match="answered 500 Internal Server Error: it broke"):
        answer(endpoint)
    assert len(script.asked) == 4


@pytest.mark.parametrize(
    ("code", "hint"),
    [(401, f"{KEY}, was sent."), (403, f"{KEY}, was sent."), (404, "which often ends in /v1?"), (413, "")],
)
def test_what_does_not_pass_is_an_error_at_once(serve: Serve, code: int, hint: str) -> None:
    script, endpoint = serve(status(code, "no"))
    with pytest.raises(GenerationError, match=f"answered {code}") as caught:
        answer(endpoint)
    assert len(script.asked) == 1
    assert (caught.value.hint or "").endswith(hint)


def test_a_connection_that_is_cut_is_made_again(serve: Serve) -> None:
    script, endpoint = serve(stream("You", cut=True), stream("Hello", "."))
    told: list[str] = []
    assert endpoint.generate_all([ASKED], timeout=10, told=told.append) == ["Hello."]
    assert told == ["You", "Hello", "Hello."]
    assert len(script.asked) == 2


def test_an_answer_that_is_always_cut_is_an_error(serve: Serve) -> None:
    _, endpoint = serve(stream("You", cut=True))
    with pytest.raises(GenerationError, match="the connection ended in the middle of the answer"):
        answer(endpoint)


def test_a_slow_answer_is_over_in_time(serve: Serve) -> None:
    _, endpoint = serve(stream(*["word "] * 100, pause=0.1))
    began = time.monotonic()
    with pytest.raises(GenerationError, match=r"no answer within 0\.7 s"):
        answer(endpoint, timeout=0.7)
    assert time.monotonic() - began < 2


def test_headers_that_come_letter_by_letter_are_over_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
            connection.sendall(bytes([letter]))
            time.sleep(0.05)

    with answering_as_it_likes(drip) as url:
        began = time.monotonic()
        with pytest.raises(GenerationError, match=r"no answer within 0\.7 s"):
            answer(Endpoint(url, "small"), timeout=0.7)
        assert time.monotonic() - began < 2


def test_a_silent_connection_is_broken_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrec.explain.wire.SILENCE", 0.2)
    script, endpoint = serve(stream("You", pause=3), stream("Hello."))
    assert answer(endpoint) == "Hello."
    assert len(script.asked) == 2


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(GenerationError, match=rf"127\.0\.0\.1:{port}/v1: cannot be reached: .*refused"):
        answer(Endpoint(f"http://127.0.0.1:{port}/v1", "small"))
    assert 1 < time.monotonic() - began < 8, "it is tried again, but not for ever"


def test_what_is_not_http_is_an_error() -> None:
    with (
        answering_as_it_likes(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")) as url,
        pytest.raises(GenerationError, match="cannot be reached"),
    ):
        answer(Endpoint(url, "small"))


@pytest.mark.parametrize(
    "content",
    [
        b"data: {not JSON}\n\n",
        b"data: []\n\n",
        b'data: {"choices": [7]}\n\n',
        b'data: {"choices": {"a": 1}}\n\n',
        b"data: \xff\xfe\n\n",
        b"data: " + b"x" * 70_000 + b"\n\n",
        event("word " * 1000) * 300,
    ],
    ids=["text", "list", "choice", "choices", "encoding", "line", "length"],
)
def test_a_malformed_answer_is_an_error_at_once(serve: Serve, content: bytes) -> None:
    script, endpoint = serve(raw(content))
    with pytest.raises(GenerationError, match="the answer cannot be read"):
        answer(endpoint)
    assert len(script.asked) == 1


def test_an_error_in_the_middle_of_an_answer_is_one(serve: Serve) -> None:
    failing = event("You") + b'data: {"error": {"message": "out of memory"}}\n\n'
    _, endpoint = serve(raw(failing))
    with pytest.raises(GenerationError, match="failed while it answered: out of memory"):
        answer(endpoint)


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    elsewhere, _ = serve(stream("Hello."))
    target = f"{elsewhere.url}/chat/completions"
    script, endpoint = serve(status(307, "", {"Location": target}))
    with pytest.raises(GenerationError, match="answered 307"):
        answer(endpoint)
    assert len(script.asked) == 1
    assert elsewhere.keys == []


def test_proxies_do_not_see_what_goes_to_this_machine(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    _, endpoint = serve(stream("Hello."))
    assert answer(endpoint) == "Hello."


def test_a_proxy_of_the_environment_is_used_for_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    script, _ = serve(status(502, "this is the proxy"))
    monkeypatch.setenv("http_proxy", script.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(GenerationError, match="answered 404 Not Found: no such page"):
        answer(Endpoint("http://model.invalid/v1", "small"))  # the proxy is asked for the whole URL


# What the endpoint takes


def test_a_grammar_is_sent_where_it_is_followed(serve: Serve) -> None:
    script, endpoint = serve(stream("Hello."), grammars=True)
    question = replace(ASKED, grammar='root ::= "Hello."', facts=(1, 2))
    assert [answer(endpoint, question) for _ in range(3)] == ["Hello."] * 3
    assert len(script.asked) == 4, "grammars are asked about once"
    assert [body["grammar"] for body in script.answered] == ['root ::= "Hello."'] * 3
    assert all("response_format" not in body for body in script.answered)


@pytest.mark.parametrize("refuses", [(), ("grammar",)], ids=["ignored", "refused"])
def test_where_grammars_are_not_followed_a_schema_is_sent(serve: Serve, refuses: tuple[str, ...]) -> None:
    said = {"sentences": [{"text": 'You liked "Antz".', "fact": 3}, {"text": "It is new", "fact": 1}]}
    script, endpoint = serve(stream(json.dumps(said)[:20], json.dumps(said)[20:]), refuses=refuses)
    told: list[str] = []
    question = replace(ASKED, grammar='root ::= "Hello."', facts=(1, 3))
    found = endpoint.generate_all([question], timeout=10, told=told.append)
    assert found == ['You liked "Antz" [3]. It is new [1].'] == told
    (body,) = script.answered
    form = body["response_format"]["json_schema"]
    assert form["schema"] == sentences.schema((1, 3))
    assert form["schema"]["properties"]["sentences"]["items"]["properties"]["fact"]["enum"] == [1, 3]
    assert "JSON" in body["messages"][0]["content"]
    assert "grammar" not in body


@pytest.mark.parametrize("field", ["response_format", "temperature", "seed"])
def test_a_field_that_is_refused_is_left_out_from_then_on(serve: Serve, field: str) -> None:
    script, endpoint = serve(stream("Hello."), refuses=(field,))
    question = replace(ASKED, facts=(1, 2))
    assert [answer(endpoint, question) for _ in range(2)] == ["Hello."] * 2
    assert [field in body for body in script.asked] == [True, False, False]


def test_models_that_think_name_the_length_otherwise(serve: Serve) -> None:
    script, endpoint = serve(stream("Hello."), refuses=("max_tokens", "temperature"))
    assert answer(endpoint) == "Hello."
    assert answer(endpoint) == "Hello."
    assert len(script.asked) == 4
    assert script.asked[-1]["max_completion_tokens"] == 40
    assert not {"max_tokens", "temperature"} & script.asked[-1].keys()


def test_a_schema_that_is_refused_without_a_reason_is_left_out(serve: Serve) -> None:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        (status(400, "bad request") if "response_format" in body else stream("Hello."))(handler, body)

    script, endpoint = serve(reply)
    question = replace(ASKED, facts=(1, 2))
    assert [answer(endpoint, question) for _ in range(2)] == ["Hello."] * 2
    assert len(script.asked) == 3


def test_a_request_that_is_refused_anyhow_teaches_nothing(serve: Serve) -> None:
    too_long, good = status(400, "context length exceeded"), stream("Hello.")
    script, endpoint = serve(too_long, too_long, good)
    question = replace(ASKED, facts=(1, 2))
    with pytest.raises(GenerationError, match="answered 400 Bad Request: context length exceeded"):
        answer(endpoint, question)
    assert answer(endpoint, question) == "Hello."
    assert "response_format" in script.asked[-1]


def test_json_that_is_not_of_the_schema_is_an_error(serve: Serve) -> None:
    _, endpoint = serve(stream('{"sentences": [{"text": "You liked it"}]}'))
    with pytest.raises(
        GenerationError, match="not JSON of the schema: a sentence lacks its text or its fact"
    ):
        answer(endpoint, replace(ASKED, facts=(1,)))


# Many at once


def test_a_list_is_asked_for_at_once_and_kept_in_order(serve: Serve) -> None:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        said = body["messages"][1]["content"]
        time.sleep(0.5)
        (status(400, "not this one") if said == "3" else stream(said))(handler, body)

    script, endpoint = serve(reply, batch_size=4)
    began = time.monotonic()
    found = endpoint.generate_all([replace(ASKED, user=str(number)) for number in range(8)], timeout=20)
    assert time.monotonic() - began < 3.5, "eight one after the other take 4 s"
    assert script.busiest == 4
    assert [str(text) for number, text in enumerate(found) if number != 3] == list("0124567")
    assert isinstance(found[3], GenerationError)
    assert "not this one" in found[3].message


def test_whoever_waits_for_others_does_not_wait_longer_than_its_timeout(serve: Serve) -> None:
    _, endpoint = serve(stream("a", "b", pause=1.5), batch_size=1)
    other = threading.Thread(target=answer, args=(endpoint,))
    other.start()
    time.sleep(0.3)
    with pytest.raises(GenerationError, match=r"no answer within 0\.5 s: all requests wait"):
        answer(endpoint, timeout=0.5)
    other.join()


# Through the explainer


def test_an_endpoint_explains(serve: Serve) -> None:
    said = {"sentences": [{"text": 'You may like "Toy Story" because you liked "Antz"', "fact": 3}]}
    lie = {"sentences": [{"text": 'You liked "The Matrix"', "fact": 3}]}
    script, endpoint = serve(stream(json.dumps(lie)), stream(json.dumps(said)))
    explainer = Explainer(endpoint, Verifier(TITLES), load_prompt("explain"), ExplainSettings())
    explanation = explainer.explain(CASE)
    assert (explanation.text, explanation.source, explanation.verified) == (GOOD, "model", True)
    assert [fact.number for fact in explanation.citations] == [3]
    assert len(script.answered) == 2


def test_a_broken_endpoint_leaves_the_template(serve: Serve) -> None:
    _, endpoint = serve(status(500))
    explainer = Explainer(
        endpoint, Verifier(TITLES), load_prompt("explain"), ExplainSettings(timeout=1, batch_size=2)
    )
    cases = [replace(CASE, item=replace(TOYS, item_id=str(number))) for number in range(3)]
    assert [entry.source for entry in explainer.explain_each(cases)] == ["template"] * 3


# Names and the key


def test_it_is_loaded_by_its_name(serve: Serve) -> None:
    script, _ = serve(stream("Hello."))
    loaded = load_generator(f"openai:{script.url}/#org/small", NoProgress(), ExplainSettings(batch_size=3))
    assert isinstance(loaded, Endpoint)
    assert (loaded.url, loaded.model, loaded.batch_size) == (script.url, "org/small", 3)
    assert loaded.fingerprint == f"openai:{script.url}#org/small"
    assert script.keys == [], "nothing is asked before something is to be explained"


@pytest.mark.parametrize(
    "spec",
    [
        "openai:",
        "openai:#small",
        "openai:http://localhost:8080/v1",
        "openai:http://localhost:8080/v1#",
        "openai:localhost:8080#small",
        "openai:ftp://localhost/v1#small",
        "openai:file:///etc/passwd#small",
        "openai:http://localhost:99999/v1#small",
        "openai:http://[::1/v1#small",
    ],
)
def test_a_name_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="named openai:URL#MODEL"):
        Endpoint.named(spec)


@pytest.mark.parametrize(
    "url", [f"https://me:{SECRET}@example.org/v1", f"https://example.org/v1?key={SECRET}"]
)
def test_secrets_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"the URL of example\.org holds") as caught:
        Endpoint.named(f"openai:{url}#small")
    assert SECRET not in str(caught.value)


def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, f"{SECRET}\r\nX-Forged: 1")
    with pytest.raises(ConfigError, match=KEY) as caught:
        Endpoint.named("openai:http://localhost:8080/v1#small")
    assert SECRET not in str(caught.value)


def test_without_a_key_none_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    script, _ = serve(status(401, "who are you?"))
    monkeypatch.delenv(KEY)
    with pytest.raises(GenerationError, match="who are you") as caught:
        answer(Endpoint.named(f"openai:{script.url}#small"))
    assert script.keys == [None]
    assert f"{KEY}, is not set" in str(caught.value.hint)


def test_the_key_does_not_travel_unencrypted(caplog: pytest.LogCaptureFixture) -> None:
    assert "Authorization" not in Endpoint("http://gpu.example.org/v1", "small", SECRET)._headers()
    assert "is not sent" in caplog.text
    for url in ("https://example.org/v1", "http://localhost/v1", "http://127.0.0.1/v1", "http://[::1]/v1"):
        assert Endpoint(url, "small", SECRET)._headers()["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "reply",
    [
        status(401, f"Incorrect API key provided: {SECRET}"),
        status(400, f"'{SECRET}' is no key"),
        raw(f"<html>{SECRET}</html>".encode(), "text/html", 500),
        raw(f'data: {{"error": {{"message": "{SECRET}"}}}}\n\n'.encode()),
        raw(f"data: {SECRET}\n\n".encode()),
        raw(json.dumps({"detail": [{"input": SECRET}]}).encode(), "application/json", 422),
    ],
    ids=["key", "refused", "page", "stream", "text", "detail"],
)
def test_the_key_is_in_no_log_and_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    script, endpoint = serve(reply)
    with caplog.at_level(logging.DEBUG):
        explainer = Explainer(endpoint, Verifier(TITLES), load_prompt("explain"), ExplainSettings(timeout=3))
        assert explainer.explain(CASE).source == "template"
    with pytest.raises(GenerationError) as caught:
        answer(endpoint, timeout=3)
    assert any(f"Bearer {SECRET}" == key for key in script.keys), "it is sent all the same"
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value) + caplog.text
    assert SECRET not in shown
    assert SECRET not in repr(endpoint) + endpoint.fingerprint


def test_a_key_in_the_status_line_is_not_repeated() -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {SECRET}\r\n\r\n".encode())

    with answering_as_it_likes(echo) as url:
        with pytest.raises(GenerationError) as caught:
            answer(Endpoint(url, "small", SECRET), timeout=5)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_what_the_server_says_is_shown_as_a_short_line(serve: Serve) -> None:
    _, endpoint = serve(status(404, "a\x1b[31m\r\nb " + "x" * 1000))
    with pytest.raises(GenerationError) as caught:
        answer(endpoint)
    assert caught.value.message.endswith("x…")
    assert "a [31m b" in caught.value.message
    assert len(caught.value.message) < 300


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return key, cert


def test_https_is_spoken_with_who_has_the_certificate(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with serving(Script([stream("Hello", ".", pause=0.1)]), context) as script:
        wire._trusted.cache_clear()
        with pytest.raises(GenerationError, match="its certificate is not trusted: self-signed"):
            answer(Endpoint(script.url, "small", SECRET))
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        wire._trusted.cache_clear()
        assert answer(Endpoint(script.url, "small", SECRET)) == "Hello."
        with pytest.raises(GenerationError, match=r"no answer within 0\.15 s"):
            answer(Endpoint(script.url, "small", SECRET), timeout=0.15)
    wire._trusted.cache_clear()
    assert set(script.keys) == {f"Bearer {SECRET}"}


# What doctor asks


def test_check_says_what_answers(serve: Serve) -> None:
    script, endpoint = serve(stream("Hello."), models=("small", "large"))
    assert endpoint.check() == (True, f"{script.url} answers and has small")
    other = Endpoint(script.url, "huge")
    assert "huge is not among the models that it lists (small, large)" in other.check()[1]
    assert "does not list its models" in Endpoint(f"{script.url}/v2", "small").check()[1]
    assert script.asked == []


def test_check_of_what_does_not_answer_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(GenerationError, match="cannot be reached"):
        Endpoint(f"http://127.0.0.1:{port}/v1", "small").check()


def test_weights_of_an_endpoint_are_not_here() -> None:
    with pytest.raises(ConfigError, match="is an endpoint, whose weights are not here"):
        gguf_file("openai:http://localhost:8080/v1#small", NoProgress())


def test_the_pauses_fit_into_the_default_timeout() -> None:
    pauses = sum(module._PAUSE * 2**retry * 1.25 for retry in range(module._RETRIES))
    assert pauses < ExplainSettings().timeout / 2


def test_lines_may_end_as_in_mail_and_the_last_event_without_an_empty_one(serve: Serve) -> None:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        start(handler, 200, "text/event-stream")
        handler.wfile.write(event("Hello.").replace(b"\n", b"\r\n") + b"data: [DONE]")

    _, endpoint = serve(reply)
    assert answer(endpoint) == "Hello."
