"""Data flows one way: a module imports only from stages before its own, and starts fast."""

from __future__ import annotations

import ast
import copy
import subprocess
import sys
from pathlib import Path

import pytest

import llmrec

PACKAGE = Path(llmrec.__file__).parent

# Earliest first. A stage may import itself and every stage before it.
STAGES = [
    {"schema", "errors", "progress"},
    {"config"},
    {"assets"},
    {"runtime"},
    {"readers"},
    {"media"},
    {"modality"},
    {"prompts"},
    {"documents"},
    {"encode"},
    {"store"},
    {"rank"},
    {"evaluate"},
    {"explain", "reports"},
    {"workspace"},
    {"users"},
    {"training"},
    {"explaining", "evaluating"},
    {"tuning"},
    {"indexing", "recommender", "asking"},
    {"adapters", "demo", "experiments", "precisions"},
    {"api"},
    {"api", "plotting"},
    {"cli"},
]
STAGE_OF = {name: position for position, names in enumerate(STAGES) for name in names}

MEDIA = {"PIL", "av", "cv2", "rapidocr", "faster_whisper", "ctranslate2", "whisper", "onnxruntime"}
HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "openvino",
    "xllamacpp",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "matplotlib",
    "peft",
    "pandas",
    "sklearn",
    *MEDIA,
}
MAX_LINES = 350


def modules() -> dict[str, Path]:
    """Dotted name → file of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def stage_of(module: str) -> str:
    return module.split(".")[1]


def imports(tree: ast.AST, module: str, path: Path) -> list[str]:
    """Every imported module by its full name; a `from` import also as if each name were a module."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
            found.append(base)
            found += [f"{base}.{alias.name}" for alias in node.names]
    return found


def run_at_import(tree: ast.Module) -> ast.Module:
    """The tree without the bodies of functions and of `if TYPE_CHECKING`, which do not run at import."""

    class Outer(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    return Outer().visit(copy.deepcopy(tree))


TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
IMPORTS = {name: imports(TREES[name], name, path) for name, path in MODULES.items()}


def test_every_stage_is_seen() -> None:
    # Without this the tests below could pass by looking at nothing.
    assert len(MODULES) >= 75
    staged = {stage_of(name) for name in MODULES if name.count(".")}
    assert staged == set(STAGE_OF), "a new module or package needs a stage here and in the design"


def test_imports_only_from_stages_before() -> None:
    later = {
        f"{name} imports {target}"
        for name in MODULES
        if name.count(".")
        for target in IMPORTS[name]
        if target.startswith("llmrec.")
        and stage_of(target) in STAGE_OF
        and stage_of(target) != stage_of(name)
        and STAGE_OF[stage_of(target)] >= STAGE_OF[stage_of(name)]
    }
    assert later == set()


def test_the_walk_finds_imports_of_every_form() -> None:
    source = (
        "import llmrec.rank.linear\nfrom llmrec import store\nfrom . import base\nfrom ..cli import main\n"
    )
    seen = imports(ast.parse(source), "llmrec.encode.load", Path("load.py"))
    assert {"llmrec.rank.linear", "llmrec.store", "llmrec.encode.base", "llmrec.cli.main"} <= set(seen)


TRAINING = {
    *("llmrec.rank.gradient", "llmrec.rank.sequence.network", "llmrec.rank.sequence.training"),
    *("llmrec.training.adapting", "llmrec.training.batches", "llmrec.training.explainer.trainer"),
    *("llmrec.training.captioner.measuring", "llmrec.training.captioner.network"),
    *("llmrec.training.captioner.trainer", "llmrec.training.loss", "llmrec.training.trainer"),
}
"""Modules that torch's classes are written in. Only functions import them."""


def test_heavy_packages_are_not_imported_at_module_level() -> None:
    at_import = {
        f"{name} imports {target}"
        for name, path in MODULES.items()
        for target in imports(run_at_import(TREES[name]), name, path)
        if (target.split(".")[0] in HEAVY and name not in TRAINING)
        or (target in TRAINING and name not in TRAINING)
    }
    assert at_import == set()
    anywhere = {target.split(".")[0] for targets in IMPORTS.values() for target in targets}
    assert {"torch", "sentence_transformers", "openvino", "xllamacpp"} <= anywhere, "the search finds nothing"


def test_modules_stay_small() -> None:
    sizes = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import llmrec",
        "from llmrec import Item, Interaction",
        "from typer.testing import CliRunner\n"
        "from llmrec.cli.main import app\n"
        "assert 'recommend' in CliRunner().invoke(app, ['--help'], catch_exceptions=False).output",
    ],
    ids=["package", "values", "help"],
)
def test_starts_without_stores_and_models(statement: str) -> None:
    slow = sorted(HEAVY | {"lancedb", "sqlalchemy"})
    check = f"import sys\n{statement}\nprint([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_check_of_loaded_modules_can_fail() -> None:
    check = "import sys\nimport llmrec.store.events\nprint('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr
