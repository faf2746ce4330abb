"""The notebooks: stripped in git, through the public API only, and each runs from first cell to last."""

from __future__ import annotations

import ast
import base64
import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from strip import stripped

from llmrec import api, demo

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FILES = sorted(NOTEBOOKS.glob("*.ipynb"))
PICTURES = {
    "01_quickstart": 2,
    "02_multimodal_items": 2,
    "03_prompt_experiments": 3,
    "04_finetune_and_evaluate": 5,
}
"""How many plots each shows."""
PUBLIC = {"llmrec", "llmrec.demo", "llmrec.plotting"}
"""What a notebook may import of llmrec; ``api`` is a name of the first."""
ELSEWHERE = {"IPython", "matplotlib", "pathlib", "shutil"}


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> ast.Module:
    return ast.parse("\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code"))


def test_they_are_there() -> None:
    assert [path.stem for path in FILES] == sorted(PICTURES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outputs_are_stripped(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    nbformat.validate(notebook)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    assert stripped(path.read_text("utf-8")) == path.read_text("utf-8"), "run python notebooks/strip.py"
    assert notebook["cells"][0]["source"][0].startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_the_public_api_is_used(path: Path) -> None:
    seen: set[str] = set()
    for node in ast.walk(code(path)):
        if isinstance(node, ast.ImportFrom):
            seen.add(node.module or "")
        elif isinstance(node, ast.Import):
            seen |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), ast.unparse(node)
            if isinstance(node.value, ast.Name) and node.value.id == "api":
                assert node.attr in api.__all__
        if isinstance(node, ast.ImportFrom) and node.module == "llmrec.demo":
            assert {alias.name for alias in node.names} <= set(demo.__all__)
    assert {"llmrec", "llmrec.plotting"} <= seen
    assert {name for name in seen if name.startswith("llmrec")} <= PUBLIC
    assert {name.partition(".")[0] for name in seen} <= {"llmrec", *ELSEWHERE}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel of the interpreter that runs the tests, whatever kernels are installed."""
    folder = tmp_path / "jupyter" / "kernels" / "of-the-tests"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a kernel shows plots by its own one
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return folder.name


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs(path: Path, kernel: str, model_home: Path, tmp_path: Path) -> None:
    from nbclient import NotebookClient

    notebook = read(path)
    here = tmp_path / "here"
    here.mkdir()
    client = NotebookClient(
        notebook, timeout=1800, kernel_name=kernel, resources={"metadata": {"path": str(here)}}
    )
    client.execute()
    assert stripped(nbformat.writes(notebook)) == path.read_text("utf-8"), "a run leaves nothing in git"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == PICTURES[path.stem]
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    told = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert "Traceback" not in told
    assert [entry.name for entry in here.iterdir()] == [".llmrec"], "nothing is left elsewhere"
