"""Every architecture, as large as it is, answers in ONNX as in Keras on all real test faces."""

from dataclasses import replace

import keras
import pytest
from tests.conftest import ROOT
from tests.support.training import spread_answers

from unveil.config import params
from unveil.dataset import arrays
from unveil.export import export, parity
from unveil.networks import Transfer

pytestmark = pytest.mark.slow

LEARNED = 512
"""Faces that a network learns a little from."""


def network(key: str, loaded: params.Params) -> keras.Model:
    keras.utils.set_random_seed(0)
    entry = loaded.architectures[key]
    if isinstance(entry, Transfer):
        entry = replace(entry, weights="none")
    made = entry.build(loaded.data.image_size, len(loaded.classes))
    made.compile(keras.optimizers.AdamW(1e-3), "sparse_categorical_crossentropy")
    faces = arrays.subset(arrays.load("train"), LEARNED, seed=0)
    made.fit(faces.images, faces.labels, batch_size=32, epochs=2, verbose=0)
    spread_answers(made, faces.images)
    return made


@pytest.mark.parametrize("key", params.load(ROOT / "params.yaml").architectures)
def test_it_answers_alike_on_the_whole_test_split(real, key):
    loaded = params.load()
    source = export.Source(
        network=network(key, loaded),
        architecture=key,
        classes=loaded.classes,
        image_size=loaded.data.image_size,
        calibration={},
        lineage={},
    )
    made = export.export(source, real / key)
    print(f"\n{export.summary(made)}")
    exact, rough = (made.card.parity[precision] for precision in ("float32", "int8"))
    assert exact["images"] == rough["images"] == len(arrays.load("test")) == 1281
    assert len(set(made.probabilities(arrays.load("test").images).argmax(1))) > 1
    assert exact["max_difference"] < parity.TOLERANCE
    assert exact["changed_labels"] <= 1
