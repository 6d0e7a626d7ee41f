"""Promotion decisions as events on a real Prefect server."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from tests.support import servers
from tests.support.prefect_project import within

from unveil.common.files import write_json
from unveil.common.paths import PROMOTION

ROOT = Path(__file__).parents[2]


def events(api: str) -> list[dict]:
    """All champion events, newest first."""
    wanted = {"filter": {"event": {"prefix": ["unveil.champion."]}}}
    return httpx.post(f"{api}/events/filter", json=wanted).raise_for_status().json()["events"]


def announced(**changes: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "flows.events"]
    around = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
    return subprocess.run(command, env=around, capture_output=True, text=True, timeout=120)


def test_a_decision_is_an_event_with_its_candidate_version_and_numbers(place, tmp_path):
    decision = {"candidate": "cnn4", "act": "rolled back", "version": "2", "reason": "it was bad"}
    write_json(PROMOTION, decision)
    with servers.prefect_server(tmp_path / "prefect") as api:
        result = announced(PREFECT_API_URL=api, PREFECT_HOME=str(tmp_path / "prefect"))
        assert result.returncode == 0, result.stderr
        within(180, lambda: events(api))
        (event,) = events(api)
    assert event["event"] == "unveil.champion.rolled-back"
    assert event["resource"]["prefect.resource.id"] == "unveil.model.facial-emotion"
    assert event["resource"]["unveil.version"] == "2"
    assert event["payload"] == decision
