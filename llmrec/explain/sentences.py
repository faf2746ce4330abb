"""An explanation as JSON: sentences, each with the number of the fact that it says.

Where an endpoint takes a JSON schema, its model can cite nothing but the evidence, and has its own words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

INSTRUCTION = (
    '\n\nAnswer in JSON: {"sentences": [{"text": "...", "fact": 1}]}. "fact" is the number of the fact that '
    'the sentence says; "text" is the sentence without that number.'
)
"""What the instructions for plain text lack."""


def schema(facts: Sequence[int]) -> dict[str, Any]:
    """The JSON schema of an answer that may cite ``facts``, in the part of the language that is strict."""
    sentence = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "fact": {"type": "integer", "enum": list(facts)}},
        "required": ["text", "fact"],
        "additionalProperties": False,
    }
    # Without bounds a small model writes none, or goes on until its tokens are used up.
    several = {"type": "array", "items": sentence, "minItems": 1, "maxItems": 4}
    return {
        "type": "object",
        "properties": {"sentences": several},
        "required": ["sentences"],
        "additionalProperties": False,
    }


def read(answer: str) -> str:
    """The text of an answer, each sentence with its citation.

    >>> read('{"sentences": [{"text": "You liked it.", "fact": 1}, {"text": "It is new", "fact": 2}]}')
    'You liked it [1]. It is new [2].'

    Raises:
        ValueError: it is not JSON of that form.
    """
    found = json.loads(answer)
    if not isinstance(found, dict) or not isinstance(found.get("sentences"), list):
        raise ValueError("not an object with sentences")
    return " ".join(_sentence(entry) for entry in found["sentences"])


def _sentence(entry: object) -> str:
    if not isinstance(entry, dict):
        raise ValueError("a sentence is not an object")
    text, fact = entry.get("text"), entry.get("fact")
    if not isinstance(text, str) or not isinstance(fact, int):
        raise ValueError("a sentence lacks its text or its fact")
    text = text.strip()
    mark = text[-1] if text.endswith((".", "!", "?", "。", "！", "？")) else ""
    body = text.removesuffix(mark).rstrip()
    cited = body if body.endswith(f"[{fact}]") else f"{body} [{fact}]"
    return f"{cited}{mark or '.'}"
