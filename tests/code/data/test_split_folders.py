"""Split folders under their usual names are recognised; none is pooled unnoticed."""

import pytest

from unveil.common.errors import UserError
from unveil.data.split_folders import pooled_counts, recognise_splits, renamed_folders


def found(*names: str, **given: str) -> dict[str, str | None]:
    """Return the split of each path of folders."""
    parents = {tuple(name.split("/")) if name else (): 10 for name in names}
    splits = recognise_splits(parents, given)
    return {name: splits[path] for name, path in zip(names, parents, strict=True)}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "valid", "testing"),
        ("FER2013Train", "FER2013Valid", "FER2013Test"),
        ("Training", "PublicTest", "PrivateTest"),
        ("train_set", "val_set", "test_set"),
        ("train", "dev", "test"),
        ("train", "eval", "test"),
        ("train", "val", "eval"),
        ("train", "dev", "hold-out"),
        ("images_train", "images_validation", "images_test"),
        ("myTrain", "myVal", "myTest"),
        ("raftrain", "rafvalid", "raftest"),
        ("top/a/train01", "top/a/valid01", "top/a/test01"),
        ("trainset", "devset", "testset"),
    ],
)
def test_usual_names_are_splits(train, validation, test):
    splits = found(train, validation, test)
    assert splits == {train: "train", validation: "validation", test: "test"}


def test_a_held_out_folder_beside_train_is_the_test_set():
    assert found("train", "eval") == {"train": "train", "eval": "test"}


@pytest.mark.parametrize(
    "names",
    [
        ("",),
        ("a",),
        ("FER2013Test",),
        ("my_train_test_faces",),
        ("batch1", "batch2"),
        ("latest", "oldest"),
        ("test-of-time/anna", "test-of-time/berta"),
    ],
)
def test_folders_that_contain_all_images_are_no_splits(names):
    assert set(found(*names).values()) == {None}


@pytest.mark.parametrize(
    "names",
    [
        ("fold_1", "fold_2"),
        ("FER2013Valid", "FER2013Test"),
        ("FER2013Train", "extra"),
        ("train_a/x", "test_a/x"),
        ("train", "val", "test", "eval"),
        ("train_and_test", "train_b"),
        ("anna", "dev"),
    ],
)
def test_ambiguous_split_folders_are_refused_by_name(names):
    with pytest.raises(UserError) as refusal:
        found(*names)
    line = str(refusal.value)
    assert "data.split_folders in params.yaml" in line
    assert any(f"{name!r} (10 images)" in line for name in names)
    assert len(line.splitlines()) == 1


def test_parameters_set_the_split_of_a_folder():
    assert found("a", "b", a="train", b="test") == {"a": "train", "b": "test"}
    assert found("Fold_1", "fold_2", fold_1="train", fold_2="validation") == {
        "Fold_1": "train",
        "fold_2": "validation",
    }
    assert found("anna", "dev", dev="none") == {"anna": None, "dev": None}
    assert found("train", "test", test="validation") == {"train": "train", "test": "validation"}


def test_renamed_and_pooled_folders_are_reported():
    parents = {("x", "FER2013Train"): 3, ("x", "test"): 2}
    splits = {("x", "FER2013Train"): "train", ("x", "test"): "test"}
    assert renamed_folders(parents, splits) == {"FER2013Train": "train"}
    assert pooled_counts({("a",): 3, (): 2}) == {".": 2, "a": 3}
    assert pooled_counts({("a",): 3}) == {}
