"""The precisions of one model, loaded together to work in turns: a busy machine slows all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from llmrec.errors import AssetError, ConfigError, MissingExtraError
from llmrec.progress import Progress

REFERENCE = "float32"
"""What the others are compared with; always among them."""

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A precision that could not be had, and why."""

    precision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contenders(Generic[Model]):
    """What could be loaded, by precision, float32 first, and what could not."""

    models: dict[str, Model]
    left_out: tuple[LeftOut, ...]


def load_all(
    precisions: Sequence[str], load: Callable[[str], Model], progress: Progress
) -> Contenders[Model]:
    """Load a model in each of the precisions; but for float32, what needs what is not here is left out.

    Raises:
        LlmrecError: float32 cannot be loaded, or another for a reason that is not the machine's.
    """
    models: dict[str, Model] = {}
    left_out = []
    with progress.task("Loading", total=len(precisions), unit="models") as task:
        for precision in precisions:
            task.note(precision)
            try:
                models[precision] = load(precision)
            except (AssetError, ConfigError, MissingExtraError) as error:
                if precision == REFERENCE:
                    raise
                left_out.append(LeftOut(precision, reason(error)))
            task.advance()
    return Contenders(models, tuple(left_out))


def reason(error: AssetError | ConfigError | MissingExtraError) -> str:
    """An error and its way out in one line."""
    return "; ".join(filter(None, (error.message, error.hint)))
