"""The Chinese that an explanation may use without evidence, and how Chinese is held against evidence.

Chinese is written without spaces. No dictionary is needed: a run of characters has to be made of the words
below and of parts of the cited texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection

CHARACTERS = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese characters, as a part of a character class."""

_RUN = re.compile(f"[{CHARACTERS}]")

_GENERAL = """
你 您 我们 它 它们 这 这个 这些 这部 那 那个 那些 的 地 得 也 都 还
还有 就 和 与 及 以及 或 或者 因为 所以 由于 既然 如果 可能 也许 会 能 可以
应该 值得 适合 符合 合 口味 偏好 兴趣 推荐 建议 喜欢 享受 试试 看看 类似 相似 相近 相关
一样 同样 同属 属于 类别 分类 类型 类 是 有 在 里 中 其 其中 关于 介绍 简介
描述 说 提到 根据 基于 来自 一些 一个 一种 一部 另外 此外 而且 并且 同时 为 给 让
对 从 到 跟 像 信息 选择 你的 它的 这样 如此 之一
"""
GENERAL = frozenset(_GENERAL.split())
"""Function words and the verbs of recommending, as :data:`llmrec.explain.words.GENERAL` in English."""

TASTE = frozenset(["喜欢过", "喜欢了", "爱过", "选过", "选择过", "选择了", "看过", "买过", "听过"])
ASKED = frozenset(["想找", "想要", "要找", "寻找", "搜索", "查找", "请求", "要求", "需要"])
MANY = frozenset(["很多", "许多", "不少", "人们", "别人", "其他人", "其他用户"])
SHOWN = frozenset(["图片", "图", "照片", "画面", "显示", "写着"])
HEARD = frozenset(["录音", "语音", "音频", "讲话", "说道"])

ITEM = frozenset(["它", "这"])
"""Characters of words for the recommended item."""

USER = frozenset(["你", "您", "我们"])
"""Words for the user and who speaks to them."""

_LIKED = re.compile(f"[你您].{{0,2}}(?:{'|'.join(sorted(TASTE))})[它这]")

_LONGEST_PART = 40
"""Characters of a run that are looked up in the texts as one."""


def is_run(word: str) -> bool:
    """Whether a word is a run of Chinese characters."""
    return _RUN.match(word) is not None


def says(word: str, parts: Collection[str]) -> bool:
    """Whether a word is a run of Chinese characters that has one of the parts in it."""
    return is_run(word) and any(part in word for part in parts)


def calls_liked(word: str) -> bool:
    """Whether a run of characters says that the user liked the recommended item: "你喜欢过它"."""
    return _LIKED.search(word) is not None


def composed(run: str, allowed: Collection[str], texts: Collection[str]) -> bool:
    """Whether a run of characters is made of words that are allowed and of parts of the texts.

    A part has two characters at least: with single ones of a long text almost anything could be said.
    """
    reached = {0}
    for start in range(len(run)):
        if start in reached:
            for end in range(start + 1, min(start + _LONGEST_PART, len(run)) + 1):
                part = run[start:end]
                if part in allowed or (len(part) > 1 and any(part in text for text in texts)):
                    reached.add(end)
    return len(run) in reached
