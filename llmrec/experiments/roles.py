"""Which prompts are compared, and what they are prompts for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from llmrec.errors import PromptError
from llmrec.prompts import Prompt, load_prompt
from llmrec.workspace import Workspace

Role = Literal["item", "user", "explain"]
ROLES: tuple[Role, ...] = get_args(Role)


def contenders(
    workspace: Workspace, specs: Sequence[str], role: Role | None = None
) -> tuple[Role, tuple[Prompt, ...]]:
    """The prompts of these names, and their role: that of the first one's name, where none is given.

    Args:
        workspace: whose prompts folder wins over the shipped one.
        specs: ``NAME`` or ``NAME@VERSION`` of two prompts or more; the others are compared with the first.
        role: for prompts of other names than those of the roles and of the settings.

    Raises:
        PromptError: there are less than two, one cannot be read or comes twice, or the role is not known.
    """
    prompts = tuple(load_prompt(spec, workspace.root / "prompts") for spec in specs)
    if len(prompts) < 2:
        raise PromptError("a comparison takes two prompts", "Such as item@1 item@2.")
    seen: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.spec in seen:
            raise PromptError(f"{prompt.spec} is named twice")
        if other := next((other for other in seen.values() if other.body == prompt.body), None):
            raise PromptError(
                f"{prompt.path}: the same text as {other.path}", "Edit it first, below its header."
            )
        seen[prompt.spec] = prompt
    names = {prompt.name for prompt in prompts}
    if role is not None:
        return role, prompts
    of = _roles(workspace)
    known = {of[name] for name in names if name in of}
    if len(known) != 1 or not names <= of.keys():
        raise PromptError(
            f"{', '.join(sorted(names))}: not prompts of one known role",
            f"Say --role {'|'.join(ROLES)}, if they are. Captions are judged by benchmarks/caption.py.",
        )
    return known.pop(), prompts


def _roles(workspace: Workspace) -> dict[str, Role]:
    """Roles by the names of prompts."""
    settings = workspace.settings
    used: dict[str, Role] = {
        settings.documents.item_prompt.partition("@")[0]: "item",
        settings.documents.user_prompt.partition("@")[0]: "user",
        settings.explain.prompt.partition("@")[0]: "explain",
    }
    shipped: dict[str, Role] = {role: role for role in ROLES}
    return shipped | used
