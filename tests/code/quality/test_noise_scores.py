"""Out-of-fold probabilities and the estimate of the noise rate."""

from dataclasses import replace

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from unveil.config import params
from unveil.quality.label_noise import noise_scores

PARAMS = params.load(ROOT / "params.yaml")


def test_duplicates_are_in_the_same_fold(tmp_path):
    generator = np.random.default_rng(0)
    count = 60
    faces = pd.DataFrame({"label": np.array(PARAMS.classes)[np.arange(count) // 2 % 4]})
    faces["dhash"] = [f"look{place // 2}" for place in range(count)]
    described = generator.random((count, 1, 12)).repeat(2, axis=1).astype(np.float32)
    # Every pair of lookalikes is alike: a model that saw one would know the other by heart.
    described[1::2] = described[::2]
    fewer = replace(PARAMS, audit=replace(PARAMS.audit, folds=3))
    probabilities = noise_scores.out_of_fold_probabilities([described], faces, fewer, tmp_path)
    right = faces["label"].map(PARAMS.classes.index) == probabilities.argmax(1)
    assert right.mean() < 0.6


@given(st.floats(0.02, 0.15), st.floats(0.5, 2), st.floats(0.2, 0.7), st.integers(0, 9))
@example(0.02, 0.6, 0.7, 0)
@settings(deadline=None, max_examples=15)
def test_the_noise_rate_is_estimated_for_weak_and_overconfident_models(
    rate, sharpness, vagueness, seed
):
    generator = np.random.default_rng(seed)
    # So many that four standard errors of the share are under what is asked for.
    count = 100_000
    honest = generator.dirichlet([vagueness] * 4, size=count)
    labels = (honest.cumsum(axis=1) > generator.random((count, 1))).argmax(axis=1)
    wrong = generator.random(count) < rate
    labels[wrong] = (labels[wrong] + generator.integers(1, 4, wrong.sum())) % 4
    said = honest.clip(1e-9) ** sharpness
    sharp, found = noise_scores.fit_noise_model(labels, said / said.sum(axis=1, keepdims=True))
    assert abs(found - wrong.mean()) < 0.012
    assert np.abs(sharp - honest).mean() < 0.03
    assert np.allclose(sharp.sum(axis=1), 1)
