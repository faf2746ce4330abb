"""``llmrec evaluate`` as a user types it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shop import item_rows, make_workspace, write_events, write_items, write_shop
from small_logs import Rule, at_random, popular

from llmrec.cli.evaluate import SplitName
from llmrec.cli.main import run
from llmrec.config import WEIGHTS
from llmrec.evaluate.splits import SPLITS, Stages, leave_last_out
from llmrec.indexing import IndexRun, Sources
from llmrec.rank.log import Log

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 40 users who come one after the other."""
    folder = tmp_path_factory.mktemp("shop")
    ids = [row["item_id"] for row in item_rows()]
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": ids[item], "timestamp": 1_600_000_000 + 100 * user + step}
        for user in range(40)
        for step, item in enumerate(rng.permutation(len(ids))[:6].tolist())
    ]
    items = write_items(folder / "items.jsonl", item_rows())
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        workspace = make_workspace(folder / "w")
        IndexRun(workspace, Sources(items, (write_events(folder / "log.csv", rows),)))()
        workspace.close()
    return workspace.root


@pytest.fixture(autouse=True)
def baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {model.name: model for model in (Rule("popularity", popular), Rule("noise", at_random))}
    for module in ("llmrec.evaluate.baselines", "llmrec.evaluating"):
        monkeypatch.setattr(f"{module}.BASELINES", models)


def evaluated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["llmrec", "evaluate", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    code: object = 0
    try:
        run()
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return (code if isinstance(code, int) else 0), captured.out, captured.err


def test_the_choices_are_the_protocols() -> None:
    assert {name.value for name in SplitName} == set(SPLITS)


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_gives_a_report(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    split: str,
) -> None:
    folder = tmp_path / "report"
    code, out, err = evaluated(
        monkeypatch, capsys, "-w", root, "--split", split, "--seeds", "0,1", "--report", folder, "--json"
    )
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    assert document["report"] == str(folder)
    assert document["protocol"]["split"] == split
    assert document["protocol"]["leakage"] == []
    assert document["protocol"]["encoder"]["name"] == "plugin:words"
    names = [entry["model"] for entry in document["models"]]
    assert names == ["popularity", "noise", "fusion", "fusion, early", "fusion, late"]
    assert set(document["models"][0]["metrics"]["ndcg@10"]) == {"mean", "low", "high"}
    assert (folder / "report.html").is_file()


def test_every_channel_and_every_modality_is_removed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = evaluated(
        monkeypatch,
        capsys,
        "-w",
        root,
        "--ablate",
        "--baselines",
        "noise",
        "--report",
        tmp_path / "r",
        "--json",
    )
    assert code == 0, err
    names = [entry["model"] for entry in json.loads(out)["ablations"]]
    channels = [name for name in WEIGHTS if name not in ("fields.picture", "fields.sound")]
    assert names == [*(f"without {name}" for name in channels), "without all text"]


def test_a_table_and_a_folder_of_the_workspace(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = evaluated(monkeypatch, capsys, "-w", root, "--baselines", "noise")
    assert code == 0, err
    (folder,) = (root / "reports").iterdir()
    assert folder.name.startswith("leave-last-out-")
    assert "noise" in out
    assert "popularity" not in out
    assert f"{folder / 'report.html'}" in out
    assert "models trained and asked" in err


def test_a_leak_is_shown_and_ends_in_exit_code_3(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def leaking(log: Log) -> Stages:
        validation, test = leave_last_out(log)
        return validation, replace(test, train=log)

    monkeypatch.setitem(SPLITS, "leave-last-out", leaking)
    code, out, _ = evaluated(monkeypatch, capsys, "-w", root, "--report", tmp_path / "report")
    assert code == 3
    assert "leak, test: targets are trained on (40, such as user 'u0'" in out
    assert "do not trust" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--baselines", "magic"], 1, "there is no baseline 'magic'"),
        (["--seeds", "one"], 1, "--seeds 'one'"),
        (["--seeds", "-1"], 1, "--seeds '-1'"),
        (["--split", "random"], 2, "--split"),
        (["--report", "."], 1, "is there already"),
    ],
)
def test_errors_name_the_thing(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    found, _, err = evaluated(monkeypatch, capsys, "-w", root, *arguments)
    assert (found, message in err) == (code, True), err


def test_a_small_log_or_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sources = write_shop(tmp_path / "data")
    workspace = make_workspace(tmp_path / "w")
    workspace.close()
    assert "nothing is indexed yet" in evaluated(monkeypatch, capsys, "-w", workspace.root)[2]
    IndexRun(workspace, Sources(sources.catalog, ()))()
    assert "0 users have 3 events" in evaluated(monkeypatch, capsys, "-w", workspace.root)[2]
    IndexRun(workspace, sources)()
    code, _, err = evaluated(monkeypatch, capsys, "-w", workspace.root)
    workspace.close()
    assert code == 1
    assert "9 users have 3 events" in err
    assert "--interactions" in err
    assert not (workspace.root / "reports").exists()
