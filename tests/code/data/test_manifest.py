"""The manifest has one row for each face; duplicates are found, and splits keep them together."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import ROOT

from unveil.common.errors import UserError
from unveil.config import params
from unveil.config.params import Params
from unveil.config.schema import COLUMNS
from unveil.data import fingerprints, manifest
from unveil.data.splits import assign_splits

PARAMS = params.load(ROOT / "params.yaml")
MEASURED = ["width", "height", "mode", "brightness", "contrast", "sharpness", "bytes_per_pixel"]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(seed: int, side: int = 24) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    return Image.fromarray(values)


def half(width: int, height: int) -> Image.Image:
    """Return an image whose first half of bytes is black, the other white."""
    size = width * height // 2
    return Image.frombytes("L", (width, height), b"\x00" * size + b"\xff" * size)


def face(seed: int) -> bytes:
    return encoded(noise(seed))


def made(members: Mapping[str, bytes], parameters: Params = PARAMS) -> pd.DataFrame:
    """Create the manifest of an archive in the current folder, indexed by member."""
    with zipfile.ZipFile("faces.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return (
        manifest.make(Path("faces.zip"), parameters)
        .set_index("member", drop=False)
        .rename_axis(None)
    )


def summarised() -> dict:
    return json.loads(Path("data/02_manifest/summary.json").read_text())


def counted(groups: int, *, across: int, torn: int) -> dict[str, int]:
    within = groups - across
    counts = {"groups": groups, "within_a_split": within, "across_splits": across}
    return {**counts, "with_two_labels": torn}


def policy(rule: str, policy: str) -> Params:
    """Return the parameters with another policy for a rule."""
    changed = replace(PARAMS.rules[rule], policy=policy)
    return replace(PARAMS, rules=PARAMS.rules | {rule: changed})


def faults(faces: pd.DataFrame) -> dict[str, str]:
    return {name: fault for name, fault in faces["fault"].items() if fault}


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


ORDINARY = {
    f"{name}/{place}.png": face(place)
    for place, name in enumerate(
        f"{split}/{label}"
        for split in ("train", "validation", "test")
        for label in ("happy", "sad") * 3
    )
}


def test_the_columns_are_the_documented_ones_and_the_files_are_written():
    faces = made(ORDINARY)
    documented = ["member", "split", "label", "sha256", "dhash", "phash", *MEASURED]
    documented += ["twins", "fault", "quarantine"]
    assert list(faces.columns) == documented
    stored = pd.read_parquet("data/02_manifest/manifest.parquet")
    pd.testing.assert_frame_equal(stored, faces.reset_index(drop=True))
    assert list(stored["member"]) == sorted(ORDINARY)
    assert not stored.isna().any().any()
    assert faults(faces) == {}


def test_the_rows_do_not_depend_on_the_order_in_the_archive():
    there = made(ORDINARY)
    back = made(dict(reversed(ORDINARY.items())))
    pd.testing.assert_frame_equal(there, back)


def bomb(side: int) -> bytes:
    """Create a PNG of a few bytes whose header declares ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(bytes(1000)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items())


def animated() -> bytes:
    return encoded(noise(1), "GIF", save_all=True, append_images=[noise(2)])


REFUSED = {
    "empty.jpg": (b"", "empty file"),
    "cut.png": (face(3)[:200], "damaged"),
    "cut.jpg": (encoded(noise(3, 90), "JPEG")[:1500], "damaged"),
    "text.jpg": (b"I am no image", "not an image"),
    "page.png": (b"<html><body>404</body></html>", "not an image"),
    "bomb.png": (bomb(60_000), "more than 25000000 pixels"),
    "smaller_bomb.png": (bomb(5_001), "5001x5001 pixels, more than 25000000"),
    "moves.gif": (animated(), "2 frames"),
    "dot.png": (encoded(noise(1, 1)), "1x1 pixels, a side under 16"),
}


def test_every_hostile_member_is_a_row_in_quarantine_with_its_reason():
    ordinary = made(ORDINARY)
    hostile = {f"train/happy/{name}": content for name, (content, _) in REFUSED.items()}
    faces = made(ORDINARY | hostile)
    for name, (_, reason) in REFUSED.items():
        row = faces.loc[f"train/happy/{name}"]
        assert row["quarantine"].startswith("unreadable: "), name
        assert reason in row["quarantine"], name
        assert (row["sha256"], row["width"], row["height"], row["mode"]) == ("", 0, 0, "")
        assert np.isnan(row["brightness"])
    pd.testing.assert_frame_equal(faces.loc[sorted(ORDINARY)], ordinary)
    assert summarised()["quarantined"] == {"unreadable": len(REFUSED)}


