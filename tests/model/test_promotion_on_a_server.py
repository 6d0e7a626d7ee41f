"""The gate on a real MLflow server, from the first champion to a rollback, in one go."""

import shutil
from pathlib import Path

import pytest
from tests.support import servers
from tests.support.candidates import compared, quadrants, score, trained

from unveil import registry
from unveil.common.files import write_json
from unveil.common.paths import VERDICT
from unveil.config import params
from unveil.promotion import promote


@pytest.fixture
def artifacts(packed, tables, tmp_path, monkeypatch) -> Path:
    """Where the server that is asked keeps its files."""
    write_json(VERDICT, {"passed": True})
    (tmp_path / "server").mkdir()
    shutil.copy(tables, tmp_path / "server/mlflow.db")
    with servers.mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        yield tmp_path / "server/artifacts"


def tried(key: str, network, *, force: str | None = None) -> promote.Decision:
    """What becomes of a candidate."""
    loaded = params.load()
    trained(key, network, loaded)
    compared(key, score(network))
    return promote.promote(loaded, force=force)


def test_each_challenger_is_refused_by_its_own_reason_and_a_rollback_restores(
    artifacts, monkeypatch
):
    assert tried("cnn3", quadrants(-20.0), force="to have one that is beaten").version == "1"
    assert tried("cnn4", quadrants(20.0)).version == "2"
    refusals = {
        "worse than the champion": quadrants(-20.0),
        "a tie with the champion": quadrants(30.0),
        "a weight is not finite": quadrants(float("nan")),
    }
    for said, network in refusals.items():
        decision = tried("cnn5_gray", network)
        assert (decision.act, decision.reason[: len(said)]) == ("refused", said)
    assert registry.champion().number == registry.aliased() == "2"
    assert promote.rollback().version == registry.aliased() == "1"
    register = registry.register

    def while_another_is_promoted(key):
        version = register(key)
        registry.crown(version, after=registry.reign(), act="promoted", reason="by another")
        return version

    with monkeypatch.context() as patched:
        patched.setattr(registry, "register", while_another_is_promoted)
        stale = tried("cnn4", quadrants(25.0))
    assert stale.reason == "version 3 was promoted meanwhile; it was judged against another"
    tampered = max(artifacts.rglob("model.keras"), key=lambda path: path.stat().st_mtime)
    tampered.write_bytes(b"")
    said = "models:/facial-emotion/3 cannot be loaded: data/model.keras is empty"
    assert tried("cnn3_gray", quadrants(35.0)).reason == said
    assert promote.rollback().version == registry.aliased() == "1"
    assert tried("cnn3_gray", quadrants(35.0)).version == registry.aliased() == "4"
