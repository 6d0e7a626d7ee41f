"""Review decisions: merged atomically, identified by digest, applied by the manifest."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.common.errors import UserError
from unveil.data import corrections

CLASSES = ("happy", "neutral", "sad")
HEADER = "sha256,member,action,new_label\n"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def manifest(*names: str) -> pd.DataFrame:
    rows = [{"sha256": digest(name), "member": f"{name}.png", "label": "sad"} for name in names]
    return pd.DataFrame(rows).assign(fault="")


FACES = manifest("a", "b", "c")


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def reviewed(*rows: tuple[str, str, str]) -> Path:
    """Write a reviewed list of suspects with digests, actions and new labels."""
    lines = [f"{digest(name)},{name}.png,{action},{label}\n" for name, action, label in rows]
    Path("suspects.csv").write_text(HEADER + "".join(lines))
    return Path("suspects.csv")


def taken(*rows: tuple[str, str, str]) -> dict[str, int]:
    return corrections.review(reviewed(*rows), FACES, CLASSES)


def applied(faces: pd.DataFrame = FACES) -> list[tuple[str, str]]:
    done = corrections.apply(faces, CLASSES, mark=lambda rest: rest.assign(quarantine=""))
    return list(zip(done["label"], done["fault"].str.split(":").str[0], strict=True))


def test_a_relabelled_face_has_its_new_label_and_a_dropped_one_a_fault():
    assert applied() == [("sad", "")] * 3
    counts = taken(("a", "relabel", "happy"), ("b", "drop", ""), ("c", "keep", ""))
    assert counts == {"relabel": 1, "drop": 1, "keep": 1}
    assert applied() == [("happy", ""), ("sad", "dropped_by_review"), ("sad", "")]


def test_a_decision_holds_for_all_copies_and_in_another_archive():
    taken(("a", "relabel", "happy"))
    other = pd.concat([manifest("z", "a"), manifest("a")], ignore_index=True)
    assert [label for label, _ in applied(other)] == ["sad", "happy", "happy"]


def test_faces_without_an_action_are_skipped_and_later_decisions_replace_earlier_ones():
    taken(("a", "drop", ""), ("b", "", ""))
    assert taken(("b", "keep", ""), ("a", "relabel", "neutral"))["relabel"] == 1
    rows = corrections.read(CLASSES).set_index("member")
    assert rows["action"].to_dict() == {"a.png": "relabel", "b.png": "keep"}
    assert rows["label"].to_dict() == {"a.png": "neutral", "b.png": ""}


def test_tables_saved_by_spreadsheets_are_read():
    text = reviewed(("a", " relabel ", "happy"), ("b", "", "")).read_text().replace("\n", "\r\n")
    Path("suspects.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert corrections.review(Path("suspects.csv"), FACES, CLASSES)["relabel"] == 1


def test_extra_commas_and_empty_rows_are_no_decisions():
    row = f"{digest('a')},a.png,drop,"
    for text in (f"{HEADER}{row},\n,,,\n\n", f"{HEADER}{row}\n".replace(",", ";")):
        Path("suspects.csv").write_text(text)
        assert corrections.review(Path("suspects.csv"), FACES, CLASSES)["drop"] == 1
    Path("suspects.csv").write_text(f"{HEADER}{row},x\n")
    with pytest.raises(UserError, match=r"table: line 2: 5 cells, the header has 4$"):
        corrections.review(Path("suspects.csv"), FACES, CLASSES)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "delete", "")], "unknown action in suspects.csv, line 2: 'delete'; choose from"),
        ([("a", "keep", ""), ("b", "relabel", "")], "unknown label in suspects.csv, line 3: ''"),
        ([("a", "relabel", "hapy")], "'hapy'; choose from happy, neutral, sad"),
        ([("a", "keep", "happy")], "line 2: keep takes no label, found 'happy'"),
        ([("a", "", "happy")], "unknown action in suspects.csv, line 2: ''; choose from relabel"),
        ([("x", "keep", "")], "no face in the manifest has sha256 2d711642b726... (x.png)"),
        ([("a", "keep", ""), ("a", "drop", "")], "has two different decisions; choose one"),
        ([("a", "", "")], "suspects.csv has no action yet; fill in relabel, drop, keep"),
    ],
)
def test_an_invalid_decision_is_a_one_line_error_and_none_is_merged(rows, said):
    taken(("c", "keep", ""))
    before = Path("data/01_raw/corrections.csv").read_bytes()
    with pytest.raises(UserError) as refusal:
        taken(*rows)
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert Path("data/01_raw/corrections.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"sha256,member,action\n", "suspects.csv has no column 'new_label'; it has sha256,"),
        (b"", "suspects.csv cannot be read as a table"),
        (HEADER.encode() + b"\xff\xfe,a,keep,\n", "suspects.csv cannot be read as a table"),
        (HEADER.encode() + b"12ab,a,keep,\n", "sha256 '12ab' is not 64 hexadecimal digits"),
    ],
)
def test_an_invalid_table_is_a_one_line_error(content, said):
    Path("suspects.csv").write_bytes(content)
    with pytest.raises(UserError) as refusal:
        corrections.review(Path("suspects.csv"), FACES, CLASSES)
    assert said in str(refusal.value)


def test_an_invalid_line_in_the_corrections_stops_the_manifest():
    Path("data/01_raw").mkdir(parents=True)
    line = f"{digest('a')},a.png,relabel,angry\n"
    Path("data/01_raw/corrections.csv").write_text("sha256,member,action,label\n" + line)
    with pytest.raises(UserError, match=r"corrections.csv, line 2: 'angry'; choose from happy"):
        applied()


decisions = st.dictionaries(
    st.sampled_from("abc"),
    st.sampled_from([("keep", ""), ("drop", ""), *(("relabel", name) for name in CLASSES)]),
    min_size=1,
)


@given(st.lists(decisions, min_size=1, max_size=4))
@settings(deadline=None, max_examples=30)
def test_the_last_decision_about_a_face_applies(rounds):
    Path("data/01_raw/corrections.csv").unlink(missing_ok=True)
    last = {}
    for decided in rounds:
        last |= decided
        taken(*((name, *what) for name, what in decided.items()))
    stored = corrections.read(CLASSES)
    assert list(stored["sha256"]) == sorted(digest(name) for name in last)
    found = {row.member[0]: (row.action, row.label) for row in stored.itertuples()}
    assert found == last