def test_a_damaged_member_of_the_zip_is_a_row_in_quarantine():
    made(ORDINARY)
    whole = bytearray(Path("faces.zip").read_bytes())
    whole[whole.index(b"IDAT") + 40] ^= 0xFF
    Path("faces.zip").write_bytes(whole)
    faces = manifest.make(Path("faces.zip"), PARAMS)
    (fault,) = [fault for fault in faces["fault"] if fault]
    assert fault.startswith("unreadable: damaged member: Bad CRC-32")


def test_unusual_but_valid_images_are_decoded():
    turned = Image.new("L", (20, 30), 50)
    exif = turned.getexif()
    exif[0x0112] = 6
    odd = {
        "train/happy/cmyk.jpg": encoded(noise(1).convert("CMYK"), "JPEG"),
        "train/happy/rgba.png": encoded(noise(2).convert("RGBA")),
        "train/happy/deep.png": encoded(Image.fromarray(np.full((20, 20), 51400, np.uint16))),
        "train/happy/turned.jpg": encoded(turned, "JPEG", exif=exif),
        "train/happy/still.gif": encoded(noise(3), "GIF"),
        "train/happy/upper.PNG": face(4),
        "train/happy/png_named.jpg": face(5),
    }
    faces = made(odd)
    assert not faults(faces).keys() - {"train/happy/deep.png", "train/happy/turned.jpg"}
    modes = {name.split("/")[-1]: mode for name, mode in faces["mode"].items()}
    assert modes["cmyk.jpg"] == "CMYK"
    assert modes["rgba.png"] == "RGBA"
    assert faces.loc["train/happy/deep.png", "brightness"] == 200
    assert tuple(faces.loc["train/happy/turned.jpg", ["width", "height"]]) == (30, 20)


def test_an_archive_without_readable_images_is_all_in_quarantine():
    faces = made({"train/happy/a.png": b"", "test/sad/b.png": b"no"})
    assert list(faces["quarantine"].str.split(":").str[0]) == ["unreadable"] * 2
    assert summarised()["used"] == {}


def test_of_duplicates_across_splits_test_is_kept_then_validation():
    faces = made(
        {
            "train/happy/a1.png": face(1),
            "train/happy/a2.png": face(1),
            "validation/happy/a3.png": face(1),
            "test/happy/a5.png": face(1),
            "test/happy/a4.png": face(1),
            "train/sad/b1.png": face(2),
            "validation/sad/b2.png": face(2),
            "train/sad/c1.png": face(3),
            "train/sad/c2.png": face(3),
        }
    )
    in_test = "twin_across_splits: test has test/happy/a4.png"
    assert faults(faces) == {
        "train/happy/a1.png": in_test,
        "train/happy/a2.png": in_test,
        "validation/happy/a3.png": in_test,
        "train/sad/b1.png": "twin_across_splits: validation has validation/sad/b2.png",
    }
    assert faces["quarantine"].equals(faces["fault"])
    assert summarised()["exact_twins"] == counted(3, across=2, torn=0)


def test_duplicates_have_equal_pixels_not_bytes():
    image = noise(1)
    faces = made(
        {
            "train/happy/a.png": encoded(image),
            "test/happy/a.bmp": encoded(image, "BMP"),
            "train/happy/wide.png": encoded(half(60, 30)),
            "test/happy/high.png": encoded(half(30, 60)),
        }
    )
    exact = [name for name, fault in faults(faces).items() if fault.startswith("twin_")]
    assert exact == ["train/happy/a.png"]


def test_duplicates_with_two_labels_are_all_left_out():
    faces = made(
        {
            "train/sad/a.png": face(1),
            "train/happy/b.png": face(1),
            "train/happy/c.png": face(1),
            "train/happy/d.png": face(2),
            "validation/sad/e.png": face(3),
            "test/happy/f.png": face(3),
        }
    )
    torn = "twin_with_two_labels: happy and sad"
    assert faults(faces) == {
        "train/sad/a.png": torn,
        "train/happy/b.png": torn,
        "train/happy/c.png": torn,
        "validation/sad/e.png": "twin_across_splits: test has test/happy/f.png",
    }
    assert summarised()["exact_twins"]["with_two_labels"] == 2


def test_faces_with_a_fault_under_another_policy_stay_in_use():
    only = policy("no_twin_across_splits", "stop")
    members = {"train/happy/a.png": face(1), "test/happy/b.png": face(1), "test/sad/c.png": b""}
    faces = made(members, only)
    assert faces.loc["train/happy/a.png", "fault"].startswith("twin_across_splits")
    assert faces.loc["train/happy/a.png", "quarantine"] == ""
    assert list(manifest.used_faces(faces, "train")["member"]) == ["train/happy/a.png"]
    assert faces.loc["test/sad/c.png", "quarantine"] == "unreadable: empty file"


