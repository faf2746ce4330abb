"""``llmrec finetune``: a workspace gets an adapter, or the reason why not, and loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_training import write_tiny_bert
from word_shop import SETTINGS, events, index

from llmrec.cli.main import run
from llmrec.errors import ConfigError, LlmrecError, MissingExtraError, TrainingError
from llmrec.progress import NoProgress
from llmrec.training.finetuning import Finetuned, finetune
from llmrec.training.running import last_checkpoint
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        return index(folder / "w", f"file:{write_tiny_bert(folder / 'tiny')}", events())


@pytest.fixture
def root(indexed: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(indexed, tmp_path / "w"))


@pytest.fixture
def opened(root: Path) -> Iterator[Workspace]:
    workspace = Workspace(root)
    yield workspace
    workspace.close()


class Interrupting(NoProgress):
    """Presses Ctrl-C in a step of training."""

    def __init__(self, step: int) -> None:
        self.step = step

    @contextmanager
    def task(
        self, name: str, total: int | None = None, unit: str = "items", done: int = 0
    ) -> Iterator[Interrupting]:
        self.done = done if name == "Fine-tuning" else -1000
        yield self

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def note(self, text: str) -> None:
        pass


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weights(done: Finetuned) -> str:
    return str(done.card["sha256"]["adapter_model.safetensors"])


def test_an_adapter_with_its_card(opened: Workspace) -> None:
    done = finetune(opened, SETTINGS, "first")
    assert done.folder == opened.root / "adapters" / "first"
    assert files(done.folder) == [
        *("adapter_config.json", "adapter_model.safetensors"),
        *("card.json", "curve.json", "curve.png"),
    ]
    card = json.loads((done.folder / "card.json").read_text(encoding="utf-8"))
    assert card == done.card
    assert card["base"]["name"] == opened.settings.models.encoder
    assert card["base"]["licence"] is None
    assert (
        card["metrics"]["before"].keys() == card["metrics"]["after"].keys() == {"ndcg@10", "recall@10", "mrr"}
    )
    assert card["data"]["users"] == card["data"]["validation_users"] == 60
    assert card["data"]["events"] == 60 * 3, "two of six events of each are held back, and one to practise on"
    assert card["data"]["end"] < 1_600_000_000 + 100 * 59 + 3
    assert card["settings"] == SETTINGS.model_dump(mode="json")
    assert card["steps"] == 6
    content = (done.folder / "adapter_model.safetensors").read_bytes()
    assert weights(done) == hashlib.sha256(content).hexdigest()
    config = json.loads((done.folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == opened.settings.models.encoder
    curve = json.loads((done.folder / "curve.json").read_text(encoding="utf-8"))
    assert curve[0] == {"step": 0, "epoch": 0.0, **card["metrics"]["before"]}
    assert not [*(opened.root / "training").glob("*")], "nothing of the run is left"


def test_the_same_again_and_after_an_interruption(opened: Workspace) -> None:
    whole = finetune(opened, SETTINGS)
    assert whole.folder.name == "lora-1"
    with pytest.raises(TrainingError, match="interrupted after step 3 of 6"):
        finetune(opened, SETTINGS, progress=Interrupting(3))
    assert files(opened.root / "adapters") == ["lora-1"]
    (run,) = (opened.root / "training").iterdir()
    with pytest.raises(ConfigError, match="are not those that the run was begun with"):
        finetune(opened, SETTINGS.model_copy(update={"seed": 1}), resume=True)
    assert last_checkpoint(run) is not None, "a refusal takes nothing away"
    resumed = finetune(opened, SETTINGS, resume=True)
    assert resumed.folder.name == "lora-2"
    assert weights(resumed) == weights(whole)
    assert resumed.card["metrics"] == whole.card["metrics"]
    other = finetune(opened, SETTINGS.model_copy(update={"seed": 1}), "other")
    assert weights(other) != weights(whole)


def test_what_cannot_go_on_says_so(opened: Workspace) -> None:
    with pytest.raises(ConfigError, match="no run that could go on"):
        finetune(opened, SETTINGS, resume=True)
    (opened.root / "training" / "a").mkdir(parents=True)
    with pytest.raises(ConfigError, match="no run 'b' that could go on"):
        finetune(opened, SETTINGS, "b", resume=True)
    (opened.root / "training" / "b").mkdir()
    with pytest.raises(ConfigError, match=r"several runs could go on\n.*a, b"):
        finetune(opened, SETTINGS, resume=True)


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 65])
def test_names_stay_in_their_folder(opened: Workspace, name: str) -> None:
    with pytest.raises(ConfigError, match="not a name"):
        finetune(opened, SETTINGS, name)


def test_a_taken_name_is_refused(opened: Workspace) -> None:
    (opened.root / "adapters" / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="there is an adapter or an unfinished run"):
        finetune(opened, SETTINGS, "mine")


def refused(root: Path) -> LlmrecError:
    workspace = Workspace(root)
    try:
        with pytest.raises(LlmrecError) as error:
            finetune(workspace, SETTINGS)
    finally:
        workspace.close()
    assert not (root / "adapters").exists()
    assert not [*root.glob("training/*")]
    return error.value


def test_a_log_with_too_little(indexed: Path, tmp_path: Path) -> None:
    encoder = f"file:{indexed.parent / 'tiny'}"
    few = refused(index(tmp_path / "few", encoder, events(users=5)))
    assert isinstance(few, TrainingError)
    assert "pairs to learn from, and it takes 100" in few.message
    plugin = refused(index(tmp_path / "plugin", "plugin:words", events()))
    assert isinstance(plugin, ConfigError)
    assert "plugin:words: a plug-in has no weights" in plugin.message


def test_a_missing_package_is_named_before_anything_is_done(
    opened: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib .*\n.*llmrec\[finetune\]"):
        finetune(opened, SETTINGS)


def test_a_folder_that_cannot_be_written_is_named(opened: Workspace) -> None:
    (opened.root / "adapters").write_text("a file in the place of the folder", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"adapters.*cannot be written"):
        finetune(opened, SETTINGS)
    (opened.root / "adapters").unlink()
    assert finetune(opened, SETTINGS, resume=True).card["steps"] == 6, "what was trained is not lost"


def test_the_command(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_steps: 2\nbatch_size: 32\nmax_tokens: 24\n", encoding="utf-8")
    arguments = ["--workspace", str(root), "--config", str(recipe), "--name", "mine"]
    monkeypatch.setattr(sys, "argv", ["llmrec", "finetune", *arguments, "--json"])
    with pytest.raises(SystemExit, match="0"):
        run()
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "mine"
    assert Path(document["folder"]) == root / "adapters" / "mine"
    monkeypatch.setattr(sys, "argv", ["llmrec", "finetune", *arguments])
    with pytest.raises(SystemExit, match="1"):
        run()
    assert "'mine'" in capsys.readouterr().err


def test_two_processes_train_one_adapter(root: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("batch_size: 32\nmax_tokens: 24\nevaluations: 1\nepochs: 2\n", encoding="utf-8")
    script = Path(__file__).parents[2] / "finetune" / "lora.py"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = subprocess.run(
        [*launch, str(script), "--workspace", str(root), "--config", str(recipe), "--name", "both"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((root / "adapters" / "both" / "card.json").read_text(encoding="utf-8"))
    assert card["steps"] == 2 * (card["data"]["pairs"] // 32 // 2), "each process takes every second batch"
    assert card["steps"] > 0
    assert files(root / "adapters") == ["both"]
