"""A hyperparameter search with a real study, real signals and a real MLflow, at toy size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial
from tests.conftest import IDENTITY, ROOT
from tests.support.sweeps import EPOCHS, KEY, shrink

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.locks import exclusive_lock
from unveil.common.paths import PACKED, SWEEPS
from unveil.config import params
from unveil.experiments.sweep import plots, recipe_values, results, search, study, trial
from unveil.experiments.sweep import space as spaces
from unveil.experiments.sweep.search import Wanted
from unveil.experiments.sweep.study import Sweep
from unveil.experiments.sweep.tasks import COMPLETE, Outcome, Task

FOLDER = SWEEPS / KEY / "default"
SPACE = "space.yaml"


@pytest.fixture
def toy(packed) -> Path:
    shrink(packed)
    return packed


def swept(place: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tests.support.sweeps", KEY, "--space", "space.yaml"]
    around = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [*command, *options], cwd=place, env=around, capture_output=True, text=True, timeout=600
    )


def opened(folder: Path = FOLDER) -> Sweep:
    loaded = params.load()
    return study.open_sweep(KEY, loaded, spaces.load(SPACE, KEY, loaded), folder)


def trials(place: Path) -> pd.DataFrame:
    return pd.read_csv(place / FOLDER / results.TABLE).drop(columns="seconds")


def runs() -> tuple[list, list]:
    """Return the parent runs and the runs of the trials in MLflow, by their number."""
    found = registry.connect().search_runs(["1"], f"tags.sweep = '{KEY}/default'")
    children = [run for run in found if "trial" in run.data.tags]
    children.sort(key=lambda run: int(run.data.tags["trial"]))
    return [run for run in found if "trial" not in run.data.tags], children


@pytest.mark.slow  # two minutes: six processes that train
@pytest.mark.fault("SIGKILL of a sweep")
@pytest.mark.fault("Ctrl-C while a sweep trains")
def test_an_interrupted_search_ends_as_an_uninterrupted_one(toy, tmp_path_factory, monkeypatch):
    whole = tmp_path_factory.mktemp("whole")
    for name in ("params.yaml", "space.yaml"):
        (whole / name).write_bytes((toy / name).read_bytes())
    (whole / "data").symlink_to(toy / "data")
    # In trial 1, after its first epoch; then in trial 2, after the two that were left and one more.
    killed = swept(toy, "--trials", "3", SIGNAL="SIGKILL", AT_EPOCH=str(EPOCHS + 2))
    assert killed.returncode == -9
    interrupted = swept(toy, "--trials", "3", SIGNAL="SIGINT", AT_EPOCH=str(EPOCHS - 1 + 2))
    assert interrupted.returncode == 130, interrupted.stderr[-3000:]
    assert "Traceback" not in interrupted.stderr
    line = f"the sweep of {KEY} is interrupted; 2 of 3 trials have ended; the same command continue"
    assert f"continues {FOLDER}: 1 of 3 trials have ended (1 complete, 1 interrupted)\n" in (
        interrupted.stderr
    )
    assert line in interrupted.stderr
    assert [one.state for one in opened().study.trials][2] == TrialState.RUNNING
    ended = swept(toy, "--trials", "3")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"continues {FOLDER}: 2 of 3 trials have ended (2 complete, 1 inter" in ended.stderr
    assert f"trial 2 of {KEY}: validation macro-F1 " in ended.stderr
    assert "; 3 of 3 trials\n" in ended.stderr and "; 1 of 3 trials, about " in killed.stderr
    found = trials(toy)
    assert list(found["state"]) == ["complete"] * 3 and list(found["epochs"]) == [EPOCHS] * 3
    assert f"{KEY}: 3 trials, 3 complete; see {FOLDER}\n" in ended.stdout
    require_recorded(found)
    require_applicable(toy, found, ended.stdout)

    nothing = swept(toy, "--trials", "3", SIGNAL="SIGKILL", AT_EPOCH="1")
    assert (nothing.returncode, nothing.stdout) == (0, ended.stdout)

    (whole / "data").unlink()
    (whole / "data").mkdir()
    (whole / PACKED).symlink_to(toy / PACKED)
    assert swept(whole, "--trials", "3").returncode == 0
    assert trials(whole).equals(found)
    assert diff_of(whole) == diff_of(toy)


def require_recorded(found: pd.DataFrame) -> None:
    """Check that MLflow has one finished run for the search and one for each trial."""
    (parent,), children = runs()
    assert parent.info.status == "FINISHED"
    assert len(children) == len(found)
    for run, row in zip(children, found.to_dict("records"), strict=True):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (run.info.status, run.data.tags["trial.state"]) == ("FINISHED", "complete")
        assert run.data.metrics["best_validation_macro_f1"] == row["validation_macro_f1"]
        assert float(run.data.params["training.weight_decay"]) == row["training.weight_decay"]
        assert run.data.params["training.seed"] == "0"
        assert not [name for name in run.data.metrics if name.startswith("test")]
        assert "make train-all" not in run.data.tags["mlflow.note.content"]
    kept = {file.path for file in registry.connect().list_artifacts(parent.info.run_id)}
    assert {results.TABLE, results.PLOT} <= kept
    assert not list(Path(".checkpoints").iterdir())


def diff_of(place: Path) -> str:
    """Return the diff of a sweep; empty if the recipe's own values are the best."""
    path = place / FOLDER / results.DIFF
    return path.read_text() if path.exists() else ""


