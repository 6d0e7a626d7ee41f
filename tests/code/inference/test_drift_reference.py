"""What served faces are held against: binned rightly, and no drift where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from unveil.data import fingerprints
from unveil.inference import drift_reference
from unveil.inference.drift_reference import Histogram, Space

GENERATOR = np.random.default_rng(0)
FACES = GENERATOR.integers(0, 256, (60, 48, 48, 1)).astype(np.uint8)


def shares(count: int, *, seed: int = 0) -> np.ndarray:
    """Probabilities of four classes, as a network that is mostly sure gives them."""
    drawn = np.random.default_rng(seed).dirichlet([0.4] * 4, count)
    return drawn.astype(np.float32)


def known(count: int = 60) -> drift_reference.Reference:
    embeddings = GENERATOR.normal(3, 2, (count, 8)).astype(np.float32)
    return drift_reference.reference(FACES, shares(count), embeddings)


@given(arrays(np.uint8, (2, 16, 16, 1)))
def test_brightness_and_sharpness_are_those_of_the_manifest(faces):
    found = drift_reference.looks(faces)
    for place, face in enumerate(faces[..., 0]):
        expected = fingerprints.quality(face)
        for name, values in found.items():
            assert values[place] == pytest.approx(expected[name], rel=1e-4, abs=1e-3)


def test_tenths_hold_a_tenth_each_and_labels_are_counted_by_class():
    made = known()
    assert made.histograms["brightness"].counts == (6,) * 10
    labels = np.bincount(shares(60).argmax(1), minlength=4)
    assert made.histograms["label"].counts == tuple(labels)
    assert set(made.histograms) == {"brightness", "sharpness", "label", "confidence", "embedding"}


def test_without_embeddings_the_rest_is_known():
    made = drift_reference.reference(FACES, shares(60), None)
    assert made.space is None
    assert "embedding" not in made.histograms
    assert "embedding" not in made.values(FACES, shares(60), np.zeros((60, 8)))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.sets(st.floats(-1e6, 1e6), min_size=1))
def test_every_value_has_a_bin(values, edges):
    ordered = tuple(sorted(edges))
    made = Histogram(ordered, (1,) * (len(ordered) + 1))
    for value, place in zip(values, made.places(np.array(values)), strict=True):
        assert sum(edge <= value for edge in ordered) == place


@pytest.mark.parametrize(
    ("edges", "counts"),
    [((1.0, 1.0), (1, 1, 1)), ((1.0,), (1,)), ((1.0,), (0, 0)), ((), (1,)), ((1.0,), (-1, 3))],
)
def test_what_is_no_histogram_is_refused(edges, counts):
    with pytest.raises(ValidationError):
        Histogram(edges, counts)


def test_embeddings_like_those_of_validation_are_1_away_and_others_further():
    made = known()
    near = GENERATOR.normal(3, 2, (500, 8)).astype(np.float32)
    assert made.space.distances(near).mean() == pytest.approx(1, abs=0.1)
    assert made.space.distances(near + 10).min() > 2


def test_a_number_that_was_always_0_does_not_decide_the_distance():
    embeddings = GENERATOR.normal(0, 1, (60, 8)).astype(np.float32)
    embeddings[:, 0] = 0
    space = drift_reference.reference(FACES, shares(60), embeddings).space
    assert min(space.spread) == pytest.approx(
        drift_reference.FLOOR * np.mean(embeddings.std(0)), 1e-4
    )
    assert np.isfinite(Space((0.0,), (1.0,)).distances(np.ones((3, 1)))).all()


@pytest.mark.parametrize("bins", [4, 10])
def test_chance_alone_is_no_drift(bins):
    """Of 200 faces like the reference 2 % and less are over 0.02 bits, none over 0.05."""
    generator = np.random.default_rng(bins)
    drawn = [
        drift_reference.excess(
            generator.multinomial(200, [1 / bins] * bins),
            generator.multinomial(1000, [1 / bins] * bins),
        )
        for _ in range(2000)
    ]
    assert np.mean(np.array(drawn) > 0.02) <= 0.02
    assert max(drawn) < 0.05
    assert np.mean(drawn) < 0.003


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_drift_is_between_0_and_1_and_none_from_itself(counts):
    held = np.array(counts)
    assert drift_reference.excess(held, held) == 0
    assert 0 <= drift_reference.excess(held, held[::-1]) <= 1
