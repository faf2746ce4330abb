"""``file:`` and ``hf:``: places that keep files themselves, so that nothing is copied into llmrec's cache."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from llmrec.assets.paths import offline
from llmrec.errors import AssetError

_CTRANSLATE2 = "model.bin"
"""Plain numbers in CTranslate2's own format, which is checked before it is loaded."""

SAFE_PATTERNS = ["*.safetensors", "*.gguf", "*.json", "*.txt", "*.model", "*.jinja", _CTRANSLATE2]
"""What is taken from a hub repository: never pickles (``pytorch_model.bin``, ``.pt``) and never code."""

_REPOSITORY = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


class Store(Protocol):
    """A place whose files are used where they lie."""

    def locate(self, location: str) -> Path | None:
        """The folder or file, without the network; None if it is not on this machine."""

    def resolve(self, location: str) -> Path:
        """The folder or file, fetched by the store if it must be.

        Raises:
            AssetError: it cannot be had.
        """


class FileStore:
    """``file:PATH``: a folder or file of the user's."""

    def locate(self, location: str) -> Path | None:
        """The path, if there is something."""
        path = Path(re.sub(r"^//(?=/)", "", location)).expanduser()
        return path if path.exists() else None

    def resolve(self, location: str) -> Path:
        """The path.

        Raises:
            AssetError: nothing is there.
        """
        path = self.locate(location)
        if path is None:
            raise AssetError(f"file:{location}: not found", f"Looked in {Path.cwd()}.")
        return path


class HubStore:
    """``hf:ORG/NAME[@REVISION]``: a model of the Hugging Face hub, in the hub's own cache.

    The hub client shows its own progress bars, and continues an interrupted download.
    """

    def locate(self, location: str) -> Path | None:
        """The snapshot's folder, if a complete one is in the hub's cache."""
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return self._snapshot(location, local_only=True)
        except LocalEntryNotFoundError:
            return None

    def resolve(self, location: str) -> Path:
        """The snapshot's folder, downloaded if needed.

        Raises:
            AssetError: offline and not in the cache, no network, no such repository or revision, no access,
                or no safetensors, GGUF or CTranslate2 weights in it.
        """
        from huggingface_hub import errors

        local_only = offline("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        try:
            folder = self._snapshot(location, local_only)
        except errors.LocalEntryNotFoundError as error:
            if local_only:
                raise AssetError(
                    f"hf:{location}: not in the hub's cache, and offline mode is set",
                    f"When online: HF_HUB_OFFLINE=0 LLMREC_OFFLINE=0 llmrec models pull hf:{location}",
                ) from error
            raise AssetError(
                f"hf:{location}: no network: the hub cannot be reached",
                "Check the connection, then try again.",
            ) from error
        except errors.GatedRepoError as error:
            raise AssetError(
                f"hf:{location}: access must be granted first",
                "Accept its terms on the hub, then run `hf auth login`.",
            ) from error
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise AssetError(
                f"hf:{location}: no such repository or revision",
                "Check the spelling; a private one needs `hf auth login`.",
            ) from error
        except (OSError, ValueError) as error:
            raise AssetError(f"hf:{location}: {error}") from error
        if not any(
            path.suffix in (".safetensors", ".gguf") or path.name == _CTRANSLATE2
            for path in folder.rglob("*")
        ):
            raise AssetError(
                f"hf:{location}: holds no safetensors, GGUF or CTranslate2 weights",
                "Weights in pickle files can run code and are not used; take a revision with safetensors.",
            )
        return folder

    def _snapshot(self, location: str, local_only: bool) -> Path:
        from huggingface_hub import snapshot_download

        match = _REPOSITORY.fullmatch(location)
        if not match:
            raise AssetError(f"hf:{location}: not of the form hf:ORG/NAME[@REVISION]")
        return Path(
            snapshot_download(
                match["name"],
                revision=match["revision"],
                allow_patterns=SAFE_PATTERNS,
                local_files_only=local_only,
            )
        )
