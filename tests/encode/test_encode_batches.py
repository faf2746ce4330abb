from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from llmrec.encode.batches import pad_batches, plan_batches


@given(lengths=st.lists(st.integers(1, 300)), budget=st.integers(1, 1000))
def test_every_sequence_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(plan_batches(lengths, budget))
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget


def test_longest_first_and_equals_in_their_order() -> None:
    assert [list(rows) for rows in plan_batches([2, 5, 2, 5, 1], 10)] == [[1, 3], [0, 2, 4]]


def test_padding_is_on_the_right_and_masked() -> None:
    (batch,) = pad_batches([np.array([7]), np.array([8, 9])], token_budget=4, pad_token=3)
    assert batch.rows.tolist() == [1, 0]
    assert batch.input_ids.tolist() == [[8, 9], [7, 3]]
    assert batch.attention_mask.tolist() == [[1, 1], [1, 0]]
