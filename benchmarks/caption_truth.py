"""Whether a caption is right, judged automatically by the words of its picture's references.

The rule: the caption's subject (its first content word) and at least two thirds of its content words are
borne out by one reference or another. A word is borne out by a word of the same stem, by a synonym of the
short list below, or, if it names a person, by a person of no other sex or age: "a man" by "a skier" or
"people", not by "a girl". Content words are all but function words, numbers, sizes and colours; numbers and
colours are left out because the references themselves differ in them.

The rule is lenient about how things are related ("a dog jumps over a ball") and strict about words ("a
collie" is wrong unless a reference says so). It serves to compare thresholds; it is no measure of a model.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmrec.evaluate.captions import words


def is_right(caption: str, references: Iterable[str]) -> bool:
    """Whether the references bear a caption out; one without content words is not."""
    content = content_words(caption)
    known = {word for reference in references for word in content_words(reference)}
    borne = [any(supports(other, word) for other in known) for word in content]
    return bool(borne) and borne[0] and 3 * sum(borne) >= 2 * len(borne)


def content_words(text: str) -> list[str]:
    """The stems of a text's words but for the plain ones, in order."""
    return [stem(word) for word in words(text) if word not in _PLAIN and not word.startswith("'")]


def supports(known: str, word: str) -> bool:
    """Whether what ``known`` names may be called ``word``; both are stems."""
    if known == word or _SYNONYM.get(known, known) == _SYNONYM.get(word, word):
        return True
    if known not in _PEOPLE or word not in _PEOPLE:
        return False
    return all(None in pair or pair[0] == pair[1] for pair in zip(_PEOPLE[known], _PEOPLE[word], strict=True))


def stem(word: str) -> str:
    """A word without the endings of plurals and verbs: "rides", "riding" and "ride" are one."""
    for ending, instead in (("ing", ""), ("ies", "y"), ("es", ""), ("s", ""), ("ed", "")):
        start = word.removesuffix(ending)
        if start != word and len(start) >= 3 and not word.endswith("ss"):
            doubled = ending in ("ing", "ed") and start[-1] == start[-2] and start[-1] not in "sl"
            word = (start[:-1] if doubled else start) + instead
            break
    return word.removesuffix("e")


_PLAIN = frozenset(
    """
    a an the this that these those its his her their it he she they who which and or but while as
    one two three four five six several some many few group pair couple bunch lot other another each
    with without of in on at by to from for into onto over under up down off out near next front behind beside
    between through across along around against above below inside outside top side back middle there very
    is are am was be being been has have having wear wears wearing worn
    small large big little tall long short young old older younger dark light bright colorful colored
    red blue green yellow white black brown orange pink purple gray grey tan blond blonde
    """.split()  # noqa: SIM905
)

_SYNONYM = {
    stem(word): number
    for number, group in enumerate(
        [
            "dog puppy hound",
            "bicycle bike cycle",
            "motorcycle motorbike",
            "ocean sea water wave beach shore lake river pool",
            "street road sidewalk city",
            "grass field lawn meadow yard park",
            "rock boulder cliff stone mountain hill",
            "forest wood tree",
            "jump leap",
            "run race chase",
            "walk stroll hike",
            "shirt t-shirt tshirt top jersey sweater",
            "jacket coat",
            "hat cap helmet",
            "couch sofa",
            "photo picture camera",
            "soccer football ball",
            "look stare watch",
            "hold carry",
            "sit seat",
            "ski snowboard snow",
            "skateboard skate",
            "surf surfboard",
        ]
    )
    for word in group.split()
}

# Sex and age of people; None where the word does not say.
_PEOPLE: dict[str, tuple[str | None, str | None]] = {
    stem(word): said
    for group, said in {
        "man men guy gentleman": ("male", "adult"),
        "woman women lady": ("female", "adult"),
        "boy": ("male", None),
        "girl": ("female", None),
        "child children kid toddler baby": (None, "child"),
        "person people someone crowd team friend adult player rider biker cyclist": (None, None),
        "surfer skier snowboarder skateboarder climber hiker swimmer runner dancer": (None, None),
    }.items()
    for word in group.split()
}