def require_applicable(place: Path, found: pd.DataFrame, output: str) -> None:
    """Check that git applies the diff, and that it gives the values of the best trial."""
    best = found.loc[found["validation_macro_f1"].idxmax()]
    diff = place / FOLDER / results.DIFF
    if best["trial"] == 0:
        assert "the recipe's own values are the best" in output and not diff.exists()
        return
    assert diff.read_text() in output
    before = (place / "params.yaml").read_text()
    for command in (["init", "--quiet"], ["apply", "--check", str(diff)], ["apply", str(diff)]):
        subprocess.run(["git", *IDENTITY, *command], cwd=place, check=True)
    now = recipe_values.current(KEY, params.load())
    assert {name: now[name] for name in opened_names()} == {
        name: best[name] for name in opened_names()
    }
    (place / "params.yaml").write_text(before)


def opened_names() -> list[str]:
    return list(spaces.load("space.yaml", KEY, params.load()))


def imitated(sweep: Sweep, count: int, score: float = 1.0) -> None:
    """Add complete trials whose epochs all have about a score."""
    for place in range(count):
        generator = np.random.default_rng(place)
        own = study.recipe_values(KEY, sweep.params, sweep.space)
        proposed = {
            name: one.choices[place % 2]
            if hasattr(one, "choices")
            else float(generator.uniform(one.low, one.high))
            for name, one in sweep.space.items()
        }
        value = score - 0.01 * place
        sweep.study.add_trial(
            create_trial(
                params={**own, **proposed},
                distributions=sweep.space,
                value=value,
                intermediate_values=dict.fromkeys(range(EPOCHS), value),
            )
        )


