"""What every command prints: tables for people, JSON for programs, errors with the way out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmrec.errors import LlmrecError
from llmrec.progress import ConsoleProgress, NoProgress, Progress

_WIDE = 10_000
console = Console(width=None if sys.stdout.isatty() else _WIDE)
"""Where tables go; in a pipe or file their lines are not wrapped, so that paths in them can be found."""
errors = Console(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables and bars.")]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: object) -> Text:
    """Untrusted text for the terminal: no markup, no escape sequences, no direction overrides."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def print_json(value: Any) -> None:
    """Print one JSON document on standard output; NaN and infinities are refused."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, allow_nan=False, indent=2) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table. Cells are untrusted text unless they already are a rich ``Text``."""
    if title:  # not the table's own, which is wrapped to its width
        console.print(plain(title), style="table.title", soft_wrap=True)
    table = Table()
    for name in columns:
        table.add_column(name, overflow="fold")  # a figure that is cut short says nothing
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    console.print(table)


def change(difference: Mapping[str, float] | None) -> str:
    """A difference for tables: its ``mean``, and its interval from ``low`` to ``high``; empty for None."""
    return "" if difference is None else "{mean:+.4f} [{low:+.4f}, {high:+.4f}]".format_map(difference)


def print_error(error: LlmrecError) -> None:
    """Print an error and its hint on standard error."""
    errors.print(Text("error: ", style="bold red") + plain(error.message), soft_wrap=True)
    if error.hint:
        errors.print(plain(error.hint), soft_wrap=True)


def progress_for(json_output: bool) -> Progress:
    """Bars (or log lines) beside tables; nothing beside JSON."""
    return NoProgress() if json_output else ConsoleProgress(errors)
