"""The same face from frame to frame: its number stays, its label does not flicker."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.inference.tracking import LOST, followed, overlap

HERE, MOVED, THERE = (100, 100, 80, 80), (110, 104, 80, 80), (300, 100, 80, 80)
HAPPY, SAD = np.array([0.9, 0.1]), np.array([0.2, 0.8])
boxes = st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 50)] * 2)


def first(*places, now=0.0, shares=HAPPY):
    return followed([], places, np.array([shares] * len(places)), now=now, following=0)


def test_a_face_that_moves_keeps_its_number_and_a_new_one_gets_the_next():
    before = first(HERE)
    after = followed(before, [THERE, MOVED], np.array([SAD, HAPPY]), now=0.04, following=1)
    assert [track.number for track in after] == [1, 0]
    assert [track.box for track in after] == [THERE, MOVED]


def test_one_odd_frame_does_not_change_the_label_but_a_lasting_one_does():
    tracks = first(HERE)
    tracks = followed(tracks, [HERE], np.array([SAD]), now=0.04, following=1)
    assert tracks[0].shares.argmax() == 0
    for frame in range(2, 20):
        tracks = followed(tracks, [HERE], np.array([SAD]), now=0.04 * frame, following=1)
    assert tracks[0].shares.argmax() == 1
    assert tracks[0].shares.sum() == pytest.approx(1)


def test_a_face_that_is_missed_for_a_moment_is_known_again_and_then_forgotten():
    missed = followed(first(HERE), [], np.empty((0, 2)), now=0.2, following=1)
    again = followed(missed, [MOVED], np.array([SAD]), now=0.3, following=1)
    assert [track.number for track in again] == [0]
    late = followed(missed, [MOVED], np.array([SAD]), now=0.2 + LOST, following=1)
    assert [track.number for track in late] == [1]


def test_two_faces_in_one_place_are_not_one_track():
    after = followed(first(HERE), [HERE, MOVED], np.array([HAPPY, SAD]), now=0.04, following=1)
    assert sorted(track.number for track in after) == [0, 1]


@given(boxes, boxes)
def test_overlap_is_a_share_alike_both_ways_and_whole_of_itself(one, other):
    assert 0 <= overlap(one, other) <= 1
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, one) == 1
