"""The drift reference: correct bins, and no drift without a change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from unveil.data import fingerprints
from unveil.inference import drift_reference
from unveil.inference.drift_reference import EmbeddingStatistics, Histogram

GENERATOR = np.random.default_rng(0)
FACES = GENERATOR.integers(0, 256, (60, 48, 48, 1)).astype(np.uint8)


def shares(count: int, *, seed: int = 0) -> np.ndarray:
    """Probabilities of four classes, as from a mostly confident network."""
    drawn = np.random.default_rng(seed).dirichlet([0.4] * 4, count)
    return drawn.astype(np.float32)


def known(count: int = 60) -> drift_reference.Reference:
    embeddings = GENERATOR.normal(3, 2, (count, 8)).astype(np.float32)
    return drift_reference.build_reference(FACES, shares(count), embeddings)


@given(arrays(np.uint8, (2, 16, 16, 1)))
def test_brightness_and_sharpness_equal_those_of_the_manifest(faces):
    found = drift_reference.image_statistics(faces)
    for place, face in enumerate(faces[..., 0]):
        expected = fingerprints.quality(face)
        for name, values in found.items():
            assert values[place] == pytest.approx(expected[name], rel=1e-4, abs=1e-3)


def test_deciles_hold_a_tenth_each_and_labels_are_counted_by_class():
    made = known()
    assert made.histograms["brightness"].counts == (6,) * 10
    labels = np.bincount(shares(60).argmax(1), minlength=4)
    assert made.histograms["label"].counts == tuple(labels)
    assert set(made.histograms) == {"brightness", "sharpness", "label", "confidence", "embedding"}


def test_without_embeddings_the_other_measures_exist():
    made = drift_reference.build_reference(FACES, shares(60), None)
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
def test_an_invalid_histogram_is_refused(edges, counts):
    with pytest.raises(ValidationError):
        Histogram(edges, counts)


def test_embeddings_like_those_of_validation_have_distance_1_and_others_more():
    made = known()
    near = GENERATOR.normal(3, 2, (500, 8)).astype(np.float32)
    assert made.space.distances(near).mean() == pytest.approx(1, abs=0.1)
    assert made.space.distances(near + 10).min() > 2


def test_a_dimension_that_is_always_0_does_not_dominate_the_distance():
    embeddings = GENERATOR.normal(0, 1, (60, 8)).astype(np.float32)
    embeddings[:, 0] = 0
    space = drift_reference.build_reference(FACES, shares(60), embeddings).space
    assert min(space.spread) == pytest.approx(
        drift_reference.MIN_SPREAD * np.mean(embeddings.std(0)), 1e-4
    )
    assert np.isfinite(EmbeddingStatistics((0.0,), (1.0,)).distances(np.ones((3, 1)))).all()


@pytest.mark.parametrize("bins", [4, 10])
def test_sampling_noise_is_not_drift(bins):
    """For 200 faces like the reference at most 2 % exceed 0.02 bits, and none 0.05."""
    generator = np.random.default_rng(bins)
    drawn = [
        drift_reference.excess_divergence(
            generator.multinomial(200, [1 / bins] * bins),
            generator.multinomial(1000, [1 / bins] * bins),
        )
        for _ in range(2000)
    ]
    assert np.mean(np.array(drawn) > 0.02) <= 0.02
    assert max(drawn) < 0.05
    assert np.mean(drawn) < 0.003


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_drift_is_between_0_and_1_and_0_from_itself(counts):
    held = np.array(counts)
    assert drift_reference.excess_divergence(held, held) == 0
    assert 0 <= drift_reference.excess_divergence(held, held[::-1]) <= 1
