"""Duplicates across splits or with different labels are found, and the training copies left out."""

import io
import random
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from tests.conftest import ROOT

from unveil.config import params
from unveil.config.params import Params
from unveil.data import manifest, synthetic
from unveil.data.defects import mark_defects

PARAMS = replace(params.load(ROOT / "params.yaml"), near_twins=56)
RULES = PARAMS.rules


def drawn(seed: int) -> Image.Image:
    return Image.fromarray(synthetic.draw_face("happy", np.random.default_rng(seed)))


CHANGES = {
    "recompressed": lambda image: image,
    "lit": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "larger": lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
}


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def made(members: Mapping[str, bytes | str], parameters: Params = PARAMS) -> pd.DataFrame:
    with zipfile.ZipFile("faces.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return manifest.make(Path("faces.zip"), parameters).set_index("member", drop=False)


def with_policy(rule: str, policy: str) -> Params:
    return replace(PARAMS, rules={**RULES, rule: replace(RULES[rule], policy=policy)})


@pytest.fixture(autouse=True)
def inside(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


@pytest.mark.parametrize("name", CHANGES)
def test_near_duplicates_across_splits_are_left_out_of_train(name):
    members = {f"train/sad/{seed}.png": encoded(drawn(seed)) for seed in range(10)}
    changed = encoded(CHANGES[name](drawn(3)), "JPEG", quality=70)
    faces = made({**members, "test/sad/changed.jpg": changed})
    left_out = faces[faces["quarantine"] != ""]["quarantine"].to_dict()
    said = "near_twin_across_splits: test has test/sad/changed.jpg"
    assert left_out == {"train/sad/3.png": said}


def test_near_duplicates_with_two_labels_are_left_out_only_by_policy():
    members = {
        "train/sad/a.png": encoded(drawn(1)),
        "train/happy/b.jpg": encoded(drawn(1), "JPEG"),
        "train/happy/c.png": encoded(drawn(2)),
    }
    fault = "near_twin_with_two_labels: happy and sad"
    faces = made(members)
    assert list(faces["quarantine"]) == [fault, "", fault]
    faces = made(members, with_policy("no_near_twin_with_two_labels", "warn"))
    assert list(faces["fault"]) == [fault, "", fault]
    assert (faces["quarantine"] == "").all()


def test_a_subject_is_kept_in_the_first_split_of_the_order():
    members = {
        "x/train/happy/a.png": encoded(drawn(1)),
        "x/train/happy/b.png": encoded(drawn(2)),
        "x/validation/sad/c.png": encoded(drawn(3)),
        "x/test/sad/d.png": encoded(drawn(4)),
        "x/attributes.csv": (
            "file,subject,source\na.png,ann,u\nb.png,,u\nc.png,bob,v\nd.png,ann,v\n"
        ),
    }
    faces = made(members)
    assert faces["quarantine"].to_dict() == {
        "x/train/happy/a.png": "subject_across_splits: test has x/test/sad/d.png, by subject",
        "x/train/happy/b.png": "",
        "x/validation/sad/c.png": "subject_across_splits: test has x/test/sad/d.png, by source",
        "x/test/sad/d.png": "",
    }


def test_assigned_splits_keep_subjects_and_near_duplicates_together():
    members: dict[str, bytes | str] = {}
    table = "file,subject\n"
    for seed in range(30):
        members[f"happy/{seed}.png"] = encoded(drawn(seed))
        members[f"happy/{seed}.jpg"] = encoded(drawn(seed), "JPEG", quality=70)
        table += f"{seed}.png,s{seed // 2}\n"
    faces = made({**members, "attributes.csv": table})
    assert set(faces["split"]) == {"train", "validation", "test"}
    assert faces.groupby(faces.index.str[:-4])["split"].nunique().max() == 1
    assert faces.groupby("subject")["split"].nunique().max() == 1
    assert (faces["fault"] == "").all()


rows = st.lists(
    st.tuples(
        st.sampled_from(["train", "validation", "test"]),
        st.sampled_from(["happy", "sad"]),
        st.sampled_from("aAbBcd"),
        st.sampled_from(["ann", "bob", None]),
    ),
    min_size=1,
    max_size=12,
)


def table(rows: list[tuple]) -> pd.DataFrame:
    """Create a manifest; ``a`` and ``A`` are near duplicates, ``a`` and ``a`` exact ones."""
    faces = pd.DataFrame(rows, columns=["split", "label", "sha256", "subject"])
    faces["member"] = [f"{place:02}.png" for place in range(len(rows))]
    measured = {"brightness": 99.0, "contrast": 50.0, "width": 48, "height": 48, "mode": "L"}
    return faces.assign(twins=faces["sha256"].str.upper(), fault="", **measured)


@given(rows, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_faults_do_not_depend_on_the_order_of_rows(drawn_rows, order: random.Random):
    faces = table(drawn_rows)
    there = mark_defects(faces, RULES)
    back = mark_defects(faces.iloc[order.sample(range(len(faces)), len(faces))], RULES)
    pd.testing.assert_frame_equal(there, back.sort_index())


@given(rows)
@settings(deadline=None, max_examples=60)
def test_faces_in_use_are_in_one_split_and_have_one_label(drawn_rows):
    faces = mark_defects(table(drawn_rows), RULES)
    used = faces[faces["quarantine"] == ""]
    for column, held in (("twins", ["split", "label"]), ("subject", ["split"])):
        if used[column].notna().any():
            assert used.groupby(column)[held].nunique().to_numpy().max() == 1
    test = faces[faces["split"] == "test"]
    assert not test["quarantine"].str.contains("across_splits").any()
