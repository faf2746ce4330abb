"""``llmrec adapters``: what is in use changes at once or not at all, and only to what is whole and better."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from shop import write_events, write_items
from small_training import CURVE, adapted, write_tiny_bert
from word_shop import event, index, item_rows, topical_events

from llmrec.adapters import compare, kept, merge, remove, use
from llmrec.cli.main import run
from llmrec.encode import load_encoder
from llmrec.errors import (
    AdapterError,
    ConfigError,
    CorruptFileError,
    LlmrecError,
    UnsafeFileError,
    WorkspaceError,
)
from llmrec.evaluating import Evaluation
from llmrec.indexing import IndexRun, Sources
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.recommender import Recommender
from llmrec.schema import MODALITIES, Modality
from llmrec.store.events import EventStore
from llmrec.store.rows import DOCUMENT, row_schema
from llmrec.training.adapter import write_folder
from llmrec.training.finetuning import finetune
from llmrec.training.lora import AdapterState
from llmrec.training.settings import TrainingSettings
from llmrec.workspace import Workspace

pytestmark = pytest.mark.slow

ITEMS = [f"i{number}" for number in range(24)]
SETTINGS = TrainingSettings.model_validate(
    {"max_steps": 20, "batch_size": 32, "max_tokens": 24, "learning_rate": 5e-3}
)
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the adapter ``good``, which was trained on its log, and ``noise``, at random."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:  # this runs before the fixtures of a single test
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        root = index(folder / "w", f"file:{write_tiny_bert(folder / 'tiny')}", topical_events(), ITEMS)
        workspace = Workspace(root)
        card = finetune(workspace, SETTINGS, "good").card
        workspace.close()
        add(root, "noise", folder / "tiny", card)
    return root


def add(root: Path, name: str, model: Path, card: dict[str, Any]) -> None:
    """An adapter of random weights, with the card of another."""
    noise = adapted(model, seed=3, size=0.3)
    write_folder(
        {**card, "name": name},
        CURVE,
        root / "adapters" / name,
        partial(AdapterState("tiny").write, noise),
    )


@pytest.fixture(scope="module")
def made_in_use(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with ``good`` in use."""
    folder = tmp_path_factory.mktemp("used")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMREC_HOME", str(folder / "home"))
        workspace = Workspace(shutil.copytree(made, folder / "w"))
        use(workspace, "good")
        workspace.close()
    return workspace.root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(made, tmp_path / "w"))


@pytest.fixture
def opened(root: Path) -> Iterator[Workspace]:
    workspace = Workspace(root)
    yield workspace
    workspace.close()


