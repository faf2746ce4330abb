"""What every baseline must do, and what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from small_logs import SIZE, busy_log, history_of, log_of

from llmrec.evaluate.baselines import BASELINES
from llmrec.evaluate.baselines.sasrec import SasRec
from llmrec.evaluate.model import Fitted, Setting
from llmrec.progress import NoProgress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log

QUICK: dict[str, Setting] = {
    "ials": {"iterations": 3},
    "bpr": {"iterations": 3, "factors": 8},
    "sasrec": {"epochs": 1},
}
WITHOUT_EVENTS = {"popularity", "text"}
"""Those that score an item without events from what else they know of it."""


def everything_log() -> Log:
    """The busy log, and a user who chose every item."""
    busy = busy_log(20)
    events = [
        (user, row, float(time)) for user in busy.users for time, row in enumerate(history_of(busy, user))
    ]
    return log_of(events + [("all", row, float(row)) for row in range(SIZE)])


LOGS: dict[str, Callable[[], Log]] = {
    "busy": lambda: busy_log(25),
    "one event for each user": lambda: log_of((f"u{user:02}", user % 30, float(user)) for user in range(25)),
    "all at one time": lambda: log_of(
        (f"u{user:02}", (user + 3 * n) % 35, 7.0) for user in range(25) for n in range(4)
    ),
    "a user with all items": everything_log,
    "one user": lambda: log_of(("u", row, float(row)) for row in range(8)),
    "one event": lambda: log_of([("u", 3, 1.0)]),
}


def taste(*history: int) -> Taste:
    """The items, newest first."""
    return Taste(np.array(history, np.intp), np.arange(len(history), 0, -1, dtype=np.float64))


def fit(name: str, catalog: Catalog, log: Log, seed: int = 0, **setting: float) -> Fitted:
    """Trained with the first setting of its grid, but for ``setting``."""
    model = BASELINES[name]
    return model.fit(catalog, log, {**model.grid[0], **setting}, seed, NoProgress())


def quick(name: str, catalog: Catalog, log: Log, seed: int = 0) -> Fitted:
    """Trained with few iterations."""
    return fit(name, catalog, log, seed, **QUICK.get(name, {}))  # type: ignore[arg-type]


def scores_of(fitted: Fitted, *history: int) -> Scores:
    scores = fitted.score(taste(*history))
    assert scores is not None
    return scores


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are so small that more threads only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=BASELINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_registry_has_them_in_the_order_of_the_report() -> None:
    assert list(BASELINES) == ["popularity", "itemknn", "ease", "ials", "bpr", "sasrec", "text"]
    for name, model in BASELINES.items():
        assert model.name == name
        assert len(model.grid) == len({tuple(sorted(setting.items())) for setting in model.grid}) > 0


@pytest.mark.parametrize("which", LOGS)
def test_every_item_has_a_finite_score(name: str, which: str, catalog: Catalog) -> None:
    log = LOGS[which]()
    fitted = quick(name, catalog, log)
    for user in (log.users[0], log.users[-1]):
        history = history_of(log, user)[::-1]
        scores = scores_of(fitted, *history)
        assert (scores.shape, scores.dtype) == ((SIZE,), np.float32)
        assert np.isfinite(scores).all()


def test_the_same_seed_gives_the_same_scores(name: str, catalog: Catalog) -> None:
    log = busy_log(25)
    one, other = (quick(name, catalog, log, seed=4) for _ in range(2))
    for user in log.users[:3]:
        history = history_of(log, user)
        np.testing.assert_array_equal(scores_of(one, *history), scores_of(other, *history))


@pytest.mark.parametrize("which", ["ials", "bpr", "sasrec"])
def test_another_seed_gives_other_scores(which: str, catalog: Catalog) -> None:
    log = busy_log(25)
    one, other = (scores_of(quick(which, catalog, log, seed), 1, 2) for seed in (4, 5))
    assert not np.array_equal(one, other)


def test_without_a_history_only_popularity_answers(name: str, catalog: Catalog) -> None:
    scores = quick(name, catalog, busy_log(25)).score(Taste())
    assert (scores is not None) == (name == "popularity")


def test_a_history_of_items_nobody_chose(name: str, catalog: Catalog) -> None:
    log = busy_log(25)
    assert not log.counts[-5:].any()
    scores = quick(name, catalog, log).score(taste(SIZE - 1, SIZE - 3))
    assert (scores is not None) == (name in WITHOUT_EVENTS)


def test_items_nobody_chose_do_not_change_a_history(name: str, catalog: Catalog) -> None:
    if name == "text":
        return
    fitted = quick(name, catalog, busy_log(25))
    np.testing.assert_array_equal(scores_of(fitted, SIZE - 1, 3, SIZE - 2, 8), scores_of(fitted, 3, 8))


def test_a_log_without_events(name: str, catalog: Catalog) -> None:
    scores = quick(name, catalog, log_of([])).score(taste(1, 2))
    assert (scores is not None) == (name in WITHOUT_EVENTS)


def test_popularity_counts_users(catalog: Catalog) -> None:
    log = log_of([("u", 3, 1.0), ("u", 3, 2.0), ("v", 3, 1.0), ("v", 4, 1.0)])
    assert scores_of(fit("popularity", catalog, log), 9)[[3, 4, 5]].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("which", "setting"),
    [
        ("itemknn", {}),
        ("ease", {"regularisation": 500}),
        ("ials", {"factors": 2, "alpha": 1}),
        ("bpr", {"factors": 8}),
    ],
)
def test_items_of_the_own_group_lead(which: str, setting: dict[str, float], catalog: Catalog) -> None:
    """Half of the users choose among rows 0 to 9, half among 10 to 19."""
    rng = np.random.default_rng(2)
    log = log_of(
        (f"u{user:02}", int(row) + 10 * (user % 2), float(10 * user + at))
        for user in range(30)
        for at, row in enumerate(rng.permutation(10)[:6])
    )
    fitted = fit(which, catalog, log, **setting)
    for group in (0, 1):
        history = [10 * group + row for row in (1, 4, 7)]
        scores = scores_of(fitted, *history)
        own = np.setdiff1d(np.arange(10) + 10 * group, history)
        assert scores[own].min() > scores[np.arange(10) + 10 * (1 - group)].max()


def binary(log: Log) -> NDArray[np.float64]:
    """Users by items, 1 where a user chose the item."""
    matrix = np.zeros((len(log.users), log.size))
    matrix[log.at_user, log.rows] = 1
    return matrix


def test_itemknn_is_the_cosine(catalog: Catalog) -> None:
    log, history = busy_log(25), [0, 3, 17]
    matrix = binary(log)
    lengths = np.maximum(np.linalg.norm(matrix, axis=0), 1)
    cosine = matrix.T @ matrix / np.outer(lengths, lengths)
    np.fill_diagonal(cosine, 0)
    plain = {"k": SIZE, "session": 0, "from": 0.5, "to": 0.5, "decay": 0, "shrink": 0}
    known = [row for row in history if log.counts[row]]
    assert len(known) > 1
    scores = scores_of(fit("itemknn", catalog, log, **plain), *history)
    np.testing.assert_allclose(scores, cosine[known].sum(axis=0), atol=1e-5)


def test_itemknn_with_all_its_refinements(catalog: Catalog) -> None:
    log, history = busy_log(25), [0, 3, 12]
    setting = {"k": 4, "session": 3, "from": 0.3, "to": 0.2, "decay": 2.0, "shrink": 1.5}
    together, counts = np.zeros((SIZE, SIZE)), np.zeros(SIZE)
    for user in log.users:
        rows = history_of(log, user)
        for end in range(len(rows), 0, -3):  # sessions are cut from the newest event
            session = rows[max(0, end - 3) : end]
            counts[session] += 1
            for row in session:
                together[row, [other for other in session if other != row]] += 1
    counts = np.maximum(counts, 1)
    similar = together / (np.outer(counts**0.3, counts**0.2) + 1.5)
    for row in similar:
        row[np.argsort(-row, kind="stable")[4:]] = 0
    known = [row for row in history if log.counts[row]]
    expected = sum(np.exp(-age / 2.0) * similar[row] for age, row in enumerate(known))
    scores = scores_of(fit("itemknn", catalog, log, **setting), *history)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_ease_is_the_closed_form(catalog: Catalog) -> None:
    """B of Steck (2019), equation 8; the channel inverts the users' side here."""
    log, history = busy_log(25), [0, 3, 17]
    matrix = binary(log)
    inverse = np.linalg.inv(matrix.T @ matrix + 10 * np.eye(SIZE))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = scores_of(fit("ease", catalog, log, regularisation=10), *history)
    np.testing.assert_allclose(scores, weights[history].sum(axis=0), atol=1e-4)


@pytest.mark.parametrize("newest", [1, 2, 20])
def test_text_is_the_cosine_to_the_mean_of_the_newest(newest: int, catalog: Catalog) -> None:
    vectors, history = catalog.vectors(np.arange(SIZE)), [4, 38, 11]
    mean = np.mean([vectors[row] for row in history[:newest]], axis=0)
    expected = [vector @ mean / (np.linalg.norm(vector) * np.linalg.norm(mean)) for vector in vectors]
    scores = scores_of(fit("text", catalog, busy_log(25), newest=newest), *history)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_sasrec_learns_an_order(catalog: Catalog) -> None:
    """Every user goes round the same twelve items, from an item of their own."""
    log = log_of(
        (f"u{user:02}", (user + step) % 12, float(step)) for user in range(30) for step in range(4 + user % 5)
    )
    fitted = SasRec().fit(
        catalog, log, {**SasRec.grid[0], "epochs": 25, "patience": 25, "learning_rate": 0.01}, 0, NoProgress()
    )
    for last in range(12):
        history = [(last - back) % 12 for back in range(3)]
        assert scores_of(fitted, *history).argmax() == (last + 1) % 12
