"""Which tasks the settings ask for, which of them this installation can do, and what the others lack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from llmrec import assets
from llmrec.config import Settings
from llmrec.errors import AssetError
from llmrec.modality import tasks
from llmrec.modality.tasks import Kind, Task
from llmrec.progress import NoProgress, Progress
from llmrec.schema import Columns

_SCHEME = "media 1"
"""Raised whenever media are opened or cut into frames in another way: old results are then not used."""

_KINDS: dict[str, tuple[Kind, ...]] = {
    Columns.IMAGES: ("caption", "ocr", "look"),
    Columns.AUDIO: ("transcript",),
    Columns.VIDEO: ("caption", "ocr", "transcript"),
}
_PACKAGES: dict[str, tuple[tuple[str, str], ...]] = {
    Columns.IMAGES: (("PIL", "vision"),),
    Columns.AUDIO: (("av", "audio"),),
    Columns.VIDEO: (("av", "audio"), ("PIL", "vision")),
}


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that media could give and that was not done.

    Args:
        what: what is missing.
        why: the reason.
        remedy: the command or setting that gets it.
    """

    what: str
    why: str
    remedy: str

    def to_json(self) -> dict[str, str]:
        """An entry of the ``index --json`` contract."""
        return {"what": self.what, "why": self.why, "remedy": self.remedy}


class Modalities:
    """The tasks for each field. A model is looked for when the first item has media that need it.

    Args:
        settings: of the workspace.
        prompt: words that begin every caption.
        progress: shows downloads and conversions.
    """

    def __init__(self, settings: Settings, prompt: str = "", progress: Progress | None = None) -> None:
        self.settings = settings
        self.prompt = prompt
        self.progress = progress or NoProgress()
        self._missing: dict[str, Missing] = {}
        self._fields: dict[str, tuple[Task, ...]] = {}
        self._tasks: dict[Kind, Task | None] = {}

    @property
    def missing(self) -> list[Missing]:
        """What the media seen so far could give and this installation cannot."""
        return list(self._missing.values())

    def of(self, field: str) -> tuple[Task, ...]:
        """The tasks done with media of a field.

        Raises:
            UnsafeFileError: a model could run code when loaded.
            ConfigError: the settings do not fit a model.
        """
        if field not in self._fields:
            self._fields[field] = tuple(self._find(field))
        return self._fields[field]

    def recipe(self, field: str) -> str:
        """Identity of what is done with media of a field."""
        return " ".join(task.key for task in self.of(field))

    def keys(self) -> tuple[set[str], set[Kind]]:
        """Keys of every task that can be done, and the kinds of task that cannot."""
        done = {task.key for field in _KINDS for task in self.of(field)}
        kinds = {kind for kinds in _KINDS.values() for kind in kinds}
        wanted = kinds if self.settings.ocr.enabled else kinds - {"ocr"}
        return done, {kind for kind in wanted if self._tasks.get(kind) is None}

    def _find(self, field: str) -> list[Task]:
        for package, extra in _PACKAGES[field]:
            if find_spec(package) is None:
                self._missing[field] = Missing(
                    f"text of {field}", f"{package} is not installed", f"pip install 'llmrec[{extra}]'"
                )
                return []
        found = []
        for kind in _KINDS[field]:
            if kind not in self._tasks:
                self._tasks[kind] = self._make(kind)
            if (task := self._tasks[kind]) is not None:
                found.append(task)
        return found

    def _make(self, kind: Kind) -> Task | None:
        makers: dict[Kind, Callable[[], Task | Missing | None]] = {
            "caption": self._caption,
            "ocr": self._ocr,
            "transcript": self._transcript,
            "look": self._look,
        }
        try:
            made = makers[kind]()
        except AssetError as error:
            made = Missing(_NAMES[kind], error.message, error.hint or "")
        if isinstance(made, Missing):
            self._missing[kind] = made
            return None
        return made

    def _caption(self) -> Task | Missing:
        from llmrec.modality.blip import captioner_fingerprint, load_captioner

        spec, settings = self.settings.models.captioner, self.settings.caption
        if not spec:
            return Missing(
                _NAMES["caption"],
                "no captioner is set",
                'write captioner = "blip-small" under [models] in llmrec.toml, or another BLIP '
                "(hf:NAME, file:FOLDER)",
            )
        self._pull(spec)
        return self._task(
            "caption",
            captioner_fingerprint(spec, settings, self.prompt),
            lambda: load_captioner(spec, settings, self.progress, self.prompt),
            tasks.captions,
        )

    def _ocr(self) -> Task | Missing | None:
        from llmrec.modality.ocr import RapidOcrReader, ocr_fingerprint

        if not self.settings.ocr.enabled:
            return None
        if find_spec("rapidocr") is None:
            return Missing(_NAMES["ocr"], "rapidocr is not installed", "pip install 'llmrec[vision]'")
        return self._task("ocr", ocr_fingerprint(), RapidOcrReader, tasks.lines)

    def _transcript(self) -> Task | Missing:
        from llmrec.modality.whisper import asset_uri, load_transcriber, transcriber_fingerprint

        spec, settings = self.settings.models.transcriber, self.settings.transcript
        if not spec:
            return Missing(
                _NAMES["transcript"],
                "no transcriber is set",
                'write transcriber = "whisper-base" under [models] in llmrec.toml',
            )
        package, extra = (
            ("whisper", "whisper") if settings.engine == "openai-whisper" else ("faster_whisper", "audio")
        )
        if not spec.startswith("plugin:") and find_spec(package) is None:
            return Missing(
                _NAMES["transcript"], f"{package} is not installed", f"pip install 'llmrec[{extra}]'"
            )
        self._pull(asset_uri(spec))
        return self._task(
            "transcript",
            transcriber_fingerprint(spec, settings),
            lambda: load_transcriber(spec, settings, self.progress),
            tasks.transcripts,
        )

    def _look(self) -> Task:
        return self._task("look", "look 1", lambda: None, tasks.looks)

    def _pull(self, spec: str) -> None:
        """Before the fingerprint is asked for: that of a URI is known once it is here."""
        if not spec.startswith("plugin:"):
            assets.resolve(spec, self.progress)

    def _task(self, kind: Kind, model: str, load: Callable[[], object], work: Any) -> Task:
        media = self.settings.media
        opened = (media.denoise,) if kind == "transcript" else (media.max_side, media.frames)
        return Task(kind, tasks.fingerprint(_SCHEME, model, *opened), load, work)


_NAMES: dict[Kind, str] = {
    "caption": "captions of pictures",
    "ocr": "text in pictures",
    "transcript": "transcripts of speech",
    "look": "colours of pictures",
}
