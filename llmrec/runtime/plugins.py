"""Models of other packages, found by entry points of the group ``llmrec.ROLEs``, as ``llmrec.encoders``."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from llmrec.errors import ConfigError

_PREFIX = "plugin:"


def is_plugin(spec: str) -> bool:
    """Whether a model is named as ``plugin:NAME``."""
    return spec.startswith(_PREFIX)


def load_plugin(spec: str, role: str, *arguments: object) -> Any:
    """Call the factory that a package registered.

    Args:
        spec: ``plugin:NAME``.
        role: ``encoder``, ``captioner`` ...
        arguments: of the factory; by convention the settings of the role.

    Raises:
        ConfigError: no package registers that name, or its module cannot be imported.
    """
    group = f"llmrec.{role}s"
    installed = {entry.name: entry for entry in entry_points(group=group)}
    name = spec.removeprefix(_PREFIX)
    if name not in installed:
        choices = ", ".join(sorted(installed))
        raise ConfigError(
            f"{spec}: no installed package registers this {role}",
            f"Registered: {choices}."
            if choices
            else f"No installed package has the entry point group {group}.",
        )
    entry = installed[name]
    try:
        factory = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{spec}: {entry.value} cannot be imported: {error}") from error
    return factory(*arguments)
