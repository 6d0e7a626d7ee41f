"""Errors in params.yaml are one line with the key and the value, before anything runs."""

import re
from pathlib import Path

import pytest
import yaml

from unveil.common.errors import UserError
from unveil.common.paths import pipeline_paths, seed_paths
from unveil.config import params

TEXT = Path("params.yaml").read_text()


def load(tmp_path: Path, old: str, new: str):
    assert old in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    return params.load(path)


def written(tmp_path: Path, content: dict) -> params.Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return params.load(path)


def refused(tmp_path: Path, content: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        written(tmp_path, content)
    assert "\n" not in str(raised.value)


def test_the_projects_own_file_loads_in_every_recipe(tmp_path):
    for recipe in ("sample", "modest", "full", "transfer"):
        path = tmp_path / "params.yaml"
        path.write_text(TEXT)
        params.choose_recipe(recipe, path)
        loaded = params.load(path)
        assert loaded.recipe == recipe
        assert list(loaded.architectures) == [
            *("cnn3", "cnn3_gray", "cnn4", "cnn4_gray", "cnn5_gray", "cnn5_small_gray"),
            *("vgg16", "resnetv2", "efficientnet"),
        ]


def test_choosing_a_recipe_changes_one_line_and_keeps_the_comments(tmp_path):
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
            r"'5e-4': write it with a decimal point .*1\.0e-3",
        ),
        ("epochs: 2,", "epochs: 0,", "epochs: .*greater than 0, found 0"),
        ("epochs: 2,", "epochs: 2.5,", "epochs: .*found 2.5"),
        ("epochs: 2,", "epochs: 2, decay: linear,", "decay: .*'cosine' or 'plateau'.*'linear'"),
        ("builder: cnn,", "builder: vit,", "architectures.cnn3: .*'vit'"),
        ("dropout: 0.3}", "dropuot: 0.3}", "architectures.cnn3: .*(missing|unknown) key"),
        ("classes: [happy,", "classes: [happy, happy,", "a name appears twice"),
        ("classes: [happy, neutral, sad, surprise]", "classes: 4", "classes: .*found 4"),
        ("      cnn3_gray: *sample_cnn\n", "", "architectures.cnn3_gray: .*no schedule"),
        ("network: {weights: none}", "network: {wieghts: none}", "vgg16: .*wieghts: unknown key"),
        ("recipe: sample", "recipe: [sample", "not YAML"),
        ("  seed: 0", "  seed: 2024-01-01", "not JSON serializable"),
        ("  seed: 0\n", "  seed: -1\n", "data.seed: .*found -1"),
        ("{validation: 0.1, test: 0.1}", "{validation: 0.6, test: 0.6}", "leave no training data"),
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
        ("  sets: # rules about", "  set: # rules about", "rules.set: unknown key"),
    ],
)
def test_an_error_is_one_line_with_the_key_and_the_value(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as raised:
        load(tmp_path, old, new)
    assert "\n" not in str(raised.value)


BAD_KEYS = (
    *("cnn3.v2", "vgg@16", "a:b", "a/b", "a b", "-cnn", "", "3cnn", "größe", "a" * 61, "../cnn"),
    *("a,b", "=cmd", "a\nb"),
)


@pytest.mark.parametrize("key", BAD_KEYS)
def test_architecture_names_that_dvc_or_files_cannot_have_are_refused(tmp_path, key):
    content = yaml.safe_load(TEXT)
    content["architectures"][key] = content["architectures"]["cnn3"]
    for recipe in content["recipes"].values():
        recipe["schedules"][key] = recipe["schedules"]["cnn3"]
    refused(tmp_path, content, r"architectures: .* is not a valid name; use 1 to 60 of A-Z")


@pytest.mark.parametrize("key", BAD_KEYS)
def test_recipe_names_that_dvc_cannot_have_are_refused(tmp_path, key):
    content = yaml.safe_load(TEXT)
    content["recipes"][key] = content["recipes"]["sample"]
    refused(tmp_path, content, r"recipes: .* is not a valid name; use 1 to 60 of A-Z")


def test_schedule_names_are_checked_too(tmp_path):
    content = yaml.safe_load(TEXT)
    schedules = content["recipes"]["full"]["schedules"]
    schedules["cnn@3"] = schedules["cnn3"]
    refused(tmp_path, content, r"recipes.full.schedules: 'cnn@3' is not a valid name")


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    content = yaml.safe_load(TEXT)
    content["architectures"]["CNN3"] = content["architectures"]["cnn3"]
    content["recipes"]["sample"]["schedules"]["CNN3"] = content["recipes"]["sample"]["schedules"][
        "cnn3"
    ]
    refused(tmp_path, content, "'cnn3' and 'CNN3' differ in case at most")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/b", "not a valid class name"),
        ("a\\b", "not a valid class name"),
        ("..", "not a valid class name"),
        ("=1+1", "not a valid class name"),
        ("@sum", "not a valid class name"),
        ("-sad", "not a valid class name"),
        ("a,b", "not a valid class name"),
        ("a\nb", "not a valid class name"),
        ("a\x1b[31m", "not a valid class name"),
        ("sad ", "not a valid class name"),
        ("", "not a valid class name"),
        ("a" * 41, "1 to 40 letters"),
        ("e\u0301tonne", "not a valid class name"),
        ("<b>", "not a valid class name"),
        ("Happy", "'happy' and 'Happy' differ in case at most"),
        ("test", "'test' cannot be a class"),
        ("Unsure", "'Unsure' cannot be a class"),
    ],
)
def test_invalid_class_names_are_refused(tmp_path, name, said):
    content = yaml.safe_load(TEXT)
    content["classes"].append(name)
    refused(tmp_path, content, f"classes: .*{said}")


