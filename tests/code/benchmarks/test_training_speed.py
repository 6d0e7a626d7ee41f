"""The benchmark of training measures what it says, leaves nothing behind, and names what failed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.training import toy

from unveil.benchmarks.training import project, report, turns
from unveil.common.errors import UserError
from unveil.config import params
from unveil.config.schema import STILL, Augmentation
from unveil.data import dataset as packs


def test_the_project_has_drawn_faces_packed_and_the_same_as_pictures(place, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    project.make(folder, images=40, recipe="full", drawn=True)
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


def test_the_project_can_have_the_faces_that_are_packed_here(packed, tmp_path, monkeypatch):
    folder = tmp_path / "made"
    folder.mkdir()
    monkeypatch.setattr(project, "judged", lambda images: images)
    project.make(folder, images=20, recipe="", drawn=False)
    grown = project.grown(folder, 3)
    here, there = (packs.load("train", one / "data/03_packed") for one in (folder, grown))
    assert (len(here), len(there)) == (20, 60)
    assert np.array_equal(there.images, np.concatenate([here.images] * 3))
    assert np.array_equal(there.labels, np.tile(here.labels, 3))


def test_more_faces_than_are_packed_are_refused(packed, tmp_path):
    here = len(packs.load("train"))
    said = rf"^{here + 1} faces of train are asked for, data/03_packed has {here}$"
    folder = tmp_path / "made"
    folder.mkdir()
    with pytest.raises(UserError, match=said):
        project.make(folder, images=here + 1, recipe="", drawn=False)


def test_the_usual_way_changes_faces_by_a_layer_for_each_amount():
    from unveil.benchmarks.training import baseline

    assert baseline.layers(STILL) == []
    every = Augmentation(
        flip=True, rotation=0.1, shift=0.1, zoom=0.1, contrast=0.1, blur=0.1, erasing=0.1
    )
    assert len(baseline.layers(every)) == 7


def test_operations_of_a_graph_are_counted():
    import keras
    import tensorflow as tf

    from unveil.benchmarks.training import peak

    square = tf.TensorSpec((10, 10))
    assert peak.operations(lambda one: tf.matmul(one, one), square) == 2 * 10**3
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, padding="same", use_bias=False)]
    )
    assert peak.operations(network, tf.TensorSpec((2, 8, 8, 3))) == 2 * 2 * 64 * 27 * 5
    assert peak.measured(side=64, repeats=2) > 1e6


def test_the_quickest_epoch_counts():
    rows = [{"seconds": 2.0, "cpu": 1.0}, {"seconds": 1.0, "cpu": 3.0}]
    assert turns.best(rows)["cpu"] == 3.0


def test_a_way_that_ends_is_named_with_its_last_words(place):
    with turns.crew(place, ["usual"]) as ways, pytest.raises(UserError) as ended:
        ways["usual"].begin("cnn3_gray", epochs=1)
    assert "learning the way 'usual' ended: " in str(ended.value)
    assert "pictures/train" in str(ended.value)


def test_a_way_builds_its_network_in_the_precision_it_is_asked_for(packed):
    from unveil.benchmarks.training import own
    from unveil.training.loop import Course

    loaded = toy("cnn3_gray")
    for precision in ("bfloat16", "float32"):
        with own._course(Course, "cnn3_gray", loaded, lambda row: None, precision) as course:
            assert course.network.get_layer("block1_conv1").compute_dtype == precision


def test_a_table_has_a_line_for_each_row():
    assert report.markdown(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"


@pytest.mark.slow
def test_all_tables_are_measured(place):
    plan = report.Plan(images=64, epochs=1, repeats=1, recipe="", drawn=True)
    opening, usual, peak, frozen, rows = report.pages(["cnn5_small_gray", "efficientnet"], plan)
    assert "64 drawn faces" in opening
    for page in (usual, peak):
        assert page.count("\n| `") == 2
    assert frozen.count("\n| `") == 1
    assert rows.count("\n| ") == 2 + len(report.TIMES)
    assert [path.name for path in place.iterdir()] == ["params.yaml"]
    print(json.dumps([opening, usual, peak, frozen, rows], indent=2))
    assert not list(Path().glob("*.npz"))
