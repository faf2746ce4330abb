"""What explanations say around their evidence, by language: a new language is a new table here.

The verifier accepts these words because they are among the general ones of :mod:`llmrec.explain.words` and
:mod:`llmrec.explain.chinese`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmrec.config import ExplainLanguage
from llmrec.schema import Columns, Evidence


@dataclass(frozen=True, slots=True)
class Language:
    """The fixed words of one language.

    ``{}`` stands for a quoted title or text, ``[n]`` for its citation, which the caller puts there.

    Args:
        quotes: what stands before and after a title or a quotation.
        listed: between the items of a list, and before the last one.
        clauses: between the clauses of a template's sentence, and its end.
        gap: between two sentences.
        history: evidence of the history.
        shared: what it has in common with the recommended item.
        popular: evidence that many chose the item.
        together: evidence that those who chose another item chose it too.
        asked: how a request is told.
        likes: how items of the history are told.
        alone: an opening without history.
        openings: openings before and after the items of the history.
        says: what comes before each kind of fact of the item.
        given: the same for other attributes, in the template.
        fits: the template's opening with history.
        recommended: and without.
        again: what a second try is told; nothing of the first answer, whose words may be anybody's.
    """

    quotes: tuple[str, str]
    listed: tuple[str, str]
    clauses: tuple[str, str]
    gap: str
    history: str
    shared: str
    popular: str
    together: str
    asked: str
    likes: str
    alone: str
    openings: tuple[tuple[str, str], ...]
    says: Mapping[str, str]
    given: str
    fits: str
    recommended: str
    again: str

    def quoted(self, text: str) -> str:
        """A title or a quotation in its marks."""
        return text.join(self.quotes)

    def series(self, names: Sequence[str]) -> str:
        """Names as a list; empty for none."""
        between, last = self.listed
        return last.join(filter(None, (between.join(names[:-1]), *names[-1:])))

    def about(self, fact: Evidence) -> str:
        """What comes before the text of a fact of the item."""
        return self.says[fact_kind(fact)]


ATTRIBUTE = "attribute"


def fact_kind(fact: Evidence) -> str:
    """A key of :attr:`Language.says`: a kind of evidence, or of a field its column if that has words."""
    if fact.piece is not None or fact.kind != "field":
        return fact.kind if fact.piece is None else fact.piece.kind
    return fact.source if fact.source in (Columns.CATEGORIES, Columns.TEXT) else ATTRIBUTE


ENGLISH = Language(
    quotes=('"', '"'),
    listed=(", ", " and "),
    clauses=("; ", "."),
    gap=" ",
    history="You liked {}",
    shared=" ({})",
    popular="It is popular with other users",
    together="People who picked {} picked it too",
    asked="You asked for ",
    likes="You liked ",
    alone="{} may suit you.",
    openings=(
        ("You may like {} because you liked ", "."),
        ("Since you liked ", ", you may enjoy {}."),
    ),
    says={
        Columns.CATEGORIES: "It is listed under ",
        Columns.TEXT: "Its description says ",
        "caption": "Its picture shows ",
        "ocr": "Its picture says ",
        "transcript": "Its recording says ",
        ATTRIBUTE: "It has ",
    },
    given="It is given as ",
    fits="{} fits your taste: ",
    recommended="{} is recommended: ",
    again="\n\nA first answer was refused: it said something that the facts do not. Use only words of the "
    "facts, name titles exactly as they stand there, and put the number of a fact in brackets after what it "
    "says.",
)

CHINESE = Language(
    quotes=("“", "”"),
    listed=("、", "和"),
    clauses=("；", "。"),
    gap="",
    history="你喜欢过{}",
    shared="（{}）",
    popular="很多其他用户也选择了它",
    together="选择了{}的人也选择了它",
    asked="你想找",
    likes="你喜欢过",
    alone="{}可能适合你。",
    openings=(("你可能会喜欢{}，因为你喜欢过", "。"), ("既然你喜欢过", "，你可能也会喜欢{}。")),
    says={
        Columns.CATEGORIES: "它属于",
        Columns.TEXT: "它的介绍说",
        "caption": "它的图片显示",
        "ocr": "它的图片里写着",
        "transcript": "它的录音里说",
        ATTRIBUTE: "它有",
    },
    given="它的信息有",
    fits="{}合你的口味：",
    recommended="推荐{}：",
    again="\n\n第一次的回答被拒绝了：它说了事实里没有的内容。只能使用事实里的词，标题要原样写出，每一处之后都要在方括号里注明事实的编号。",
)

LANGUAGES: Mapping[ExplainLanguage, Language] = {"en": ENGLISH, "zh": CHINESE}
