"""The captioner that comes with llmrec, on real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmrec.assets import resolve
from llmrec.config import PROFILES, CaptionSettings
from llmrec.modality.base import Caption
from llmrec.modality.blip import load_captioner

pytestmark = pytest.mark.slow

NAME = "blip-small"
SKIMAGE = "pypi:scikit-image==0.26.0!skimage/data"
SUBJECTS = {
    "astronaut.png": "woman person girl lady astronaut",
    "brick.png": "brick bricks wall building",
    "camera.png": "man person photographer camera",
    "chelsea.png": "cat kitten",
    "clock_motion.png": "clock clocks watch",
    "coffee.png": "coffee cup mug saucer",
    "coins.png": "coin coins",
    "grass.png": "grass field",
    "gravel.png": "gravel rock rocks stone stones",
    "horse.png": "horse",
    "rocket.jpg": "rocket missile",
    f"{SKIMAGE}/moon.png": "moon",
    f"{SKIMAGE}/motorcycle_left.png": "motorcycle motorcycles motorbike bike",
    "pypi:scikit-learn==1.9.1!sklearn/datasets/images/china.jpg": "temple building pagoda tower palace house",
    "pypi:scikit-learn==1.9.1!sklearn/datasets/images/flower.jpg": "flower flowers",
    "pypi:matplotlib==3.11.2!matplotlib/mpl-data/sample_data/grace_hopper.jpg": "woman person officer lady",
}
"""Sixteen photographs, and words of which one has to be in a caption that names the subject."""


@pytest.fixture(scope="module")
def photographs(shared_home: Path) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(shared_home))
        folder = resolve("skimage-photographs")
        return {name: resolve(name) if ":" in name else folder / name for name in SUBJECTS}


@pytest.fixture(scope="module")
def captions(shared_home: Path, photographs: dict[str, Path]) -> dict[str, Caption]:
    from PIL import Image

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(shared_home))
        captioner = load_captioner(NAME, CaptionSettings())
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photographs.values()]
    return dict(zip(photographs, captioner.caption(pictures), strict=True))


def test_it_is_the_captioner_of_the_small_profile() -> None:
    assert PROFILES["small"].captioner == NAME


def test_photographs_are_called_what_they_show_or_held_back(captions: dict[str, Caption]) -> None:
    settings = CaptionSettings()
    right, unsure, wrong = [], [], []
    for name, caption in captions.items():
        told = f"{name}: {caption.text} ({caption.log_probability:.2f}, {caption.margin:.2f})"
        held_back = (
            caption.unsure
            or caption.log_probability < settings.min_log_probability
            or caption.margin < settings.min_margin
        )
        names = set(caption.text.split()) & set(SUBJECTS[name].split())
        (unsure if held_back else right if names else wrong).append(told)
    assert len(right) + len(unsure) >= 12, wrong
    assert len(wrong) <= 2, wrong
    assert len(right) >= 2, unsure  # a gate that lets nothing pass would say nothing wrong either


def test_transformers_loads_it_as_it_is(model_home: Path) -> None:
    from transformers import AutoTokenizer, BlipForConditionalGeneration

    folder = resolve(NAME)
    model, report = BlipForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert sum(weights.numel() for weights in model.parameters()) <= 35_000_000
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("a black dog").input_ids, skip_special_tokens=True) == "a black dog"
