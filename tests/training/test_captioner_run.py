"""``llmrec finetune --role captioner``: a BLIP folder that transformers loads, or the reason why not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blip_folders import pictures
from PIL import Image
from shop import write_items
from small_captioner import KINDS, SETTINGS, rows, workspace_at, write_pairs
from test_finetune_command import Interrupting, files

from llmrec.cli.main import run
from llmrec.config import CaptionSettings, MediaSettings, Settings
from llmrec.errors import ConfigError, LlmrecError, MissingExtraError, TrainingError
from llmrec.indexing import IndexRun, Sources
from llmrec.modality.blip import load_captioner
from llmrec.modality.blip.folder import read_blip_folder
from llmrec.modality.blip.pixels import to_pixels
from llmrec.modality.blip.torch_engine import load_blip
from llmrec.training.captioner.base import Base
from llmrec.training.captioner.finetuning import finetune_captioner, setting_of
from llmrec.training.captioner.pairs import Pairs, catalog_pairs, read_pairs
from llmrec.training.captioner.tower import Tower
from llmrec.training.captioner.train import trainable
from llmrec.training.runs import Finetuned
from llmrec.training.settings import CaptionerSettings
from llmrec.workspace import Workspace

LOSSES = {"held_out_loss", "shuffled_loss"}
ONE_STAGE = SETTINGS.model_copy(update={"stages": (), "epochs": 2})


def changed(**changes: Any) -> CaptionerSettings:
    return CaptionerSettings.model_validate(ONE_STAGE.model_dump() | changes)


def weights(done: Finetuned) -> str:
    return str(done.card["sha256"]["model.safetensors"])


def test_a_captioner_with_its_card(opened: Workspace, pairs: Pairs, source: Path) -> None:
    done = finetune_captioner(opened, pairs, SETTINGS.model_copy(update={"terms": "made by the tests"}))
    assert done.folder == opened.root / "captioners" / "captioner-1"
    assert files(done.folder) == [
        *("card.json", "config.json", "curve.json", "curve.png", "generation_config.json", "left_out.jsonl"),
        *("model.safetensors", "processor_config.json", "samples.json", "tokenizer.json"),
        *("tokenizer_config.json", "vocab.txt"),
    ]
    card = done.card
    before, after = card["metrics"]["before"], card["metrics"]["after"]
    assert before.keys() == after.keys() == LOSSES | {"bleu4", "cider_d"}
    assert after["held_out_loss"] < 0.5 * before["held_out_loss"]
    assert after["shuffled_loss"] > after["held_out_loss"] + 1, "it looks at the picture"
    assert after["cider_d"] > before["cider_d"]
    assert card["role"] == "captioner"
    assert card["base"]["name"] == opened.settings.models.captioner
    assert len(card["base"]["fingerprint"]) == 64
    assert card["base"]["data"] is None
    data = card["data"]
    assert data["pictures"] + data["held_out_pictures"] == 60
    assert data["captions"] == 2 * data["pictures"]
    assert data["left_out"] == {}
    assert data["terms"] == "made by the tests"
    assert [stage["vision_layers"] for stage in card["stages"]] == [0, 1]
    assert card["steps"] == sum(stage["steps"] for stage in card["stages"])
    assert {"config.json", "model.safetensors", "samples.json", "tokenizer.json"} <= set(card["sha256"])
    curve = json.loads((done.folder / "curve.json").read_text(encoding="utf-8"))
    steps = [point["step"] for point in curve]
    assert steps == sorted(steps)
    assert steps[-1] == card["steps"]
    assert {name: curve[0][name] for name in LOSSES} == {name: before[name] for name in LOSSES}
    samples = json.loads((done.folder / "samples.json").read_text(encoding="utf-8"))
    assert samples[0]["step"] == 0
    assert samples[-1]["step"] == card["steps"]
    assert len(samples[-1]["captions"]) == 3
    assert {sample["references"][0] for sample in samples[-1]["captions"]} <= {*KINDS}
    assert not [*(opened.root / "captioner-training").glob("*")], "nothing of the run is left"


@pytest.mark.slow
def test_what_is_written_is_what_was_trained(opened: Workspace, pairs: Pairs, source: Path) -> None:
    from transformers import BlipForConditionalGeneration

    for settings in (ONE_STAGE, changed(method="lora", learning_rate=1e-2)):
        done = finetune_captioner(opened, pairs, settings)
        model, report = BlipForConditionalGeneration.from_pretrained(done.folder, output_loading_info=True)
        assert not any(report.values())
        assert not any("lora" in name for name, _ in model.named_parameters())
        config = (done.folder / "config.json").read_text(encoding="utf-8")
        assert str(opened.root) not in config, "a folder that may be given away names no machine's paths"
        assert str(source) not in config
        stated = Settings.model_validate(tomllib.loads(f"[models]\n{setting_of(done)}"))
        captioner = load_captioner(stated.models.captioner, CaptionSettings(engine="torch"))
        samples = json.loads((done.folder / "samples.json").read_text(encoding="utf-8"))
        best = {"held_out_loss": done.card["metrics"]["after"]["held_out_loss"]}
        curve = json.loads((done.folder / "curve.json").read_text(encoding="utf-8"))
        step = next(point["step"] for point in curve if best.items() <= point.items())
        said = next(entry["captions"] for entry in samples if entry["step"] == step)
        shown = [np.asarray(Image.open(source / "pictures" / one["picture"]).convert("RGB")) for one in said]
        assert [caption.text for caption in captioner.caption(shown)] == [one["caption"] for one in said]


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_features_and_the_layers_after_them_are_the_whole_model(source: Path, layers: int) -> None:
    import torch

    folder = read_blip_folder(source / "blip", "tiny")
    base = Base("tiny", folder, "", None, None)
    network = trainable(base, changed(vision_layers=layers), "cpu").eval()
    network.train_vision(layers)
    tower = Tower(network.blip, folder, network.computed, MediaSettings(), 4, bfloat16=False)
    pixels = np.stack([to_pixels(picture, folder.pixels) for picture in pictures(5)])
    ids = torch.tensor([[5, 6, 7, 8]] * 5)
    with torch.no_grad():
        expected = load_blip(folder, "cpu", "float32")(torch.from_numpy(pixels), ids).logits
        found, told = network(torch.from_numpy(tower.features(pixels)).float(), ids)
    assert told is None, "there is no teacher"
    assert torch.allclose(found, expected, atol=0.05)
    trained = {name for name, weights in network.named_parameters() if weights.requires_grad}
    assert len({name.split(".layers.")[1][0] for name in trained if ".layers." in name}) == layers
    assert not any("vision_model.embeddings" in name for name in trained)


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_the_same_again_and_after_interruptions(opened: Workspace, pairs: Pairs, method: str) -> None:
    settings = SETTINGS.model_copy(update={"method": method, "accumulation": 2})
    whole = finetune_captioner(opened, pairs, settings)
    with pytest.raises(TrainingError, match="interrupted after step 3 of"):
        finetune_captioner(opened, pairs, settings, progress=Interrupting(3))
    with pytest.raises(ConfigError, match="are not those that the run was begun with"):
        finetune_captioner(opened, pairs, settings.model_copy(update={"seed": 1}), resume=True)
    run = opened.root / "captioner-training" / "captioner-2"
    assert (run / "curve.png").is_file(), "what is known so far can be seen"
    with pytest.raises(TrainingError, match="interrupted after step 3 of"):
        finetune_captioner(opened, pairs, settings, resume=True, progress=Second(3))
    assert (run / "stage-2" / "checkpoint-3").is_dir()
    resumed = finetune_captioner(opened, pairs, settings, resume=True)
    assert resumed.folder.name == "captioner-2"
    assert weights(resumed) == weights(whole)
    assert resumed.card["metrics"] == whole.card["metrics"]
    for name in ("curve.json", "samples.json"):
        found, expected = (json.loads((done.folder / name).read_text()) for done in (resumed, whole))
        timed = [[point.pop("tokens_per_second", None) for point in curve] for curve in (found, expected)]
        assert all(timed)
        assert found == expected


class Second(Interrupting):
    """Presses Ctrl-C in a step of the second stage."""

    def task(self, name: str, total: int | None = None, unit: str = "items", done: int = 0) -> Any:
        self.stages = getattr(self, "stages", 0) + (name == "Fine-tuning")
        return super().task(name if self.stages == 2 else "another", total, unit, done)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(opened: Workspace, pairs: Pairs, source: Path) -> None:
    settings = SETTINGS.model_copy(update={"patience": 100})
    whole = finetune_captioner(opened, pairs, settings)
    recipe = opened.root / "recipe.json"  # JSON is YAML
    recipe.write_text(json.dumps(settings.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    arguments = ["--role", "captioner", "--pairs", str(source / "pictures"), "--config", str(recipe)]
    start = [sys.executable, "-c", "from llmrec.cli.main import run; run()"]
    command = [*start, "finetune", *arguments, "--workspace", str(opened.root)]
    shutil.rmtree(opened.root / "captioner-features")
    run_folder = "captioner-training/killed"
    signs = (
        "captioner-features/*/batches.jsonl",
        f"{run_folder}/stage-1/checkpoint-*",
        f"{run_folder}/stage-2/checkpoint-*",
    )
    killed = 0
    for sign in signs:
        more = ["--resume"] if killed else []
        with subprocess.Popen([*command, "--name", "killed", *more], stderr=subprocess.DEVNULL) as process:
            ends = time.monotonic() + 240
            while process.poll() is None and not [*opened.root.glob(sign)] and time.monotonic() < ends:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += process.returncode == -signal.SIGKILL
    assert killed == 3
    assert not (opened.root / "captioners" / "killed").exists()
    resumed = finetune_captioner(opened, pairs, settings, "killed", resume=True)
    assert weights(resumed) == weights(whole)


def test_a_bad_picture_is_counted_and_left_out(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    lines = rows(folder)
    content = (folder / "7.png").read_bytes()
    (folder / "7.png").write_bytes(content[: len(content) // 2])
    (folder / "9.png").write_bytes(b"")
    (folder / "11.png").unlink()
    lines[13]["captions"] = [""]
    lines[17]["captions"] = ["貓"]
    workspace = workspace_at(tmp_path / "w", f"file:{source / 'blip'}")
    done = finetune_captioner(workspace, read_pairs(write_pairs(folder, lines), MediaSettings()), ONE_STAGE)
    workspace.close()
    data = done.card["data"]
    assert data["left_out"] == {
        "no caption": 1,
        "no known words": 1,
        "picture not opened": 1,
        "picture not readable": 2,
    }
    assert data["pictures"] + data["held_out_pictures"] == 55
    told = [json.loads(line) for line in (done.folder / "left_out.jsonl").read_text("utf-8").splitlines()]
    reasons = {one["where"].rpartition(":")[2]: one["reason"] for one in told}
    assert "truncated or damaged" in reasons["8"]
    assert "empty (0 bytes)" in reasons["10"]


@pytest.mark.slow
def test_features_are_computed_once(opened: Workspace, pairs: Pairs) -> None:
    finetune_captioner(opened, pairs, ONE_STAGE)
    (folder,) = (opened.root / "captioner-features").iterdir()
    stamp = (folder / "rows.f16").stat().st_mtime_ns
    finetune_captioner(opened, pairs, changed(seed=1))
    assert [*(opened.root / "captioner-features").iterdir()] == [folder]
    assert (folder / "rows.f16").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_a_stage_that_gains_nothing_is_taken_back(opened: Workspace, pairs: Pairs) -> None:
    good = {"epochs": 3}
    bad = {"vision_layers": 2, "epochs": 1, "learning_rate": 0.5, "vision_rate": 1.0, "warm_up": 0.0}
    whole = finetune_captioner(opened, pairs, changed(stages=[good]))
    done = finetune_captioner(opened, pairs, changed(stages=[good, bad]))
    assert done.card["stages"][1]["after"]["held_out_loss"] > done.card["metrics"]["after"]["held_out_loss"]
    assert weights(done) == weights(whole)


@pytest.mark.slow
def test_a_fresh_decoder_keeps_tower_and_vocabulary(opened: Workspace, pairs: Pairs, source: Path) -> None:
    from safetensors.numpy import load_file

    done = finetune_captioner(opened, pairs, changed(fresh=True, epochs=6))
    assert done.card["metrics"]["after"]["held_out_loss"] < done.card["metrics"]["before"]["held_out_loss"]
    old, new = (load_file(path / "model.safetensors") for path in (source / "blip", done.folder))
    assert old.keys() == new.keys()
    for name, value in old.items():
        if name.startswith("vision_model."):
            assert np.array_equal(value, new[name]), name
    name = "text_decoder.bert.encoder.layer.0.attention.self.query.weight"
    assert abs(np.corrcoef(old[name].ravel(), new[name].ravel())[0, 1]) < 0.2


def test_bfloat16_learns(opened: Workspace, pairs: Pairs) -> None:
    done = finetune_captioner(opened, pairs, changed(precision="bfloat16"))
    metrics = done.card["metrics"]
    assert metrics["after"]["held_out_loss"] < 0.7 * metrics["before"]["held_out_loss"]


def test_the_next_run_knows_what_its_base_has_learnt(opened: Workspace, pairs: Pairs, tmp_path: Path) -> None:
    done = finetune_captioner(opened, pairs, changed(terms="first", max_steps=2))
    after = workspace_at(tmp_path / "after", f"file:{done.folder}")
    second = finetune_captioner(after, pairs, changed(max_steps=2))
    after.close()
    assert second.card["base"]["data"]["terms"] == "first"


def refused(workspace: Workspace, pairs: Pairs, settings: CaptionerSettings = ONE_STAGE) -> LlmrecError:
    with pytest.raises(LlmrecError) as error:
        finetune_captioner(workspace, pairs, settings)
    assert not (workspace.root / "captioners").exists()
    assert not [*workspace.root.glob("captioner-training/*")]
    return error.value


def test_what_cannot_be_learnt_from(opened: Workspace, source: Path, tmp_path: Path) -> None:
    few = read_pairs(write_pairs(tmp_path / "few", rows(tmp_path / "few", 20)), MediaSettings())
    error = refused(opened, few)
    assert isinstance(error, TrainingError)
    assert "pictures with captions can be learnt from, and it takes 20" in error.message
    enough = read_pairs(source / "pictures", MediaSettings())
    assert "pictures are held out" in refused(opened, enough, changed(held_out=0.001)).message


def test_models_that_cannot_be_trained(pairs: Pairs, tmp_path: Path) -> None:
    for number, (captioner, told) in enumerate([("", "no captioner is set"), ("plugin:any", "a plug-in")]):
        workspace = workspace_at(tmp_path / str(number), captioner)
        error = refused(workspace, pairs)
        workspace.close()
        assert isinstance(error, ConfigError)
        assert told in error.message
        assert "captioner = " in str(error.hint)


def test_a_loss_that_is_no_number_ends_the_run(source: Path, pairs: Pairs, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    blip = Path(shutil.copytree(source / "blip", tmp_path / "blip"))
    tensors = load_file(blip / "model.safetensors")
    name = "text_decoder.bert.encoder.layer.0.output.dense.weight"
    save_file(
        tensors | {name: np.full_like(tensors[name], np.nan)}, blip / "model.safetensors", {"format": "pt"}
    )
    workspace = workspace_at(tmp_path / "w", f"file:{blip}")
    error = refused(workspace, pairs)
    workspace.close()
    assert "the loss on held-out pictures is nan" in error.message


def test_a_missing_package_is_named(opened: Workspace, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"peft .*\n.*llmrec\[finetune\]"):
        finetune_captioner(opened, pairs, ONE_STAGE)


def test_a_folder_that_cannot_be_written_is_named(opened: Workspace, pairs: Pairs) -> None:
    few = changed(max_steps=2)
    (opened.root / "captioners").write_text("a file in the place of the folder", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"captioners.*cannot be written"):
        finetune_captioner(opened, pairs, few)
    (opened.root / "captioners").unlink()
    assert finetune_captioner(opened, pairs, few, resume=True).card["steps"] == 2, "nothing is lost"


def test_a_recipe_that_contradicts_itself() -> None:
    with pytest.raises(ValueError, match="set method: full"):
        CaptionerSettings(fresh=True)


@pytest.mark.slow
def test_the_command_learns_from_a_catalog(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = tmp_path / "catalog"
    items = [
        {
            "item_id": f"i{number}",
            "title": line["captions"][0],
            "images": [line["image"]],
            "colour": "any red",
        }
        for number, line in enumerate(rows(folder))
    ]
    workspace = workspace_at(tmp_path / "w", f"file:{source / 'blip'}", "[ocr]\nenabled = false\n")
    IndexRun(workspace, Sources(write_items(folder / "items.jsonl", items)))()
    found = catalog_pairs(workspace, folder, ("title", "colour"))
    assert len(found.pairs) == 60
    assert found.pairs[0].captions == (next(iter(KINDS)), "any red")
    workspace.close()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("method: full\nmax_steps: 3\nheld_out: 0.25\n", encoding="utf-8")
    arguments = ["--role", "captioner", "--workspace", str(tmp_path / "w"), "--config", str(recipe)]

    def call(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["llmrec", "finetune", *arguments, *more])
        with pytest.raises(SystemExit) as exit_:
            run()
        told = capsys.readouterr()
        return str(told.out if exit_.value.code == 0 else told.err)

    document = json.loads(call("--pictures", str(folder), "--name", "mine", "--json"))
    assert document["name"] == "mine"
    assert document["data"]["captions"] == document["data"]["pictures"]
    assert document["setting"] == f'captioner = "file:{tmp_path / "w" / "captioners" / "mine"}"'
    assert "--pictures FOLDER" in call()
    assert "no such folder" in call("--pictures", str(tmp_path / "none"))
    assert f'captioner = "file:{tmp_path / "w" / "captioners" / "captioner-1"}"' in call(
        "--pairs", str(write_pairs(folder))
    )


@pytest.mark.slow
def test_the_script_trains_apart_from_a_catalog(source: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "finetune" / "captioner.py"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("method: full\nfresh: true\nmax_steps: 3\nheld_out: 0.25\n", encoding="utf-8")
    arguments = ["--base", f"file:{source / 'blip'}", "--pairs", str(source / "pictures")]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out"), *arguments, "--config", str(recipe)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "captioners" / "captioner-1" / "model.safetensors").is_file()
    assert 'captioner = "file:' in done.stdout
