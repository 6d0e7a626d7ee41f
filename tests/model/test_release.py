"""The installed bundle is the champion's, byte for byte, on a real MLflow registry."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import typer
from tests.conftest import rows
from tests.support import servers
from tests.support.candidates import compared, quadrants, trained

from unveil import registry
from unveil.cli import champion as verbs
from unveil.common.errors import UserError
from unveil.common.files import digests, write_json
from unveil.common.paths import BUNDLE, PACKED, TRACKING
from unveil.config import params
from unveil.export import export, parity
from unveil.inference import bundle
from unveil.promotion import promote, release
from unveil.registry.publish import training_origin
from unveil.registry.runs import runs_with_origin


@pytest.fixture
def champion(loaded) -> params.Params:
    assert forced("cnn3", quadrants(20.0), loaded).version == "1"
    return loaded


def forced(key: str, network, loaded: params.Params) -> promote.Decision:
    """Force the promotion of a candidate."""
    trained(key, network, loaded)
    compared(key, 1.0)
    return promote.promote(loaded, force="to have another")


def smaller(loaded: params.Params) -> params.Params:
    """Pack faces of 32 pixels with other classes, and return their parameters."""
    for name in ("train", "validation", "test"):
        labels = np.arange(24) % 4
        images = np.zeros((24, 32, 32, 1), np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] += 120
        np.savez(PACKED / f"{name}.npz", images=images, labels=labels)
        rows(name, images, labels).to_parquet(PACKED / f"{name}.parquet")
    data = dataclasses.replace(loaded.data, image_size=32)
    return dataclasses.replace(loaded, classes=("calm", "angry", "glad", "shy"), data=data)


def of_32_pixels() -> keras.Model:
    """The same network as the others, for faces of 32 pixels."""
    faces = keras.Input((32, 32, 1), dtype="uint8")
    small = keras.layers.AveragePooling2D(16)(keras.layers.Rescaling(1 / 255)(faces))
    flat = keras.layers.Flatten(name="features")(small)
    end = keras.layers.Dense(4, "softmax", name="probabilities")
    network = keras.Model(faces, end(flat))
    end.set_weights([20 * np.eye(4, dtype="float32"), np.zeros(4, "float32")])
    return network


def without_a_bundle(key: str, network, loaded: params.Params) -> registry.Version:
    """Set a version as champion without a stored bundle, as an older unveil did."""
    trained(key, network, loaded)
    version = registry.register(key)
    registry.set_champion(
        version, after=registry.champion_record(), act="promoted", reason="long ago"
    )
    return version


def champion_output(capsys) -> tuple[int, str]:
    """Run `unveil champion`; return its exit code and its output."""
    capsys.readouterr()
    try:
        verbs.champion()
        status = 0
    except typer.Exit as ended:
        status = ended.exit_code
    return status, "".join(capsys.readouterr())


@pytest.mark.fault("a rollback after another image size and other classes, on another machine")
def test_a_rollback_restores_each_bundle_as_promoted_on_any_machine(
    loaded, tables, tmp_path, monkeypatch, capsys
):
    (tmp_path / "server").mkdir()
    shutil.copy(tables, tmp_path / "server/mlflow.db")
    with servers.mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        assert forced("cnn3", quadrants(20.0), loaded).version == "1"
        first = digests(BUNDLE)
        assert forced("cnn4", of_32_pixels(), smaller(loaded)).version == "2"
        second = digests(BUNDLE)
        assert first != second
        verbs.rollback()
        assert (digests(BUNDLE), registry.aliased_version()) == (first, "1")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert champion_output(capsys)[0] == verbs.NOT_EXPORTED
        assert promote.rollback("2").fault == ""
        assert (digests(BUNDLE), registry.aliased_version()) == (second, "2")
        assert bundle.load(BUNDLE).classes == ("calm", "angry", "glad", "shy")
        status, output = champion_output(capsys)
        assert (status, "data/07_bundle is its bundle" in output) == (0, True)
        assert release.install(Path("copy")).folder == Path("copy")
        assert digests(Path("copy")) == second


def test_every_former_champion_can_be_restored(champion):
    assert forced("cnn4", quadrants(30.0), champion).version == "2"
    assert promote.rollback().version == "1"
    with pytest.raises(UserError, match="nothing to roll back to; `--to` takes 2"):
        promote.rollback()
    assert promote.rollback("2").previous == "1"
    assert registry.champion().number == registry.aliased_version() == "2"
    assert bundle.load(BUNDLE).version == "2"


@pytest.mark.fault("a promotion killed before servers have the new champion")
def test_a_promotion_killed_before_the_bundle_was_installed_is_detected_and_repaired(
    champion, monkeypatch, capsys
):
    def dies() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(release, "install", dies)
        with pytest.raises(KeyboardInterrupt):
            forced("cnn4", quadrants(30.0), champion)
    assert (registry.champion().number, bundle.load(BUNDLE).version) == ("2", "1")
    status, output = champion_output(capsys)
    assert status == verbs.NOT_EXPORTED
    assert "data/07_bundle has cnn3, version 1, sha256 " in output
    assert "the champion is version 2 (cnn4); `unveil export` restores" in output
    with pytest.raises(typer.Exit):
        verbs.promote()
    assert bundle.load(BUNDLE).version == "2"
    assert champion_output(capsys)[0] == 0


def test_a_manually_exported_network_is_reported_and_kept(champion, capsys):
    made = export.export(export.trained("cnn3", champion))
    status, output = champion_output(capsys)
    assert (status, "has cnn3, no version, sha256" in output) == (verbs.NOT_EXPORTED, True)
    assert release.install_if_outdated() is None
    assert bundle.load(BUNDLE).digest == made.digest


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def joined(path: Path) -> None:
    path.with_name("more.onnx").write_bytes(b"")


@pytest.mark.parametrize(
    ("tamper", "name", "expected"),
    [
        (Path.unlink, "model.onnx", "model.onnx is missing"),
        (altered, "bundle.json", "bundle.json was altered"),
        (altered, "model.int8.onnx", "model.int8.onnx was altered"),
        (joined, "model.onnx", "more.onnx was added"),
    ],
)
@pytest.mark.fault("a champion's stored bundle tampered or deleted")
def test_an_altered_stored_bundle_is_refused_before_the_champion_changes(
    champion, tamper, name, expected
):
    (path,) = (TRACKING / "artifacts").rglob(name)
    tamper(path)
    assert forced("cnn4", quadrants(30.0), champion).version == "2"
    fault = f"the bundle of models:/facial-emotion/1 cannot be restored: {expected}"
    with pytest.raises(UserError, match=fault) as refused:
        promote.rollback()
    assert "\n" not in str(refused.value)
    assert (
        registry.champion().number
        == registry.aliased_version()
        == bundle.load(BUNDLE).version
        == "2"
    )


def test_a_lost_stored_bundle_is_stored_again_from_the_installed_one(champion):
    shutil.rmtree(next((TRACKING / "artifacts").rglob("bundle.json")).parent)
    version = registry.champion()
    with pytest.raises(UserError, match="cannot be restored"), registry.stored_bundle(version):
        pass
    before = digests(BUNDLE)
    release.ensure_bundle(version)
    (BUNDLE / "model.onnx").unlink()
    assert release.install().digest == before["bundle.json"]
    assert digests(BUNDLE) == before


def test_altered_tags_do_not_change_the_installed_bundle(champion):
    before = digests(BUNDLE)
    client = registry.connect()
    client.set_model_version_tag(registry.NAME, "1", "bundle", '{"bundle.json": "0"}')
    (BUNDLE / "bundle.json").unlink()
    release.install()
    assert digests(BUNDLE) == before
    client.set_model_version_tag(registry.NAME, "1", "classes", '["sad", "happy", "a", "b"]')
    with pytest.raises(UserError, match="its tag says classes sad, happy, a, b, its file happy"):
        registry.load(registry.champion())


def test_a_network_that_cannot_be_exported_does_not_become_champion(loaded, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    decision = forced("cnn3", quadrants(20.0), loaded)
    assert decision.act == "refused"
    assert "it cannot be exported: model.onnx does not reproduce the Keras model" in decision.reason
    assert registry.champion() is None
    assert not BUNDLE.exists()


def test_a_full_disk_keeps_the_new_champion_and_is_reported(champion, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise UserError("data/07_bundle cannot be written: no space left on device")

    monkeypatch.setattr(release, "install", full)
    trained("cnn4", quadrants(30.0), champion)
    compared("cnn4", 1.0)
    with pytest.raises(typer.Exit) as ended:
        verbs.promote(force=True, reason="newer")
    assert ended.value.exit_code == verbs.NOT_EXPORTED
    assert "not exported: data/07_bundle cannot be written" in capsys.readouterr().err
    assert (registry.aliased_version(), bundle.load(BUNDLE).version) == ("2", "1")


def test_a_champion_of_an_older_unveil_is_exported_once_and_then_stored(loaded, capsys):
    version = without_a_bundle("cnn3", quadrants(20.0), loaded)
    assert champion_output(capsys)[0] == verbs.NOT_EXPORTED
    export.export(export.champion())
    status, output = champion_output(capsys)
    assert (status, "MLflow has no copy of the bundle" in output) == (0, True)
    release.install()
    status, output = champion_output(capsys)
    assert (status, "MLflow has a copy of the bundle" in output) == (0, True)
    without_a_bundle("cnn4", quadrants(30.0), loaded)
    before = digests(BUNDLE)
    assert promote.rollback().version == version.number == "1"
    assert digests(BUNDLE) == before


def test_a_version_that_cannot_be_restored_or_exported_is_refused_with_the_reason(loaded):
    without_a_bundle("cnn3", quadrants(20.0), loaded)
    without_a_bundle("cnn4", quadrants(30.0), loaded)
    smaller(loaded)
    with pytest.raises(UserError, match="without a bundle, and none can be made now: cnn3 takes"):
        promote.rollback()
    assert registry.champion().number == registry.aliased_version() == "2"


def reported() -> Path:
    """Write a candidate's report with its own threshold; return its path."""
    report = Path("data/05_reports/architectures/cnn3/metrics.json")
    model = digests(Path("data/04_models/cnn3"))["model.keras"]
    calibration = {"temperature": 1.5, "abstain_below": 0.8}
    score = {"macro_f1": {"value": 1.0, "low": 0.9, "high": 1.0}, "images": 24}
    content = {"model_digest": model, "calibration": calibration, "epochs": 1, "test": score}
    write_json(report, content)
    return report


