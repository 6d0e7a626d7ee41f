"""Several seeds of one architecture: each trained once, told to MLflow, and summed up."""

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training import toy

from unveil import checkpoint, registry, seeds
from unveil.callbacks import Draws
from unveil.paths import SPREADS, of_seed, pipeline

KEY = "cnn3_gray"


def refuse(*_: object) -> None:
    raise AssertionError("an epoch is trained again")


def parameters(origin: str) -> dict[str, str]:
    found = registry.connect().search_runs(["1"], f"tags.origin = '{origin}'")
    return {run.data.params["training.seed"]: run.info.status for run in found}


def test_each_seed_is_trained_once_and_its_numbers_are_kept_together(packed, monkeypatch):
    loaded = toy(KEY)
    told = seeds.train(KEY, loaded, 2)
    assert [row["seed"] for row in told["seeds"]] == [0, 1]
    assert len({row["model_digest"] for row in told["seeds"]}) == 2
    assert json.loads((SPREADS / f"{KEY}.json").read_text()) == told
    for seed, place in enumerate((pipeline(KEY), of_seed(KEY, 1))):
        assert (place.report / "metrics.json").exists()
        assert parameters(registry.origin(place.model)) == {str(seed): "FINISHED"}
        assert [path.name for path in place.checkpoints.iterdir()] == ["lock"]
    monkeypatch.setattr(Draws, "on_epoch_begin", refuse)
    assert seeds.train(KEY, loaded, 2) == told
    with pytest.raises(AssertionError, match="trained again"):
        seeds.train(KEY, loaded, 3)
    with pytest.raises(AssertionError, match="trained again"):
        seeds.train(KEY, toy(KEY, rate=0.01), 2)
    assert seeds.table(told).splitlines()[-1].startswith(f"{KEY}, 2 seeds: mean 0.")


def test_one_seed_is_trained_while_another_is(packed):
    loaded = toy(KEY)
    with (
        checkpoint.opened(KEY, loaded) as first,
        checkpoint.opened(KEY, loaded, of_seed(KEY, 1).checkpoints) as second,
    ):
        assert first.origin != second.origin


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_mean_lies_in_its_interval_with_the_spread_of_a_sample(values):
    spread = seeds.spread(values)
    assert spread.low <= spread.mean <= spread.high
    assert spread.sd == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_the_interval_is_students():
    # Three values one apart: t(0.975; 2) = 4.303, over the root of three.
    spread = seeds.spread([0.1, 0.2, 0.3])
    assert spread.high - spread.mean == pytest.approx(0.1 * 4.303 / 3**0.5, abs=1e-4)
