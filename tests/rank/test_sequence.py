"""The transformer of the channel ``sequence``: what answers is what was trained, and it learns an order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from catalogs import log_of, unit_vectors, write
from numpy.typing import NDArray

from llmrec.config import RankSettings
from llmrec.errors import TrainingError
from llmrec.progress import NoProgress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores, Taste
from llmrec.rank.log import Log
from llmrec.rank.sequence import Sequence
from llmrec.rank.sequence.forward import LENGTH, SCALE, last_state
from llmrec.rank.sequence.network import WIDTH, Network
from llmrec.rank.sequence.training import train
from llmrec.schema import Item
from llmrec.store.items import ItemStore

ITEMS = 14
"""Users go round the first twelve. Nobody chose 12, whose vector is that of 5, nor 13."""
AROUND, TWIN = 12, 5
SETTINGS = RankSettings(sequence_epochs=2)
EVERYTHING = np.arange(ITEMS)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are so small that more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return catalog_in(tmp_path_factory.mktemp("sequence"), item_vectors())


def catalog_in(folder: Path, vectors: NDArray[np.float32]) -> Catalog:
    items = [Item(f"i{row}", f"Film {row}") for row in range(len(vectors))]
    return Catalog(write(ItemStore(str(folder)), None, items, vectors=vectors), 10_000)


def item_vectors() -> NDArray[np.float32]:
    vectors = unit_vectors(ITEMS)
    vectors[AROUND] = vectors[TWIN]
    return vectors


def round_log(catalog: Catalog, users: int = 40) -> Log:
    """Item i is followed by item i + 1; users begin anywhere."""
    return log_of(
        (
            (f"u{user:02}", f"i{(user + step) % AROUND}", float(step))
            for user in range(users)
            for step in range(3 + user % 7)
        ),
        catalog,
    )


def taste(*history: int) -> Taste:
    return Taste(np.array(history, np.intp))


def scores_of(channel: Sequence, *history: int) -> Scores:
    scores = channel.score(taste(*history), EVERYTHING)
    assert scores is not None
    return scores


@pytest.fixture(scope="module")
def channel(catalog: Catalog) -> Sequence:
    return Sequence.fit(catalog, round_log(catalog), SETTINGS)


@pytest.fixture(scope="module")
def network() -> Network:
    """Random in every weight, also in those that begin as 0 or 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = Network(ITEMS, 8)
        for weights in made.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    return made.eval()


def weights_of(network: Network) -> dict[str, NDArray[np.float32]]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("length", [1, 2, 3, 10, 49, 50])
def test_numpy_gives_the_states_of_torch(length: int, network: Network) -> None:
    items = np.random.default_rng(length).standard_normal((length, WIDTH)).astype(np.float32)
    padded = np.zeros((1, LENGTH, WIDTH), np.float32)
    padded[0, LENGTH - length :] = items
    present = torch.arange(LENGTH)[None] >= LENGTH - length
    with torch.inference_mode():
        alone = network(torch.from_numpy(items[None]), torch.ones(1, length, dtype=torch.bool))[0, -1]
        among = network(torch.from_numpy(padded), present)[0, -1]
    state = last_state(weights_of(network), items)
    assert (state.shape, state.dtype) == ((WIDTH,), np.float32)
    np.testing.assert_allclose(state, alone.numpy(), atol=1e-4)
    np.testing.assert_allclose(state, among.numpy(), atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 12, 50, 60])
def test_scores_are_the_logits_of_torch(length: int, network: Network, catalog: Catalog) -> None:
    """Of the newest fifty items, when the history is longer."""
    history = np.random.default_rng(length).integers(0, ITEMS, length)
    channel = Sequence(catalog, EVERYTHING, weights_of(network))
    with torch.inference_mode():
        table = network.content(torch.from_numpy(catalog.vectors(EVERYTHING))) + network.own
        items = table[torch.from_numpy(history[:LENGTH][::-1].copy())] * float(SCALE)
        state = network(items[None], torch.ones(1, len(items), dtype=torch.bool))[0, -1]
        logits = table @ state + network.bias
    np.testing.assert_allclose(scores_of(channel, *history), logits.numpy(), atol=1e-4)


