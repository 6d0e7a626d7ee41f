"""Weighted non-maximum suppression over several levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.inference.candidates import MOST, Candidates, merge


def level(*found: tuple[float, tuple[float, float, float, float]]) -> Candidates:
    boxes = np.array([box for _, box in found], float).reshape(-1, 4)
    points = np.repeat(boxes[:, np.newaxis, :2], 6, axis=1)
    return Candidates(np.array([score for score, _ in found], float), boxes, points)


def test_overlapping_candidates_are_one_face_between_them():
    one, other = level((0.9, (0, 0, 10, 10))), level((0.3, (2, 0, 12, 10)), (0.5, (50, 50, 60, 60)))
    (best, second) = merge([one, other])
    assert best[0] == 0.9
    assert best[1] == pytest.approx([0.5, 0, 10.5, 10])
    assert best[2] == pytest.approx(np.full((6, 2), [0.5, 0]))
    assert second[1] == pytest.approx([50, 50, 60, 60])


def test_without_candidates_there_is_no_face():
    assert list(merge([level(), level()])) == []


def test_the_number_of_candidates_is_limited():
    far = [(0.5, (20.0 * place, 0, 20.0 * place + 10, 10)) for place in range(MOST + 500)]
    assert sum(1 for _ in merge([level(*far)])) == MOST


BOXES = st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(1, 50)] * 2).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@given(st.lists(st.tuples(st.floats(0.3, 1), BOXES), max_size=12))
def test_scores_fall_and_boxes_stay_within_those_of_the_candidates(found):
    merged = list(merge([level(*found)]))
    scores = [score for score, _, _ in merged]
    assert scores == sorted(scores, reverse=True)
    for _, box, _ in merged:
        assert all(min(one[1][at] for one in found) - 1e-6 <= box[at] for at in range(4))
        assert all(max(one[1][at] for one in found) + 1e-6 >= box[at] for at in range(4))
