"""How words are compared, and the words that an explanation may use without evidence."""

from __future__ import annotations

import re
import unicodedata

from llmrec.explain import chinese

_GENERAL = """
a about after again all along also although an and another any are around as at based be because been both
but by called can category categories choice choices closely consider could described description each
either enjoy even fan fans fit fits for found from further get give given gives has have having here how
if in into is it its itself just kind like likely liking lists listed match matches matching may maybe
might named of on one or our out over pick picks preference preferences recommend recommended recommending
recommendation related same says see seem seems share shared shares sharing should similar similarly since
so some something such suggest suggested suit suits taste tastes that the their them themselves then there
these they this those through to together too try under up us very was way we well were what when where
which while who whose why will with within worth would you your yours
"""
GENERAL = frozenset(_GENERAL.split())
"""Function words and the verbs of recommending: none states a property of an item or a number, or denies."""

TASTE = frozenset(("liked", "loved", "enjoyed", "chose", "history"))
"""Words about the user's past, which only evidence of the history supports."""

ASKED = frozenset(("asked", "searched", "search", "wanted", "request", "query", "looking"))
"""Words about what the user asked for, which only evidence of the query supports."""

SHOWN = frozenset(("picture", "pictures", "image", "photo", "shows", "shown", "seen"))
"""Words about what a picture shows, which only evidence from a picture supports."""

HEARD = frozenset(("said", "spoken", "heard", "speech", "recording"))
"""Words about what is said in a recording, which only evidence from one supports."""

WORD = re.compile(rf"[{chinese.CHARACTERS}]+|[^\W_{chinese.CHARACTERS}]+(?:['’][^\W_{chinese.CHARACTERS}]+)*")
"""A word, or a run of Chinese characters, which are not told apart into words."""

_TYPOGRAPHIC = str.maketrans("“”„«»", '"""""')
_SUFFIX = re.compile(r"(?<=...)(?:'s|ies|ied|ions?|ings?|ers?|ed|es|ly|s|y|e)$")
_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
_NUMBERS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}


def fold(word: str) -> str:
    """Case, accents and typographic apostrophes removed."""
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return word.casefold().replace("’", "'")


def plain_quotes(text: str) -> str:
    """A text whose quotation marks are all alike."""
    return text.translate(_TYPOGRAPHIC)


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text, without punctuation."""
    # Cut first and fold then, as the words of an explanation are: folding may change what a letter is.
    return tuple(fold(word) for word in WORD.findall(unicodedata.normalize("NFC", text)))


def stem(word: str) -> str:
    """What forms of a folded word share: "animated" and "animation"; 2 and "two"."""
    return _NUMBERS.get(word) or _SUFFIX.sub("", word)


def contains(phrase: tuple[str, ...], text: tuple[str, ...]) -> bool:
    """Whether the words of ``phrase`` stand in ``text`` in this order, with nothing between them."""
    size = len(phrase)
    return any(text[start : start + size] == phrase for start in range(len(text) - size + 1))
