"""Every rule has a manifest that violates it alone, and the result names the violation."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from typer.testing import CliRunner

from unveil.cli import app
from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.paths import MANIFEST
from unveil.config import params
from unveil.config.params import Params
from unveil.quality import validate as validates
from unveil.quality.dataset_statistics import (
    REQUIRED_COLUMNS,
    class_counts,
    missing_values,
    rule_tables,
)
from unveil.quality.validate import validate
from unveil.rules.expectations import RULES
from unveil.rules.settings import Setting

PARAMS = params.load(ROOT / "params.yaml")
COUNTS = {"train": 60, "validation": 100, "test": 50}
DOCS = Path("data/02_manifest/data_docs")

# Great Expectations 1.24 imports what Python and its own libraries have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def clean() -> pd.DataFrame:
    rows = [
        {"member": f"{split}/{label}/{place}.png", "split": split, "label": label}
        for split, count in COUNTS.items()
        for label in PARAMS.classes
        for place in range(count)
    ]
    faces = pd.DataFrame(rows).assign(dhash="0" * 16, width=48, height=48, mode="L")
    faces["sha256"] = [f"{place:064x}" for place in range(len(faces))]
    faces = faces.assign(brightness=100.0, contrast=50.0, sharpness=9.0, bytes_per_pixel=0.5)
    return faces.assign(fault="", quarantine="")


def changed(column: str, value: object, *, row: int = 5) -> Callable[[], pd.DataFrame]:
    def change() -> pd.DataFrame:
        faces = clean()
        faces.loc[row, column] = value
        return faces

    return change


def another_mix() -> pd.DataFrame:
    """Halve all but one class of validation: enough and balanced, but unlike train."""
    faces = clean()
    others = faces.query("split == 'validation' and label != 'happy'")
    return faces.drop(others.index[::2])


def few_of_a_class() -> pd.DataFrame:
    """Keep 9 happy faces of the test split, one under the minimum, and 30 of the others."""
    faces = clean()
    test = faces[faces["split"] == "test"]
    place = test.groupby("label").cumcount()
    return faces.drop(test.index[place >= (test["label"] == "happy").map({True: 9, False: 30})])


def many_of_a_class() -> pd.DataFrame:
    """Return 4.1 times as many happy faces as others, in all splits."""
    happy = clean().query("label == 'happy'")
    copies = [
        happy.assign(member=happy["member"] + f".{copy}", sha256=happy["sha256"].str[::-1])
        for copy in range(4)
    ]
    return pd.concat([clean(), *copies], ignore_index=True)


def much_in_quarantine() -> pd.DataFrame:
    """Put an eighth of every class in every split into quarantine."""
    faces = clean()
    faces.loc[faces.index % 8 == 0, ["fault", "quarantine"]] = "unreadable: not an image"
    return faces


def grouped() -> pd.DataFrame:
    """Add two groups, one of them a quarter of the faces."""
    faces = clean()
    return faces.assign(tone=np.where(faces.index % 4 == 0, "dark", "light"))


def group_missing_from_a_class() -> pd.DataFrame:
    """Keep 4 dark sad faces in the test split, one under the minimum."""
    faces = grouped()
    return faces.drop(
        faces.query("split == 'test' and label == 'sad' and tone == 'dark'").index[4:]
    )


def told_by_group() -> pd.DataFrame:
    """Make four in five happy faces dark, and one in five of the others."""
    faces = clean()
    dark = np.where(faces["label"] == "happy", faces.index % 5 != 0, faces.index % 5 == 0)
    return faces.assign(tone=np.where(dark, "dark", "light"))


def told_by_light() -> pd.DataFrame:
    """Make happy faces darker than the others, by half of their standard deviation."""
    faces = clean()
    light = 100 + faces.index % 40 - 20 * (faces["label"] == "happy")
    return faces.assign(brightness=light.astype(float))


FILE = "train/happy/5.png"
CELLS = sorted(f"{split}/{label}" for split in COUNTS for label in PARAMS.classes)
REFERENCE = {"happy": 0.7, "neutral": 0.1, "sad": 0.1, "surprise": 0.1}
BREAKING: dict[str, tuple[Callable[[], pd.DataFrame], list[str]]] = {
    "complete": (changed("brightness", np.nan), [FILE]),
    "member_named_once": (changed("member", "train/happy/6.png"), ["train/happy/6.png"]),
    "known_split": (changed("split", "trial"), [FILE]),
    "known_label": (changed("label", "angry"), [FILE]),
    "digested": (changed("sha256", "abc"), [FILE]),
    "brightness_range": (changed("brightness", 255.5), [FILE]),
    "readable": (changed("fault", "unreadable: empty file"), [FILE]),
    "large_enough": (changed("fault", "too_small: 16x16 pixels"), [FILE]),
    "known_mode": (changed("fault", "other_word: 1; unknown_mode: F"), [FILE]),
    "not_constant": (changed("fault", "constant: contrast 0.0"), [FILE]),
    "not_near_black": (changed("fault", "near_black: brightness 0.0"), [FILE]),
    "not_near_white": (changed("fault", "near_white: brightness 255.0"), [FILE]),
    "no_twin_across_splits": (changed("fault", "twin_across_splits: test has x"), [FILE]),
    "no_twin_with_two_labels": (changed("fault", "twin_with_two_labels: a and b"), [FILE]),
    "no_near_twin_across_splits": (
        changed("fault", "near_twin_across_splits: test has x"),
        [FILE],
    ),
    "no_near_twin_with_two_labels": (
        changed("fault", "near_twin_with_two_labels: a and b"),
        [FILE],
    ),
    "one_split_per_subject": (changed("fault", "subject_across_splits: test has x"), [FILE]),
    "every_class_in_every_split": (few_of_a_class, ["test/happy"]),
    "class_balance": (many_of_a_class, [cell for cell in CELLS if "happy" not in cell]),
    "class_share": (clean, CELLS[:10]),
    "same_labels_as_train": (another_mix, ["validation"]),
    "same_labels_as_reference": (clean, ["test", "train", "validation"]),
    "few_quarantined": (
        much_in_quarantine,
        sorted(clean().loc[lambda faces: faces.index % 8 == 0, "member"])[:10],
    ),
    "attributes_are_groups": (
        lambda: clean().assign(site=[f"site {row % 21}" for row in range(len(clean()))]),
        ["site"],
    ),
    "group_share": (grouped, [f"{split}/tone=dark" for split in sorted(COUNTS)]),
    "group_in_every_class": (group_missing_from_a_class, ["test/sad/tone=dark"]),
    "label_independent_of_group": (told_by_group, [f"{split}/tone" for split in sorted(COUNTS)]),
    "label_independent_of_quality": (
        told_by_light,
        [f"{split}/brightness" for split in sorted(COUNTS)],
    ),
}
BOUNDS = {
    "class_share": {"min_share": 0.26},
    "same_labels_as_reference": {"reference": REFERENCE},
    "group_share": {"min_share": 0.3},
}
"""Where the project's own bounds cannot be broken alone: others."""


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def bounded(name: str, **bounds: object) -> Params:
    """Return the parameters with other bounds for a rule."""
    setting = PARAMS.rules[name]
    other = replace(setting, values={**setting.values, **bounds})
    return replace(PARAMS, rules=PARAMS.rules | {name: other})


def judged(faces: pd.DataFrame, parameters: Params = PARAMS) -> dict:
    faces.to_parquet("manifest.parquet")
    return validate(Path("manifest.parquet"), parameters)


def broken(verdict: dict) -> dict[str, dict]:
    return {
        rule["rule"]: rule for rule in verdict["rules"] if rule["status"] in ("broken", "warned")
    }


def test_every_rule_has_a_manifest_that_violates_it():
    assert list(BREAKING) == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_a_rule_is_violated_alone_and_names_the_rows(name):
    faces, files = BREAKING[name]
    verdict = judged(faces(), bounded(name, **BOUNDS.get(name, {})))
    assert list(broken(verdict)) == [name]
    warns = PARAMS.rules[name].policy == "warn"
    assert broken(verdict)[name]["status"] == ("warned" if warns else "broken")
    assert verdict["passed"] == warns
    assert broken(verdict)[name]["first"] == files
    assert broken(verdict)[name]["broken_by"] >= len(files)


def test_a_clean_manifest_passes_and_its_verdict_and_docs_are_written():
    (DOCS / "old").mkdir(parents=True)
    verdict = judged(clean())
    assert verdict["passed"]
    assert broken(verdict) == {}
    assert [rule["sentence"] for rule in verdict["rules"] if rule["broken_by"]] == []
    assert {rule["rule"]: rule["sentence"] for rule in verdict["rules"]} == {
        rule.name: rule.sentence for rule in RULES
    }
    assert json.loads(Path("data/02_manifest/validation.json").read_text()) == verdict
    assert verdict["manifest"] == sha256(Path("manifest.parquet"))
    assert "<html" in (DOCS / "index.html").read_text()
    pages = [path.read_text() for path in (DOCS / "expectations").glob("*.html")]
    assert all(any(rule.sentence in page for page in pages) for rule in RULES)
    assert not (DOCS / "old").exists()