@pytest.fixture
def published_report(loaded) -> Path:
    """The published report of a candidate that can be promoted."""
    trained("cnn3", quadrants(20.0), loaded)
    compared("cnn3", 1.0)
    report = reported()
    registry.publish("cnn3")
    return report


def test_a_report_altered_in_mlflow_is_not_used(published_report):
    version = registry.register("cnn3")
    assert training_origin(Path("data/04_models/cnn3")) == version.origin
    assert registry.version_report(version)["calibration"]["abstain_below"] == 0.8
    (kept,) = (TRACKING / "artifacts").rglob("metrics.json")
    kept.write_text(kept.read_text().replace("0.8", "0.1"))
    with pytest.raises(UserError, match=r"report/metrics\.json of version 1 was altered"):
        registry.version_report(version)


@pytest.mark.fault("a published report deleted from MLflow")
def test_a_report_deleted_from_mlflow_is_published_again_by_a_promotion(published_report, loaded):
    (kept,) = (TRACKING / "artifacts").rglob("metrics.json")
    shutil.rmtree(kept.parent)
    assert promote.promote(loaded).promoted
    assert kept.read_bytes() == published_report.read_bytes()
    assert bundle.load(BUNDLE).thresholds == (0.8,) * 4


@pytest.mark.fault("a champion's report deleted from MLflow")
def test_a_report_deleted_from_mlflow_is_restored_when_its_version_is_exported(published_report):
    version = registry.register("cnn3")
    (kept,) = (TRACKING / "artifacts").rglob("metrics.json")
    kept.unlink()
    assert export.registered(version).calibration["abstain_below"] == 0.8
    assert kept.read_bytes() == published_report.read_bytes()


