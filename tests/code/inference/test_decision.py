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
    decided = answer(shares(1, 2, 6, 1), CLASSES, [0.5] * 4)
    assert (decided.emotion, decided.reason) == ("sad", None)
    assert list(decided.probabilities) == list(CLASSES)
    assert str(decided) == "sad  (happy 0.100  neutral 0.200  sad 0.600  surprise 0.100)"


def test_below_the_threshold_it_is_unsure_and_names_no_class():
    decided = answer(shares(1, 2, 6, 1), CLASSES, [0, 0, 0.7, 0])
    assert (decided.emotion, decided.reason) == (None, "unsure")
    assert decided.probabilities["sad"] == pytest.approx(0.6)
    assert str(decided).startswith("unsure, perhaps ")


def test_only_the_threshold_of_the_most_probable_class_counts():
    assert answer(shares(1, 2, 6, 1), CLASSES, [1, 1, 0.5, 1]).emotion == "sad"
    assert answer(shares(5, 2, 2, 1), CLASSES, [0.4, 0.9, 0.9, 0.9]).emotion == "happy"


def test_as_many_thresholds_as_classes_are_required():
    with pytest.raises(ValueError, match="zip"):
        answer(shares(1, 2, 6, 1), CLASSES, [0.5])


def test_no_face_is_an_answer_without_probabilities():
    assert (NO_FACE.emotion, NO_FACE.reason, NO_FACE.probabilities) == (None, "no_face", {})
    assert str(NO_FACE) == "no face"


@given(
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_an_answer_has_either_a_class_or_a_reason(weights, thresholds):
    decided = answer(shares(*weights), CLASSES, thresholds)
    assert (decided.emotion is None) == (decided.reason is not None)
    if decided.emotion:
        highest = max(decided.probabilities.values())
        assert decided.probabilities[decided.emotion] == highest
        assert highest >= thresholds[CLASSES.index(decided.emotion)]
    else:
        assert decided.confidence < thresholds[CLASSES.index(decided.top)]
