"""Logging to a real MLflow server: restarted, unreachable, failing or not answering."""

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from tests.support import servers
from tests.support.training import toy

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.paths import (
    DATA_CARD,
    DATA_CARD_PLOTS,
    DATA_DOCS,
    MODELS,
    REPORTS,
    SUMMARY,
    VALIDATION,
)
from unveil.config import params
from unveil.evaluation import evaluate
from unveil.evaluation.metrics import format_estimate
from unveil.experiments import tracked_training
from unveil.registry import connection
from unveil.registry.datasets import log_datasets
from unveil.registry.runs import describe_training, find_or_create_run, log_parameters_and_data
from unveil.training import checkpoint

KEY = "cnn3_gray"


def row(epoch: int) -> dict[str, float]:
    measures = {"loss": 1 / (epoch + 3), "val_macro_f1": 0.1 * epoch}
    return {"epoch": epoch, "stage": 1, "seconds": 0.1, "timestamp": 10_000 + epoch, **measures}


def runs(client: MlflowClient, origin: str) -> list:
    experiment = client.get_experiment_by_name("facial-emotion")
    return client.search_runs([experiment.experiment_id], f"tags.origin = '{origin}'")


def histories(client: MlflowClient, run_id: str) -> dict[str, list]:
    names = [name for name in client.get_run(run_id).data.metrics if not name.startswith("system")]
    return {name: client.get_metric_history(run_id, name) for name in names}


def points(client: MlflowClient, run) -> dict[str, list]:
    found = histories(client, run.info.run_id)
    return {name: [(p.step, p.timestamp, p.value) for p in line] for name, line in found.items()}


def steps(client: MlflowClient, run_id: str) -> set[tuple[int, ...]]:
    return {tuple(p.step for p in line) for line in histories(client, run_id).values()}


def status(client: MlflowClient, run_id: str) -> str:
    return client.get_run(run_id).info.status


def digests(run) -> dict[str, str]:
    return {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}