@pytest.mark.fault("a published report deleted from MLflow and from the project")
@pytest.mark.parametrize("lose", [Path.unlink, lambda path: write_json(path, {"of": "another"})])
def test_a_report_lost_everywhere_refuses_the_promotion(published_report, loaded, lose):
    (kept,) = (TRACKING / "artifacts").rglob("metrics.json")
    kept.unlink()
    lose(published_report)
    decision = promote.promote(loaded)
    (run,) = runs_with_origin(registry.connect(), training_origin(Path("data/04_models/cnn3")))
    assert (decision.act, "\n" in decision.reason) == ("refused", False)
    missing = f"report/metrics.json of run {run.info.run_id}, version 1, is missing in MLflow"
    assert missing in decision.reason
    remedy = f"{published_report} is missing or differs from it: restore the artifact, or run"
    assert remedy in decision.reason
    assert not BUNDLE.exists()


@pytest.mark.parametrize(
    ("tag", "text"),
    [("classes", "happy, sad"), ("classes", "7"), ("image_size", "large"), ("image_size", "[]")],
)
def test_a_malformed_tag_is_reported_with_its_version(champion, tag, text):
    registry.connect().set_model_version_tag(registry.NAME, "1", tag, text)
    with pytest.raises(UserError, match=f"{registry.NAME}/1 has the tag {tag} .* correct the tag"):
        registry.champion()
