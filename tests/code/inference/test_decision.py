"""Decisions: either a class or *unsure*."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.inference.decision import NO_FACE, answer

CLASSES = ("happy", "neutral", "sad", "surprise")


def shares(*weights: float) -> np.ndarray:
    return np.array(weights, np.float32) / np.sum(weights, dtype=np.float32)


def test_the_most_probable_class_is_named_with_all_probabilities():
    decided = answer(shares(1, 2, 6, 1), CLASSES, None)
    assert (decided.emotion, decided.reason) == ("sad", None)
    assert list(decided.probabilities) == list(CLASSES)
    assert str(decided) == "sad  (happy 0.100  neutral 0.200  sad 0.600  surprise 0.100)"


def test_below_the_threshold_it_is_unsure_and_names_no_class():
    decided = answer(shares(1, 2, 6, 1), CLASSES, 0.7)
    assert (decided.emotion, decided.reason) == (None, "unsure")
    assert decided.probabilities["sad"] == pytest.approx(0.6)
    assert str(decided).startswith("unsure, perhaps ")


def test_without_a_threshold_the_default_is_one_half():
    decided = answer(shares(0.35, 0.25, 0.2, 0.2), CLASSES, None)
    assert (decided.emotion, decided.reason) == (None, "unsure")
    assert answer(shares(5, 2, 2, 1), CLASSES, None).emotion == "happy"


def test_no_face_is_an_answer_without_probabilities():
    assert (NO_FACE.emotion, NO_FACE.reason, NO_FACE.probabilities) == (None, "no_face", {})
    assert str(NO_FACE) == "no face"


@given(
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
    st.none() | st.floats(0, 1),
)
def test_an_answer_has_either_a_class_or_a_reason(weights, threshold):
    decided = answer(shares(*weights), CLASSES, threshold)
    assert (decided.emotion is None) == (decided.reason is not None)
    if decided.emotion:
        highest = max(decided.probabilities.values())
        assert decided.probabilities[decided.emotion] == highest
        assert threshold is None or highest >= threshold
