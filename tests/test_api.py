"""The verbs for Python, the plots, and the demo's bazaar that the notebooks are made of."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from shop import make_workspace, write_shop

from llmrec import Recommender, api
from llmrec.config import FORMAT
from llmrec.demo import make_bazaar
from llmrec.errors import ConfigError, PromptError, RequestError, WorkspaceError
from llmrec.plotting import contribution_bars, embedding_map, metric_intervals
from llmrec.schema import Recommendation

SPANS = {"a": {"mean": 0.1, "low": -0.1, "high": 0.2}, "b": {"mean": 0.2, "low": 0.1, "high": 0.3}}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The test shop, indexed by the API."""
    sources = write_shop(tmp_path / "data")
    make_workspace(tmp_path / "w").close()
    report = api.index(sources.catalog, *sources.interactions, workspace=tmp_path / "w")
    assert (report.items, report.events) == (12, 27)
    return tmp_path / "w"


def test_a_workspace_is_made_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(Exception, match=r"items\.jsonl"):
        api.index(tmp_path / "items.jsonl", workspace=tmp_path / "new")
    assert f"format = {FORMAT}" in (tmp_path / "new" / "llmrec.toml").read_text("utf-8")
    with pytest.raises(WorkspaceError, match="no workspace here"):
        api.evaluate(tmp_path / "nowhere")


def test_vectors_are_those_of_the_items(workspace: Path) -> None:
    with Recommender.open(workspace) as recommender:
        ids, vectors = api.vectors(recommender)
        assert vectors.shape == (12, 32)
        assert ids == recommender.catalog.ids
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        same, text = api.vectors(recommender, "text")
        assert same == ids
        np.testing.assert_array_equal(text, vectors)
        none, empty = api.vectors(recommender, "sound")
        assert (none, empty.shape) == ([], (0, 32))


def test_prompts(workspace: Path) -> None:
    copy = api.copy_prompt(str(workspace), "item")
    assert copy.path == workspace / "prompts" / "item@2.j2"
    with pytest.raises(PromptError, match="the same text"):
        api.compare_prompts(workspace, "item@1", "item@2")
    copy.path.write_text(copy.path.read_text("utf-8").replace("{{ title }}", "no title"), "utf-8")
    found = api.compare_prompts(workspace, "item@1", "item@2", users=4)
    assert found["users"] == 4
    assert api.prompt_results(workspace) == [found]


def test_mistakes_are_errors_of_llmrec(workspace: Path) -> None:
    with pytest.raises(ConfigError, match="settings of the run: stepz: Extra inputs"):
        api.finetune(workspace, {"stepz": 1})
    with pytest.raises(RequestError, match="no baseline 'best'"):
        api.evaluate(_bazaar_workspace(workspace.parent / "bazaar"), baselines=["best"])
    assert [row["adapter"] for row in api.compare_adapters(workspace).to_json()["rows"]] == [None]
    assert api.use_adapter(workspace, None).adapter is None


def _bazaar_workspace(folder: Path) -> Path:
    bazaar = make_bazaar(folder)
    make_workspace(folder / "w").close()
    settings = folder / "w" / "llmrec.toml"
    quick = '[rank]\nfusion = "weighted"\nweights.sequence = 0\n'
    settings.write_text(settings.read_text("utf-8") + quick, encoding="utf-8")
    assert api.index(bazaar.items, bazaar.log, workspace=folder / "w").flags == []
    return folder / "w"


def test_the_bazaar_is_the_same_each_time_and_has_taste(tmp_path: Path) -> None:
    one, two = make_bazaar(tmp_path / "a"), make_bazaar(str(tmp_path / "b"))
    assert one.items.read_bytes() == two.items.read_bytes()
    assert one.log.read_bytes() == two.log.read_bytes()
    items = {row["item_id"]: row for row in map(json.loads, one.items.read_text("utf-8").splitlines())}
    events = list(csv.DictReader(one.log.read_text(encoding="utf-8").splitlines()))
    assert (len(items), len(events)) == (128, 2800)
    assert {row["item_id"] for row in events} <= items.keys()
    shares = []
    for user in {row["user_id"] for row in events}:
        materials = [items[row["item_id"]]["material"] for row in events if row["user_id"] == user]
        shares.append(max(map(materials.count, materials)) / len(materials))
    assert np.mean(shares) > 0.45, "most of what someone takes is of one material of six"


def test_bars_add_up_to_the_score() -> None:
    entries = [
        Recommendation("1", "One", 0.5, {"a": 1.0, "b": -0.75, "c": 0.25}),
        Recommendation("2", "", 0.25, {"a": 0.5, "b": -0.25}),
    ]
    figure = contribution_bars(entries)
    (axes,) = figure.axes
    widths = np.array([[bar.get_width() for bar in channel] for channel in axes.containers])
    np.testing.assert_allclose(widths.sum(axis=0), [0.5, 0.25])
    ends = [bar.get_x() + bar.get_width() for channel in axes.containers for bar in channel]
    assert (min(ends), max(ends)) == (-0.75, 1.25)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["One", "2"]


def test_the_map_keeps_groups_together() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 16))
    vectors = np.repeat(centres, 15, axis=0) + 0.1 * rng.standard_normal((45, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    groups = [f"g{at // 15}" for at in range(45)]
    (axes,) = embedding_map(vectors, groups, ["x"] * 45).axes
    places = [np.asarray(points.get_offsets()) for points in axes.collections]
    middles = np.array([place.mean(axis=0) for place in places])
    for number, place in enumerate(places):
        nearest = np.linalg.norm(place[:, None] - middles, axis=2).argmin(axis=1)
        assert (nearest == number).all()
    again = embedding_map(vectors, groups).axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(again, places[0])
    assert len(axes.texts) == 45
    with pytest.raises(ValueError, match="2 vectors with 2 groups"):
        embedding_map(vectors[:2], groups[:2])
    with pytest.raises(ValueError, match="1 labels"):
        embedding_map(vectors, groups, ["one"])


def test_intervals_are_drawn_as_they_are() -> None:
    (axes,) = metric_intervals(SPANS, "gain").axes
    drawn = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert {(-0.1, 0.2), (0.1, 0.3)} <= set(drawn)
    assert axes.get_xlabel() == "gain"
    (above,) = metric_intervals({"b": SPANS["b"]}, "gain").axes
    assert above.get_xlim()[0] == 0


def test_a_figure_is_not_shown_twice() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    metric_intervals(SPANS, "gain")
    assert pyplot.get_fignums() == before