def test_null_values_are_violations():
    faces = clean()
    for row, column in enumerate(REQUIRED_COLUMNS):
        faces[column] = faces[column].astype(object)
        faces.loc[row, column] = None
    faces.loc[20, "brightness"] = np.nan
    verdict = judged(faces)
    assert list(broken(verdict)) == ["complete"]
    assert broken(verdict)["complete"]["broken_by"] == len(REQUIRED_COLUMNS) + 1
    assert {"train/happy/1.png", "train/happy/2.png", "train/happy/20.png"} <= set(
        broken(verdict)["complete"]["first"]
    )


def test_missing_values_are_named_and_an_unreadable_face_needs_no_brightness():
    faces = clean()[:4].astype({"label": object})
    faces.loc[0, ["label", "brightness"]] = [None, np.nan]
    faces.loc[1, ["brightness", "quarantine"]] = [np.nan, "unreadable: empty file"]
    faces.loc[2, ["brightness", "quarantine"]] = [np.nan, None]
    assert list(missing_values(faces)) == ["label brightness", "", "quarantine brightness", ""]
    assert missing_values(faces[:0]).empty


def test_data_without_faces_in_use_does_not_pass():
    verdict = judged(clean().assign(quarantine="unreadable: empty file"))
    assert {"every_class_in_every_split", "few_quarantined"} <= set(broken(verdict))


def test_a_violated_rule_names_ten_files_at_most_and_counts_all():
    faces = clean()
    faces.loc[:14, "brightness"] = -1
    rule = broken(judged(faces))["brightness_range"]
    assert (rule["broken_by"], len(rule["first"])) == (15, validates.MAX_NAMED)


def test_class_balance_by_hand():
    counts = {
        ("train", "a"): 6,
        ("train", "b"): 2,
        ("validation", "a"): 1,
        ("test", "a"): 2,
        ("test", "b"): 2,
    }
    rows = [
        {"split": split, "label": label}
        for (split, label), count in counts.items()
        for _ in range(count)
    ]
    minimum = Setting("stop", {"train": 5, "validation": 1, "test": 2})
    rules = PARAMS.rules | {"every_class_in_every_split": minimum}
    parameters = replace(PARAMS, classes=("a", "b"), rules=rules)
    table = class_counts(pd.DataFrame(rows), parameters).set_index("member")
    assert list(table.index) == [
        "train/a",
        "train/b",
        "validation/a",
        "validation/b",
        "test/a",
        "test/b",
    ]
    assert list(table["images"]) == [6, 2, 1, 0, 2, 2]
    assert list(table["share"]) == [0.75, 0.25, 1, 0, 0.5, 0.5]
    assert list(table["times_smaller"]) == [1, 3, 1, 2, 1, 1]
    assert list(table["spare_images"]) == [1, -3, 0, -1, 0, 0]


