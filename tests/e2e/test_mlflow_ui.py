"""The MLflow pages linked from the description of a train-all, in a real browser."""

import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from tests.support import browser, servers

from unveil import registry
from unveil.common.files import write_json
from unveil.common.paths import COMPARISON, DATA_CARD, LEADERBOARD, PROMOTION, VALIDATION
from unveil.config import params
from unveil.registry.runs import (
    describe_training,
    find_or_create_run,
    log_epochs,
    log_parameters_and_data,
)

pytestmark = pytest.mark.slow
WAIT = 60_000  # milliseconds in which a page has to show something


def trained(client: MlflowClient, key: str, macro_f1: float) -> None:
    """A training as recorded by `unveil train` and `unveil publish`."""
    loaded = params.load()
    made = describe_training(key, loaded, uuid.uuid4().hex)
    run = find_or_create_run(client, made)
    log_parameters_and_data(client, run, made)
    rows = [
        {"epoch": epoch, "stage": 1 + (epoch > 1), "seconds": 1.0, "timestamp": 1000 * epoch}
        | {"loss": 2 - epoch / 4, "val_macro_f1": macro_f1 - 0.3 / (epoch + 1)}
        for epoch in range(6)
    ]
    log_epochs(client, run, rows)
    scores = [Metric(f"test_{name}", macro_f1, 6000, 0) for name in ("macro_f1", "accuracy")]
    client.log_batch(run.info.run_id, metrics=scores)
    client.set_terminated(run.info.run_id)


@pytest.fixture
def address(place, tmp_path, monkeypatch) -> tuple[str, str]:
    """A server with a train-all of all architectures, two of them trained twice; and its run."""
    with servers.mlflow_server(tmp_path / "mlflow") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        for path in (VALIDATION, PROMOTION, COMPARISON):
            write_json(path, {"passed": True})
        for path in (DATA_CARD, LEADERBOARD):
            path.write_text("# Read me\n")
        keys = list(params.load().architectures)
        with registry.train_all_run(params.load()) as run:
            monkeypatch.setenv(registry.PARENT, run)
            client = registry.connect()
            for number, key in enumerate([*keys, *keys[:2]]):
                trained(client, key, 0.6 + number / 50)
            registry.log_files(COMPARISON, LEADERBOARD, PROMOTION)
        yield url, run


def picture(page, name: str) -> None:
    """Save a screenshot if a folder for screenshots is set."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_train_all_leads_to_its_files_its_trainings_and_last_weeks_best(address):
    url, run = address
    note = MlflowClient().get_run(run).data.tags["mlflow.note.content"]
    links = dict(re.findall(r"\[(.+?)\]\((.+?)\)", note))
    best = links["Best training of each architecture, last 7 days"]
    keys = list(params.load().architectures)
    with browser.page(url) as (page, outside):
        page.set_default_timeout(WAIT)
        page.set_viewport_size({"width": 1700, "height": 1200})
        page.goto(f"{url}/#/experiments/{experiment()}/runs/{run}")
        page.get_by_text("Results of this run:").wait_for()
        picture(page, "train-all")
        page.goto(f"{url}/{links['training runs, best first']}")
        page.get_by_text(keys[-1], exact=True).first.wait_for()
        picture(page, "trainings")
        page.goto(f"{url}/{best}")
        page.get_by_role("columnheader", name="test_macro_f1").first.wait_for()
        page.get_by_text(re.compile(rf"Group:\s*{keys[1]}")).first.wait_for()
        picture(page, "best")
        groups = re.findall(r"Group:\s*(\w+)", page.inner_text("body"))
        assert set(groups) == set(keys)
        assert groups[0] == keys[1]
        page.goto(f"{url}/{links['leaderboard']}")
        page.get_by_text("comparison.md").first.wait_for()
    assert outside == []


@pytest.fixture
def ui(place, tmp_path) -> Iterator[tuple[str, str]]:
    """`make ui` on a free port, on a local database with two trainings; and what it printed."""
    client = registry.connect()
    for key, score in (("cnn3", 0.6), ("cnn4", 0.8)):
        trained(client, key, score)
    # What an installation makes of the entry point in pyproject.toml.
    plugin = tmp_path / "plugin/unveil_app-1.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: unveil-app\nVersion: 1\n")
    (plugin / "entry_points.txt").write_text(
        "[mlflow.app]\nunveil = unveil.registry.start_page:app\n"
    )
    port, log = servers.free_port(), tmp_path / "log/ui.log"
    url = f"http://127.0.0.1:{port}"
    with servers.serving(
        [sys.executable, "-m", "unveil.registry", port],
        url,
        log,
        ready=lambda: servers.answers(f"{url}/health"),
        env={"PYTHONPATH": os.pathsep.join([str(plugin.parent), *sys.path])},
        cwd=place,
    ):
        yield url, log.read_text()


def test_the_start_page_and_the_printed_link_list_the_trainings_best_first(ui):
    url, said = ui
    assert registry.trainings_url(url) in said
    assert registry.trainings_url().startswith("http://127.0.0.1:5000/#/experiments/1/runs?")
    with browser.page(url) as (page, outside):
        page.set_default_timeout(WAIT)
        for place in (url, registry.trainings_url(url)):
            page.goto("about:blank")
            page.goto(place)
            page.get_by_text("cnn3", exact=True).first.wait_for()
            picture(page, "start-page")
            text = page.inner_text("body")
            assert "workflowType=machine_learning" in page.url
            assert 0 < text.index("\ncnn4\n") < text.index("\ncnn3\n")
        page.goto("about:blank")
        page.goto(f"{url}/#/models")
        page.get_by_text("Registered Models").first.wait_for()
    assert outside == []


def experiment() -> str:
    return MlflowClient().get_experiment_by_name(registry.NAME).experiment_id
