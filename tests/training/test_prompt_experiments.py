"""``llmrec prompts compare``: versions of a prompt on validation, kept, resumable, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_explainer import event_rows, index

from llmrec.cli.main import run
from llmrec.errors import CorruptFileError, PromptError, TrainingError, WorkspaceError
from llmrec.evaluate.splits import LEAVE_LAST_OUT
from llmrec.experiments import Sample, compare, results
from llmrec.experiments.kept import Kept, kept
from llmrec.experiments.measures import distinct, held
from llmrec.explain.evidence import Case, gather
from llmrec.explain.verifier import Verifier
from llmrec.prompts import copy_prompt
from llmrec.rank.catalog import Catalog
from llmrec.schema import Item
from llmrec.training.validation import Validation
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow

EVERYTHING = Sample(items=100, users=40, explanations=7)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books in three topics and users of one topic each; models are plug-ins."""
    folder = tmp_path_factory.mktemp("books")
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        return index(folder / "w", "plugin:quoter")


@pytest.fixture
def workspace(indexed: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of it, whose prompts a test may change."""
    shutil.copytree(indexed, tmp_path / "w")
    opened = Workspace(tmp_path / "w")
    yield opened
    opened.close()


def edit(workspace: Workspace, name: str, old: str, new: str) -> str:
    """A copy of a prompt as its next version, with one text in the place of another."""
    copy = copy_prompt(name, workspace.root / "prompts")
    text = copy.path.read_text("utf-8")
    assert old in text
    copy.path.write_text(text.replace(old, new), "utf-8")
    return copy.spec


def test_item_prompts_are_ranked_by_what_they_tell(workspace: Workspace) -> None:
    second = copy_prompt("item", workspace.root / "prompts")
    header = second.path.read_text("utf-8").partition("#}")[0]
    second.path.write_text(f"{header}#}}\nno. {{{{ title[-2:] }}}}", "utf-8")
    found = compare(workspace, ["item", second.spec], EVERYTHING)
    first, last = found["rows"]
    assert (found["role"], found["protocol"]["stage"]) == ("item", "validation")
    assert (found["items"], found["candidates"], found["users"]) == (24, 24, 40)
    assert (first["prompt"], last["prompt"]) == ("item@1", "item@2")
    assert first["difference"] is None
    gain = last["metrics"]["ndcg@10"]["mean"] - first["metrics"]["ndcg@10"]["mean"]
    assert last["difference"]["mean"] == pytest.approx(gain)
    assert last["difference"]["high"] < 0, "the topic is what users choose by"
    assert first["tokens"] > last["tokens"] > 1
    assert first["texts"] == last["texts"] == 24
    assert first["seconds"] > 0


def test_what_does_not_fit_is_counted(workspace: Workspace) -> None:
    longer = edit(workspace, "item", "{% for field in fields %}", "{% for field in fields %}" + "so " * 60)
    first, last = compare(workspace, ["item@1", longer], EVERYTHING)["rows"]
    assert (first["cut"], last["cut"]) == (0, 1)
    assert last["tokens"] <= 64


def test_user_prompts(workspace: Workspace) -> None:
    silent = edit(workspace, "user", "{{ field.text }}\n{% endfor %}", "{% endfor %}")
    first, last = compare(workspace, ["user@1", silent], EVERYTHING)["rows"]
    assert (first["texts"], last["texts"]) == (40, 0), "an empty text is encoded for nobody"
    assert first["metrics"]["ndcg@10"]["mean"] > last["metrics"]["ndcg@10"]["mean"]
    assert last["tokens"] == 0


def test_the_newest_events_change_nothing(indexed: Path, tmp_path: Path) -> None:
    """What users chose last is the test."""
    rows = event_rows()
    last = {f"u{user}": f"i{3 * (user % 8) + (user + 1) % 3}" for user in range(40)}  # of another topic
    others = [
        row | {"item_id": last[str(row["user_id"])]} if at % 7 == 6 else row for at, row in enumerate(rows)
    ]
    assert others != rows
    measured = []
    for root in (indexed, index(tmp_path / "others", "plugin:quoter", others)):
        copy = tmp_path / f"copy of {root.name}"
        shutil.copytree(root, copy)
        opened = Workspace(copy)
        found = compare(opened, ["item", edit(opened, "item", "{{ title }}", "The book")], EVERYTHING)
        opened.close()
        measured.append([row["metrics"] for row in found["rows"]])
    assert measured[0] == measured[1]


def test_what_is_explained_is_recommended_and_told_as_in_use(workspace: Workspace) -> None:
    catalog = Catalog(workspace.require_present().table, 1000)
    validation = Validation(workspace, catalog, LEAVE_LAST_OUT, EVERYTHING.explanations)
    cases = validation.explanations()
    assert len(cases) == EVERYTHING.explanations
    for (_, history), case in zip(validation.asked, cases, strict=True):
        known = {catalog.ids[row] for row in history}
        assert case.item.item_id not in known
        assert case.history, "of one topic, what they liked counts"
        assert {item.item_id for item, _ in case.history} <= known
        assert case.contributions


def test_explanation_prompts(workspace: Workspace) -> None:
    both = edit(workspace, "explain", "short sentences.", "short sentences. Name both.")
    false = edit(workspace, both, "Name both.", "Say that it is a musical.")
    found = compare(workspace, ["explain@2", both, false], EVERYTHING)
    one, two, lies = found["rows"]
    assert (found["explanations"], found["grammar"]) == (7, True)
    assert [row["verified"]["mean"] for row in found["rows"]] == [1, 1, 0]
    assert (one["difference"], two["difference"]["mean"], lies["difference"]["mean"]) == (None, 0, -1)
    assert two["words"] > one["words"]
    assert 0 < one["faithfulness"]["cited"] < two["faithfulness"]["cited"] <= 1
    assert one["faithfulness"]["held"] == two["faithfulness"]["held"] == 1
    assert lies["faithfulness"]["held"] == 0.5, "one claim of two"
    assert (lies["words"], lies["distinct_1"], lies["faithfulness"]["cited"]) == (None, None, None)
    assert 0 < one["distinct_1"] < one["distinct_2"] < 1


def test_a_stopped_comparison_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = edit(workspace, "explain", "short sentences.", "short sentences. Name both.")
    log = tmp_path / "answers"
    monkeypatch.setenv("LLMREC_TEST_ANSWERS", str(log))
    monkeypatch.setenv("LLMREC_TEST_STOP", "8")
    with pytest.raises(KeyboardInterrupt):
        compare(workspace, ["explain", both], EVERYTHING)
    assert results(workspace.root) == []
    found = compare(workspace, ["explain", both], EVERYTHING)
    assert len(log.read_text("utf-8").splitlines()) == 2 * 7 + 1, "only what was being written is asked again"
    monkeypatch.delenv("LLMREC_TEST_ANSWERS")
    whole = compare(workspace, ["explain", both], EVERYTHING)
    assert without_time(found) == without_time(whole)
    assert [entry["report"] for entry in results(workspace.root)] == [found["report"], whole["report"]]
    assert not any((workspace.root / "staging" / "prompts").glob("*/*"))


def test_texts_are_not_encoded_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = edit(workspace, "item", "{{ title }}", "Book: {{ title }}")
    log = tmp_path / "encoded"
    monkeypatch.setenv("LLMREC_TEST_ENCODED", str(log))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("llmrec.experiments.comparing.write", full)
        with pytest.raises(WorkspaceError, match="No space left"):
            compare(workspace, ["item", other], EVERYTHING)
    before = log.read_text("utf-8").count("Book: The")
    assert before >= 24
    found = compare(workspace, ["item", other], EVERYTHING)
    assert log.read_text("utf-8").count("Book: The") == before
    assert found["rows"][1]["texts"] == 24


def without_time(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in document["rows"]]


def test_what_is_kept_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), kept(tmp_path / "p", "a") as found:  # noqa: PT012
        found["x"] = b"1"
        found["y"] = b"2"
        raise KeyboardInterrupt
    (tmp_path / "p" / "a" / "y").write_bytes(b"damaged")
    again = Kept(tmp_path / "p" / "a")
    assert again["x"] == b"1"
    assert "y" not in again
    with kept(tmp_path / "p", "b"), pytest.raises(WorkspaceError, match="another comparison"):
        kept(tmp_path / "p", "b").__enter__()
    assert not (tmp_path / "p" / "a").exists()
    assert not (tmp_path / "p" / "b").exists()


@pytest.mark.parametrize(
    ("specs", "problem"),
    [
        (["item"], "takes two prompts"),
        (["item", "item@1"], "named twice"),
        (["item", "user"], "not prompts of one known role"),
        (["item", "caption"], "not prompts of one known role"),
        (["item", "item@7"], "no prompt 'item@7'"),
        (["item", "item@2"], "the same text as"),
    ],
)
def test_what_cannot_be_compared(workspace: Workspace, specs: list[str], problem: str) -> None:
    copy_prompt("item", workspace.root / "prompts")
    with pytest.raises(PromptError, match=problem):
        compare(workspace, specs, EVERYTHING)
    assert results(workspace.root) == []


def test_prompts_with_names_of_their_own(workspace: Workspace) -> None:
    copy = copy_prompt("item", workspace.root / "prompts")
    text = copy.path.read_text("utf-8").replace('name = "item"', 'name = "terse"')
    copy.path.with_name("terse.j2").write_text(f"{text.partition('#}')[0]}#}}\n{{{{ title }}}}", "utf-8")
    with pytest.raises(PromptError, match=r"--role item\|user\|explain"):
        compare(workspace, ["item", "terse"], EVERYTHING)
    found = compare(workspace, ["item", "terse"], EVERYTHING, role="item")
    assert [row["prompt"] for row in found["rows"]] == ["item@1", "terse@2"]


def test_a_log_that_asks_nobody_is_an_error(tmp_path: Path) -> None:
    opened = Workspace(index(tmp_path / "w", "plugin:quoter", event_rows(1)[:1]))
    other = edit(opened, "item", "{{ title }}", "Book")
    with pytest.raises(TrainingError, match="no user has enough events"):
        compare(opened, ["item", other])
    opened.close()


def test_a_damaged_report_is_named(workspace: Workspace) -> None:
    path = workspace.root / "reports" / "prompts-20260101-000000" / "report.json"
    path.parent.mkdir(parents=True)
    for content in ("{", "[]", "{}"):
        path.write_text(content, "utf-8")
        with pytest.raises(CorruptFileError, match=r"prompts-20260101-000000.report\.json"):
            results(workspace.root)


def test_measures() -> None:
    assert distinct(["a b a", "b"], 1) == 0.5
    assert distinct(["a b a b", "c"], 2) == pytest.approx(2 / 3)
    assert distinct(["", "a"], 2) == 0
    item, liked = Item("1", "Toy Story", categories=("Comedy",)), Item("2", "Antz")
    evidence = gather(Case(item, ((liked, 1.0),), {}))
    verifier = Verifier(["Toy Story", "Antz", "Babe"])
    for text, expected in (
        ('Since you liked "Antz" [1], you may enjoy "Toy Story". It is listed under Comedy [2].', (2, 2)),
        ('Since you liked "Antz" [1], you may enjoy "Toy Story".', (2, 2)),
        ('Since you liked "Babe" [1], you may enjoy "Toy Story". It is listed under Comedy [2].', (1, 2)),
        ("It is a musical [2].", (0, 1)),
        ("It is good.", (0, 1)),
        ("", (0, 0)),
    ):
        assert held(text, item, evidence, verifier) == expected, text


def ask(monkeypatch: pytest.MonkeyPatch, capsys: Any, root: Path, *arguments: str) -> tuple[str, str]:
    """Exit code and output of ``llmrec prompts``."""
    monkeypatch.setattr(sys, "argv", ["llmrec", "prompts", *arguments, "--workspace", str(root)])
    monkeypatch.setenv("COLUMNS", "200")
    try:
        run()
    except SystemExit as end:
        return str(end.code), capsys.readouterr().out
    return "0", capsys.readouterr().out


def test_the_commands(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    root = workspace.root
    assert "No comparison yet" in ask(monkeypatch, capsys, root, "results")[1]
    code, out = ask(monkeypatch, capsys, root, "copy", "item", "--json")
    made = json.loads(out)
    assert (code, made["version"]) == ("0", 2)
    path = Path(made["path"])
    path.write_text(path.read_text("utf-8").replace("{{ title }}", "Book: {{ title }}"), "utf-8")
    assert "item@3" in ask(monkeypatch, capsys, root, "copy", "item@2")[1]
    few = ("--items", "10", "--users", "5", "--explanations", "2")
    code, out = ask(monkeypatch, capsys, root, "compare", "item@1", "item@2", *few, "--json")
    assert code == "0"
    document = json.loads(out)
    assert document["users"] == 5
    code, out = ask(monkeypatch, capsys, root, "compare", "item@1", "item@2", *few)
    assert code == "0"
    assert "tokens/s" in out
    assert "report.json" in out
    edit(workspace, "explain", "short", "very short")
    code, out = ask(monkeypatch, capsys, root, "compare", "explain@2", "explain@3", "--no-grammar", *few)
    assert code == "0"
    assert "claims that hold" in out
    assert "without the grammar" in out
    code, out = ask(monkeypatch, capsys, root, "results", "--json")
    kept_documents = json.loads(out)["results"]
    assert [entry["role"] for entry in kept_documents] == ["item", "item", "explain"]
    assert kept_documents[0] == document
    assert ask(monkeypatch, capsys, root, "results")[1].count("report.json") == 3
    listed = json.loads(ask(monkeypatch, capsys, root, "list", "--json")[1])["prompts"]
    in_use = {f"{entry['name']}@{entry['version']}" for entry in listed if entry["in_use"]}
    assert in_use == {"item@1", "user@1", "explain@2"}
    assert {"item@2", "item@3", "explain@3"} <= {f"{entry['name']}@{entry['version']}" for entry in listed}
