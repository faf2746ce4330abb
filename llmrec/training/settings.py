"""Settings of a fine-tuning run, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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


class RunSettings(_Settings):
    """What runs of every role have.

    ``precision``: ``auto`` is bfloat16 on a GPU and float32 elsewhere. ``quantization``: ``nf4`` keeps the
    frozen weights in four bits, their scales quantized too, and trains the adapter beside them (QLoRA,
    Dettmers et al., NeurIPS 2023), on a GPU with an optimizer whose state may be paged out to memory; it
    takes less memory and more time.
    """

    role: ClassVar[str]
    """Of `llmrec finetune --role`."""

    lora: LoraSettings = LoraSettings()
    epochs: int = Field(default=2, ge=1, le=1000, description="passes over the data at most")
    max_steps: int | None = Field(default=None, ge=1, description="steps at most; None: as epochs say")
    accumulation: int = Field(default=1, ge=1, description="batches of a step")
    learning_rate: float = Field(default=5e-4, gt=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1, description="share of the steps")
    evaluations: int = Field(default=2, ge=1, description="validations in an epoch")
    patience: int = Field(default=3, ge=1, description="validations without a gain before it stops")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    quantization: Literal["none", "nf4"] = "none"
    seed: int = Field(default=0, ge=0, le=2**32 - 1)

    def steps(self, epoch: int) -> int:
        """Steps at most; ``epoch``: those of a pass over the data."""
        return min(self.epochs * epoch, self.max_steps or self.epochs * epoch)


class TrainingSettings(RunSettings):
    """A recipe of ``finetune/`` for the encoder of the workspace.

    ``cached`` bounds memory by ``mini_batch_tokens``: texts of a batch are encoded twice, the second time
    with gradients, a mini-batch after the other (GradCache, Gao et al., 2021).
    """

    role: ClassVar[str] = "encoder"

    pairs: PairSettings = PairSettings()
    batch_size: int = Field(default=128, ge=2, le=65_536, description="pairs of a step and process")
    mini_batch_tokens: int = Field(default=4096, ge=1, description="tokens that are encoded at once")
    cached: bool = True
    max_tokens: int = Field(default=128, ge=8, description="of a text, special tokens included")
    temperature: float = Field(default=0.05, gt=0, le=1, description="by which cosines are divided")
    correction: float = Field(
        default=1.0, ge=0, le=1, description="share of the correction for popular negatives (logQ)"
    )
    validation_users: int = Field(default=2000, ge=1, description="users asked about at most")
    gradient_checkpointing: bool = False


class ExplainerSettings(RunSettings):
    """A recipe of ``finetune/`` for the explainer of the workspace.

    ``weights``: how the layers that were trained are stored in the GGUF file; the others stay as they are.
    """

    role: ClassVar[str] = "explainer"

    epochs: int = Field(default=1, ge=1, le=1000, description="passes over the examples at most")
    examples: int = Field(default=800, ge=100, description="explanations to learn from, at most")
    per_user: int = Field(default=4, ge=1, description="explanations for one user, at most")
    held_out_users: int = Field(default=200, ge=1, description="users not learnt from, a third at most")
    held_out_examples: int = Field(
        default=64, ge=1, description="explanations for these, one each, that the loss is validated on"
    )
    batch_size: int = Field(default=8, ge=1, le=4096, description="examples of a batch")
    max_tokens: int = Field(
        default=768, ge=64, le=2048, description="longer examples, prompt and answer, are left out"
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    evaluations: int = Field(default=4, ge=1, description="validations in an epoch")
    checked: int = Field(
        default=30, ge=0, description="held-out users whom base and result write to, for the card"
    )
    weights: Literal["q8_0", "f16"] = "q8_0"


Layers = Annotated[int, Field(ge=0)] | Literal["all"]
"""Layers of the vision tower that are trained, the last ones."""
_Tokens = Annotated[int, Field(ge=2)]
_Share = Annotated[float, Field(ge=0, le=1)]


class StageSettings(_Settings):
    """A stage of a captioner's run: what it has otherwise than the settings of the run; see there."""

    vision_layers: Layers | None = None
    vision_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    tokens: _Tokens | Literal["all"] | None = None
    full_tokens: _Share | None = None
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_steps: Annotated[int, Field(ge=1)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    warm_up: Annotated[float, Field(ge=0, lt=1)] | None = None


class CaptionerSettings(RunSettings):
    """A recipe of ``finetune/`` for the captioner of the workspace.

    ``method``: ``lora`` trains low-rank updates of the text decoder, ``full`` all of it; ``fresh`` begins
    with a new decoder of random weights. The vision tower is frozen but for its last ``vision_layers``: what
    the frozen part makes of each picture is computed once and kept on disk. Of that a random ``tokens`` of
    each picture are read in a step, the first (the token of the whole) among them, and all in the last share
    ``full_tokens`` of the steps. ``stages`` follow each other, each from the best state of the one before.
    With a ``teacher`` (an ONNX file, or a folder with a graph of OpenVINO) the tokens of each picture also
    learn to tell what that model sees at their place, which teaches the vision tower more than captions can.
    """

    role: ClassVar[str] = "captioner"

    method: Literal["lora", "full"] = "lora"
    fresh: bool = False
    stages: tuple[StageSettings, ...] = ()
    vision_layers: Layers = 0
    vision_rate: float = Field(
        default=0.1, gt=0, le=1, description="of the vision tower's learning rate to the decoder's"
    )
    tokens: _Tokens | Literal["all"] = "all"
    full_tokens: _Share = 0.2
    teacher: str = Field(
        default="", description="name or URI of an image model that the vision tower learns from"
    )
    teacher_weight: float = Field(
        default=1.0,
        gt=0,
        description="of the squared error in telling what it sees, beside the captions' loss",
    )
    epochs: int = Field(default=5, ge=1, le=1000, description="passes over the pictures at most")
    batch_size: int = Field(default=32, ge=1, le=4096, description="pictures of a batch")
    picture_batch: int = Field(
        default=16, ge=1, le=4096, description="pictures that the frozen tower looks at together"
    )
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    texts: tuple[str, ...] = Field(
        default=("title",), min_length=1, description="columns of a catalog, each of which is a caption"
    )
    max_tokens: int = Field(default=40, ge=4, le=512, description="of a caption; longer ones are cut")
    held_out: float = Field(default=0.1, gt=0, le=0.5, description="share of the pictures, by content")
    validated: int = Field(default=200, ge=2, description="of these, pictures that are measured, at most")
    samples: int = Field(default=8, ge=0, description="held-out pictures whose captions are written down")
    evaluations: int = Field(default=1, ge=1, description="validations in an epoch")
    quantization: Literal["none"] = "none"
    terms: str = Field(default="", description="of pictures and captions, for the card: source and licence")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fresh and self.method == "lora":
            raise ValueError("fresh: a new decoder is trained whole; set method: full")
        return self

    def by_stage(self) -> list[Self]:
        """The settings of each stage: at least one."""
        stages = self.stages or (StageSettings(),)
        return [
            self.model_copy(update={"stages": (), **stage.model_dump(exclude_none=True)}) for stage in stages
        ]


_Kind = TypeVar("_Kind", bound=RunSettings)


def load_training_settings(path: Path) -> TrainingSettings:
    """Read a recipe for the encoder; see :func:`load_recipe`."""
    return load_recipe(path, TrainingSettings)


def load_recipe(path: Path, kind: type[_Kind]) -> _Kind:
    """Read a recipe of a kind.

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
        return kind.model_validate(raw or {})
    except ValidationError as error:
        raise ConfigError(f"{path}: {problems(error)}", f"It was read for --role {kind.role}.") from error
