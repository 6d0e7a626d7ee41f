"""Drift of served faces: the window is the last faces, what changed is found, nothing else is."""

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
from unveil.data.synthetic import CLASSES, face
from unveil.inference import drift_reference
from unveil.inference.bundle import Answers, load
from unveil.serving.batching import Batcher
from unveil.serving.drift import BLOCKS, SIDES, Watch, Window
from unveil.serving.settings import LEAST, Settings, checked

FACES = 1000
"""Of the window."""


@cache
def pool() -> np.ndarray:
    """Drawn faces: half of them are the reference, the others are served."""
    generator = np.random.default_rng(0)
    faces = [face(CLASSES[place % 4], generator) for place in range(1200)]
    return np.stack(faces)[..., np.newaxis]


def drawn(count: int, *, seed: int) -> np.ndarray:
    """Take so many of the faces that are no reference."""
    fresh = pool()[600:]
    return fresh[np.random.default_rng(seed).permutation(len(fresh))[:count]]


def said(faces: np.ndarray, network) -> Answers:
    """Give a bundle's answers, and as embeddings the means of the sixteenths of a face."""
    parts = faces.reshape(len(faces), 4, 12, 4, 12).mean((2, 4)).reshape(len(faces), 16)
    return Answers(network.probabilities(faces), parts.astype(np.float32))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A bundle whose card knows drawn faces."""
    network = load(bundle(tmp_path_factory.mktemp("bundle"), sharpness=6.0))
    known = drift_reference.reference(pool()[:600], *said(pool()[:600], network))
    card = SimpleNamespace(reference=known, classes=CLASSES)
    return SimpleNamespace(card=card, network=network)


def drifts(watch: Watch) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(watch)
    return {
        sample.labels["measure"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "unveil_drift"
    }


def watched(served, faces: np.ndarray) -> dict[str, float]:
    watch = Watch(SimpleNamespace(bundle=served), FACES)
    watch.looked(served, faces, said(faces, served.network))
    return drifts(watch)


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=12),
    st.integers(1, 60),
)
def test_a_window_is_what_counting_its_last_values_again_gives(parts, faces):
    window, seen = Window(4, faces), []
    for part in parts:
        window.add(np.array(part, np.int64))
        seen += part
        held = int(window.counts.sum())
        assert window.counts.tolist() == np.bincount(seen[len(seen) - held :], minlength=4).tolist()
        assert min(len(seen), faces) <= held <= -(-faces // BLOCKS) * (BLOCKS + 1)


def test_faces_like_those_of_training_have_not_drifted(served):
    for seed in range(3, 8):
        found = watched(served, drawn(400, seed=seed))
        assert set(found) == {"brightness", "sharpness", "label", "confidence", "embedding"}
        assert max(found.values()) < 0.02, found


def test_darker_faces_are_found(served):
    dark = (drawn(400, seed=9) * 0.6).astype(np.uint8)
    found = watched(served, dark)
    assert found["brightness"] > 0.2
    assert found["embedding"] > 0.05


def test_blurred_faces_are_found_by_their_sharpness(served):
    blurred = [
        np.asarray(Image.fromarray(one[..., 0]).filter(ImageFilter.GaussianBlur(1)))
        for one in drawn(400, seed=10)
    ]
    found = watched(served, np.stack(blurred)[..., np.newaxis])
    assert found["sharpness"] > 0.3
    assert found["brightness"] < 0.02


def test_another_mix_of_labels_is_found(served):
    faces = drawn(600, seed=11)
    labels = said(faces, served.network).probabilities.argmax(1)
    common = np.bincount(labels).argmax()
    found = watched(served, faces[labels != common])
    assert found["label"] > 0.05


def test_of_too_few_faces_nothing_is_said(served):
    assert watched(served, drawn(LEAST - 1, seed=12)) == {}
    assert watched(served, drawn(LEAST, seed=12)) != {}


def test_another_bundle_begins_anew_and_late_answers_of_the_old_one_do_not_count(served):
    live = SimpleNamespace(bundle=served)
    watch = Watch(live, FACES)
    faces = drawn(LEAST, seed=13)
    watch.looked(served, faces, said(faces, served.network))
    assert drifts(watch)
    live.bundle = SimpleNamespace(card=served.card, network=served.network)
    watch.looked(served, faces, said(faces, served.network))
    assert drifts(watch) == {}
    watch.looked(live.bundle, faces, said(faces, served.network))
    assert drifts(watch)


def test_a_bundle_without_a_reference_has_no_drift_of_looks(tmp_path):
    old = load(bundle(tmp_path))
    watch = Watch(SimpleNamespace(bundle=old), FACES)
    faces = drawn(LEAST, seed=14)
    watch.looked(old, faces, old.answers(faces))
    registry = CollectorRegistry()
    registry.register(watch)
    assert [sample for metric in registry.collect() for sample in metric.samples] == []


def test_sizes_are_held_against_the_first_of_the_server(served):
    watch = Watch(SimpleNamespace(bundle=served), LEAST)
    generator = np.random.default_rng(0)
    watch.sized(generator.normal(100, 10, LEAST))
    assert drifts(watch) == {}
    watch.sized(generator.normal(100, 10, LEAST))
    assert drifts(watch)["face_size"] < 0.02
    watch.sized(generator.normal(50, 5, LEAST))
    assert drifts(watch)["face_size"] > 0.3
    assert SIDES[0] == 16 and SIDES[-1] == 4096


def test_the_batcher_tells_of_watched_faces_and_survives_who_watches(served, capfd):
    seen = []

    def looked(_, images, answers):
        seen.append((len(images), answers.probabilities.shape, answers.embeddings))
        raise ValueError("no")

    live = SimpleNamespace(bundle=served.network)
    batcher = Batcher(live, lambda faces, seconds: None, looked)
    faces = list(drawn(3, seed=15)[..., 0])

    async def ask():
        await batcher.ask(faces, watched=False)
        await batcher.ask(faces)
        return await batcher.ask(faces[:1])

    assert asyncio.run(ask()).probabilities.shape == (1, 4)
    batcher.close()
    assert seen == [(3, (3, 4), None), (1, (1, 4), None)]
    assert "drift is not measured: no" in capfd.readouterr().err


def test_a_window_that_is_too_small_to_say_anything_is_refused():
    with pytest.raises(UserError, match="--watched 10 is less than 200"):
        checked(Settings("see that it works", watched=10))
