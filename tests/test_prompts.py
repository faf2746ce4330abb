"""Prompts: strict, sandboxed, and every mistake is named with its file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import llmrec
from llmrec.errors import PromptError
from llmrec.prompts import (
    builtin_folder,
    copy_prompt,
    load_prompt,
    parse_prompt,
    prompt_files,
    versions,
)

SHIPPED = {
    "item": ("title", "categories", "fields"),
    "user": ("profile", "fields"),
    "caption": (),
    "explain": ("title", "evidence"),
    "explain_zh": ("title", "evidence"),
}
HERE = Path("mine.j2")


def prompt_text(body: str, variables: str = '["title"]', name: str = "mine") -> str:
    return f'{{#\nname = "{name}"\nversion = 3\nvariables = {variables}\n#}}\n{body}'


def test_every_shipped_prompt_loads_and_declares_what_its_callers_give() -> None:
    files = prompt_files()
    assert set(files) == set(SHIPPED)
    for name, variables in SHIPPED.items():
        prompt = load_prompt(name)
        assert (prompt.name, prompt.variables) == (name, variables)
        assert prompt.description
        assert prompt.identity.startswith(f"{name}@{prompt.version}:")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ title }}", "mine.j2:1: no header"),
        ("", "mine.j2:1: no header"),
        ("{# name = #}", "mine.j2:1: header: "),
        ('{# name = "mine" #}', "version: Field required; variables: Field required"),
        (prompt_text("x").replace("version", "verison"), "verison: Extra inputs are not permitted"),
        (prompt_text("{{ title }"), "mine.j2:6: "),
        (prompt_text("ok\n{% for x in %}"), "mine.j2:7: "),
        (prompt_text("{{ title | shout }}"), "mine.j2:6: No filter named 'shout'"),
        (
            prompt_text("{{ titel }} {{ year }}"),
            "mine.j2: uses titel, year, which its header does not declare",
        ),
    ],
)
def test_mistakes_in_a_template_are_named(text: str, problem: str) -> None:
    with pytest.raises(PromptError) as caught:
        parse_prompt(text, HERE)
    assert problem in caught.value.message
    assert "pydantic.dev" not in caught.value.message


def test_a_variable_that_the_caller_does_not_give_is_named() -> None:
    prompt = parse_prompt(prompt_text("{{ title }}", '["title", "mood"]'), HERE)
    with pytest.raises(PromptError, match=r"mine\.j2: .*mood"):
        prompt.render(title="Toy Story")


@pytest.mark.parametrize("body", ["{{ title | default('?') }}", "{% if title is defined %}x{% endif %}", ""])
def test_a_missing_variable_is_an_error_even_where_the_template_would_not_notice(body: str) -> None:
    with pytest.raises(PromptError, match=r"mine\.j2: .*title"):
        parse_prompt(prompt_text(body), HERE).render()


def test_a_template_may_use_less_than_the_caller_gives() -> None:
    assert parse_prompt(prompt_text(" {{ title }}\n\n"), HERE).render(title="A", year=3) == "A"


@pytest.mark.parametrize(
    "body",
    [
        "{{ title.__class__ }}",
        "{{ title.__class__.__mro__[1].__subclasses__() }}",
        "{{ title['__class__'] }}",
        "{{ (title | attr('__class__')).__name__ }}",
        "{{ title.format.__globals__ }}",
        "{{ '{0.__class__}'.format(title) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ tags.append('x') }}",
        "{{ tags.clear() }}",
    ],
)
def test_the_sandbox_gives_no_way_to_the_interpreter_or_the_data(body: str) -> None:
    tags = ["a"]
    with pytest.raises(PromptError, match=r"mine\.j2: .*(unsafe|safely|is undefined|has no attribute)"):
        parse_prompt(prompt_text(body, '["title", "tags"]'), HERE).render(title="Toy Story", tags=tags)
    assert tags == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        "{{ title + 1 }}",
        "{{ 1 / (title | length - 9) }}",
        "{{ title | round }}",
        "{{ title.shout }}",
        "{{ range(10 ** 9) }}",
        "{% include 'item.j2' %}",
    ],
)
def test_a_template_that_fails_on_a_value_is_named(body: str) -> None:
    with pytest.raises(PromptError, match=r"mine\.j2: ."):
        parse_prompt(prompt_text(body), HERE).render(title="Toy Story")


def test_values_are_data_not_templates() -> None:
    text = "{{ 7 * 7 }} {% raw %} <b>"
    assert parse_prompt(prompt_text("{{ title }}"), HERE).render(title=text) == text


def test_identity_changes_with_the_body_and_the_version() -> None:
    one = parse_prompt(prompt_text("{{ title }}"), HERE)
    assert one.identity == parse_prompt(prompt_text("{{ title }}"), Path("elsewhere.j2")).identity
    assert one.identity != parse_prompt(prompt_text("{{ title }}!"), HERE).identity
    newer = prompt_text("{{ title }}").replace("version = 3", "version = 4")
    assert one.identity != parse_prompt(newer, HERE).identity


def test_the_last_folder_wins_over_the_shipped_prompts(tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    for folder in (first, last):
        folder.mkdir()
        (folder / "item.j2").write_text(prompt_text(folder.name, "[]", "item"), encoding="utf-8")
    (first / "extra.j2").write_text(prompt_text("x", "[]", "extra"), encoding="utf-8")
    assert load_prompt("item", first, last).render() == "last"
    assert load_prompt("item", last, first).render() == "first"
    assert set(prompt_files(first, last)) == {*SHIPPED, "extra"}
    assert load_prompt("user", first).path == builtin_folder() / "user.j2"
    assert load_prompt("item", tmp_path / "no such folder").path == builtin_folder() / "item.j2"


def write(folder: Path, stem: str, version: int, body: str = "{{ title }}") -> Path:
    """A prompt called ``item`` in a file of that stem."""
    folder.mkdir(exist_ok=True)
    text = prompt_text(body, name="item").replace("version = 3", f"version = {version}")
    path = folder / f"{stem}.j2"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_version_is_the_file_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    own, second = write(folder, "item", 5, "own"), write(folder, "item@2", 2, "second")
    assert load_prompt("item", folder).path == load_prompt("item@5", folder).path == own
    assert load_prompt("item@2", folder).path == second
    assert load_prompt("item@1", folder).path == builtin_folder() / "item.j2"
    assert [prompt.spec for prompt in versions("item", folder)] == ["item@1", "item@2", "item@5"]
    first = write(folder, "item@1", 1, "first")
    assert load_prompt("item@1", folder).path == first, "the workspace's wins"
    assert versions("item", folder)[0].path == first
    with pytest.raises(PromptError, match="no prompt 'item@3'") as caught:
        load_prompt("item@3", folder)
    assert "item@1, item@2, item@5" in str(caught.value)


def test_two_files_of_one_version_are_not_chosen_between(tmp_path: Path) -> None:
    write(tmp_path, "item", 2)
    write(tmp_path, "item@2", 2)
    with pytest.raises(PromptError, match=r"item@2\.j2 and item\.j2 both say version 2"):
        load_prompt("item@2", tmp_path)


@pytest.mark.parametrize("stem", ["item@3", "terse"])
def test_a_file_and_its_header_agree(tmp_path: Path, stem: str) -> None:
    write(tmp_path, stem, 2)
    with pytest.raises(PromptError, match=rf"{stem}\.j2:1: its header says item@2"):
        load_prompt(stem, tmp_path)


@pytest.mark.parametrize("spec", ["", "@2", "item@", "item@02", "item@x", "item@1@2", "../item", "item@-1"])
def test_a_name_that_is_none(tmp_path: Path, spec: str) -> None:
    with pytest.raises(PromptError, match="no prompt"):
        load_prompt(spec, tmp_path)


def test_a_copy_is_the_next_version(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    copy = copy_prompt("item", folder)
    assert (copy.spec, copy.path) == ("item@2", folder / "item@2.j2")
    shipped = (builtin_folder() / "item.j2").read_text("utf-8")
    assert copy.path.read_text("utf-8") == shipped.replace("version = 1", "version = 2")
    assert load_prompt("item", folder).path == builtin_folder() / "item.j2", "what is used does not change"
    copy.path.write_text(
        copy.path.read_text("utf-8").replace("{{ title }}", "version = 9 {{ title }}"), "utf-8"
    )
    third = copy_prompt("item@2", folder)
    assert (third.spec, third.body) == ("item@3", load_prompt("item@2", folder).body)
    assert copy_prompt("item@1", folder).body == load_prompt("item").body


def test_a_copy_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("a file")
    with pytest.raises(PromptError, match="cannot be written"):
        copy_prompt("item", tmp_path / "prompts")


def test_an_unknown_prompt_names_the_choices() -> None:
    with pytest.raises(PromptError, match="no prompt named 'itme'") as caught:
        load_prompt("itme")
    assert "explain, explain_zh, item, user" in str(caught.value)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "item.j2").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptError, match=r"item\.j2: cannot be read"):
        load_prompt("item", tmp_path)


def test_prompts_are_found_inside_an_installed_package(tmp_path: Path) -> None:
    # The wheel holds prompts/ inside the package (see pyproject.toml); a checkout has it beside.
    package = tmp_path / "llmrec"
    shutil.copytree(Path(llmrec.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(builtin_folder(), package / "prompts")
    check = "from llmrec import prompts as p; print(p.builtin_folder(), *sorted(p.prompt_files()))"
    done = subprocess.run(
        [sys.executable, "-c", check],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.stdout.split() == [str(package / "prompts"), *sorted(SHIPPED)], done.stderr
