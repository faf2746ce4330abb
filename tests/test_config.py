"""Settings: everything wrong is named at once, with the file that it stands in."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from llmrec.config import FORMAT, PROFILES, WEIGHTS, ModelSettings, Settings, load_settings, parse_settings
from llmrec.errors import ConfigError, WorkspaceError


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_settings("", "llmrec.toml") == Settings()
    assert Settings().models == PROFILES["small"]


def test_the_prompt_is_that_of_the_language_unless_it_is_named() -> None:
    found = [
        parse_settings(f"[explain]\n{text}", "llmrec.toml").explain.prompt
        for text in ("", 'language = "zh"', 'prompt = "mine"\nlanguage = "zh"')
    ]
    assert found == ["explain", "explain_zh", "mine"]
    with pytest.raises(ConfigError, match="language"):
        parse_settings('[explain]\nlanguage = "fr"', "llmrec.toml")


def test_all_errors_are_named_at_once_with_file_and_key() -> None:
    text = """
    profile = "tiny"
    colour = "red"
    [encoder]
    batch_size = 0
    engine = "cuda"
    [rank]
    ease_lambda = -1
    [rank.weights]
    semantic = "much"
    """
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "shop/llmrec.toml")
    message = caught.value.message
    assert message.startswith("shop/llmrec.toml: ")
    for key in (
        "profile",
        "colour",
        "encoder.batch_size",
        "encoder.engine",
        "rank.ease_lambda",
        "rank.weights.semantic",
    ):
        assert f"{key}: " in message
    assert "pydantic.dev" not in message


@pytest.mark.parametrize("section", ["models", "encoder", "documents", "rank", "store", "explain"])
def test_unknown_keys_are_refused_in_every_section(section: str) -> None:
    with pytest.raises(ConfigError, match=rf"{section}\.no_such_key: "):
        parse_settings(f"[{section}]\nno_such_key = 1\n", "llmrec.toml")


def test_bad_toml_names_the_file_and_line() -> None:
    with pytest.raises(ConfigError, match=r"^here\.toml: not valid TOML: .*line 2"):
        parse_settings('profile = "small"\nbatch = = 1\n', "here.toml")


def test_an_unknown_profile_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"profile: .*'tiny' is none; profiles: small"):
        parse_settings('profile = "tiny"', "llmrec.toml")


@pytest.mark.parametrize("value", ["['small']", "3", "{}"])
def test_a_profile_that_is_not_a_name_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="profile: Input should be a valid string"):
        parse_settings(f"profile = {value}", "llmrec.toml")


def test_models_of_the_file_win_over_those_of_the_profile() -> None:
    settings = parse_settings('[models]\nencoder = "plugin:words"\n', "llmrec.toml")
    assert settings.models == ModelSettings(encoder="plugin:words", explainer=PROFILES["small"].explainer)


def test_another_profile_brings_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "large", ModelSettings(encoder="hf:big", explainer="hf:talker"))
    settings = parse_settings('profile = "large"\n[models]\nexplainer = "plugin:liar"\n', "llmrec.toml")
    assert settings.models == ModelSettings(encoder="hf:big", explainer="plugin:liar")


def test_models_that_are_not_a_table_are_refused() -> None:
    with pytest.raises(ConfigError, match="models: "):
        parse_settings('models = "big"', "llmrec.toml")


def test_weights_that_are_not_named_keep_their_defaults() -> None:
    weights = parse_settings("[rank.weights]\nsemantic = 2\npopularity = 0.0\n", "x").rank.weights
    assert weights == WEIGHTS | {"semantic": 2.0, "popularity": 0.0}


def test_a_weight_of_no_channel_is_refused_with_the_choices() -> None:
    with pytest.raises(
        ConfigError, match="semantics, trends; channels: sequence, itemknn, linear, factors, semantic, "
    ):
        parse_settings("[rank.weights]\nlinear = 1\ntrends = 1\nsemantics = 2\n", "x")


@pytest.mark.parametrize(
    "line", ["ease_lambda = inf", "weights = {semantic = nan}", "weights = {semantic = inf}"]
)
def test_numbers_must_be_finite(line: str) -> None:
    with pytest.raises(ConfigError, match="finite"):
        parse_settings(f"[rank]\n{line}\n", "llmrec.toml")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().rank.ease_lambda = 1.0  # type: ignore[misc]


def test_defaults_are_not_shared() -> None:
    Settings().rank.weights["linear"] = math.pi
    assert Settings().rank.weights["linear"] == 1.0


def test_a_file_of_a_newer_format_says_so_whatever_else_it_holds() -> None:
    text = f'format = {FORMAT + 1}\n[galaxy]\nnew_key = "x"\n'
    with pytest.raises(
        WorkspaceError, match=rf"newer llmrec \(format {FORMAT + 1}; this one reads {FORMAT}\)"
    ) as caught:
        parse_settings(text, "llmrec.toml")
    assert "pip install -U llmrec" in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read"):
        load_settings(tmp_path / "gone.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'profile = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"latin\.toml: cannot be read"):
        load_settings(latin)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "llmrec.toml"
    path.write_text("[documents]\nexclude = ['sku']\nhistory = 3\n", encoding="utf-8")
    documents = load_settings(path).documents
    assert (documents.exclude, documents.history) == (("sku",), 3)
