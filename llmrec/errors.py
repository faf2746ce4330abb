"""Errors a user can act on: each message names the thing, what is wrong with it, and the way out."""

from __future__ import annotations


class LlmrecError(Exception):
    """Base of every error that llmrec raises on purpose.

    Args:
        message: what is wrong, naming the file, line or id.
        hint: what to do about it; shown on its own line by the command line.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(LlmrecError):
    """A settings file or option that cannot be used."""


class AssetError(LlmrecError):
    """Weights or a data set that cannot be found, downloaded or verified."""


class UnsafeFileError(LlmrecError):
    """A file that could run code or exhaust memory when loaded; it was not loaded."""


class ReaderError(LlmrecError):
    """A catalog or log that cannot be read; the message starts with ``file:line``."""


class MediaError(LlmrecError):
    """A media file that cannot be opened, or is beyond a limit; the message says which and why."""


class MediaRefusedError(MediaError):
    """A media reference that leads out of its catalog's folder, to something that is not a plain file, or to
    a host that was not allowed."""


class PromptError(LlmrecError):
    """A template that is missing, malformed, or uses a variable that it does not declare."""


class WorkspaceError(LlmrecError):
    """A workspace that is missing, busy, of another format, or written by another encoder."""


class CorruptFileError(WorkspaceError):
    """A file of the workspace or cache whose content is not what was written."""


class RequestError(LlmrecError):
    """A request that cannot be answered as it stands."""


class UnknownItemError(RequestError):
    """An item id that the catalog does not hold."""


class UnknownUserError(RequestError):
    """A user id that neither the log nor the user table holds."""


class FilterError(RequestError):
    """A ``--where`` expression that does not parse or names an unknown column."""


class TrainingError(LlmrecError):
    """Training that went wrong, such as a loss that became NaN; what was trained before stays in use."""


class AdapterError(LlmrecError):
    """An adapter that is missing, damaged, of another model, or no better than what is in use."""


class EvaluationError(LlmrecError):
    """A log that a protocol cannot split, or a model that fails on it; the message names both."""


class MissingExtraError(LlmrecError):
    """An optional dependency that is not installed.

    Args:
        package: the import that failed.
        extra: the extra of llmrec that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is required here and not installed", f"pip install 'llmrec[{extra}]'")
