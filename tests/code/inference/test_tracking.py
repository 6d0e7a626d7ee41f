"""Tracking: a face keeps its number over frames, and its label is stable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.inference.tracking import MAX_GAP, iou, rescale, update_tracks

HERE, MOVED, THERE = (100, 100, 80, 80), (110, 104, 80, 80), (300, 100, 80, 80)
HAPPY, SAD = np.array([0.9, 0.1]), np.array([0.2, 0.8])
boxes = st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 50)] * 2)


def first(*places, now=0.0, shares=HAPPY):
    return update_tracks([], places, np.array([shares] * len(places)), now=now, next_number=0)


def test_a_moving_face_keeps_its_number_and_a_new_one_gets_the_next():
    before = first(HERE)
    after = update_tracks(before, [THERE, MOVED], np.array([SAD, HAPPY]), now=0.04, next_number=1)
    assert [track.number for track in after] == [1, 0]
    assert [track.box for track in after] == [THERE, MOVED]


def test_one_outlier_frame_does_not_change_the_label_but_a_lasting_change_does():
    tracks = first(HERE)
    tracks = update_tracks(tracks, [HERE], np.array([SAD]), now=0.04, next_number=1)
    assert tracks[0].probabilities.argmax() == 0
    for frame in range(2, 20):
        tracks = update_tracks(tracks, [HERE], np.array([SAD]), now=0.04 * frame, next_number=1)
    assert tracks[0].probabilities.argmax() == 1
    assert tracks[0].probabilities.sum() == pytest.approx(1)


def test_a_face_missed_briefly_keeps_its_track_and_then_loses_it():
    missed = update_tracks(first(HERE), [], np.empty((0, 2)), now=0.2, next_number=1)
    again = update_tracks(missed, [MOVED], np.array([SAD]), now=0.3, next_number=1)
    assert [track.number for track in again] == [0]
    for moment in (0.4, 0.6):
        missed = update_tracks(missed, [], np.empty((0, 2)), now=moment, next_number=1)
    late = update_tracks(missed, [MOVED], np.array([SAD]), now=0.2 + MAX_GAP, next_number=1)
    assert [track.number for track in late] == [1]


@pytest.mark.parametrize("step", [0.04, 1.0, 30.0])
def test_a_face_missed_in_two_frames_keeps_its_number_however_far_apart_they_are(step):
    tracks = first(HERE)
    for frame in (1, 2):
        tracks = update_tracks(tracks, [], np.empty((0, 2)), now=frame * step, next_number=1)
    again = update_tracks(tracks, [MOVED], np.array([SAD]), now=3 * step, next_number=1)
    assert [(track.number, track.missed) for track in again] == [(0, 0)]


def test_a_track_ends_after_three_missed_frames_that_are_far_apart():
    tracks = first(HERE)
    for frame in (1, 2, 3):
        tracks = update_tracks(tracks, [], np.empty((0, 2)), now=float(frame), next_number=1)
    after = update_tracks(tracks, [HERE], np.array([SAD]), now=4.0, next_number=1)
    assert [track.number for track in after] == [1]


def test_a_track_follows_the_size_of_the_frame():
    (track,) = first(HERE)
    assert rescale(track, 2, 0.5).box == (200, 50, 160, 40)


def test_two_new_faces_do_not_share_a_track():
    after = update_tracks(
        first(HERE), [HERE, MOVED], np.array([HAPPY, SAD]), now=0.04, next_number=1
    )
    assert sorted(track.number for track in after) == [0, 1]


@given(boxes, boxes)
def test_iou_is_symmetric_and_1_with_itself(one, other):
    assert 0 <= iou(one, other) <= 1
    assert iou(one, other) == iou(other, one)
    assert iou(one, one) == 1