def test_the_same_seed_gives_the_same_weights(catalog: Catalog) -> None:
    rows = np.arange(AROUND)
    log, vectors = round_log(catalog).over(rows), catalog.vectors(rows)
    before = torch.random.get_rng_state()
    one, same, other = (train(log, vectors, 2, seed, NoProgress()) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random numbers stay"
    assert one.keys() == same.keys() == other.keys()
    for name, weights in one.items():
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(weights, same[name])
    assert not np.allclose(one["own"], other["own"])
    assert not np.allclose(one["content.weight"], other["content.weight"])


def test_training_goes_on_with_the_epochs(catalog: Catalog) -> None:
    rows = np.arange(AROUND)
    log, vectors = round_log(catalog).over(rows), catalog.vectors(rows)
    one, two = (train(log, vectors, epochs, 3, NoProgress()) for epochs in (1, 2))
    assert not np.array_equal(one["own"], two["own"])


def test_items_that_training_never_saw_are_scored_from_their_vectors(channel: Sequence) -> None:
    assert channel.places.rows.tolist() == list(range(AROUND))
    scores = scores_of(channel, 3, 2)
    state = channel._state(taste(3, 2))
    assert state is not None
    own = channel.weights["own"] @ state + channel.weights["bias"]
    assert scores[AROUND] == pytest.approx(scores[TWIN] - own[TWIN], abs=1e-4)
    vector = channel.catalog.vectors(np.array([13]))[0]
    assert scores[13] == pytest.approx((channel.weights["content.weight"] @ vector) @ state, abs=1e-4)


def test_items_that_training_never_saw_are_read_in_a_history(channel: Sequence) -> None:
    alone, before = scores_of(channel, 3), scores_of(channel, 3, 13)
    assert np.isfinite(before).all()
    assert not np.allclose(alone, before)
    assert np.isfinite(scores_of(channel, 13)).all()


def test_the_order_of_a_history_matters(channel: Sequence) -> None:
    assert not np.allclose(scores_of(channel, 3, 2), scores_of(channel, 2, 3), atol=1e-6)


def test_influence_is_what_leaving_an_item_out_takes_from_the_score(channel: Sequence) -> None:
    influence = channel.influence(taste(3, 2, 13), 4)
    assert influence is not None
    full = scores_of(channel, 3, 2, 13)[4]
    rest = [scores_of(channel, *left)[4] for left in ((2, 13), (3, 13), (3, 2))]
    np.testing.assert_allclose(influence, full - np.array(rest), atol=1e-5)


def test_an_only_item_has_all_the_influence(channel: Sequence) -> None:
    np.testing.assert_allclose(channel.influence(taste(3), 4), scores_of(channel, 3)[[4]], atol=1e-6)


def test_the_state_brings_the_channel_back(channel: Sequence, catalog: Catalog) -> None:
    state = {name: np.array(array, copy=True) for name, array in channel.state().items()}
    restored = Sequence.restore(catalog, state, SETTINGS)
    np.testing.assert_array_equal(scores_of(restored, 3, 13, 2), scores_of(channel, 3, 13, 2))
    np.testing.assert_array_equal(restored.propose(taste(3), 5), channel.propose(taste(3), 5))
    assert restored.state().keys() == state.keys()


def test_vectors_that_are_not_numbers_stop_the_training(tmp_path: Path) -> None:
    vectors = item_vectors()
    vectors[4] = np.nan
    catalog = catalog_in(tmp_path, vectors)
    with pytest.raises(TrainingError, match="channel sequence: the loss became nan in epoch 1"):
        Sequence.fit(catalog, round_log(catalog), SETTINGS)


@pytest.mark.parametrize(("users", "trained"), [(0, False), (9, False), (10, True)])
def test_an_order_is_learnt_from_ten_users_with_two_events(
    users: int, trained: bool, catalog: Catalog
) -> None:
    pairs = [(f"u{user}", f"i{user + step}", float(step)) for user in range(users) for step in range(2)]
    pairs += [(f"once{user}", "i0", 0.0) for user in range(20)]
    fitted = Sequence.fit(catalog, log_of(pairs, catalog), SETTINGS)
    for channel in (fitted, Sequence.restore(catalog, fitted.state(), SETTINGS)):
        assert (channel.score(taste(3, 2), EVERYTHING) is not None) == trained
        assert (channel.influence(taste(3, 2), 4) is not None) == trained
        assert bool(len(channel.propose(taste(3, 2), 5))) == trained


def test_without_a_history_it_says_nothing(channel: Sequence) -> None:
    assert channel.score(Taste(), EVERYTHING) is None
    assert channel.influence(Taste(), 4) is None
    assert channel.propose(Taste(), 5).tolist() == []


@pytest.mark.slow
def test_an_order_is_learnt(catalog: Catalog) -> None:
    """Every step sees the whole log here, and the average of the weights needs some hundreds of steps."""
    channel = Sequence.fit(catalog, round_log(catalog), RankSettings(sequence_epochs=150))
    for last in range(AROUND):
        scores = scores_of(channel, *((last - back) % AROUND for back in range(3)))
        following = (last + 1) % AROUND
        assert (scores[:AROUND] > scores[following]).sum() < 3
        if following == TWIN:
            assert (scores > scores[AROUND]).sum() < 3, "its twin leads too"
