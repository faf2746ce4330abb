"""Media references cannot lead out of the catalog's folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from llmrec.errors import MediaRefusedError
from llmrec.media.paths import is_url, resolve_media


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A catalog's folder with a picture, beside a secret file."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "catalog"
    (folder / "img").mkdir(parents=True)
    (folder / "img" / "a b.jpg").write_text("picture")
    return folder


@pytest.mark.parametrize("reference", ["img/a b.jpg", "./img/a b.jpg", "img//a b.jpg"])
def test_path_inside_is_resolved(root: Path, reference: str) -> None:
    assert resolve_media(root, reference).read_text() == "picture"


@pytest.mark.parametrize(
    "reference", ["img/none.jpg", "img/..a..jpg", "été.jpg", "Mission: 2.jpg", "~/a.jpg"]
)
def test_missing_file_is_not_refused(root: Path, reference: str) -> None:
    assert resolve_media(root, reference) == root.resolve() / reference


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("../secret.txt", "'..'"),
        ("img/../../secret.txt", "'..'"),
        ("img/../img/a b.jpg", "'..'"),
        ("..", "'..'"),
        ("..\\secret.txt", "'..'"),
        ("/etc/passwd", "absolute"),
        ("//server/share/a.jpg", "absolute"),
        ("\\\\server\\share\\a.jpg", "absolute"),
        ("\\\\?\\C:\\a.jpg", "absolute"),
        ("\\a.jpg", "absolute"),
        ("C:\\a.jpg", "absolute"),
        ("c:a.jpg", "absolute"),
        ("img/a\x00.jpg", "control characters"),
        ("img/a\n.jpg", "control characters"),
        ("img/\ud800.jpg", "control characters"),
        ("https://example.org/a.jpg", "URL"),
        ("file:///etc/passwd", "URL"),
        ("img", "plain file"),
        (".", "plain file"),
        ("x" * 5000, "cannot be resolved"),
    ],
)
def test_reference_is_refused(root: Path, reference: str, reason: str) -> None:
    with pytest.raises(MediaRefusedError, match=reason) as error:
        resolve_media(root, reference)
    assert len(error.value.message) < 300


def test_symlink_out_is_refused(root: Path) -> None:
    (root / "file.jpg").symlink_to(root.parent / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "abs").symlink_to("/")
    (root / "hop").symlink_to("up")
    (root / "dangling.jpg").symlink_to("../none.jpg")
    for reference in ("file.jpg", "up/secret.txt", "abs/etc/passwd", "hop/secret.txt", "dangling.jpg"):
        with pytest.raises(MediaRefusedError, match="symlink leads out"):
            resolve_media(root, reference)


def test_symlink_loop_is_refused(root: Path) -> None:
    (root / "a.jpg").symlink_to("b.jpg")
    (root / "b.jpg").symlink_to("a.jpg")
    with pytest.raises(MediaRefusedError, match="refused"):
        resolve_media(root, "a.jpg")


def test_sibling_folder_with_the_same_start_is_outside(root: Path) -> None:
    (root.parent / "catalog2").mkdir()
    (root.parent / "catalog2" / "a.jpg").write_text("other")
    (root / "link").symlink_to("../catalog2")
    with pytest.raises(MediaRefusedError, match="symlink leads out"):
        resolve_media(root, "link/a.jpg")


def test_symlinks_inside_and_to_the_root_are_followed(root: Path) -> None:
    (root / "b.jpg").symlink_to("img/a b.jpg")
    (root.parent / "alias").symlink_to(root)
    assert resolve_media(root.parent / "alias", "b.jpg") == (root / "img" / "a b.jpg").resolve()


def test_pipe_is_refused(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    with pytest.raises(MediaRefusedError, match="plain file"):
        resolve_media(root, "pipe.jpg")


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("https://example.org/a.jpg", True),
        ("HTTP://example.org", True),
        (" https://example.org", True),
        ("file:///etc/passwd", True),
        ("s3://bucket/a", True),
        ("img/a.jpg", False),
        ("img/https://a.jpg", False),
        ("Mission: Impossible.jpg", False),
        ("C:\\a.jpg", False),
        ("//host/a.jpg", False),
    ],
)
def test_is_url(reference: str, url: bool) -> None:
    assert is_url(reference) is url


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "..", "/", "\\", ":", "~", " ", "\x00", "up"]), max_size=8).map("".join)
)
def test_nothing_outside_is_ever_returned(tmp_path_factory: pytest.TempPathFactory, reference: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    if not (folder / "up").is_symlink():
        (folder / "up").symlink_to("..")
    with suppress(MediaRefusedError):
        assert resolve_media(folder, reference).is_relative_to(folder.resolve())
