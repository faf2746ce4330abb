"""Encoders of other packages, found by the entry point group ``llmrec.encoders``."""

from __future__ import annotations

from importlib.metadata import entry_points

from llmrec.config import EncoderSettings
from llmrec.encode.base import Encoder
from llmrec.errors import ConfigError

PREFIX = "plugin:"
GROUP = "llmrec.encoders"


def load_plugin(name: str, settings: EncoderSettings) -> Encoder:
    """Call the factory that a package registered: ``factory(settings: EncoderSettings) -> Encoder``.

    Raises:
        ConfigError: no package registers that name, or its module cannot be imported.
    """
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in installed:
        choices = ", ".join(sorted(installed))
        raise ConfigError(
            f"{PREFIX}{name}: no installed package registers this encoder",
            f"Registered: {choices}."
            if choices
            else f"No installed package has the entry point group {GROUP}.",
        )
    entry = installed[name]
    try:
        factory = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{PREFIX}{name}: {entry.value} cannot be imported: {error}") from error
    encoder: Encoder = factory(settings)
    return encoder
