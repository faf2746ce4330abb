"""Both engines on whole models with random weights, beside transformers' own loop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blip_folders import END, pictures, write_blip
from PIL import Image

from llmrec.config import CaptionSettings
from llmrec.errors import AssetError, ConfigError
from llmrec.media.types import Picture
from llmrec.modality.base import Caption, Captioner
from llmrec.modality.blip import load_captioner
from llmrec.modality.blip.folder import read_blip_folder
from llmrec.modality.blip.pixels import blank_pixels, to_pixels

pytestmark = pytest.mark.slow

PICTURES = pictures(12)
ENGINES = ("torch", "openvino")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("blip")
    return {
        "classic": write_blip(root / "classic", seed=6),
        "today": write_blip(root / "today", classic=False, seed=3),
    }


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``LLMREC_HOME`` that keeps what is converted."""
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(autouse=True)
def _converted_once(converted: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_HOME", str(converted))


def load(folder: Path, prompt: str = "", **settings: Any) -> Captioner:
    # Whole captions, whatever their words' probabilities: test_sure_words.py is about where they end.
    given = {"precision": "float32", "max_new_tokens": 10, "min_word_probability": 0.0} | settings
    return load_captioner(f"file:{folder}", CaptionSettings(**given), prompt=prompt)


def texts(captions: Sequence[Caption]) -> list[str]:
    return [caption.text for caption in captions]


def numbers(captions: Sequence[Caption]) -> np.ndarray:
    return np.array([(caption.log_probability, caption.margin) for caption in captions])


def by_transformers(folder: Path, prompt: str = "", **options: Any) -> list[str]:
    """What the library's own processor and ``generate`` say, one picture at a time."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    processor = BlipProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    said = []
    for picture in PICTURES:
        words = {"text": prompt} if prompt else {}
        inputs = processor(images=Image.fromarray(picture), **words, return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=10, **options)
        text = processor.decode(ids[0], skip_special_tokens=True).strip()
        said.append("" if text == prompt else text)  # a caption that adds nothing to its prompt is none
    return said


@pytest.mark.parametrize("layout", ["classic", "today"])
@pytest.mark.parametrize("engine", ENGINES)
def test_greedy_captions_are_those_of_transformers(
    engine: str, layout: str, folders: dict[str, Path]
) -> None:
    expected = by_transformers(folders[layout])
    assert texts(load(folders[layout], engine=engine).caption(PICTURES)) == expected
    assert len({len(text.split()) for text in expected}) > 3, "captions that end at different places"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_prompt_and_a_least_length(engine: str, folders: dict[str, Path]) -> None:
    expected = by_transformers(folders["classic"], "a picture of", min_new_tokens=4)
    captioner = load(folders["classic"], "a picture of", engine=engine, min_new_tokens=4)
    assert texts(captioner.caption(PICTURES)) == expected
    assert texts(load(folders["classic"], "a picture of", engine=engine).caption(PICTURES)) != expected


def test_beam_search_is_that_of_transformers(folders: dict[str, Path]) -> None:
    beams = load(folders["classic"], beams=3)
    assert texts(beams.caption(PICTURES)) == by_transformers(folders["classic"], num_beams=3)
    assert beams.caption(PICTURES) != load(folders["classic"]).caption(PICTURES)


@pytest.mark.parametrize("prompt", ["", "a picture of"])
def test_engines_agree_on_captions_and_trust(prompt: str, folders: dict[str, Path]) -> None:
    ours, theirs = (load(folders["classic"], prompt, engine=each).caption(PICTURES) for each in ENGINES)
    assert texts(ours) == texts(theirs)
    np.testing.assert_allclose(numbers(ours), numbers(theirs), atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_trust_is_the_likelihood_of_the_tokens(engine: str, folders: dict[str, Path]) -> None:
    import torch
    from transformers import BlipForConditionalGeneration

    model = BlipForConditionalGeneration.from_pretrained(folders["classic"]).eval()
    form = read_blip_folder(folders["classic"], "tiny").pixels
    captions = load(folders["classic"], engine=engine, max_new_tokens=6).caption(PICTURES)

    def mean(pixels: np.ndarray, ids: list[int]) -> float:
        with torch.no_grad():
            logits = model(pixel_values=torch.from_numpy(pixels[None]), input_ids=torch.tensor([ids])).logits
        values = logits[0, :-1].log_softmax(-1)[range(len(ids) - 1), ids[1:]]
        return float(values.mean())

    checked = 0
    for picture, caption in zip(PICTURES, captions, strict=True):
        pixels = to_pixels(picture, form)
        with torch.no_grad():
            ids = model.generate(pixel_values=torch.from_numpy(pixels[None]), max_new_tokens=6)[0].tolist()
        seen, blank = mean(pixels, ids), mean(blank_pixels(form), ids)
        assert caption.log_probability == pytest.approx(seen, abs=1e-4)
        assert caption.margin == pytest.approx(seen - blank, abs=1e-4)
        checked += ids[-1] == END
    assert 0 < checked < len(PICTURES), "some captions end, others are cut"


@pytest.mark.parametrize("engine", ENGINES)
def test_captions_do_not_depend_on_the_batch(engine: str, folders: dict[str, Path]) -> None:
    runs = [load(folders["classic"], engine=engine, batch_size=size).caption(PICTURES) for size in (1, 3, 8)]
    runs.append(load(folders["classic"], engine=engine).caption(PICTURES[::-1])[::-1])
    for run in runs[1:]:
        assert texts(run) == texts(runs[0])
        np.testing.assert_allclose(numbers(run), numbers(runs[0]), atol=1e-4)
    assert load(folders["classic"], engine=engine).caption([]) == []


def test_pixels_are_those_of_the_image_processor(folders: dict[str, Path]) -> None:
    from transformers import BlipProcessor

    processor = BlipProcessor.from_pretrained(folders["classic"])
    form = read_blip_folder(folders["classic"], "tiny").pixels
    rng = np.random.default_rng(0)
    for shape in ((32, 32, 3), (100, 37, 3), (9, 211, 3)):
        picture: Picture = rng.integers(0, 256, shape, np.uint8)
        theirs = processor(images=Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(to_pixels(picture, form), theirs, atol=1e-6)


def test_close_calls_of_the_fast_tower_are_decided_by_the_exact_one(folders: dict[str, Path]) -> None:
    # On any CPU: the tower of another model stands in for that of another precision.
    expected = load(folders["classic"], engine="openvino").caption(PICTURES)
    captioner: Any = load(folders["classic"], engine="openvino")
    other: Any = load(folders["today"], engine="openvino")
    engine = captioner._engine
    engine._fast = other._engine._exact
    assert texts(captioner.caption(PICTURES)) != texts(expected)
    engine._sure_lead = engine._difference((32, 32))
    assert engine._sure_lead > 0.1
    engine._sure_lead = np.inf
    decided = captioner.caption(PICTURES)
    assert texts(decided) == texts(expected)
    np.testing.assert_allclose(numbers(decided), numbers(expected), atol=1e-4)


def test_automatic_precision_gives_the_captions_of_float32(folders: dict[str, Path]) -> None:
    exact, fast = (load(folders["today"], engine="openvino", precision=each) for each in ("float32", "auto"))
    pairs = zip(texts(fast.caption(PICTURES)), texts(exact.caption(PICTURES)), strict=True)
    # Random weights magnify rounding as no trained ones do: one close call may be missed.
    assert sum(ours == theirs for ours, theirs in pairs) >= len(PICTURES) - 1
    assert exact.fingerprint == fast.fingerprint


def test_a_converted_model_needs_no_pytorch(folders: dict[str, Path], converted: Path) -> None:
    load(folders["classic"], engine="openvino")
    program = f"""
import sys
import numpy as np
from llmrec.config import CaptionSettings
from llmrec.modality.blip import load_captioner
captioner = load_captioner("file:{folders["classic"]}", CaptionSettings(engine="openvino"))
count = len(captioner.caption([np.zeros((9, 9, 3), np.uint8)]))
print(count, sorted({{"torch", "transformers"}} & set(sys.modules)))
"""
    environment = os.environ | {"LLMREC_HOME": str(converted)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout == "1 []\n", done.stderr


def test_a_model_of_the_hub(folders: dict[str, Path], tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--org--blip"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    shutil.copytree(folders["classic"], cached / "snapshots" / commit)
    program = """
import json, sys
import numpy as np
from llmrec.config import CaptionSettings
from llmrec.modality.blip import captioner_fingerprint, load_captioner
captioner = load_captioner("hf:org/blip", CaptionSettings(max_new_tokens=10))
assert captioner.fingerprint == captioner_fingerprint("hf:org/blip", CaptionSettings(max_new_tokens=10))
picture = np.array(json.loads(sys.stdin.read()), np.uint8)
print(json.dumps([captioner.name, captioner.caption([picture])[0].text]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(PICTURES[1].tolist()),
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"},
    )
    assert done.returncode == 0, done.stderr
    expected = load(folders["classic"], engine="torch").caption(PICTURES[1:2])[0].text
    assert json.loads(done.stdout) == ["hf:org/blip", expected]


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_that_are_no_numbers_are_refused(
    engine: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    broken = shutil.copytree(folders["classic"], tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["vision_model.post_layernorm.weight"][:] = np.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AssetError, match="broken: the model gives probabilities that are no numbers"):
        load(broken, engine=engine).caption(PICTURES[:2])


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_of_another_shape_or_number_are_refused(
    engine: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folders["classic"] / "model.safetensors")
    name = "vision_model.post_layernorm.weight"
    less = {key: value for key, value in weights.items() if key != name}
    for number, (given, message) in enumerate(
        [
            (less, f"lack 1 parts of the model, {name}"),
            (weights | {name: np.ones(9, np.float32)}, "cannot be"),
        ]
    ):
        broken = shutil.copytree(folders["classic"], tmp_path / str(number))
        save_file(given, broken / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(AssetError, match=message):
            load(broken, engine=engine)


@pytest.mark.parametrize("precision", ["nf4", "float16"])
def test_precisions_of_gpus_are_refused_without_one(
    precision: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"precision is {precision}, which needs an NVIDIA GPU"):
        load(folders["classic"], engine="torch", precision=precision)
