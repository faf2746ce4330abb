"""Captions as tokens and as text, with a BLIP folder's ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from llmrec.errors import AssetError
from llmrec.modality.blip.folder import BlipFolder

_CONTINUED = "##"
_HANGING = frozenset(
    """
    a an the this that these those its his her their some many several few another each all both no one
    two three four five six seven eight nine ten and or but while as is are was were be being been has
    have having it he she they who which there very of in on at by to from for with without into onto over
    under up down off out near next behind beside between through across along around against above below
    inside outside front back top side middle wearing holding carrying using looking made covered filled
    topped surrounded sitting standing red blue green yellow black white brown orange pink purple gray
    grey tan blond blonde silver golden dark light bright colorful colored small large big little tiny
    tall long short wide young old older wooden metal plastic glass brick stone concrete paved dirt snowy
    grassy sandy rocky busy empty open other different various
    """.split()  # noqa: SIM905
)
"""English words after which a phrase goes on."""


class CaptionTokenizer:
    """The tokenizer of a BLIP folder.

    Args:
        folder: the model folder.
        prompt: text that begins every caption; may be empty.

    Raises:
        AssetError: ``tokenizer.json`` is malformed.
    """

    def __init__(self, folder: BlipFolder, prompt: str) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(folder.tokenizer))
        except Exception as error:  # the library raises nothing narrower
            raise AssetError(f"{folder.tokenizer}: cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        words = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        self.prefix = (folder.start_token, *words)
        """Tokens that begin every caption: the start token and those of the prompt."""

    def tokens(self, text: str) -> list[int]:
        """The ids of a text's words, without special tokens; what the vocabulary lacks is left out."""
        unknown = self._tokenizer.token_to_id(getattr(self._tokenizer.model, "unk_token", None) or "")
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [token for token in ids if token != unknown]

    def text(self, tokens: Sequence[int]) -> str:
        """The prompt and ``tokens`` as a caption without special tokens; empty if they add nothing."""
        return self._decoded([*self.prefix, *tokens]) if self._decoded(tokens) else ""

    def sure(self, tokens: Sequence[int], log_probabilities: Sequence[float], least: float) -> int:
        """How many of a caption's tokens come before its first word that is less likely than ``least``.

        What would be left hanging before it is not counted: "a man in a red" ends after "man". All tokens,
        the end included, where every word is likely enough; 0 where nothing is left.
        """
        if not least:
            return len(tokens)
        words: list[tuple[int, str, float]] = []  # where it begins, the word, its log-probability
        for place, (token, value) in enumerate(zip(tokens, log_probabilities, strict=True)):
            piece = self._tokenizer.id_to_token(token) or ""
            if words and piece.startswith(_CONTINUED):
                begin, word, before = words.pop()
                words.append((begin, word + piece.removeprefix(_CONTINUED), before + value))
            elif self._decoded([token]):  # special tokens are no words
                words.append((place, piece, value))
        unsure = next((number for number, word in enumerate(words) if word[2] < log(least)), None)
        if unsure is None:
            return len(tokens)
        kept = words[:unsure]
        while kept and (kept[-1][1] in _HANGING or not kept[-1][1].isalnum()):
            kept.pop()
        return words[len(kept)][0] if kept else 0

    def _decoded(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()
