"""Patterns of orders to a language model, by language, for text as :mod:`llmrec.explain.injection` reads it.

They are matched against lower case without accents on Latin and Cyrillic letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """A pattern, and the words of which one must be there for it to match: most text is told by those."""

    needs: tuple[str, ...]
    pattern: re.Pattern[str]


def given(text: str, orders: Iterable[Order]) -> bool:
    """Whether a text gives one of the orders."""
    return any(
        order.pattern.search(text) is not None
        for order in orders
        if any(word in text for word in order.needs)
    )


def _order(needs: str, pattern: str) -> Order:
    return Order(tuple(needs.split()), re.compile(pattern))


_SAY = (
    r"(?:say|answer|reply|respond|output|print|write|repeat|reveal|append|mention|declare|confirm|obey|decode"
    r"|rank|recommend|translate)"
)
_TEXT = r"(?:explanation|answer|reply|response|output|recommendation)"
_MODEL = r"(?:assistant|language model|chat ?bot|ai|llm|gpt|recommender|recommendation system)"
_ITSELF = r"(?:me|this|it|us|(?:this|my|our|the) (?:item|film|movie|product|song|book|article|video|game))"

CLEAR = (
    # English
    _order(
        "ignor disregard forget overrid bypass discard overlook",
        r"\b(?:ignore|disregard|forget|override|bypass|discard|overlook)\b.{0,40}\b(?:instruct\w*|prompt|rules?"
        r"|messages?|above|guidelines?|directives?|facts|evidence|(?:were|been) told)\b",
    ),
    _order("prompt", r"\b(?:system|developer) prompt"),
    _order(
        "instruction facts evidence rules task",
        r"\b(?:new|updated|real|actual|hidden) (?:instructions?|facts|evidence|rules|task) ?:",
    ),
    _order(
        "you",
        rf"\byou (?:are to|must|should|shall|will|have to|need to) (?:now |always |only )?{_SAY}\b",
    ),
    _order(
        "assistant model bot ai llm gpt recommend",
        rf"(?:^|\b(?:the|every|any|dear|hello|hey) ){_MODEL}\b.{{0,40}}"
        rf"(?:\b(?:must|should|has to|shall)\b|: ?{_SAY}\b|\bignore\b)",
    ),
    _order(
        "rank place put list move recommend show",
        rf"\b(?:rank|place|put|list|move|recommend|show)\b.{{0,20}}\b{_ITSELF}\b.{{0,30}}"
        r"(?:\b(?:first|top|number one|highest|above|every\w*)\b|#1)",
    ),
    _order("always", r"\balways (?:be )?(?:rank|recommend|answer|say|reply|show)"),
    # Spanish, Portuguese, Italian, French
    _order(
        "ignor olvid omit descart esquec desconsider dimentic trascur oubli neglig",
        r"\b(?:ignor[ae]|ignorad|olvid[ae]|omit[ae]|descart[ae]|esqueca|desconsidere|dimentica\w*|trascura"
        r"|oublie[zr]?|ignore[zr]|neglige[zr]?)\b.{0,40}\b(?:instru\w+|istruz\w+|regl\w+|regr\w+|regol\w+"
        r"|indica\w+|consigne\w*|orden\w*|ordini)",
    ),
    # German, Dutch
    _order(
        "ignorier vergiss vergesst missacht negeer vergeet",
        r"\b(?:ignorier\w*|vergiss|vergesst|missacht\w*|negeer|vergeet)\b.{0,40}"
        r"\b(?:anweisung|regel|befehl|vorgabe|instructie|opdracht)",
    ),
    # Polish, Turkish, Vietnamese, Indonesian
    _order(
        "ignoruj zapomnij pomin",
        r"\b(?:zignoruj|ignoruj|zapomnij|pomin)\b.{0,40}\b(?:instrukcj|polecen|zasad)",
    ),
    _order(
        "talimat kural yonerge komut",
        r"\b(?:talimat|kural|yonerge|komut)\w*\b.{0,30}\b(?:yok say|gormezden|unut|dikkate alma)",
    ),
    _order(
        "huong chi quy lenh",
        r"\b(?:bo qua|phot lo|quen)\b.{0,30}\b(?:huong dan|chi thi|quy tac|lenh)",
    ),
    _order("abaikan lupakan", r"\b(?:abaikan|lupakan)\b.{0,30}\b(?:instruksi|perintah|aturan|petunjuk)"),
    # Russian, Ukrainian (й is read as и)
    _order(
        "игнор ігнор забудь обращаи",
        r"\b(?:про)?(?:игнорируи|ігноруи|забудь|не обращаи)\w*\b.{0,40}"
        r"\b(?:инструкц|указан|правил|команд|вказівк|інструкц)",
    ),
    # Arabic, Hebrew, Hindi
    _order("تجاهل انس همل", r"(?:تجاهل|انس|أهمل|اهمل).{0,40}(?:تعليمات|أوامر|الأوامر|القواعد)"),
    _order("התעלמ התעלם שכח", r"(?:התעלם|התעלמי|התעלמו|שכח).{0,40}(?:הוראות|הכללים|ההנחיות)"),
    _order("निर्देश नियम आदेश", r"(?:निर्देश|नियम|आदेश).{0,30}(?:अनदेखा|भूल)"),
    # Chinese, Japanese, Korean
    _order(
        "忽略 无视 無視 忘 理会 理會",
        r"(?:忽略|无视|無視|忘记|忘記|忘掉|不要理会|不要理會).{0,15}(?:指令|指示|提示|规则|規則|命令)"
        r"|(?:指示|命令|指令|ルール|プロンプト).{0,15}(?:無視|忘れ)",
    ),
    _order("지시 명령 규칙 프롬프트", r"(?:지시|명령|규칙|프롬프트).{0,15}(?:무시|잊)"),
)
"""Orders that no title or category of a catalog is likely to look like."""

LIKELY = (
    *CLEAR,
    # English
    _order(
        "say answer reply respond output print write repeat reveal append mention declare confirm obey decode"
        " rank recommend translate",
        rf"^\W*(?:please |now |then |and )?{_SAY}\b",
    ),
    _order(
        ":",
        r"^\W*(?:assistant|system|user|human|recommender|task|output|answer|response|instructions?)"
        r" ?(?:override)?:",
    ),
    _order(") ]", r"^\W*[\[(]\d{1,3}[\])]"),
    _order("you", r"\byou (?:are|must|should|will|have to) (?:now|always|only|not|never)\b"),
    _order("you", r"\byou (?:have |also |already )?(?:liked|loved|enjoyed|watched|bought)\b"),
    _order("from", r"\bfrom now on\b"),
    _order("assistant model bot ai llm gpt recommend", rf"\b(?:you are|as) an? {_MODEL}\b"),
    _order(
        "assistant model bot ai llm gpt recommend",
        r"\b(?:dear|hello|hey|hi|note to|attention|(?:instructions?|message) (?:to|for)) "
        rf"(?:the |all |every )?{_MODEL}\b",
    ),
    _order(
        "explanation answer reply response output recommendation",
        rf"\b(?:the|your|every|this) {_TEXT} (?:must|should|could|has to|shall|is to|will|needs to)\b",
    ),
    _order("mode message override", r"\b(?:developer|debug|system) (?:mode|message|override)"),
    _order("tell", r"\btell (?:the |every |all )?(?:reader|user|customer|viewer)s?\b"),
    _order("user", r"\b(?:mention|list|show|reveal)\b.{0,40}\busers?\b"),
    _order("score", r"\bset (?:the |my |its )?score\b"),
    # Spanish, Portuguese, Italian, French
    _order(
        "di respond escri rispondi scrivi repond ecri affiche",
        r"^\W*(?:di|responde|escribe|responda|escreva|rispondi|scrivi|reponds|repondez|ecris|ecrivez"
        r"|affiche)\b",
    ),
    _order("debes tienes dois devez devi", r"\b(?:debes|tienes que|tu dois|vous devez|devi) \w+"),
    # German, Dutch, Polish
    _order(
        "sag antwor schreib gib zeig empfiehl schrijf odpowiedz napisz",
        r"^\W*(?:sage?|antworte|schreibe?|gib|zeige|empfiehl|antwoord|schrijf|odpowiedz|napisz)\b",
    ),
    _order("du", r"\bdu (?:musst|sollst|bist jetzt)\b"),
    # Russian, Ukrainian, Arabic
    _order(
        "скажи ответь напиши выведи покажи рекомендуи",
        r"^\W*(?:скажи|ответь|напишить?|напиши|выведи|покажи|рекомендуи|порекомендуи)\b",
    ),
    _order("ты вы", r"\b(?:ты|вы) (?:должен|должны|теперь)\b"),
    _order("قل اكتب أجب اطبع", r"^\W*(?:قل|اكتب|أجب|اطبع)\b"),
    # Chinese, Japanese, Korean
    _order("你", r"你(?:现在|現在|必须|必須|应该|應該|只能|是一个|是一個)"),
    _order("第一 首位", r"(?:排名?|排在|推荐|推薦).{0,4}(?:第一|首位)"),
    _order("提示 只 请 請", r"系统提示|系統提示|(?:只|请|請)(?:回答|回复|输出|輸出|说)"),
    _order("と", r"(?:と答え|と言|と出力|と書)(?:って|い|え|し)"),
    _order("라고", r"라고 (?:답|말|써|출력)"),
)
"""Orders, and what may be something else too."""
