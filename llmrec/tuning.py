"""A search over the few settings of ranking that matter, on validation only, resumed where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from llmrec.config import RankSettings, load_settings
from llmrec.errors import CorruptFileError, MissingExtraError, WorkspaceError
from llmrec.evaluate.model import Setting
from llmrec.evaluate.run import CHOSEN_BY, evaluate
from llmrec.evaluate.splits import LEAVE_LAST_OUT, SPLITS
from llmrec.evaluate.statistics import Difference, difference
from llmrec.evaluating import Evaluation, check_names
from llmrec.progress import Progress
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.lessons import UserVectors
from llmrec.rank.log import Log, Rows
from llmrec.rank.ranker import Ranker
from llmrec.rank.school import School
from llmrec.workspace import SETTINGS, Workspace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_STARTING = 8
"""Settings drawn at random before the search follows what it found."""


def _space() -> dict[str, BaseDistribution]:
    """What is searched. Settings that trade accuracy for something else are not among it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    return {
        "fusion": CategoricalDistribution(["learned", "early", "late"]),
        "sequence_epochs": CategoricalDistribution([6, 12, 24]),
        "knn_window": IntDistribution(2, 50, log=True),
        "knn_damping": FloatDistribution(0.0, 1.0),
        "knn_days": FloatDistribution(10.0, 10_000.0, log=True),
        "ease_lambda": FloatDistribution(1.0, 5000.0, log=True),
        "ease_forgetting": FloatDistribution(0.0, 1.0),
        "recent_days": FloatDistribution(1.0, 5000.0, log=True),
    }


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting and what it reached on validation.

    Args:
        setting: the searched settings.
        values: NDCG@10 of each user, (users,).
    """

    setting: Setting
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Over users."""
        return float(self.values.mean())


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has found.

    Args:
        tried: all settings, in order; the first are those of the workspace.
        split: the protocol.
    """

    tried: Sequence[Tried]
    split: str

    @property
    def present(self) -> Tried:
        """The workspace's own settings."""
        return self.tried[0]

    @property
    def best(self) -> Tried:
        """The best settings, the first of equals."""
        return max(self.tried, key=lambda tried: tried.mean)

    @property
    def difference(self) -> Difference:
        """Of the best to the present settings, by user. It is that of the best of many: an optimistic one."""
        return difference(self.best.values, self.present.values)

    @property
    def changes(self) -> dict[str, float | int | str]:
        """Settings of the best that differ from the present ones."""
        present = self.present.setting
        return {name: value for name, value in self.best.setting.items() if value != present[name]}

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``llmrec tune``."""
        return {
            "split": self.split,
            "stage": "validation",
            "metric": CHOSEN_BY,
            "tried": [{"setting": dict(tried.setting), "mean": tried.mean} for tried in self.tried],
            "best": dict(self.best.setting),
            "changes": self.changes,
            "difference": asdict(self.difference),
        }


class Tuning:
    """A search that keeps what it tried in the workspace, and goes on from there.

    The test stage is neither trained on nor asked. A search goes on while log, items, encoder, protocol and
    settings are the same; else another one begins.

    Args:
        evaluation: of the workspace.
        split: a protocol of :data:`llmrec.evaluate.splits.SPLITS`.

    Raises:
        RequestError: there is no such protocol.
        EvaluationError: the log cannot be split so.
        MissingExtraError: optuna is not installed.
    """

    def __init__(self, evaluation: Evaluation, split: str = LEAVE_LAST_OUT) -> None:
        try:
            import optuna
        except ImportError as error:
            raise MissingExtraError("optuna", "tune") from error
        check_names("split", [split], SPLITS)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.evaluation, self.split = evaluation, split
        self.space = _space()
        self.present = evaluation.settings.model_dump(include=set(self.space))
        self.validation = SPLITS[split](evaluation.log)[0]
        self._candidate = _Candidate(evaluation.settings, School(_Remembered(evaluation.users)))
        self.path = evaluation.workspace.root / "tuning" / f"{split}-{evaluation.fingerprint}.jsonl"

    def __call__(self, count: int) -> Tuned:
        """Try settings until there are ``count`` of them, those of earlier runs included.

        Which come next follows from those before, so an interrupted search ends as another would.

        Raises:
            WorkspaceError: another run searches here.
            CorruptFileError: the file of what was tried is damaged.
            EvaluationError: validation has no cases, or training fails.
        """
        progress = self.evaluation.progress
        self.path.parent.mkdir(exist_ok=True)
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise WorkspaceError(f"{self.path}: another run searches here", "Wait for it to end.") from error
        with lock, progress.task("Settings tried", count, "settings") as task:
            tried = self._read()
            task.advance(len(tried[:count]))
            while len(tried) < count:
                tried.append(self._try(self._next(tried)))
                self._append(tried[-1])
                task.advance()
        return Tuned(tried[: max(count, 1)], self.split)

    def _next(self, tried: Sequence[Tried]) -> Setting:
        """What to try after ``tried``."""
        import optuna

        if not tried:
            return self.present
        seed = self.evaluation.settings.seed + len(tried)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTING)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for each in tried:
            setting = dict(each.setting)
            # The present settings may be outside of what is searched, and then teach nothing.
            with suppress(ValueError):
                study.add_trial(
                    optuna.create_trial(params=setting, distributions=self.space, value=each.mean)
                )
        found = study.ask(fixed_distributions=self.space).params
        return {name: _rounded(value) for name, value in found.items()}

    def _try(self, setting: Setting) -> Tried:
        evaluation = self.evaluation
        (result,) = evaluate(
            [replace(self._candidate, setting=setting)],
            (self.validation, self.validation),
            evaluation.catalog,
            seeds=(evaluation.settings.seed,),
            taste_of=evaluation.taste,
            progress=evaluation.progress,
        )
        return Tried(setting, result.values[CHOSEN_BY])

    def _read(self) -> list[Tried]:
        """What was tried; a last line that a kill cut off is dropped."""
        if not self.path.exists():
            return []
        whole, _, cut_off = self.path.read_bytes().rpartition(b"\n")
        if cut_off:
            with self.path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        found = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = json.loads(line)
                found.append(Tried(entry["setting"], np.array(entry["values"], np.float64)))
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptFileError(
                    f"{self.path}:{number}: cannot be read: {error}", "Remove the file to search anew."
                ) from error
        return found

    def _append(self, tried: Tried) -> None:
        line = json.dumps({"setting": dict(tried.setting), "values": tried.values.tolist()})
        with self.path.open("ab") as file:
            file.write(f"{line}\n".encode())


@dataclass(frozen=True)
class _Candidate:
    """The recommender by settings that are searched, as a model of the evaluation.

    Channels that a change of settings leaves alone are not trained again.
    """

    settings: RankSettings
    school: School
    setting: Setting = field(default_factory=dict)
    name: str = "fusion"

    @property
    def grid(self) -> Sequence[Setting]:
        """The one that is tried."""
        return (self.setting,)

    def fit(self, catalog: Catalog, log: Log, setting: Setting, seed: int, progress: Progress) -> Ranker:
        """Train what is not there yet, and the scorer."""
        settings = self.settings.model_copy(update={**setting, "seed": seed})
        return Ranker(*self.school(catalog, log, settings, progress))


class _Remembered:
    """Vectors of users' texts, each made once."""

    def __init__(self, vectors: UserVectors) -> None:
        self.vectors = vectors
        self._known: dict[tuple[str, bytes], Scores] = {}

    def __call__(self, users: Sequence[tuple[str, Rows]]) -> Scores:
        keys = [(user, history.tobytes()) for user, history in users]
        missing = [at for at, key in enumerate(keys) if key not in self._known]
        if missing:
            found = self.vectors([users[at] for at in missing])
            self._known.update(zip([keys[at] for at in missing], found, strict=True))
        return np.stack([self._known[key] for key in keys])


def _rounded(value: float | int | str) -> float | int | str:
    """With as many digits as a person would write."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def apply(workspace: Workspace, changes: Mapping[str, float | int | str]) -> None:
    """Write settings into ``[rank]`` of the workspace's ``llmrec.toml``; all else in it stays as it is.

    Raises:
        MissingExtraError: tomlkit is not installed.
        WorkspaceError: another run is writing to the workspace.
        ConfigError: the file would not be valid; it is left as it was.
    """
    try:
        import tomlkit
    except ImportError as error:
        raise MissingExtraError("tomlkit", "tune") from error
    path = workspace.root / SETTINGS
    with workspace.lock():
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        rank = document.setdefault("rank", tomlkit.table())
        for name, value in changes.items():
            rank[name] = value
        part = path.with_name(f".{SETTINGS}.part")
        _write_valid(part, tomlkit.dumps(document))
        part.replace(path)


def _write_valid(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    try:
        load_settings(path)
    except Exception:
        path.unlink()
        raise
