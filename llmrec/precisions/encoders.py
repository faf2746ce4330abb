"""The encoder of a workspace in several precisions: size, speed, and how well it ranks on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmrec.config import EncoderSettings
from llmrec.encode import load_encoder
from llmrec.encode.load import engine_of
from llmrec.encode.transformer import TransformerEncoder
from llmrec.encode.turns import Turns
from llmrec.evaluate.statistics import Difference, Values, difference
from llmrec.precisions.contenders import REFERENCE, Contenders, LeftOut, load_all
from llmrec.progress import NoProgress, Progress
from llmrec.rank.channel import Scores
from llmrec.rank.log import Rows
from llmrec.runtime.plugins import is_plugin
from llmrec.store.rows import DOCUMENT
from llmrec.training.judge import METRIC, Questions
from llmrec.training.validation import Validation
from llmrec.users import UserWriter
from llmrec.workspace import Encoding, Workspace

PRECISIONS = (REFERENCE, "bfloat16", "int8", "nf4")


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """What an encoder costs and reaches in one precision.

    Args:
        precision: of its weights.
        engine: ``openvino`` or ``torch``.
        weight_bytes: of the weights in that precision.
        texts_per_second: while items and users were encoded.
        speed: how many times as fast as float32, median over the turns: other work comes and goes.
        cosine: mean cosine to the vectors of float32.
        values: of each user by metric, (users,).
        difference: of NDCG@10 to float32, by user; None for float32.
    """

    precision: str
    engine: str
    weight_bytes: int
    texts_per_second: float
    speed: float
    cosine: float
    values: Mapping[str, Values]
    difference: Difference | None

    def to_json(self) -> dict[str, Any]:
        """Means over users in the place of their values."""
        return {
            "precision": self.precision,
            "engine": self.engine,
            "weight_bytes": self.weight_bytes,
            "texts_per_second": self.texts_per_second,
            "speed": self.speed,
            "cosine": self.cosine,
            "metrics": {name: float(values.mean()) for name, values in self.values.items()},
            "difference": None if self.difference is None else asdict(self.difference),
        }


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """All precisions of an encoder.

    Args:
        model: as the settings name it.
        adapter: that is merged into it; None without one.
        items: in the catalog.
        candidates: how many of them were ranked.
        users: who were asked about.
        rows: of what could be loaded, float32 first.
        left_out: what could not.
    """

    model: str
    adapter: str | None
    items: int
    candidates: int
    users: int
    rows: tuple[EncoderRow, ...]
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``llmrec models compare --json`` prints it."""
        return {
            "model": self.model,
            "adapter": self.adapter,
            "items": self.items,
            "candidates": self.candidates,
            "users": self.users,
            "rows": [row.to_json() for row in self.rows],
            "left_out": [asdict(entry) for entry in self.left_out],
        }


def compare_encoders(
    workspace: Workspace,
    validation: Validation,
    encoding: Encoding,
    precisions: Sequence[str] = PRECISIONS,
    *,
    items: int = 1000,
    progress: Progress = NoProgress(),
) -> EncoderReport:
    """Encode a sample of the items, and the users of the validation, in each precision.

    All precisions are in memory together. The items are those that the users chose, and others at random up
    to ``items``; with fewer candidates than the catalog has, metrics are higher than in an evaluation.

    Args:
        workspace: an indexed one.
        validation: on its log.
        encoding: what encodes it.
        precisions: some of :data:`PRECISIONS`; float32 is added.
        items: how many are ranked.
        progress: shows loading and encoding.

    Raises:
        LlmrecError: the encoder cannot be loaded in float32.
    """
    catalog, questions = validation.catalog, validation.questions
    wanted = [REFERENCE, *(name for name in PRECISIONS if name in precisions and name != REFERENCE)]
    candidates = questions.candidates(items)
    settings = {name: _settings(workspace.settings.encoder, name) for name in wanted}
    contenders = _load(encoding, settings, progress)
    rows: tuple[EncoderRow, ...] = ()
    if contenders.models:
        writer = UserWriter(workspace, catalog, contenders.models[REFERENCE])
        turns = Turns(contenders.models)
        documents, texts = _documents(validation, candidates), writer.texts(validation.asked)
        total = len(contenders.models) * (len(documents) + sum(map(bool, texts)))
        with progress.task("Encoding in turns", total=total, unit="texts") as task:
            of_items = turns.encode(dict.fromkeys(contenders.models, documents), "item", task)
            of_users = turns.encode(dict.fromkeys(contenders.models, texts), "user", task)
        rows = tuple(_rows(contenders.models, turns, settings, questions, candidates, of_items, of_users))
    return EncoderReport(
        workspace.settings.models.encoder,
        encoding.adapter,
        len(catalog),
        len(candidates),
        len(questions.cases),
        rows,
        contenders.left_out,
    )


def _load(
    encoding: Encoding, settings: Mapping[str, EncoderSettings], progress: Progress
) -> Contenders[TransformerEncoder]:
    if is_plugin(encoding.spec):
        told = f"{encoding.spec} is a plug-in, whose weights llmrec does not know"
        return Contenders({}, tuple(LeftOut(name, told) for name in settings))

    def load(precision: str) -> TransformerEncoder:
        encoder = load_encoder(encoding.spec, settings[precision], progress)
        assert isinstance(encoder, TransformerEncoder)
        return encoder

    return load_all([*settings], load, progress)


def _settings(settings: EncoderSettings, precision: str) -> EncoderSettings:
    """The workspace's settings with another precision, by the engine that it names where that has it."""
    engine = "auto" if precision == "nf4" else settings.engine
    return settings.model_copy(update={"engine": engine, "precision": precision})


def _documents(validation: Validation, rows: Rows) -> list[str]:
    """The documents at ``rows``, ascending."""
    found: list[str] = []
    start = 0
    for batch in validation.catalog.table.scan([DOCUMENT]):
        here = rows[(rows >= start) & (rows < start + len(batch))] - start
        found += batch.column(0).take(here).to_pylist()
        start += len(batch)
    return found


def _rows(
    encoders: Mapping[str, TransformerEncoder],
    turns: Turns,
    settings: Mapping[str, EncoderSettings],
    questions: Questions,
    candidates: Rows,
    items: Mapping[str, Scores],
    users: Mapping[str, Scores],
) -> list[EncoderRow]:
    found: list[EncoderRow] = []
    reference = np.concatenate([items[REFERENCE], users[REFERENCE]])
    for name, encoder in encoders.items():
        values = questions.values(items[name], users[name], candidates)
        cosines = (np.concatenate([items[name], users[name]]) * reference).sum(axis=1)
        found.append(
            EncoderRow(
                name,
                engine_of(settings[name]),
                encoder.weight_bytes,
                turns.texts[name] / sum(turns.seconds[name]),
                float(np.median(np.divide(turns.seconds[REFERENCE], turns.seconds[name]))),
                float(cosines[reference.any(axis=1)].mean()),
                values,
                difference(values[METRIC], found[0].values[METRIC]) if found else None,
            )
        )
    return found
