"""Items with the text of their media: opened by threads, given to the models in blocks, kept in the cache.

Plan → open → models → cache run side by side, with bounded queues between them. Items come out in the order
in which they went in; what is said of them does not depend on which media stood in a block beside theirs.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from llmrec.assets.pieces import DISK_FULL
from llmrec.config import MediaSettings, Settings
from llmrec.errors import LlmrecError, MediaError
from llmrec.media.types import Media
from llmrec.modality.cache import LayeredCache, Result
from llmrec.modality.files import MediaFiles, Reference, without_refused
from llmrec.modality.flow import Buffered, ordered_map
from llmrec.modality.load import Modalities
from llmrec.modality.select import selected
from llmrec.modality.tasks import Task
from llmrec.progress import NoProgress, Progress
from llmrec.schema import Columns, Flag, Item, TextPiece

_WORKERS = 2
_AHEAD = 4
"""Files opened before the models ask for them."""

_BLOCK_FILES = 32
_BLOCK_BYTES = 128 << 20
"""Files, and bytes of pixels and samples, that the models are given at once. What a kill can cost."""

Described = Generator[tuple[Item, list[Flag]], None, None]
"""Items with their pieces, and what of their media could not be read."""

_BARS = {
    "caption": "Captioning",
    "ocr": "Reading text in pictures",
    "transcript": "Transcribing",
    "look": "Looking at colours",
}
_OVERRIDES = {"caption": Columns.CAPTION, "transcript": Columns.TRANSCRIPT}


@dataclass(slots=True)
class MediaReport:
    """Files that each task was done with, the seconds that it took, and captions kept out as unsure."""

    done: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    cached: Counter[str] = field(default_factory=Counter)
    unsure: int = 0


@dataclass(slots=True)
class _Job:
    """A file to open, and the tasks to do with it."""

    reference: Reference
    tasks: list[Task]
    media: Media | None = None
    error: str = ""

    def result(self, task: Task, pieces: tuple[TextPiece, ...] = (), error: str = "") -> Result:
        return Result(self.reference.content, task.key, pieces, error)


@dataclass(frozen=True, slots=True)
class _End:
    """All jobs of an item came before."""

    item: Item
    references: list[Reference]


class MediaText:
    """Turns the media of items into text.

    Args:
        files: opens references.
        modalities: the tasks.
        cache: what is known already, and where results go.
        settings: limits and thresholds.
        progress: one bar for each kind of task.
    """

    def __init__(
        self,
        files: MediaFiles,
        modalities: Modalities,
        cache: LayeredCache,
        settings: Settings,
        progress: Progress = NoProgress(),
    ) -> None:
        self.files = files
        self.modalities = modalities
        self.cache = cache
        self.settings = settings
        self.progress = progress
        self.report = MediaReport()
        self._failed = cache.own.failures()
        self._claimed: set[tuple[str, str]] = set()
        """(content, task) on their way: a file that two items share is not opened twice."""

    def identity(self, item: Item, references: Sequence[Reference]) -> str:
        """What decides the pieces of an item: its media, and what is done with them; empty without media."""
        if not references:
            return ""
        gates = {
            "caption": (self.settings.caption.min_log_probability, self.settings.caption.min_margin),
            "ocr": self.settings.ocr.min_confidence,
        }
        seen = []
        for reference in references:
            done = [(task.key, gates.get(task.kind)) for task in self.tasks(item, reference.field)]
            seen.append((reference.field, reference.name, reference.content, done))
        return json.dumps(seen)

    def failures(self, item: Item, references: Sequence[Reference]) -> list[Flag]:
        """What of an item's media cannot be read, as far as it is known."""
        flags: dict[Flag, None] = {}
        for reference in references:
            reasons = [reference.problem] if reference.problem else self._reasons(item, reference)
            for reason in reasons:
                flags[Flag(item.item_id, reference.field, reference.name, reason)] = None
        return list(flags)

    def count(self, item: Item, references: Sequence[Reference]) -> Counter[str]:
        """Files for each kind of task."""
        opened = [reference for reference in references if reference.content]
        return Counter(task.kind for reference in opened for task in self.tasks(item, reference.field))

    def tasks(self, item: Item, name: str) -> list[Task]:
        """The tasks for an item's media of a field; what the catalog says itself is not asked of a model."""
        said = item.attributes
        return [task for task in self.modalities.of(name) if not said.get(_OVERRIDES.get(task.kind, ""))]

    def __call__(self, items: Iterable[Item], totals: Mapping[str, int]) -> Described:
        """Describe items, in their order.

        Args:
            items: which; read by another thread.
            totals: number of files for each kind of task, for the bars.
        """
        with ExitStack() as shown:
            self._bars = {
                kind: shown.enter_context(self.progress.task(name, totals[kind], "files"))
                for kind, name in _BARS.items()
                if totals.get(kind)
            }
            for block in Buffered(self._computed(Buffered(self._blocks(items), 1)), 1):
                yield from (self._described(end) for end in block)

    def _plan(self, items: Iterable[Item]) -> Iterator[_Job | _End]:
        for item in items:
            references = self.files.of(item)
            for reference in references:
                tasks = self.tasks(item, reference.field) if reference.content else []
                # Looked at before the cache: a task leaves here only after its result is there.
                flying = {task.key for task in tasks if (reference.content, task.key) in self._claimed}
                known = self.cache.get(reference.content, {task.key for task in tasks}) if tasks else {}
                wanted = []
                for task in tasks:
                    if task.key in known or task.key in flying:
                        self._advance(task.kind)
                        self.report.cached[task.kind] += 1
                    else:
                        self._claimed.add((reference.content, task.key))
                        wanted.append(task)
                if wanted:
                    yield _Job(reference, wanted)
            yield _End(item, references)

    def _blocks(self, items: Iterable[Item]) -> Iterator[list[_Job | _End]]:
        """What the models are given at once."""
        block: list[_Job | _End] = []
        files = size = 0
        for step, _ in ordered_map(self._open, self._plan(items), _WORKERS, _AHEAD):
            block.append(step)
            if isinstance(step, _Job):
                files += 1
                size += _bytes(step.media)
            if files >= _BLOCK_FILES or size >= _BLOCK_BYTES or len(block) >= 16 * _BLOCK_FILES:
                yield block
                block, files, size = [], 0, 0
        if block:
            yield block

    def _open(self, step: _Job | _End) -> None:
        if isinstance(step, _End):
            return
        try:
            with self.files.open(step.reference) as stream:
                step.media = _read(step.reference.field, stream, self.settings.media)
        except MediaError as error:
            step.error = error.message
        except Exception as error:  # whatever a decoder makes of a hostile file must not end the run
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise  # no fault of the file's
            step.error = f"cannot be read ({type(error).__name__}: {error})"

    def _computed(self, blocks: Iterable[list[_Job | _End]]) -> Iterator[list[_End]]:
        """Each block's items, after the results of its jobs were put into the cache."""
        for block in blocks:
            jobs = [step for step in block if isinstance(step, _Job)]
            tasks = {task.key: task for job in jobs for task in job.tasks}
            for task in tasks.values():
                wanted = [job for job in jobs if task in job.tasks]
                for some in _batches(task, wanted):
                    results = self._results(task, some)
                    self.cache.put(results)
                    self._failed |= {(one.content, one.task): one.error for one in results if one.error}
                    self._claimed.difference_update((job.reference.content, task.key) for job in some)
                    self._advance(task.kind, len(some))
            yield [step for step in block if isinstance(step, _End)]

    def _results(self, task: Task, jobs: Sequence[_Job]) -> list[Result]:
        """One result for each job; where the model cannot take them together, it is asked for each alone."""
        opened = [(job, job.media) for job in jobs if job.media is not None]
        results = [job.result(task, error=job.error) for job in jobs if job.media is None]
        if not opened:
            return results
        model, began = task.model, time.monotonic()  # that it cannot be loaded is no fault of the file's
        try:
            made = task.work(model, [media for _, media in opened])
            results += [job.result(task, pieces) for (job, _), pieces in zip(opened, made, strict=True)]
        except Exception as error:
            if isinstance(error, LlmrecError) and not isinstance(error, MediaError):
                raise
            if len(opened) > 1:
                return results + [result for job, _ in opened for result in self._results(task, [job])]
            reason = error.message if isinstance(error, MediaError) else f"{type(error).__name__}: {error}"
            results.append(opened[0][0].result(task, error=f"{task.kind}: {reason}"))
        self.report.done[task.kind] += len(opened)
        self.report.seconds[task.kind] += time.monotonic() - began
        return results

    def _described(self, end: _End) -> tuple[Item, list[Flag]]:
        pieces: list[TextPiece] = []
        for reference in end.references:
            tasks = self.tasks(end.item, reference.field) if reference.content else []
            results = self.cache.get(reference.content, {task.key for task in tasks}) if tasks else {}
            made = [piece for task in tasks if task.key in results for piece in results[task.key].pieces]
            pieces += selected(made, reference.name, self.settings)
        self.report.unsure += sum(piece.unsure for piece in pieces)
        item = without_refused(end.item, end.references)
        return replace(item, pieces=tuple(pieces)), self.failures(end.item, end.references)

    def _reasons(self, item: Item, reference: Reference) -> list[str]:
        if not self._failed:
            return []
        claims = [(reference.content, task.key) for task in self.tasks(item, reference.field)]
        return [self._failed[claim] for claim in claims if claim in self._failed]

    def _advance(self, kind: str, amount: int = 1) -> None:
        if (bar := self._bars.get(kind)) is not None:
            bar.advance(amount)


def _read(name: str, stream: BinaryIO, limits: MediaSettings) -> Media:
    from llmrec.media.picture import read_picture
    from llmrec.media.sound import read_sound
    from llmrec.media.video import read_video

    if name == Columns.IMAGES:
        return read_picture(stream, limits)
    return read_sound(stream, limits) if name == Columns.AUDIO else read_video(stream, limits)


def _batches(task: Task, jobs: Sequence[_Job]) -> Iterator[Sequence[_Job]]:
    """Speech takes long: each file's is kept as soon as it is there."""
    size = 1 if task.kind == "transcript" else max(1, len(jobs))
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]


def _bytes(media: Media | None) -> int:
    if media is None:
        return 0
    sound = media.sound.nbytes if media.sound is not None else 0
    return sound + sum(frame.pixels.nbytes for frame in media.frames)
