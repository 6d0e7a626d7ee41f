"""The ledger of champions: two at once, on SQLite and on PostgreSQL, and what is put in its way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.support import servers

from unveil import registry
from unveil.common.errors import UserError
from unveil.registry import ledger
from unveil.registry.versions import ALIAS

ROOT = Path(__file__).parents[2]
ROUNDS = 50


@pytest.fixture
def client(place) -> MlflowClient:
    return versions(2)


def versions(count: int) -> MlflowClient:
    """A registry with so many versions, none of them champion."""
    client = registry.connect()
    client.create_registered_model(registry.NAME)
    for number in range(count):
        client.create_model_version(registry.NAME, f"s3://nowhere/{number}", tags={"sha256": "{}"})
    return client


def crowned(number: str, reason: str = "for the test") -> ledger.Entry:
    reign, version = registry.reign(), registry.found(number)
    return registry.crown(version, after=reign, act="promoted", reason=reason)


def fought(folder: Path) -> list[list[str]]:
    """What two processes say of fifty rounds: for each, how it went and who is champion."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.support.crowning"]
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


def assert_one_winner_each(said: list[list[str]]) -> None:
    first, second = said
    assert len(first) == len(second) == 2 * ROUNDS
    log = ledger.entries(registry.connect())
    assert [entry.number for entry in log] == list(range(1, ROUNDS + 1))
    for number, entry in enumerate(log):
        outcomes = [lines[2 * number] for lines in said]
        assert sorted(outcome.split(":")[0] for outcome in outcomes) == ["lost", "won"]
        winner = str(1 + ["won" in outcome for outcome in outcomes].index(True))
        (loser,) = (outcome for outcome in outcomes if outcome != "won")
        assert loser == f"lost: version {winner} was promoted meanwhile"
        assert entry.version == winner
        assert {lines[2 * number + 1] for lines in said} == {f"{winner} {winner}"}


@pytest.mark.fault("two promotions at one moment, SQLite", ROUNDS)
def test_of_two_that_promote_at_once_one_wins_and_the_other_is_told_on_sqlite(client, tmp_path):
    assert_one_winner_each(fought(tmp_path / "rounds"))


@pytest.mark.slow
@pytest.mark.fault("two promotions at one moment, PostgreSQL", ROUNDS)
def test_of_two_that_promote_at_once_one_wins_and_the_other_is_told_on_postgresql(
    place, tmp_path, monkeypatch
):
    with servers.postgres(tmp_path) as database:
        made = servers.database(database, "mlflow")
        backend = made.replace("postgresql:", "postgresql+psycopg:")
        with servers.mlflow_server(tmp_path / "mlflow", backend) as url:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            versions(2)
            assert_one_winner_each(fought(tmp_path / "rounds"))


def test_nobody_is_champion_before_the_first(client):
    assert registry.champion() is None
    assert registry.reign() == registry.Reign(0)
    assert not registry.settle()


def test_who_looked_before_another_won_is_refused(client):
    stale = registry.reign()
    crowned("1")
    with pytest.raises(registry.Overtaken, match="version 1 was promoted meanwhile"):
        registry.crown(registry.found("2"), after=stale, act="promoted", reason="too late")
    assert registry.champion().number == registry.aliased() == "1"


def test_one_who_sleeps_before_the_alias_does_not_put_an_older_champion_back(client, monkeypatch):
    later = [True]
    real = MlflowClient.set_registered_model_alias

    def sleepy(self, name, alias, version):
        if later.pop() if later else False:
            crowned("2")  # another process, from first to last
        real(self, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", sleepy)
    crowned("1")
    assert registry.champion().number == registry.aliased() == "2"


def test_one_who_dies_before_the_alias_is_champion_all_the_same(client, monkeypatch):
    def dies(self, name, alias, version):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_alias", dies)
        with pytest.raises(KeyboardInterrupt):
            crowned("1")
    assert (registry.champion().number, registry.aliased()) == ("1", None)
    assert registry.settle()
    assert registry.aliased() == "1"


def test_an_alias_of_before_the_ledger_is_champion_and_can_be_gone_back_to(client):
    client.set_registered_model_alias(registry.NAME, ALIAS, "1")
    assert (registry.champion().number, registry.reign().number) == ("1", 0)
    crowned("2")
    assert registry.reign().before == ("1",)


def test_an_alias_moved_by_hand_is_not_who_is_champion(client):
    crowned("1")
    client.set_registered_model_alias(registry.NAME, ALIAS, "2")
    assert registry.champion().number == "1"
    assert registry.settle()
    assert registry.aliased() == "1"


def test_an_answer_that_was_lost_is_no_loss(client, monkeypatch):
    from mlflow.exceptions import MlflowException

    real = MlflowClient.log_param

    def unheard(self, *args, **kwargs):
        real(self, *args, **kwargs)
        raise MlflowException("timed out")

    monkeypatch.setattr(MlflowClient, "log_param", unheard)
    assert crowned("1").number == 1
    assert registry.champion().number == "1"


def test_a_ledger_that_is_made_twice_at_once_is_one(client, monkeypatch):
    real = MlflowClient.create_experiment

    def second(self, name, *args, **kwargs):
        monkeypatch.setattr(MlflowClient, "create_experiment", real)
        crowned("2")
        return real(self, name, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_experiment", second)
    stale = registry.reign()
    with pytest.raises(registry.Overtaken):
        registry.crown(registry.found("1"), after=stale, act="promoted", reason="both first")
    assert registry.champion().number == "2"
    left = client.search_runs([client.get_experiment_by_name(registry.NAME).experiment_id])
    assert len(left) == 1


def test_a_ledger_that_was_thrown_away_is_still_read_and_says_so_when_written(client):
    crowned("1")
    experiment = client.get_experiment_by_name(ledger.PROMOTIONS)
    client.delete_run(experiment.tags[ledger.LOG])
    client.delete_experiment(experiment.experiment_id)
    assert registry.champion().number == "1"
    with pytest.raises(UserError, match="did not record who is champion"):
        crowned("2")


def entry(number: int, version: str, act: str = "promoted", previous: str = "") -> ledger.Entry:
    return ledger.Entry(number, version, previous, act, "", "")


def test_rollbacks_go_further_back_each_time_and_promotions_start_from_there():
    log = [entry(1, "1", previous="0"), entry(2, "2"), entry(3, "3")]
    assert ledger.line(log) == ["0", "1", "2", "3"]
    log.append(entry(4, "2", "rolled back"))
    assert ledger.line(log) == ["0", "1", "2"]
    log.append(entry(5, "4"))
    assert ledger.line(log) == ["0", "1", "2", "4"]
    log.append(entry(6, "0", "rolled back"))
    assert ledger.line(log) == ["0"]
    assert ledger.line([]) == []
