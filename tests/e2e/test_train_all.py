"""train-all on synthetic faces, with real DVC, Prefect, MLflow and Great Expectations."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow import MlflowClient

KEYS = ("cnn3", "cnn3_gray")
BROKEN = "vgg16"
NOISE = ["Running stage", "git add dvc.lock", "lock file 'dvc.lock'", "Finished in state Completed"]
NOISE += ["batches/s", "ms/step", "retracing", "Traceback", "temporary Prefect server", "%|"]
BIN = Path(sys.executable).parent
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


def call(folder: Path, *command: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment["PREFECT_HOME"] = str(folder / ".prefect")
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580, **options
    )


def done(folder: Path, *command: str) -> str:
    said = call(folder, *command)
    assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-3000:]
    return said.stdout


def edit(folder: Path, change) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    change(content)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def toy(content: dict) -> None:
    keys = {*KEYS, BROKEN}
    content["sample"] = {"train": 240, "validation": 48, "test": 96}
    content["promotion"]["floor"] = 0.0
    content["architectures"] = {key: content["architectures"][key] for key in keys}
    recipe = content["recipes"]["sample"]
    recipe["schedules"] = {key: recipe["schedules"][key] for key in keys}
    for key in KEYS:
        first, second = recipe["schedules"][key]["stages"]
        # Enough for a network that is better than chance.
        stages = [{**first, "epochs": 1}, {**second, "epochs": 14, "patience": 14}]
        recipe["schedules"][key] = {"stages": stages}
    recipe["schedules"][BROKEN]["network"] = {"weights": "absent.weights.h5"}
    content["recipes"] = {"sample": recipe}


@pytest.fixture(scope="module")
def run(project) -> tuple[Path, subprocess.CompletedProcess]:
    edit(project, toy)
    return project, call(project, sys.executable, "-m", "flows")


@pytest.fixture(scope="module")
def folder(run) -> Path:
    return run[0]


@pytest.fixture
def client(folder, monkeypatch) -> MlflowClient:
    uri = f"sqlite:///{folder}/mlflow/state/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return MlflowClient()


def test_one_failed_architecture_is_reported_and_the_others_are_compared(run):
    folder, said = run
    assert said.returncode == 1, said.stdout[-3000:] + said.stderr[-3000:]
    assert "train-all: failed: vgg16; the others were compared" in said.stderr
    assert "weights 'absent.weights.h5' of vgg16.VGG16 are not available" in said.stderr
    assert "Traceback" not in said.stderr
    comparison = json.loads((folder / "data/05_reports/comparison.json").read_text())
    assert set(comparison["ranking"]) == set(KEYS)
    assert comparison["missing"] == [BROKEN]


def test_it_leaves_a_report_an_explanation_and_the_champions_card(run, client):
    reports = run[0] / "data/05_reports"
    best = json.loads((reports / "comparison.json").read_text())["ranking"][0]
    assert "Synthetic." in (reports / "report.html").read_text()
    assert (reports / f"explanations/{best}/maps.png").exists()
    parent = client.search_runs(
        [client.get_experiment_by_name("facial-emotion").experiment_id],
        "tags.`mlflow.runName` = 'train-all'",
    )[0]
    kept = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "model_card.md"} <= kept
    assert "report.html" in parent.data.tags["mlflow.note.content"]
    version = client.get_model_version_by_alias("facial-emotion", "champion")
    assert version.description.startswith("# Apparent expression of a face")


def test_it_prints_leaderboard_champion_and_ui_commands(run):
    said = run[1].stdout
    assert "Leaderboard, 96 test faces, 95 % intervals in brackets" in said
    assert re.search(r"(?m)^1 +cnn3\w* +0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] +15 ", said), said
    assert "is champion: no previous champion" in said
    assert "data/05_reports/report.html" in said
    assert "make ui, then http://127.0.0.1:5000/#/experiments/" in said
    assert "orderByKey=metrics.%60test_macro_f1%60&orderByAsc=false" in said
    assert "data/07_bundle was trained on synthetic faces: `unveil predict`" in said
    assert "make ui-flows" in said


def test_its_output_is_short_plain_and_without_noise(run):
    said = run[1]
    lines = (said.stdout + said.stderr).splitlines()
    # Three architectures; with nine there are twelve more, and one for each minute.
    assert len(lines) <= 50, said.stdout
    assert not re.search(r"\x1b|\r", said.stdout + said.stderr)
    for noise in NOISE:
        assert noise not in said.stdout + said.stderr
    for key in KEYS:
        assert said.stdout.count(f"{key} starts; ") == 1
        shown = rf"(?m)^{key}, \d+ (s|min): 15 epochs, macro-F1 0\.\d+ in validation, "
        assert len(re.findall(shown, said.stdout)) == 1
    assert (said.stdout + said.stderr).count("absent.weights.h5") == 1


def test_all_other_output_is_in_the_log_that_the_first_line_and_each_error_name(run):
    folder, said = run
    name = re.match(r"train-all; all output: (data/10_logs/train-all-[\d-]+\.log)\n", said.stdout)[
        1
    ]
    errors = [line for line in said.stderr.splitlines() if re.match(r"train-all: |vgg16 ", line)]
    assert len(errors) == 2, said.stderr
    assert all(line.endswith(f"; log: {name}") for line in errors), said.stderr
    log = (folder / name).read_text()
    assert all(noise in log for noise in NOISE[:4])
    assert re.search(r"cnn3: epoch 1 of 15, stage 1 of 2, validation macro-F1 0\.\d+, ", log)
    assert not re.search(r"\x1b\[\?25", log)
    assert "10_logs" not in done(folder, "git", "status", "--porcelain", "--untracked-files=all")


def test_the_parent_run_holds_the_verdict_and_one_child_for_each_training(client):
    experiment = client.get_experiment_by_name("facial-emotion")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["mlflow.runName"] == "train-all"]
    assert len(parents) == 1
    children = {
        run.data.params["architecture"]: run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id
    }
    assert set(children) == {*KEYS, BROKEN}
    assert children[BROKEN].info.status == "FAILED"
    # MLflow samples system metrics every ten seconds: a short training may end before the first.
    names = [
        {name for name in children[key].data.metrics if not name.startswith("system/")}
        for key in KEYS
    ]
    assert "validation_macro_f1" in names[0]
    assert names[0] == names[1]
    kept = {file.path for file in client.list_artifacts(parents[0].info.run_id)}
    assert {"validation.json", "data_docs", "comparison.md", "promotion.json"} <= kept
    inputs = {entry.dataset.name for entry in parents[0].inputs.dataset_inputs}
    assert inputs == {"faces.zip", "train.npz", "validation.npz", "test.npz"}


def test_the_champion_was_exported_and_predicts(folder, client):
    champion = client.get_model_version_by_alias("facial-emotion", "champion")
    assert champion.tags["architecture"] in KEYS
    with zipfile.ZipFile(folder / "data/01_raw/faces.zip") as archive:
        member = next(name for name in archive.namelist() if "/test/" in name)
        (folder / "face.png").write_bytes(archive.read(member))
    said = call(folder, "unveil", "predict", "face.png", "--bundle", "data/07_bundle")
    assert f"{champion.tags['architecture']}, version 1, trained on: synthetic faces" in said.stderr
    assert "face.png: " in said.stdout and "surprise 0." in said.stdout
    said = call(folder, "unveil", "predict", "face.png")
    assert "data/07_bundle is not used, trained on: synthetic faces" in said.stderr
    assert "uses models/starter: cnn5_small_gray, trained on: real faces" in said.stderr


def test_a_second_repro_does_nothing(folder):
    edit(folder, lambda content: content["architectures"].pop(BROKEN))
    done(folder, "dvc", "repro")
    assert json.loads((folder / "data/05_reports/comparison.json").read_text())["missing"] == []
    assert "Data and pipelines are up to date" in done(folder, "dvc", "repro")


@pytest.mark.slow  # trains everything a second time
def test_python_runs_the_same_job_and_returns_its_outcome(folder):
    edit(folder, lambda content: content["architectures"].pop(BROKEN, None))
    code = (
        "import unveil; outcome = unveil.train()\n"
        "print([row['architecture'] for row in outcome.leaderboard], outcome.champion)"
    )
    said = done(folder, sys.executable, "-c", code).splitlines()
    ranking = json.loads((folder / "data/05_reports/comparison.json").read_text())["ranking"]
    assert said[-1] == f"{ranking} True"
    assert any("Leaderboard, 96 test faces" in line for line in said)


def test_metrics_and_plots_are_shown(folder):
    metrics = done(folder, "dvc", "metrics", "show", "--md")
    assert all(f"architectures/{key}/scores.json" in metrics for key in KEYS)
    page = done(folder, "dvc", "plots", "show", "--out", "plots")
    assert "index.html" in page


def test_a_changed_entry_retrains_only_itself(folder):
    edit(folder, lambda content: content["architectures"]["cnn3"].update(dropout=0.25))
    assert "architectures.cnn3.dropout" in done(folder, "dvc", "params", "diff")
    said = done(folder, "dvc", "repro")
    ran = [line for line in said.splitlines() if line.startswith("Running stage")]
    assert [line.split("'")[1] for line in ran] == ["train@cnn3", "evaluate@cnn3", "compare"]


def test_an_interrupted_training_leaves_nothing_half_done_and_can_be_repeated(folder):
    before = (folder / "data/05_reports/comparison.json").read_bytes()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    edit(folder, lambda content: content["architectures"]["cnn3"].update(dropout=0.2))
    edit(folder, lambda content: lasting(content, epochs=1000))
    with subprocess.Popen(
        ["dvc", "repro", "train@cnn3"],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    ) as training:
        heard, deadline = b"", time.monotonic() + 120
        while b"stage 1 of 2" not in heard and time.monotonic() < deadline:
            heard += training.stderr.read(1)
        os.killpg(training.pid, signal.SIGINT)
        training.communicate(timeout=60)
    assert training.returncode != 0
    assert not (folder / "data/04_models/cnn3/model.keras").exists()
    assert list((folder / "data/04_models").rglob(".*model*")) == []
    assert (folder / "data/05_reports/comparison.json").read_bytes() == before
    edit(folder, lambda content: lasting(content, epochs=1))
    done(folder, "dvc", "repro", "train@cnn3")
    assert (folder / "data/04_models/cnn3/model.keras").exists()


def lasting(content: dict, *, epochs: int) -> None:
    for stage in content["recipes"]["sample"]["schedules"]["cnn3"]["stages"]:
        stage.update(epochs=epochs, patience=epochs)


def test_compiled_python_makes_nothing_stale(folder):
    compiled = folder / "src/unveil/networks/__pycache__/x.cpython-311.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    assert "train" not in done(folder, "dvc", "status", "train@cnn3_gray")


@pytest.mark.slow  # trains everything twice
def test_an_older_version_restores_data_and_models(folder):
    edit(folder, lambda content: content["architectures"].pop(BROKEN, None))
    model = folder / "data/04_models/cnn3/model.keras"
    archive = folder / "data/01_raw/faces.zip"
    done(folder, "dvc", "repro")
    old = model.read_bytes(), archive.read_bytes()
    kept = ["git", *IDENTITY, "commit", "--quiet", "--all", "--message"]
    done(folder, "git", "add", "data/01_raw/faces.zip.dvc", "dvc.lock", "params.yaml")
    done(folder, *kept, "one version")
    edit(folder, lambda content: content["data"].update(seed=1))
    done(folder, "unveil", "sample")
    done(folder, "dvc", "repro", "train@cnn3")
    assert (model.read_bytes(), archive.read_bytes()) != old
    done(folder, *kept, "another")
    done(folder, "git", "checkout", "--quiet", "HEAD~1")
    done(folder, "dvc", "checkout", "--allow-missing")
    assert (model.read_bytes(), archive.read_bytes()) == old


def test_data_that_breaks_a_rule_stops_the_graph_before_training(folder):
    edit(
        folder, lambda content: content["rules"]["sets"]["class_balance"].update(max_imbalance=1.0)
    )
    edit(folder, lambda content: content["sample"].update(train=163))
    edit(folder, lambda content: content["data"].update(seed=2))
    done(folder, "unveil", "sample")
    answer = call(folder, sys.executable, "-m", "flows")
    assert answer.returncode == 1
    assert (
        "In no split is the ratio of the largest class to the smallest too high. train/"
        in answer.stderr
    )
    assert "train-all: stage validate failed" in answer.stderr
    assert answer.stderr.count("In no split is the ratio") == 1
    assert "starts; " not in answer.stdout
