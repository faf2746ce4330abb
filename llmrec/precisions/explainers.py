"""The explainer of a workspace in several precisions: size, speed, how likely it finds true explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.encode.gguf import model_folder_of
from llmrec.errors import AssetError, ConfigError, MissingExtraError
from llmrec.evaluate.statistics import Difference, Values, difference
from llmrec.explain import Case, Explainer, template
from llmrec.explain.evidence import gather
from llmrec.explain.explainer import messages
from llmrec.explain.generator import gguf_file
from llmrec.explain.languages import LANGUAGES
from llmrec.explain.requantize import format_of, q8_0
from llmrec.explain.torch_model import ChatTokenizer, TorchModel
from llmrec.explain.verifier import Verifier
from llmrec.explain.weighing import Weighed, WeighedLlama
from llmrec.precisions.contenders import REFERENCE, Contenders, LeftOut, load_all, reason
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.runtime.folders import engine_folder
from llmrec.runtime.plugins import is_plugin
from llmrec.training.validation import Validation
from llmrec.workspace import Workspace

SHIPPED = "gguf"
"""The file as it is, through llama.cpp. What answers on a CPU may be its Q8_0, see ``for_cpu``."""
PRECISIONS = (REFERENCE, SHIPPED, "q8_0", "bfloat16", "int8", "nf4")

_PACES, _PACED = 3, 64
"""Answers that are timed, and their tokens."""
_PATIENCE = 600.0
"""Seconds for an answer, so that a busy machine is not taken for a model that fails."""


@dataclass(frozen=True, slots=True)
class ExplainerRow:
    """What an explainer costs and reaches in one precision.

    Args:
        precision: of its weights.
        format: of most of the weights in the file; empty where it is the precision.
        engine: ``llama.cpp`` or ``transformers``.
        weight_bytes: of the weights in that precision.
        tokens_per_second: while it writes, median of a few answers.
        speed: how many times as fast as float32, median over these.
        perplexity: of the explanations that the template writes.
        difference: of the loss of a token, nats, to float32's, by explanation; None for float32.
        verified: share of the answers that it wrote itself and that hold against their evidence; None where
            the engine has no grammar.
    """

    precision: str
    format: str
    engine: str
    weight_bytes: int
    tokens_per_second: float
    speed: float
    perplexity: float
    difference: Difference | None
    verified: float | None

    def to_json(self) -> dict[str, Any]:
        """As ``llmrec models compare --json`` prints it."""
        return {
            "precision": self.precision,
            "format": self.format,
            "engine": self.engine,
            "weight_bytes": self.weight_bytes,
            "tokens_per_second": self.tokens_per_second,
            "speed": self.speed,
            "perplexity": self.perplexity,
            "difference": None if self.difference is None else asdict(self.difference),
            "verified": self.verified,
        }


@dataclass(frozen=True, slots=True)
class ExplainerReport:
    """All precisions of an explainer.

    Args:
        model: as the settings name it.
        explanations: that each was asked for.
        rows: of what could be loaded, float32 first.
        left_out: what could not.
    """

    model: str
    explanations: int
    rows: tuple[ExplainerRow, ...]
    left_out: tuple[LeftOut, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``llmrec models compare --json`` prints it."""
        return {
            "model": self.model,
            "explanations": self.explanations,
            "rows": [row.to_json() for row in self.rows],
            "left_out": [asdict(entry) for entry in self.left_out],
        }


def compare_explainers(
    workspace: Workspace,
    validation: Validation,
    precisions: Sequence[str] = PRECISIONS,
    *,
    progress: Progress = NoProgress(),
) -> ExplainerReport:
    """Ask each precision for explanations of what is recommended to users of the validation.

    All precisions are made of the GGUF file as it is shipped: float32 holds its weights without further
    rounding, the others round them once more. All are in memory together.

    The evidence is that of the first recommendation to each user. What is compared is the perplexity of the
    explanation that the template writes from that evidence, a text that is true and that none of them wrote.
    llama.cpp also writes answers under the grammar, as in use; these are verified.

    Args:
        workspace: an indexed one.
        validation: on its log; there is an explanation for each of its users.
        precisions: some of :data:`PRECISIONS`; float32 is added.
        progress: shows loading and asking.

    Raises:
        LlmrecError: the explainer cannot be loaded in float32, or fails.
    """
    spec = workspace.settings.models.explainer
    wanted = [REFERENCE, *(name for name in PRECISIONS if name in precisions and name != REFERENCE)]
    cases = validation.explanations()
    rows: tuple[ExplainerRow, ...] = ()
    try:
        source = _Source(spec, progress)
    except (AssetError, ConfigError, MissingExtraError) as error:
        left_out = tuple(LeftOut(name, reason(error)) for name in wanted)
    else:
        contenders = load_all(wanted, source.load, progress)
        left_out = contenders.left_out
        rows = tuple(_Asking(workspace, validation.catalog, source, contenders, cases)(progress))
    return ExplainerReport(spec, len(cases), rows, left_out)


