"""``llmrec models compare``: what fewer bits cost, on validation, and what is left out and why."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import write_tiny_bert
from word_shop import event, index, topical_events

from llmrec.adapters import compare
from llmrec.cli.main import run
from llmrec.errors import EvaluationError, TrainingError
from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.precisions import Sample, report
from llmrec.precisions.encoders import compare_encoders
from llmrec.rank.catalog import Catalog
from llmrec.reports import new_folder, write
from llmrec.runtime import weights
from llmrec.training.validation import Validation
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow

ITEMS = [f"i{number}" for number in range(24)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose encoder is as wide as four bits need, and whose explainer is a plug-in."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        model = write_tiny_bert(folder / "tiny", 64)
        return index(folder / "w", f"file:{model}", topical_events(), ITEMS, "auto")


@pytest.fixture(scope="module")
def found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All precisions over all items."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(root.with_name("home")))
        workspace = Workspace(root)
        document = report(workspace, ["encoder"], sample=Sample(items=100, users=60))
        workspace.close()
    return document


def test_every_precision_has_a_row_or_a_reason(found: dict[str, Any]) -> None:
    encoder = found["encoder"]
    rows = {row["precision"]: row for row in encoder["rows"]}
    left_out = {entry["precision"]: entry["reason"] for entry in encoder["left_out"]}
    assert [*rows][:1] == ["float32"]
    assert rows.keys() | left_out.keys() == {"float32", "bfloat16", "int8", "nf4"}
    assert not rows.keys() & left_out.keys()
    assert "bfloat16" in rows or "does not compute in it" in left_out["bfloat16"]
    assert {"int8", "nf4"} <= rows.keys()
    assert (encoder["items"], encoder["candidates"], encoder["users"]) == (25, 25, 60)
    assert found["protocol"]["stage"] == "validation"


def test_what_is_said_of_each(found: dict[str, Any]) -> None:
    rows = {row["precision"]: row for row in found["encoder"]["rows"]}
    reference = rows["float32"]
    assert (reference["speed"], reference["difference"]) == (1, None)
    assert reference["cosine"] == pytest.approx(1)
    assert 1 > rows["int8"]["cosine"] > rows["nf4"]["cosine"] > 0.7
    assert reference["weight_bytes"] > 2 * rows["int8"]["weight_bytes"]
    for name, row in rows.items():
        assert row["texts_per_second"] > 0
        assert row["engine"] == ("torch" if name == "nf4" else "openvino")
        if name != "float32":
            change = row["metrics"]["ndcg@10"] - reference["metrics"]["ndcg@10"]
            assert row["difference"]["mean"] == pytest.approx(change)
            assert row["speed"] > 0


def test_all_items_give_the_figures_of_other_commands(
    root: Path, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMREC_HOME", str(root.with_name("home")))
    workspace = Workspace(root)
    compared = compare(workspace).rows[0].metrics
    workspace.close()
    # That workspace encodes in bfloat16 where the CPU has it.
    rows = {row["precision"]: row["metrics"] for row in found["encoder"]["rows"]}
    assert rows.get("bfloat16", rows["float32"]) == pytest.approx(compared, abs=0.01)


def test_the_newest_events_change_nothing(root: Path, found: dict[str, Any], tmp_path: Path) -> None:
    """What users chose last is the test."""
    spec = Workspace(root).settings.models.encoder
    last = {f"u{user}": f"i{3 * (user % 8) + (user + 1) % 3}" for user in range(60)}  # of another topic
    others = [
        row | {"item_id": last[str(row["user_id"])]} if at % 6 == 5 else row
        for at, row in enumerate(topical_events())
    ]
    workspace = Workspace(index(tmp_path / "w", spec, others, ITEMS, "auto"))
    again = report(workspace, ["encoder"], ["int8"], Sample(items=100, users=60))["encoder"]
    workspace.close()
    before = {row["precision"]: row["metrics"] for row in found["encoder"]["rows"]}
    assert [row["precision"] for row in again["rows"]] == ["float32", "int8"]
    for row in again["rows"]:
        assert row["metrics"] == pytest.approx(before[row["precision"]])


def test_candidates_are_the_targets_and_others(root: Path) -> None:
    workspace = Workspace(root)
    catalog = Catalog(workspace.require_present().table, 1000)
    questions = Validation(workspace, catalog, LEAVE_LAST_OUT, 4).questions
    workspace.close()
    targets = {int(row) for case in questions.cases for row in case.targets}
    few, some, all_ = (questions.candidates(count) for count in (1, 10, 99))
    assert set(few) == targets
    assert targets < set(some)
    assert (len(some), len(set(some))) == (10, 10)
    np.testing.assert_array_equal(all_, np.arange(25))
    rng = np.random.default_rng(0)
    items, users = (rng.standard_normal((count, 8)).astype(np.float32) for count in (25, 4))
    whole = questions.values(items, users)
    for name, values in questions.values(items, users, all_).items():
        np.testing.assert_array_equal(values, whole[name])
    fewer = questions.values(items[some], users, some)
    assert (fewer["mrr"] >= whole["mrr"]).all()
    assert (fewer["mrr"] > whole["mrr"]).any()


def test_what_is_missing_is_left_out_with_the_reason(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None if name == "bitsandbytes" else object())
    workspace = Workspace(root)
    encoder = report(workspace, ["encoder"], ["nf4"], Sample(30, 10))["encoder"]
    workspace.close()
    assert [row["precision"] for row in encoder["rows"]] == ["float32"]
    (left_out,) = encoder["left_out"]
    assert left_out["precision"] == "nf4"
    assert "bitsandbytes is required" in left_out["reason"]
    assert "llmrec[quantize]" in left_out["reason"]


def ask(monkeypatch: pytest.MonkeyPatch, capsys: Any, root: Path, *arguments: str) -> tuple[str, str]:
    """Exit code and output of the command."""
    monkeypatch.setattr(sys, "argv", ["llmrec", "models", "compare", *arguments, "--workspace", str(root)])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as end:
        run()
    return str(end.value.code), capsys.readouterr().out


def test_the_command(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    few = ("--items", "10", "--users", "5", "--explanations", "2")
    code, out = ask(monkeypatch, capsys, root, "--precision", "int8", *few, "--json")
    assert code == "0"
    document = json.loads(out)
    assert [row["precision"] for row in document["encoder"]["rows"]] == ["float32", "int8"]
    assert document["encoder"]["users"] == 5
    assert document["explainer"]["rows"] == []
    told = {entry["precision"]: entry["reason"] for entry in document["explainer"]["left_out"]}
    assert [*told] == ["float32", "int8"]
    assert all("plugin:liar is a plug-in" in reason for reason in told.values())
    kept = Path(document.pop("report"))
    assert kept.is_relative_to(root / "reports")
    assert json.loads(kept.read_text("utf-8")) == document
    with pytest.raises(EvaluationError, match="cannot be written"):
        write(document, kept.parent)


def test_the_command_prints_tables(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    few = ("--items", "10", "--users", "5", "--precision", "nf4")
    code, out = ask(monkeypatch, capsys, root, "--role", "encoder", *few)
    assert code == "0"
    assert "1.00×" in out
    assert "nf4 is left out: accelerate is required here and not installed" in out
    assert "report.json" in out


def test_two_reports_of_one_second_are_both_kept(tmp_path: Path) -> None:
    folders = []
    for _ in range(3):
        folders.append(new_folder(tmp_path, "models"))
        write({}, folders[-1])
    assert sorted((tmp_path / "reports").iterdir()) == sorted(set(folders))
    assert len(set(folders)) == 3


def test_ctrl_c_leaves_no_report(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("llmrec.encode.openvino_engine.OpenVinoEngine.run", interrupted)
    before = sorted((root / "reports").glob("*"))
    code, out = ask(monkeypatch, capsys, root, "--role", "encoder", "--precision", "float32")
    assert code not in ("0", "None")
    assert out == ""
    assert sorted((root / "reports").glob("*")) == before


def test_a_precision_of_the_other_role_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert ask(monkeypatch, capsys, root, "--role", "encoder", "--precision", "gguf")[0] == "2"


def test_a_plugin_has_no_precisions(tmp_path: Path) -> None:
    workspace = Workspace(index(tmp_path / "w", "plugin:words", topical_events(12), ITEMS, "auto"))
    document = report(workspace)
    workspace.close()
    for role in ("encoder", "explainer"):
        assert document[role]["rows"] == []
        assert {"float32", "int8", "nf4"} <= {entry["precision"] for entry in document[role]["left_out"]}
        assert all("is a plug-in" in entry["reason"] for entry in document[role]["left_out"])


def test_a_log_that_asks_nobody_is_an_error(tmp_path: Path) -> None:
    workspace = Workspace(index(tmp_path / "w", "plugin:words", [event(0, 0, 0)], ITEMS, "auto"))
    with pytest.raises(TrainingError, match="no user has enough events"):
        report(workspace)
    workspace.close()


def test_an_adapter_in_use_is_what_is_compared(root: Path) -> None:
    workspace = Workspace(root)
    present = workspace.require_present()
    validation = Validation(workspace, Catalog(present.table, 1000), LEAVE_LAST_OUT, 5)
    encoding = workspace.require_encoder(present.snapshot)
    assert compare_encoders(workspace, validation, encoding, ["float32"], items=10).adapter is None
    workspace.close()
