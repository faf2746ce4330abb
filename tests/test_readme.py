"""The documents say what the command line takes."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from llmrec.cli.main import app

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def commands() -> Iterator[list[str]]:
    """Every ``llmrec`` line of the README's blocks; ``a|b`` stands for both."""
    for line in README.read_text(encoding="utf-8").splitlines():
        if re.match(r"    llmrec ", line):
            words = shlex.split(line, comments=True)[1:]
            choices = [word.split("|") if re.fullmatch(r"[a-z|]+", word) else [word] for word in words]
            yield from (list(chosen) for chosen in itertools.product(*choices))


@pytest.mark.parametrize("arguments", list(commands()), ids=" ".join)
def test_every_command_of_the_readme_parses(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("llmrec", list(arguments))
    name, leaf, rest = command.resolve_command(context, list(arguments))  # type: ignore[attr-defined]
    if hasattr(leaf, "commands"):
        group = leaf.make_context(name, list(rest), parent=context)
        name, leaf, rest = leaf.resolve_command(group, list(rest))
        context = group
    leaf.make_context(name, list(rest), parent=context)


def test_the_readme_shows_commands() -> None:
    assert len(list(commands())) >= 8


def test_every_command_is_in_the_readme() -> None:
    shown = {arguments[0] for arguments in commands()} | set(
        re.findall(r"`llmrec (\w+)", README.read_text("utf-8"))
    )
    names = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert names - shown - {"demo"} == set()


def test_the_version_is_the_same_everywhere() -> None:
    import llmrec

    assert f'version = "{llmrec.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"## {llmrec.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