def until(true, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    with servers.mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture
def client(server, packed, monkeypatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return registry.connect()


@pytest.mark.fault("SIGKILL of the MLflow server")
def test_a_restarted_server_has_every_metric_once_and_in_order(packed, monkeypatch, tmp_path):
    port, origin, loaded = servers.free_port(), uuid.uuid4().hex, params.load()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    first = registry.reporting(KEY, loaded, origin)
    reporter = first.__enter__()
    for epoch in range(2):
        reporter.record(row(epoch))
    with servers.mlflow_server(tmp_path / "m", port=port) as url:
        for epoch in range(2, 4):
            reporter.record(row(epoch))
        client = MlflowClient(url)
        until(lambda: client.get_experiment_by_name("facial-emotion") and runs(client, origin))
        run_id = runs(client, origin)[0].info.run_id
        until(lambda: steps(client, run_id) == {(0, 1, 2, 3)})
        assert client.get_run(run_id).info.status == "RUNNING"
        url.kill()
    for epoch in range(4, 6):
        reporter.record(row(epoch))
    with servers.mlflow_server(tmp_path / "m", port=port) as url:
        first.__exit__(None, None, None)
        assert reporter.delivered
        (run,) = runs(client, origin)
        assert run.info.status == "FINISHED"
        assert steps(client, run.info.run_id) == {tuple(range(6))}
        losses = client.get_metric_history(run.info.run_id, "train_loss")
        assert [(p.value, p.timestamp) for p in losses] == [
            (row(epoch)["loss"], row(epoch)["timestamp"]) for epoch in range(6)
        ]


def test_a_resumed_training_continues_its_run_without_duplicates(client):
    origin, loaded = uuid.uuid4().hex, params.load()
    with pytest.raises(ZeroDivisionError), registry.reporting(KEY, loaded, origin) as reporter:
        for epoch in range(3):
            reporter.record(row(epoch))
        raise ZeroDivisionError
    (failed,) = runs(client, origin)
    assert failed.info.status == "FAILED"
    with registry.reporting(KEY, loaded, origin) as reporter:
        until(lambda: client.get_run(failed.info.run_id).info.status == "RUNNING")
        for epoch in range(5):
            # An epoch repeated after a damaged checkpoint has another timestamp.
            reporter.record({**row(epoch), "timestamp": 20_000 + epoch})
    (run,) = runs(client, origin)
    assert (run.info.run_id, run.info.status) == (failed.info.run_id, "FINISHED")
    assert steps(client, run.info.run_id) == {tuple(range(5))}


def test_mlflow_ignores_a_duplicate_metric(client):
    run_id = client.create_run(mlflow.set_experiment("facial-emotion").experiment_id).info.run_id
    for _ in range(2):
        client.log_batch(run_id, metrics=[Metric("loss", 1 / 3, 5, 0), Metric("f1", 0.1, 5, 0)])
    assert steps(client, run_id) == {(0,)}


def test_a_training_is_logged_completely_and_publishing_is_idempotent(client):
    loaded = toy(KEY)
    tracked_training.train(KEY, loaded)
    kept = Path(".checkpoints", KEY, checkpoint.identity(KEY, loaded))
    assert kept.exists()
    tracked_training.evaluate(KEY, loaded)
    assert not kept.exists()
    uri = registry.publish(KEY)
    (run,) = runs(client, registry.training_origin(MODELS / KEY))
    before = histories(client, run.info.run_id)
    assert {"test_macro_f1", "validation_accuracy", "train_accuracy", "epoch_seconds"} <= set(
        before
    )
    assert [point.value for point in before["stage"]] == [1, 1, 1, 2, 2, 2]
    report = json.loads((REPORTS / KEY / "metrics.json").read_text())
    # One name for each measure; the last point of a curve is the report's value.
    assert not [name for name in before if name.startswith("val_")]
    assert not {"accuracy", "loss", "macro_f1"} & set(before)
    for split in ("train", "validation"):
        curve = before[f"{split}_accuracy"]
        # The value of the report is another point, unless the last epoch has the same.
        assert [point.step for point in curve] in (list(range(6)), list(range(7)))
        assert run.data.metrics[f"{split}_accuracy"] == report[split]["accuracy"]["value"]
    note = run.data.tags["mlflow.note.content"]
    assert f"**Test macro-F1 {format_estimate(report['test']['macro_f1'])}** on 24 images" in note
    assert f"architecture: `{KEY}`, builder cnn, color gray" in note
    assert f"md5 `{digests(run)['train.npz']}`" in note
    assert f"make train-all RECIPE=sample ARCHITECTURES={KEY}  # seed 0\n" in note
    assert (run.data.params["architecture"], run.data.params["network.color"]) == (KEY, "gray")
    assert {"git_commit", "hardware.cpu", "hardware.gpu"} <= set(run.data.tags)
    assert set(digests(run)) == {"train.npz", "validation.npz", "test.npz"}
    assert {"report"} <= {file.path for file in client.list_artifacts(run.info.run_id)}

    assert registry.publish(KEY) == uri
    (again,) = runs(client, registry.training_origin(MODELS / KEY))
    assert histories(client, again.info.run_id) == before
    assert len(again.outputs.model_outputs) == 1
    assert len(again.inputs.dataset_inputs) == 3
    assert again.info.end_time == run.info.end_time


def test_a_run_of_an_older_version_is_published_and_compared_without_a_second_curve(client):
    loaded = toy(KEY)
    tracked_training.train(KEY, loaded)
    evaluate.evaluate(KEY, loaded)
    training = json.loads((MODELS / KEY / "run.json").read_text())
    (new,) = runs(client, training["origin"])
    client.delete_run(new.info.run_id)
    old = client.create_run(
        new.info.experiment_id, tags={"origin": training["origin"], "architecture": KEY}
    ).info.run_id
    report = json.loads((REPORTS / KEY / "metrics.json").read_text())
    for step in range(6):
        names = ("val_accuracy", "accuracy", "epoch_seconds")
        client.log_batch(old, metrics=[Metric(name, 0.5, step, step) for name in names])
    for name, value in evaluate.flat(report).items():
        client.log_metric(old, name, value)
    before = histories(client, old)
    registry.publish(KEY)
    assert histories(client, old) == before
    (known,) = [one for one in registry.evaluated_trainings() if one.run_id == old]
    assert known.metrics["test_macro_f1"] == report["test"]["macro_f1"]["value"]
    assert "Test macro-F1" in client.get_run(old).data.tags["mlflow.note.content"]


def test_an_earlier_training_from_another_machine_is_published_from_its_files(
    client, monkeypatch, tmp_path
):
    loaded = toy(KEY)
    tracked_training.train(KEY, loaded)
    (here,) = runs(client, registry.training_origin(MODELS / KEY))
    with Path("data/03_packed/test.npz").open("ab") as faces:
        faces.write(b"faces of another day")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    registry.publish(KEY)
    (there,) = runs(MlflowClient(), registry.training_origin(MODELS / KEY))
    assert points(MlflowClient(), there) == points(client, here)
    assert there.data.params == here.data.params
    assert digests(there) == digests(here)
    assert there.info.status == "FINISHED"


def test_the_run_of_a_training_that_is_replaced_is_ended(client):
    loaded = toy(KEY)
    older = checkpoint.Checkpoints(Path(".checkpoints", KEY, "older"))
    run_id = find_or_create_run(client, describe_training(KEY, loaded, older.origin)).info.run_id
    tracked_training.train(KEY, loaded)
    assert status(client, run_id) == "KILLED"
    assert not older._folder.exists()


KILLED = """
import os, signal
from unveil import registry
from unveil.config import params
with registry.train_all_run(params.load()) as run:
    print(run, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault("SIGKILL of a train-all, its run in MLflow")
def test_a_killed_train_all_is_ended_only_by_the_next_one_of_its_checkout(client, packed, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy("params.yaml", other)
    killed = [
        subprocess.Popen([sys.executable, "-c", KILLED], cwd=folder, stdout=subprocess.PIPE)
        for folder in (packed, other)
    ]
    here, there = (process.communicate()[0].decode().strip() for process in killed)
    assert [process.returncode for process in killed] == [-9, -9]
    assert status(client, here) == status(client, there) == "RUNNING"
    with registry.train_all_run(params.load()) as now:
        found = [status(client, run) for run in (here, there, now)]
        assert found == ["KILLED", "RUNNING", "RUNNING"]
    assert status(client, now) == "FINISHED"


@pytest.mark.fault("runs tell of the same new data at once", times=4)
def test_concurrent_runs_can_log_the_same_new_dataset(packed):
    client = registry.connect()
    experiment = mlflow.set_experiment("facial-emotion").experiment_id
    for digest in map(str, range(4)):
        made = [client.create_run(experiment) for _ in range(6)]
        data = {"training": {"path": "data/03_packed/train.npz", "md5": digest}}
        with ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(log_datasets, repeat(client), made, repeat(data)))
        for run in made:
            inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
            assert [one.dataset.digest for one in inputs] == [digest]


@pytest.mark.fault("a run's parameters logged twice at once", times=4)
def test_a_training_and_its_publication_can_log_the_same_parameters_at_once(packed):
    client = registry.connect()
    experiment = mlflow.set_experiment("facial-emotion").experiment_id
    described = {"parameters": {f"p{number}": "1" for number in range(40)}, "data": {}}
    for _ in range(4):
        run = client.create_run(experiment)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(log_parameters_and_data, repeat(client), [run] * 4, repeat(described)))
        assert client.get_run(run.info.run_id).data.params == described["parameters"]


@pytest.mark.fault("loss not finite")
def test_a_loss_that_is_not_finite_fails_the_run_and_leaves_no_checkpoint(client):
    loaded = toy(KEY)
    # Higher than params.yaml allows, so that training diverges at once.
    for stage in loaded.schedules[KEY].stages:
        object.__setattr__(stage, "learning_rate", 1e30)
    with pytest.raises(UserError, match="no longer finite"):
        tracked_training.train(KEY, loaded)
    experiment = mlflow.set_experiment("facial-emotion").experiment_id
    newest = client.search_runs([experiment], order_by=["attributes.start_time DESC"])[0]
    assert newest.info.status == "FAILED"
    assert not Path(".checkpoints", KEY, checkpoint.identity(KEY, loaded)).exists()
    assert not (MODELS / KEY / "model.keras").exists()


class Broken(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)

    def do_POST(self):
        self.send_error(500)

    def log_message(self, *args):
        pass


@contextmanager
def answering_500() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def never_answering() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as dumb:
        yield dumb.getsockname()[1]


@contextmanager
def refusing() -> Iterator[int]:
    yield servers.free_port()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(answering_500, marks=pytest.mark.fault("MLflow answers 500")),
        pytest.param(never_answering, marks=pytest.mark.fault("MLflow never answers")),
        pytest.param(refusing, marks=pytest.mark.fault("MLflow refuses connections")),
    ],
)
def test_a_faulty_server_neither_delays_nor_stops_a_training(packed, fault, monkeypatch, capfd):
    loaded = toy(KEY)
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 3)
    with ExitStack() as stack:
        port = stack.enter_context(fault())
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        tracked_training.train(KEY, loaded)
        waited = time.time() - (MODELS / KEY / "run.json").stat().st_mtime
        began = time.monotonic()
        with pytest.raises(UserError, match=rf"MLflow at http://127.0.0.1:{port}: ") as away:
            registry.publish(KEY)
        assert time.monotonic() - began < 6
    assert waited < 6
    assert "\n" not in str(away.value)
    lines = [line for line in capfd.readouterr().err.splitlines() if "not logged to MLflow" in line]
    assert len(lines) == 1
    assert f"MLflow at http://127.0.0.1:{port}: " in lines[0]
    assert json.loads((MODELS / KEY / "run.json").read_text())["origin"]


def test_a_train_all_run_links_to_its_training_data(client):
    for path in (
        SUMMARY,
        VALIDATION,
        DATA_CARD,
        DATA_CARD_PLOTS / "balance.png",
        DATA_DOCS / "index.html",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    with registry.train_all_run(params.load()) as run:
        pass
    stored = {file.path for file in client.list_artifacts(run)}
    assert stored >= {"summary.json", "validation.json", "data_card.md", "data_card", "data_docs"}
    note = client.get_run(run).data.tags["mlflow.note.content"]
    links = dict(re.findall(r"\[(.+?)\]\((.+?)\)", note))
    assert links.pop("Best training of each architecture, last 7 days").startswith("#/experiments/")
    assert set(links) == {"Data sheet", "Data Docs", "validation result"}
    for link in links.values():
        place, _, path = link.partition("/artifacts/")
        assert place.endswith(f"/runs/{run}")
        assert path in {
            file.path for folder in ("", "data_docs") for file in client.list_artifacts(run, folder)
        }


@pytest.mark.fault("MLflow away for a whole train-all")
def test_a_train_all_continues_without_a_server(place, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{servers.free_port()}")
    with registry.train_all_run(params.load()) as parent:
        assert (parent, registry.open_run()) == ("", "")
        registry.log_files(Path("params.yaml"))
    assert "not logged to MLflow" in capfd.readouterr().err


def test_a_report_about_other_weights_is_not_published(client):
    loaded = toy(KEY)
    tracked_training.train(KEY, loaded)
    evaluate.evaluate(KEY, loaded)
    metrics = json.loads((REPORTS / KEY / "metrics.json").read_text())
    (REPORTS / KEY / "metrics.json").write_text(json.dumps({**metrics, "model_digest": "0"}))
    registry.publish(KEY)
    (run,) = runs(client, registry.training_origin(MODELS / KEY))
    assert "test_macro_f1" not in run.data.metrics