def with_table(table: str | bytes) -> pd.DataFrame:
    content = table if isinstance(table, bytes) else table.encode()
    return made(
        {"faces/train/happy/a.png": face(1), "faces/train/sad/b.png": face(2)}
        | {"faces/attributes.csv": content}
    )


def test_attributes_are_joined_on_the_file_name():
    faces = with_table("glasses,file,age\nnone,b.png,007\nNone,elsewhere.png,1\n")
    assert list(faces.columns) == [*COLUMNS, "glasses", "age", "quarantine"]
    assert list(faces.loc["faces/train/sad/b.png", ["glasses", "age"]]) == ["none", "007"]
    assert faces.loc["faces/train/happy/a.png", ["glasses", "age"]].isna().all()
    assert len(faces) == 2


def test_only_empty_attribute_cells_are_missing_values():
    faces = with_table("file,glasses\na.png,None\nb.png,\n")
    assert faces["glasses"].iloc[0] == "None"
    assert pd.isna(faces["glasses"].iloc[1])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("name,age\na.png,1\n", "has no column 'file'; it has name, age"),
        ("file,label\na.png,happy\n", "the column 'label' is one of the manifest's own"),
        ("file,quarantine\na.png,\n", "the column 'quarantine' is one of the manifest's own"),
        ("file,age\na.png,1\nb.png,2\na.png,3\n", "'a.png' appears twice"),
        ("", "cannot be read as a table: no columns"),
        ("file,age\na.png,1,2,3\nb.png,1,2,3,4,5\n", "cannot be read as a table"),
        (b"file,name\na.png,\xff\xfe\xfa\n", "cannot be read as a table"),
    ],
)
def test_attributes_that_cannot_be_joined_are_a_one_line_error(table, said):
    with pytest.raises(UserError) as refusal:
        with_table(table)
    assert str(refusal.value).startswith("faces/attributes.csv")
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert not Path("data").exists()


LABELS = {"happy": 60, "sad": 40, "surprise": 20}


def unsplit(seed: int = 0) -> pd.DataFrame:
    """Return a manifest without splits in which every fifth face has a duplicate, some damaged."""
    generator = np.random.default_rng(seed)
    rows = []
    for label, count in LABELS.items():
        for place in range(count):
            digest = f"{label}{place // 2 if place % 10 == 1 else place}"
            if place == 7:
                digest = "torn"
            rows.append({"member": f"{label}/{place}", "label": label, "kin": digest})
    order = generator.permutation(len(rows))
    faces = pd.DataFrame(rows).iloc[order].reset_index(drop=True)
    return faces.assign(split=None)


def splits(faces: pd.DataFrame, *, seed: int = 0) -> dict[str, str]:
    drawn = assign_splits(faces, shares=PARAMS.data.splits, seed=seed)
    return dict(zip(faces["member"], drawn, strict=True))


def test_missing_splits_are_stratified():
    faces = unsplit().assign(split=None)
    faces["split"] = assign_splits(faces, shares=PARAMS.data.splits, seed=0)
    counts = faces.groupby(["label", "split"]).size()
    for label, count in LABELS.items():
        for name in ("validation", "test"):
            assert counts[label, name] == pytest.approx(count * 0.1, abs=2.5)


def test_splits_do_not_depend_on_the_order_of_rows():
    assert splits(unsplit(0)) == splits(unsplit(1))
    assert splits(unsplit(0)) == splits(unsplit(0))
    assert splits(unsplit(0)) != splits(unsplit(0), seed=1)


def test_one_more_face_changes_few_splits():
    faces = unsplit()
    more = pd.concat(
        [faces, pd.DataFrame([{"member": "x", "label": "happy", "kin": "x", "split": None}])],
        ignore_index=True,
    )
    before, after = splits(faces), splits(more)
    assert sum(before[name] != after[name] for name in before) <= 3


def test_near_duplicates_are_in_one_split_of_a_manifest():
    bright = noise(7).point(lambda value: value // 2)
    members = {f"happy/{place}.png": face(place) for place in range(40)}
    members |= {f"sad/{place}.png": face(1000 + place) for place in range(40)}
    members |= {f"happy/twin{place}.png": face(place) for place in range(0, 40, 2)}
    members |= {"happy/similar.png": encoded(bright)}
    faces = made(members)
    assert faces.groupby("sha256")["split"].nunique().max() == 1
    assert faces.groupby("twins")["split"].nunique().max() == 1
    assert set(faces["split"]) == {"train", "validation", "test"}
    assert faults(faces) == {}


def test_only_the_missing_split_is_assigned():
    members = {f"train/happy/{place}.png": face(place) for place in range(20)}
    members |= {f"test/happy/t{place}.png": face(100 + place) for place in range(5)}
    faces = made(members)
    assert faces["split"].value_counts().to_dict() == {"train": 18, "test": 5, "validation": 2}
    assert (faces.filter(like="test/", axis=0)["split"] == "test").all()


def test_existing_splits_are_unchanged():
    faces = made(ORDINARY)
    assert list(faces["split"]) == [name.split("/")[0] for name in faces["member"]]


def test_a_test_folder_without_train_is_refused():
    with pytest.raises(UserError, match=r"^the archive has test but no train folder$"):
        made({"test/happy/a.png": face(1)})


hashes = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(["happy", "sad"])), min_size=1, max_size=40
)


