"""The demo's shelf with the real models: a picture, a voice and a film are each found by what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrec.demo.found import ask_shelf
from llmrec.demo.shelf import SHOWCASES
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow

KINDS = {"images": "ocr", "audio": "transcript", "video": "transcript"}


def test_each_query_finds_its_item_by_the_field_that_holds_the_answer(
    tmp_path: Path, model_home: Path
) -> None:
    answers = list(ask_shelf(tmp_path / "shelf"))
    assert [(answer.showcase, answer.item.item_id) for answer in answers] == [
        (showcase, showcase.item_id) for showcase in SHOWCASES
    ]
    assert [answer.piece.kind for answer in answers] == [
        "caption" if showcase.needs_captioner else KINDS[showcase.field] for showcase in SHOWCASES
    ]
    (film,) = (answer for answer in answers if answer.showcase.field == "video")
    assert film.piece.source == "caravan.webm"
    assert film.piece.start is not None

    workspace = Workspace(tmp_path / "shelf")
    cache = workspace.media_cache()
    assert cache.own.stats().failures == {}
    assert cache.own.stats().results["transcript"] == 7
    cache.close()
    workspace.close()
