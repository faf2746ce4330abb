"""Settings of a fine-tuning run, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrec.config import problems
from llmrec.errors import ConfigError, MissingExtraError


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LoraSettings(_Settings):
    """The adapter: low-rank updates of linear layers (Hu et al., ICLR 2022).

    ``target_modules``: ``auto`` takes every linear layer of the attention and of the MLP; else the ends of
    the names of layers, such as ``[query, value]``.
    """

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: int = Field(default=32, ge=1, description="the update counts alpha / rank")
    dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: Literal["auto"] | tuple[str, ...] = "auto"


class PairSettings(_Settings):
    """Which pairs of texts the log gives."""

    window_events: int = Field(
        default=5, ge=1, le=100, description="events that follow each other of which pairs are made"
    )
    window_days: float = Field(default=30.0, gt=0, description="days between the first and last of them")
    per_user: int = Field(default=200, ge=1, description="pairs of a user at most")
    debiasing: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="pairs with popular items are kept by their count to the power of minus this",
    )
    hard_negatives: int = Field(
        default=0, ge=0, le=16, description="items for each pair with a text like the chosen one's"
    )


class TrainingSettings(_Settings):
    """Everything in a recipe of ``finetune/``. The base model is the encoder of the workspace.

    ``cached`` bounds memory by ``mini_batch_tokens``: texts of a batch are encoded twice, the second time
    with gradients, a mini-batch after the other (GradCache, Gao et al., 2021). ``precision``: ``auto`` is
    bfloat16 on a GPU and float32 elsewhere.
    """

    lora: LoraSettings = LoraSettings()
    pairs: PairSettings = PairSettings()
    epochs: int = Field(default=2, ge=1, le=1000, description="passes over the pairs at most")
    max_steps: int | None = Field(default=None, ge=1, description="steps at most; None: as epochs say")
    batch_size: int = Field(default=128, ge=2, le=65_536, description="pairs of a step and process")
    accumulation: int = Field(default=1, ge=1, description="batches of a step")
    mini_batch_tokens: int = Field(default=4096, ge=1, description="tokens that are encoded at once")
    cached: bool = True
    max_tokens: int = Field(default=128, ge=8, description="of a text, special tokens included")
    temperature: float = Field(default=0.05, gt=0, le=1, description="by which cosines are divided")
    correction: float = Field(
        default=1.0, ge=0, le=1, description="share of the correction for popular negatives (logQ)"
    )
    learning_rate: float = Field(default=5e-4, gt=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1, description="share of the steps")
    evaluations: int = Field(default=2, ge=1, description="validations in an epoch")
    patience: int = Field(default=3, ge=1, description="validations without a gain before it stops")
    validation_users: int = Field(default=2000, ge=1, description="users asked about at most")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    gradient_checkpointing: bool = False
    seed: int = Field(default=0, ge=0, le=2**32 - 1)


def load_training_settings(path: Path) -> TrainingSettings:
    """Read a recipe.

    Raises:
        ConfigError: it cannot be read, is not YAML, or has unknown or invalid keys; all are named at once.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "finetune") from error
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict | None):
        raise ConfigError(f"{path}: holds no settings", "A line is such as `batch_size: 64`.")
    try:
        return TrainingSettings.model_validate(raw or {})
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}") from error
