"""The champion history: concurrent changes on SQLite and PostgreSQL, and failures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.support import servers

from unveil import registry
from unveil.common.errors import UserError
from unveil.registry import champion_history
from unveil.registry.versions import ALIAS

ROOT = Path(__file__).parents[2]
ROUNDS = 50


@pytest.fixture
def client(place) -> MlflowClient:
    return versions(2)


def versions(count: int) -> MlflowClient:
    """Register this many versions, none of them champion."""
    client = registry.connect()
    client.create_registered_model(registry.NAME)
    for number in range(count):
        client.create_model_version(registry.NAME, f"s3://nowhere/{number}", tags={"sha256": "{}"})
    return client


def set_champion(number: str, reason: str = "for the test") -> champion_history.HistoryEntry:
    record, version = registry.champion_record(), registry.find_version(number)
    return registry.set_champion(version, after=record, act="promoted", reason=reason)


def race(folder: Path) -> list[list[str]]:
    """Output of two processes after fifty rounds: the outcome and the champion of each round."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.promoting"]
    fighters = [
        subprocess.Popen(
            [*command, name, str(folder), str(ROUNDS)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for name in ("first", "second")
    ]
    return [fighter.communicate(timeout=600)[0].splitlines() for fighter in fighters]


def assert_one_winner_each(outputs: list[list[str]]) -> None:
    first, second = outputs
    assert len(first) == len(second) == 2 * ROUNDS
    log = champion_history.entries(registry.connect())
    assert [entry.number for entry in log] == list(range(1, ROUNDS + 1))
    for number, entry in enumerate(log):
        outcomes = [lines[2 * number] for lines in outputs]
        assert sorted(outcome.split(":")[0] for outcome in outcomes) == ["lost", "won"]
        winner = str(1 + ["won" in outcome for outcome in outcomes].index(True))
        (loser,) = (outcome for outcome in outcomes if outcome != "won")
        assert loser == f"lost: version {winner} was promoted meanwhile"
        assert entry.version == winner
        assert {lines[2 * number + 1] for lines in outputs} == {f"{winner} {winner}"}


@pytest.mark.fault("two promotions at one moment, SQLite", ROUNDS)
def test_one_of_two_concurrent_promotions_wins_on_sqlite(client, tmp_path):
    assert_one_winner_each(race(tmp_path / "rounds"))


@pytest.mark.slow
@pytest.mark.fault("two promotions at one moment, PostgreSQL", ROUNDS)
def test_one_of_two_concurrent_promotions_wins_on_postgresql(place, tmp_path, monkeypatch):
    with servers.postgres(tmp_path) as database:
        made = servers.database(database, "mlflow")
        backend = made.replace("postgresql:", "postgresql+psycopg:")
        with servers.mlflow_server(tmp_path / "mlflow", backend) as url:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            versions(2)
            assert_one_winner_each(race(tmp_path / "rounds"))


def test_there_is_no_champion_before_the_first_promotion(client):
    assert registry.champion() is None
    assert registry.champion_record() == registry.ChampionRecord(0)
    assert not registry.sync_alias()


def test_a_promotion_with_an_outdated_record_is_refused(client):
    stale = registry.champion_record()
    set_champion("1")
    with pytest.raises(registry.ChampionChanged, match="version 1 was promoted meanwhile"):
        registry.set_champion(
            registry.find_version("2"), after=stale, act="promoted", reason="too late"
        )
    assert registry.champion().number == registry.aliased_version() == "1"


def test_a_process_paused_before_setting_the_alias_does_not_restore_an_older_champion(
    client, monkeypatch
):
    later = [True]
    real = MlflowClient.set_registered_model_alias

    def paused(self, name, alias, version):
        if later.pop() if later else False:
            set_champion("2")  # another process, start to finish
        real(self, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", paused)
    set_champion("1")
    assert registry.champion().number == registry.aliased_version() == "2"


def test_a_process_killed_before_setting_the_alias_has_still_set_the_champion(client, monkeypatch):
    def killed(self, name, alias, version):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            set_champion("1")
    assert (registry.champion().number, registry.aliased_version()) == ("1", None)
    assert registry.sync_alias()
    assert registry.aliased_version() == "1"


def test_an_alias_older_than_the_history_is_champion_and_can_be_restored(client):
    client.set_registered_model_alias(registry.NAME, ALIAS, "1")
    assert (registry.champion().number, registry.champion_record().number) == ("1", 0)
    set_champion("2")
    assert registry.champion_record().predecessors == ("1",)


def test_an_alias_moved_by_hand_does_not_change_the_champion(client):
    set_champion("1")
    client.set_registered_model_alias(registry.NAME, ALIAS, "2")
    assert registry.champion().number == "1"
    assert registry.sync_alias()
    assert registry.aliased_version() == "1"


def test_a_lost_response_does_not_lose_the_entry(client, monkeypatch):
    from mlflow.exceptions import MlflowException

    real = MlflowClient.log_param

    def response_lost(self, *args, **kwargs):
        real(self, *args, **kwargs)
        raise MlflowException("timed out")

    monkeypatch.setattr(MlflowClient, "log_param", response_lost)
    assert set_champion("1").number == 1
    assert registry.champion().number == "1"


def test_concurrent_creation_results_in_one_history(client, monkeypatch):
    real = MlflowClient.create_experiment

    def created_by_another(self, name, *args, **kwargs):
        if name != champion_history.PROMOTIONS:
            return real(self, name, *args, **kwargs)
        monkeypatch.setattr(MlflowClient, "create_experiment", real)
        set_champion("2")
        return real(self, name, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_experiment", created_by_another)
    stale = registry.champion_record()
    with pytest.raises(registry.ChampionChanged):
        registry.set_champion(
            registry.find_version("1"), after=stale, act="promoted", reason="both first"
        )
    assert registry.champion().number == "2"
    place = client.get_experiment_by_name(champion_history.CHAMPIONS).experiment_id
    assert len(client.search_runs([place])) == 1


def test_the_history_is_apart_from_the_trainings_and_an_older_one_among_them_stays(client):
    trainings = client.get_experiment_by_name(registry.NAME).experiment_id
    set_champion("1")
    assert client.search_runs([trainings]) == []
    # As an older version made it: the run is among the trainings.
    log = champion_history.entries(client)
    older = client.create_run(trainings, tags={"kind": "log"}).info.run_id
    value = client.get_run(champion_history._history_run(client)).data.params["000001"]
    client.log_param(older, "000001", value)
    decisions = client.get_experiment_by_name(champion_history.PROMOTIONS).experiment_id
    client.set_experiment_tag(decisions, champion_history.LOG, older)
    assert champion_history.entries(client) == log
    set_champion("2")
    assert [entry.version for entry in champion_history.entries(client)] == ["1", "2"]
    assert set(client.get_run(older).data.params) == {"000001", "000002"}


def test_a_deleted_history_can_be_read_but_not_written(client):
    set_champion("1")
    experiment = client.get_experiment_by_name(champion_history.PROMOTIONS)
    client.delete_run(experiment.tags[champion_history.LOG])
    client.delete_experiment(experiment.experiment_id)
    assert registry.champion().number == "1"
    with pytest.raises(UserError, match="did not record the new champion"):
        set_champion("2")


def entry(
    number: int, version: str, act: str = "promoted", previous: str = ""
) -> champion_history.HistoryEntry:
    return champion_history.HistoryEntry(number, version, previous, act, "", "")


def test_successive_rollbacks_go_further_back_and_promotions_start_from_there():
    log = [entry(1, "1", previous="0"), entry(2, "2"), entry(3, "3")]
    assert champion_history.rollback_chain(log) == ["0", "1", "2", "3"]
    log.append(entry(4, "2", "rolled back"))
    assert champion_history.rollback_chain(log) == ["0", "1", "2"]
    log.append(entry(5, "4"))
    assert champion_history.rollback_chain(log) == ["0", "1", "2", "4"]
    log.append(entry(6, "0", "rolled back"))
    assert champion_history.rollback_chain(log) == ["0"]
    assert champion_history.rollback_chain([]) == []
