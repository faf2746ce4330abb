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

``item.j2`` is the prompt called ``item``; a workspace's own file wins over the shipped one. Versions of it
for experiments stand beside it as ``item@2.j2``, ``item@3.j2``, ...: they are used where they are named, in a
comparison or in ``llmrec.toml``. ``item@1`` is whichever file says that version, a workspace's first, so that
the shipped ``item@1`` can be named beside a workspace's own ``item.j2`` of another version.
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
_SPEC = re.compile(r"(?P<name>[^@]+)(?:@(?P<version>0|[1-9]\d{0,8}))?")
_VERSION = re.compile(r"^(?P<key>[ \t]*version[ \t]*=[ \t]*)\d+", re.MULTILINE)
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
    def spec(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

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
    """Template files by stem; a later folder wins over an earlier one and over the shipped prompts."""
    found: dict[str, Path] = {}
    for folder in (builtin_folder(), *folders):
        found |= {path.stem: path for path in sorted(folder.glob("*.j2"))}
    return found


def load_prompt(spec: str, *folders: Path) -> Prompt:
    """The prompt of that name from ``folders`` (the last wins) or the shipped ones.

    Args:
        spec: ``NAME`` for the file ``NAME.j2``, or ``NAME@VERSION`` for the one that says that version:
            ``NAME@VERSION.j2`` or ``NAME.j2``.
        folders: beside the shipped one.

    Raises:
        PromptError: there is none of that name or version, it is malformed, its header and its file's name
            differ, or two files of a folder say the same version.
    """
    match = _SPEC.fullmatch(spec)
    files = prompt_files(*folders)
    if match is None:
        raise PromptError(f"{spec!r} names no prompt", "Say NAME or NAME@VERSION, such as item@2.")
    if match["version"] is None:
        if spec not in files:
            raise PromptError(f"no prompt named {spec!r}", f"Prompts: {', '.join(sorted(files))}.")
        return _read(files[spec])
    name, version = match["name"], int(match["version"])
    for folder in reversed((builtin_folder(), *folders)):
        here = {path.stem: path for path in folder.glob("*.j2")}
        prompts = [_read(here[stem]) for stem in (spec, name) if stem in here]
        said = [prompt for prompt in prompts if prompt.version == version]
        if len(said) > 1:
            raise PromptError(
                f"{said[0].path} and {said[1].path.name} both say version {version}", "Change one of them."
            )
        if said:
            return said[0]
    known = ", ".join(prompt.spec for prompt in versions(name, *folders)) or ", ".join(sorted(files))
    raise PromptError(f"no prompt {spec!r}", f"There are: {known}.")


def versions(name: str, *folders: Path) -> list[Prompt]:
    """Every version of a prompt that can be named, in their order; of the same one the last folder's.

    Raises:
        PromptError: one of them is malformed.
    """
    found: dict[int, Prompt] = {}
    for folder in (builtin_folder(), *folders):
        for path in folder.glob("*.j2"):
            if path.stem.partition("@")[0] == name:
                prompt = _read(path)
                found[prompt.version] = prompt
    return [found[version] for version in sorted(found)]


def copy_prompt(spec: str, folder: Path, *folders: Path) -> Prompt:
    """Copy a prompt into ``folder`` as its next version, ``NAME@VERSION.j2``, to be edited there.

    Nothing but the version in its header changes, and no file is written over.

    Args:
        spec: as for :func:`load_prompt`.
        folder: a workspace's, made where it is missing.
        folders: others that the prompt and its versions may be in; ``folder`` is looked into last.

    Raises:
        PromptError: the prompt cannot be read, or the copy cannot be written.
    """
    source = load_prompt(spec, *folders, folder)
    version = versions(source.name, *folders, folder)[-1].version + 1
    path = folder / f"{source.name}@{version}.j2"
    text = source.path.read_text(encoding="utf-8")
    body = len(text) - len(source.body)
    text = _VERSION.sub(rf"\g<key>{version}", text[:body], count=1) + source.body
    prompt = parse_prompt(text, path)
    if prompt.version != version:
        raise PromptError(f"{source.path}: its version cannot be found", "Write it as a line, version = 1.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise PromptError(f"{path}: cannot be written: {error.strerror}") from error
    return prompt


def _read(path: Path) -> Prompt:
    """The prompt in a file, whose name agrees with what it says of itself."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read: {error}") from error
    prompt = parse_prompt(text, path)
    if path.stem not in (prompt.name, prompt.spec):
        raise PromptError(
            f"{path}:1: its header says {prompt.spec}",
            f"Name the file {prompt.name}.j2 or {prompt.spec}.j2, or change the header.",
        )
    return prompt


def caption_prompt(name: str, *folders: Path) -> str:
    """The words that begin every caption: those of the prompt of that name, none where it is empty."""
    return load_prompt(name, *folders).render().strip() if name else ""
