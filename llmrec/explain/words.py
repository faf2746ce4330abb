"""How words are compared, and the words that an explanation may use without evidence."""

from __future__ import annotations

import re
import unicodedata

from llmrec.explain import chinese

_GENERAL = """
a about after again all along also although an and another any are around as at based be because been both
but by called can category categories choice choices closely consider could described description each
either enjoy even fan fans fit fits for found from further get give given gives has have having here how
if in into is it its itself item items just kind like likely liking lists listed match matches matching may
maybe might named of on one or our out over pick picks preference preferences recommend recommended
recommending recommendation related same says see seem seems share shared shares sharing should similar
similarly since so some something such suggest suggested suit suits taste tastes that the their them
themselves then there these they this those through to together too try under up us very was way we well were
what when where which while who whose why will with within worth would you your yours
"""
GENERAL = frozenset(_GENERAL.split())
"""Function words and the verbs of recommending: none states a property of an item or a number, or denies."""

TASTE = frozenset(("liked", "loved", "enjoyed", "chose"))
"""Words about the user's past, which only evidence of the history supports."""

ASKED = frozenset(("asked", "searched", "search", "wanted", "request", "query", "looking"))
"""Words about what the user asked for, which only evidence of the query supports."""

MANY = frozenset(("many", "people", "others"))
"""Words about other users, which only evidence of them supports."""

SHOWN = frozenset(("picture", "pictures", "image", "photo", "poster", "cover", "shows", "shown", "seen"))
"""Words about what a picture shows, which only evidence from a picture supports."""

HEARD = frozenset(("said", "spoken", "heard", "speech", "recording"))
"""Words about what is said in a recording, which only evidence from one supports."""

NEGATORS = frozenset(
    ("no", "not", "never", "without", "neither", "nor", "none", "nobody", "nothing", "cannot")
)

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"]
_TEENS += ["sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS = {
    "zero": "0",
    **{word: str(number) for number, word in enumerate([*_UNITS, *_TEENS], start=1)},
    **{word: str(10 * number) for number, word in enumerate(_TENS, start=2)},
    **{
        f"{ten}-{unit}": str(10 * tens + units)
        for tens, ten in enumerate(_TENS, start=2)
        for units, unit in enumerate(_UNITS, start=1)
    },
}

_LETTERS = rf"[^\W_{chinese.CHARACTERS}]"
WORD = re.compile(
    rf"(?i:{'|'.join(_TENS)})-(?i:{'|'.join(_UNITS)})\b"  # twenty-one
    r"|\d+(?:[.,]\d+)*"  # 2 of 2nd, 1,200, 129.90
    rf"|[{chinese.CHARACTERS}]+"
    rf"|[^\W\d_{chinese.CHARACTERS}]{_LETTERS}*(?:['’]{_LETTERS}+)*"
)
"""A word, a number, or a run of Chinese characters, which are not told apart into words."""

_TYPOGRAPHIC = str.maketrans("“”„«»", '"""""')
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SUFFIX = re.compile(r"(?<=...)(?:e?able|ies|ied|(?<=[st])ions?|ings?|[eo]rs?|ed|es|ly|s|y|e)$")
_PRONOUNS = {"her": "she", "hers": "she", "herself": "she", "him": "he", "his": "he", "himself": "he"}
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1$")


def plain(word: str) -> str:
    """Accents, typographic apostrophes and compatibility forms (full width, ligatures) removed; case kept."""
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return word.replace("’", "'")


def fold(word: str) -> str:
    """A word without case, and as :func:`plain` has it."""
    return plain(word).casefold()


def plain_quotes(text: str) -> str:
    """A text whose quotation marks are all alike."""
    return text.translate(_TYPOGRAPHIC)


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text, without punctuation."""
    # Cut first and fold then, as the words of an explanation are: folding may change what a letter is.
    return tuple(fold(word) for word in WORD.findall(unicodedata.normalize("NFC", text)))


def stem(word: str) -> str:
    """What forms of a folded word share: "animated" and "animation"; 2 and "two"; "she" and "her"."""
    if (number := number_of(word)) is not None:
        return number
    if word in _PRONOUNS:
        return _PRONOUNS[word]
    return _DOUBLED.sub(r"\1", _SUFFIX.sub("", word.removesuffix("'s")))


def number_of(word: str) -> str | None:
    """The number that a folded word is, in digits without needless zeros; None if it is none."""
    if not word[0].isdecimal():
        return _NUMBERS.get(word)
    digits = word.replace(",", "") if _THOUSANDS.fullmatch(word) else word.replace(",", ".")
    if digits.count(".") == 1:
        digits = digits.rstrip("0").rstrip(".")
    return digits.lstrip("0") or "0"


def states(word: str) -> bool:
    """Whether a folded word states something: numbers do; general words, denials, "he", "she" do not."""
    if number_of(word) is not None:
        return True
    return not (word in GENERAL or denies(word) or stem(word) in ("he", "she"))


def denies(word: str) -> bool:
    """Whether a folded word turns what follows into its contrary."""
    return word in NEGATORS or word.endswith("n't")


def contains(phrase: tuple[str, ...], text: tuple[str, ...]) -> bool:
    """Whether the words of ``phrase`` stand in ``text`` in this order, with nothing between them."""
    size = len(phrase)
    return any(text[start : start + size] == phrase for start in range(len(text) - size + 1))
