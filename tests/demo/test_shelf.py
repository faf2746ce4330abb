"""The demo's shelf: its catalog, its spoken introductions, its film, and the folder that holds them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from make_speech import FOLDER, SPEECH
from PIL import Image

from llmrec.assets import catalogue, resolve
from llmrec.config import EncoderSettings
from llmrec.demo import film, shelf
from llmrec.demo.shelf import PHOTOGRAPHS, SHOWCASES, Showcase, make_shelf
from llmrec.encode.load import load_encoder
from llmrec.errors import AssetError, MissingExtraError
from llmrec.readers.read import read_items
from llmrec.schema import Flag, Item

CATALOG = Path(shelf.__file__).with_name("items.jsonl")
COMMON = {"a", "from", "how", "in", "the", "to", "who", "with"}


def read(catalog: Path) -> dict[str, Item]:
    flags: list[Flag] = []
    items = {item.item_id: item for item in read_items(catalog, on_flag=flags.append)}
    assert flags == []
    return items


@pytest.fixture(scope="module")
def items() -> dict[str, Item]:
    return read(CATALOG)


def seconds_of(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.duration / av.time_base


def samples_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.channels == 1
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_every_medium_of_the_catalog_is_known(items: dict[str, Item]) -> None:
    assert len(items) == 20
    (photographs,) = (asset for asset in catalogue() if asset.name == PHOTOGRAPHS)
    pictures = [f"images/{part.path}" for part in photographs.parts]
    assert sorted(pictures) == sorted(image for item in items.values() for image in item.images)
    spoken = {f"speech/{name}.opus" for name in SPEECH if name != "caravan"}
    assert spoken == {sound for item in items.values() for sound in item.audio}
    assert [item.video for item in items.values() if item.video] == [(shelf.FILM,)]


def test_items_without_words_have_a_neutral_title(items: dict[str, Item]) -> None:
    silent = [item for item in items.values() if not item.text]
    assert [item.title for item in silent] == [f"Shelf item {int(item.item_id[-2:])}" for item in silent]
    kinds = {(bool(item.images), bool(item.audio), bool(item.video)) for item in silent}
    assert kinds == {(True, False, False), (False, True, False), (True, True, False), (False, False, True)}


@pytest.mark.parametrize("case", SHOWCASES, ids=lambda case: case.item_id)
def test_only_the_named_field_can_answer_a_showcase(case: Showcase, items: dict[str, Item]) -> None:
    words = set(re.findall(r"\w+", case.query.lower())) - COMMON
    catalog = CATALOG.read_text(encoding="utf-8").lower()
    assert len(words) >= 3
    assert words.isdisjoint(re.findall(r"[^\W_]+", catalog))
    item = items[case.item_id]
    assert [name for name in ("images", "audio", "video") if getattr(item, name)] == [case.field]


@pytest.mark.parametrize("name", SPEECH)
def test_an_introduction_is_short_mono_speech(name: str) -> None:
    path = FOLDER / f"{name}.opus"
    assert path.stat().st_size < 40_000
    assert 9 < seconds_of(path) < 12.5
    sound = samples_of(path)
    assert 0.05 < np.sqrt(np.mean(sound**2)) < 0.5
    assert 1.5 < len(SPEECH[name].split()) / seconds_of(path) < 3.5


def test_every_introduction_is_committed() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SPEECH)


def test_a_film_is_cut_between_its_pictures_and_as_long_as_its_sound(tmp_path: Path) -> None:
    colours = ["red", "green", "blue"]
    pictures = [tmp_path / f"{colour}.png" for colour in colours]
    for picture, colour in zip(pictures, colours, strict=True):
        Image.new("RGB", (300, 400), colour).save(picture)
    sound = FOLDER / "caravan.opus"
    for name in ("once.webm", "again.webm"):
        film.compose(pictures, sound, tmp_path / name)
    made = tmp_path / "once.webm"
    assert made.read_bytes() == (tmp_path / "again.webm").read_bytes()
    assert seconds_of(made) == pytest.approx(seconds_of(sound), abs=0.2)
    frames = frames_of(made)
    assert frames[0].shape == (film.SIZE[1], film.SIZE[0], 3)
    shown = [int(frame.mean(axis=(0, 1)).argmax()) for frame in frames]
    assert shown == sorted(shown)
    assert [shown.count(channel) for channel in range(3)] == [len(frames) // 3] * 3
    assert np.allclose(samples_of(made), samples_of(sound), atol=1e-3)


@pytest.mark.parametrize(("module", "extra"), [("av", "audio"), ("PIL", "vision")])
def test_a_missing_package_is_named(
    module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"llmrec\[{extra}\]"):
        film.compose([tmp_path / "a.png"], FOLDER / "caravan.opus", tmp_path / "film.webm")


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "items.jsonl"
    mine.write_text('{"item_id": "mine"}\n')
    with pytest.raises(AssetError, match="holds something else"):
        make_shelf(tmp_path)
    assert mine.read_text() == '{"item_id": "mine"}\n'


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and content by path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.slow
def test_the_shelf_is_laid_out_once_and_every_file_opens(model_home: Path, tmp_path: Path) -> None:
    catalog = make_shelf(tmp_path / "shelf")
    before = state(catalog.parent)
    for item in read(catalog).values():
        for image in item.images:
            with Image.open(catalog.parent / image) as opened:
                opened.load()
        for sound in item.audio:
            assert samples_of(catalog.parent / sound).size
        for video in item.video:
            assert len(frames_of(catalog.parent / video)) == 84
            assert (catalog.parent / video).stat().st_size < 500_000
    assert make_shelf(tmp_path / "shelf") == catalog
    assert state(catalog.parent) == before


@pytest.mark.slow
def test_a_killed_or_damaged_shelf_is_made_whole(model_home: Path, tmp_path: Path) -> None:
    whole = {name: content for name, (_, content) in state(make_shelf(tmp_path / "whole").parent).items()}
    folder = tmp_path / "shelf"
    script = "import sys; from pathlib import Path; from llmrec.demo.shelf import make_shelf; "
    script += "make_shelf(Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    while not (tmp_path / "shelf.partial" / "speech").exists():  # composing the film takes long after it
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not folder.exists()
    make_shelf(folder)
    assert {name: content for name, (_, content) in state(folder).items()} == whole
    (folder / "images" / "coins.png").write_bytes(b"")
    make_shelf(folder)
    assert {name: content for name, (_, content) in state(folder).items()} == whole


@pytest.mark.slow
def test_what_is_printed_and_spoken_finds_the_item_and_nothing_else_does(
    model_home: Path, items: dict[str, Item]
) -> None:
    from rapidocr import RapidOCR

    printed = {"images/page.png": " ".join(RapidOCR()(str(resolve(PHOTOGRAPHS) / "page.png")).txts)}
    spoken = {f"speech/{name}.opus": words for name, words in SPEECH.items()}
    media = printed | spoken | {shelf.FILM: SPEECH["caravan"]}
    words = [f"{item.title}. {item.text}" for item in items.values()]
    content = [
        " ".join(media.get(reference, "") for reference in (*item.images, *item.audio, *item.video))
        for item in items.values()
    ]
    encoder = load_encoder("all-minilm-l6-v2", EncoderSettings())
    bare = encoder.encode(words)
    full = encoder.encode([f"{title} {said}" for title, said in zip(words, content, strict=True)])
    ids = list(items)
    for case in SHOWCASES:
        if not case.needs_captioner:
            query = encoder.encode([case.query], kind="query")[0]
            scores = full @ query
            assert ids[scores.argmax()] == case.item_id
            assert scores.max() > 0.4
            assert (bare @ query)[ids.index(case.item_id)] < 0.2
