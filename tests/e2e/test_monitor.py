"""A server that gets drifted faces, and the flow that detects it, on a real Prefect server.

Nothing trains here: what the flow starts waits for a worker that never comes.
"""

import base64
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.support.bundles import CLASSES
from tests.support.bundles import made as bundle
from tests.support.invalid_images import encoded
from tests.support.prefect_project import PrefectProject, prefect_project, within
from tests.support.servers import free_port, unveil_server

from unveil.data import synthetic
from unveil.inference import drift_reference
from unveil.inference.bundle import load
from unveil.serving import monitoring

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FACES = 256
WINDOW = 200
DASHBOARD = Path(__file__).parents[2] / "docs/grafana.json"
ASK = """
from flows.monitor import monitor
for url in {urls}:
    print("message:", monitor(url, return_state=True).message)
"""


def drawn(seed: int, *, light: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    faces = [synthetic.draw_face(CLASSES[place % 4], generator) for place in range(FACES)]
    return (np.stack(faces) * light).astype(np.uint8)[..., np.newaxis]


def feed(url: str, faces: np.ndarray) -> None:
    for start in range(0, len(faces), 64):
        pictures = [encoded(Image.fromarray(one[..., 0])) for one in faces[start : start + 64]]
        body = {"pictures": [base64.b64encode(picture).decode() for picture in pictures]}
        httpx.post(f"{url}/v1/predict/batch", json=body, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server that processed enough faces like those of training, then as many dark ones."""
    folder = tmp_path_factory.mktemp("server")
    network = load(bundle(folder / "plain", sharpness=6.0))
    shown = np.concatenate([drawn(1), drawn(2)])
    known = drift_reference.build_reference(shown, network.probabilities(shown), None)
    made = bundle(folder / "bundle", sharpness=6.0, reference=asdict(known))
    with unveil_server(folder, made, "--watched", str(WINDOW)) as url:
        feed(url, drawn(3))
        within(180, lambda: monitoring.read(url).drift)
        before = monitoring.read(url)
        feed(url, drawn(4, light=0.5))
        feed(url, drawn(5, light=0.5))
        within(180, lambda: monitoring.read(url).drift["brightness"] > 0.3)
        yield url, before


@pytest.fixture(scope="module")
def place(project, served, tmp_path_factory):
    with prefect_project(project, tmp_path_factory.mktemp("prefect")) as place:

        def watching(content: dict) -> None:
            content["monitoring"] |= {"url": str(served[0]), "min_faces": WINDOW}

        place.edit(watching)
        yield place


def messages(place: PrefectProject, *urls: str | None) -> list[str]:
    """Run the flow once per URL; returns its messages."""
    code = ASK.format(urls=list(urls))
    return re.findall(r"(?m)^message: (.*)$", place.done(sys.executable, "-c", code))


def started(place: PrefectProject) -> list[dict]:
    wanted = {
        "flows": {"name": {"any_": ["train-all"]}},
        "flow_runs": {"tags": {"all_": ["drift"]}},
    }
    return httpx.post(f"{place.api}/flow_runs/filter", json=wanted).raise_for_status().json()


def test_dark_faces_raise_the_gauges_of_a_running_server(served):
    url, before = served
    after = monitoring.read(url)
    assert set(after.drift) == {"brightness", "sharpness", "label", "confidence", "face_size"}
    assert max(before.drift.values()) < 0.05
    assert after.drift["brightness"] > 0.3
    assert after.drift["face_size"] == 0
    assert WINDOW <= after.faces <= WINDOW * 1.1


def test_the_dashboard_uses_only_existing_metrics(served):
    text = httpx.get(f"{served[0]}/metrics").text
    given = set(re.findall(r"(?m)^([a-z_]+)[{ ]", text))
    labels = set(re.findall(r'[{,](\w+)="', text)) | {"instance"}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    named = {name for query in queries for name in re.findall(r"\b(?:unveil|process)_\w+", query)}
    assert named <= given
    assert {"unveil_drift", "unveil_requests_total", "unveil_request_seconds_bucket"} <= named
    used = {name for query in queries for name in re.findall(r"[{, ](\w+)=~?\"", query)}
    used |= {
        name
        for query in queries
        for by in re.findall(r"by \(([^)]*)\)", query)
        for name in by.split(", ")
    }
    assert used <= labels


@pytest.mark.slow
def test_drift_starts_train_all_once_and_reports_why_not_again(place):
    first, second = messages(place, None, None)
    assert first.startswith("drifted: brightness 0.")
    assert "; train-all started: " in first
    (run,) = started(place)
    assert second.endswith(f"train-all not started: {run['name']} waits or runs")

    completed = {"state": {"type": "COMPLETED"}, "force": True}
    httpx.post(f"{place.api}/flow_runs/{run['id']}/set_state", json=completed).raise_for_status()
    closed = f"http://127.0.0.1:{free_port()}"
    third, fourth = messages(place, None, closed)
    assert f"train-all not started: cooldown after {run['name']} until" in third
    assert fourth.startswith(f"{closed}/metrics does not answer: ")
    assert len(started(place)) == 1

    place.edit(lambda content: content["monitoring"].update(cooldown_hours=0.0))
    assert "; train-all started: " in messages(place, None)[0]
    assert len(started(place)) == 2


@pytest.mark.slow
def test_the_verdict_is_an_artifact_and_an_event(place):
    wanted = {"artifacts": {"key": {"any_": ["drift"]}}}
    artifacts = httpx.post(f"{place.api}/artifacts/filter", json=wanted).raise_for_status().json()
    assert "| brightness | 0." in artifacts[0]["data"]
    assert "| embedding | - | 0.050 | not measured |" in artifacts[0]["data"]
    wanted = {"filter": {"event": {"prefix": ["unveil.monitor."]}}}

    def events() -> set[str]:
        found = httpx.post(f"{place.api}/events/filter", json=wanted).raise_for_status().json()
        return {event["event"] for event in found["events"]}

    within(180, lambda: events() == {"unveil.monitor.drifted", "unveil.monitor.unknown"}, events)


@pytest.mark.slow
def test_the_flow_has_an_inactive_schedule(place):
    url = f"{place.api}/deployments/name/monitor/monitor"
    (schedule,) = httpx.get(url).raise_for_status().json()["schedules"]
    assert schedule["active"] is False