@pytest.mark.parametrize(
    "name", ["überrascht", "very happy", "mild-surprise", "よろこび", "7", "खुश"]
)
def test_class_names_of_any_language_are_accepted(tmp_path, name):
    content = yaml.safe_load(TEXT)
    content["classes"].append(name)
    assert written(tmp_path, content).classes[-1] == name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  seed: 0",
            "  seed: .nan",
            r"data\.seed \(line 10\): \.nan is not JSON compliant; write",
        ),
        ("target_risk: 0.1", "target_risk: .inf", r"decision\.target_risk .*: \.inf is not JSON"),
        (
            "latency: 100.0",
            "latency: -.Inf",
            r"promotion\.latency .*: -\.Inf is not JSON compliant",
        ),
        ("latency: 100.0", "latency: 1.0e+999", r"promotion\.latency .* is not JSON compliant"),
        ("latency: 100.0", "latency: 1.0e+30", "latency: .*less than or equal to 60000"),
        ("  seed: 0", "  seed: 4294967296", "data.seed: .*less than 4294967296"),
        ("  seed: 0", "  seed: 010", r"data\.seed .*: 010 is read differently by DVC; write plain"),
        ("  seed: 0", "  seed: 1_000", r"data\.seed .*: 1_000 is read differently by DVC"),
        ("  seed: 0", "  seed: 1:30", r"data\.seed .*: 1:30 is read differently by DVC"),
        ("  seed: 0", "  seed: 0x10", r"data\.seed .*: 0x10 is read differently by DVC"),
        ("  seed: 0", "  seed: true", "data.seed: .*found True"),
        ("  seed: 0", "  seed: 0.0", "data.seed: .*found 0.0"),
        ("  seed: 0", "  seed: " + 5000 * "9", "not YAML: exceeds the limit|Exceeds the limit"),
        ("thumbnails: false", "thumbnails: no", r"report\.thumbnails .*: no is read differently"),
        ("thumbnails: false", "thumbnails: 0", "report.thumbnails: .*found 0"),
        ("class_weights: true", 'class_weights: "true"', "class_weights: .*found 'true'"),
        ("dropout: 0.3", "dropout: true", "cnn3: .*dropout: .*found True"),
        ("  image_size: 48", "  image_size: 0", "data.image_size: .*found 0"),
        ("filters: [32, ", "filters: [0, ", "cnn3: .*filters.*found 0"),
        ("filters: [32, ", "filters: [1000000000000, ", "filters.*equal to 8192"),
        ("epochs: 1,", "epochs: 100000000,", "epochs: .*less than or equal to 10000"),
        ("batch_size: 32", "batch_size: 10000000000", "batch_size: .*equal to 65536"),
        ("cooldown_hours: 24.0", "cooldown_hours: 1000000.0", "cooldown_hours: .*equal to 8784"),
        ("{train: 800,", "{train: 80000000000,", "sample.train: .*equal to 1000000"),
        (":8000 # of", ":80000 # of", r"monitoring.url: .*80000"),
        ("url: http://127.0.0.1:8000", "url: http://", "monitoring.url: .*should be http://"),
        ("  seed: 0\n", "  seed: 0\n  seed: 1\n", r"data\.seed \(line 11\): duplicate key"),
        ("  cnn4: {", "  cnn3: {", r"architectures\.cnn3 \(line \d+\): duplicate key"),
        ("  cnn4: {", "  on: {", r"architectures .*: the key 'on' is not a string; quote it"),
        ("  cnn4: {", "  7: {", r"architectures .*: the key '7' is not a string; quote it"),
        ("  seed: 0\n", "\tseed: 0\n", r"not YAML: .*line 10"),
        ('title: ""', "title: !!binary aGk=", r"provenance.title .*a binary, which is not JSON"),
    ],
)
def test_ambiguous_yaml_is_a_one_line_error(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as raised:
        load(tmp_path, old, new)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_anchors_and_merge_keys_are_read_as_by_dvc(tmp_path):
    loaded = load(
        tmp_path,
        "  cnn4: {builder: cnn, color: rgb, filters: [32, 64, 128, 128], convolutions: 1, ",
        "  cnn4: {<<: {builder: cnn, color: gray, filters: [8], convolutions: 1}, color: rgb, ",
    )
    assert (loaded.architectures["cnn4"].color, loaded.architectures["cnn4"].filters) == (
        "rgb",
        (8,),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"- a\n- b\n",
        b"text",
        b"\xff\xfe\0junk",
        b"a: \x01",
        b"a: [" * 5000,
        b"a: &a [*a]",
        TEXT.encode()[: len(TEXT.encode()) // 2],
        TEXT.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("act", [params.load, lambda path: params.choose_recipe("full", path)])
def test_a_damaged_file_is_a_one_line_error_and_unchanged(tmp_path, content, act):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"params\.yaml: ") as raised:
        act(path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content


def test_an_unreadable_file_is_a_one_line_error(tmp_path):
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match=r"params\.yaml cannot be read: is a directory"):
        params.load(tmp_path / "params.yaml")


def test_another_seeds_checkpoints_are_no_architectures(place):
    assert seed_paths("cnn3", 1).checkpoints != pipeline_paths("cnn3-1").checkpoints


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^no params\.yaml in "):
        params.load(tmp_path / "params.yaml")


def test_an_unknown_architecture_names_the_choices():
    with pytest.raises(UserError, match=r"unknown architecture 'vgg61'; choose from cnn3, cnn3_g"):
        params.load().require_architecture("vgg61")


def test_an_unknown_recipe_leaves_the_file_unchanged(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    with pytest.raises(UserError, match="unknown recipe 'huge'"):
        params.choose_recipe("huge", path)
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    "line", ['recipe: "sample"', "recipe:   sample  # quick", "recipe: sample"]
)
def test_the_recipe_line_is_found_in_any_spelling(tmp_path, line):
    path = tmp_path / "params.yaml"
    path.write_text(re.sub("^recipe: sample", line, TEXT, flags=re.M))
    params.choose_recipe("full", path)
    assert params.load(path).recipe == "full"
