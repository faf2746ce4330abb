"""Examples as tokens: a prompt, and the answer that is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmrec.encode.folder import ModelFolder
from llmrec.errors import AssetError
from llmrec.runtime.libraries import quiet


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
        AssetError: the tokenizer cannot be loaded, has no chat template, or none that a token ends.
    """

    def __init__(self, folder: ModelFolder) -> None:
        from transformers import AutoTokenizer

        try:
            with quiet():
                self._tokenizer = AutoTokenizer.from_pretrained(
                    str(folder.path), local_files_only=True, trust_remote_code=False
                )
        except Exception as error:  # transformers documents no errors of its tokenizers
            raise AssetError(f"{folder.name}: the tokenizer cannot be loaded: {error}") from error
        if not self._tokenizer.chat_template or self._tokenizer.eos_token_id is None:
            raise AssetError(
                f"{folder.name}: not a chat model: it has no chat template, or no token that ends an answer",
                "Set models.explainer to a model such as smollm2-135m-instruct.",
            )

    def __call__(self, system: str, user: str, answer: str) -> Example:
        """The tokens of one example; prompt and answer apart, as they are when an answer is written."""
        said = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        prompt = self._tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        return Example(self._ids(prompt), [*self._ids(answer), self._tokenizer.eos_token_id])

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def shared_start(examples: Sequence[Example]) -> int:
    """How many tokens all prompts begin with, at most all but the last of the shortest."""
    prompts = [example.prompt for example in examples]
    first, shortest = prompts[0], min(map(len, prompts)) - 1
    return next((at for at in range(shortest) if any(p[at] != first[at] for p in prompts)), max(shortest, 0))
