"""Which moments stand for a video."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st
from made import scene

from llmrec.media.shots import Look, look_at, plan


def looks(changes: list[float], interval: float = 0.1, detail: float = 0.1) -> list[Look]:
    return [Look(i * interval, i, change, detail) for i, change in enumerate(changes)]


def still(seconds: float) -> list[float]:
    """Changes of a shot that begins with a cut."""
    return [0.5] + [0.01] * (round(seconds * 10) - 1)


def ends(spans: list) -> list[tuple[float, float]]:
    return [(round(span.start, 1), round(span.end, 1)) for span in spans]


def test_a_span_for_each_shot() -> None:
    assert ends(plan(looks(still(1) + still(3) + still(1.5)), 5.5, 3)) == [(0, 1), (1, 4), (4, 5.5)]


def test_the_frame_of_a_shot_is_from_its_middle() -> None:
    [span] = plan(looks(still(1.9)), 1.9, 1)
    assert span.look.time == pytest.approx(0.9)


def test_motion_is_no_cut_however_fast() -> None:
    assert len(plan(looks([0.2] * 15), 1.5, 6)) == 1
    assert len(plan(looks([0.02] * 8 + [0.2] + [0.02] * 8), 1.7, 6)) == 2


def test_a_flash_is_no_shot() -> None:
    changes = still(1)
    changes[5] = changes[6] = 0.6
    assert ends(plan(looks(changes + [0.01] * 5), 1.5, 6)) == [(0, 0.5), (0.5, 1.5)]
    assert len(plan(looks([*still(1.9), 0.6]), 2, 6)) == 1, "the last frame alone"


def test_more_shots_than_frames_join_the_shortest_and_show_the_longest() -> None:
    changes = still(3) + still(1) + still(0.6) + still(3) + still(2)
    spans = plan(looks(changes), 9.6, 3)
    assert ends(spans) == [(0, 4.6), (4.6, 7.6), (7.6, 9.6)]
    assert 0 < spans[0].look.time < 3


def test_fewer_shots_than_frames_split_the_longest() -> None:
    spans = plan(looks(still(1) + still(9) + still(4)), 14, 6)
    assert ends(spans) == [(0, 1), (1, 4), (4, 7), (7, 10), (10, 12), (12, 14)]
    assert len(plan(looks(still(3)), 3, 6)) == 1, "not into spans shorter than two seconds"


def test_black_and_blurred_frames_do_not_stand_for_a_shot() -> None:
    black = [Look(look.time, look.position, look.change, 0.0) for look in looks(still(3))[:20]]
    [span] = plan(black + looks(still(3))[20:], 3, 1)
    assert span.look.time >= 2
    sharp, blurred = scene(1), np.full((48, 64, 3), 90, np.uint8)
    assert look_at(0, 0, sharp, None).detail > 3 * look_at(0, 0, blurred, None).detail


def test_looks_measure_the_change_of_the_picture() -> None:
    assert look_at(1, 1, scene(1), scene(1)).change == 0
    assert look_at(1, 1, np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)).change == 1


@given(
    changes=st.lists(st.sampled_from([0.0, 0.05, 0.15, 0.6]), max_size=60),
    interval=st.sampled_from([0.1, 0.5, 7.0]),
    tail=st.sampled_from([0.0, 0.04, 30.0]),
    frames=st.integers(1, 12),
)
def test_spans_cover_the_video_in_order(
    changes: list[float], interval: float, tail: float, frames: int
) -> None:
    seconds = len(changes) * interval + tail
    spans = plan(looks(changes, interval), seconds, frames)
    assert len(spans) <= frames
    if not changes:
        assert spans == []
        return
    assert spans[0].start == 0
    assert spans[-1].end == seconds
    assert all(left.end == right.start for left, right in pairwise(spans))
    assert all(span.start <= span.look.time < span.end for span in spans)
    positions = [span.look.position for span in spans]
    assert positions == sorted(set(positions))
