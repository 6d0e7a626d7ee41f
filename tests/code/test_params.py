"""params.yaml is refused in one line, with the key and the value, before anything runs."""

import re
from pathlib import Path

import pytest

from unveil import params
from unveil.errors import UserError

TEXT = Path("params.yaml").read_text()


def load(tmp_path: Path, old: str, new: str):
    assert old in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    return params.load(path)


def test_the_projects_own_file_loads_in_every_recipe(tmp_path):
    for recipe in ("sample", "modest", "full"):
        path = tmp_path / "params.yaml"
        path.write_text(TEXT)
        params.choose_recipe(recipe, path)
        loaded = params.load(path)
        assert loaded.recipe == recipe
        assert list(loaded.architectures) == [
            *("cnn3", "cnn3_gray", "cnn4", "cnn4_gray", "cnn5_gray", "cnn5_small_gray"),
            *("vgg16", "resnetv2", "efficientnet"),
        ]


def test_turning_the_dial_changes_one_line_and_keeps_the_comments(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    params.choose_recipe("full", path)
    changed = [
        (a, b)
        for a, b in zip(TEXT.splitlines(), path.read_text().splitlines(), strict=True)
        if a != b
    ]
    assert len(changed) == 1
    assert changed[0][1].startswith("recipe: full #")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("recipe: sample", "recipe: tiny", "unknown recipe in .*'tiny'; choose from sample"),
        ("  image_size: 48", "  image_size: big", "data.image_size: .*'big'"),
        ("  image_size: 48", "  image_size: '48'", "data.image_size: .*'48'"),
        ("  image_size: 48", "  imagesize: 48", "data.imagesize: unknown key"),
        ("  seed: 0\n", "  seed: 0\n  sed: 1\n", "data.sed: unknown key"),
        (
            "learning_rate: 5.0e-4",
            "learning_rate: 5e-4",
            r"'5e-4': write it with a point .*1\.0e-3",
        ),
        ("epochs: 2,", "epochs: 0,", "epochs: .*greater than 0, found 0"),
        ("epochs: 2,", "epochs: 2.5,", "epochs: .*found 2.5"),
        ("epochs: 2,", "epochs: 2, decay: linear,", "decay: .*'cosine' or 'plateau'.*'linear'"),
        ("builder: cnn,", "builder: vit,", "architectures.cnn3: .*'vit'"),
        ("dropout: 0.3}", "dropuot: 0.3}", "architectures.cnn3: .*(missing|unknown) key"),
        ("classes: [happy,", "classes: [happy, happy,", "a name stands twice"),
        ("classes: [happy, neutral, sad, surprise]", "classes: 4", "classes: .*found 4"),
        ("      cnn3_gray: *sample_cnn\n", "", "architectures.cnn3_gray: .*no schedule"),
        ("network: {weights: none}", "network: {wieghts: none}", "vgg16: .*wieghts: unknown key"),
        ("recipe: sample", "recipe: [sample", "not YAML"),
        ("  seed: 0", "  seed: 2024-01-01", "not JSON serializable"),
        ("  seed: 0\n", "  seed: -1\n", "data.seed: .*found -1"),
        ("{validation: 0.1, test: 0.1}", "{validation: 0.6, test: 0.6}", "leave nothing to train"),
        ("max_imbalance: 4.0", "max_imbalance: .nan", "JSON compliant"),
        (
            "class_balance: {policy: stop",
            "class_balance: {policy: halt",
            "rules.sets.class_balance: policy: .*'stop' or 'warn', found 'halt'",
        ),
        (
            "readable: {policy: quarantine}",
            "readable: {policy: warn}",
            "readable: policy: .*'stop' or 'quarantine', found 'warn'",
        ),
        (
            "max_imbalance: 4.0",
            "max_imbalance: 0.5",
            "class_balance: max_imbalance: .*equal to 1, found 0.5",
        ),
        (
            "max_imbalance: 4.0",
            "max_imbalace: 4.0",
            "unknown key in .*'max_imbalace'; choose from policy, max_imbalance",
        ),
        (", min_contrast: 2.0", "", "rules.faces.not_constant: min_contrast: missing key"),
        ("    readable: {policy: quarantine}\n", "", "rules.faces.readable: missing key"),
        (
            "    class_balance:",
            "    clas_balance:",
            "unknown rule in .*rules.sets 'clas_balance'; choose from every_class_in_every_split",
        ),
        ("  sets: # about", "  set: # about", "rules.set: unknown key"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as raised:
        load(tmp_path, old, new)
    assert "\n" not in str(raised.value)


def test_an_absent_file_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"^no params\.yaml in "):
        params.load(tmp_path / "params.yaml")


def test_an_unknown_architecture_names_the_choices():
    with pytest.raises(UserError, match=r"unknown architecture 'vgg61'; choose from cnn3, cnn3_g"):
        params.load().named("vgg61")


def test_a_recipe_that_is_not_there_leaves_the_file_alone(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    with pytest.raises(UserError, match="unknown recipe 'huge'"):
        params.choose_recipe("huge", path)
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    "line", ['recipe: "sample"', "recipe:   sample  # quick", "recipe: sample"]
)
def test_the_dial_turns_however_it_is_written(tmp_path, line):
    path = tmp_path / "params.yaml"
    path.write_text(re.sub("^recipe: sample", line, TEXT, flags=re.M))
    params.choose_recipe("full", path)
    assert params.load(path).recipe == "full"
