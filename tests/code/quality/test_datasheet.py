"""The datasheet states provenance and measurements, and where data is insufficient."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from unveil.common.errors import UserError
from unveil.common.files import sha256, write_json
from unveil.common.paths import (
    AUDIT_COUNTS,
    DATA_CARD,
    DATA_CARD_PLOTS,
    MANIFEST,
    SUMMARY,
    VALIDATION,
)
from unveil.config import params
from unveil.data import synthetic
from unveil.quality import datasheet


def faces(count: int = 120) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = {
        "member": [f"a/train/happy/{place:03}.png" for place in range(count)],
        "split": (["train"] * 8 + ["validation", "test"]) * (count // 10),
        "label": ["happy", "happy", "neutral", "sad", "surprise", "surprise"] * (count // 6),
        "sha256": [f"{place:064x}" for place in range(count)],
        "quarantine": "",
    }
    quality = {name: generator.normal(100, 20, count) for name in ("brightness", "contrast")}
    return pd.DataFrame({**rows, **quality, "sharpness": 9.0})


RULE = {"rule": "few_quarantined", "sentence": "Only a small share is left out.", "policy": "warn"}
COUNTS = {"broken_by": 0, "left_out": 0, "insufficient": 0, "first": []}


def made(table: pd.DataFrame, status: str = "kept", **provenance: str) -> str:
    content = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump({**content, "provenance": provenance}))
    MANIFEST.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(MANIFEST)
    summary = {
        "images": len(table),
        "dropped_classes": {"fear": 7},
        "ignored_files": 2,
        "quarantined": {"unreadable": 3} if status == "quarantined" else {},
        "exact_twins": {"across_splits": 4, "groups": 5},
        "near_twins": {"groups": 6},
    }
    SUMMARY.write_text(json.dumps(summary))
    strengths = [
        {"member": "train/brightness", "value": 0.234, "low": 0.1, "high": 0.35},
        {"member": "test/brightness", "value": None, "low": None, "high": None},
    ]
    rules = [{**RULE, **COUNTS, "status": status}]
    VALIDATION.write_text(
        json.dumps({"rules": rules, "measured": {"quality_dependence": strengths}})
    )
    assert datasheet.make(params.load()) == DATA_CARD.read_text()
    return DATA_CARD.read_text()


def test_given_provenance_is_stated_and_the_rest_is_not_stated(place):
    said = made(faces(), title="Faces | of <b>mine</b>", licence="CC BY 4.0", collected="2013")
    assert said.startswith("# Data sheet: Faces \\| of &lt;b&gt;mine&lt;/b&gt;\n")
    assert "- Licence: CC BY 4.0" in said
    assert "- Collected: 2013" in said
    assert "- Consent: not stated" in said
    assert "ynthetic" not in said


def test_counts_duplicates_quarantine_and_statuses_are_stated(place):
    table = faces()
    table.loc[:2, "quarantine"] = "unreadable: empty file"
    said = made(table, "quarantined")
    assert "120 images, 117 in use, 3 left out" in said
    assert "| unreadable | 3 |" in said
    assert "- Exact duplicates: 5 groups, 4 across splits" in said
    assert "- Near duplicates: 6 groups" in said
    assert "Dropped class folders: 7 fear" in said
    assert "| Only a small share is left out. | quarantined |" in said
    assert "- Quarantined" not in said
    assert "| train/brightness | 0.23 [0.10, 0.35] |" in said
    assert "| test/brightness | *insufficient data* |" in said
    assert "none are inferred from faces" in said
    for name in ("balance.png", "quality.png"):
        assert (DATA_CARD_PLOTS / name).read_bytes().startswith(b"\x89PNG")
        assert f"({DATA_CARD_PLOTS.name}/{name})" in said


def test_a_violated_rule_is_a_known_limit(place):
    assert "- Warned: Only a small share" in made(faces(), "warned")
    assert "- Insufficient data: Only a small share" in made(faces(), "insufficient data")


def test_small_cells_are_insufficient_data_and_names_are_no_groups(place):
    table = faces().assign(glasses=["no"] * 90 + ["yes"] * 18 + [None] * 12)
    said = made(table.assign(subject=[f"person {place}" for place in range(120)]))
    assert "| glasses | faces | happy | neutral | sad | surprise |" in said
    assert "| no | 90 | 33% | 17% | 17% | 33% |" in said
    few = " | ".join(["*insufficient data*"] * 4)
    assert f"| not known | 12 | {few} |" in said
    assert f"| yes | 18 | {few} |" in said
    assert said.count("*insufficient data*") == 9
    assert "`subject`: 120 values, not shown as groups." in said
    assert "person 1" not in said


def test_the_counts_and_the_version_of_an_audit_are_stated(place):
    assert "were not audited" in made(faces())
    write_json(AUDIT_COUNTS, {})
    assert "were not audited" in made(faces())
    counts = {"faces": 117, "suspected": {"sad": 2, "happy": 1}, "manifest": sha256(MANIFEST)}
    write_json(AUDIT_COUNTS, counts)
    assert "- An audit suspects 3 of 117 labels (1 happy, 2 sad)" in made(faces())
    said = made(faces(150))
    assert "- An audit of an earlier version of these faces suspects 3 of 117 labels" in said


def test_the_sample_is_marked_as_synthetic_whatever_the_provenance(place):
    synthetic.draw_dataset(Path("s.zip"), counts={"train": 4, "test": 4}, seed=0)
    with zipfile.ZipFile("s.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
    assert synthetic.is_synthetic(names)
    assert not synthetic.is_synthetic([*names, "train/happy/1.png"])
    assert not synthetic.is_synthetic([])
    said = made(faces()[: len(names)].assign(member=names), title="Real people")
    assert said.splitlines()[2].startswith("> **Synthetic.** These faces are drawings")
    assert "Real people" not in said


def test_an_unknown_provenance_key_is_refused(place):
    with pytest.raises(UserError, match=r"provenance\.license: unknown key"):
        made(faces(), license="CC")


def test_no_incomplete_files_are_left(place, monkeypatch):
    before = made(faces(), title="first")
    monkeypatch.setattr(datasheet.plots, "image_quality", lambda *rest: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datasheet.make(params.load())
    assert DATA_CARD.read_text() == before
    assert {path.name for path in DATA_CARD_PLOTS.iterdir()} == {"balance.png", "quality.png"}
    assert list(DATA_CARD.parent.glob(".unveil-*")) == []
