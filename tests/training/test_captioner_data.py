"""What a captioner learns from: pairs as their source has them, features that are kept, draws of both."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from blip_folders import WORDS
from small_captioner import KINDS, rows, write_pairs, write_picture
from typer.testing import CliRunner

from llmrec.cli.main import app
from llmrec.config import MediaSettings
from llmrec.errors import ReaderError, TrainingError
from llmrec.training.captioner.features import FOLDER, FeatureStore, prune, size
from llmrec.training.captioner.pairs import Pairs, counts, read_pairs
from llmrec.training.captioner.trainer import IGNORED, Batches, Collator, Draw, Draws
from llmrec.workspace import Workspace

LIMITS = MediaSettings()


def read(path: Path) -> Pairs:
    return read_pairs(path, LIMITS)


def test_pairs_of_a_file(tmp_path: Path) -> None:
    lines = rows(tmp_path, 4)
    lines[3] = {"image": "3.png", "caption": " one \n text \ud800"}
    found = read(write_pairs(tmp_path, lines))
    assert [pair.captions for pair in found.pairs][:2] == [tuple(line["captions"]) for line in lines[:2]]
    assert found.pairs[3].captions == ("one text ?",)
    assert found.pairs[1].path == tmp_path / "1.png"
    assert found.pairs[1].where == "pairs.jsonl:2"
    assert found.left_out == []
    assert read(tmp_path).digest() == found.digest(), "a folder with the file is the same"


def test_pictures_of_equal_content_are_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", (1, 2, 3), 0)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    lines = [{"image": "a.png", "captions": ["x", "y"]}, {"image": "b.png", "captions": ["y", "z"]}]
    (pair,) = read(write_pairs(tmp_path, lines)).pairs
    assert pair.captions == ("x", "y", "z")


def test_pairs_of_a_folder_with_texts_beside_pictures(tmp_path: Path) -> None:
    rows(tmp_path / "deep", 3)
    (tmp_path / "deep" / "0.txt").write_text("a red ball\n\nthe ball\n", encoding="utf-8")
    (tmp_path / "deep" / "1.txt").write_text("\n", encoding="utf-8")
    found = read(tmp_path)
    assert [pair.captions for pair in found.pairs] == [("a red ball", "the ball")]
    assert counts(found.left_out) == {"no caption": 1}


def test_what_cannot_be_learnt_from_is_counted_with_its_place(tmp_path: Path) -> None:
    rows(tmp_path / "in", 2)
    write_picture(tmp_path / "out.png", (0, 0, 0), 0)
    path = tmp_path / "in" / "pairs.jsonl"
    lines = [
        '{"image": "0.png", "captions": ["fine"]}',
        "{broken",
        '{"image": "gone.png", "captions": ["x"]}',
        '{"image": "../out.png", "captions": ["x"]}',
        '{"image": "1.png", "captions": ["", "  "]}',
        '{"image": "1.png", "captions": [1]}',
        '{"captions": ["x"]}',
        '{"image": "https://a.example/x.png", "captions": ["x"]}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = read(path)
    assert [pair.captions for pair in found.pairs] == [("fine",)]
    assert counts(found.left_out) == {"line that cannot be read": 3, "no caption": 1, "picture not opened": 3}
    told = {one.where: one.reason for one in found.left_out}
    assert "not valid JSON" in told["pairs.jsonl:2"]
    assert "not found" in told["pairs.jsonl:3"]
    assert "'..'" in told["pairs.jsonl:4"]
    assert '"captions": [TEXT, ...]' in told["pairs.jsonl:6"]
    with pytest.raises(ReaderError, match="no such file"):
        read(tmp_path / "none.jsonl")


def features(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, 4)).astype(np.float16)


def test_features_are_kept_and_found_by_content(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "f", 3, 4)
    first, second = features(2), features(1, 1)
    store.append(["a", "b"], first)
    store.append(["c"], second)
    again = FeatureStore(tmp_path / "f", 3, 4)
    assert again.missing(["x", "c", "a"]) == ["x"]
    kept, places = again.open(["c", "a"])
    assert np.array_equal(kept[places], np.stack([second[0], first[0]]))


@pytest.mark.parametrize("cut", ["a line", "rows", "unlisted rows"])
def test_a_batch_that_a_kill_cut_off_is_written_again(tmp_path: Path, cut: str) -> None:
    store = FeatureStore(tmp_path / "f", 3, 4)
    store.append(["a", "b"], features(2))
    store.append(["c"], features(1, 1))
    lines, data = tmp_path / "f" / "batches.jsonl", tmp_path / "f" / "rows.f16"
    if cut == "a line":
        lines.write_bytes(lines.read_bytes()[:-5])
    elif cut == "rows":
        data.write_bytes(data.read_bytes()[:-3])
    else:
        lines.write_bytes(lines.read_bytes().splitlines(keepends=True)[0])
    again = FeatureStore(tmp_path / "f", 3, 4)
    assert again.missing(["a", "b", "c"]) == ["c"]
    again.append(["c"], features(1, 2))
    whole = FeatureStore(tmp_path / "f", 3, 4)
    assert whole.missing(["a", "b", "c"]) == []
    kept, places = whole.open(["b", "c"])
    assert np.array_equal(kept[places], np.stack([features(2)[1], features(1, 2)[0]]))


def test_a_damaged_row_is_missing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "f", 3, 4)
    store.append(["a", "b"], features(2))
    data = bytearray((tmp_path / "f" / "rows.f16").read_bytes())
    data[5] ^= 1
    (tmp_path / "f" / "rows.f16").write_bytes(data)
    again = FeatureStore(tmp_path / "f", 3, 4)
    assert again.missing(["a", "b"]) == ["a"]
    again.append(["a"], features(1, 3))
    kept, places = again.open(["a"])
    assert np.array_equal(kept[places], features(1, 3))
    assert again.missing(["a", "b"]) == []


def test_features_that_cannot_fit_are_refused_before_they_are_computed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "f", 300, 4000)
    store.check_space(1)
    with pytest.raises(TrainingError, match=r"features of 1,000,000,000 pictures take [\d.]+ GB, and"):
        store.check_space(10**9)


def test_only_one_run_computes_features(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "f", 3, 4)
    with (
        store.writing(),
        pytest.raises(TrainingError, match="another run is computing"),
        FeatureStore(tmp_path / "f", 3, 4).writing(),
    ):
        pass


def draws(tokens: int = 2, seed: int = 0) -> Draws:
    rows = np.arange(2 * 5 * 1, dtype=np.float16).reshape(2, 5, 1)
    return Draws(rows, np.array([1, 0]), [[(1, 2), (3, 4), (5, 6)], [(7, 8)]], tokens, seed, None)


def test_draws_are_seeded_by_epoch_and_example() -> None:
    drawn = [draws()[Draw(epoch, 0, False)] for epoch in range(40)]
    assert {tuple(caption) for _, caption, _ in drawn} == {(1, 2), (3, 4), (5, 6)}
    assert {float(picture[0, 0]) for picture, _, _ in drawn} == {5.0}, "the first token is always there"
    assert {float(picture[1, 0]) for picture, _, _ in drawn} == {6.0, 7.0, 8.0, 9.0}
    assert all(len(picture) == 2 for picture, _, _ in drawn)
    for (picture, caption, _), (same, likewise, _) in zip(
        drawn, [draws()[Draw(epoch, 0, False)] for epoch in range(40)], strict=True
    ):
        assert np.array_equal(picture, same)
        assert caption == likewise
    others = [draws(seed=1)[Draw(epoch, 0, False)] for epoch in range(40)]
    assert [caption for _, caption, _ in others] != [caption for _, caption, _ in drawn]
    whole, _, taught = draws()[Draw(3, 0, True)]
    assert whole[:, 0].tolist() == [5, 6, 7, 8, 9]
    assert taught is None


def test_batches_cover_an_epoch_and_turn_whole_at_their_step() -> None:
    batches = Batches(10, 4, accumulation=2, whole_from=3, seed=0)
    assert len(batches) == 3
    seen = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        drawn = [*batches]
        assert sorted(draw.example for batch in drawn for draw in batch) == [*range(10)]
        seen.append(drawn)
    assert [draw.example for batch in seen[0] for draw in batch] != [
        draw.example for batch in seen[1] for draw in batch
    ]
    # Steps 0 and 1 are of the first epoch (two batches, then one), 2 and 3 of the second.
    assert [[batch[0].whole for batch in drawn] for drawn in seen] == [
        [False, False, False],
        [False, False, True],
    ]


def test_labels_are_the_tokens_that_follow_the_prompt() -> None:
    picture = np.zeros((5, 4), np.float16)
    batch = Collator(prefix=2, pad_token=0)([(picture, (9, 8, 5, 6, 3), None), (picture, (9, 8, 4), None)])
    assert batch["input_ids"].tolist() == [[9, 8, 5, 6], [9, 8, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 5, 6, 3], [IGNORED, 4, IGNORED, IGNORED]]
    assert batch["features"].shape == (2, 5, 4)
    assert "taught" not in batch


def test_the_kinds_are_written_in_known_words() -> None:
    assert {word.removesuffix("s") for kind in KINDS for word in kind.split()} <= {*WORDS}


def test_features_that_no_run_used_for_long_are_pruned(tmp_path: Path) -> None:
    root = tmp_path / FOLDER
    assert (size(root), prune(root, 0)) == (0, 0)
    stores = {name: FeatureStore(root / name, 3, 4) for name in ("old", "used", "busy")}
    for store in stores.values():
        store.append(["a"], features(1))
        store.open(["a"])
        os.utime(store.folder / ".lock", (0, 0))
    stores["used"].open(["a"])
    assert size(root) > 3 * stores["old"].row_bytes
    with stores["busy"].writing():
        os.utime(stores["busy"].folder / ".lock", (0, 0))
        assert prune(root, 30) == 1
    assert {path.name for path in root.iterdir()} == {"used", "busy"}
    assert FeatureStore(root / "used", 3, 4).missing(["a"]) == []


def test_the_cache_command_tells_of_features_and_prunes_them(opened: Workspace) -> None:
    FeatureStore(opened.root / FOLDER / "tower", 3, 4).append(["a"], features(1))
    where = ["-w", str(opened.root), "--json"]
    stats = json.loads(CliRunner().invoke(app, ["cache", "stats", *where]).stdout)
    assert stats["features"] == {"path": str(opened.root / FOLDER), "size": size(opened.root / FOLDER)}
    assert stats["features"]["size"] > 0
    done = CliRunner().invoke(app, ["cache", "prune", "--older-than", "0", *where])
    assert json.loads(done.stdout)["dropped"]["features"] == 1
    assert not size(opened.root / FOLDER)
