"""Take out of the notebooks what a run left in them, as git keeps them: python notebooks/strip.py"""

from __future__ import annotations

from pathlib import Path

import nbformat


def stripped(text: str) -> str:
    """A notebook's text without outputs, counts and versions of whoever ran it last."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata = nbformat.from_dict({"language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return f"{nbformat.writes(notebook, version=4).rstrip()}\n"


if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        if (after := stripped(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path}: stripped")
