"""A bundle replaces only a folder that is absent, empty, or contains nothing but a bundle."""

import pytest
from tests.support import bundles

from unveil.common.errors import UserError
from unveil.inference.bundle_files import refuse_other_content


@pytest.mark.parametrize("kept", [{"thesis.txt"}, {"bundle.json", "thesis.txt"}, {"README.md"}])
def test_a_folder_with_other_files_than_a_bundle_is_never_replaced(tmp_path, kept):
    for name in kept:
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=r"replaces the whole folder; name a new") as refused:
        refuse_other_content(tmp_path)
    assert "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_file_and_a_bundle_with_a_folder_in_it_are_never_replaced(tmp_path):
    bundles.made(tmp_path / "b")
    (tmp_path / "b/notes").mkdir()
    (tmp_path / "file").write_text("mine")
    for path, message in ((tmp_path / "b", "has 'notes'"), (tmp_path / "file", "not a directory")):
        with pytest.raises(UserError, match=message):
            refuse_other_content(path)


def test_an_absent_or_empty_folder_and_a_damaged_bundle_may_be_replaced(tmp_path):
    refuse_other_content(tmp_path / "absent")
    refuse_other_content(tmp_path)
    refuse_other_content(bundles.made(tmp_path / "b"))
    (tmp_path / "b/bundle.json").write_text("{")
    refuse_other_content(tmp_path / "b")
    (tmp_path / "b/bundle.json").unlink()
    refuse_other_content(tmp_path / "b")