def test_a_trial_worse_than_the_median_is_pruned_and_recorded_as_such(toy):
    imitated(opened(), trial.STARTUP)
    output = search.run(KEY, params.load(), Wanted(6, SPACE))
    assert f"{KEY}: 6 trials, 5 complete, 1 pruned; see {FOLDER}" in output
    pruned = trials(toy).iloc[0]
    # Not in the first third of the epochs.
    assert (pruned["trial"], pruned["state"], pruned["epochs"]) == (0, "pruned", EPOCHS // 3 + 1)
    _, (run,) = runs()
    assert (run.info.status, run.data.tags["trial.state"]) == ("FINISHED", "pruned")
    assert len(registry.connect().get_metric_history(run.info.run_id, "epoch_seconds")) == 2


def test_a_resumed_trial_is_pruned_at_the_same_epoch(toy):
    scores = [[0.5, 0.6, 0.7]] * trial.STARTUP
    task = Task(KEY, "default", 5, {}, warmup=1, earlier=scores)
    for _ in range(2):  # a resumed training records its epochs again
        heard = []
        record = trial.pruning(task, heard.append)
        record({"epoch": 0, "val_macro_f1": 0.1, "seconds": 1.0})
        with pytest.raises(optuna.TrialPruned):
            record({"epoch": 1, "val_macro_f1": 0.59, "seconds": 1.0})
        assert len(heard) == 2
    record = trial.pruning(task, heard.append)
    record({"epoch": 0, "val_macro_f1": 0.1, "seconds": 1.0})
    record({"epoch": 1, "val_macro_f1": 0.61, "seconds": 1.0})


def test_an_outcome_that_was_half_stored_is_stored_whole(toy):
    sweep = opened()
    task = sweep.next_task((), "")
    sweep._trial(0).report(0.1, 0)  # here the process ended
    assert sweep.next_task((), "") == task
    assert sweep.next_task({0}, "").number == 1
    sweep.record(0, Outcome(COMPLETE, [0.1, 0.3, 0.2], 2.0))
    assert opened().study.trials[0].intermediate_values == {0: 0.1, 1: 0.3, 2: 0.2}
    assert sweep.next_task((), "").earlier == [[0.1, 0.3, 0.2]]


def test_the_same_search_proposes_the_same_values_and_another_seed_others(toy):
    def proposals(folder: Path, loaded: params.Params) -> list[dict]:
        space = spaces.load("space.yaml", KEY, loaded)
        found = []
        for score in np.linspace(0, 1, 14):
            sweep = study.open_sweep(KEY, loaded, space, folder)  # as after a restart
            task = sweep.next_task((), "")
            found.append(task.values)
            sweep.record(task.number, Outcome(COMPLETE, [score]))
        return found

    loaded = params.load()
    first = proposals(Path("a"), loaded)
    assert first == proposals(Path("b"), loaded)
    assert first[0] == study.recipe_values(KEY, loaded, spaces.load("space.yaml", KEY, loaded))
    assert len({json.dumps(one) for one in first}) == 14
    other = recipe_values.with_values(KEY, loaded, {"training.seed": 1})
    assert first[1:] != proposals(Path("c"), other)[1:]


def test_a_failure_ends_the_search_and_the_next_call_continues_with_the_next_trial(toy):
    (toy / "space.yaml").write_text("stage1.trainable_from: {choices: [all, block9]}\n")
    sweep = opened()
    sweep.study.enqueue_trial({"stage1.trainable_from": "block9"})
    with pytest.raises(UserError, match=r"^unknown layer in trainable_from 'block9'"):
        search.run(KEY, params.load(), Wanted(3, SPACE))
    assert [one.state for one in opened().trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert trials(toy)["reason"][1].startswith("unknown layer in trainable_from 'block9'")


def test_two_searches_of_one_name_at_once_are_one_line(toy):
    with (
        exclusive_lock(FOLDER, ""),
        pytest.raises(UserError, match=f"^a sweep of {KEY} with the name 'default' already runs"),
    ):
        search.run(KEY, params.load(), Wanted(1, SPACE))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("space.yaml", "0.5}", "0.6}", "another space: network.dropout was low 0.0, high 0.5, log"),
        ("space.yaml", "training.batch_size", "#", "training.batch_size was choices [8, 16], now"),
        (
            "params.yaml",
            "mixup: 0.0",
            "mixup: 0.1",
            "other parameters: training.mixup was 0.0, now",
        ),
    ],
)
def test_another_space_or_recipe_is_refused(toy, file, old, new, message):
    opened()
    path = toy / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        opened()
    assert str(caught.value).startswith(f"{FOLDER} is a sweep with ")
    assert message in str(caught.value)
    assert "restore them, or give another --name" in str(caught.value)
    opened(FOLDER.with_name("other"))


def test_other_faces_other_code_and_a_damaged_study_are_refused(toy, monkeypatch):
    opened()
    with monkeypatch.context() as changed:
        changed.setattr(study, "source_digests", lambda: ["other"])
        with pytest.raises(UserError, match=r"sweep with other code; it began at commit .*: check"):
            opened()
    path = PACKED / "train.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match="is a sweep on other packed faces"):
        opened()
    (FOLDER / study.FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match=r"study\.db cannot be read: .*; move .* away, or give"):
        opened()


def test_a_recipe_outside_of_the_space_is_said_and_is_no_trial(toy, capsys):
    (toy / "space.yaml").write_text("training.weight_decay: {low: 0.01, high: 0.1}\n")
    sweep = opened()
    search._say_known(sweep, Wanted())
    line = "the recipe is not among the trials; outside of the space: training.weight_decay 0.0001"
    assert capsys.readouterr().err == f"{line}\n"
    assert 0.01 <= sweep.next_task((), "").values["training.weight_decay"] <= 0.1


def test_the_plot_has_importances_with_enough_trials(toy):
    sweep = opened()
    imitated(sweep, plots.ENOUGH - 1)
    assert plots.importance(sweep) == {}
    imitated(sweep, plots.ENOUGH)
    found = plots.importance(sweep)
    assert set(found) == set(sweep.space) and sum(found.values()) == pytest.approx(1)
    plots.draw(sweep, Path("plot.png"))
    assert Path("plot.png").stat().st_size > 5000
