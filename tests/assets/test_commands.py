"""``llmrec models`` and ``llmrec datasets``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from llmrec.assets import pull
from llmrec.cli import datasets, models
from llmrec.errors import AssetError

from .serving import Site, add_asset

runner = CliRunner()


@pytest.fixture
def mine(site: Site) -> str:
    site.files = {"model.safetensors": b"weights", "config.json": b"{}"}
    add_asset("mine", [site.part(path) for path in site.files], licence="MIT", source="the tests")
    return "mine"


@pytest.fixture
def films(site: Site) -> str:
    site.files = {"films.inter": b"ratings"}
    add_asset("films", [site.part("films.inter")], role="dataset")
    return "films"


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_as_table_and_json(mine: str, films: str) -> None:
    table = ok(runner.invoke(models.app, ["list"]))
    assert "smollm2-135m-instruct" in table
    assert films not in table
    entries = {
        entry["name"]: entry for entry in json.loads(ok(runner.invoke(models.app, ["list", "--json"])))
    }
    assert entries["mine"] == {
        "name": "mine",
        "role": "encoder",
        "size": 9,
        "licence": "MIT",
        "source": "the tests",
        "present": False,
        "path": None,
    }


def test_pull_shows_the_licence_and_the_path(mine: str) -> None:
    result = runner.invoke(models.app, ["pull", mine])
    assert "mine: the tests; licence: MIT" in result.stderr
    path = Path(ok(result).strip().removeprefix("mine: "))
    assert (path / "model.safetensors").read_bytes() == b"weights"
    assert json.loads(ok(runner.invoke(models.app, ["pull", mine, "--json"]))) == [
        {"name": mine, "path": str(path)}
    ]


def test_pull_checks_all_names_before_the_first_download(mine: str, films: str, site: Site) -> None:
    for wrong, message in (("minilm", "unknown model 'minilm'"), (films, "films is a data set")):
        result = runner.invoke(models.app, ["pull", mine, wrong])
        assert isinstance(result.exception, AssetError)
        assert message in result.exception.message
    assert site.requests == []


def test_pull_without_a_name_is_a_usage_error() -> None:
    assert runner.invoke(models.app, ["pull"]).exit_code == 2


def test_verify_exits_with_1_and_names_the_damaged_file(mine: str) -> None:
    folder = pull(mine)
    assert "intact" in ok(runner.invoke(models.app, ["verify"]))
    file = folder / "model.safetensors"
    status = file.stat()
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = runner.invoke(models.app, ["verify", "--json"])
    assert result.exit_code == 1
    (entry,) = json.loads(result.stdout)
    assert entry["name"] == mine
    assert str(file) in entry["problems"][0]


def test_get_a_data_set_into_a_folder(films: str, tmp_path: Path) -> None:
    (entry,) = [
        entry
        for entry in json.loads(ok(runner.invoke(datasets.app, ["list", "--json"])))
        if entry["name"] == films
    ]
    assert not entry["present"]
    target = tmp_path / "to" / "here"
    result = json.loads(ok(runner.invoke(datasets.app, ["get", films, "--to", str(target), "--json"])))
    assert result["files"] == [str(target / "films.inter")]
    assert os.listdir(target) == ["films.inter"]
    assert (target / "films.inter").read_bytes() == b"ratings"
    ok(runner.invoke(datasets.app, ["get", films, "--to", str(target)]))


def test_get_never_overwrites_other_content(films: str, tmp_path: Path) -> None:
    (tmp_path / "films.inter").write_bytes(b"mine")
    result = runner.invoke(datasets.app, ["get", films, "--to", str(tmp_path)])
    assert isinstance(result.exception, AssetError)
    assert "exists with other content" in result.exception.message
    assert (tmp_path / "films.inter").read_bytes() == b"mine"


def test_get_of_an_unknown_data_set_lists_the_known(films: str) -> None:
    result = runner.invoke(datasets.app, ["get", "movielens"])
    assert isinstance(result.exception, AssetError)
    assert result.exception.hint == "Data sets: movielens-100k, skimage-photographs, films."