def test_policy_quarantine_leaves_faces_out_and_names_them():
    faces = clean()
    faces.loc[[5, 3], ["fault", "quarantine"]] = "near_black: brightness 0.0"
    verdict = judged(faces)
    assert verdict["passed"]
    rule = next(rule for rule in verdict["rules"] if rule["rule"] == "not_near_black")
    assert (rule["status"], rule["left_out"], rule["broken_by"]) == ("quarantined", 2, 0)
    assert rule["first"] == ["train/happy/3.png", "train/happy/5.png"]


def test_too_few_faces_are_insufficient_data():
    faces = told_by_group().query("split != 'test'")
    faces.loc[faces.index[:15], "tone"] = "both"
    verdict = judged(faces, bounded("label_independent_of_group", max_v=1.0))
    rules = {rule["rule"]: rule for rule in verdict["rules"]}
    assert rules["same_labels_as_reference"]["status"] == "no reference"
    assert rules["label_independent_of_quality"]["status"] == "insufficient data"
    dependence = verdict["measured"]["group_dependence"]
    numbers = {row["member"]: row["value"] for row in dependence}
    few = ("train", "validation", "test")
    assert [numbers[f"{split}/tone=both"] for split in few] == [None, None, None]
    assert numbers["test/tone"] is None
    assert numbers["train/tone"] > 0.5
    assert rules["label_independent_of_group"]["status"] == "kept"
    assert rules["label_independent_of_group"]["insufficient"] == 6


def test_the_data_docs_have_the_severity_of_a_rule():
    judged(clean())
    pages = "".join(path.read_text() for path in (DOCS / "expectations").glob("*.html"))
    assert '<span class="policy stop">stop</span> <small>class_balance: ' in pages
    assert '<span class="policy warn">warn</span> <small>class_share: ' in pages


def test_a_reference_with_other_classes_is_refused():
    with pytest.raises(UserError, match="unknown class in same_labels_as_reference 'angry'"):
        judged(clean(), bounded("same_labels_as_reference", reference={"angry": 1.0}))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_tables_do_not_depend_on_the_order_of_rows(seed):
    faces = told_by_light().assign(tone=told_by_group()["tone"])
    mixed = faces.sample(frac=1, random_state=seed).reset_index(drop=True)
    there, mixed = rule_tables(faces, PARAMS), rule_tables(mixed, PARAMS)
    for name in there.keys() - {"archive", "faces"}:
        pd.testing.assert_frame_equal(there[name], mixed[name], check_exact=True)


def test_the_verdict_does_not_depend_on_the_order_of_rows():
    faces = told_by_light().assign(tone=told_by_group()["tone"])
    faces.loc[:14, "fault"] = "too_small: 16x16 pixels"
    there, mixed = judged(faces), judged(faces.sample(frac=1, random_state=1))
    assert there["rules"] == mixed["rules"]
    assert there["measured"] == mixed["measured"]


def test_the_command_prints_warnings_with_the_cells_and_succeeds():
    shutil.copy(ROOT / "params.yaml", ".")
    MANIFEST.parent.mkdir(parents=True)
    told_by_light().to_parquet(MANIFEST)
    said = CliRunner().invoke(app, ["validate"])
    assert said.exit_code == 0
    assert "warned by 3: Labels do not depend on image quality" in said.stderr
    assert re.search(r"test/brightness 0\.\d+, train/brightness 0\.\d+, valid", said.stderr)
    assert "1 warned" in said.stdout


def test_the_command_fails_in_one_line_if_a_stop_rule_is_violated():
    shutil.copy(ROOT / "params.yaml", ".")
    MANIFEST.parent.mkdir(parents=True)
    changed("label", "angry")().to_parquet(MANIFEST)
    said = CliRunner().invoke(app, ["validate"])
    assert f"broken by 1: Every face has one of the classes. {FILE}" in said.stderr
    assert isinstance(said.exception, UserError)
    assert str(said.exception).startswith("the data broke 1 of ")