@given(
    hashes,
    st.integers(0, 5),
    st.fixed_dictionaries({}, optional={"validation": st.floats(0, 1), "test": st.floats(0, 1)}),
)
@settings(deadline=None)
def test_split_assignment_keeps_near_duplicates_together(rows, seed, shares):
    faces = pd.DataFrame(rows, columns=["kin", "label"]).assign(split=None)
    faces["kin"] = faces["kin"].astype(str)
    drawn = assign_splits(faces, shares=shares, seed=seed)
    assert drawn.isin(["train", *shares]).all()
    assert drawn.groupby(faces["kin"]).nunique().max() == 1


def test_the_summary_has_the_counts():
    made(
        {
            "train/happy/a.png": face(1),
            "train/happiness/b.png": face(2),
            "train/sad/c.png": b"",
            "test/sad/d.png": face(3),
            "test/sad/e.png": face(1),
            "train/fear/f.png": face(4),
            "train/Fear/g.png": face(5),
            "train/anger/h.png": face(6),
            "train/README.txt": b"hello",
            ".hidden/happy/i.png": face(7),
        }
    )
    assert summarised() == {
        "synthetic": False,
        "images": 5,
        "used": {"train": {"happy": 1}, "test": {"sad": 2}},
        "dropped_classes": {"anger": 1, "fear": 2},
        "ignored_files": 2,
        "quarantined": {"twin_across_splits": 1, "unreadable": 1},
        "exact_twins": counted(1, across=1, torn=1),
        "near_twins": counted(0, across=0, torn=0),
    }


def test_used_rows_are_those_of_the_split_by_name():
    faces = made(
        {f"train/happy/{name}.png": face(n) for n, name in enumerate("cab")}
        | {"train/happy/d.png": b""}
    ).sample(frac=1, random_state=0)
    assert [name[-5] for name in manifest.used_faces(faces, "train")["member"]] == ["a", "b", "c"]


def test_the_difference_hash_by_hand():
    rising = np.tile(np.arange(9, dtype=np.uint8) * 10, (8, 1))
    assert fingerprints.dhash(rising) == "f" * 16
    assert fingerprints.dhash(rising[:, ::-1].copy()) == "0" * 16
    mixed = rising.copy()
    mixed[0] = mixed[0, ::-1]
    mixed[1] = [0, 9, 0, 9, 0, 9, 0, 9, 0]
    assert fingerprints.dhash(mixed) == "00aa" + "f" * 12
    enlarged = np.asarray(Image.fromarray(mixed).resize((90, 80), Image.Resampling.NEAREST))
    assert fingerprints.dhash(enlarged) == fingerprints.dhash(mixed)


def test_brightness_contrast_and_sharpness_by_hand():
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:, 8:] = 200
    flat = Image.new("L", (16, 16), 77)
    faces = made(
        {"happy/edge.png": encoded(Image.fromarray(pixels)), "happy/flat.png": encoded(flat)}
    )
    edge = faces.loc["happy/edge.png"]
    assert (edge["brightness"], edge["contrast"]) == (100, 100)
    # The Laplacian is 200 and -200 on two of the 14 inner columns, 0 elsewhere.
    assert edge["sharpness"] == pytest.approx(2 / 14 * 200**2)
    smooth = faces.loc["happy/flat.png", ["brightness", "contrast", "sharpness"]]
    assert list(smooth) == [77, 0, 0]


def test_attributes_may_name_a_face_by_its_path_where_names_repeat():
    members = {"x/train/happy/0.png": face(1), "x/train/sad/0.png": face(2)}
    table = b"file,site\nhappy/0.png,A\ntrain/sad/0.png,B\n"
    assert list(made({**members, "x/attributes.csv": table})["site"]) == ["A", "B"]
    for rows, said in (
        (b"file,site\n0.png,A\n", "attributes.csv: '0.png' matches several faces"),
        (b"file,site\nhappy/0.png,A\nx/train/happy/0.png,B\n", "or a face named before"),
        (
            b"file,site\nnope.png,A\n",
            "names no face of the archive, first 'nope.png'",
        ),
    ):
        with pytest.raises(UserError, match=said):
            made({**members, "x/attributes.csv": rows})
