"""The runner: settings by validation, test read once, failures named."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from small_logs import SIZE, Rule, at_random, busy_log, log_of, popular

from llmrec.errors import ConfigError, EvaluationError
from llmrec.evaluate.metrics import accuracy, places
from llmrec.evaluate.model import Setting
from llmrec.evaluate.run import evaluate
from llmrec.evaluate.split import Case, Split
from llmrec.evaluate.splits import global_time, leave_last_out
from llmrec.progress import ConsoleProgress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log

STAGES = leave_last_out(busy_log())


def test_values_are_those_of_each_user(catalog: Catalog) -> None:
    (result,) = evaluate([Rule("popularity", popular)], STAGES, catalog)
    _, test = STAGES
    assert result.users.tolist() == [case.user for case in test.cases]
    assert (result.answered, result.setting) == (1.0, {})
    for at, case in enumerate(test.cases):
        scores = test.train.counts.astype(np.float32)
        scores[test.history(case)] = -np.inf
        expected = accuracy(places(scores, case.targets))
        assert {name: values[at] for name, values in result.values.items()} == expected
    assert result.cases.tolist() == result.values["ndcg@10"].tolist()
    assert 0 < result.catalog["coverage@10"] < 1


def test_known_items_are_never_recommended(catalog: Catalog) -> None:
    def known_first(log: Log, setting: Setting, seed: int, taste: Taste) -> Scores:
        scores = log.counts.astype(np.float32)
        scores[taste.history] = 1e6
        return scores

    ours, popularity = evaluate(
        [Rule("known first", known_first), Rule("popularity", popular)], STAGES, catalog
    )
    assert ours.values["mrr"].tolist() == popularity.values["mrr"].tolist()
    assert ours.catalog == popularity.catalog


def test_settings_are_chosen_on_validation_and_not_on_test(catalog: Catalog) -> None:
    validation, test = STAGES
    answers = {"validation": validation, "test": test}
    asked: list[tuple[str, str]] = []

    def told(log: Log, setting: Setting, seed: int, taste: Taste) -> Scores:
        stage = "test" if log is test.train else "validation"
        asked.append((stage, str(setting["knows"])))
        scores = np.zeros(log.size, np.float32)
        for case in answers[str(setting["knows"])].cases:
            if np.array_equal(answers[str(setting["knows"])].history(case), taste.history):
                scores[case.targets] = 1
        return scores

    (result,) = evaluate(
        [Rule("oracle", told, ({"knows": "test"}, {"knows": "validation"}))], STAGES, catalog
    )
    assert result.setting == {"knows": "validation"}
    assert result.values["ndcg@10"].mean() < 0.9
    assert {setting for stage, setting in asked if stage == "test"} == {"validation"}
    assert sum(stage == "test" for stage, _ in asked) == len(test.cases)


def test_seeds_are_averaged_and_repeat(catalog: Catalog) -> None:
    model = Rule("random", at_random)
    (both,) = evaluate([model], STAGES, catalog, seeds=(0, 1))
    each = [evaluate([model], STAGES, catalog, seeds=(seed,))[0] for seed in (0, 1)]
    for name, values in both.values.items():
        assert values == pytest.approx((each[0].values[name] + each[1].values[name]) / 2)
    (again,) = evaluate([model], STAGES, catalog, seeds=(0, 1))
    assert all((again.values[name] == values).all() for name, values in both.values.items())


def test_the_order_of_users_and_cases_changes_nothing(catalog: Catalog) -> None:
    stages = global_time(busy_log())
    turned = tuple(replace(split, cases=split.cases[::-1]) for split in stages)
    models = [Rule("popularity", popular), Rule("random", at_random)]
    for ours, theirs in zip(
        evaluate(models, stages, catalog),
        evaluate(models, (turned[0], turned[1]), catalog),
        strict=True,
    ):
        assert ours.users.tolist() == theirs.users.tolist()
        for name, values in ours.values.items():
            assert values == pytest.approx(theirs.values[name], abs=1e-12)
        assert ours.catalog == pytest.approx(dict(theirs.catalog), abs=1e-12)


def test_what_cannot_be_answered_counts_0(catalog: Catalog) -> None:
    def only_long(log: Log, setting: Setting, seed: int, taste: Taste) -> Scores | None:
        return log.counts.astype(np.float32) if len(taste.history) > 5 else None

    (some,) = evaluate([Rule("only long", only_long)], STAGES, catalog)
    (none,) = evaluate([Rule("silent", lambda *_: None)], STAGES, catalog)
    short = np.array([case.known <= 5 for case in STAGES[1].cases])
    assert some.answered == pytest.approx(1 - short.mean())
    assert 0 < some.answered < 1
    assert (some.values["mrr"][short] == 0).all()
    assert none.answered == 0
    assert none.catalog == {}
    assert all(not values.any() for values in none.values.values())


def test_tastes_may_bring_vectors(catalog: Catalog) -> None:
    def taste_of(split: Split, case: Case) -> Taste:
        return replace(split.taste(case), vector=np.full(3, case.known, np.float32))

    def by_vector(log: Log, setting: Setting, seed: int, taste: Taste) -> Scores:
        assert taste.vector is not None
        assert taste.vector[0] == len(taste.history)
        return log.counts.astype(np.float32)

    (result,) = evaluate([Rule("vector", by_vector)], STAGES, catalog, taste_of=taste_of)
    assert result.answered == 1


def fails(*_: object) -> Scores:
    raise IndexError("row 7")


def misconfigured(*_: object) -> Scores:
    raise ConfigError("ease_lambda = 0: too small", "Take a larger one.")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda *_: np.full(SIZE, np.nan, np.float32), "40 of 40 scores are NaN"),
        (lambda *_: np.zeros(3, np.float32), r"shape \(3,\) for 40 items"),
        (fails, "IndexError: row 7"),
        (misconfigured, "ease_lambda = 0"),
    ],
    ids=["nan", "shape", "raises", "refuses"],
)
def test_a_model_that_fails_is_named(catalog: Catalog, rule: Callable[..., Scores], message: str) -> None:
    model = Rule("knn", rule, ({"k": 5}, {"k": 10}))
    with pytest.raises(EvaluationError, match=rf"knn \(k = 5\) on leave-last-out, validation: .*{message}"):
        evaluate([model], STAGES, catalog)


def test_a_log_without_cases_is_refused(catalog: Catalog) -> None:
    stages = leave_last_out(log_of([("a", 1, 1.0), ("b", 2, 2.0)]))
    with pytest.raises(EvaluationError, match="leaves no cases") as refused:
        evaluate([Rule("popularity", popular)], stages, catalog)
    assert "fewer than 3 events" in str(refused.value.hint)


def test_progress_says_what_is_left(catalog: Catalog) -> None:
    out = io.StringIO()
    progress = ConsoleProgress(Console(file=out), interval=0)
    evaluate([Rule("popularity", popular, ({"k": 1}, {"k": 2}))], STAGES, catalog, progress=progress)
    lines = out.getvalue()
    assert "models trained and asked: 1 of 3 models" in lines
    assert "s left" in lines
    assert "popularity on validation" in lines
