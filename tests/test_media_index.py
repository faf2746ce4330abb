"""Indexing a catalog with pictures and sound: what reaches documents, what is flagged, what is done once."""

from __future__ import annotations

import http.server
import json
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gallery import COLOURS, UNLUCKY, make_gallery_workspace, write_gallery, write_png
from shop import write_items
from test_crash import start
from typer.testing import CliRunner

from llmrec.cli.main import app
from llmrec.indexing import IndexReport, IndexRun, Sources
from llmrec.recommender import Recommender
from llmrec.schema import MODALITIES
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one line for everything that a model was asked."""
    path = tmp_path / "asked.txt"
    path.touch()
    monkeypatch.setenv("LLMREC_TEST_MEDIA", str(path))
    return path


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return write_gallery(tmp_path / "data")


def index(workspace: Workspace, sources: Sources, **options: object) -> IndexReport:
    return IndexRun(workspace, sources, **options)()  # type: ignore[arg-type]


def document(workspace: Workspace, item: str) -> str:
    with Recommender.open(workspace.root) as recommender:
        return recommender.document(item).text


def questions(asked: Path) -> list[str]:
    """What the models were asked since the last call."""
    lines = asked.read_text(encoding="utf-8").splitlines()
    asked.write_text("", encoding="utf-8")
    return lines


def test_pictures_and_sound_reach_documents_with_their_source(sources: Sources, tmp_path: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    report = index(workspace, sources)
    assert report.flags == []
    assert "a red square" in document(workspace, "red")
    assert "a sound of 2 seconds" in document(workspace, "sound")
    with Recommender.open(workspace.root) as recommender:
        pieces = [piece for piece in recommender.document("pair").pieces if piece.kind == "caption"]
        found = recommender.recommend(query="green", k=1)
    assert [(piece.text, piece.source, piece.model, piece.margin) for piece in pieces] == [
        ("a red square", "pictures/red.png", "colours", 2.0),
        ("a blue square", "pictures/blue.png", "colours", 2.0),
    ]
    assert found[0].item_id == "green"


def test_one_picture_under_two_items_is_captioned_once(sources: Sources, tmp_path: Path, asked: Path) -> None:
    report = index(make_gallery_workspace(tmp_path / "w"), sources)
    captions = [line for line in questions(asked) if line.startswith("caption")]
    assert len(captions) == len(set(captions)) == len(COLOURS)
    assert (report.media.done["caption"], report.media.cached["caption"]) == (4, 2)


def test_a_second_run_asks_no_model(sources: Sources, tmp_path: Path, asked: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    questions(asked)
    report = index(workspace, sources)
    assert questions(asked) == []
    assert (report.encoded, report.unchanged) == (0, 7)


def test_another_workspace_takes_what_the_first_one_made(
    sources: Sources, tmp_path: Path, asked: Path
) -> None:
    index(make_gallery_workspace(tmp_path / "one"), sources)
    questions(asked)
    workspace = make_gallery_workspace(tmp_path / "two")
    assert index(workspace, sources).encoded == 7
    assert questions(asked) == []
    assert "a blue square" in document(workspace, "blue")


def test_a_changed_picture_is_captioned_again_and_only_that(
    sources: Sources, tmp_path: Path, asked: Path
) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    questions(asked)
    write_png(sources.catalog.parent / "pictures" / "green.png", (10, 10, 250))
    report = index(workspace, sources)
    assert questions(asked) == ["caption [10, 10, 250]"]
    assert report.encoded == 1
    assert "a blue square" in document(workspace, "green")


def test_each_item_has_a_vector_of_each_modality_that_it_has(sources: Sources, tmp_path: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    with Recommender.open(workspace.root) as recommender:
        catalog, encoder = recommender.catalog, recommender.encoder
        known = {
            modality: {catalog.ids[row] for row in np.flatnonzero(catalog.field(modality)[1])}
            for modality in MODALITIES
        }
        of = {modality: catalog.field(modality)[0][catalog.row_of["pair"]] for modality in MODALITIES}
    assert known["text"] == set(catalog.ids)
    assert known["picture"] >= {"red", "green", "blue", "pair"}
    assert known["sound"] == {"sound"}
    expected = encoder.encode(["A pair", "picture: a red square\npicture: a blue square"], kind="item")
    np.testing.assert_allclose(of["text"], expected[0], atol=1e-6)
    np.testing.assert_allclose(of["picture"], expected[1], atol=1e-6)


def test_unchanged_items_keep_the_vectors_of_their_modalities(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    with Recommender.open(workspace.root) as recommender:
        before = {name: recommender.catalog.field_vectors(name, np.arange(7)) for name in MODALITIES}
        ids = recommender.catalog.ids
    log = tmp_path / "encoded.txt"
    monkeypatch.setenv("LLMREC_TEST_ENCODED", str(log))
    lines = sources.catalog.read_text(encoding="utf-8")
    added = {"item_id": "new", "title": "New", "caption": "a red square"}
    sources.catalog.write_text(lines + json.dumps(added) + "\n", encoding="utf-8")
    assert index(workspace, sources).encoded == 1
    assert log.read_text(encoding="utf-8").splitlines() == [
        "New caption: a red square",
        "New",
        "caption: a red square",
    ]
    with Recommender.open(workspace.root) as recommender:
        catalog = recommender.catalog
        for name, (vectors, known) in before.items():
            after, still = catalog.field_vectors(name, catalog.rows(ids))
            np.testing.assert_array_equal(still, known)
            np.testing.assert_array_equal(after[known], vectors[known])
        assert catalog.field("picture")[1][catalog.row_of["new"]]


def test_an_unsure_caption_is_shown_but_kept_out(sources: Sources, tmp_path: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    assert index(workspace, sources).media.unsure == 1
    assert "a grey square" not in document(workspace, "grey")
    shown = CliRunner().invoke(app, ["show", "grey", "-w", str(workspace.root), "--json"])
    (caption,) = (piece for piece in json.loads(shown.stdout)["pieces"] if piece["kind"] == "caption")
    assert (caption["text"], caption["unsure"], caption["margin"]) == ("a grey square", True, -1.0)


def test_another_threshold_asks_no_model(sources: Sources, tmp_path: Path, asked: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    questions(asked)
    again = make_gallery_workspace(tmp_path / "w", "[caption]\nmin_margin = -2\n")
    report = index(again, sources)
    assert questions(asked) == []
    assert report.encoded == 5, "every item with a picture"
    assert "a grey square" in document(again, "grey")


def test_what_the_catalog_says_itself_wins(tmp_path: Path, asked: Path) -> None:
    sources = write_gallery(tmp_path / "data")
    rows = [json.loads(line) for line in sources.catalog.read_text(encoding="utf-8").splitlines()]
    rows[0]["caption"] = "a crimson tile"
    rows[5]["transcript"] = "welcome to the gallery"
    write_items(sources.catalog, rows)
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    assert not [line for line in questions(asked) if line.startswith("transcript")]
    text = document(workspace, "red")
    assert "a crimson tile" in text
    assert "a red square" not in text
    assert "welcome to the gallery" in document(workspace, "sound")
    with Recommender.open(workspace.root) as recommender:
        kinds = {piece.kind: piece.source for piece in recommender.document("red").pieces}
    assert kinds["caption"] == "caption"


def test_broken_missing_and_forbidden_files_are_flagged_and_the_rest_goes_on(
    tmp_path: Path, asked: Path
) -> None:
    sources = write_gallery(tmp_path / "data")
    pictures = sources.catalog.parent / "pictures"
    whole = (pictures / "red.png").read_bytes()
    (pictures / "green.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "blue.png").unlink()
    (tmp_path / "secret.png").write_bytes(whole)
    (pictures / "grey.png").unlink()
    (pictures / "grey.png").symlink_to(tmp_path / "secret.png")
    rows = [json.loads(line) for line in sources.catalog.read_text(encoding="utf-8").splitlines()]
    rows.append({"item_id": "up", "title": "Up", "images": ["../secret.png"]})
    write_items(sources.catalog, rows)
    workspace = make_gallery_workspace(tmp_path / "w")
    done = CliRunner().invoke(app, ["index", str(sources.catalog), "-w", str(workspace.root), "--json"])
    assert done.exit_code == 3
    lines = (workspace.root / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    flags = {(flag["item_id"], flag["source"]): flag for flag in map(json.loads, lines)}
    assert {item for item, _ in flags} == {"green", "blue", "pair", "grey", "up"}
    assert {flag["field"] for flag in flags.values()} == {"images"}
    assert "not found" in flags["blue", "pictures/blue.png"]["reason"]
    assert "symlink" in flags["grey", "pictures/grey.png"]["reason"]
    assert "'..'" in flags["up", "../secret.png"]["reason"]
    assert "truncated" in flags["green", "pictures/green.png"]["reason"]
    assert "a red square" in document(workspace, "pair")
    assert questions(asked)

    again = index(workspace, sources)
    assert questions(asked) == []
    assert again.encoded == 0
    assert {flag.item_id for flag in again.flags} == {"green", "blue", "pair", "grey", "up"}

    write_png(pictures / "blue.png", COLOURS["blue"])
    write_png(pictures / "green.png", COLOURS["green"])
    mended = index(workspace, sources)
    assert mended.encoded == 3
    assert {flag.item_id for flag in mended.flags} == {"grey", "up"}
    assert "a blue square" in document(workspace, "pair")


def test_a_model_that_fails_on_one_picture_costs_that_picture_until_it_is_tried_again(
    tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = write_gallery(tmp_path / "data")
    write_png(sources.catalog.parent / "pictures" / "green.png", UNLUCKY)
    workspace = make_gallery_workspace(tmp_path / "w")
    report = index(workspace, sources)
    assert [(flag.item_id, flag.reason) for flag in report.flags] == [
        ("green", "caption: RuntimeError: an unlucky picture")
    ]
    assert "a red square" in document(workspace, "red")
    questions(asked)
    assert index(workspace, sources).flags == report.flags
    assert questions(asked) == []
    monkeypatch.setenv("LLMREC_TEST_LUCKY", "1")
    retried = index(workspace, sources, retry_failed=True)
    assert retried.flags == []
    assert retried.encoded == 1
    assert questions(asked) == ["caption [13, 13, 13]"]


def test_without_a_captioner_pictures_still_say_something(sources: Sources, tmp_path: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w", captioner="")
    done = CliRunner().invoke(app, ["index", str(sources.catalog), "-w", str(workspace.root), "--json"])
    assert done.exit_code == 0
    (missing,) = json.loads(done.stdout)["missing"]
    assert missing["what"] == "captions of pictures"
    assert "[models]" in missing["remedy"]
    assert "red" in document(workspace, "red")


def test_a_captioner_that_cannot_be_had_is_reported_and_the_rest_is_done(
    sources: Sources, tmp_path: Path
) -> None:
    workspace = make_gallery_workspace(tmp_path / "w", captioner=f"file:{tmp_path / 'none'}")
    report = index(workspace, sources)
    assert [missing.what for missing in report.missing] == ["captions of pictures"]
    assert "not found" in report.missing[0].why
    assert "a sound of 2 seconds" in document(workspace, "sound")


def test_pruning_keeps_what_a_captioner_made_that_is_away(sources: Sources, tmp_path: Path) -> None:
    workspace = make_gallery_workspace(tmp_path / "w")
    index(workspace, sources)
    prune = ["cache", "prune", "-w", str(workspace.root), "--json"]
    dropped = json.loads(CliRunner().invoke(app, prune).stdout)["dropped"]
    assert dropped == {"workspace": 0, "shared": 0, "features": 0}
    make_gallery_workspace(tmp_path / "w", captioner=f"file:{tmp_path / 'none'}")
    assert json.loads(CliRunner().invoke(app, prune).stdout)["dropped"]["workspace"] == 0
    (sources.catalog.parent / "pictures" / "red.png").unlink()
    assert json.loads(CliRunner().invoke(app, prune).stdout)["dropped"]["workspace"] == 2
    stats = json.loads(
        CliRunner().invoke(app, ["cache", "stats", "-w", str(workspace.root), "--json"]).stdout
    )
    assert stats["workspace"]["results"] == {"caption": 3, "look": 3, "transcript": 1}


def test_a_folder_of_media_is_a_catalog(tmp_path: Path) -> None:
    write_gallery(tmp_path / "data")
    (tmp_path / "data" / "items.jsonl").unlink()
    workspace = make_gallery_workspace(tmp_path / "w")
    report = index(workspace, Sources(tmp_path / "data"))
    assert (report.items, report.flags) == (5, [])
    assert "a red square" in document(workspace, "pictures/red")
    assert document(workspace, "two seconds").startswith("two seconds")


class _Pictures(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        content = self.server.picture  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pictures)
    found.asked = []  # type: ignore[attr-defined]
    found.picture = write_png(tmp_path / "served.png", COLOURS["green"]).read_bytes()  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def test_urls_are_opened_only_at_hosts_that_were_allowed(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, asked: Path
) -> None:
    host = f"127.0.0.1:{server.server_port}"
    sources = Sources(
        write_items(
            tmp_path / "items.jsonl", [{"item_id": "a", "title": "A", "images": [f"http://{host}/a.png"]}]
        )
    )
    workspace = make_gallery_workspace(tmp_path / "w")
    refused = index(workspace, sources)
    assert server.asked == []  # type: ignore[attr-defined]
    (flag,) = refused.flags
    assert (flag.field, flag.source) == ("images", f"http://{host}/a.png")
    assert f"--allow-hosts {host}" in flag.reason

    allowed = index(workspace, sources, allow_hosts=[host])
    assert (allowed.flags, allowed.encoded) == ([], 1)
    assert server.asked == ["/a.png"]  # type: ignore[attr-defined]
    assert "a green square" in document(workspace, "a")
    questions(asked)
    again = index(workspace, sources, allow_hosts=[host])
    assert (again.encoded, questions(asked)) == (0, [])
    assert server.asked == ["/a.png"]  # type: ignore[attr-defined]


def test_no_connection_is_made_to_private_addresses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        urls = [
            f"http://127.0.0.1:{port}/",
            f"http://2130706433:{port}/",
            f"http://[::ffff:127.0.0.1]:{port}/",
            f"http://localhost:{port}/",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/hostname",
        ]
        rows = [{"item_id": f"i{n}", "title": "x", "images": [url]} for n, url in enumerate(urls)]
        workspace = make_gallery_workspace(tmp_path / "w")
        report = index(workspace, Sources(write_items(tmp_path / "items.jsonl", rows)))
        assert {flag.item_id for flag in report.flags} == {f"i{number}" for number in range(len(urls))}
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_kills_at_random_points_ask_nothing_twice_that_was_kept(tmp_path: Path, asked: Path) -> None:
    chance = random.Random(20261124)
    sources = write_gallery(tmp_path / "data", items=400)
    workspace = make_gallery_workspace(tmp_path / "w")
    arguments = ("index", sources.catalog, "-w", workspace.root, "--json")
    kept: set[str] = set()
    for _ in range(8):
        process = start(*arguments, LLMREC_TEST_SECONDS="0.15")
        while not asked.stat().st_size and process.poll() is None:  # however long a busy machine takes
            time.sleep(0.01)
        time.sleep(1.5 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        asked_now = Counter(questions(asked))
        assert not kept & set(asked_now), "asked again although its answer had been kept"
        kept |= _kept(workspace)
    done = start(*arguments)
    output, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    assert not kept & set(questions(asked))
    assert json.loads(output)["items"] == 407
    assert kept, "no run got far enough to keep anything"
    assert "a red square" in document(workspace, "more-399")


def _kept(workspace: Workspace) -> set[str]:
    """The questions whose answers are in the cache."""
    cache = workspace.media_cache()
    known = set()
    for number in range(400):
        path = str(workspace.root.parent / "data" / "pictures" / f"{number}.png")
        status = Path(path).stat()
        content = cache.own.content_of(path, status.st_size, status.st_mtime_ns)
        rows = cache.own._db.execute("SELECT task FROM results WHERE content = ?", (content,)).fetchall()
        if any(task.startswith("caption:") for (task,) in rows):
            known.add(f"caption {[200, number % 64, number // 64]}")
    cache.close()
    return known
