"""Saliency maps of networks whose decisive regions are known, and contact sheets of errors."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.candidates import quadrants
from tests.support.training import toy

from unveil.common.errors import UserError
from unveil.common.paths import EXPLANATIONS, MODELS, PACKED
from unveil.config import params
from unveil.evaluation.evaluate import evaluate, probabilities
from unveil.evaluation.explain import explain, faithfulness, pictures, saliency, sheets

CLASSES = ("happy", "neutral", "sad", "surprise")


def faces(labels: np.ndarray) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 90, (len(labels), 48, 48, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24] += 120
    return images


def quarters(found: np.ndarray) -> np.ndarray:
    """The mean of each quarter of each map, ``(n, 4)``."""
    return found.reshape(-1, 2, 24, 2, 24).mean((2, 4)).reshape(-1, 4)


@pytest.fixture(scope="module")
def known() -> tuple:
    labels = np.arange(8) % 4
    network = quadrants(20.0)
    return partial(probabilities, network), network, faces(labels), labels


def test_every_saliency_map_peaks_at_the_decisive_region(known):
    predict, network, images, labels = known
    for found in saliency.activation_maps(network, images, labels).values():
        assert (quarters(found).argmax(1) == labels).all()
    fall = quarters(saliency.occlusion(predict, images, labels))
    assert (fall.argmax(1) == labels).all()
    assert (np.sort(fall)[:, :3].max(1) < fall.max(1) / 4).all()


def test_a_correct_map_is_faithful_and_its_opposite_is_not(known):
    predict, network, images, labels = known
    drawn = saliency.activation_maps(network, images, labels)
    drawn["occlusion"] = saliency.occlusion(predict, images, labels)
    drawn["opposite"] = -drawn["layercam"]
    drawn["random"] = faithfulness.random_maps(len(images), 48)
    found = {
        name: faithfulness.perturbation_curves(predict, images, labels, one)
        for name, one in drawn.items()
    }
    true = {"gradcam": True, "layercam": True, "occlusion": True}
    assert faithfulness.summarize(found)["faithful"] == {**true, "opposite": False}


def test_a_perturbation_curve_has_the_same_ends_for_every_map(known):
    predict, _, images, labels = known
    one, other = (
        faithfulness.perturbation_curves(
            predict, images, labels, faithfulness.random_maps(8, 48, seed=seed)
        )
        for seed in (1, 2)
    )
    whole = predict(images)[np.arange(8), labels]
    assert np.allclose(one["deletion"][0], whole) and np.allclose(one["insertion"][-1], whole)
    for name in ("deletion", "insertion"):
        assert np.allclose(one[name][[0, -1]], other[name][[0, -1]])
        assert ((faithfulness.areas(one[name]) >= 0) & (faithfulness.areas(one[name]) <= 1)).all()


@pytest.mark.parametrize("key", ["cnn5_gray", "cnn3", "resnetv2"])
def test_any_architecture_is_split_where_no_shortcut_bypasses(key, place):
    entry = toy(key).architectures[key]
    if key == "cnn5_gray":
        entry = dataclasses.replace(entry, filters=(4, 4, 4, 4, 4))
    network = entry.build(48, 4)
    images, targets = faces(np.arange(4)), np.arange(4)
    below, above = saliency.split_network(network)
    features = below(images, training=False)
    assert min(features.shape[1:3]) >= saliency.MIN_CELLS
    whole = keras.Model(network.input, network.get_layer("probabilities").input)
    assert np.allclose(above(features, training=False), whole(images, training=False), atol=1e-5)
    for maps in saliency.activation_maps(network, images, targets).values():
        assert maps.shape == (4, 48, 48) and np.isfinite(maps).all() and (maps >= 0).all()


def test_a_network_without_a_feature_map_is_refused():
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    flat = keras.layers.Flatten(name="features")(keras.layers.Rescaling(1.0)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(2, name="probabilities")(flat))
    with pytest.raises(UserError, match="no feature map before `features` has 6 cells per side"):
        saliency.split_network(network)


def test_maps_are_rescaled_individually_and_an_empty_one_stays_empty():
    found = np.zeros((2, 48, 48), np.float32)
    found[0, 0, :2] = -3, 5
    scaled = pictures.rescale(found)
    assert scaled[0, 0, :2].tolist() == [0, 1]
    assert not scaled[1].any()


answered = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), max_size=40)


def table(pairs: list[tuple[str, str]]) -> pd.DataFrame:
    shares = np.random.default_rng(len(pairs)).dirichlet(np.ones(4), len(pairs))
    for row, (_, predicted) in zip(shares, pairs, strict=True):
        place = CLASSES.index(predicted)
        row[[place, row.argmax()]] = row[[row.argmax(), place]]
    columns = pd.DataFrame(pairs, columns=["actual", "predicted"])
    named = columns.assign(member=[f"<b>{place}" for place in columns.index])
    return named.assign(**{f"p_{name}": shares[:, at] for at, name in enumerate(CLASSES)})


@given(answered)
@settings(deadline=None)
def test_errors_are_sorted_by_falling_and_hits_by_rising_confidence(pairs):
    answers = table(pairs)
    first, hits, *others = sheets.sheets(answers, shown=len(pairs) + 1)
    wrong = answers["actual"] != answers["predicted"]
    sure = answers.filter(like="p_").max(axis=1)
    assert sorted(first.rows) == list(answers.index[wrong])
    assert sure[first.rows].is_monotonic_decreasing
    assert sorted(hits.rows) == list(answers.index[~wrong])
    assert sure[hits.rows].is_monotonic_increasing
    assert sorted(place for sheet in others for place in sheet.rows) == sorted(first.rows)
    assert all(len(sheet.rows) <= 2 for sheet in sheets.sheets(answers, shown=2))


def test_a_page_without_thumbnails_has_names_and_no_pictures(tmp_path):
    answers = table([("sad", "happy"), ("sad", "sad")])
    page = tmp_path / "sheets.html"
    context = {"architecture": "cnn3", "thumbnails": False}
    sheets.write(page, sheets.sheets(answers, shown=9), answers, {}, **context)
    text = page.read_text()
    assert "<img" not in text and "Pictures are left out" in text
    assert "&lt;b&gt;0" in text and "<b>0" not in text
    assert "Labelled sad, predicted happy: 1 of 2" in text


@pytest.fixture
def evaluated(packed) -> params.Params:
    folder = MODELS / "cnn3"
    folder.mkdir(parents=True)
    quadrants(20.0).save(folder / "model.keras")
    columns = ("loss", "macro_f1", "val_loss", "val_macro_f1", "seconds")
    rows = [{"epoch": at, "stage": at, **dict.fromkeys(columns, 0.5)} for at in (1, 2)]
    pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)
    loaded = params.load()
    evaluate("cnn3", loaded)
    report = dataclasses.replace(loaded.report, explained=8, shown=2, thumbnails=True)
    return dataclasses.replace(loaded, report=report)


def test_an_explanation_has_scores_maps_and_sheets(evaluated):
    found = explain("cnn3", evaluated)
    folder = EXPLANATIONS / "cnn3"
    assert found == json.loads((folder / "explanation.json").read_text())
    assert all(found["faithful"].values()) and found["images"] == 8
    for name in ("maps.png", "faithfulness.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    page = (folder / "sheets.html").read_text()
    assert page.count("<img") == 4  # two hits, each with its saliency map
    assert "Most confident errors, 0 of 0" in page


def test_drawn_faces_are_shown_although_thumbnails_are_off(evaluated):
    path = PACKED / "test.parquet"
    rows = pd.read_parquet(path)
    drawn = [f"sample/test/sad/test_sad_{place:04}.png" for place in range(len(rows))]
    rows.assign(member=drawn).to_parquet(path)
    off = dataclasses.replace(evaluated.report, thumbnails=False)
    explain("cnn3", dataclasses.replace(evaluated, report=off))
    page = (EXPLANATIONS / "cnn3/sheets.html").read_text()
    assert page.count("<img") == 4
    assert "The faces are drawings, of nobody." in page


def test_a_report_of_another_network_is_not_explained(evaluated):
    path = MODELS / "cnn3/model.keras"
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(UserError, match="the report of cnn3 belongs to another network"):
        explain("cnn3", evaluated)
    with pytest.raises(UserError, match="unknown architecture 'vgg61'"):
        explain("vgg61", evaluated)


ON_JAX = """
import sys, numpy, keras
from unveil.evaluation.explain import saliency
network = keras.saving.load_model("model.keras")
images = numpy.load("images.npy")
drawn = saliency.activation_maps(network, images, numpy.arange(4))
numpy.save("maps.npy", numpy.stack(list(drawn.values())))
print(keras.backend.backend())
"""


@pytest.mark.slow
def test_jax_and_tensorflow_compute_the_same_maps(place):
    network, images = toy("resnetv2").architectures["resnetv2"].build(48, 4), faces(np.arange(4))
    network.save("model.keras")
    np.save("images.npy", images)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_JAX]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "jax"
    ours = np.stack(list(saliency.activation_maps(network, images, np.arange(4)).values()))
    assert np.allclose(np.load(Path("maps.npy")), ours, rtol=1e-3, atol=1e-4 * ours.max())
