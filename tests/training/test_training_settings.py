"""Recipes are read whole or refused with every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llmrec.errors import ConfigError
from llmrec.training.settings import (
    CaptionerSettings,
    ExplainerSettings,
    RunSettings,
    TrainingSettings,
    load_recipe,
    load_training_settings,
)

RECIPES = sorted((Path(__file__).parents[2] / "finetune").rglob("*.y*ml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid(recipe: Path) -> None:
    kinds: dict[str, type[RunSettings]] = {"explainer": ExplainerSettings, "captioner": CaptionerSettings}
    kind = kinds.get(recipe.stem.partition("_")[0], TrainingSettings)
    assert load_recipe(recipe, kind) != kind()
    assert recipe.read_text(encoding="utf-8").startswith("# "), "a recipe says what it needs"


def test_the_recipes_are_found() -> None:
    assert [path.stem for path in RECIPES] == [
        *("captioner_cpu", "captioner_scratch", "debug"),
        *("explainer_cpu", "small_cpu", "standard_gpu"),
    ]


def test_stages_override_the_settings_of_their_run() -> None:
    settings = CaptionerSettings.model_validate(
        {"epochs": 7, "tokens": 9, "stages": [{}, {"vision_layers": "all", "tokens": "all", "epochs": 1}]}
    )
    first, second = settings.by_stage()
    assert (first.epochs, first.tokens, first.vision_layers) == (7, 9, 0)
    assert (second.epochs, second.tokens, second.vision_layers) == (1, "all", "all")
    assert len(CaptionerSettings().by_stage()) == 1


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_training_settings(path)
    return refused.value.message


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, "epoch: 3\nlora: {rank: 0}\ntemperature: .nan\npairs: {debiasing: 2}\n")
    for name in ("recipe.yaml", "epoch:", "lora.rank:", "temperature:", "pairs.debiasing:"):
        assert name in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- epochs\n", "holds no settings"),
        ("lora: {rank: 4\n", "not valid YAML"),
        ("seed: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_a_recipe_of_another_role_says_for_which_it_was_read() -> None:
    (recipe,) = (path for path in RECIPES if path.stem == "explainer_cpu")
    with pytest.raises(ConfigError, match=r"examples: Extra inputs[\s\S]*--role encoder"):
        load_training_settings(recipe)


def test_an_empty_recipe_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    assert load_training_settings(tmp_path / "empty.yaml") == TrainingSettings()


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_training_settings(tmp_path / "none.yaml")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TrainingSettings().seed = 1  # type: ignore[misc]
