"""Channel ``linear``: EASE while a matrix of the smaller side of the log can be inverted, beyond that ALS.

EASE is the better one and has a closed form, whose cost is the cube of that side: 10,000 take some gigabytes
and a minute. A log with many items and few users, or the reverse, keeps EASE.
"""

from __future__ import annotations

import numpy as np

from llmrec.config import RankSettings
from llmrec.progress import NoProgress, Progress
from llmrec.rank.als import Als
from llmrec.rank.catalog import Catalog
from llmrec.rank.channel import Arrays, Channel
from llmrec.rank.ease import Ease
from llmrec.rank.log import Log


class Linear:
    """The type of the channel."""

    name = Ease.name
    settings = ("ease_lambda", "ease_forgetting", "ease_side")

    @staticmethod
    def fit(catalog: Catalog, log: Log, settings: RankSettings, progress: Progress = NoProgress()) -> Channel:
        """Train the one that suits the size of the log.

        Raises:
            ConfigError: ``ease_lambda`` is too small for the log.
        """
        smaller = min(int((log.lengths > 0).sum()), int(np.count_nonzero(log.counts)))
        kind = Ease if smaller <= settings.ease_side else Als
        return kind.fit(catalog, log, settings, progress)

    @staticmethod
    def restore(catalog: Catalog, state: Arrays, settings: RankSettings) -> Channel:
        """Read back the one whose state it is."""
        kind = Als if "factors" in state else Ease
        return kind.restore(catalog, state, settings)
