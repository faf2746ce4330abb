"""What a BLIP folder says, and what is refused, without loading a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blip_folders import END, SIDE, START, TEXT, VISION, write_json, write_stated
from safetensors.numpy import save_file

from llmrec.config import CaptionSettings
from llmrec.errors import AssetError, ConfigError, UnsafeFileError
from llmrec.modality.blip import captioner_fingerprint, load_captioner
from llmrec.modality.blip.folder import read_blip_folder
from llmrec.modality.blip.pixels import blank_pixels, to_pixels
from llmrec.modality.blip.words import CaptionTokenizer

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)


def test_a_classic_folder_states_little(tmp_path: Path) -> None:
    folder = read_blip_folder(write_stated(tmp_path), "tiny")
    assert (folder.name, folder.start_token, folder.end_token, folder.pad_token) == ("tiny", START, END, 0)
    assert folder.positions == TEXT["max_position_embeddings"]
    assert folder.pixels.shape == (SIDE, SIDE)
    assert (folder.pixels.resample, folder.pixels.image_mean) == (3, CLIP_MEAN)


def test_a_folder_of_today_keeps_the_processor_in_one_file(tmp_path: Path) -> None:
    write_stated(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    stated = {"size": SIDE, "image_mean": [0.1, 0.2, 0.3], "resample": 2}
    write_json(tmp_path / "processor_config.json", {"image_processor": stated})
    pixels = read_blip_folder(tmp_path, "tiny").pixels
    assert (pixels.shape, pixels.image_mean, pixels.resample) == ((SIDE, SIDE), (0.1, 0.2, 0.3), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "vit"}, r"config\.json: not a BLIP model \(model_type 'vit'\)\n.*models\.captioner"),
        ({"architectures": ["BlipForQuestionAnswering"]}, r"another task \(BlipForQuestionAnswering\)"),
        ({"text_config": {"sep_token_id": None}}, r"config\.json: text_config\.sep_token_id"),
        ({"vision_config": VISION | {"image_size": 384}}, "become 32 x 32 pixels, .* made for 384 x 384"),
    ],
)
def test_folders_of_other_models_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_stated(tmp_path, **changes)
    with pytest.raises(AssetError, match=message):
        load_captioner(f"file:{tmp_path}", CaptionSettings())


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "preprocessor_config.json"]
)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    (write_stated(tmp_path) / name).unlink()
    with pytest.raises(AssetError, match=rf"{name}: not found"):
        load_captioner(f"file:{tmp_path}", CaptionSettings())


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "preprocessor_config.json"])
def test_a_malformed_file_is_named(name: str, tmp_path: Path) -> None:
    (write_stated(tmp_path) / name).write_text("{")
    with pytest.raises((AssetError, UnsafeFileError), match=name):
        load_captioner(f"file:{tmp_path}", CaptionSettings())


def test_a_step_that_is_left_out_is_refused(tmp_path: Path) -> None:
    write_stated(tmp_path)
    write_json(tmp_path / "preprocessor_config.json", {"size": SIDE, "do_normalize": False})
    with pytest.raises(AssetError, match=r"preprocessor_config\.json: leaves out a step"):
        read_blip_folder(tmp_path, "tiny")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (write_stated(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsafeFileError, match=r"pytorch_model\.bin"):
        load_captioner(f"file:{tmp_path}", CaptionSettings())


def test_a_file_is_no_captioner(tmp_path: Path) -> None:
    file = write_stated(tmp_path) / "config.json"
    with pytest.raises(AssetError, match="not a captioner"):
        load_captioner(f"file:{file}", CaptionSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CaptionSettings(engine="openvino", beams=2), "engine openvino is greedy"),
        (CaptionSettings(engine="openvino", precision="float16"), "precision float16 is for GPUs"),
        (CaptionSettings(min_new_tokens=9, max_new_tokens=8), r"min_new_tokens \(9\) is more than"),
        (CaptionSettings(max_new_tokens=38), "takes at most 40"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: CaptionSettings, message: str, tmp_path: Path
) -> None:
    write_stated(tmp_path)
    with pytest.raises(ConfigError, match=message):
        load_captioner(f"file:{tmp_path}", settings, prompt="a picture")


def test_fingerprint_is_of_what_decides_the_captions(tmp_path: Path) -> None:
    spec = f"file:{write_stated(tmp_path)}"
    first = captioner_fingerprint(spec, CaptionSettings())
    same = [
        CaptionSettings(engine="torch", precision="float32"),
        CaptionSettings(batch_size=3, min_margin=1.0, min_log_probability=-1.0, prompt="name"),
    ]
    assert {captioner_fingerprint(spec, settings) for settings in same} == {first}
    others = [
        CaptionSettings(beams=2),
        CaptionSettings(min_new_tokens=2),
        CaptionSettings(max_new_tokens=9),
        CaptionSettings(min_word_probability=0.1),
        CaptionSettings(precision="bfloat16"),
        CaptionSettings(precision="nf4"),
    ]
    seen = {first, captioner_fingerprint(spec, CaptionSettings(), "a picture of")}
    seen |= {captioner_fingerprint(spec, settings) for settings in others}
    save_file({"weight": np.ones(4, np.float32)}, tmp_path / "model.safetensors")
    assert len(seen | {captioner_fingerprint(spec, CaptionSettings())}) == 9


def test_fingerprint_of_what_is_not_there() -> None:
    with pytest.raises(AssetError, match="not present"):
        captioner_fingerprint("hf:org/not-pulled", CaptionSettings())


def test_fingerprint_imports_no_model_library(tmp_path: Path) -> None:
    program = f"""
