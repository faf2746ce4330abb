"""Examples as tokens: a prompt, and the answer that is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmrec.encode.folder import ModelFolder
from llmrec.errors import AssetError
from llmrec.explain.torch_model import ChatTokenizer


@dataclass(frozen=True, slots=True)
class Example:
    """Ids of the tokens of a prompt and of its answer, which ends with the token that ends an answer."""

    prompt: Sequence[int]
    answer: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


class Tokens:
    """Makes messages into tokens as llama.cpp does.

    Args:
        folder: a causal model with a chat template.

    Raises:
        AssetError: the tokenizer cannot be loaded, has no chat template, or no token that ends an answer.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._chat = ChatTokenizer(folder.path)
        if self._chat.end is None:
            raise AssetError(
                f"{folder.name}: not a chat model: it has no token that ends an answer",
                "Set models.explainer to a model such as smollm2-135m-instruct.",
            )
        self._end = self._chat.end

    def __call__(self, system: str, user: str, answer: str) -> Example:
        """The tokens of one example; prompt and answer apart, as they are when an answer is written."""
        return Example(self._chat.prompt(system, user), [*self._chat.tokens(answer), self._end])


def shared_start(examples: Sequence[Example]) -> int:
    """How many tokens all prompts begin with, at most all but the last of the shortest."""
    prompts = [example.prompt for example in examples]
    first, shortest = prompts[0], min(map(len, prompts)) - 1
    return next((at for at in range(shortest) if any(p[at] != first[at] for p in prompts)), max(shortest, 0))
