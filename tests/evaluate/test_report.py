"""The report: its contract, its three files, all or none of them."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from small_logs import Rule, at_random, busy_log, log_of, popular

from llmrec.errors import EvaluationError
from llmrec.evaluate import render
from llmrec.evaluate.buckets import by_history, by_item_age
from llmrec.evaluate.leakage import Leak
from llmrec.evaluate.model import Model
from llmrec.evaluate.render import html, markdown, write_report
from llmrec.evaluate.report import Document, Report
from llmrec.evaluate.run import evaluate
from llmrec.evaluate.splits import SPLITS, leave_last_out
from llmrec.evaluate.statistics import difference, interval
from llmrec.rank.catalog import Catalog

LOG = busy_log(60)
STAGES = leave_last_out(LOG)
NASTY = "<script>alert(1)</script>|$x_y$"


def report_of(catalog: Catalog, models: list[Model]) -> Report:
    results = evaluate(models, STAGES, catalog, seeds=(0, 1))
    ablations = evaluate([Rule("without semantic", at_random)], STAGES, catalog)
    leaks = [Leak("test", "targets are trained on", 2, "user '<u1>', row 3")]
    encoder = {"name": "words", "fingerprint": "ab12"}
    weights = {"all": {"linear": 1.0, "semantic": -0.5}}
    return Report(LOG, STAGES, results, leaks, (0, 1), encoder, ablations, weights)


@pytest.fixture(scope="module")
def report(catalog: Catalog) -> Report:
    return report_of(
        catalog, [Rule("fusion", popular), Rule(NASTY, at_random), Rule("noise", lambda *_: None)]
    )


@pytest.fixture(scope="module")
def document(report: Report) -> Document:
    return report.to_json()


def test_the_document_keeps_the_contract(report: Report, document: Document) -> None:
    document = json.loads(json.dumps(document, allow_nan=False))
    assert [entry["model"] for entry in document["models"]] == ["fusion", NASTY, "noise"]
    fusion, other, silent = document["models"]
    values = report.results[0].values
    assert set(fusion["metrics"]) == set(values)
    of = interval(values["ndcg@10"])
    assert fusion["metrics"]["ndcg@10"] == pytest.approx({"mean": of.mean, "low": of.low, "high": of.high})
    assert set(fusion["lists"]) >= {"coverage@10", "novelty@10", "popularity@20"}
    assert (silent["answered"], silent["lists"]) == (0, {})
    gained = difference(values["ndcg@10"], report.results[1].values["ndcg@10"])
    assert fusion["difference"]["to"] == NASTY
    assert fusion["difference"]["ndcg@10"]["p"] == gained.p
    assert fusion["difference"]["ndcg@10"]["ratio"] == pytest.approx(
        of.mean / report.results[1].values["ndcg@10"].mean()
    )
    assert "difference" not in other
    assert document["ablations"][0]["difference"]["to"] == "fusion"
    protocol = document["protocol"]
    assert protocol["split"] == "leave-last-out"
    assert protocol["seeds"] == [0, 1]
    assert protocol["encoder"]["fingerprint"] == "ab12"
    assert protocol["log"]["events"] == len(LOG)
    assert protocol["log"]["repeated events left out"] == LOG.repeated > 0
    assert protocol["stages"]["test"]["counts"]["cases"] == len(STAGES[1].cases)
    assert protocol["leakage"][0]["count"] == 2
    assert {"llmrec", "python", "numpy"} <= set(protocol["versions"])


def test_a_run_without_the_scorer_or_with_nothing_else(catalog: Catalog) -> None:
    alone = Report(LOG, STAGES, evaluate([Rule("fusion", popular)], STAGES, catalog), [], (0,))
    assert alone.best_baseline is None
    assert "difference" not in alone.to_json()["models"][0]
    without = Report(
        LOG,
        STAGES,
        evaluate([Rule("noise", at_random), Rule("popularity", popular)], STAGES, catalog),
        [],
        (0,),
    ).to_json()
    assert without["models"][0]["difference"]["to"] == "popularity"
    for made in (alone.to_json(), without):
        assert "nothing found" in markdown(made)
        assert "nothing found" in html(made)


@pytest.mark.parametrize("name", SPLITS)
def test_buckets_hold_every_case_once(name: str) -> None:
    for split in SPLITS[name](LOG):
        for buckets in (by_history(split), by_item_age(split)):
            positions = np.concatenate([bucket.cases for bucket in buckets])
            assert sorted(positions.tolist()) == [*range(len(split.cases))]
            assert all(len(bucket.cases) for bucket in buckets)


def test_buckets_by_what_is_known() -> None:
    day = 86_400.0
    short = [("a", row, row * day) for row in range(4)]
    long = [("b", 10 + row, 400 * day + row) for row in range(6)] + [
        ("b", 0, 401 * day),
        ("b", 39, 402 * day),
    ]
    log = log_of([*short, *long, ("c", 3, 10 * day)])
    _, test = leave_last_out(log)
    lengths = {bucket.name: [test.cases[case].user for case in bucket.cases] for bucket in by_history(test)}
    assert lengths == {"1–4": [0], "5–9": [1]}
    ages = {bucket.name: [test.cases[case].user for case in bucket.cases] for bucket in by_item_age(test)}
    assert ages == {"first event after the question": [0], "not in training": [1]}
    validation, _ = leave_last_out(log)
    ages = {
        bucket.name: [validation.cases[case].user for case in bucket.cases]
        for bucket in by_item_age(validation)
    }
    assert ages["1 to 5 years"] == [1]


class Tags(HTMLParser):
    """Start tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_needs_no_other_file_and_runs_nothing(document: Document) -> None:
    page = html(document)
    tags = Tags()
    tags.feed(page)
    names = [name for name, _ in tags.seen]
    assert names.count("svg") == 6
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    for _, attributes in tags.seen:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "href", "xlink:href") or str(value).startswith("#")
    identifiers = [str(attributes["id"]) for _, attributes in tags.seen if "id" in attributes]
    clips = [name for name in identifiers if re.fullmatch(r"p[0-9a-f]{10}", name)]
    assert len(clips) == len(set(clips)) >= 6
    assert "&lt;script&gt;alert(1)" in page
    assert "do not trust these figures" in page
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_the_page_without_matplotlib_has_tables_only(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = html(document)
    assert "<svg" not in page
    assert "llmrec[evaluate]" in page


def test_markdown_keeps_its_tables(document: Document) -> None:
    text = markdown(document)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    at = [place for place, row in enumerate(rows) if row.startswith("|---")]
    for start, end in zip(at, [*(place - 1 for place in at[1:]), len(rows)], strict=True):
        assert end > start + 1
        assert len(set(widths[start - 1 : end])) == 1, rows[start - 1 : end]
    assert "<script>" not in text
    assert "Leakage check: **found something" in text


def test_all_files_or_none(document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "reports" / "one"

    def interrupted(document: Document) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(render, "html", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_report(document, folder)
    assert [*folder.parent.iterdir()] == []
    write_report(document, folder)
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "report.html"}
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == document
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    with pytest.raises(EvaluationError, match="is there already"):
        write_report(document, folder)


def test_a_folder_that_cannot_be_written_is_named(document: Document, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match=r"file.*cannot be written"):
        write_report(document, tmp_path / "file" / "report")
