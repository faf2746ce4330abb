"""``top`` against a stable sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from llmrec.rank.top import top


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.0, 1.0, 3.5]) | st.floats(-1e6, 1e6, width=32), max_size=60),
    st.integers(0, 70),
)
def test_the_best_come_first_and_ties_by_position(values: list[float], count: int) -> None:
    scores = np.array(values, np.float32)
    expected = np.argsort(-scores, kind="stable")[:count]
    assert top(scores, count).tolist() == expected.tolist()
