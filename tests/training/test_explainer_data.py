"""What the explainer learns from: the training period, answers that verify, and no loss but theirs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from small_explainer import SETTINGS, event_rows, index, noisy, write_tiny_gguf
from small_training import log_of

from llmrec.errors import TrainingError
from llmrec.explain.evidence import Case, gather
from llmrec.explain.grammar import build
from llmrec.explain.languages import LANGUAGES, Language
from llmrec.explain.verifier import Verifier
from llmrec.progress import NoProgress
from llmrec.recommender import Recommender
from llmrec.schema import Evidence, Item
from llmrec.training.explainer.base import Base
from llmrec.training.explainer.cases import draw_events, share_out
from llmrec.training.explainer.examples import Example, Tokens, shared_start
from llmrec.training.explainer.material import Examples, Material, held_out_ids
from llmrec.training.explainer.targets import target
from llmrec.workspace import Workspace
from tests.explain.catalog import BUGS, CASE, TITLES, TOYS
from tests.explain.gbnf import produce
from tests.explain.strategies import cases


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        workspace = Workspace(index(folder / "w", f"file:{write_tiny_gguf(folder / 'tiny.gguf')}"))
        yield workspace
        workspace.close()


@pytest.fixture(scope="module")
def material(opened: Workspace) -> Material:
    return Material(opened, Base.of(opened, NoProgress()), SETTINGS)


def test_a_target_says_what_the_evidence_holds() -> None:
    evidence = gather(CASE)
    said = target(TOYS, evidence, lambda count: 0)
    assert said == (
        'You asked for "funny film with a dinosaur" [1]. You may like "Toy Story" because you liked '
        '"A Bug\'s Life" [2] and "Antz" [3]. Its description says "A cowboy doll is threatened by 3 old '
        'friends" [5]. It has "director: John Lasseter" [6].'
    )
    alone = Case(TOYS, ((BUGS, 0.8),), {})
    assert target(TOYS, gather(alone), lambda count: 1).startswith(
        'Since you liked "A Bug\'s Life" [1], you may enjoy "Toy Story".'
    )
    unknown = Case(TOYS, (), {"popularity": 1.0})
    assert target(TOYS, gather(unknown), lambda count: 0) == (
        '"Toy Story" may suit you. It is popular with other users [1]. '
        "It is listed under Animation and Comedy [2]."
    )


@hypothesis_settings(max_examples=60, deadline=None)
@given(cases(), st.randoms(use_true_random=False), st.sampled_from([*LANGUAGES.values()]))
def test_any_target_is_well_formed_and_of_the_grammar(
    case: Case, chance: random.Random, language: Language
) -> None:
    evidence = gather(case, language)
    said = target(case.item, evidence, chance.randrange, language)
    assert Verifier([]).check(said, case.item, evidence).reasons == ()
    grammar = build(case.item, evidence, language)
    begins = {produce(grammar, lambda count, at=at: min(at, count - 1))[:6] for at in range(2)}
    assert any(said.startswith(begin) for begin in begins)


def test_of_the_grammar() -> None:
    evidence, chance = gather(CASE), random.Random(1)
    grammar = build(TOYS, evidence)
    wanted = {target(TOYS, evidence, lambda count, at=at: at) for at in range(2)}
    found = {produce(grammar, chance.randrange) for _ in range(20_000)}
    assert wanted <= found
    assert all(Verifier(TITLES).check(said, TOYS, evidence).ok for said in wanted)


def test_users_are_held_out_whole() -> None:
    log = log_of((f"u{user:02}", row, row) for user in range(30) for row in range(1 + user % 3))
    users = share_out(log, 200, 0)
    assert len(users.held_out) == 20 // 3, "users with one event have nothing to be explained by"
    assert not set(users.held_out) & set(users.learnt)
    assert all(log.lengths[user] >= 2 for user in (*users.held_out, *users.learnt))
    assert len(share_out(log, 4, 0).held_out) == 4
    events = draw_events(log, users.learnt, 1, np.random.default_rng(0))
    assert len(events) == len(users.learnt)
    assert all(1 <= place < log.lengths[user] for user, place in events)
    long = log_of(("u", row, row) for row in range(25))
    first = [draw_events(long, np.array([0]), 1, np.random.default_rng(seed))[0][1] for seed in range(400)]
    assert 400 / 24 < first.count(1) < 400 / 4, "short histories come often, and not mostly"
    assert len({*draw_events(long, np.array([0]), 50, np.random.default_rng(0))}) == 24


def test_the_last_two_events_are_never_looked_at(material: Material, opened: Workspace) -> None:
    newest = {row["user_id"]: row["item_id"] for row in event_rows()}
    log, ids = material.log, material.catalog.ids
    assert set(log.lengths) == {5}, "of seven events"
    for user in range(len(log.users)):
        assert newest[log.users[user]] not in {ids[row] for row in log.rows[log.span(user)]}
    held = {log.users[user] for user in material.users.held_out}
    assert set(held_out_ids(opened, SETTINGS)) == held
    assert len(held) == 8
    assert len(material.held_out_cases(50)) == 8


def learnt_cases(material: Material) -> list[tuple[tuple[int, int], Case]]:
    """Events with the cases of just before them."""
    rng = np.random.default_rng(0)
    events = draw_events(material.log, material.users.learnt, 4, rng)
    found = [(event, material.past(event, rng)) for event in events]
    return [(event, case) for event, case in found if case is not None]


def kinds(evidence: Sequence[Evidence]) -> tuple[tuple[str, str], ...]:
    return tuple((fact.kind, fact.source) for fact in evidence)


def test_nothing_newer_than_the_event_is_told(material: Material) -> None:
    log, ids = material.log, material.catalog.ids
    found = learnt_cases(material)
    assert len(found) == len(material.users.learnt) * 4
    for (user, place), case in found:
        before = {ids[row] for row in log.rows[log.span(user)][:place]}
        told = {item.item_id for item, _ in case.history}
        assert told <= before
        assert not told or case.item.item_id not in before


def test_cases_are_as_they_come_in_use(material: Material, opened: Workspace) -> None:
    """A model that had never seen what others chose cited the facts after it by wrong numbers."""
    seen = {kinds(gather(case)) for _, case in learnt_cases(material)}
    with Recommender.open(opened.root) as recommender:
        used = [
            kinds(recommender.recommend(material.log.users[user], k=1, explain="evidence")[0].evidence)
            for user in material.users.learnt
        ]
    assert sum(("community", "itemknn") in shape or ("community", "linear") in shape for shape in used) > 20
    assert set(used) <= seen


def test_other_people_are_those_who_are_learnt_from(material: Material) -> None:
    log, ids = material.log, material.catalog.ids
    chosen = {user: {ids[row] for row in log.rows[log.span(user)]} for user in material.users.learnt.tolist()}
    counted = material.past.together("i3", ["i0", "i6", "i1"])
    assert counted == {
        other: sum({"i3", other} <= items for items in chosen.values()) for other in ("i0", "i6", "i1")
    }
    assert counted["i0"] > 3
    assert counted["i1"] == 0


def test_numbers_have_to_be_read(material: Material) -> None:
    """Facts come at every number, or a model would learn the numbers by heart."""
    cases = [case for _, case in learnt_cases(material)]
    told = [sum(fact.kind == "history" for fact in gather(case)) for case in cases]
    assert all(told.count(count) > len(cases) / 20 for count in range(4))
    assert 0 < sum(not case.item.text for case in cases) < len(cases) / 4
    asked = [count for count, case in zip(told, cases, strict=True) if case.query]
    assert 0 < len(asked) < len(cases) / 3
    assert 0 < asked.count(0) < len(asked), "also of people of whom nothing else is known"
    popular = [case for case in cases if case.history and ("community", "popularity") in kinds(gather(case))]
    assert 0 < len(popular) < len(cases) / 4


def test_examples_are_the_same_again_and_end_their_answers(material: Material, tmp_path: Path) -> None:
    examples = material.examples(NoProgress())
    assert examples == material.examples(NoProgress())
    examples.write(tmp_path / "examples.json")
    assert Examples.read(tmp_path / "examples.json") == examples
    assert len(examples.learnt) == 100
    assert len(examples.held_out) == 8
    assert (examples.too_long, examples.refused) == (0, 0)
    tokens = Tokens(material.base.folder)._chat._tokenizer
    said = [tokens.decode(example.answer) for example in examples.learnt]
    assert all(text.endswith(".<|im_end|>") for text in said)
    assert len({text.split()[0] for text in said}) > 2, "with a request, without a history, either opening"
    start = tokens.decode(examples.learnt[0].prompt[: shared_start(examples.learnt)])
    assert start.startswith("<|im_start|>system\nYou explain")
    assert "[3].<|im_end|>\n<|im_start|>user\n<facts>\n[1]" in start


def test_what_is_too_long_is_left_out(opened: Workspace, material: Material) -> None:
    short = SETTINGS.model_copy(update={"max_tokens": 64})
    with pytest.raises(TrainingError, match="gives 0 explanations to learn from, and it takes 100"):
        Material(opened, material.base, short).examples(NoProgress())


def test_prompts_are_what_llama_cpp_reads(material: Material) -> None:
    from llmrec.explain.llama import LlamaCpp

    model = LlamaCpp(material.base.gguf, "test")
    example = Tokens(material.base.folder)("You explain.", "[1] Garden, 2024", "It may suit you [1].")
    counted: list[dict[str, Any]] = []
    messages = [
        {"role": "system", "content": "You explain."},
        {"role": "user", "content": "[1] Garden, 2024"},
    ]
    asked = {"messages": messages, "max_tokens": 1, "temperature": 0}
    model._server.handle_chat_completions(asked, counted.append)
    assert counted[-1]["usage"]["prompt_tokens"] == len(example.prompt)


def example(prompt: list[int], answer: list[int]) -> Example:
    return Example(prompt, answer)


def test_the_shared_start_is_that_of_all() -> None:
    some = [example([1, 2, 3, 4], [9]), example([1, 2, 5], [9]), example([1, 2, 3, 4], [8])]
    assert shared_start(some) == 2
    assert shared_start(some[:1]) == 3, "a prompt keeps a token of its own"
    assert shared_start([example([1], [2]), example([1, 2], [3])]) == 0
    assert shared_start([example([7, 2], [2]), example([1, 2], [3])]) == 0


@pytest.mark.parametrize("shared", [0, 5])
def test_the_loss_is_that_of_each_answer_alone(material: Material, shared: int) -> None:
    import torch

    from llmrec.explain.torch_model import load_causal
    from llmrec.training.explainer.trainer import Collator, answer_loss, answer_tokens
    from llmrec.training.lora import add_adapter
    from llmrec.training.settings import LoraSettings

    model = load_causal(material.base.folder.path, "cpu", torch.float32)
    add_adapter(model, LoraSettings(rank=4, dropout=0.0), 0)
    noisy(model)
    start = [5, 6, 7, 8, 9]
    some = [
        example([*start, 20, 21], [30, 31, 2]),
        example([*start, 22], [32, 33, 34, 35, 2]),
        example([*start, 23, 24, 25, 26], [36, 2]),
    ]

    def gradients() -> list[torch.Tensor]:
        found = [part.grad.clone() for part in model.parameters() if part.grad is not None]
        model.zero_grad()
        return found

    batch = Collator(shared, 0)(some)
    assert answer_tokens(batch) == 10
    together = answer_loss(model, batch)
    together.backward()
    ours = gradients()
    total = 0.0
    for one in some:
        ids = torch.tensor([[*one.prompt, *one.answer]])
        labels = ids.clone()
        labels[:, : len(one.prompt)] = -100
        loss = model(input_ids=ids, labels=labels).loss * len(one.answer)
        loss.backward()
        total += float(loss)
    assert float(together) == pytest.approx(total, rel=1e-5)
    for one, other in zip(ours, gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_an_item_without_a_text_can_be_asked_for(material: Material) -> None:
    from llmrec.training.explainer.cases import _query

    rng = np.random.default_rng(0)
    assert _query(Item("1", "Antz", categories=("War",)), rng) == "war"
    assert _query(Item("1", "Antz", "A doll."), rng) == "something about a doll"
