"""Promotion on a real MLflow server, from the first champion to a rollback."""

import shutil
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.candidates import compared, quadrants, score, trained

from unveil import registry
from unveil.common.files import write_json
from unveil.common.paths import VALIDATION
from unveil.config import params
from unveil.promotion import promote


@pytest.fixture
def artifacts(packed, tables, tmp_path, monkeypatch) -> Path:
    """The artifact folder of the server."""
    write_json(VALIDATION, {"passed": True})
    (tmp_path / "server").mkdir()
    shutil.copy(tables, tmp_path / "server/mlflow.db")
    with servers.mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        yield tmp_path / "server/artifacts"


def tried(key: str, network, *, force: str | None = None) -> promote.Decision:
    """Train, compare and promote a candidate; return the decision."""
    loaded = params.load()
    trained(key, network, loaded)
    compared(key, score(network))
    return promote.promote(loaded, force=force)


def test_each_candidate_is_refused_for_its_own_reason_and_a_rollback_restores(
    artifacts, monkeypatch
):
    assert tried("cnn3", quadrants(-20.0), force="to have one that is beaten").version == "1"
    assert tried("cnn4", quadrants(20.0)).version == "2"
    refusals = {
        "worse than the champion": quadrants(-20.0),
        "a tie with the champion": quadrants(30.0),
        "a weight is not finite": quadrants(float("nan")),
    }
    for expected, network in refusals.items():
        decision = tried("cnn5_gray", network)
        assert (decision.act, decision.reason[: len(expected)]) == ("refused", expected)
    assert registry.champion().number == registry.aliased_version() == "2"
    assert promote.rollback().version == registry.aliased_version() == "1"
    register = registry.register

    def while_another_is_promoted(key):
        version = register(key)
        registry.set_champion(
            version, after=registry.champion_record(), act="promoted", reason="by another"
        )
        return version

    with monkeypatch.context() as patched:
        patched.setattr(registry, "register", while_another_is_promoted)
        stale = tried("cnn4", quadrants(25.0))
    assert stale.reason == (
        "version 3 was promoted meanwhile; the candidate was compared with another champion"
    )
    tampered = max(artifacts.rglob("model.keras"), key=lambda path: path.stat().st_mtime)
    tampered.write_bytes(b"")
    expected = "models:/facial-emotion/3 cannot be loaded: data/model.keras is empty"
    assert tried("cnn3_gray", quadrants(35.0)).reason == expected
    assert promote.rollback().version == registry.aliased_version() == "1"
    assert tried("cnn3_gray", quadrants(35.0)).version == registry.aliased_version() == "4"
