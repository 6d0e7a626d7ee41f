"""The gate, on a real MLflow registry: one goes through, and each refusal has its own reason."""

import dataclasses
import json
import shutil
import uuid

import keras
import numpy as np
import pandas as pd
import pytest

from unveil import params, promote, registry
from unveil.errors import UserError
from unveil.files import write_json
from unveil.paths import COMPARISON, MODELS, PROMOTION, TRACKING, VERDICT
from unveil.registry import runs


def quadrants(sharpness: float) -> keras.Model:
    """A network that finds the bright quarter; at 0 it knows nothing, below 0 it is wrong."""
    faces = keras.Input((48, 48, 1), dtype="uint8")
    small = keras.layers.AveragePooling2D(24)(keras.layers.Rescaling(1 / 255)(faces))
    flat = keras.layers.Flatten(name="features")(small)
    end = keras.layers.Dense(4, "softmax", name="probabilities")
    network = keras.Model(faces, end(flat))
    end.set_weights([sharpness * np.eye(4, dtype="float32"), np.zeros(4, "float32")])
    return network


def trained(key: str, network: keras.Model, loaded: params.Params) -> None:
    folder = MODELS / key
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    network.save(folder / "model.keras")
    row = {"epoch": 0, "stage": 1, "seconds": 0.5, "timestamp": 1, "val_macro_f1": 0.5}
    pd.DataFrame([row]).to_csv(folder / "history.csv", index=False)
    write_json(folder / "run.json", runs.described(key, loaded, uuid.uuid4().hex))


def compared(key: str, macro_f1: float) -> None:
    report = {"test": {"macro_f1": {"value": macro_f1}}}
    write_json(COMPARISON, {"ranking": [key], "reports": {key: report}})


@pytest.fixture
def loaded(packed) -> params.Params:
    write_json(VERDICT, {"passed": True})
    return params.load()


@pytest.fixture
def champion(loaded) -> params.Params:
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    assert promote.promote(loaded).promoted
    return loaded


def reason(loaded: params.Params) -> str:
    before = registry.champion()
    decision = promote.promote(loaded)
    assert not decision.promoted
    assert registry.champion() == before
    assert json.loads(PROMOTION.read_text())["reason"] == decision.reason
    return decision.reason


def test_the_first_candidate_becomes_champion_reloads_and_predicts_the_same(champion, place):
    version = registry.champion()
    assert (version.number, version.architecture) == ("1", "cnn3")
    assert version.classes == champion.classes
    faces = np.load("data/03_packed/test.npz")["images"]
    expected = quadrants(20.0).predict(faces, verbose=0)
    assert np.allclose(registry.load(version).predict(faces, verbose=0), expected, atol=1e-6)


def test_a_better_candidate_takes_the_place(loaded):
    trained("cnn3", quadrants(-20.0), loaded)
    compared("cnn3", 0.0)
    assert promote.promote(loaded).promoted
    trained("cnn4", quadrants(20.0), loaded)
    compared("cnn4", 1.0)
    decision = promote.promote(loaded)
    assert (decision.promoted, decision.version, decision.previous) == (True, "2", "1")
    assert decision.champion_macro_f1 < decision.macro_f1
    assert registry.champion().architecture == "cnn4"


def test_the_champion_itself_is_not_promoted_again(champion):
    assert reason(champion) == "it is the champion already"


@pytest.mark.parametrize(("sharpness", "score"), [(20.0, 1.0), (-20.0, 0.0)])
def test_an_equal_or_worse_candidate_is_refused(champion, sharpness, score):
    trained("cnn4", quadrants(sharpness), champion)
    compared("cnn4", score)
    assert "not better than the champion on the same images" in reason(champion)


def test_data_that_was_never_validated_or_failed_is_refused(loaded):
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    write_json(VERDICT, {"passed": False})
    assert reason(loaded) == "the data did not pass validation"
    VERDICT.unlink()
    assert reason(loaded) == "the data was never validated"


def test_weights_that_are_not_finite_are_refused(loaded):
    trained("cnn3", quadrants(float("nan")), loaded)
    compared("cnn3", 1.0)
    assert reason(loaded) == "a weight is not finite"


def test_a_report_that_cannot_be_reproduced_is_refused(loaded):
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 0.9)
    assert "does not reproduce its report: 1.0000 instead of 0.9000" in reason(loaded)


def test_a_champion_of_other_classes_cannot_be_compared(champion):
    other = dataclasses.replace(champion, classes=("a", "b", "c", "d"))
    trained("cnn4", quadrants(20.0), other)
    compared("cnn4", 1.0)
    assert "it knows happy, neutral, sad, surprise at 48 pixels" in reason(other)


def test_a_champion_whose_files_are_gone_is_named(champion):
    for path in (TRACKING / "artifacts").rglob("model.keras"):
        path.unlink()
    with pytest.raises(UserError, match="models:/facial-emotion/1 cannot be loaded"):
        registry.load(registry.champion())


def test_a_server_that_never_saw_the_training_is_given_the_network(champion, place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    assert registry.champion() is None
    decision = promote.promote(champion)
    assert (decision.promoted, decision.version) == (True, "1")


def test_an_unreachable_server_is_one_line(loaded, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"MLflow at http://127\.0\.0\.1:9") as raised:
        registry.champion()
    assert "\n" not in str(raised.value)
