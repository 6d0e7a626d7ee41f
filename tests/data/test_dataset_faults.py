"""Every fault injected into the drawn faces is found; without one, nothing is."""

from pathlib import Path

import pandas as pd
import pytest
from tests.support.dataset_faults import (
    darker,
    imbalance,
    inject_faults,
    missing_group,
    twins_across_splits,
)

from unveil.common.paths import MANIFEST
from unveil.config import params
from unveil.data import manifest, synthetic
from unveil.quality.validate import validate

ROOT = Path(__file__).parents[2]
PARAMS = params.load(ROOT / "params.yaml")
FOUND = {
    imbalance: {
        "class_balance": ("broken", {"train/sad"}),
        "same_labels_as_train": ("broken", {"test", "validation"}),
    },
    missing_group: {
        "group_in_every_class": (
            "warned",
            {f"{split}/happy/glasses=yes" for split in ("train", "validation", "test")},
        ),
        "label_independent_of_group": (
            "warned",
            {f"{split}/glasses" for split in ("train", "validation", "test")},
        ),
    },
    darker: {
        "label_independent_of_quality": (
            "warned",
            {f"{split}/brightness" for split in ("train", "validation", "test")},
        )
    },
    twins_across_splits: {"no_twin_across_splits": ("quarantined", set())},
}
"""The rules that must find each fault: the status of a rule, and some or all of what it names."""

# Great Expectations 1.24 imports what Python and its own libraries have deprecated.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "sample.zip"
    synthetic.draw_dataset(path, counts=PARAMS.sample, seed=PARAMS.data.seed)
    return path


def judged(archive: Path) -> dict[str, dict]:
    manifest.make(archive, PARAMS)
    return {rule["rule"]: rule for rule in validate(MANIFEST, PARAMS)["rules"]}


def test_the_drawn_faces_as_they_are_break_nothing(drawn, place):
    statuses = {name: rule["status"] for name, rule in judged(drawn).items()}
    # Nobody stored another version to compare with.
    assert statuses.pop("same_labels_as_reference") == "no reference"
    assert set(statuses.values()) == {"kept"}


@pytest.mark.parametrize("fault", FOUND, ids=lambda fault: fault.__name__)
def test_an_injected_fault_is_found_by_its_rule(drawn, place, fault):
    rules = judged(inject_faults(drawn, place / "faulty.zip", fault))
    for name, (status, named) in FOUND[fault].items():
        assert rules[name]["status"] == status, name
        assert named <= set(rules[name]["first"]), name


def test_every_injected_twin_is_left_out_of_train(drawn, place):
    judged(inject_faults(drawn, place / "faulty.zip", twins_across_splits))
    faces = pd.read_parquet(MANIFEST)
    left_out = faces[faces["quarantine"] != ""]
    assert len(left_out) == 30
    assert left_out["member"].str.endswith("_again.png").all()
    assert (left_out["split"] == "train").all()