@pytest.fixture
def in_use(made_in_use: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy with ``good`` in use."""
    workspace = Workspace(shutil.copytree(made_in_use, tmp_path / "used"))
    yield workspace
    workspace.close()


def answers(root: Path) -> list[tuple[str, float]]:
    with Recommender.open(root) as recommender:
        return [(found.item_id, found.score) for found in recommender.recommend("u0", k=30)]


def vectors(workspace: Workspace) -> dict[str, NDArray[np.float32]]:
    """The vectors of all items, by id."""
    catalog = Catalog(workspace.require_present().table, 1000)
    return dict(zip(catalog.ids, catalog.vectors(np.arange(len(catalog))), strict=True))


def same(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[item], other[item]) for item in one)


def catalog_of(root: Path, made: Path, *more: dict[str, object]) -> Sources:
    path = root.with_name("items.jsonl")
    return Sources(write_items(path, [*item_rows(ITEMS), *more]), (made.with_name("w-data") / "log.csv",))


def test_what_is_used_answers(opened: Workspace, made: Path) -> None:
    with Recommender.open(opened.root) as recommender:
        before = [found.contributions["semantic"] for found in recommender.recommend("u0", k=30)]
        used = use(opened, "good")
        after = [found.contributions["semantic"] for found in recommender.recommend("u0", k=30)]
        assert before != after, "a recommender that is open takes the new state"
        asked = recommender.encoder.encode(["w1 w2"], kind="user")
    assert (used.adapter, used.encoded, used.resumed) == ("good", 25, 0)
    assert used.gain is not None
    assert used.gain.difference.low > 0, "the log can be learnt"
    assert used.gain.after - used.gain.before == pytest.approx(used.gain.difference.mean)
    snapshot = opened.require_present().snapshot
    assert (snapshot.adapter, snapshot.encoder) == ("good", opened.settings.models.encoder)
    encoder = load_encoder(f"file:{opened.root / 'models' / 'good'}", opened.settings.encoder)
    assert snapshot.encoder_fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(encoder.encode(["w1 w2"], kind="user"), asked)
    for batch in opened.require_present().table.scan(["item_id", DOCUMENT, "_vector"]):
        texts, stored = batch.column(1).to_pylist(), batch.column(2).to_pylist()
        np.testing.assert_allclose(encoder.encode(texts), stored, atol=1e-6)
    assert use(opened, "good").encoded == 0, "it is in use already"
    assert not (opened.root / "staging" / "adapter").exists()


def test_an_index_run_goes_on_with_the_adapter(in_use: Workspace, made: Path) -> None:
    before = vectors(in_use)
    report = IndexRun(in_use, catalog_of(in_use.root, made))()
    assert (report.encoded, report.unchanged) == (0, 25)
    new = {"item_id": "new", "title": "w60 w61"}
    report = IndexRun(in_use, catalog_of(in_use.root, made, new))()
    assert (report.encoded, report.unchanged) == (1, 25)
    after, snapshot = vectors(in_use), in_use.require_present().snapshot
    assert snapshot.adapter == "good"
    encoder = load_encoder(in_use.require_encoder(snapshot).spec, in_use.settings.encoder)
    np.testing.assert_allclose(encoder.encode(["w60 w61"])[0], after.pop("new"), atol=1e-6)
    assert same(before, after)
    assert IndexRun(in_use, catalog_of(in_use.root, made), rebuild=True)().encoded == 25
    assert in_use.require_present().snapshot.adapter == "good"
    assert same(before, vectors(in_use))


def test_encoding_from_the_table_writes_what_a_rebuild_writes(opened: Workspace, made: Path) -> None:
    seen = {"item_id": "seen", "title": "w1", "caption": "w50 w51", "year": 1999, "categories": ["w7"]}
    sources = catalog_of(opened.root, made, seen)
    IndexRun(opened, sources)()
    use(opened, "good", force=True)
    written = rows_in(opened)
    assert any(row["_vector_picture"] for row in written)
    IndexRun(opened, sources, rebuild=True)()
    for row, again in zip(written, rows_in(opened), strict=True):
        for name in row:
            if name.startswith("_vector") and row[name]:
                np.testing.assert_allclose(again.pop(name), row[name], atol=1e-6)
        assert again == {name: row[name] for name in again}


def rows_in(workspace: Workspace) -> list[dict[str, Any]]:
    """All that the item table holds."""
    names = [*row_schema(32).names, "year"]
    return [row for batch in workspace.require_present().table.scan(names) for row in batch.to_pylist()]


def test_what_parts_of_items_say_stays_with_the_encoder_without_an_adapter(
    opened: Workspace, made: Path
) -> None:
    seen = {"item_id": "seen", "title": "w1", "caption": "w50 w51"}
    IndexRun(opened, catalog_of(opened.root, made, seen))()
    before = [parts(opened, modality) for modality in MODALITIES]
    use(opened, "good", force=True)
    after = [parts(opened, modality) for modality in MODALITIES]
    for (ids, was, known), (ids_now, now, known_now) in zip(before, after, strict=True):
        order = [ids_now.index(item) for item in ids]
        np.testing.assert_array_equal(known, known_now[order])
        np.testing.assert_allclose(was, now[order], atol=1e-6)
    new = {"item_id": "new", "title": "w60 w61"}
    IndexRun(opened, catalog_of(opened.root, made, seen, new))()
    ids, texts, _ = parts(opened, "text")
    base = load_encoder(opened.settings.models.encoder, opened.settings.encoder)
    np.testing.assert_allclose(texts[ids.index("new")], base.encode(["w60 w61"])[0], atol=1e-6)


def parts(workspace: Workspace, modality: Modality) -> tuple[list[str], Scores, NDArray[np.bool_]]:
    """Ids of the items, the vectors of one modality, and which items have it."""
    catalog = Catalog(workspace.require_present().table, 1000)
    return catalog.ids, *catalog.field(modality)


def test_an_adapter_cuts_what_is_encoded_and_not_the_document(opened: Workspace, made: Path) -> None:
    long = {"item_id": "long", "title": "w1", "text": " ".join(f"w{at}" for at in range(2, 40))}
    sources = catalog_of(opened.root, made, long)
    IndexRun(opened, sources)()
    use(opened, "good", force=True)
    batches = opened.require_present().table.scan(["item_id", DOCUMENT, "_vector"])
    rows = {row["item_id"]: row for batch in batches for row in batch.to_pylist()}
    assert rows["long"][DOCUMENT].endswith("w39")
    encoder = load_encoder(f"file:{opened.root / 'models' / 'good'}", opened.settings.encoder)
    read = rows["long"][DOCUMENT].partition(f"w{SETTINGS.max_tokens}")[0]
    for text in (rows["long"][DOCUMENT], read):
        np.testing.assert_allclose(encoder.encode([text])[0], rows["long"]["_vector"], atol=1e-6)
    assert IndexRun(opened, sources)().encoded == 0


def test_another_encoder_in_the_settings_ends_the_use(in_use: Workspace, made: Path, tmp_path: Path) -> None:
    other = write_tiny_bert(tmp_path / "other")
    path = in_use.root / "llmrec.toml"
    path.write_text(path.read_text("utf-8").replace(in_use.settings.models.encoder, f"file:{other}"), "utf-8")
    changed = Workspace(in_use.root)
    sources = catalog_of(in_use.root, made)
    for attempt in (lambda: IndexRun(changed, sources)(), lambda: use(changed, None)):
        with pytest.raises(WorkspaceError, match=r"encoded by .*tiny \+ good .*other"):
            attempt()
    IndexRun(changed, sources, rebuild=True)()
    assert changed.require_present().snapshot.adapter is None
    changed.close()


def test_going_back_gives_the_vectors_as_they_were(opened: Workspace) -> None:
    before, answered = vectors(opened), answers(opened.root)
    use(opened, "good")
    assert not same(before, vectors(opened))
    assert use(opened, None).encoded == 25
    assert same(before, vectors(opened))
    assert answers(opened.root) == answered
    assert use(opened, None).encoded == 0


def test_an_evaluation_takes_the_adapter_and_says_what_it_has_seen(in_use: Workspace) -> None:
    def report(split: str) -> dict[str, Any]:
        return Evaluation(in_use).report(split, ["popularity"], variants=False)

    fair = report("leave-last-out")
    assert fair["protocol"]["leakage"] == []
    assert fair["protocol"]["encoder"]["name"] == f"{in_use.settings.models.encoder} + good"
    assert "adapter" in report("global-time")["protocol"]["leakage"][0]["what"]


def test_a_new_fine_tuning_begins_with_the_base(in_use: Workspace) -> None:
    card = finetune(in_use, SETTINGS.model_copy(update={"max_steps": 1}), "second").card
    good = json.loads((in_use.root / "adapters" / "good" / "card.json").read_text("utf-8"))
    assert card["base"] == good["base"]
    assert card["metrics"]["before"] == pytest.approx(good["metrics"]["before"])


def test_a_worse_one_takes_force(in_use: Workspace) -> None:
    before, answered = vectors(in_use), answers(in_use.root)
    with pytest.raises(AdapterError, match=r"noise does not beat .* \+ good, which is in use.*\n.*--force"):
        use(in_use, "noise")
    assert same(before, vectors(in_use))
    assert answers(in_use.root) == answered
    forced = use(in_use, "noise", force=True)
    assert (forced.encoded, forced.resumed, forced.gain) == (0, 25, None), "what was encoded is kept"
    assert in_use.require_present().snapshot.adapter == "noise"


def write_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    change(card)
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def of_another_base(folder: Path) -> None:
    write_card(folder, lambda card: card["base"].update(name="other", fingerprint="1" * 64))


def of_another_dimension(folder: Path) -> None:
    """Well-formed weights of a wider model; the card says that they are of this one."""
    from hashlib import sha256

    weights = {name: np.repeat(array, 2, axis=-1) for name, array in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS)
    digest = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    write_card(folder, lambda card: card["sha256"].update({WEIGHTS: digest}))


def with_other_weights(folder: Path) -> None:
    save_file({name: -array for name, array in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)


def with_another_scale(folder: Path) -> None:
    text = (folder / CONFIG).read_text("utf-8")
    (folder / CONFIG).write_text(text.replace('"lora_alpha": 32', '"lora_alpha": 64'), "utf-8")


def cut_off(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:100])


REFUSED: list[tuple[Callable[[Path], object], type[LlmrecError], str]] = [
    (of_another_base, AdapterError, "made for other"),
    (of_another_dimension, AdapterError, "is of another model, or of another dimension"),
    (with_other_weights, AdapterError, f"{WEIGHTS} is not what its card says"),
    (with_another_scale, AdapterError, f"{CONFIG} is not what its card says"),
    (cut_off, AdapterError, f"{WEIGHTS} is not what its card says"),
    (lambda folder: (folder / "optimizer.pt").write_bytes(b"any"), UnsafeFileError, "pickle"),
    (lambda folder: (folder / "adapter_model.bin").write_bytes(b"any"), UnsafeFileError, "pickle"),
    (lambda folder: (folder / "more.pkl").write_bytes(b"any"), UnsafeFileError, "pickle"),
    (lambda folder: (folder / "card.json").unlink(), AdapterError, r"half written: it has no card\.json"),
    (lambda folder: (folder / WEIGHTS).unlink(), AdapterError, "half written: it has no adapter_model"),
    (lambda folder: (folder / "card.json").write_text("{"), AdapterError, r"card\.json cannot be read"),
    (lambda folder: write_card(folder, dict.clear), AdapterError, r"base: Field required; data: .*"),
    (lambda folder: write_card(folder, lambda card: card.update(format=2)), AdapterError, "of format 2"),
    (lambda folder: write_card(folder, lambda card: card["sha256"].clear()), AdapterError, "no SHA-256"),
]


@pytest.mark.parametrize(("damage", "kind", "told"), REFUSED)
def test_what_is_not_whole_or_does_not_fit_is_refused(
    opened: Workspace, damage: Callable[[Path], object], kind: type[LlmrecError], told: str
) -> None:
    before = opened.snapshot()
    damage(opened.root / "adapters" / "good")
    with pytest.raises(kind, match=told) as caught:
        use(opened, "good", force=True)
    assert caught.value.hint
    assert opened.snapshot() == before
    assert not [*(opened.root / "models").glob("good/*")]


@pytest.mark.parametrize("name", ["none such", "", "..", ".", "../adapters/good"])
def test_only_names_of_adapters_are_taken(opened: Workspace, name: str) -> None:
    for attempt in (use, remove):
        with pytest.raises(AdapterError, match=r"there is no adapter .*\nThere are: good, noise"):
            attempt(opened, name)


def test_a_plugin_has_no_adapters(tmp_path: Path, made: Path) -> None:
    root = index(tmp_path / "plugin", "plugin:words", topical_events())
    shutil.copytree(made / "adapters", root / "adapters")
    workspace = Workspace(root)
    with pytest.raises(ConfigError, match="a plug-in has no weights"):
        use(workspace, "good")
    workspace.close()


def killing(*_: object, **__: object) -> None:
    raise Killed


def after(count: int) -> Callable[..., Any]:
    """A journal's ``append`` that is killed once it has kept that many batches."""
    from llmrec.store.journal import Journal

    kept, real = [0], Journal.append

    def append(journal: Journal, batch: Any) -> None:
        if kept[0] == count:
            raise Killed
        kept[0] += 1
        real(journal, batch)

    return append


@pytest.mark.parametrize(
    ("where", "what", "resumed"),
    [
        ("llmrec.training.merging.merge_adapter", killing, 0),
        ("llmrec.store.journal.Journal.append", after(3), 12),
        pytest.param("llmrec.store.items.ItemStore._index", killing, 25, marks=pytest.mark.slow),
        pytest.param("llmrec.rank.ranker.Ranker.save", killing, 25, marks=pytest.mark.slow),
        ("llmrec.store.events.EventStore.commit", killing, 25),
    ],
)
def test_a_kill_leaves_the_old_state_and_the_next_run_goes_on(
    opened: Workspace, monkeypatch: pytest.MonkeyPatch, where: str, what: Callable[..., Any], resumed: int
) -> None:
    monkeypatch.setattr("llmrec.indexing.reencode.CHUNK", 4)
    before, answered = vectors(opened), answers(opened.root)
    with monkeypatch.context() as patch:
        patch.setattr(where, what)
        with pytest.raises(Killed):
            use(opened, "good")
    assert same(before, vectors(opened))
    assert answers(opened.root) == answered
    used = use(opened, "good")
    assert (used.resumed, used.encoded) == (resumed, 25 - resumed)
    assert answers(opened.root) != answered
    assert len([*(opened.root / "items").glob("*.lance")]) <= 2, "what the kill left is gone"


def test_a_killed_process_leaves_the_old_state(root: Path) -> None:
    script = f"""
import os, signal
import llmrec.indexing.reencode as reencode
from llmrec.adapters import use
from llmrec.workspace import Workspace
from llmrec.store.journal import Journal
from pathlib import Path
reencode.CHUNK = 4
real = Journal.append
def append(journal, batch):
    real(journal, batch)
    if len([*journal.folder.glob("*.arrow")]) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.append = append
use(Workspace(Path({str(root)!r})), "good")
"""
    answered = answers(root)
    done = subprocess.run([sys.executable, "-c", script], timeout=120, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert answers(root) == answered
    workspace = Workspace(root)
    assert use(workspace, "good").resumed == 12
    workspace.close()
    assert answers(root) != answered


def test_events_of_an_index_run_that_was_killed_stay_out(
    opened: Workspace, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [event(900 + user, 0, user) for user in range(5)]
    log = write_events(opened.root.with_name("more.csv"), more)
    sources = catalog_of(opened.root, made)
    with monkeypatch.context() as patch:
        patch.setattr(EventStore, "commit", killing)
        with pytest.raises(Killed):
            IndexRun(opened, Sources(sources.catalog, (log,)))()
    before = opened.events.counts()
    use(opened, "good")
    assert opened.events.counts() == before
    assert IndexRun(opened, Sources(sources.catalog, (log,)))().new_events == 5


def test_a_damaged_merged_model_is_named_and_made_again(in_use: Workspace) -> None:
    answered = answers(in_use.root)
    weights = in_use.root / "models" / "good" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"models/good: not what .*\n.*llmrec adapters use good"):
        Recommender.open(in_use.root)
    with pytest.raises(CorruptFileError, match="models/good: not what"):
        use(in_use, "noise")
    assert use(in_use, "good").encoded == 0, "the same weights give the same vectors"
    assert answers(in_use.root) == answered
    shutil.rmtree(in_use.root / "models")
    with pytest.raises(CorruptFileError, match=r"models/good: missing\n.*llmrec adapters use good"):
        Recommender.open(in_use.root)
    assert use(in_use, None).encoded == 25, "the way back needs no merged model"


def test_a_moved_workspace_keeps_its_encoder(in_use: Workspace, tmp_path: Path) -> None:
    answered = answers(in_use.root)
    moved = in_use.root.rename(tmp_path / "moved")
    assert answers(moved) == answered


def test_changed_settings_of_documents_are_made_up_for_by_the_next_index_run(
    opened: Workspace, made: Path
) -> None:
    prompts = opened.root / "prompts"
    prompts.mkdir()
    shipped = Path(__file__).parents[2] / "prompts" / "item.j2"
    text = shipped.read_text("utf-8")
    (prompts / "item.j2").write_text(text + " w63", "utf-8")
    use(opened, "good", force=True)
    (prompts / "item.j2").unlink()
    assert IndexRun(opened, catalog_of(opened.root, made))().encoded == 25


def test_the_list_names_what_is_there(opened: Workspace) -> None:
    of_another_base(opened.root / "adapters" / "noise")
    (opened.root / "adapters" / "half").mkdir()
    (opened.root / "adapters" / ".good.part").mkdir()
    use(opened, "good")
    found = {adapter.name: adapter for adapter in kept(opened)}
    assert [*found] == ["good", "half", "noise"]
    assert [adapter.in_use for adapter in found.values()] == [True, False, False]
    assert "half written" in found["half"].problem
    card = found["good"].card
    assert card is not None
    assert card.data.pairs > 100
    assert card.metrics.after["ndcg@10"] > card.metrics.before["ndcg@10"]


def test_a_comparison_asks_all_the_same(opened: Workspace) -> None:
    compared = compare(opened)
    assert [row.adapter for row in compared.rows] == [None, "good", "noise"]
    assert [row.in_use for row in compared.rows] == [True, False, False]
    base, good, noise = compared.rows
    assert compared.users == 60
    assert good.metrics.keys() == {"ndcg@10", "recall@10", "mrr"}
    assert base.difference is None
    assert good.difference is not None
    assert good.difference.low > 0
    assert good.difference.mean == pytest.approx(good.metrics["ndcg@10"] - base.metrics["ndcg@10"])
    assert noise.metrics["ndcg@10"] < good.metrics["ndcg@10"]
    gain = use(opened, "good").gain
    assert gain is not None
    assert (gain.before, gain.after) == pytest.approx((base.metrics["ndcg@10"], good.metrics["ndcg@10"]))
    again = compare(opened, ["good"])
    assert [(row.adapter, row.in_use) for row in again.rows] == [(None, False), ("good", True)]
    for one, other in zip(again.rows, compared.rows, strict=False):
        assert one.metrics == pytest.approx(other.metrics)


def test_one_in_use_is_not_removed(in_use: Workspace) -> None:
    with pytest.raises(AdapterError, match=r"good is in use.*\n.*--none"):
        remove(in_use, "good")
    use(in_use, None)
    remove(in_use, "good")
    assert [adapter.name for adapter in kept(in_use)] == ["noise"]
    assert not [*in_use.root.glob("**/good")]


def test_a_merged_model_is_written_to_a_new_folder_only(in_use: Workspace, tmp_path: Path) -> None:
    merge(in_use, "good", tmp_path / "out")
    spec = in_use.require_encoder(in_use.snapshot()).spec
    settings = in_use.settings.encoder
    one, other = (load_encoder(spec, settings) for spec in (spec, f"file:{tmp_path / 'out'}"))
    np.testing.assert_array_equal(one.encode(["w1 w2"]), other.encode(["w1 w2"]))
    with pytest.raises(AdapterError, match="there is something already"):
        merge(in_use, "good", tmp_path / "out")


def ask(monkeypatch: pytest.MonkeyPatch, capsys: Any, root: Path, *arguments: str) -> tuple[str, str]:
    """Exit code and output of the command."""
    monkeypatch.setattr(sys, "argv", ["llmrec", "adapters", *arguments, "--workspace", str(root)])
    with pytest.raises(SystemExit) as end:
        run()
    return str(end.value.code), capsys.readouterr().out


def test_the_command(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    def told(*arguments: str) -> Any:
        code, out = ask(monkeypatch, capsys, root, *arguments, "--json")
        assert code == "0"
        return json.loads(out)

    assert [(found["name"], found["in_use"]) for found in told("list")] == [("good", False), ("noise", False)]
    assert told("list")[0]["after"] > told("list")[0]["before"]
    assert [row["adapter"] for row in told("compare", "good")["rows"]] == [None, "good"]
    used = told("use", "good")
    assert (used["adapter"], used["encoded"]) == ("good", 25)
    assert used["gain"]["difference"]["mean"] > 0
    assert ask(monkeypatch, capsys, root, "list")[1].count("in use") == 1
    assert ask(monkeypatch, capsys, root, "use", "noise")[0] == "1"
    assert ask(monkeypatch, capsys, root, "use")[0] == "2"
    assert ask(monkeypatch, capsys, root, "use", "good", "--none")[0] == "2"
    assert "0 items encoded" in ask(monkeypatch, capsys, root, "use", "good")[1]
    assert told("merge", "noise", "--out", str(tmp_path / "out"))["folder"] == str(tmp_path / "out")
    assert told("use", "--none") == {"adapter": None, "encoded": 25, "resumed": 0, "gain": None}
    assert told("remove", "good") == {"removed": "good"}
    assert "ndcg@10" in ask(monkeypatch, capsys, root, "compare")[1]
