"""A teacher: the vision tower of a captioner learns to tell what another image model sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from safetensors.numpy import load_file
from small_captioner import SETTINGS
from test_finetune_command import Interrupting

from llmrec.config import MediaSettings
from llmrec.errors import ConfigError, TrainingError
from llmrec.progress import NoProgress
from llmrec.training.captioner.finetuning import finetune_captioner
from llmrec.training.captioner.pairs import Pairs
from llmrec.training.captioner.teacher import Teacher, lesson
from llmrec.training.runs import Finetuned
from llmrec.training.settings import CaptionerSettings
from llmrec.workspace import Workspace

CELLS = 2


def write_teacher(folder: Path, *, channels: int = 3, dimensions: int = 4) -> Path:
    """A graph whose map has a cell for each quarter of a picture: the mean of its colours."""
    folder.mkdir()
    pixels = ops.parameter([-1, channels, 16, 16], np.float32)
    seen = ops.avg_pool(pixels, [8, 8], [0, 0], [0, 0], [8, 8], False)
    if dimensions == 2:
        seen = ops.reduce_mean(seen, [2, 3])
    ov.save_model(ov.Model([seen], [pixels]), folder / "teacher.xml")
    return folder


@pytest.fixture(scope="module")
def source(source: Path) -> Path:
    """A teacher too, in ``teacher``."""
    write_teacher(source / "teacher")
    return source


def taught(source: Path, **changes: Any) -> CaptionerSettings:
    known = {"teacher": f"file:{source / 'teacher'}", "stages": (), "vision_layers": 1, "epochs": 2}
    return CaptionerSettings.model_validate(SETTINGS.model_dump() | known | changes)


def tower(done: Finetuned) -> dict[str, np.ndarray]:
    tensors = load_file(done.folder / "model.safetensors")
    return {name: value for name, value in tensors.items() if name.startswith("vision_model.")}


def test_each_patch_is_told_what_the_teacher_sees_at_its_place(
    source: Path, pairs: Pairs, tmp_path: Path
) -> None:
    teacher = Teacher(f"file:{source / 'teacher'}", MediaSettings(), 8, NoProgress())
    store = teacher.store(tmp_path)
    assert teacher.fill(store, pairs.pairs, NoProgress()) == []
    maps, rows = store.open([pair.content for pair in pairs.pairs])
    assert maps.shape == (len(pairs.pairs), CELLS * CELLS, 3)
    lessons = lesson(teacher, maps, rows, 4)
    assert lessons.cells.reshape(4, 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    told = lessons(5, np.array([0, 1, 4, 16]))
    cells = maps[rows[5]].astype(np.float32)
    expected = np.stack([cells.mean(0), cells[0], cells[1], cells[3]])
    np.testing.assert_allclose(told * lessons.spread + lessons.mean, expected, atol=1e-3)
    assert np.abs(np.stack([lessons(row, np.array([1])) for row in range(60)]).mean()) < 0.5


def told_errors(done: Finetuned) -> list[float]:
    curve = json.loads((done.folder / "curve.json").read_text(encoding="utf-8"))
    return [point["teacher_error"] for point in curve if "teacher_error" in point]


@pytest.mark.slow
def test_the_tower_learns_from_it_and_the_result_is_a_plain_folder(
    opened: Workspace, pairs: Pairs, source: Path
) -> None:
    alone = finetune_captioner(opened, pairs, taught(source, teacher=""))
    with_teacher = finetune_captioner(opened, pairs, taught(source))
    names = load_file(alone.folder / "model.safetensors").keys()
    assert load_file(with_teacher.folder / "model.safetensors").keys() == names
    assert any(not np.array_equal(value, tower(alone)[name]) for name, value in tower(with_teacher).items())
    assert with_teacher.card["settings"]["teacher"].endswith("teacher")
    errors = told_errors(with_teacher)
    assert 0 < errors[-1] < errors[0]
    assert not told_errors(alone)


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_as_an_unbroken_one(
    opened: Workspace, pairs: Pairs, source: Path
) -> None:
    unbroken = finetune_captioner(opened, pairs, taught(source))
    with pytest.raises(TrainingError, match="interrupted"):
        finetune_captioner(opened, pairs, taught(source), progress=Interrupting(5))
    resumed = finetune_captioner(opened, pairs, taught(source), resume=True)
    digests = [done.card["sha256"]["model.safetensors"] for done in (unbroken, resumed)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: write_teacher(folder, channels=1), "takes"),
        (lambda folder: write_teacher(folder, dimensions=2), "gives"),
        (lambda folder: folder.mkdir(), "holds 0 graphs"),
        (lambda folder: (folder.mkdir(), (folder / "a.xml").write_text("<net/>")), "cannot be read"),
    ],
)
def test_what_is_no_teacher_is_refused(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "teacher")
    with pytest.raises(ConfigError, match=message):
        Teacher(f"file:{tmp_path / 'teacher'}", MediaSettings(), 8, NoProgress())
