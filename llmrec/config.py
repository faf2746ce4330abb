"""Settings of a workspace (``llmrec.toml``) and the profiles that name a model for each role."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from llmrec.errors import ConfigError, WorkspaceError

FORMAT = 5
"""Version of the workspace layout; raised whenever an older llmrec could not read what a newer one wrote."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(_Settings):
    """Which model fills each role: an asset's name, a URI (``hf: file: pypi:``), or ``plugin:NAME``.

    ``captioner`` and ``transcriber`` may be empty: then pictures are not captioned, speech is not written
    down. The captioner is a BLIP checkpoint, the transcriber a Whisper model, the explainer a chat model: a
    GGUF file, a transformers folder, or ``openai:URL#MODEL``, an endpoint of OpenAI's chat completions.
    """

    captioner: str = "blip-small"
    transcriber: str = "whisper-base"
    encoder: str = "all-minilm-l6-v2"
    explainer: str = "smollm2-135m-instruct"


PROFILES: dict[str, ModelSettings] = {
    "small": ModelSettings(),
}
"""Models by profile. ``small`` runs offline on a CPU."""


class EncoderSettings(_Settings):
    """How the encoder runs.

    ``engine``: ``torch`` runs sentence-transformers; ``openvino`` runs the same weights compiled for the
    CPU; ``auto`` takes openvino on a CPU and torch on a GPU. ``precision``: ``auto`` takes bfloat16 where the
    CPU has it in hardware (mean cosine to float32 above 0.9999) and float32 elsewhere. ``int8`` keeps weights
    in eight bits, ``nf4`` in four (torch only, by bitsandbytes); both change the vectors, so a change to or
    from them encodes all items anew. `llmrec models compare` tells what they cost and save.
    """

    engine: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "int8", "nf4"] = "auto"
    batch_size: int = Field(default=16, ge=1, le=4096)
    max_tokens: int | None = Field(default=None, ge=8, description="None: what the model was trained with")


class MediaSettings(_Settings):
    """What of an item's media is opened, and the limits on a file. What is beyond one is flagged."""

    pictures: int = Field(default=3, ge=0, description="pictures of an item that are read, the first ones")
    frames: int = Field(default=6, ge=1, le=64, description="frames taken of a video, spread over its shots")
    max_bytes: int = Field(default=1 << 29, ge=1)
    max_pixels: int = Field(default=100_000_000, ge=1, description="width x height of a picture or frame")
    max_seconds: float = Field(default=3600.0, gt=0, description="length of a sound or video")
    timeout: float = Field(default=120.0, gt=0, description="seconds to download, or to open, one file")
    max_side: int = Field(default=1600, ge=64, description="longer pictures are reduced to this side")
    denoise: bool = Field(default=False, description="reduce steady noise before speech is written down")
    allow_hosts: tuple[str, ...] = Field(
        default=(), description="hosts from which media are downloaded; none are unless named"
    )


class CaptionSettings(_Settings):
    """How pictures are captioned.

    ``engine``: ``torch`` runs transformers; ``openvino`` runs the same weights compiled for the CPU, greedy
    only; ``auto`` takes openvino on a CPU with one beam, else torch. ``precision``: ``auto`` gives float32's
    captions on a CPU and is float16 on a GPU; ``bfloat16`` changes some; ``nf4`` is in four bits on a GPU.
    A caption ends before the first word that is less likely than ``min_word_probability``: 0 is never; None
    is 0.41 below 400 MB of weights, else 0. Where nothing is left, and below ``min_log_probability`` (mean of
    the tokens) or ``min_margin`` (over a blank picture), it is unsure and kept out of the document.
    """

    engine: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16", "nf4"] = "auto"
    batch_size: int = Field(default=16, ge=1, le=1024)
    beams: int = Field(default=1, ge=1, le=16)
    min_new_tokens: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=24, ge=1, le=256)
    prompt: str = Field(default="", description="name of a prompt whose words begin every caption")
    min_word_probability: float | None = Field(default=None, ge=0, lt=1)
    min_log_probability: float = Field(default=-1.0, le=0)
    min_margin: float = 0.5


class OcrSettings(_Settings):
    """How text in pictures is read. Lines below ``min_confidence`` are left out."""

    enabled: bool = True
    min_confidence: float = Field(default=0.8, ge=0, le=1)


