"""The change of params.yaml: it applies, keeps all comments, and changes nothing else."""

import re
import shutil
import subprocess
from copy import deepcopy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.import_graph import ROOT

from unveil.config import params
from unveil.experiments.sweep import recipe_diff
from unveil.experiments.sweep.recipe_values import current, with_values

TEXT = (ROOT / "params.yaml").read_text()
CONTENT = yaml.safe_load(TEXT)
CHANGES = {
    "network.dropout": st.floats(0, 0.9),
    "stage1.epochs": st.integers(1, 99),
    "stage2.ema": st.floats(0, 0.999),
    "stage2.decay": st.sampled_from(["cosine", "plateau"]),
    "stage2.learning_rate": st.floats(1e-30, 10),
    "training.class_weights": st.booleans(),
    "training.weight_decay": st.floats(0, 1),
    "training.augmentation.shift": st.floats(0, 1),
}
PLACES = [(recipe, key) for recipe in CONTENT["recipes"] for key in CONTENT["architectures"]]


def comments(text: str) -> set[str]:
    return set(re.findall(r"# .*", text))


def expected(recipe: str, key: str, values: dict) -> dict:
    """Change a copy of the content without anchors."""
    content = deepcopy(yaml.safe_load(TEXT))
    # PyYAML gives one object for all aliases: take them apart.
    recipes = {name: yaml.safe_load(yaml.dump(one)) for name, one in content["recipes"].items()}
    for one in recipes.values():
        one["schedules"] = {name: deepcopy(entry) for name, entry in one["schedules"].items()}
        for entry in one["schedules"].values():
            entry["stages"] = deepcopy(entry["stages"])
    for name, value in values.items():
        group, *rest = name.split(".")
        below = recipes[recipe]["schedules"][key]
        if group == "training":
            below = recipes[recipe]["training"]
        elif group == "network":
            below = below.setdefault("network", {})
        else:
            below = below["stages"][int(group[-1]) - 1]
        for step in rest[:-1]:
            below = below[step]
        below[rest[-1]] = value
    return {**content, "recipes": recipes}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PLACES), st.fixed_dictionaries({}, optional=CHANGES))
def test_only_the_values_of_one_network_in_one_recipe_change(where, values):
    recipe, key = where
    after = recipe_diff.edited(TEXT, recipe, key, values)
    assert yaml.safe_load(after) == expected(recipe, key, values)
    assert comments(TEXT) <= comments(after)
    shared = any(name.startswith("training.") for name in values)
    also = recipe_diff.also_changed(TEXT, after, recipe, key)
    assert set(also) <= ({f"all networks of the recipe {recipe}"} if shared else set())


@pytest.mark.parametrize("where", [("sample", "cnn3"), ("modest", "cnn5_gray"), ("full", "vgg16")])
@pytest.mark.parametrize("command", [["git", "apply"], ["patch", "-p1", "--input"]])
def test_git_and_patch_apply_the_diff_and_the_file_is_read(tmp_path, where, command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    recipe, key = where
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    params.choose_recipe(recipe, path)
    before, loaded = path.read_text(), params.load(path)
    values = {
        "stage2.learning_rate": 1e-5,
        "training.mixup": 0.25,
        "network.dropout": 0.123,
        "training.augmentation.blur": 0.5,
    }
    after = recipe_diff.edited(before, recipe, key, values)
    (tmp_path / "recipe.diff").write_text(recipe_diff.unified(before, after, "params.yaml"))
    subprocess.run([*command, "recipe.diff"], cwd=tmp_path, check=True, capture_output=True)
    assert path.read_text() == after
    now = params.load(path)
    assert current(key, now) == current(key, with_values(key, loaded, values))


def test_a_file_without_a_last_line_break_and_no_change(tmp_path):
    assert recipe_diff.unified("a: 1\n", "a: 1\n", "params.yaml") == ""
    (tmp_path / "a.yaml").write_text("b: 1\na: 1")
    diff = recipe_diff.unified("b: 1\na: 1", "b: 1\na: 2", "a.yaml")
    (tmp_path / "a.diff").write_text(diff)
    subprocess.run(["git", "apply", "a.diff"], cwd=tmp_path, check=True)
    assert (tmp_path / "a.yaml").read_text() == "b: 1\na: 2"


def test_a_text_that_yaml_reads_otherwise_is_quoted():
    after = recipe_diff.edited(TEXT, "sample", "vgg16", {"stage2.trainable_from": "yes"})
    assert 'trainable_from: "yes"' in after
