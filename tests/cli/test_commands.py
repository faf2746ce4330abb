"""The commands as a user types them: output, JSON, exit codes, no stack traces."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from shop import index_shop, item_rows, make_workspace, write_items, write_shop

from llmrec.cli.main import run
from llmrec.cli.output import plain
from tests.explain.completions import Script, serving, stream


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """Runs ``llmrec`` in this process, as the console script does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: object, cwd: Path | None = None) -> Result:
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["llmrec", *map(str, arguments)])
            patch.setenv("COLUMNS", "200")
            if cwd is not None:
                patch.chdir(cwd)
            code: object = 0
            try:
                run()
            except SystemExit as end:
                code = end.code
        captured = self.capsys.readouterr()
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)


@pytest.fixture
def llmrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def json_of(result: Result) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_index_then_recommend_then_similar(llmrec: Command, tmp_path: Path) -> None:
    sources = write_shop(tmp_path / "data")
    root = make_workspace(tmp_path / "w").root
    indexed = json_of(
        llmrec("index", sources.catalog, "-i", sources.interactions[0], "--workspace", root, "--json")
    )
    assert (indexed["items"], indexed["encoded"], indexed["events"], indexed["flagged"]) == (12, 12, 27, [])
    answer = json_of(llmrec("recommend", "u0", "-k", 2, "--explain", "-w", root, "--json"))
    assert answer["user_id"] == "u0"
    best = answer["recommendations"][0]
    assert set(best) == {"item_id", "title", "score", "contributions", "explanation"}
    assert best["item_id"] == "coffee-3"
    assert sum(best["contributions"].values()) == pytest.approx(best["score"], abs=1e-5)
    assert set(best["explanation"]) == {"text", "source", "verified", "citations"}
    alike = json_of(llmrec("similar", "coffee-0", "-k", 1, "-w", root, "--json"))
    assert alike["similar"][0]["item_id"].startswith("coffee")
    table = llmrec("recommend", "u0", "-k", 2, "--explain", "-w", root)
    assert table.returncode == 0
    assert "Milk Frother Steel" in table.stdout
    assert "from the template" in table.stdout
    assert "Traceback" not in table.stderr


def test_evidence_alone_needs_no_language_model(llmrec: Command, tmp_path: Path) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    settings = workspace.root / "llmrec.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("plugin:liar", "plugin:missing"))
    shown = llmrec("recommend", "--explain=evidence", "u0", "-k", 1, cwd=workspace.root)
    assert shown.returncode == 0, shown.stderr
    assert "1. Milk Frother Steel\n   [1] You liked " in shown.stdout
    assert "(history)" in shown.stdout
    answer = json_of(llmrec("recommend", "u0", "-k", 1, "--explain=evidence", "--json", cwd=workspace.root))
    (best,) = answer["recommendations"]
    assert set(best) == {"item_id", "title", "score", "contributions", "evidence"}
    assert best["evidence"][0]["kind"] == "history"
    assert llmrec("recommend", "--explain", "u0", "-k", 1, cwd=workspace.root).returncode == 1
    assert llmrec("recommend", "u0", "--explain=why", cwd=workspace.root).returncode == 2


def test_the_current_folder_has_a_workspace(llmrec: Command, tmp_path: Path) -> None:
    sources = write_shop(tmp_path)
    make_workspace(tmp_path / ".llmrec")
    assert llmrec("index", sources.catalog.name, cwd=tmp_path).returncode == 0
    assert json_of(llmrec("recommend", "-q", "violin", "-k", 1, "--json", cwd=tmp_path))
    inside = json_of(llmrec("recommend", "-q", "violin", "-k", 1, "--json", cwd=tmp_path / ".llmrec"))
    assert inside["recommendations"][0]["item_id"] == "music-3"


