"""Users' text becomes vectors, as the encoder and the prompts of a workspace have it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmrec.documents import Tokenizer, UserDocuments
from llmrec.encode import Encoder
from llmrec.prompts import Prompt, load_prompt
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Scores
from llmrec.rank.log import Rows
from llmrec.schema import Document, User
from llmrec.workspace import Workspace


class UserWriter:
    """Writes what is said of a user: their profile and the newest items of their history.

    Args:
        workspace: for profiles, prompts and settings.
        catalog: of the histories.
        tokenizer: of the workspace's encoder.
        prompt: in the place of the settings' one.
    """

    def __init__(
        self, workspace: Workspace, catalog: Catalog, tokenizer: Tokenizer, prompt: Prompt | None = None
    ) -> None:
        self.workspace = workspace
        self.catalog = catalog
        self.settings = workspace.settings.documents
        prompt = prompt or load_prompt(self.settings.user_prompt, workspace.root / "prompts")
        self._documents = UserDocuments(prompt, self.settings, tokenizer)

    def texts(self, users: Sequence[tuple[str | None, Rows]]) -> list[str]:
        """A text for each (id, rows of the history, newest first); empty where nothing is known."""
        return [document.text for document in self.documents(users)]

    def documents(self, users: Sequence[tuple[str | None, Rows]]) -> list[Document]:
        """Likewise, with what was cut."""
        asked = [
            (self._user(user), self.catalog.items(history[: self.settings.history]))
            for user, history in users
        ]
        known = [(user, items) for user, items in asked if items or user.profile]
        written = iter(self._documents(known))
        return [next(written) if items or user.profile else Document("") for user, items in asked]

    def _user(self, user_id: str | None) -> User:
        known = self.workspace.events.user(user_id) if user_id is not None else None
        return known or User(user_id or "")


class UserTexts(UserWriter):
    """Makes these texts into vectors.

    Args:
        workspace: for profiles, prompts and settings.
        catalog: of the histories.
        encoder: of the workspace.
    """

    def __init__(self, workspace: Workspace, catalog: Catalog, encoder: Encoder) -> None:
        super().__init__(workspace, catalog, encoder)
        self.encoder = encoder

    def __call__(self, users: Sequence[tuple[str | None, Rows]]) -> Scores:
        """Unit vectors of these texts, (users, dimension); zeros where nothing is known."""
        texts = self.texts(users)
        vectors = np.zeros((len(texts), self.encoder.dimension), np.float32)
        said = [at for at, text in enumerate(texts) if text]
        if said:
            vectors[said] = self.encoder.encode([texts[at] for at in said], kind="user")
        return vectors
