"""How long one file may take."""

from __future__ import annotations

import time

from llmrec.errors import MediaError


class Deadline:
    """Wall time that starts to run now.

    Args:
        seconds: after which :meth:`check` fails.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that remain; not above 0 once they are over."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Go on while there is time.

        Raises:
            MediaError: there is none left.
        """
        if self.left() <= 0:
            raise MediaError(f"took longer than {self.seconds:,g} s ([media] timeout)")