import sys
from llmrec.config import CaptionSettings
from llmrec.modality.blip import captioner_fingerprint
captioner_fingerprint("file:{write_stated(tmp_path)}", CaptionSettings())
print(sorted({{"torch", "transformers", "openvino", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_captions_read_well(tmp_path: Path) -> None:
    folder = read_blip_folder(write_stated(tmp_path), "tiny")
    vocabulary = {line: n for n, line in enumerate((tmp_path / "vocab.txt").read_text().splitlines())}

    def tokens(*pieces: str) -> list[int]:
        return [vocabulary[piece] for piece in pieces]

    plain, prompted = CaptionTokenizer(folder, ""), CaptionTokenizer(folder, "A picture of")
    assert plain.prefix == (START,)
    assert prompted.prefix == (START, *tokens("a", "picture", "of"))
    assert plain.text([*tokens("two", "dog", "##s", "run", "##ning"), END]) == "two dogs running"
    assert prompted.text([*tokens("a", "cat"), END]) == "a picture of a cat"
    assert plain.text([END]) == prompted.text([END]) == ""


def test_pixels_are_resized_and_normalised(tmp_path: Path) -> None:
    form = read_blip_folder(write_stated(tmp_path), "tiny").pixels
    grey = np.full((7, 50, 3), 128, np.uint8)
    pixels = to_pixels(grey, form)
    assert (pixels.shape, pixels.dtype) == ((3, SIDE, SIDE), np.float32)
    expected = (128 / 255 - np.array(form.image_mean)) / np.array(form.image_std)
    np.testing.assert_allclose(pixels[:, 5, 9], expected, rtol=1e-5)
    assert not blank_pixels(form).any()


PLUGIN = """
from llmrec.modality.base import Caption

class Same:
    name, fingerprint = "same", "same-1"

    def __init__(self, settings):
        self.settings = settings

    def caption(self, pictures):
        return [Caption("a picture", -1.0, 1.0) for _ in pictures]
"""


def test_a_plugin_is_a_captioner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "same_captioner.py").write_text(PLUGIN)
    info = tmp_path / "same-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: same\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[llmrec.captioners]\nsame = same_captioner:Same\n")
    monkeypatch.syspath_prepend(tmp_path)
    captioner = load_captioner("plugin:same", CaptionSettings(beams=3))
    assert captioner.caption([np.zeros((2, 2, 3), np.uint8)])[0].text == "a picture"
    assert captioner.settings.beams == 3
    assert captioner_fingerprint("plugin:same", CaptionSettings()) == "same-1"
    with pytest.raises(ConfigError, match=r"plugin:other: .*registers this captioner\nRegistered: .*same"):
        load_captioner("plugin:other", CaptionSettings())
