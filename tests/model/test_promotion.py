"""Promotion checks on a real MLflow registry: promotion, and each refusal with its reason."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import typer
from tests.conftest import rows
from tests.support.candidates import compared, distracted, quadrants, score, trained

from unveil import registry
from unveil.cli import champion as verbs
from unveil.common.errors import UserError
from unveil.common.files import sha256, write_json
from unveil.common.paths import BUNDLE, MODELS, PACKED, PROMOTION, PROMOTIONS, TRACKING, VALIDATION
from unveil.config import params
from unveil.config.schema import Slicing
from unveil.data import real_or_synthetic
from unveil.export import export, parity
from unveil.inference import bundle
from unveil.promotion import promote


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


def test_a_better_candidate_becomes_champion(loaded):
    trained("cnn3", distracted(400), loaded)
    compared("cnn3", score(distracted(400)))
    assert promote.promote(loaded).promoted
    trained("cnn4", quadrants(20.0), loaded)
    compared("cnn4", 1.0)
    decision = promote.promote(loaded)
    assert (decision.promoted, decision.version, decision.previous) == (True, "2", "1")
    numbers = decision.numbers()
    assert numbers["champion_macro_f1"] < numbers["macro_f1"]
    assert registry.champion().architecture == "cnn4"


@pytest.mark.parametrize("kept", ["promotions", "bundle"])
def test_a_database_without_an_earlier_promotion_gets_no_first_champion(
    champion, place, tables, capsys, kept
):
    served = bundle.load(BUNDLE).digest
    shutil.copy(tables, TRACKING / "mlflow.db")
    if kept == "bundle":
        PROMOTIONS.unlink()
    trained("cnn4", distracted(400), champion)
    compared("cnn4", score(distracted(400)))
    message = reason(champion)
    assert message.startswith("version 1, ")
    assert "does not have it: set MLFLOW_TRACKING_URI to the server or database that" in message
    assert bundle.load(BUNDLE).digest == served
    with pytest.raises(typer.Exit):
        verbs.champion()
    assert capsys.readouterr().out.strip() == message
    decision = promote.promote(champion, force="the old database is lost")
    assert (decision.act, decision.fault) == ("forced", "")
    assert registry.champion().architecture == "cnn4"


@pytest.mark.parametrize("kept", ["promotions and bundle", "bundle", "bundle and version"])
def test_the_installed_network_itself_is_no_first_champion_of_another_mlflow(
    champion, tables, kept
):
    served = bundle.load(BUNDLE).digest
    shutil.copy(tables, TRACKING / "mlflow.db")
    if kept != "promotions and bundle":
        PROMOTIONS.unlink()
    if kept == "bundle and version":
        assert registry.register("cnn3").number == "1"
    assert reason(champion).startswith("version 1, cnn3, ")
    assert bundle.load(BUNDLE).digest == served
    assert promote.promote(champion, force="the old database is lost").act == "forced"


def test_another_network_with_the_same_version_number_is_not_the_promoted_one(champion, tables):
    shutil.copy(tables, TRACKING / "mlflow.db")
    trained("cnn4", distracted(400), champion)
    version = registry.register("cnn4")
    record = registry.champion_record()
    registry.set_champion(version, after=record, act="promoted", reason="by another team")
    compared("cnn3", 1.0)
    assert registry.champion().number == bundle.load(BUNDLE).version == "1"
    message = "version 1, cnn3, in data/07_bundle, was promoted, but"
    assert reason(champion).startswith(message)
    assert bundle.load(BUNDLE).card.architecture == "cnn3"
    assert promote.promote(champion, force="to join them").version == "2"


def two_classes() -> keras.Model:
    """A network that predicts happy for every class but surprise: macro-F1 0.375."""
    network = quadrants(20.0)
    weights = 20 * np.eye(4, dtype="float32")
    weights[:3] = weights[:3].sum(0) * np.array([1, 0, 0, 0])
    weights[:3, 0], weights[3, 3] = 20.0, 30.0
    network.layers[-1].set_weights([weights, np.array([0, 0, 0, 5], "float32")])
    return network


def test_a_first_candidate_at_chance_level_is_refused(loaded):
    trained("cnn3", quadrants(0.0), loaded)
    compared("cnn3", 0.1)
    assert reason(loaded) == (
        "macro-F1 0.100 [0.100, 0.100] is not significantly better than chance: random guessing "
        "reaches 0.250, always predicting happy 0.100"
    )


def test_a_first_candidate_below_the_floor_is_refused_and_can_be_forced(loaded):
    trained("cnn3", two_classes(), loaded)
    found = score(two_classes())
    assert 0.3 < found < 0.45
    compared("cnn3", found)
    expected = (
        f"macro-F1 {found:.3f} [{found:.3f}, {found:.3f}] is below 0.497, the promotion.floor"
    )
    assert reason(loaded) == f"{expected} of 4 classes"
    low = dataclasses.replace(loaded.promotion, floor=0.1)
    assert promote.promote(dataclasses.replace(loaded, promotion=low), dry_run=True).act == (
        "would be promoted"
    )
    decision = promote.promote(loaded, force="to try the server")
    assert (decision.act, decision.version) == ("forced", "1")
    assert decision.numbers()["floor"] == pytest.approx(0.4975)


def make_the_packed_faces_synthetic() -> None:
    """Give the packed training faces the names of the synthetic sample."""
    table = pd.read_parquet(PACKED / "train.parquet")
    table["member"] = [f"sample/train/sad/train_sad_{one:04}.png" for one in range(len(table))]
    table.to_parquet(PACKED / "train.parquet")


def test_a_network_trained_on_synthetic_faces_replaces_one_of_real_faces_only_if_forced(loaded):
    trained("cnn3", distracted(400), loaded)
    compared("cnn3", score(distracted(400)))
    assert promote.promote(loaded).promoted
    assert registry.champion().faces == real_or_synthetic.REAL
    make_the_packed_faces_synthetic()
    trained("cnn4", quadrants(20.0), loaded)
    compared("cnn4", 1.0)
    assert reason(loaded) == (
        "it was trained on synthetic faces, but the champion, version 1, on: faces of real pictures"
    )
    assert promote.promote(loaded, force="to show it at a fair").act == "forced"
    assert registry.champion().faces == real_or_synthetic.DRAWN
    assert export.champion().lineage["data"] == real_or_synthetic.DRAWN


def test_a_champion_trained_on_synthetic_faces_can_be_replaced_by_any_network(loaded):
    make_the_packed_faces_synthetic()
    for key, network in (("cnn3", distracted(400)), ("cnn4", quadrants(20.0))):
        trained(key, network, loaded)
        compared(key, score(network))
        assert promote.promote(loaded).promoted
        assert registry.champion().faces == real_or_synthetic.DRAWN


def test_a_training_without_a_recorded_source_has_that_of_the_packed_faces(champion):
    make_the_packed_faces_synthetic()
    trained("cnn4", quadrants(30.0), champion)
    path = MODELS / "cnn4/run.json"
    made = json.loads(path.read_text())
    del made["tags"]["faces"]
    write_json(path, made)
    compared("cnn4", 1.0)
    assert "it was trained on synthetic faces, but the champion, version 1, on" in reason(champion)


def test_the_champion_itself_is_not_promoted_again(champion):
    before = registry.champion()
    assert promote.promote(champion).reason == "it is already the champion"
    assert registry.champion() == before


def test_an_equal_candidate_is_refused_as_a_tie(champion):
    trained("cnn4", quadrants(20.0), champion)
    compared("cnn4", 1.0)
    assert reason(champion) == (
        "a tie with the champion on the same 24 images: +0.000 macro-F1, "
        "95 % interval [+0.000, +0.000]"
    )


def test_a_worse_candidate_is_refused_with_the_difference(champion):
    trained("cnn4", quadrants(-20.0), champion)
    compared("cnn4", 0.0)
    assert reason(champion).startswith("worse than the champion on the same 24 images: -1.000")


def test_a_lead_within_its_interval_is_a_tie(loaded):
    for key, weight in (("cnn3", 150), ("cnn4", 70)):
        trained(key, distracted(weight), loaded)
        compared(key, score(distracted(weight)))
        if key == "cnn3":
            assert promote.promote(loaded).promoted
    assert 0.5 < score(distracted(150)) < score(distracted(70)) < 1
    assert "a tie with the champion on the same 24 images: +0.0" in reason(loaded)


def test_data_that_was_never_validated_or_failed_is_refused(loaded):
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    write_json(VALIDATION, {"passed": False})
    assert reason(loaded) == "the data failed validation"
    VALIDATION.unlink()
    assert reason(loaded) == "the data has not been validated"


def test_weights_that_are_not_finite_are_refused(loaded):
    trained("cnn3", quadrants(float("nan")), loaded)
    compared("cnn3", 1.0)
    assert reason(loaded) == "a weight is not finite"


def test_a_report_that_cannot_be_reproduced_is_refused(loaded):
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 0.9)
    assert "does not reproduce its report: macro-F1 1.000, reported 0.900" in reason(loaded)


def test_a_champion_of_other_classes_cannot_be_compared(champion):
    other = dataclasses.replace(champion, classes=("a", "b", "c", "d"))
    trained("cnn4", quadrants(20.0), other)
    compared("cnn4", 1.0)
    assert "it has happy, neutral, sad, surprise at 48 pixels" in reason(other)


def altered(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path) -> None:
    path.write_bytes(b"")


def joined(path) -> None:
    path.with_name("more.py").write_text("import os")


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (Path.unlink, "data/model.keras is missing"),
        (emptied, "data/model.keras is empty"),
        (truncated, "data/model.keras was altered"),
        (altered, "data/model.keras was altered"),
        (joined, "data/more.py was added"),
    ],
)
@pytest.mark.fault("champion's artefact tampered")
def test_a_champion_with_altered_files_is_named_and_blocks_the_comparison(
    champion, tamper, expected
):
    (path,) = (TRACKING / "artifacts").rglob("model.keras")
    tamper(path)
    fault = f"models:/facial-emotion/1 cannot be loaded: {expected}"
    with pytest.raises(UserError, match=fault):
        registry.load(registry.champion())
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    assert fault in reason(champion)
    decision = promote.promote(champion, force="the champion is damaged")
    assert (decision.act, decision.version, decision.previous) == ("forced", "2", "1")
    assert fault in decision.reason
    with pytest.raises(UserError, match=fault):
        promote.rollback()
    assert registry.champion().number == registry.aliased_version() == "2"


@pytest.mark.fault("champion's artefacts deleted")
def test_a_champion_without_files_is_named(champion):
    shutil.rmtree(TRACKING / "artifacts")
    with pytest.raises(UserError, match="models:/facial-emotion/1 cannot be loaded: "):
        registry.load(registry.champion())


@pytest.mark.fault("champion's artefact and digests tampered")
def test_digests_that_were_changed_with_the_file_are_refused(champion):
    (path,) = (TRACKING / "artifacts").rglob("model.keras")
    known = json.loads(registry.champion().digests)
    altered(path)
    tag = json.dumps(known | {"data/model.keras": sha256(path)}, sort_keys=True)
    registry.connect().set_model_version_tag(registry.NAME, "1", "sha256", tag)
    with pytest.raises(UserError, match="its digests differ from those at its promotion"):
        registry.load(registry.champion())


@pytest.mark.fault("challenger's artefact altered in the registry")
def test_a_candidate_with_a_different_registered_copy_is_refused(champion):
    trained("cnn4", quadrants(30.0), champion)
    registry.publish("cnn4")
    newest = max((TRACKING / "artifacts").rglob("model.keras"), key=lambda one: one.stat().st_mtime)
    quadrants(10.0).save(newest)
    compared("cnn4", 1.0)
    before = registry.champion()
    decision = promote.promote(champion, force="to get by the tie")
    assert decision.reason == "version 2 in MLflow has different weights"
    assert registry.champion() == before


def test_a_champion_of_an_older_unveil_without_digests_is_refused_for_comparison(champion):
    registry.connect().delete_model_version_tag(registry.NAME, "1", "sha256")
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    assert "it has no digests of its files" in reason(champion)


def test_a_report_about_another_network_or_other_images_is_refused(loaded):
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    trained("cnn3", quadrants(21.0), loaded)
    assert "its report does not match data/04_models/cnn3/model.keras" in reason(loaded)
    compared("cnn3", 1.0)
    with (PACKED / "test.npz").open("ab") as file:
        file.write(b" ")
    assert "its report does not match data/03_packed/test.npz" in reason(loaded)


@pytest.mark.fault("champion swapped during a promotion")
def test_a_candidate_compared_with_a_former_champion_is_refused(champion, monkeypatch):
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    register = registry.register

    def while_another_is_promoted(key):
        version = register(key)
        registry.set_champion(
            version, after=registry.champion_record(), act="forced", reason="by another"
        )
        return version

    monkeypatch.setattr(registry, "register", while_another_is_promoted)
    decision = promote.promote(champion, force="to get by the tie")
    assert decision.act == "refused"
    assert decision.reason == (
        "version 2 was forced meanwhile; the candidate was compared with another champion"
    )


def marked(loaded: params.Params) -> params.Params:
    """Many faces: a tenth with a bright point and ``glasses``, a third with another point."""
    generator = np.random.default_rng(5)
    for name in ("train", "test"):
        labels = np.arange(240) % 4
        images = generator.integers(0, 90, (240, 48, 48, 1)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24] += 120
            image[23, 22:24] = image[:24, :24].mean()
        glasses = np.arange(240) // 4 % 10 == 0
        images[glasses, 23, 23] = 255
        images[np.arange(240) // 4 % 3 == 1, 23, 22] = 255
        np.savez(PACKED / f"{name}.npz", images=images, labels=labels)
        table = rows(name, images, labels).assign(glasses=np.where(glasses, "yes", "no"))
        table.to_parquet(PACKED / f"{name}.parquet")
    return dataclasses.replace(loaded, slices=Slicing(min_images=20, min_class_images=5))


def test_a_better_candidate_that_fails_a_group_is_refused_by_its_worst_slice(loaded):
    many = marked(loaded)
    trained("cnn3", distracted(80, at=(23, 22)), many)
    compared("cnn3", score(distracted(80, at=(23, 22))))
    assert promote.promote(many).promoted
    trained("cnn4", distracted(80), many)
    compared("cnn4", score(distracted(80)))
    output = reason(many)
    assert output.startswith("its worst slice, glasses=yes, has macro-F1 0.1")
    assert "more than 0.05 below the champion's worst, " in output
    lead = [json.loads(line) for line in PROMOTIONS.read_text().splitlines()][-1]["lead_low"]
    assert lead > 0
    lenient = dataclasses.replace(many.promotion, slice_tolerance=1.0)
    assert promote.promote(dataclasses.replace(many, promotion=lenient)).promoted


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"size": 1e-6}, r"the exported network is 0\.00\d+ MB, over the budget of 1e-06"),
        (
            {"latency": 1e-6},
            r"latency per face on one core is [\d.e-]+ ms, over the budget of 1e-06",
        ),
    ],
)
def test_a_candidate_over_a_budget_is_refused_with_the_measured_value(loaded, budget, expected):
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    tight = dataclasses.replace(loaded.promotion, **budget)
    assert re.fullmatch(expected, reason(dataclasses.replace(loaded, promotion=tight)))


def test_a_candidate_whose_export_predicts_differently_is_refused(loaded, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    assert "model.onnx does not reproduce the Keras model" in reason(loaded)


def test_a_candidate_that_fails_a_prerequisite_cannot_be_forced(loaded):
    trained("cnn3", quadrants(float("nan")), loaded)
    compared("cnn3", 1.0)
    decision = promote.promote(loaded, force="now")
    assert (decision.act, decision.reason) == ("refused", "a weight is not finite")
    assert registry.champion() is None


def test_a_dry_run_runs_the_checks_and_changes_nothing(champion):
    trained("cnn4", quadrants(-20.0), champion)
    compared("cnn4", 0.0)
    before, written = registry.champion_record(), PROMOTIONS.read_text()
    decision = promote.promote(champion, dry_run=True)
    assert (decision.act, decision.promoted) == ("refused", False)
    assert promote.promote(champion, dry_run=True, force="so").act == "would be forced"
    assert (registry.champion_record(), PROMOTIONS.read_text()) == (before, written)
    assert registry.find_version("2") is None


def test_a_rollback_restores_the_previous_champion_and_the_next_goes_further_back(champion):
    for key, sharpness in (("cnn4", 30.0), ("cnn5_gray", 40.0)):
        trained(key, quadrants(sharpness), champion)
        compared(key, 1.0)
        assert promote.promote(champion, force="newer").promoted
    assert registry.champion_record().predecessors == ("1", "2")
    with pytest.raises(UserError, match="unknown former champion '3'; choose from 2, 1"):
        promote.rollback("3")
    first = promote.rollback(reason="it angers the users")
    assert (first.version, first.previous, first.candidate) == ("2", "3", "cnn4")
    assert registry.champion().architecture == "cnn4"
    assert promote.rollback().version == registry.aliased_version() == "1"
    with pytest.raises(UserError, match="nothing to roll back to"):
        promote.rollback()


def test_the_installed_bundle_is_the_champions_after_a_promotion_and_a_rollback(champion):
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    verbs.promote(force=True, reason="newer")
    assert (bundle.load(BUNDLE).card.architecture, registry.aliased_version()) == ("cnn4", "2")
    verbs.rollback()
    assert (bundle.load(BUNDLE).card.architecture, registry.aliased_version()) == ("cnn3", "1")


@pytest.mark.fault("a champion that cannot be exported any more")
def test_a_rollback_needs_no_export(champion, monkeypatch):
    before = bundle.load(BUNDLE).digest
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    assert promote.promote(champion, force="newer").promoted
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    verbs.rollback()
    assert bundle.load(BUNDLE).digest == before
    assert registry.champion().number == registry.aliased_version() == "1"


def test_a_champion_deleted_from_mlflow_is_named_and_can_be_rolled_back(champion):
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    assert promote.promote(champion, force="newer").promoted
    registry.connect().delete_model_version(registry.NAME, "2")
    with pytest.raises(UserError, match="models:/facial-emotion/2 is champion but no longer in"):
        registry.champion()
    assert promote.rollback().version == "1"
    assert registry.champion().number == registry.aliased_version() == "1"


def test_every_decision_is_logged_as_a_line_and_a_run_with_its_numbers(champion):
    trained("cnn4", quadrants(-20.0), champion)
    compared("cnn4", 0.0)
    promote.promote(champion)
    promote.promote(champion, force="it is smaller")
    promote.rollback(reason="no, it is not")
    lines = [json.loads(line) for line in PROMOTIONS.read_text().splitlines()]
    acts = ["promoted", "refused", "forced", "rolled back"]
    assert [line["act"] for line in lines] == acts
    client = registry.connect()
    experiment = client.get_experiment_by_name("facial-emotion-promotions").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    assert [run.data.tags["act"] for run in runs] == acts
    assert runs[1].data.metrics["lead"] == lines[1]["lead"] == pytest.approx(-1)
    assert runs[1].data.metrics["champion_macro_f1"] == 1
    kept = [mlflow.artifacts.load_text(f"{run.info.artifact_uri}/decision.json") for run in runs]
    assert [json.loads(text) for text in kept] == lines
    assert runs[2].data.tags["version"] == "2"
    assert runs[2].data.tags["mlflow.note.content"].startswith("it is smaller (despite: worse than")


def test_a_server_without_the_training_receives_the_network(champion, place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    assert registry.champion() is None
    decision = promote.promote(champion, force="the server is a new one")
    assert (decision.promoted, decision.version) == (True, "1")


def test_an_unreachable_server_is_one_line(loaded, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"MLflow at http://127\.0\.0\.1:9") as raised:
        registry.champion()
    assert "\n" not in str(raised.value)


def test_champion_prints_the_champion_and_the_reason_and_repairs_the_alias(champion, capsys):
    registry.connect().delete_registered_model_alias(registry.NAME, "champion")
    verbs.champion()
    output = capsys.readouterr().out
    assert "cnn3, version 1 of facial-emotion\npromoted 20" in output
    assert "no previous champion" in output
    assert "the MLflow alias named another version and was reset" in output
    assert "its files match the registered digests" in output
    assert registry.aliased_version() == "1"


def test_promoting_the_champion_again_keeps_the_checks_of_its_promotion(champion):
    before = json.loads(PROMOTION.read_text())
    assert before["promoted"] and before["checks"]
    again = promote.promote(champion)
    assert (again.act, again.reason) == ("refused", "it is already the champion")
    assert again.version == before["version"]
    after = json.loads(PROMOTION.read_text())
    assert (after["act"], after["promoted"], after["version"]) == ("refused", False, "1")
    assert after["checks"] == before["checks"]
    promote.promote(champion)
    assert json.loads(PROMOTION.read_text())["checks"] == before["checks"]
    lines = [json.loads(line) for line in PROMOTIONS.read_text().splitlines()]
    assert [line["act"] for line in lines] == ["promoted", "refused", "refused"]
    PROMOTION.write_text("{")
    promote.promote(champion)
    assert json.loads(PROMOTION.read_text())["version"] == before["version"]


def test_a_rollback_to_a_version_that_was_never_champion_says_so(champion):
    with pytest.raises(UserError, match="9 is no former champion: there is none, so no rollback"):
        promote.rollback("9")


def test_the_champion_outside_a_project_is_an_error_that_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match=r"has no params\.yaml: go to the folder of a project"):
        registry.champion()
    assert list(tmp_path.iterdir()) == []
