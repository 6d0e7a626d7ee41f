"""Search spaces: what a file may say, and one clear line for what it may not."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.common.errors import UserError
from unveil.config import params
from unveil.experiments.sweep import space as spaces
from unveil.experiments.sweep import study
from unveil.experiments.sweep.recipe_values import current, with_values

KEY = "cnn3_gray"


@pytest.mark.parametrize("recipe", ["sample", "modest", "full"])
def test_the_default_space_is_valid_and_contains_every_recipe(place, recipe):
    params.choose_recipe(recipe)
    loaded = params.load()
    for key in loaded.architectures:
        space = spaces.load("default", key, loaded)
        assert study.outside(study.recipe_values(key, loaded, space), space) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "training.wait_decay: {low: 0, high: 1}",
            "unknown parameter in s.yaml 'training.wait_dec",
        ),
        ("training.seed: {low: 0, high: 9}", "unknown parameter in s.yaml 'training.seed'; choose"),
        ("network.filters: {choices: [[1], [2]]}", "unknown parameter in s.yaml 'network.filters'"),
        (
            "training.mixup: {low: 0.4, high: 0.4}",
            "training.mixup: the range from 0.4 to 0.4 is em",
        ),
        (
            "training.mixup: {low: 0.5, high: 0.1}",
            "the range from 0.5 to 0.1 is empty; low must be",
        ),
        ("training.mixup: {low: a, high: 0.1}", "training.mixup: low: 'a' is not a number; the re"),
        ("training.mixup: {low: 0, high: true}", "training.mixup: high: True is not a number"),
        ("training.mixup: {low: 0.0}", "training.mixup: no 'high'; write {low: A, high: B}"),
        ("training.mixup: 0.1", "training.mixup: found 0.1; write {low: A, high: B} or {choices:"),
        (
            "training.mixup: {from: 0}",
            "unknown key in s.yaml: training.mixup 'from'; choose from low",
        ),
        (
            "training.mixup: {low: 0, high: 1, log: true}",
            "low 0 on a logarithmic scale; it must be",
        ),
        ("training.mixup: {low: 0, high: 1, log: 2}", "training.mixup: log 2 is not true or false"),
        ("training.mixup: {choices: [0.1]}", "choices [0.1] are not two different values or more"),
        ("training.mixup: {choices: [0.1, a]}", "training.mixup: 'a' is not a number; the recipe"),
        ("training.mixup: {choices: [0, 1], low: 0}", "choices and choices, low; give one of the"),
        (
            "training.mixup: {low: -1, high: 1}",
            "training.mixup: input should be greater than or eq",
        ),
        (
            "training.batch_size: {low: 8, high: 16.5}",
            "batch_size: high: 16.5 is not a whole number",
        ),
        (
            "training.class_weights: {low: 0, high: 1}",
            "class_weights: True in the recipe is not a n",
        ),
        ("training.precision: {choices: [float32, int8]}", "training.precision: input should be"),
        ("stage3.epochs: {low: 1, high: 2}", "unknown parameter in s.yaml 'stage3.epochs'"),
        ("", "s.yaml: no parameters; write NAME: {low: A, high: B}"),
        ("- a", "s.yaml: no parameters"),
        ("training.mixup: {low: 0, high: 010}", "is read differently by DVC"),
    ],
)
def test_a_wrong_space_is_one_line(place, entry, message):
    Path("s.yaml").write_text(f"{entry}\n")
    with pytest.raises(UserError) as caught:
        spaces.load("s.yaml", KEY, params.load())
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_whole_numbers_stay_whole_and_numbers_are_short(place):
    content = {
        "training.batch_size": {"low": 8, "high": 64, "log": True},
        "training.weight_decay": {"low": 0.0123456, "high": 0.1},
    }
    space = spaces.parse(content, "s.yaml", KEY, params.load())
    found = spaces.values(space, {"training.batch_size": 17, "training.weight_decay": 0.0345678})
    assert found == {"training.batch_size": 17, "training.weight_decay": 0.0346}
    edge = spaces.values(space, {"training.weight_decay": 0.0123457})
    assert edge == {"training.weight_decay": 0.0123456}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=20), st.recursive(st.none() | st.floats() | st.text(), st.lists)
    )
)
def test_any_content_is_read_or_refused_in_one_line(content):
    loaded = params.load(Path(__file__).parents[3] / "params.yaml")
    try:
        spaces.parse({"training.mixup": content, **content}, "s.yaml", KEY, loaded)
    except UserError as error:
        assert "\n" not in str(error)


def test_values_are_read_back(place):
    loaded = params.load()
    values = {
        "network.dropout": 0.11,
        "training.batch_size": 8,
        "training.augmentation.flip": False,
        "stage1.epochs": 2,
        "stage2.decay": "plateau",
    }
    changed = with_values(KEY, loaded, values)
    own = current(KEY, changed)
    assert {name: own[name] for name in values} == values
    assert current("cnn3", changed)["network.dropout"] == 0.3
    assert current(KEY, loaded) != own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cnn9"], "unveil: unknown architecture 'cnn9'; choose from cnn3"),
        (["cnn3", "--trials", "0"], "unveil: --trials 0 is not possible; give 1 or more"),
        (["cnn3", "--space", "no.yaml"], "unveil: space 'no.yaml' cannot be read: No such file or"),
        (["cnn3", "--name", "../x"], "unveil: --name: '../x' is not a valid name; use 1 to 60"),
        (["cnn3"], "unveil: data/03_packed/train.npz not found; run `unveil pack`"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(place, arguments, message):
    command = [sys.executable, "-m", "unveil", "sweep", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert message in ended.stderr and "Traceback" not in ended.stderr
    assert not Path("data").exists()


def test_without_optuna_the_error_names_the_extra(place):
    code = "import sys; sys.modules['optuna'] = None\nfrom unveil.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", "cnn3"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("unveil: optuna is not installed; it is in the extra train: run")
    assert yaml.safe_load(Path("params.yaml").read_text())
