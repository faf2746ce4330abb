"""Prompts: Jinja2 templates in files, each with a header that names it and its variables.

A template starts with a comment that holds TOML::

    {#
    name = "item"
    version = 1
    description = "An item as the encoder reads it."
    variables = ["title", "fields"]
    #}
    {{ title }} ...

Templates run sandboxed and strictly: a variable that the header does not declare, or that the caller does
not give, is an error by name, never an empty string.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationError

from llmrec.config import problems
from llmrec.errors import PromptError

_HEADER = re.compile(r"\A\s*\{#(?P<toml>.*?)#\}[ \t]*\n?", re.DOTALL)
_environment = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    version: int
    description: str = ""
    variables: list[str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template ready to render."""

    name: str
    version: int
    description: str
    variables: tuple[str, ...]
    path: Path
    body: str
    _template: jinja2.Template = field(repr=False, compare=False)

    @property
    def identity(self) -> str:
        """``name@version:hash``: it changes when the body does, even if the version was forgotten."""
        return f"{self.name}@{self.version}:{hashlib.sha256(self.body.encode()).hexdigest()[:12]}"

    def render(self, **variables: Any) -> str:
        """The text for these variables, without white space around it.

        Raises:
            PromptError: a declared variable is missing, or the template fails on a value.
        """
        if missing := [name for name in self.variables if name not in variables]:
            raise PromptError(f"{self.path}: declares {', '.join(missing)}, which nothing is given for")
        try:
            return self._template.render(**variables).strip()
        except Exception as error:  # a template's expressions can fail in any way that Python's can
            raise PromptError(f"{self.path}: {error}") from error


def parse_prompt(text: str, path: Path) -> Prompt:
    """Read a template.

    Raises:
        PromptError: the header is missing or wrong, the body does not parse, or it uses undeclared variables.
    """
    header = _HEADER.match(text)
    if header is None:
        raise PromptError(
            f"{path}:1: no header", "Begin the file with {# name = ..., version = ..., variables = [...] #}."
        )
    body = text[header.end() :]
    try:
        fields = _Header.model_validate(tomllib.loads(header["toml"]))
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"{path}:1: header: {error}") from error
    except ValidationError as error:
        raise PromptError(f"{path}:1: header: {problems(error)}") from error
    try:
        used = jinja2.meta.find_undeclared_variables(_environment.parse(body))
        template = _environment.from_string(body)
    except jinja2.TemplateSyntaxError as error:
        line = text[: header.end()].count("\n") + error.lineno
        raise PromptError(f"{path}:{line}: {error.message}") from error
    if undeclared := sorted(used - set(fields.variables)):
        raise PromptError(f"{path}: uses {', '.join(undeclared)}, which its header does not declare")
    return Prompt(
        fields.name, fields.version, fields.description, tuple(fields.variables), path, body, template
    )


def builtin_folder() -> Path:
    """The prompts that llmrec ships: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def prompt_files(*folders: Path) -> dict[str, Path]:
    """Template files by name; a later folder wins over an earlier one and over the shipped prompts."""
    found: dict[str, Path] = {}
    for folder in (builtin_folder(), *folders):
        found |= {path.stem: path for path in sorted(folder.glob("*.j2"))}
    return found


def load_prompt(name: str, *folders: Path) -> Prompt:
    """The prompt of that name from ``folders`` (the last wins) or the shipped ones.

    Raises:
        PromptError: there is none of that name, or it is malformed.
    """
    files = prompt_files(*folders)
    if name not in files:
        raise PromptError(f"no prompt named {name!r}", f"Prompts: {', '.join(sorted(files))}.")
    try:
        text = files[name].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{files[name]}: cannot be read: {error}") from error
    return parse_prompt(text, files[name])


def caption_prompt(name: str, *folders: Path) -> str:
    """The words that begin every caption: those of the prompt of that name, none where it is empty."""
    return load_prompt(name, *folders).render().strip() if name else ""
