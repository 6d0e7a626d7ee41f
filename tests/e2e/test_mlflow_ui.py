"""The MLflow pages linked from the description of a train-all, in a real browser."""

import os
import re
import uuid
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


def experiment() -> str:
    return MlflowClient().get_experiment_by_name(registry.NAME).experiment_id
