"""What is done with media: caption, read, transcribe, look. Each task turns opened media into text pieces.

Pieces carry no file names, since the same content may lie under several, and no thresholds were applied to
them; :mod:`llmrec.modality.select` does both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from llmrec.media.types import Media
from llmrec.modality.base import Captioner, TextReader, Transcriber
from llmrec.modality.look import look
from llmrec.schema import TextPiece

Kind = Literal["caption", "ocr", "transcript", "look"]
Pieces = tuple[TextPiece, ...]


@dataclass
class Task:
    """One thing done with media.

    Args:
        kind: what it makes.
        fingerprint: identity of the model, and of the settings that decide how media are opened.
        load: loads the model, called at most once, when the first media need it.
        work: given the model, the pieces of each of the media, in their order.
    """

    kind: Kind
    fingerprint: str
    load: Callable[[], object]
    work: Callable[[object, Sequence[Media]], list[Pieces]] = field(repr=False)

    @property
    def key(self) -> str:
        """Identity of the task, as the cache keeps it."""
        return f"{self.kind}:{self.fingerprint}"

    @cached_property
    def model(self) -> object:
        """The model, loaded."""
        return self.load()


def captions(captioner: Captioner, media: Sequence[Media]) -> list[Pieces]:
    """A caption of every frame."""
    frames = [frame for opened in media for frame in opened.frames]
    made = iter(captioner.caption([frame.pixels for frame in frames]) if frames else [])
    return [
        tuple(
            TextPiece(
                "caption",
                caption.text,
                "",
                start=frame.start,
                end=frame.end,
                model=captioner.name,
                confidence=_probability(caption.log_probability),
                margin=round(caption.margin, 4),
                unsure=caption.unsure,
            )
            for frame, caption in zip(opened.frames, made, strict=False)
        )
        for opened in media
    ]


def lines(reader: TextReader, media: Sequence[Media]) -> list[Pieces]:
    """The lines of text in every frame."""
    return [
        tuple(
            TextPiece(
                "ocr",
                line.text,
                "",
                start=frame.start,
                end=frame.end,
                model=reader.name,
                confidence=round(line.confidence, 4),
            )
            for frame in opened.frames
            for line in reader.read(frame.pixels)
        )
        for opened in media
    ]


def transcripts(transcriber: Transcriber, media: Sequence[Media]) -> list[Pieces]:
    """What is said in every sound track."""
    return [
        tuple(
            TextPiece(
                "transcript",
                segment.text,
                "",
                start=round(segment.start, 2),
                end=round(segment.end, 2),
                model=transcriber.name,
                confidence=round(segment.confidence, 4),
            )
            for segment in transcriber.transcribe(opened.sound).segments
        )
        if opened.sound is not None and len(opened.sound)
        else ()
        for opened in media
    ]


def looks(_: object, media: Sequence[Media]) -> list[Pieces]:
    """Colours and size of every still picture."""
    return [
        (TextPiece("look", look(opened.frames[0].pixels, opened.width, opened.height), ""),)
        if opened.frames
        else ()
        for opened in media
    ]


def fingerprint(*parts: object) -> str:
    """A digest of what decides a task's answers."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _probability(log_probability: float) -> float:
    return round(math.exp(min(0.0, log_probability)), 4)