class _Source:
    """The file of an explainer, and its weights as a folder of float32 safetensors.

    Raises:
        AssetError: it cannot be had or read.
        ConfigError: it is a plug-in, or is not one GGUF file.
        MissingExtraError: Accelerate is not installed.
    """

    def __init__(self, spec: str, progress: Progress) -> None:
        if is_plugin(spec):
            raise ConfigError(f"{spec} is a plug-in, whose weights llmrec does not know")
        self.spec = spec
        self.file = gguf_file(spec, progress)
        self.folder = model_folder_of(self.file, engine_folder(spec, "gguf"), progress)
        self.tokenizer = ChatTokenizer(self.folder)

    def load(self, precision: str) -> Weighed:
        """The model in one of :data:`PRECISIONS`."""
        if precision in (SHIPPED, "q8_0"):
            return WeighedLlama(self.path(precision), self.tokenizer)
        return TorchModel(self.folder, self.tokenizer, precision)

    def path(self, precision: str) -> Path:
        """The GGUF file of a precision that llama.cpp runs."""
        return self.file if precision == SHIPPED else q8_0(self.file, engine_folder(self.spec, "gguf-q8_0"))


class _Asking:
    """Models that take their turns at the same explanations."""

    def __init__(
        self,
        workspace: Workspace,
        catalog: Catalog,
        source: _Source,
        contenders: Contenders[Weighed],
        cases: Sequence[Case],
    ) -> None:
        self.settings = workspace.settings.explain.model_copy(update={"timeout": _PATIENCE, "tries": 1})
        self.language = LANGUAGES[self.settings.language]
        self.prompt = load_prompt(self.settings.prompt, workspace.root / "prompts")
        self.verifier = Verifier(catalog.titles())
        self.source, self.models, self.cases = source, contenders.models, cases
        self.told: dict[str, list[Values]] = {name: [] for name in self.models}
        self.paces: dict[str, list[float]] = {name: [] for name in self.models}
        self.verified: dict[str, list[bool]] = {name: [] for name in self.models}

    def __call__(self, progress: Progress) -> list[ExplainerRow]:
        """Ask, and make the rows."""
        total = len(self.cases) * len(self.models)
        with progress.task("Explaining in turns", total=total, unit="explanations") as task:
            for at, case in enumerate(self.cases):
                evidence = gather(case, self.language)
                asked = messages(self.prompt, case.item, evidence)
                tokens = self.source.tokenizer.tokens(template.write(case.item, evidence, self.language))
                for name, model in self.models.items():
                    task.note(name)
                    # What a model reads first, it reads slower; the clock runs afterwards.
                    self.told[name].append(model.log_probabilities(*asked, tokens))
                    if at < _PACES:
                        self.paces[name].append(model.pace(*asked, _PACED))
                    if isinstance(model, WeighedLlama):
                        explainer = Explainer(model, self.verifier, self.prompt, self.settings)
                        self.verified[name].append(explainer.explain(case).source == "model")
                    task.advance()
        # Tokens that one engine does not tell of count for none.
        kept = [np.isfinite(np.stack(told)).all(axis=0) for told in zip(*self.told.values(), strict=True)]
        losses = {
            name: [-values[keep] for values, keep in zip(told, kept, strict=True)]
            for name, told in self.told.items()
        }
        return [self._row(name, losses[name], losses[REFERENCE]) for name in self.models]

    def _row(self, name: str, losses: Sequence[Values], reference: Sequence[Values]) -> ExplainerRow:
        """The row of a model from its losses of each token of each explanation, and those of float32."""
        model, verified = self.models[name], self.verified[name]
        return ExplainerRow(
            name,
            format_of(self.source.file) if name == SHIPPED else "",
            "llama.cpp" if isinstance(model, WeighedLlama) else "transformers",
            model.weight_bytes,
            float(np.median(self.paces[name])),
            float(np.median(np.divide(self.paces[name], self.paces[REFERENCE]))),
            float(np.exp(np.concatenate(losses).mean())),
            None if name == REFERENCE else difference(_means(losses), _means(reference)),
            float(np.mean(verified)) if verified else None,
        )


def _means(losses: Sequence[Values]) -> Values:
    return np.array([values.mean() for values in losses if len(values)])
