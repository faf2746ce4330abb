"""A report's files: JSON for programs, Markdown for reading anywhere, one HTML page with plots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from llmrec.errors import EvaluationError
from llmrec.evaluate.plots import plots
from llmrec.evaluate.report import SCORER, Document

JSON, MARKDOWN, HTML = "report.json", "report.md", "report.html"


def write_report(document: Document, folder: Path) -> None:
    """Write the three files into ``folder``, which must not be there yet: all of them or none.

    Raises:
        EvaluationError: the folder exists, or cannot be written.
    """
    check_folder(folder)
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        part.mkdir(parents=True)
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
        (part / JSON).write_text(f"{text}\n", encoding="utf-8")
        (part / MARKDOWN).write_text(markdown(document), encoding="utf-8")
        (part / HTML).write_text(html(document), encoding="utf-8")
        part.rename(folder)
    except OSError as error:
        raise EvaluationError(f"{folder}: the report cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Refuse to write over a report.

    Raises:
        EvaluationError: the folder exists.
    """
    if folder.exists():
        raise EvaluationError(f"{folder}: is there already", "Name a new folder with --report.")


def markdown(document: Document) -> str:
    """The report as Markdown."""
    return _environment().get_template("report.md.j2").render(document, scorer=SCORER)


def html(document: Document) -> str:
    """The report as one page that needs no other file, with plots where matplotlib is installed."""
    drawn = {caption: Markup(svg) for caption, svg in plots(document).items()}  # noqa: S704
    return _environment().get_template("report.html.j2").render(document, scorer=SCORER, plots=drawn)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("llmrec.evaluate"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": _cell,
        "number": _number,
        "setting": _setting,
        "share": _share,
        "signed": _signed,
    }
    return environment


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f}%"


def _setting(setting: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in setting.items()) or "–"


def _cell(value: object) -> str:
    """Text that stays within its cell of a Markdown table and is no markup there."""
    text = " ".join(str(value).split())
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>|" else sign for sign in text)