class TranscriptSettings(_Settings):
    """How speech is written down.

    ``engine``: ``faster-whisper`` (CTranslate2 weights), ``openai-whisper`` (the original implementation);
    ``auto`` takes faster-whisper. ``precision``: ``auto`` is int8 on a CPU and float16 on a GPU.
    """

    engine: Literal["auto", "faster-whisper", "openai-whisper"] = "auto"
    precision: Literal["auto", "int8", "float16", "float32"] = "auto"
    language: str | None = Field(default=None, description="ISO 639-1 code; None: detected")
    beams: int = Field(default=1, ge=1, le=16)
    batch_size: int = Field(default=8, ge=1, le=256)
    min_confidence: float = Field(default=0.4, ge=0, le=1, description="segments below it are left out")
    max_no_speech: float = Field(default=0.6, ge=0, le=1, description="likewise above this probability")


class DocumentSettings(_Settings):
    """How items and users become text."""

    item_prompt: str = "item"
    user_prompt: str = "user"
    history: int = Field(
        default=3,
        ge=1,
        description="newest items of a user's history in the user text; more of them drown each other in an "
        "encoder that was not fine-tuned: NDCG@10 on validation of MovieLens is .013 by 3, and .003 by 20",
    )
    exclude: tuple[str, ...] = Field(default=(), description="attributes kept out of item text")
    include: tuple[str, ...] = Field(
        default=(), description="attributes kept in although they look like ids or URLs"
    )


WEIGHTS = {
    "sequence": 1.0,
    "itemknn": 1.0,
    "linear": 1.0,
    "factors": 0.5,
    "semantic": 0.5,
    "fields.text": 0.1,
    "fields.picture": 0.1,
    "fields.sound": 0.1,
    "popularity": 0.2,
    "recent": 0.1,
    "recency": 0.1,
}
"""Every channel with the weight that it has where no scorer was trained."""


LEFT_OUT = {"early": ("fields.",), "late": ("semantic",)}
"""What the names of the channels begin with that a kind of fusion goes without."""


