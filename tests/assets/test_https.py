"""``https:`` assets from a TLS server on this machine: resuming, killing, racing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from llmrec.assets import home, locate, pull, resolve
from llmrec.errors import AssetError
from llmrec.progress import Task

from .serving import Site, add_asset, sha256

BODY = os.urandom(6_000_000)


class Counting:
    """A progress that adds up what it is told."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.done = 0

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "items", done: int = 0) -> Iterator[Task]:
        assert unit == "bytes"
        self.totals.append(total)
        self.done += done
        yield self

    def advance(self, amount: int = 1) -> None:
        self.done += amount


def test_a_dropped_connection_is_continued_where_it_broke(site: Site) -> None:
    site.files["model.gguf"] = BODY
    site.cut["model.gguf"] = 2_500_000
    site.release.set()
    add_asset("mine", [site.part("model.gguf")], kind="file")
    progress = Counting()

    assert resolve("mine", progress).read_bytes() == BODY
    assert site.requests[0] == ("model.gguf", None)
    assert len(site.requests) == 2
    assert str(site.requests[1][1]).startswith("bytes=")
    assert progress.totals == [len(BODY)]
    assert progress.done == len(BODY)


def test_a_killed_pull_keeps_finished_parts_and_continues(
    site: Site, in_background: Callable[[str], Popen[str]]
) -> None:
    site.files = {"first.json": b"{}", "second.gguf": BODY}
    site.cut["second.gguf"] = 4_000_000
    add_asset("mine", [site.part("first.json"), site.part("second.gguf")])
    process = in_background("from llmrec.assets import pull; pull('mine')")
    assert site.reached.wait(20)
    part = next(iter_until(home(), "second.gguf.part", at_least=1_000_000))
    process.kill()
    process.wait()
    assert locate("mine") is None
    site.release.set()
    kept = part.stat().st_size

    path = pull("mine")

    assert (path / "second.gguf").read_bytes() == BODY
    assert [name for name, _ in site.requests] == ["first.json", "second.gguf", "second.gguf"]
    assert site.requests[-1][1] == f"bytes={kept}-"
    assert not list(home().rglob("*.part*"))


def iter_until(folder: Path, name: str, at_least: int) -> Iterator[Path]:
    """The file of that name as soon as it holds so many bytes."""
    import time

    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        yield from (path for path in folder.rglob(name) if path.stat().st_size >= at_least)
        time.sleep(0.02)


def test_a_file_that_changed_meanwhile_is_downloaded_from_the_start(site: Site) -> None:
    uri = f"{site.url}/model.gguf"
    site.files["model.gguf"] = BODY
    site.etags["model.gguf"] = '"one"'
    site.cut["model.gguf"] = 2_500_000

    class Change(Counting):
        def advance(self, amount: int = 1) -> None:
            super().advance(amount)
            if amount and "model.gguf" not in site.cut and not site.release.is_set():
                site.files["model.gguf"], site.etags["model.gguf"] = BODY[::-1], '"two"'
                site.release.set()

    progress = Change()
    assert resolve(uri, progress).read_bytes() == BODY[::-1]
    assert progress.done == len(BODY)


def test_two_processes_pull_at_once_and_download_once(
    site: Site, in_background: Callable[[str], Popen[str]]
) -> None:
    site.files["model.gguf"] = BODY
    add_asset("mine", [site.part("model.gguf")], kind="file")
    code = "from llmrec.assets import pull; print(pull('mine').stat().st_size)"
    processes = [in_background(code) for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=20)
        assert (process.returncode, output.strip()) == (0, str(len(BODY)))
    assert len(site.requests) == 1


def test_halves_in_the_wrong_order_are_noticed(site: Site) -> None:
    site.files = {"one": b"one", "two": b"two"}
    parts = [site.part(path, path="model.bin") for path in ("two", "one")]
    add_asset("split", parts, joined={"model.bin": sha256(b"onetwo")})
    with pytest.raises(AssetError, match=r"split/model\.bin: wrong checksum"):
        pull("split")
    assert not list(home().rglob("model.bin*"))


def test_more_bytes_than_declared_are_refused(site: Site) -> None:
    site.files["model.gguf"] = BODY
    add_asset("mine", [site.part("model.gguf", size=1_000_000)])
    with pytest.raises(AssetError, match=r"mine/model\.gguf: larger than 1,000,000 bytes"):
        pull("mine")


def test_a_missing_file_is_reported_at_once(site: Site) -> None:
    with pytest.raises(AssetError, match=r"nothing\.gguf: the server answered 404"):
        resolve(f"{site.url}/nothing.gguf")
    assert len(site.requests) == 1


@pytest.mark.parametrize("target", ["http://localhost/model.gguf", "file:///etc/passwd"])
def test_a_redirect_away_from_https_is_refused(site: Site, target: str) -> None:
    site.redirects["model.gguf"] = target
    with pytest.raises(AssetError, match=r"not https; refused|not allowed"):
        resolve(f"{site.url}/model.gguf")


def test_a_redirect_to_https_is_followed(site: Site) -> None:
    site.files["real.gguf"] = b"GGUF"
    site.redirects["model.gguf"] = f"{site.url}/real.gguf"
    path = resolve(f"{site.url}/model.gguf")
    assert (path.name, path.read_bytes()) == ("model.gguf", b"GGUF")


def test_an_untrusted_certificate_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["model.gguf"] = b"GGUF"
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(AssetError, match="certificate is not trusted"):
        resolve(f"{site.url}/model.gguf")


def test_no_network_says_so() -> None:
    with pytest.raises(AssetError, match="no network: "):
        resolve("https://no-such-host.invalid/model.gguf")
    with pytest.raises(AssetError, match=r"no network: .*refused"):
        resolve("https://127.0.0.1:9/model.gguf")
