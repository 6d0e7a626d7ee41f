"""`unveil bench train` measures all variants, leaves no files behind, and names failures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.training import toy

from unveil.benchmarks.training import alternating_runs, report, temporary_project
from unveil.common.errors import UserError
from unveil.config import params
from unveil.config.schema import STILL, Augmentation
from unveil.dataset import arrays as packs


def test_the_project_has_synthetic_faces_packed_and_as_pictures(place, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    temporary_project.make(folder, images=40, recipe="full", drawn=True)
    loaded = params.load(folder / "params.yaml")
    assert loaded.recipe == "full"
    assert params.load().recipe == "sample"
    faces = packs.load("train", folder / "data/03_packed")
    assert np.bincount(faces.labels).tolist() == [10, 10, 10, 10]
    assert len(packs.load("validation", folder / "data/03_packed")) == 32
    for label, name in enumerate(loaded.classes):
        pictures = sorted((folder / "pictures/train" / name).iterdir())
        assert len(pictures) == 10
        shown = np.asarray(Image.open(pictures[0])).astype(int)
        first = faces.images[faces.labels == label][0, :, :, 0]
        assert np.abs(shown - first).mean() < 5


def test_the_project_can_use_packed_faces(packed, tmp_path, monkeypatch):
    folder = tmp_path / "made"
    folder.mkdir()
    monkeypatch.setattr(temporary_project, "validation_count", lambda images: images)
    temporary_project.make(folder, images=20, recipe="", drawn=False)
    grown = temporary_project.repeat(folder, 3)
    here, there = (packs.load("train", one / "data/03_packed") for one in (folder, grown))
    assert (len(here), len(there)) == (20, 60)
    assert np.array_equal(there.images, np.concatenate([here.images] * 3))
    assert np.array_equal(there.labels, np.tile(here.labels, 3))


def test_requesting_more_faces_than_are_packed_is_refused(packed, tmp_path):
    here = len(packs.load("train"))
    message = rf"^{here + 1} faces of train are requested, data/03_packed has {here}$"
    folder = tmp_path / "made"
    folder.mkdir()
    with pytest.raises(UserError, match=message):
        temporary_project.make(folder, images=here + 1, recipe="", drawn=False)


def test_the_baseline_has_an_augmentation_layer_for_each_amount():
    from unveil.benchmarks.training import baseline

    assert baseline.layers(STILL) == []
    every = Augmentation(
        flip=True, rotation=0.1, shift=0.1, zoom=0.1, contrast=0.1, blur=0.1, erasing=0.1
    )
    assert len(baseline.layers(every)) == 7


def test_float_operations_of_a_graph_are_counted():
    import keras
    import tensorflow as tf

    from unveil.benchmarks.training import peak_flops

    square = tf.TensorSpec((10, 10))
    assert peak_flops.operations(lambda one: tf.matmul(one, one), square) == 2 * 10**3
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, padding="same", use_bias=False)]
    )
    assert peak_flops.operations(network, tf.TensorSpec((2, 8, 8, 3))) == 2 * 2 * 64 * 27 * 5
    assert peak_flops.measure_peak(side=64, repeats=2) > 1e6


def test_the_fastest_epoch_counts():
    rows = [{"seconds": 2.0, "cpu": 1.0}, {"seconds": 1.0, "cpu": 3.0}]
    assert alternating_runs.fastest(rows)["cpu"] == 3.0


def test_a_failed_variant_is_named_with_its_last_line_of_output(place):
    with (
        alternating_runs.start_variants(place, ["baseline"]) as variants,
        pytest.raises(UserError) as ended,
    ):
        variants["baseline"].start("cnn3_gray", epochs=1)
    assert "training variant 'baseline' failed: " in str(ended.value)
    assert "pictures/train" in str(ended.value)


def test_a_variant_builds_its_network_in_the_requested_precision(packed):
    from unveil.benchmarks.training import variants
    from unveil.training.loop import TrainingLoop

    loaded = toy("cnn3_gray")
    for precision in ("bfloat16", "float32"):
        with variants._training_loop(
            TrainingLoop, "cnn3_gray", loaded, lambda row: None, precision
        ) as loop:
            assert loop.network.get_layer("block1_conv1").compute_dtype == precision


def test_a_table_has_one_line_per_row():
    assert report.markdown(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"


@pytest.mark.slow
def test_all_tables_are_measured(place):
    plan = report.Plan(images=64, epochs=1, repeats=1, recipe="", drawn=True)
    opening, usual, peak, frozen, rows = report.pages(["cnn5_small_gray", "efficientnet"], plan)
    assert "64 synthetic faces" in opening
    for page in (usual, peak):
        assert page.count("\n| `") == 2
    assert frozen.count("\n| `") == 1
    assert rows.count("\n| ") == 2 + len(report.TIMES)
    assert [path.name for path in place.iterdir()] == ["params.yaml"]
    print(json.dumps([opening, usual, peak, frozen, rows], indent=2))
    assert not list(Path().glob("*.npz"))
