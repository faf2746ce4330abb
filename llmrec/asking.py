"""Questions asked by a picture or by speech: what they show or say becomes the query."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from llmrec.documents import media_fields
from llmrec.errors import RequestError
from llmrec.modality.files import MediaFiles
from llmrec.modality.load import Modalities
from llmrec.modality.pipeline import MediaText
from llmrec.progress import NoProgress, Progress
from llmrec.prompts import caption_prompt
from llmrec.schema import Columns, Item
from llmrec.workspace import Workspace


def query_of(
    workspace: Workspace,
    *,
    images: Sequence[Path] = (),
    audio: Sequence[Path] = (),
    progress: Progress = NoProgress(),
) -> str:
    """What pictures show and sounds say, in words, by the models of a workspace.

    The user's own files: they may lie anywhere.

    Raises:
        RequestError: a file cannot be opened, or nothing could be said of it.
    """
    files = [*((Columns.IMAGES, path) for path in images), *((Columns.AUDIO, path) for path in audio)]
    settings = workspace.settings
    modalities = Modalities(
        settings, caption_prompt(settings.caption.prompt, workspace.root / "prompts"), progress
    )
    with closing(workspace.media_cache()) as cache:
        words = []
        for field, path in files:
            opened = MediaFiles(path.absolute().parent, settings.media, cache.own)
            asked = Item("query", **{field: (path.name,)})  # type: ignore[arg-type]
            ((item, flags),) = MediaText(opened, modalities, cache, settings)([asked], {})
            if flags:
                raise RequestError(f"{path}: {flags[0].reason}")
            said = [field.text for fields in media_fields(item.pieces).values() for field in fields]
            if not said:
                hints = [f"{missing.why}: {missing.remedy}" for missing in modalities.missing]
                raise RequestError(f"{path}: nothing could be said of it", "\n".join(hints) or None)
            words += said
    return " ".join(words)