def test_flagged_items_end_in_exit_code_3(llmrec: Command, tmp_path: Path) -> None:
    sources = write_shop(tmp_path / "data")
    write_items(sources.catalog, [*item_rows(), {"title": "nameless"}])
    root = make_workspace(tmp_path / "w").root
    result = llmrec("index", sources.catalog, "-w", root)
    assert result.returncode == 3
    assert "errors.jsonl" in result.stdout
    (line,) = (root / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(line)) == {"item_id", "field", "source", "reason"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["recommend"], 1, "--query"),
        (["recommend", "nobody"], 1, "'nobody'"),
        (["recommend", "u0", "-k", "0"], 2, "-k"),
        (["recommend", "u0", "-k", "many"], 2, "-k"),
        (["recommend", "u0", "--where", "year = = 1"], 1, "--where"),
        (["recommend", "u0", "--likes", "x,y"], 1, "'x'"),
        (["similar", "nothing"], 1, "'nothing'"),
        (["prompts", "show", "nothing"], 1, "nothing"),
        (["index", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["index", "items.jsonl", "--map", "nonsense"], 1, "nonsense"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_errors_name_the_thing(
    llmrec: Command, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    result = llmrec(*arguments, cwd=workspace.root)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_terminal_escapes_and_markup_in_titles_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in plain("\x1b[31mred\x1b[0m [bold]x[/bold]").plain
    assert "[bold]x[/bold]" in plain("\x1b[31mred\x1b[0m [bold]x[/bold]").plain


def test_prompts_are_listed_shown_and_rendered(llmrec: Command, tmp_path: Path) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    listed = json_of(llmrec("prompts", "list", "--json", cwd=workspace.root))
    assert {prompt["name"] for prompt in listed["prompts"]} == {
        *("caption", "item", "user", "explain", "explain_zh")
    }
    assert "variables" in llmrec("prompts", "show", "item", cwd=workspace.root).stdout
    rendered = json_of(llmrec("prompts", "render", "coffee-1", "--json", cwd=workspace.root))
    assert rendered["document"].startswith("Moka Pot Aluminium (coffee)")


def test_a_workspace_prompt_wins_and_reencodes(llmrec: Command, tmp_path: Path) -> None:
    workspace, sources, _ = index_shop(tmp_path)
    workspace.close()
    (workspace.root / "prompts").mkdir()
    (workspace.root / "prompts" / "item.j2").write_text(
        '{# name = "item"\nversion = 2\nvariables = ["title", "categories", "fields"] #}\nThe {{ title }}',
        encoding="utf-8",
    )
    indexed = json_of(llmrec("index", sources.catalog, "-w", workspace.root, "--json"))
    assert indexed["encoded"] == 12
    rendered = json_of(llmrec("prompts", "render", "coffee-1", "--json", cwd=workspace.root))
    assert rendered["document"] == "The Moka Pot Aluminium"


def test_doctor_asks_an_endpoint_that_the_settings_name(llmrec: Command, tmp_path: Path) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    settings = workspace.root / "llmrec.toml"
    before = settings.read_text("utf-8")
    with serving(Script([stream("Hello.")], models=("small",))) as script:
        found = {}
        for model in ("small", "other"):
            settings.write_text(with_explainer(before, f"openai:{script.url}#{model}"), "utf-8")
            report = json_of(llmrec("doctor", "--json", cwd=workspace.root))
            (found[model],) = (check for check in report["checks"] if check["what"] == "explainer")
    assert [found[model]["status"] for model in ("small", "other")] == ["ok", "note"]
    assert "answers and has small" in found["small"]["found"]
    settings.write_text(with_explainer(before, f"openai:{script.url}#small"), "utf-8")
    gone = llmrec("doctor", cwd=workspace.root)
    assert gone.returncode == 1
    assert "explanations come from the template" in " ".join(gone.stdout.split())


def test_an_endpoint_explains_a_list(llmrec: Command, tmp_path: Path) -> None:
    def explain(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        asked = body["messages"][1]["content"]
        (liked,) = re.findall(r'^\[1\] You liked "(.*)"', asked, re.MULTILINE)
        (title,) = re.findall(r'^Why "(.*)"', asked, re.MULTILINE)
        stream(f'You may like "{title}" ', f'because you liked "{liked}" [1].')(handler, body)

    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    settings = workspace.root / "llmrec.toml"
    with serving(Script([explain], refuses=("grammar", "response_format"))) as script:
        spec = f"openai:{script.url}#small"
        settings.write_text(with_explainer(settings.read_text("utf-8"), spec), "utf-8")
        command = "recommend", "u0", "-k", "3", "--explain", "--json"
        entries = json_of(llmrec(*command, cwd=workspace.root))["recommendations"]
        asked = len(script.asked)
        again = json_of(llmrec(*command, cwd=workspace.root))["recommendations"]
    assert [entry["explanation"]["source"] for entry in entries] == ["model"] * 3
    for entry in entries:
        assert entry["explanation"]["text"].startswith(f'You may like "{entry["title"]}" because')
    assert again == entries
    assert len(script.asked) == asked, "they are kept in the workspace"


def with_explainer(settings: str, spec: str) -> str:
    """Settings of the shop that name another explainer."""
    assert '"plugin:liar"' in settings
    return settings.replace('"plugin:liar"', f'"{spec}"')


def test_a_table_in_a_pipe_keeps_paths_whole(llmrec: Command, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a folder with a rather long name"] * 4)
    folder.mkdir(parents=True)
    workspace, sources, _ = index_shop(folder)
    workspace.close()
    printed = llmrec("index", sources.catalog, "--workspace", workspace.root).stdout
    assert f"{workspace.root}: indexed in" in printed


def test_doctor_reports_store_health(llmrec: Command, tmp_path: Path) -> None:
    workspace, _, _ = index_shop(tmp_path)
    workspace.close()
    report = json_of(llmrec("doctor", "--json", cwd=workspace.root))
    status = {check["what"]: check["status"] for check in report["checks"]}
    assert status["items"] == status["events"] == "ok"
    (data,) = (workspace.root / "items").rglob("data/*.lance")
    data.write_bytes(data.read_bytes()[:-1])
    broken = llmrec("doctor", cwd=workspace.root)
    assert broken.returncode == 1
    assert data.name in broken.stdout
