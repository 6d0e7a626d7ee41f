"""What is said of probabilities: a class, or that it is unsure, never both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.inference.decision import NO_FACE, answer

CLASSES = ("happy", "neutral", "sad", "surprise")


def shares(*weights: float) -> np.ndarray:
    return np.array(weights, np.float32) / np.sum(weights, dtype=np.float32)


def test_the_likeliest_class_is_named_with_all_probabilities():
    said = answer(shares(1, 2, 6, 1), CLASSES, None)
    assert (said.emotion, said.reason) == ("sad", None)
    assert list(said.probabilities) == list(CLASSES)
    assert str(said) == "sad  (happy 0.100  neutral 0.200  sad 0.600  surprise 0.100)"


def test_under_the_threshold_it_is_unsure_and_names_none():
    said = answer(shares(1, 2, 6, 1), CLASSES, 0.7)
    assert (said.emotion, said.reason) == (None, "unsure")
    assert said.probabilities["sad"] == pytest.approx(0.6)
    assert str(said).startswith("unsure  (")


def test_without_a_threshold_none_is_named_that_is_less_likely_than_the_others_together():
    said = answer(shares(0.35, 0.25, 0.2, 0.2), CLASSES, None)
    assert (said.emotion, said.reason) == (None, "unsure")
    assert answer(shares(5, 2, 2, 1), CLASSES, None).emotion == "happy"


def test_no_face_is_an_answer_without_probabilities():
    assert (NO_FACE.emotion, NO_FACE.reason, NO_FACE.probabilities) == (None, "no_face", {})
    assert str(NO_FACE) == "no face"


@given(
    st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
    st.none() | st.floats(0, 1),
)
def test_either_a_class_or_a_reason_is_given(weights, threshold):
    said = answer(shares(*weights), CLASSES, threshold)
    assert (said.emotion is None) == (said.reason is not None)
    if said.emotion:
        highest = max(said.probabilities.values())
        assert said.probabilities[said.emotion] == highest
        assert threshold is None or highest >= threshold
