"""Drift of served faces: the sliding window, detected changes, and no false alarms."""

import asyncio
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from prometheus_client import CollectorRegistry
from tests.support.bundles import made as bundle

from unveil.common.errors import UserError
from unveil.data.synthetic import CLASSES, draw_face
from unveil.inference import drift_reference
from unveil.inference.bundle import Answers, load
from unveil.serving.batching import Batcher
from unveil.serving.drift import BLOCKS, SIDES, DriftMonitor, Window
from unveil.serving.settings import MIN_FACES, Settings, checked

FACES = 1000
"""The size of the window."""


@cache
def pool() -> np.ndarray:
    """Synthetic faces: the first half is the reference, the second half is served."""
    generator = np.random.default_rng(0)
    faces = [draw_face(CLASSES[place % 4], generator) for place in range(1200)]
    return np.stack(faces)[..., np.newaxis]


def drawn(count: int, *, seed: int) -> np.ndarray:
    """Return ``count`` faces that are not part of the reference."""
    fresh = pool()[600:]
    return fresh[np.random.default_rng(seed).permutation(len(fresh))[:count]]


def said(faces: np.ndarray, network) -> Answers:
    """Return a bundle's answers, with the means of 16 tiles of a face as its embedding."""
    parts = faces.reshape(len(faces), 4, 12, 4, 12).mean((2, 4)).reshape(len(faces), 16)
    return Answers(network.probabilities(faces), parts.astype(np.float32))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A bundle whose reference was computed from synthetic faces."""
    network = load(bundle(tmp_path_factory.mktemp("bundle"), sharpness=6.0))
    known = drift_reference.build_reference(pool()[:600], *said(pool()[:600], network))
    card = SimpleNamespace(reference=known, classes=CLASSES)
    return SimpleNamespace(card=card, network=network)


def drifts(monitor: DriftMonitor) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(monitor)
    return {
        sample.labels["measure"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "unveil_drift"
    }


def watched(served, faces: np.ndarray) -> dict[str, float]:
    monitor = DriftMonitor(SimpleNamespace(bundle=served), FACES)
    monitor.observe_answers(served, faces, said(faces, served.network))
    return drifts(monitor)


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=12),
    st.integers(1, 60),
)
def test_window_counts_equal_a_recount_of_the_last_values(parts, faces):
    window, seen = Window(4, faces), []
    for part in parts:
        window.add(np.array(part, np.int64))
        seen += part
        held = int(window.counts.sum())
        assert window.counts.tolist() == np.bincount(seen[len(seen) - held :], minlength=4).tolist()
        assert min(len(seen), faces) <= held <= -(-faces // BLOCKS) * (BLOCKS + 1)


def test_faces_like_the_training_faces_have_no_drift(served):
    for seed in range(3, 8):
        found = watched(served, drawn(400, seed=seed))
        assert set(found) == {"brightness", "sharpness", "label", "confidence", "embedding"}
        assert max(found.values()) < 0.02, found


def test_darker_faces_are_detected(served):
    dark = (drawn(400, seed=9) * 0.6).astype(np.uint8)
    found = watched(served, dark)
    assert found["brightness"] > 0.2
    assert found["embedding"] > 0.05


def test_blurred_faces_are_detected_by_sharpness(served):
    blurred = [
        np.asarray(Image.fromarray(one[..., 0]).filter(ImageFilter.GaussianBlur(1)))
        for one in drawn(400, seed=10)
    ]
    found = watched(served, np.stack(blurred)[..., np.newaxis])
    assert found["sharpness"] > 0.3
    assert found["brightness"] < 0.02


def test_another_label_distribution_is_detected(served):
    faces = drawn(600, seed=11)
    labels = said(faces, served.network).probabilities.argmax(1)
    common = np.bincount(labels).argmax()
    found = watched(served, faces[labels != common])
    assert found["label"] > 0.05


def test_too_few_faces_give_no_drift(served):
    assert watched(served, drawn(MIN_FACES - 1, seed=12)) == {}
    assert watched(served, drawn(MIN_FACES, seed=12)) != {}


def test_a_new_bundle_restarts_the_window_and_late_answers_of_the_old_one_are_ignored(served):
    live = SimpleNamespace(bundle=served)
    monitor = DriftMonitor(live, FACES)
    faces = drawn(MIN_FACES, seed=13)
    monitor.observe_answers(served, faces, said(faces, served.network))
    assert drifts(monitor)
    live.bundle = SimpleNamespace(card=served.card, network=served.network)
    monitor.observe_answers(served, faces, said(faces, served.network))
    assert drifts(monitor) == {}
    monitor.observe_answers(live.bundle, faces, said(faces, served.network))
    assert drifts(monitor)


def test_a_bundle_without_a_reference_has_no_drift(tmp_path):
    old = load(bundle(tmp_path))
    monitor = DriftMonitor(SimpleNamespace(bundle=old), FACES)
    faces = drawn(MIN_FACES, seed=14)
    monitor.observe_answers(old, faces, old.answers(faces))
    registry = CollectorRegistry()
    registry.register(monitor)
    assert [sample for metric in registry.collect() for sample in metric.samples] == []


def test_face_sizes_are_compared_with_the_first_faces_of_the_server(served):
    monitor = DriftMonitor(SimpleNamespace(bundle=served), MIN_FACES)
    generator = np.random.default_rng(0)
    monitor.observe_sizes(generator.normal(100, 10, MIN_FACES))
    assert drifts(monitor) == {}
    monitor.observe_sizes(generator.normal(100, 10, MIN_FACES))
    assert drifts(monitor)["face_size"] < 0.02
    monitor.observe_sizes(generator.normal(50, 5, MIN_FACES))
    assert drifts(monitor)["face_size"] > 0.3
    assert SIDES[0] == 16 and SIDES[-1] == 4096


def test_the_batcher_reports_watched_faces_and_survives_a_failing_observer(served, capfd):
    seen = []

    def looked(_, images, answers):
        seen.append((len(images), answers.probabilities.shape, answers.embeddings))
        raise ValueError("no")

    live = SimpleNamespace(bundle=served.network)
    batcher = Batcher(live, lambda faces, seconds: None, looked)
    faces = list(drawn(3, seed=15)[..., 0])

    async def ask():
        await batcher.predict(faces, watched=False)
        await batcher.predict(faces)
        return await batcher.predict(faces[:1])

    assert asyncio.run(ask()).probabilities.shape == (1, 4)
    batcher.close()
    assert seen == [(3, (3, 4), None), (1, (1, 4), None)]
    assert "drift is not measured: no" in capfd.readouterr().err


def test_a_window_below_the_minimum_is_refused():
    with pytest.raises(UserError, match="--watched 10 is less than 200"):
        checked(Settings("see that it works", watched=10))