class RankSettings(_Settings):
    """How channels are trained and weighed.

    ``fusion``: ``learned`` trains the scorer, whose weights depend on user and item; ``early`` and ``late``
    train weights that are the same for all, over the vector of the whole document (without ``fields.*``) or
    over a vector for each modality (without ``semantic``); ``weighted`` takes ``weights``, as all do where
    the log has fewer than 50 users to learn from. A weight of 0 switches a channel off; one not named keeps
    its default.
    """

    fusion: Literal["learned", "early", "late", "weighted"] = "learned"
    weights: dict[str, float] = Field(default_factory=WEIGHTS.copy)
    query_weight: float = Field(
        default=5.0, ge=0, description="weight of semantic where the text is a query, which should lead"
    )
    sequence_epochs: int = Field(default=12, ge=1, le=1000, description="passes over the log of sequence")
    seed: int = Field(default=0, ge=0, description="of everything random in training")
    new_items: float = Field(
        default=5.0, gt=0, description="how often new items are shown, 1: by their share of the catalog"
    )
    new_limit: float = Field(default=0.33, gt=0, le=1, description="largest share of new items in a list")
    new_days: float = Field(
        default=30.0, ge=0, description="days for which an item without events that came later is new"
    )
    recent_days: float = Field(default=365.0, gt=0, description="half-life of an event for recent, days")
    knn_window: int = Field(
        default=20, ge=1, le=1000, description="events apart up to which two items are near, for itemknn"
    )
    knn_damping: float = Field(
        default=0.2, ge=0, le=1, description="by which power of its popularity itemknn divides an item"
    )
    knn_days: float = Field(
        default=2000.0, gt=0, description="half-life of two items' nearness for itemknn, days"
    )
    ease_lambda: float = Field(default=50.0, gt=0, description="L2 regularisation of EASE")
    ease_forgetting: float = Field(
        default=0.5, ge=0, description="how much less an older item of a history counts; 0: all the same"
    )
    ease_side: int = Field(default=10_000, ge=1, description="largest side of the matrix that EASE inverts")
    exact_items: int = Field(default=200_000, ge=0, description="largest catalog that is scored whole")
    candidates: int = Field(default=500, ge=10, description="items that each channel proposes above that")

    @field_validator("weights")
    @classmethod
    def _are_channels(cls, weights: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(weights) - set(WEIGHTS)):
            raise ValueError(f"no such channel: {', '.join(unknown)}; channels: {', '.join(WEIGHTS)}")
        return WEIGHTS | weights

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are switched on, in their order."""
        left_out = LEFT_OUT.get(self.fusion, ())
        return tuple(name for name in WEIGHTS if self.weights.get(name) and not name.startswith(left_out))

    @property
    def training(self) -> dict[str, Any]:
        """What training depends on."""
        return self.model_dump(
            include={
                "fusion",
                "sequence_epochs",
                "seed",
                "knn_window",
                "knn_damping",
                "knn_days",
                "recent_days",
                "ease_lambda",
                "ease_side",
                "ease_forgetting",
            }
        )


class StoreSettings(_Settings):
    """Where things are kept. ``events``: a SQLAlchemy URL, None for SQLite inside the workspace."""

    events: str | None = None
    index_rows: int = Field(default=50_000, ge=256, description="items from which an ANN index is built")


ExplainLanguage = Literal["en", "zh"]

PROMPTS: dict[ExplainLanguage, str] = {"en": "explain", "zh": "explain_zh"}
"""The prompt of each language that explanations are written in."""


class ExplainSettings(_Settings):
    """How explanations are written.

    ``language`` is that of templates, grammars and evidence; where no ``prompt`` is named, it is the
    language's. ``constraint`` holds an answer to its evidence where the model's engine can: ``grammar``
    leaves it the choice among sentences (llama.cpp, also as a server), ``schema`` its own words but no
    citation beside the evidence (endpoints that take a JSON schema), ``auto`` the first of these that there
    is. ``precision`` is that of a transformers folder: ``auto`` is NF4 on a GPU, and on a CPU bfloat16 where
    it has that in hardware and float32 elsewhere.
    """

    language: ExplainLanguage = "en"
    prompt: str = Field(
        default_factory=lambda said: PROMPTS[said.get("language", "en")],
        description="``explain`` for English, ``explain_zh`` for Chinese",
    )
    timeout: float = Field(default=10.0, gt=0, description="seconds for all tries; then the template answers")
    max_tokens: int = Field(default=110, ge=8)
    tries: int = Field(default=2, ge=1, le=5, description="answers asked for until one is verified")
    batch_size: int = Field(
        default=8, ge=1, le=256, description="explanations asked for at once, of an endpoint or transformers"
    )
    constraint: Literal["auto", "grammar", "schema", "none"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "int8", "nf4"] = "auto"


class Settings(_Settings):
    """Everything in ``llmrec.toml``."""

    format: int = FORMAT
    profile: str = "small"
    models: ModelSettings = ModelSettings()
    encoder: EncoderSettings = EncoderSettings()
    media: MediaSettings = MediaSettings()
    caption: CaptionSettings = CaptionSettings()
    ocr: OcrSettings = OcrSettings()
    transcript: TranscriptSettings = TranscriptSettings()
    documents: DocumentSettings = DocumentSettings()
    rank: RankSettings = RankSettings()
    store: StoreSettings = StoreSettings()
    explain: ExplainSettings = ExplainSettings()

    @field_validator("profile")
    @classmethod
    def _is_profile(cls, name: str) -> str:
        if name not in PROFILES:
            raise ValueError(f"{name!r} is none; profiles: {', '.join(sorted(PROFILES))}")
        return name


def parse_settings(text: str, source: str) -> Settings:
    """Read settings from TOML.

    Args:
        text: the content of a ``llmrec.toml``.
        source: its name, for errors.

    Raises:
        ConfigError: it is not TOML, or has unknown or invalid keys; all of them are named at once.
        WorkspaceError: it is of another format.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    if isinstance(found := raw.get("format", FORMAT), int):
        check_format(source, found)  # first: the keys of another format mean nothing here
    profile, models = raw.get("profile", "small"), raw.get("models", {})
    if isinstance(profile, str) and profile in PROFILES and isinstance(models, dict):
        raw["models"] = PROFILES[profile].model_dump() | models
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: {problems(error)}") from error


def check_format(where: str, found: int) -> None:
    """Refuse what another version of llmrec wrote; ``where`` names it.

    Raises:
        WorkspaceError: ``found`` is not :data:`FORMAT`.
    """
    if found > FORMAT:
        raise WorkspaceError(
            f"{where}: written by a newer llmrec (format {found}; this one reads {FORMAT})",
            "Upgrade with `pip install -U llmrec`.",
        )
    if found < FORMAT:
        raise WorkspaceError(
            f"{where}: written by an older llmrec (format {found}; this one reads {FORMAT})",
            "Index the catalog into a new workspace: `llmrec index CATALOG --workspace NEW_FOLDER`.",
        )


def problems(error: ValidationError) -> str:
    """What pydantic found wrong, in one line: each key and its problem."""
    return "; ".join(
        f"{'.'.join(str(part) for part in issue['loc'])}: {issue['msg']}" for issue in error.errors()
    )


def load_settings(path: Path) -> Settings:
    """Read a ``llmrec.toml``; see :func:`parse_settings`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_settings(text, str(path))
