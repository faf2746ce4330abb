"""Models for tests, found as any user's would be: through entry points.

``tests/conftest.py`` puts this folder on the path of the tests and of the processes they start.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmrec.modality.base import Caption, Segment, Transcript

_WORD = re.compile(r"\w+|[^\w\s]")


class WordEncoder:
    """Texts as sums of random directions, one for each word; equal texts are equal, similar ones are near.

    Where ``LLMREC_TEST_ENCODED`` names a file, every text that is encoded is appended to it as a line.
    """

    dimension = 32
    max_tokens = 64

    def __init__(self, settings: object) -> None:
        self.fingerprint = f"{type(self).__name__}-1"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def cut(self, text: str, tokens: int) -> str:
        ends = [match.end() for match in _WORD.finditer(text)]
        return text if len(ends) <= tokens else text[: ends[tokens - 1]] if tokens > 0 else ""

    def encode(self, texts: Sequence[str], *, kind: str = "item") -> NDArray[np.float32]:
        if log := os.environ.get("LLMREC_TEST_ENCODED"):
            with Path(log).open("a", encoding="utf-8") as file:
                file.writelines(text.replace("\n", " ") + "\n" for text in texts)
        vectors = np.array([self._vector(text) for text in texts], np.float32)
        return vectors.reshape(len(texts), self.dimension)

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.full(self.dimension, 1e-3)
        for word in _WORD.findall(text.casefold()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        return (total / np.linalg.norm(total)).astype(np.float32)


class WideWordEncoder(WordEncoder):
    """The same with more dimensions, as another model would have."""

    dimension = 48


class SlowWordEncoder(WordEncoder):
    """Takes ``LLMREC_TEST_SECONDS`` (0.3) for each call, so that a test can interrupt it."""

    def encode(self, texts: Sequence[str], *, kind: str = "item") -> NDArray[np.float32]:
        time.sleep(float(os.environ.get("LLMREC_TEST_SECONDS", "0.3")))
        return super().encode(texts, kind=kind)


class ColourCaptioner:
    """Names the colour of a picture's middle. A grey one is described with a margin that nobody would trust.

    Where ``LLMREC_TEST_MEDIA`` names a file, everything that a test model is asked is a line of it.
    """

    name = "colours"
    fingerprint = "colours-1"

    def __init__(self, settings: object) -> None:
        pass

    def caption(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Caption]:
        time.sleep(float(os.environ.get("LLMREC_TEST_SECONDS", "0")))
        return [self._caption(picture) for picture in pictures]

    def _caption(self, picture: NDArray[np.uint8]) -> Caption:
        pixel = picture[picture.shape[0] // 2, picture.shape[1] // 2].astype(int)
        _log(f"caption {pixel.tolist()}")
        if pixel.tolist() == [13, 13, 13] and not os.environ.get("LLMREC_TEST_LUCKY"):
            raise RuntimeError("an unlucky picture")
        grey = int(pixel.max() - pixel.min()) < 16
        name = "grey" if grey else ("red", "green", "blue")[int(pixel.argmax())]
        return Caption(f"a {name} square", -0.5, -1.0 if grey else 2.0)


class Counter:
    """A transcriber that says how many seconds a sound has."""

    name = "counter"
    fingerprint = "counter-1"

    def __init__(self, settings: object) -> None:
        pass

    def transcribe(self, sound: NDArray[np.float32]) -> Transcript:
        seconds = len(sound) / 16_000
        _log(f"transcript {seconds:.1f}")
        return Transcript((Segment(f"a sound of {round(seconds)} seconds", 0.0, seconds, 0.9),), "en")


def _log(line: str) -> None:
    if log := os.environ.get("LLMREC_TEST_MEDIA"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class Liar:
    """An explainer that names an item that nobody spoke of."""

    fingerprint = "liar-1"

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        return 'You may like it because you liked "The Film That Does Not Exist" [1].'


class Quoter:
    """An explainer that cites one liked item, two where its prompt asks for both, and one wrongly on request.

    Where ``LLMREC_TEST_ANSWERS`` names a file, the title of what it explains is appended to it as a line;
    where that then has as many lines as ``LLMREC_TEST_STOP`` says, the process is interrupted as by Ctrl-C.
    """

    fingerprint = "quoter-1"

    def generate(
        self, system: str, user: str, *, max_tokens: int, timeout: float, grammar: str | None = None
    ) -> str:
        (title,) = re.findall(r'^Why "(.*)"\?$', user, re.MULTILINE)
        if log := os.environ.get("LLMREC_TEST_ANSWERS"):
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(title + "\n")
            if len(Path(log).read_text("utf-8").splitlines()) == int(os.environ.get("LLMREC_TEST_STOP", "0")):
                raise KeyboardInterrupt
        liked = [f'"{name}" [{number}]' for number, name in re.findall(r'\[(\d)\] You liked "(.*?)"', user)]
        said = (
            f'You may like "{title}" because you liked {" and ".join(liked[: 2 if "both" in system else 1])}'
        )
        return f"{said}. It is a musical [1]." if "musical" in system else f"{said}."
