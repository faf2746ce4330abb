"""``llmrec finetune --role explainer``: an explainer that a workspace can use, or the reason why not."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_explainer import SETTINGS, event_rows, index, write_tiny_gguf
from test_finetune_command import Interrupting, files, weights

from llmrec.cli.main import run
from llmrec.config import Settings
from llmrec.errors import AssetError, ConfigError, LlmrecError, MissingExtraError, TrainingError
from llmrec.explain.generator import load_generator
from llmrec.progress import NoProgress
from llmrec.training.explainer.cases import PastCases
from llmrec.training.explainer.finetuning import finetune_explainer, setting_of
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow

UNCHECKED = SETTINGS.model_copy(update={"checked": 0})


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        return index(folder / "w", f"file:{write_tiny_gguf(folder / 'tiny.gguf')}")


@pytest.fixture
def root(indexed: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(indexed, tmp_path / "w"))


@pytest.fixture
def opened(root: Path) -> Iterator[Workspace]:
    workspace = Workspace(root)
    yield workspace
    workspace.close()


def test_an_explainer_with_its_card(opened: Workspace) -> None:
    done = finetune_explainer(opened, SETTINGS)
    assert done.folder == opened.root / "explainers" / "explainer-1"
    assert files(done.folder) == [
        *("adapter_config.json", "adapter_model.safetensors", "card.json"),
        *("curve.json", "curve.png", "explainer.gguf"),
    ]
    card = done.card
    assert card["role"] == "explainer"
    assert card["base"]["name"] == opened.settings.models.explainer
    assert len(card["base"]["fingerprint"]) == 64
    assert (
        card["metrics"]["before"].keys() == card["metrics"]["after"].keys() == {"held_out_loss", "verified"}
    )
    assert card["metrics"]["after"]["held_out_loss"] < 0.8 * card["metrics"]["before"]["held_out_loss"]
    assert card["checked"]["users"] == 2
    assert card["checked"]["grammar"] is False
    assert card["data"]["examples"] == 100
    assert card["data"]["held_out_users"] == card["data"]["held_out_examples"] == 8
    assert card["data"]["events"] == 40 * 5, "two of seven events of each are held back"
    assert card["data"]["end"] < 1_600_000_000 + 100 * 39 + 5
    assert card["settings"] == SETTINGS.model_dump(mode="json")
    assert card["steps"] == 10
    assert set(card["sha256"]) == {"adapter_config.json", "adapter_model.safetensors", "explainer.gguf"}
    curve = json.loads((done.folder / "curve.json").read_text(encoding="utf-8"))
    assert curve[0]["held_out_loss"] == card["metrics"]["before"]["held_out_loss"]
    assert (done.folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not [*(opened.root / "explainer-training").glob("*")], "nothing of the run is left"
    stated = tomllib.loads(f"[models]\n{setting_of(done)}")
    spec = Settings.model_validate(stated).models.explainer
    assert (
        load_generator(spec, NoProgress()).generate("Explain.", "Why?", max_tokens=4, timeout=60) is not None
    )


def test_the_same_again_and_after_an_interruption(opened: Workspace) -> None:
    whole = finetune_explainer(opened, UNCHECKED)
    with pytest.raises(TrainingError, match="interrupted after step 4 of 10"):
        finetune_explainer(opened, UNCHECKED, progress=Interrupting(4))
    assert files(opened.root / "explainers") == ["explainer-1"]
    with pytest.raises(ConfigError, match="are not those that the run was begun with"):
        finetune_explainer(opened, UNCHECKED.model_copy(update={"seed": 1}), resume=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(PastCases, "__call__")  # the examples are those that the run has kept
        resumed = finetune_explainer(opened, UNCHECKED, resume=True)
    assert resumed.folder.name == "explainer-2"
    assert weights(resumed) == weights(whole)
    assert resumed.card["metrics"] == whole.card["metrics"]


def test_one_that_is_in_use_begins_with_its_base(root: Path, opened: Workspace) -> None:
    few = UNCHECKED.model_copy(update={"max_steps": 2})
    first = finetune_explainer(opened, few)
    toml = (root / "llmrec.toml").read_text(encoding="utf-8")
    old = f'explainer = "{opened.settings.models.explainer}"'
    assert old in toml
    (root / "llmrec.toml").write_text(toml.replace(old, setting_of(first)), encoding="utf-8")
    workspace = Workspace(root)
    second = finetune_explainer(workspace, few)
    workspace.close()
    assert second.card["base"] == first.card["base"]
    assert weights(second) == weights(first)


def test_every_way_to_save_memory_learns(opened: Workspace) -> None:
    changes = {"precision": "bfloat16", "accumulation": 2, "weights": "f16"}
    done = finetune_explainer(opened, UNCHECKED.model_copy(update=changes))
    assert done.card["steps"] == 6
    metrics = done.card["metrics"]
    assert metrics["after"]["held_out_loss"] < 0.9 * metrics["before"]["held_out_loss"]


def test_four_bit_weights_learn(opened: Workspace) -> None:
    done = finetune_explainer(opened, UNCHECKED.model_copy(update={"quantization": "nf4"}))
    metrics = done.card["metrics"]
    assert metrics["after"]["held_out_loss"] < 0.9 * metrics["before"]["held_out_loss"]


def refused(root: Path) -> LlmrecError:
    workspace = Workspace(root)
    try:
        with pytest.raises(LlmrecError) as error:
            finetune_explainer(workspace, UNCHECKED)
    finally:
        workspace.close()
    assert not (root / "explainers").exists()
    assert not [*root.glob("explainer-training/*")]
    return error.value


def test_what_cannot_be_learnt_from(indexed: Path, tmp_path: Path) -> None:
    model = f"file:{indexed.parent / 'tiny.gguf'}"
    few = refused(index(tmp_path / "few", model, event_rows(users=20)))
    assert isinstance(few, TrainingError)
    assert "explanations to learn from, and it takes 100" in few.message
    empty = refused(index(tmp_path / "empty", model, []))
    assert isinstance(empty, TrainingError)
    assert "gives 0 explanations" in empty.message
    assert "--interactions LOG" in str(empty.hint)


def test_models_that_cannot_be_trained(indexed: Path, tmp_path: Path) -> None:
    plugin = refused(index(tmp_path / "plugin", "plugin:liar"))
    assert isinstance(plugin, ConfigError)
    assert "plugin:liar: a plug-in has no weights" in plugin.message
    other = write_tiny_gguf(tmp_path / "other.gguf", architecture="qwen2")
    assert "'qwen2'" in refused(index(tmp_path / "other", f"file:{other}")).message
    save_file({"weight": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    folder = refused(index(tmp_path / "single", f"file:{tmp_path / 'model.safetensors'}"))
    assert isinstance(folder, ConfigError)
    assert "not a GGUF file" in folder.message
    assert isinstance(refused(index(tmp_path / "none", "file:nowhere.gguf")), AssetError)


def test_a_missing_package_is_named(opened: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"peft .*\n.*llmrec\[finetune\]"):
        finetune_explainer(opened, UNCHECKED)


def test_a_folder_that_cannot_be_written_is_named(opened: Workspace) -> None:
    few = UNCHECKED.model_copy(update={"max_steps": 2})
    (opened.root / "explainers").write_text("a file in the place of the folder", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"explainers.*cannot be written"):
        finetune_explainer(opened, few)
    (opened.root / "explainers").unlink()
    assert finetune_explainer(opened, few, resume=True).card["steps"] == 2, "what was trained is not lost"


def test_the_command(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = "examples: 100\nheld_out_users: 8\nmax_steps: 2\nmax_tokens: 1500\nbatch_size: 10\nchecked: 0\n"
    recipe.write_text(text, encoding="utf-8")
    arguments = ["--role", "explainer", "--workspace", str(root), "--config", str(recipe), "--name", "mine"]
    monkeypatch.setattr(sys, "argv", ["llmrec", "finetune", *arguments, "--json"])
    with pytest.raises(SystemExit, match="0"):
        run()
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "mine"
    assert document["setting"] == f'explainer = "file:{root / "explainers" / "mine" / "explainer.gguf"}"'
    monkeypatch.setattr(sys, "argv", ["llmrec", "finetune", *arguments])
    with pytest.raises(SystemExit, match="1"):
        run()
    assert "'mine'" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["llmrec", "finetune", *arguments[2:]])
    with pytest.raises(SystemExit, match="1"):
        run()
    assert "--role encoder" in capsys.readouterr().err
