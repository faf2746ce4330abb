"""The recommender as a model of the evaluation: what its variants leave out, and what its weights say."""

from __future__ import annotations

import numpy as np
import pytest
from catalogs import log_of, unit_vectors, write

from llmrec.config import RankSettings
from llmrec.evaluate.fusion import Fusion, fusion_models, weights
from llmrec.evaluate.splits import cold_items, leave_last_out
from llmrec.progress import NoProgress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.log import Log
from llmrec.rank.school import School
from llmrec.schema import Item
from llmrec.store.items import ItemStore

pytestmark = pytest.mark.slow

SIZE, USERS = 40, 60
SETTINGS = RankSettings(sequence_epochs=1)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Items with text and, every second one, a picture."""
    texts, pictures = unit_vectors(SIZE), unit_vectors(SIZE, seed=1)
    fields = [
        {"text": texts[at], "picture": pictures[at]} if at % 2 else {"text": texts[at]} for at in range(SIZE)
    ]
    items = [Item(f"i{at}", f"Film {at}") for at in range(SIZE)]
    whole = unit_vectors(SIZE, seed=2)
    store = ItemStore(str(tmp_path_factory.mktemp("items")))
    return Catalog(write(store, None, items, vectors=whole, by_modality=fields), 1000)


@pytest.fixture(scope="module")
def log(catalog: Catalog) -> Log:
    rng = np.random.default_rng(0)
    return log_of(
        (
            (f"u{user:02}", f"i{item}", float(20 * user + at))
            for user in range(USERS)
            for at, item in enumerate(rng.permutation(SIZE)[:10])
        ),
        catalog,
    )


def vectors(users: object) -> Scores:
    return unit_vectors(len(users), seed=5)  # type: ignore[arg-type]


def test_a_catalog_without_a_modality_knows_only_the_other(catalog: Catalog) -> None:
    rows = np.arange(SIZE)
    (texts, _), (pictures, pictured) = catalog.field("text"), catalog.field("picture")
    np.testing.assert_allclose(catalog.without("picture").vectors(rows), texts, atol=1e-6)
    blind = catalog.without("text")
    np.testing.assert_allclose(blind.vectors(rows)[pictured], pictures[pictured], atol=1e-6)
    assert not blind.vectors(rows)[~pictured].any()
    assert not blind.field("text")[1].any()
    np.testing.assert_array_equal(blind.field("picture")[1], pictured)
    np.testing.assert_allclose(catalog.without("sound").vectors(rows)[0], texts[0], atol=1e-6)
    assert np.abs(catalog.vectors(rows) - texts).max() > 0.1, "the catalog itself stays as it is"


def test_what_is_removed(catalog: Catalog) -> None:
    compared, removed = fusion_models(SETTINGS, vectors, catalog, 1)
    assert [model.name for model in compared] == ["fusion", "fusion, early", "fusion, late"]
    names = [model.name for model in removed]
    assert "without fields.picture" in names
    assert "without fields.sound" not in names, "no item has any"
    assert names[-2:] == ["without all text", "without all pictures"]


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("fusion, early", {"fields.text", "fields.picture", "fields.sound"}),
        ("fusion, late", {"semantic"}),
        ("without linear", {"linear"}),
        ("without all text", {"semantic", "fields.text"}),
        ("without all pictures", {"fields.picture"}),
    ],
)
def test_a_variant_weighs_all_other_channels(catalog: Catalog, log: Log, name: str, gone: set[str]) -> None:
    models = {model.name: model for group in fusion_models(SETTINGS, vectors, catalog, 1) for model in group}
    train = leave_last_out(log)[1].train
    ranker = models[name].fit(catalog, train, {}, 0, NoProgress())
    assert ranker.fusion is not None
    assert set(ranker.fusion.channels) == set(SETTINGS.channels) - gone
    again = models[name].fit(catalog, train, {}, 0, NoProgress())
    assert again.fusion is ranker.fusion, "it is trained once"
    assert again.panel.channels == ranker.panel.channels
    if name == "without all text":
        assert not ranker.catalog.field("text")[1].any()


def test_weights_are_means_over_the_choices_by_circumstance(catalog: Catalog, log: Log) -> None:
    split = leave_last_out(log)[1]
    fusion = Fusion("fusion", SETTINGS, School(vectors))
    ranker = fusion.fit(catalog, split.train, {}, 0, NoProgress())
    found = weights(ranker, split)
    assert list(found)[:2] == ["all", "history of 5–9"]
    assert any(name.startswith("item: ") for name in found)
    assert set(found["all"]) == set(SETTINGS.channels) - {"fields.sound"}, "no item has sound"
    scorer = ranker.fusion
    assert scorer is not None
    by_case = [
        scorer.weights(**ranker.panel.gate(split.taste(case), case.targets))["linear"][0]
        for case in split.cases
    ]
    assert found["all"]["linear"] == pytest.approx(np.mean(by_case), rel=1e-5)
    assert found["all"] == pytest.approx(found["history of 5–9"]), "all histories are of nine events"
    weighted = ranker.__class__(ranker.panel, None)
    assert weights(weighted, split) == {}


def test_withheld_items_count_as_new(catalog: Catalog, log: Log) -> None:
    for split in cold_items(log):
        np.testing.assert_array_equal(split.train.new, split.cold)
        ranker = Fusion("fusion", SETTINGS, School(vectors)).fit(catalog, split.train, {}, 0, NoProgress())
        taste = split.taste(split.cases[0])
        scores = ranker.score(taste)
        assert scores is not None
        shown = np.setdiff1d(np.arange(SIZE), taste.history)
        best = shown[np.argsort(-scores[shown])][:8]
        assert 2 <= np.isin(best, split.cold).sum() <= 3, "a third of the places"
