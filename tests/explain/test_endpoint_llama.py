"""The endpoint against llama.cpp's own server with a real model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from llmrec.config import ExplainSettings
from llmrec.explain.endpoint import KEY, Endpoint
from llmrec.explain.evidence import Case
from llmrec.explain.explainer import Explainer
from llmrec.explain.generator import GenerationError, Question, gguf_file
from llmrec.explain.verifier import Verifier
from llmrec.progress import NoProgress
from llmrec.prompts import load_prompt
from tests.explain.catalog import ANTZ, BUGS, CASE, TITLES, TOYS

pytestmark = pytest.mark.slow

SECRET = "a-key-of-this-test"


@pytest.fixture(scope="module")
def url(shared_home: Path) -> Iterator[str]:
    """The base URL of a server in this process that asks for a key."""
    from xllamacpp import CommonParams, Server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(shared_home))
        path = gguf_file("smollm2-135m-instruct", NoProgress())
    params = CommonParams()
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [SECRET]
    params.ui = False
    params.verbosity = -1
    params.model.path = str(path)
    params.n_ctx = 2048
    params.n_batch = params.n_ubatch = 256
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def endpoint(url: str, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    monkeypatch.setenv(KEY, SECRET)
    return Endpoint.named(f"openai:{url}#anything", batch_size=2)


def explainer(endpoint: Endpoint, **settings: object) -> Explainer:
    kept = ExplainSettings.model_validate({"timeout": 550, "max_tokens": 120, **settings})
    return Explainer(endpoint, Verifier(TITLES), load_prompt("explain"), kept)


def test_its_grammar_holds_and_the_explanations_are_verified(endpoint: Endpoint) -> None:
    likes = ((BUGS, 0.9), (ANTZ, 0.5))
    cases = [CASE, Case(TOYS, likes, {}), Case(BUGS, likes[1:], {})]
    explanations = [*explainer(endpoint).explain_each(cases)]
    assert [entry.source for entry in explanations] == ["model"] * 3
    assert all(entry.verified for entry in explanations)
    titles = [f'"{case.item.title}"' in entry.text for case, entry in zip(cases, explanations, strict=True)]
    assert titles == [True] * 3, "they are in order"


def test_its_answer_is_told_as_it_comes(endpoint: Endpoint) -> None:
    told: list[str] = []
    explanation = explainer(endpoint).explain(CASE, told.append)
    assert len(told) > 5
    assert told[-1] == explanation.text
    assert all(after.startswith(before) for before, after in pairwise(told))


def test_it_takes_the_schema(endpoint: Endpoint) -> None:
    question = Question(
        "Say why.", 'Facts: [1] You liked "Antz" [2] Comedy. Why "Toy Story"?', 200, None, (1, 2)
    )
    (text,) = endpoint.generate_all([question], timeout=300)
    # So small a model does not always come to an end of its JSON.
    if isinstance(text, GenerationError):
        assert "not JSON of the schema" in text.message
    else:
        assert "[1]" in text or "[2]" in text
    assert "response_format" not in endpoint._without


def test_its_own_words_are_verified_or_replaced(endpoint: Endpoint) -> None:
    explanation = explainer(endpoint, constraint="none").explain(replace(CASE, query=""))
    assert explanation.verified


def test_it_refuses_another_key(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "another")
    with pytest.raises(GenerationError, match="answered 401"):
        Endpoint.named(f"openai:{url}#anything").generate("Be brief.", "Hello", max_tokens=4, timeout=60)


def test_it_lists_its_model(endpoint: Endpoint) -> None:
    assert "anything is not among the models that it lists" in endpoint.check(60)[1]
